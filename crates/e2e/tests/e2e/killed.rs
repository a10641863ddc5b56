//! Services are killed at random moments. What was acknowledged must be there in the end, byte for byte.
//!
//! `HARPO_KILL_ROUNDS` makes it longer, `HARPO_SEED` repeats a run's choices (not its timing).

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use harpo_e2e::images::variant;
use harpo_e2e::peers::python;
use harpo_e2e::process::harpo;
use harpo_e2e::seed::{Choices, seed};
use harpo_e2e::system::{System, text};

use crate::sent::Sent;

/// Images of one round.
const IMAGES: u64 = 6;

/// The study of a round.
fn uid(study: u64) -> String {
    format!("1.3.6.1.4.1.5962.1.2.1.2004011907{study:04}.12322")
}

/// A file like CT_small.dcm with UIDs of its own, of the same length, so that nothing else must change.
fn image(folder: &Path, study: u64, number: u64) -> PathBuf {
    let path = folder.join(format!("{study}-{number}.dcm"));
    let study = format!("2004011907{study:04}");
    // Study, series, and the instance in the meta information and the data set.
    let replacements = [
        ("1.2.1.20040119072730.12322", format!("1.2.1.{study}.12322")),
        (
            "1.3.1.1.20040119072730.12322",
            format!("1.3.1.1.{study}.12322"),
        ),
        (
            "1.1.1.1.1.20040119072730.12322",
            format!("1.1.1.1.1.{study}.{number:05}"),
        ),
    ];
    variant("CT_small.dcm", &replacements, &path).unwrap();
    path
}

#[test]
fn what_was_acknowledged_survives_kills() {
    let rounds = std::env::var("HARPO_KILL_ROUNDS").map_or(3, |rounds| rounds.parse().unwrap());
    let mut choices = Choices::new(seed());
    let mut system = System::start(&["St Anne", "Mercy Vale"]).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let mut sent = Sent::default();
    let mut survivors = 0;

    for round in 0..rounds {
        let files: Vec<_> = (0..IMAGES)
            .map(|number| image(folder.path(), round, number))
            .collect();
        let acknowledged = one_round(&mut system, &files, &uid(round), &mut choices);
        println!(
            "round {round}: {} of {IMAGES} acknowledged",
            acknowledged.len()
        );
        sent.by_store(&acknowledged).unwrap();
        survivors += acknowledged.len();
    }
    assert!(survivors > 0, "nothing was acknowledged in {rounds} rounds");

    // Everybody is up again. One image more, so that there is something to seal for the last time.
    let last = image(folder.path(), rounds, 0);
    let statuses = system.hospitals[0]
        .send(std::slice::from_ref(&last))
        .unwrap();
    assert_eq!(statuses[last.to_str().unwrap()], 0);
    sent.by_store(&[last]).unwrap();
    sent.found_by(&system.hospitals[1]).unwrap();
    system.seal().unwrap();
    let out = folder.path().join("out");
    sent.comes_back_at(&system.hospitals[1], &out.join("mercy"))
        .unwrap();
    sent.comes_back_at(&system.hospitals[0], &out.join("anne"))
        .unwrap();
    let dir = system.dir("trust");
    harpo(&["trust", "audit", "verify", "--dir", text(&dir).unwrap()]).unwrap();
}

/// Sends images, seals and fetches, while services die and come back. Returns what was acknowledged.
fn one_round(
    system: &mut System,
    files: &[PathBuf],
    study: &str,
    choices: &mut Choices,
) -> Vec<PathBuf> {
    let trust = system.dir("trust");
    let [producer, consumer] = [&system.hospitals[0], &system.hospitals[1]];
    let port = producer.dicom.to_string();
    let (url, token) = (consumer.url(), consumer.token.clone());
    let out = tempfile::tempdir().unwrap();
    let done = AtomicBool::new(false);
    let mut acknowledged = Vec::new();
    thread::scope(|scope| {
        let sender = scope.spawn(|| {
            let mut acknowledged = Vec::new();
            for file in files {
                // One association each, so that a kill costs one image and not the rest of the round.
                let answer = harpo_e2e::peers::python(
                    &["send", "--port", &port],
                    std::slice::from_ref(file),
                );
                if answer.is_ok_and(|statuses| statuses[file.to_str().unwrap()] == 0) {
                    acknowledged.push(file.clone());
                }
            }
            // These may fail: whoever they ask may be dead. They are asked again in the end.
            let _ = harpo(&["trust", "seal", "--dir", text(&trust).unwrap()]);
            let fetch = [
                "retrieve",
                "--url",
                &url,
                "--token",
                &token,
                "--out",
                text(out.path()).unwrap(),
            ];
            let _ = python(&[fetch.as_slice(), &[study]].concat(), &[]);
            done.store(true, Ordering::Release);
            acknowledged
        });
        while !done.load(Ordering::Acquire) {
            thread::sleep(Duration::from_millis(100 + choices.below(1500)));
            let which = choices.below(4);
            let victim = match which {
                0 => &mut system.trust,
                1 => &mut system.cloud,
                hospital => &mut system.hospitals[hospital as usize - 2].process,
            };
            println!(
                "kill {}",
                ["trust", "cloud", "producer", "consumer"][which as usize]
            );
            victim.kill();
            thread::sleep(Duration::from_millis(choices.below(300)));
            victim.start().unwrap();
            victim.healthy().unwrap();
        }
        acknowledged = sender.join().unwrap();
    });
    for service in [&mut system.trust, &mut system.cloud] {
        service.ready().unwrap();
    }
    for hospital in &mut system.hospitals {
        hospital.process.ready().unwrap();
    }
    acknowledged
}
