//! What the cloud saw: its own log, read from its own folder.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

/// Where a cloud in `dir` keeps its log.
pub(crate) fn log_path(dir: &Path) -> PathBuf {
    dir.join("data").join("events.jsonl")
}

/// Event kinds in the log, with counts.
pub(crate) fn saw(dir: &Path) -> Result<BTreeMap<String, u64>> {
    let log = match fs::read_to_string(log_path(dir)) {
        Ok(log) => log,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(error).context("reading the cloud's log"),
    };
    let mut counts = BTreeMap::new();
    for line in log.lines() {
        // The last line may still be being written.
        if let Ok(event) = serde_json::from_str::<serde_json::Value>(line)
            && let Some(kind) = event["event"].as_str()
        {
            *counts.entry(kind.to_owned()).or_default() += 1;
        }
    }
    Ok(counts)
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
