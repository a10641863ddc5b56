//! Services that are away, disks that are full, certificates that have expired: said clearly, nothing lost, and over when
//! the cause is gone.

use std::path::PathBuf;
use std::time::Duration;

use harpo_e2e::disk::SmallDisk;
use harpo_e2e::images::pydicom;
use harpo_e2e::system::System;
use harpo_e2e::wait;
use harpo_service::clock::Clock;
use harpo_service::tls::{Authority, Subject, generate_key_and_csr};

use crate::rogue::{find, identity};
use crate::sent::Sent;

fn small(names: &[&str]) -> Vec<PathBuf> {
    names.iter().map(|name| pydicom(name).unwrap()).collect()
}

fn stow(system: &System, files: &[PathBuf]) -> Sent {
    assert_eq!(system.hospitals[0].stow(files).unwrap()["status"], 200);
    let mut sent = Sent::default();
    sent.by_stow(files).unwrap();
    sent
}

#[test]
fn the_cloud_is_away() {
    let mut system = System::start(&["St Anne", "Mercy Vale", "Holm Clinic"]).unwrap();
    let out = tempfile::tempdir().unwrap();
    system.cloud.kill();
    // Fresh images neither wait for the cloud nor ask it.
    let sent = stow(&system, &small(&["CT_small.dcm", "rtplan.dcm"]));
    sent.found_by(&system.hospitals[1]).unwrap();
    sent.comes_back_at(&system.hospitals[1], &out.path().join("cache"))
        .unwrap();

    system.cloud.start().unwrap();
    system.cloud.ready().unwrap();
    sent.found_by(&system.hospitals[2]).unwrap();
    system.seal().unwrap();
    system.cloud.kill();
    let study = sent.studies().next().unwrap();
    let holm = &mut system.hospitals[2];
    let answer = holm.retrieve(study, &out.path().join("away")).unwrap();
    assert_eq!(answer.status, 503, "{answer:?}");
    assert!(answer.body.contains("unavailable"), "{}", answer.body);
    // The user is told to come back, the administrator who is away.
    assert!(holm.process.log().contains("the cloud did not answer"));
    assert!(holm.process.runs());
    // What was opened before is still served.
    sent.comes_back_at(&system.hospitals[1], &out.path().join("kept"))
        .unwrap();

    system.cloud.start().unwrap();
    system.cloud.ready().unwrap();
    // Who asks too soon is told the old failure once more (docs/protocol.md 9.4).
    wait::until("it can be fetched again", || {
        Ok(sent
            .comes_back_at(&system.hospitals[2], &out.path().join("back"))
            .ok())
    })
    .unwrap();
}

#[test]
fn trust_is_away() {
    let mut system = System::start(&["St Anne", "Mercy Vale"]).unwrap();
    let out = tempfile::tempdir().unwrap();
    system.trust.kill();
    // The hospital goes on storing, across a crash of its own.
    let sent = stow(&system, &small(&["CT_small.dcm", "MR_small.dcm"]));
    system.hospitals[0].process.kill();
    system.hospitals[0].process.start().unwrap();
    system.hospitals[0].process.healthy().unwrap();
    let study = sent.studies().next().unwrap();
    let answer = system.hospitals[1]
        .retrieve(study, &out.path().join("away"))
        .unwrap();
    assert_eq!(answer.status, 503, "{answer:?}");
    assert!(answer.body.contains("unavailable"), "{}", answer.body);
    assert!(
        system.hospitals[1]
            .process
            .log()
            .contains("trust refused or is away")
    );

    system.trust.start().unwrap();
    system.trust.healthy().unwrap();
    sent.found_by(&system.hospitals[1]).unwrap();
    sent.comes_back_at(&system.hospitals[1], &out.path().join("back"))
        .unwrap();
}

/// Stops a service, puts a small disk under its data and starts it again; None where that is not allowed.
fn shrink(process: &mut harpo_e2e::process::Process, data: &std::path::Path) -> Option<SmallDisk> {
    process.stop().unwrap();
    let disk = SmallDisk::over(data, 24).unwrap();
    process.start().unwrap();
    process.healthy().unwrap();
    if disk.is_none() {
        eprintln!("NOT TESTED: a full disk needs a small file system, and mounting one needs root");
    }
    disk
}

#[test]
fn a_hospitals_disk_is_full() {
    let mut system = System::start(&["St Anne"]).unwrap();
    let dir = system.hospitals[0].dir.join("data");
    let Some(disk) = shrink(&mut system.hospitals[0].process, &dir) else {
        return;
    };
    disk.fill(16 << 10).unwrap();
    let files = small(&["CT_small.dcm", "waveform_ecg.dcm"]);
    // Out of resources, of class A7xx, so that the sender tries again later (PS3.4 B.2.3).
    for (file, status) in system.hospitals[0]
        .send(&files)
        .unwrap()
        .as_object()
        .unwrap()
    {
        let status = status
            .as_u64()
            .unwrap_or_else(|| panic!("{file}: no answer"));
        assert_eq!(status >> 8, 0xA7, "{file}: {status:04x}");
    }
    let answer = system.hospitals[0].stow(&files).unwrap();
    assert!(answer["status"].as_u64().unwrap() >= 400, "{answer}");
    assert!(system.hospitals[0].process.runs());

    disk.free().unwrap();
    let sent = stow(&system, &files);
    sent.found_by(&system.hospitals[0]).unwrap();
    let out = tempfile::tempdir().unwrap();
    sent.comes_back_at(&system.hospitals[0], out.path())
        .unwrap();
}

#[test]
fn trusts_disk_is_full() {
    let mut system = System::start(&["St Anne", "Mercy Vale"]).unwrap();
    let cache = system.dir("trust").join("cache");
    let Some(disk) = shrink(&mut system.trust, &cache) else {
        return;
    };
    disk.fill(4 << 10).unwrap();
    // The hospital has it and keeps it.
    let sent = stow(&system, &small(&["CT_small.dcm", "waveform_ecg.dcm"]));
    std::thread::sleep(Duration::from_secs(3));
    assert!(system.trust.runs());
    for study in sent.studies() {
        assert_eq!(
            system.hospitals[1]
                .instances(study)
                .map_or(0, |rows| rows.len()),
            0
        );
    }
    disk.free().unwrap();
    sent.found_by(&system.hospitals[1]).unwrap();
    let out = tempfile::tempdir().unwrap();
    sent.comes_back_at(&system.hospitals[1], out.path())
        .unwrap();
}

#[test]
fn the_clouds_disk_is_full() {
    let mut system = System::start(&["St Anne", "Mercy Vale"]).unwrap();
    let data = system.dir("cloud").join("data");
    let sent = stow(&system, &small(&["CT_small.dcm", "MR_small.dcm"]));
    sent.found_by(&system.hospitals[1]).unwrap();
    let Some(disk) = shrink(&mut system.cloud, &data) else {
        return;
    };
    disk.fill(256 << 10).unwrap();
    let dir = system.dir("trust");
    harpo_e2e::process::harpo(&[
        "trust",
        "seal",
        "--dir",
        harpo_e2e::system::text(&dir).unwrap(),
    ])
    .unwrap();
    std::thread::sleep(Duration::from_secs(3));
    assert_eq!(system.events("seal").unwrap().len(), 0);
    assert!(system.cloud.runs() && system.trust.runs());
    // Trust has not forgotten what the cloud has not confirmed.
    let out = tempfile::tempdir().unwrap();
    let study = sent.studies().next().unwrap();
    let answer = system.hospitals[1]
        .retrieve(study, &out.path().join("full"))
        .unwrap();
    assert_eq!(answer.status, 200, "{answer:?}");

    disk.free().unwrap();
    wait::until("the seal goes on", || {
        Ok((!system.events("seal")?.is_empty()).then_some(()))
    })
    .unwrap();
    sent.comes_back_at(&system.hospitals[1], &out.path().join("free"))
        .unwrap();
}

#[test]
fn a_certificate_has_expired() {
    let mut system = System::start(&["St Anne", "Mercy Vale"]).unwrap();
    let sent = stow(&system, &small(&["CT_small.dcm"]));
    sent.found_by(&system.hospitals[1]).unwrap();
    let study = sent.studies().next().unwrap().to_owned();

    // The authority gives the second hospital a certificate of one second.
    let mercy = &mut system.hospitals[1];
    mercy.process.stop().unwrap();
    let folder = find(&mercy.dir, "chain.pem")
        .unwrap()
        .parent()
        .unwrap()
        .to_owned();
    let subject = {
        let old = identity(&mercy.dir).unwrap();
        Subject {
            role: old.role(),
            party: old.party(),
            server_names: Vec::new(),
        }
    };
    let request = generate_key_and_csr(&folder).unwrap();
    let root = find(&system.folder().join("trust"), "ca-key.pem").unwrap();
    let authority = Authority::load(root.parent().unwrap()).unwrap();
    let chain = authority
        .issue(
            &request,
            &subject,
            Duration::from_secs(1),
            Clock::system().now(),
        )
        .unwrap();
    std::fs::rename(folder.join("key.next.pem"), folder.join("key.pem")).unwrap();
    std::fs::write(folder.join("chain.pem"), chain).unwrap();
    std::thread::sleep(Duration::from_secs(2));

    let mercy = &mut system.hospitals[1];
    mercy.process.start().unwrap();
    let out = tempfile::tempdir().unwrap();
    // Whether it starts and refuses, or refuses to start: nothing is shown, and the reason is said.
    if mercy.process.healthy().is_ok() {
        let answer = mercy.retrieve(&study, out.path()).unwrap();
        assert!(answer.status >= 500, "{answer:?}");
    }
    let log = mercy.process.log();
    assert!(log.contains("expired"), "the reason is not said:\n{log}");
    // The others go on.
    let anne = &system.hospitals[0];
    assert_eq!(anne.studies(&[]).unwrap().len(), 1);
}
