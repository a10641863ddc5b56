//! What the cloud saw: its own log, read from its own folder.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use harpo_cloud::events::Event;

/// Where a cloud in `dir` keeps its log.
pub(crate) fn log_path(dir: &Path) -> PathBuf {
    dir.join("data").join("events.jsonl")
}

/// The log of a cloud in `dir`, as far as it is written.
pub(crate) fn log(dir: &Path) -> Result<Vec<Event>> {
    let log = match fs::read_to_string(log_path(dir)) {
        Ok(log) => log,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(error).context("reading the cloud's log"),
    };
    // What follows the last line feed is still being written.
    let whole = log.rfind('\n').map_or(0, |end| end + 1);
    let events = log[..whole].lines().map(serde_json::from_str);
    events
        .collect::<Result<_, _>>()
        .context("reading the cloud's log")
}

/// Event kinds in the log, with counts.
pub(crate) fn saw(dir: &Path) -> Result<BTreeMap<String, u64>> {
    let mut counts = BTreeMap::new();
    for event in log(dir)? {
        *counts.entry(kind(&event).to_owned()).or_default() += 1;
    }
    Ok(counts)
}

fn kind(event: &Event) -> &'static str {
    match event {
        Event::Write { .. } => "write",
        Event::Seal { .. } => "seal",
        Event::Retire { .. } => "retire",
        Event::Hint { .. } => "hint",
        Event::Retrieval { .. } => "retrieval",
        Event::Resumption { .. } => "resumption",
        Event::Stream { .. } => "stream",
    }
}

/// The counts in words.
pub(crate) fn describe(saw: &BTreeMap<String, u64>) -> String {
    if saw.is_empty() {
        return "nothing".into();
    }
    let kinds: Vec<String> = saw
        .iter()
        .map(|(kind, count)| format!("{count} {kind}"))
        .collect();
    format!("its whole log: {}", kinds.join(", "))
}
