//! Rounds (docs/protocol.md 9.7) and re-placement (5.7), as the cloud and the hospitals see them; and the figures that
//! services tell of themselves (docs/metrics.md).

use std::collections::BTreeSet;
use std::path::PathBuf;

use harpo_e2e::images::pydicom;
use harpo_e2e::process::{Process, harpo};
use harpo_e2e::system::{Changes, System, text};
use harpo_e2e::wait;
use serde_json::Value;

use crate::sent::Sent;

/// Of every round.
const QUERIES: u64 = 2;

const ROUNDS: Changes = Changes {
    trust: "[retrieval]\nschedule = 'rounds'\nround_seconds = 1\nqueries = 2\n",
    cloud: "",
    gateway: "",
    relay: false,
};

const GIVE_BACK: Changes = Changes {
    trust: "[replacement]\nafter_read = true\n",
    cloud: "",
    gateway: "",
    relay: false,
};

/// Deposits these at the first hospital.
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

/// The value of a series that a service tells of itself.
fn figure(process: &Process, series: &str) -> f64 {
    let (status, text) = process.health("/-/metrics").unwrap();
    assert_eq!(status, 200, "{text}");
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {series} in\n{text}"))
        .parse()
        .unwrap()
}

/// Waits until so many more retrievals are in the cloud's log than `before`, which are returned.
fn more(system: &System, before: usize, wanted: usize) -> Vec<Value> {
    wait::until("rounds go on", || {
        let all = system.events("retrieval")?;
        Ok((all.len() >= before + wanted).then(|| all[before..].to_vec()))
    })
    .unwrap()
}

/// What a retrieval shows beside its moment and its random names.
fn shape(retrieval: &Value) -> String {
    let fields = ["queries", "bytes_up", "bytes_down", "stack"];
    fields.map(|field| retrieval[field].to_string()).join(" ")
}

/// No more than one of each gateway in each round that these cover, allowing for those on their way at both ends.
fn at_most_one_a_round(retrievals: &[Value], gateways: u64) {
    let second = |event: &Value| event["time"].as_u64().unwrap() / 1000;
    let seconds = second(retrievals.last().unwrap()) - second(&retrievals[0]) + 1;
    let most = gateways * (seconds + 1);
    assert!(
        retrievals.len() as u64 <= most,
        "{} retrievals in {seconds} rounds of {gateways} gateways",
        retrievals.len()
    );
}

#[test]
fn rounds_look_the_same_with_and_without_readers() {
    let mut system = System::start_with(&["St Anne", "Mercy Vale"], &ROUNDS).unwrap();
    let out = tempfile::tempdir().unwrap();
    let sent = deposited(&system, &["CT_small.dcm", "MR_small.dcm", "rtplan.dcm"]);
    system.seal().unwrap();

    let before = system.events("retrieval").unwrap().len();
    let idle = more(&system, before, 6);
    let before = system.events("retrieval").unwrap().len();
    let reader = &system.hospitals[1];
    sent.comes_back_at(reader, out.path()).unwrap();
    let busy = more(&system, before, 6);

    let shapes =
        |retrievals: &[Value]| -> BTreeSet<String> { retrievals.iter().map(shape).collect() };
    assert_eq!(shapes(&idle), shapes(&busy));
    assert_eq!(shapes(&idle).len(), 1, "{:?}", shapes(&idle));
    for retrieval in idle.iter().chain(&busy) {
        assert_eq!(retrieval["queries"], QUERIES, "{retrieval}");
    }
    at_most_one_a_round(&idle, 2);
    at_most_one_a_round(&busy, 2);
    assert_eq!(system.events("stream").unwrap(), Vec::<Value>::new());

    // It did come from the cloud, and the services tell the same of it.
    let gateway = &reader.process;
    let wanted = figure(
        gateway,
        "harpo_gateway_round_queries_total{purpose=\"wanted\"}",
    );
    assert!(wanted >= 3.0, "{wanted} slots wanted");
    assert_eq!(
        figure(gateway, "harpo_gateway_fetches_total{source=\"stack\"}"),
        3.0
    );
    assert_eq!(
        figure(
            gateway,
            "harpo_gateway_failed_fetches_total{source=\"stack\"}"
        ),
        0.0
    );
    let idle_gateway = &system.hospitals[0].process;
    assert_eq!(
        figure(
            idle_gateway,
            "harpo_gateway_round_queries_total{purpose=\"wanted\"}"
        ),
        0.0
    );
    assert!(
        figure(
            idle_gateway,
            "harpo_gateway_rounds_total{outcome=\"answered\"}"
        ) >= 3.0
    );
    let logged = system.events("retrieval").unwrap().len() as f64;
    let hour = figure(
        &system.cloud,
        "harpo_cloud_recent_retrievals{window=\"hour\"}",
    );
    assert!(hour >= logged, "{hour} and {logged}");
    assert_eq!(
        figure(&system.trust, "harpo_trust_stack_slots{stack=\"1\"}"),
        32.0
    );
    assert_eq!(
        figure(&system.trust, "harpo_trust_stack_live_bundles{stack=\"1\"}"),
        3.0
    );
}

/// The entries of one kind in trust's audit log.
fn audited(system: &System, kind: &str) -> Vec<Value> {
    let dir = system.dir("trust");
    let lines = harpo(&["trust", "audit", "export", "--dir", text(&dir).unwrap()]).unwrap();
    let entries = lines.lines().map(|line| {
        let line: Value = serde_json::from_str(line).unwrap();
        serde_json::from_str::<Value>(line["entry"].as_str().unwrap()).unwrap()
    });
    entries.filter(|entry| entry["event"] == kind).collect()
}

#[test]
fn what_was_read_moves_to_a_new_generation_and_is_read_there() {
    let hospitals = ["St Anne", "Mercy Vale", "Holy Cross"];
    let mut system = System::start_with(&hospitals, &GIVE_BACK).unwrap();
    let out = tempfile::tempdir().unwrap();
    let sent = deposited(&system, &["CT_small.dcm"]);
    let kept = deposited(&system, &["MR_small.dcm"]);
    system.seal().unwrap();
    sent.comes_back_at(&system.hospitals[1], out.path())
        .unwrap();

    let live = "harpo_trust_stack_live_bundles{stack=\"1\"}";
    wait::until("what was read is in the open generation", || {
        let waiting = figure(
            &system.trust,
            "harpo_trust_cached_bundles{state=\"waiting\"}",
        );
        Ok((waiting == 1.0).then_some(()))
    })
    .unwrap();
    // From trust's cache meanwhile.
    assert_eq!(figure(&system.trust, live), 1.0);
    sent.comes_back_at(&system.hospitals[0], out.path())
        .unwrap();
    system.seal().unwrap();

    // Both lie in the one stack now, in different generations.
    let sealed = system.events("seal").unwrap();
    assert_eq!(sealed.len(), 2);
    let moved = audited(&system, "replaced");
    assert_eq!(moved.len(), 1, "{moved:?}");
    assert_eq!(moved[0]["from"], sealed[0]["generation"]);
    assert_eq!(moved[0]["to"], sealed[1]["generation"]);
    assert_eq!(figure(&system.trust, live), 2.0);
    let before = system.events("retrieval").unwrap().len();
    let last = &system.hospitals[2];
    sent.comes_back_at(last, out.path()).unwrap();
    kept.comes_back_at(last, out.path()).unwrap();
    let after = system.events("retrieval").unwrap().len();
    assert_eq!(after, before + 2);
    assert_eq!(
        figure(
            &last.process,
            "harpo_gateway_fetches_total{source=\"stack\"}"
        ),
        2.0
    );
}
