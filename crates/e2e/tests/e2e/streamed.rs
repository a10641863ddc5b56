//! A stack so small that all of it is downloaded (docs/protocol.md 9.6).

use std::path::Path;

use harpo_e2e::events;
use harpo_e2e::images::noise;
use harpo_e2e::process::harpo;
use harpo_e2e::system::{Changes, System, text};
use harpo_e2e::wait;
use serde_json::Value;

use crate::hostile_cloud::{refused, with_proxy};
use crate::interrupted::{Cut, Line, fetches, put_before_the_cloud};
use crate::proxy::Attack;
use crate::sent::Sent;

/// Slots of the stack, of 64 KiB.
const SLOTS: u64 = 16;
const STACK_BYTES: u64 = SLOTS << 16;

/// A study that takes more than half of a stack, sealed.
fn sealed(folder: &Path) -> (System, Sent) {
    let changes = Changes {
        trust: "[layout]\nslots_per_generation = 16\n",
        ..Changes::default()
    };
    let mut system = System::start_with(&["St Anne", "Mercy Vale"], &changes).unwrap();
    let files = noise(20, folder).unwrap();
    let mut sent = Sent::default();
    sent.by_stow(&files).unwrap();
    assert_eq!(system.hospitals[0].stow(&files).unwrap()["status"], 200);
    sent.found_by(&system.hospitals[1]).unwrap();
    system.seal().unwrap();
    (system, sent)
}

/// Nothing is here any more.
fn forget(system: &System) {
    let dir = text(&system.hospitals[1].dir).unwrap();
    harpo(&["gateway", "cache", "clear", "--dir", dir]).unwrap();
}

/// What the consumer noted of its last fetch.
fn last(system: &System) -> Value {
    let consumer = &system.hospitals[1];
    fetches(consumer.web, &consumer.token).swap_remove(0)
}

#[test]
fn all_of_a_small_stack_comes_and_goes_on_where_it_broke() {
    let folder = tempfile::tempdir().unwrap();
    let (mut system, sent) = sealed(folder.path());
    let port = system.cloud_url.rsplit(':').next().unwrap();
    let line = Line::start(port.parse().unwrap());
    put_before_the_cloud(&mut system, &line);
    let cuts: [&[Cut]; 4] = [
        &[],
        &[Cut::Down(300_000)],
        // Within the handshake: the cloud saw nothing.
        &[Cut::Up(700)],
        &[Cut::Down(200_000), Cut::Down(90_000), Cut::Down(400_000)],
    ];
    let mut streams = 0;
    for (number, cuts) in cuts.into_iter().enumerate() {
        forget(&system);
        line.cut(cuts);
        let out = folder.path().join(format!("out{number}"));
        sent.comes_back_at(&system.hospitals[1], &out).unwrap();
        let seen = system.events("stream").unwrap().split_off(streams);
        streams += seen.len();
        let whole = seen.first().unwrap();
        assert_eq!(
            (&whole["from"], &whole["bytes_down"]),
            (&0.into(), &STACK_BYTES.into())
        );
        // The same ticket, for what is missing.
        for pair in seen.windows(2) {
            assert_eq!(pair[0]["nonce"], pair[1]["nonce"]);
            assert_ne!(pair[0]["pass"], pair[1]["pass"]);
            let from = pair[1]["from"].as_u64().unwrap();
            assert!(
                from > 0 && from >= pair[0]["from"].as_u64().unwrap(),
                "{seen:?}"
            );
            assert_eq!(pair[1]["bytes_down"], (SLOTS - from) << 16);
        }
        let broken = cuts
            .iter()
            .filter(|cut| matches!(cut, Cut::Down(_)))
            .count();
        assert_eq!(seen.len(), 1 + broken, "{cuts:?}: {seen:?}");
        let last = last(&system);
        assert_eq!(
            (&last["engine"], &last["queries"]),
            (&"stream".into(), &0.into())
        );
        assert_eq!(
            (&last["outcome"], &last["resumed"]),
            (&"opened".into(), &cuts.len().into())
        );
        assert!(
            last["bytes_down"].as_u64().unwrap() >= STACK_BYTES,
            "{last}"
        );
    }
    assert_eq!(system.events("retrieval").unwrap(), Vec::<Value>::new());
    let log = events::read(&system.event_log().unwrap()).unwrap();
    assert_eq!(events::beyond_the_table(&log), Vec::<String>::new());
}

#[test]
fn lies_in_a_stream_are_found_and_not_asked_about_again() {
    let folder = tempfile::tempdir().unwrap();
    let (mut system, sent) = sealed(folder.path());
    let proxy = with_proxy(&mut system);
    for attack in [
        Attack::Noise,
        Attack::Swap,
        Attack::Truncate,
        Attack::Extend,
        Attack::Fail,
    ] {
        let out = |what: &str| folder.path().join(format!("{what} {attack:?}"));
        forget(&system);
        proxy.play(attack);
        refused(&mut system.hospitals[1], &sent, &out("lie"));
        refused(&mut system.hospitals[1], &sent, &out("again"));
        assert_eq!(
            proxy.played(),
            1,
            "{attack:?} was followed by another stream"
        );
        assert_eq!(last(&system)["engine"], "stream");
        proxy.play(Attack::Honest);
        wait::until("the failure is forgotten", || {
            let back = sent.comes_back_at(&system.hospitals[1], &out("truth"));
            Ok(back.ok())
        })
        .unwrap();
    }
}
