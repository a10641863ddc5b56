use std::collections::BTreeSet;

use super::*;

fn examples() -> Vec<Event> {
    let time = Timestamp(7);
    let generation = GenerationId([1; 16]);
    let peer = "192.0.2.1:50000".parse().unwrap();
    let pass = Some(PartyId([3; 16]));
    vec![
        Event::Write {
            time,
            generation,
            slot: 5,
            bytes: 4096,
        },
        Event::Seal {
            time,
            generation,
            slots: 16,
            slot_bytes: 4096,
            hint_bytes: 9,
        },
        Event::Retire { time, generation },
        Event::Hint {
            time,
            generation,
            bytes: 9,
            peer,
            pass,
        },
        Event::Retrieval {
            time,
            nonce: Nonce([2; 16]),
            stack: vec![generation],
            queries: 4,
            bytes_up: 10,
            bytes_down: 20,
            peer,
            pass,
        },
        Event::Resumption {
            time,
            nonce: Nonce([2; 16]),
            stack: vec![generation],
            from: 3,
            queries: 1,
            bytes_up: 5,
            bytes_down: 5,
            peer,
            pass,
        },
    ]
}

#[test]
fn what_is_recorded_can_be_read_and_a_torn_line_is_removed() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("events.jsonl");
    let log = EventLog::open(&path).unwrap();
    for event in examples() {
        log.record(&event).unwrap();
    }
    drop(log);
    let whole = std::fs::read(&path).unwrap();
    std::fs::write(
        &path,
        [whole.as_slice(), br#"{"event":"write","ti"#, &[b' '; 9000]].concat(),
    )
    .unwrap();
    EventLog::open(&path)
        .unwrap()
        .record(&examples()[2])
        .unwrap();
    let mut expected = examples();
    expected.push(expected[2].clone());
    assert_eq!(EventLog::read(&path).unwrap(), expected);
}

/// The promise in the threat model, as a list of names: a new field is a decision, not an accident.
#[test]
fn every_kind_has_exactly_the_fields_of_the_promise() {
    let promised: [(&str, &[&str]); 6] = [
        ("write", &["time", "generation", "slot", "bytes"]),
        (
            "seal",
            &["time", "generation", "slots", "slot_bytes", "hint_bytes"],
        ),
        ("retire", &["time", "generation"]),
        ("hint", &["time", "generation", "bytes", "peer", "pass"]),
        (
            "retrieval",
            &[
                "time",
                "nonce",
                "stack",
                "queries",
                "bytes_up",
                "bytes_down",
                "peer",
                "pass",
            ],
        ),
        (
            "resumption",
            &[
                "time",
                "nonce",
                "stack",
                "from",
                "queries",
                "bytes_up",
                "bytes_down",
                "peer",
                "pass",
            ],
        ),
    ];
    for (event, (kind, fields)) in examples().iter().zip(promised) {
        let value = serde_json::to_value(event).unwrap();
        let names: BTreeSet<&str> = value
            .as_object()
            .unwrap()
            .keys()
            .map(String::as_str)
            .collect();
        let expected: BTreeSet<&str> = fields.iter().copied().chain(["event"]).collect();
        assert_eq!(value["event"], kind);
        assert_eq!(names, expected, "{kind}");
    }
}

#[test]
fn unknown_fields_are_refused() {
    let text = r#"{"event":"retire","time":1,"generation":"01010101010101010101010101010101","hospital":"x"}"#;
    assert!(serde_json::from_str::<Event>(text).is_err());
}
