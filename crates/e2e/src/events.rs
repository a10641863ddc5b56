//! The cloud's event log, read as a stranger would read it: without the program's own types.

use std::path::Path;

use anyhow::{Context, Result};
use serde_json::Value;

/// The fields of each kind of event that docs/threat-model.md, "What the cloud may see", allows, in order.
pub const ALLOWED: &[(&str, &[&str])] = &[
    ("write", &["bytes", "event", "generation", "slot", "time"]),
    (
        "seal",
        &[
            "event",
            "generation",
            "hint_bytes",
            "slot_bytes",
            "slots",
            "time",
        ],
    ),
    ("retire", &["event", "generation", "time"]),
    (
        "hint",
        &["bytes", "event", "generation", "pass", "peer", "time"],
    ),
    (
        "resumption",
        &[
            "bytes_down",
            "bytes_up",
            "event",
            "from",
            "nonce",
            "pass",
            "peer",
            "queries",
            "stack",
            "time",
        ],
    ),
    (
        "retrieval",
        &[
            "bytes_down",
            "bytes_up",
            "event",
            "nonce",
            "pass",
            "peer",
            "queries",
            "stack",
            "time",
        ],
    ),
    (
        "stream",
        &[
            "bytes_down",
            "bytes_up",
            "event",
            "from",
            "nonce",
            "pass",
            "peer",
            "queries",
            "stack",
            "time",
        ],
    ),
];

/// The complete log.
///
/// # Errors
/// If it cannot be read, or a line is not JSON.
pub fn read(path: &Path) -> Result<Vec<Value>> {
    let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
    text.lines()
        .map(|line| serde_json::from_str(line).with_context(|| line.to_owned()))
        .collect()
}

/// The events of one kind.
///
/// # Errors
/// As [`read`].
pub fn of_kind(path: &Path, kind: &str) -> Result<Vec<Value>> {
    let mut events = read(path)?;
    events.retain(|event| event["event"] == kind);
    Ok(events)
}

/// What is in the log and not in the table: events of another kind, fields too many or too few.
#[must_use]
pub fn beyond_the_table(events: &[Value]) -> Vec<String> {
    let mut found = Vec::new();
    for event in events {
        let allowed = ALLOWED
            .iter()
            .find(|(kind, _)| event["event"] == *kind)
            .map(|(_, fields)| *fields);
        let mut fields: Vec<&str> = match event.as_object() {
            Some(object) => object.keys().map(String::as_str).collect(),
            None => Vec::new(),
        };
        fields.sort_unstable();
        if allowed != Some(fields.as_slice()) {
            found.push(event.to_string());
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_field_or_event_that_is_not_in_the_table_is_found() {
        let good = json!({"event": "retire", "time": 1, "generation": "00"});
        let mut more = good.clone();
        more["hospital"] = "St Anne".into();
        let other = json!({"event": "login", "time": 1});
        assert_eq!(beyond_the_table(&[good, more, other]).len(), 2);
    }
}
