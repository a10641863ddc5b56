//! What trust decides and records: revocation, erasure, the audit log, mixing; and instances that contradict themselves.

use std::path::{Path, PathBuf};
use std::process::Command;

use harpo_e2e::images::pydicom;
use harpo_e2e::peers::run;
use harpo_e2e::process::harpo;
use harpo_e2e::system::{Changes, System, text};
use harpo_e2e::wait;
use harpo_protocol::deposit::DepositRequest;
use tokio::runtime::Runtime;

use crate::rogue::{Rogue, forge};
use crate::sent::Sent;

fn deposited(system: &System, names: &[&str]) -> Sent {
    let files: Vec<PathBuf> = names.iter().map(|name| pydicom(name).unwrap()).collect();
    assert_eq!(system.hospitals[0].stow(&files).unwrap()["status"], 200);
    let mut sent = Sent::default();
    sent.by_stow(&files).unwrap();
    for hospital in &system.hospitals {
        sent.found_by(hospital).unwrap();
    }
    sent
}

fn trust(system: &System, words: &[&str]) -> anyhow::Result<String> {
    let dir = system.dir("trust");
    let (command, rest) = words.split_at(if words[0] == "audit" { 2 } else { 1 });
    harpo(&[&["trust"], command, &["--dir", text(&dir)?], rest].concat())
}

#[test]
fn a_revoked_hospital_is_refused_from_its_next_request_on() {
    let system = System::start(&["St Anne", "Mercy Vale"]).unwrap();
    let sent = deposited(&system, &["CT_small.dcm"]);
    let runtime = Runtime::new().unwrap();
    let mercy = Rogue::new(
        &system.hospitals[1].dir,
        &system.trust_url,
        &system.cloud_url,
    )
    .unwrap();
    let study = sent.studies().next().unwrap();
    // Over a connection that is open already.
    let bundle = runtime.block_on(mercy.locate(study)).unwrap()[0];
    runtime.block_on(mercy.release(bundle)).unwrap();

    let parties = trust(&system, &["parties"]).unwrap();
    let line = parties
        .lines()
        .find(|line| line.contains("Mercy Vale"))
        .unwrap();
    let party = line.split_whitespace().next().unwrap();
    // It asks first.
    assert!(trust(&system, &["revoke", party]).is_err());
    runtime.block_on(mercy.release(bundle)).unwrap();
    trust(&system, &["revoke", party, "--yes"]).unwrap();
    runtime.block_on(async {
        assert!(mercy.release(bundle).await.is_err());
        assert!(mercy.locate(study).await.is_err());
        assert!(mercy.cloud().await.is_err(), "a pass was given");
    });
    let out = tempfile::tempdir().unwrap();
    let answer = system.hospitals[1].retrieve(study, out.path()).unwrap();
    assert_ne!(answer.status, 200);
    // The other goes on.
    sent.comes_back_at(&system.hospitals[0], out.path())
        .unwrap();
}

#[test]
fn what_was_erased_cannot_be_had_again() {
    let mut system = System::start(&["St Anne", "Mercy Vale"]).unwrap();
    let erased = deposited(&system, &["CT_small.dcm"]);
    let kept = deposited(&system, &["MR_small.dcm"]);
    system.seal().unwrap();
    let runtime = Runtime::new().unwrap();
    let anne = Rogue::new(
        &system.hospitals[0].dir,
        &system.trust_url,
        &system.cloud_url,
    )
    .unwrap();
    let study = erased.studies().next().unwrap();
    let bundle = runtime.block_on(anne.locate(study)).unwrap()[0];
    let words = [
        "erase",
        &bundle.to_string(),
        "--reason",
        "the patient asked for it",
    ];
    assert!(trust(&system, &words).is_err(), "it asks first");
    trust(&system, &[words.as_slice(), &["--yes"]].concat()).unwrap();

    assert!(runtime.block_on(anne.release(bundle)).is_err());
    let out = tempfile::tempdir().unwrap();
    let answer = system.hospitals[1].retrieve(study, out.path()).unwrap();
    assert_ne!(answer.status, 200, "{answer:?}");
    kept.comes_back_at(&system.hospitals[1], out.path())
        .unwrap();
    trust(&system, &["audit", "verify"]).unwrap();
    let log = trust(&system, &["audit", "export"]).unwrap();
    assert!(log.contains("the patient asked for it"));
}

/// Runs SQL in a database of a service that is stopped.
fn sql(database: &Path, statement: &str) {
    let script = "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); n = c.execute(sys.argv[2]).rowcount; \
                  c.commit(); sys.exit(0 if n > 0 else 'nothing was changed')";
    let python = harpo_e2e::venv().unwrap().join("bin/python");
    run(Command::new(python)
        .args(["-c", script])
        .arg(database)
        .arg(statement))
    .unwrap();
}

#[test]
fn an_altered_audit_log_is_found() {
    let mut system = System::start(&["St Anne", "Mercy Vale"]).unwrap();
    deposited(&system, &["CT_small.dcm"]);
    let head = trust(&system, &["audit", "verify"]).unwrap();
    let head = head.split_whitespace().last().unwrap().to_owned();
    system.trust.stop().unwrap();
    let database = system.dir("trust").join("trust.db");
    let copy = system.dir("trust.db.copy");
    std::fs::copy(&database, &copy).unwrap();
    for statement in [
        // One word of an entry; an entry taken out; two changed places; the end cut off.
        "UPDATE audit SET entry = replace(entry, '\"', ' \"') WHERE number = 2",
        "DELETE FROM audit WHERE number = 2",
        "UPDATE audit SET entry = (SELECT entry FROM audit WHERE number = 3) WHERE number = 2",
        "DELETE FROM audit WHERE number = (SELECT max(number) FROM audit)",
    ] {
        sql(&database, statement);
        assert!(
            trust(&system, &["audit", "verify"]).is_err(),
            "not found: {statement}"
        );
        std::fs::copy(&copy, &database).unwrap();
    }
    // A log that was never longer contradicts what somebody was told.
    trust(&system, &["audit", "verify", "--expect", &head]).unwrap();
    let (number, hash) = head.split_once(':').unwrap();
    let longer = format!("{}:{hash}", number.parse::<u64>().unwrap() + 1);
    assert!(trust(&system, &["audit", "verify", "--expect", &longer]).is_err());
    let flipped = if hash.starts_with('0') { "1" } else { "0" };
    let other = format!("{number}:{flipped}{}", &hash[1..]);
    assert!(trust(&system, &["audit", "verify", "--expect", &other]).is_err());
}

#[test]
fn nobody_deposits_in_anothers_name() {
    let system = System::start(&["St Anne", "Mercy Vale"]).unwrap();
    let sent = deposited(&system, &["CT_small.dcm"]);
    let runtime = Runtime::new().unwrap();
    let mercy = Rogue::new(
        &system.hospitals[1].dir,
        &system.trust_url,
        &system.cloud_url,
    )
    .unwrap();
    runtime.block_on(async {
        let bundle = mercy.locate(sent.studies().next().unwrap()).await.unwrap()[0];
        let release = mercy.release(bundle).await.unwrap();
        let genuine = release.manifest;
        // Some key or other: the manifest is judged first.
        let content_key = release.access.unwrap().secrets;
        let fresh = "5a".repeat(16);
        let own = forge(&genuine, |manifest| {
            manifest["origin"] = mercy.party().to_string().into()
        })
        .unwrap();
        let renamed = forge(&genuine, |manifest| {
            manifest["origin"] = mercy.party().to_string().into();
            manifest["bundle"] = fresh.clone().into();
        })
        .unwrap();
        let copied = forge(&genuine, |manifest| {
            manifest["bundle"] = fresh.clone().into()
        })
        .unwrap();
        for manifest in [genuine, own, renamed, copied] {
            let request = DepositRequest {
                manifest,
                content_key: content_key.clone(),
            };
            let refusal = mercy.deposit(&request).await.unwrap_err();
            assert!(
                ["rejected", "denied", "conflict"].contains(&refusal.code().unwrap()),
                "{refusal}"
            );
        }
    });
    assert_eq!(system.hospitals[0].studies(&[]).unwrap().len(), 1);
}

#[test]
fn an_instance_that_contradicts_itself_is_refused() {
    let system = System::start(&["St Anne"]).unwrap();
    // Its meta information names another instance than its data set.
    let file = pydicom("rtdose_1frame.dcm").unwrap();
    let statuses = system.hospitals[0]
        .send(std::slice::from_ref(&file))
        .unwrap();
    let status = statuses[file.to_str().unwrap()].as_u64().unwrap();
    assert!([0xA9, 0xC0].contains(&(status >> 8)), "{status:04x}");
    assert!(system.hospitals[0].process.log().contains("SOPInstanceUID"));
    assert_eq!(system.hospitals[0].studies(&[]).unwrap().len(), 0);
}

#[test]
fn in_exponential_mode_slots_leave_before_the_generation_is_sealed() {
    let changes = Changes {
        trust: "[mixing]\nmode = 'exponential'\nmean_delay_seconds = 1\n",
        ..Changes::default()
    };
    let mut system = System::start_with(&["St Anne", "Mercy Vale"], &changes).unwrap();
    let sent = deposited(&system, &["CT_small.dcm", "rtplan.dcm", "693_J2KI.dcm"]);
    wait::until("a slot leaves", || {
        Ok((!system.events("write")?.is_empty()).then_some(()))
    })
    .unwrap();
    assert_eq!(system.events("seal").unwrap().len(), 0);
    system.seal().unwrap();
    assert_eq!(
        system.events("write").unwrap().len(),
        32,
        "each slot is written once"
    );
    let out = tempfile::tempdir().unwrap();
    sent.comes_back_at(&system.hospitals[1], out.path())
        .unwrap();
    assert!(!system.events("retrieval").unwrap().is_empty());
}

#[test]
fn one_query_covers_several_generations() {
    let mut system = System::start(&["St Anne", "Mercy Vale"]).unwrap();
    let mut all = Vec::new();
    for name in ["CT_small.dcm", "MR_small.dcm", "rtplan.dcm"] {
        all.push(deposited(&system, &[name]));
        system.seal().unwrap();
    }
    let out = tempfile::tempdir().unwrap();
    for sent in &all {
        sent.comes_back_at(&system.hospitals[1], out.path())
            .unwrap();
    }
    let stacks: Vec<_> = system.events("retrieval").unwrap();
    assert_eq!(stacks.len(), 3);
    for retrieval in stacks {
        assert_eq!(
            retrieval["stack"].as_array().unwrap().len(),
            3,
            "{retrieval}"
        );
        assert_eq!(retrieval["queries"], 1);
    }
}
