//! What the cloud has after a real run, compared with what it may have (docs/threat-model.md, "What the cloud may see").

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use harpo_e2e::events;
use harpo_e2e::images::pydicom;
use harpo_e2e::process::harpo;
use harpo_e2e::system::{System, USER, text};
use serde_json::Value;

use crate::sent::Sent;

/// Shorter words would be found in random bytes by chance.
const SHORTEST: usize = 5;

/// Words that are found in the files of a folder, raw or as hexadecimal digits.
fn found_in(folder: &Path, words: &BTreeSet<String>) -> Vec<String> {
    let mut found = Vec::new();
    for entry in walkdir::WalkDir::new(folder) {
        let entry = entry.unwrap();
        if !entry.file_type().is_file() {
            continue;
        }
        let bytes = std::fs::read(entry.path()).unwrap();
        for word in words.iter().filter(|word| word.len() >= SHORTEST) {
            let digits: String = word.bytes().map(|byte| format!("{byte:02x}")).collect();
            for form in [word.as_bytes(), digits.as_bytes()] {
                if bytes.windows(form.len()).any(|window| window == form) {
                    found.push(format!("{word} in {}", entry.path().display()));
                }
            }
        }
    }
    found
}

#[test]
fn the_cloud_has_nothing_that_tells() {
    let mut system = System::start(&["St Anne", "Mercy Vale"]).unwrap();
    let out = tempfile::tempdir().unwrap();
    let files: Vec<PathBuf> = [
        "CT_small.dcm",
        "MR_small.dcm",
        "rtplan.dcm",
        "693_J2KI.dcm",
        "liver_1frame.dcm",
    ]
    .iter()
    .map(|name| pydicom(name).unwrap())
    .collect();
    let mut sent = Sent::default();
    assert_eq!(system.hospitals[0].stow(&files).unwrap()["status"], 200);
    sent.by_stow(&files).unwrap();
    sent.found_by(&system.hospitals[1]).unwrap();
    system.seal().unwrap();
    sent.comes_back_at(&system.hospitals[1], out.path())
        .unwrap();

    let mut telling = sent.telling.clone();
    telling.extend(["St Anne", "Mercy Vale", "PYNETDICOM", "physician", USER].map(str::to_owned));
    // The gateways' random names are in trust's list; the cloud must not know those either.
    let parties = harpo(&[
        "trust",
        "parties",
        "--dir",
        text(&system.dir("trust")).unwrap(),
    ])
    .unwrap();
    let mut gateways = 0;
    for line in parties.lines().filter(|line| line.contains("gateway")) {
        let ids = line
            .split(|c: char| !c.is_ascii_hexdigit())
            .filter(|word| word.len() == 32);
        telling.extend(ids.map(str::to_owned));
        gateways += 1;
    }
    assert_eq!(gateways, 2, "{parties}");
    assert!(telling.len() > 20, "{telling:?}");

    // The search itself works: the producer's own folder has what it sent.
    assert!(!found_in(&system.hospitals[0].dir, &telling).is_empty());
    let found = found_in(&system.dir("cloud"), &telling);
    assert!(found.is_empty(), "the cloud has:\n{}", found.join("\n"));
    // Nor does anybody's log of the program, trust's and the hospitals' included.
    let hospitals = system.hospitals.iter().map(|hospital| &hospital.process);
    for process in hospitals.chain([&system.cloud, &system.trust]) {
        let log = process.log();
        let told: Vec<_> = telling
            .iter()
            .filter(|word| word.len() >= SHORTEST && log.contains(*word))
            .collect();
        assert!(told.is_empty(), "{told:?} in\n{log}");
    }

    check_events(&events::read(&system.event_log().unwrap()).unwrap());
}

/// The log has every kind that happened, no field beyond the table, and nothing that varies where it may not.
fn check_events(log: &[Value]) {
    let beyond = events::beyond_the_table(log);
    assert!(
        beyond.is_empty(),
        "not in the leakage table:\n{}",
        beyond.join("\n")
    );
    let of = |kind: &str| {
        log.iter()
            .filter(|event| event["event"] == kind)
            .collect::<Vec<_>>()
    };

    let writes = of("write");
    let slots: BTreeSet<u64> = writes
        .iter()
        .map(|write| write["slot"].as_u64().unwrap())
        .collect();
    assert_eq!(
        slots,
        (0..32).collect(),
        "every slot is written, occupied or not"
    );
    let lengths: BTreeSet<u64> = writes
        .iter()
        .map(|write| write["bytes"].as_u64().unwrap())
        .collect();
    assert_eq!(lengths.len(), 1, "slots of different lengths: {lengths:?}");

    let retrievals = of("retrieval");
    assert!(!retrievals.is_empty());
    let mut shapes = BTreeSet::new();
    for retrieval in &retrievals {
        let queries = retrieval["queries"].as_u64().unwrap();
        assert!(queries.is_power_of_two() && queries <= 64, "{retrieval}");
        let ticket_free = retrieval["bytes_down"].as_u64().unwrap();
        shapes.insert((queries, retrieval["stack"].to_string(), ticket_free));
    }
    let classes: BTreeSet<_> = retrievals
        .iter()
        .map(|retrieval| retrieval["queries"].to_string())
        .collect();
    assert_eq!(
        shapes.len(),
        classes.len(),
        "one class has one shape: {shapes:?}"
    );

    for name in ["nonce", "pass"] {
        let each: BTreeSet<String> = retrievals
            .iter()
            .map(|retrieval| retrieval[name].to_string())
            .collect();
        assert_eq!(each.len(), retrievals.len(), "a {name} is seen twice");
    }
    let passes: BTreeSet<String> = of("hint")
        .iter()
        .map(|hint| hint["pass"].to_string())
        .collect();
    let shared = retrievals
        .iter()
        .filter(|retrieval| passes.contains(&retrieval["pass"].to_string()));
    assert_eq!(
        shared.count(),
        0,
        "hints and retrievals over one connection"
    );
}
