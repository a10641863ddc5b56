use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use harpo_cloud::events::{Event, EventLog};
use harpo_protocol::id::{GenerationId, Nonce, PartyId};
use harpo_protocol::retrieval::{Ticket, head};
use harpo_protocol::sign::SigningKey;
use rand_core::SeedableRng as _;
use serde_json::Value;

use super::*;
use crate::record::Why;
use crate::systems::System;

fn small() -> Scenario {
    Scenario {
        hospitals: 6,
        days: 12,
        ..Scenario::default()
    }
}

/// A run, and the lines of its log.
fn logged(settings: &Settings, scenario: &Scenario) -> (Run, Vec<u8>) {
    let mut lines = Vec::new();
    let run = simulate(settings, scenario, 5, Some(&mut lines)).unwrap();
    (run, lines)
}

fn events(lines: &[u8]) -> Vec<Event> {
    let text = std::str::from_utf8(lines).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// The product, and the two that differ most from it in what they write.
fn settings() -> Vec<Settings> {
    [System::Product, System::AtOnce, System::Exponential]
        .map(|system| system.settings().unwrap())
        .into()
}

#[test]
fn no_slot_is_written_twice_and_a_sealed_generation_is_whole() {
    for settings in settings() {
        let (_, lines) = logged(&settings, &small());
        let mut written: HashMap<GenerationId, HashSet<u32>> = HashMap::new();
        let mut sealed = HashSet::new();
        for event in events(&lines) {
            match event {
                Event::Write {
                    generation, slot, ..
                } => {
                    assert!(!sealed.contains(&generation));
                    assert!(written.entry(generation).or_default().insert(slot));
                }
                Event::Seal {
                    generation, slots, ..
                } => {
                    assert_eq!(written[&generation].len() as u32, slots);
                    assert!(sealed.insert(generation));
                }
                _ => {}
            }
        }
        assert!(sealed.len() > 10);
    }
}

#[test]
fn only_what_is_sealed_is_read_and_hints_come_before() {
    for settings in settings() {
        let (_, lines) = logged(&settings, &small());
        let mut sealed = HashSet::new();
        let (mut reads, mut last) = (0, Timestamp::EPOCH);
        for event in events(&lines) {
            let time = match event {
                Event::Seal {
                    generation, time, ..
                } => {
                    sealed.insert(generation);
                    time
                }
                Event::Retrieval { stack, time, .. } | Event::Stream { stack, time, .. } => {
                    assert!(!stack.is_empty() && stack.iter().all(|of| sealed.contains(of)));
                    reads += 1;
                    time
                }
                Event::Hint {
                    generation, time, ..
                } => {
                    assert!(sealed.contains(&generation));
                    time
                }
                Event::Write { time, .. } | Event::Retire { time, .. } => time,
                Event::Resumption { .. } => panic!("no connection breaks here"),
            };
            assert!(time >= last, "the log is in order");
            last = time;
        }
        assert!(reads > 50);
    }
}

/// The heart of rounds: one retrieval for each gateway and round, of the same number of queries.
#[test]
fn every_round_is_one_retrieval_of_the_same_shape_for_each_gateway() {
    let scenario = Scenario {
        emergencies: 0.0,
        ..small()
    };
    let settings = Settings::default();
    let Way::Rounds(rule) = settings.way else {
        panic!("the product has rounds")
    };
    let (run, _) = logged(&settings, &scenario);
    let Record { view, truth } = run.record;
    let mut rounds: BTreeMap<u64, BTreeSet<u16>> = BTreeMap::new();
    let mut whys = BTreeSet::new();
    for (fetch, read) in view.fetches.iter().zip(&truth.fetches) {
        assert_eq!(fetch.queries, rule.queries);
        assert_eq!(
            (fetch.peer, fetch.account, fetch.object),
            (None, None, None)
        );
        let round = rounds.entry(rule.number(fetch.time)).or_default();
        assert!(round.insert(read.hospital), "twice in a round");
        assert_eq!(read.bundles.is_empty(), read.why == Why::Cover);
        whys.insert(read.why);
    }
    assert_eq!(whys.len(), 4, "{whys:?}");
    // From the first seal on nothing is missing but what waited for a hint.
    let from = rule.number(view.seals[0].time) + 1;
    let all = (rule.number(scenario.end()) - from) * 6;
    let made: u64 = rounds
        .range(from..)
        .map(|(_, round)| round.len() as u64)
        .sum();
    // Some were left out in the round of the first seal, before that.
    assert!((all..=all + 6).contains(&(made + run.summary.rounds_skipped)));
    assert!(run.summary.rounds_skipped < all / 50);
    let length = |bytes: &BTreeSet<u64>| bytes.len();
    let down: BTreeSet<u64> = view.fetches.iter().map(|fetch| fetch.bytes_down).collect();
    assert_eq!(length(&down), 1, "answers have one length");
}

#[test]
fn whoever_wants_something_gets_it() {
    for settings in settings() {
        let (run, _) = logged(&settings, &small());
        let summary = run.summary;
        assert!(summary.read_from_cache > 0 && summary.read_locally > 0 && summary.ahead > 0);
        // A large study in an old stack takes several of its rounds.
        assert!(summary.open_longest < 86_400.0, "{summary:?}");
        assert!(summary.open_wants < 20, "{summary:?}");
    }
}

#[test]
fn what_was_read_is_placed_anew_and_no_copy_is_read_twice() {
    let (run, _) = logged(&Settings::default(), &small());
    assert!(run.summary.given_back > 10 && run.summary.brought_back > 10);
    assert!(run.summary.slots_replaced > 0);
    let left = System::NoReplacement.settings().unwrap();
    let (run, _) = logged(&left, &small());
    assert_eq!((run.summary.given_back, run.summary.brought_back), (0, 0));
    assert_eq!(run.summary.slots_replaced, 0);
    assert!(
        run.record
            .truth
            .uploads
            .iter()
            .all(|upload| !upload.replaced)
    );
}

#[test]
fn uploads_hold_what_was_deposited() {
    for settings in settings() {
        let (run, _) = logged(&settings, &small());
        let Record { view, truth } = run.record;
        let cells = u32::from(settings.trust.layout().cells_per_slot);
        let mut slots: HashMap<u32, u32> = HashMap::new();
        for (upload, written) in view.uploads.iter().zip(&truth.uploads) {
            for bundle in &written.bundles {
                assert!(truth.bundles[*bundle as usize].deposited <= upload.time);
                if !written.replaced {
                    *slots.entry(*bundle).or_default() += 1;
                }
            }
        }
        // Copies may share a slot with fresh bundles, and the last generations have not left or not wholly.
        let late = small().end() - Duration::from_secs(2 * 86_400);
        for (bundle, count) in slots {
            let bundle = &truth.bundles[bundle as usize];
            let all = bundle.fragments.div_ceil(cells) <= count + 1;
            assert!(all || bundle.deposited > late);
        }
    }
}

#[test]
fn a_seed_fixes_the_run() {
    let run = |seed| simulate(&Settings::default(), &small(), seed, None).unwrap();
    let (one, same, other) = (run(1), run(1), run(2));
    assert_eq!(one.record.view.uploads, same.record.view.uploads);
    assert_eq!(one.record.truth.fetches, same.record.truth.fetches);
    assert_ne!(one.record.view.uploads, other.record.view.uploads);
}

/// Kinds, names of fields and types, with one kind of number for every whole number.
fn form(line: &str) -> (String, BTreeMap<String, &'static str>) {
    let value: Value = serde_json::from_str(line).unwrap();
    let fields = value.as_object().unwrap();
    let kind = |value: &Value| match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(n) if n.is_u64() => "whole number",
        Value::Number(_) => "number",
        Value::String(text) if text.parse::<std::net::SocketAddr>().is_ok() => "address",
        Value::String(text) if text.parse::<GenerationId>().is_ok() => "identifier",
        Value::String(_) => "text",
        Value::Array(of) => match of.first() {
            Some(Value::String(text)) if text.parse::<GenerationId>().is_ok() => "identifiers",
            _ => "list",
        },
        Value::Object(_) => "object",
    };
    let of = fields
        .iter()
        .map(|(name, value)| (name.clone(), kind(value)));
    (value["event"].as_str().unwrap().to_owned(), of.collect())
}

/// The lines of a simulated log and those that the real cloud's own log writes have the same kinds, fields and types,
/// with a relay and without.
#[test]
fn simulated_and_real_logs_have_one_form() {
    let pass = Some(PartyId([3; 16]));
    for (system, pass) in [(System::Product, None), (System::NoRelay, pass)] {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("events.jsonl");
        let log = EventLog::open(&path).unwrap();
        for event in real_events(pass) {
            log.record(&event).unwrap();
        }
        let text = std::fs::read_to_string(&path).unwrap();
        let real: BTreeMap<_, _> = text.lines().map(form).collect();
        let (_, lines) = logged(&system.settings().unwrap(), &small());
        let mut kinds = BTreeSet::new();
        for line in std::str::from_utf8(&lines).unwrap().lines() {
            let (kind, fields) = form(line);
            assert_eq!(Some(&fields), real.get(&kind), "{line}");
            kinds.insert(kind);
        }
        for kind in ["write", "seal", "hint", "retrieval"] {
            assert!(kinds.contains(kind), "{kind} was not simulated");
        }
    }
}

/// As the cloud fills them, for gateways and for a relay.
fn real_events(pass: Option<PartyId>) -> Vec<Event> {
    let (time, generation) = (Timestamp(7), GenerationId([1; 16]));
    let peer = "192.0.2.1:50000".parse().unwrap();
    let (nonce, stack) = (Nonce([2; 16]), vec![generation]);
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
            nonce,
            stack: stack.clone(),
            queries: 4,
            bytes_up: 10,
            bytes_down: 20,
            peer,
            pass,
        },
        Event::Stream {
            time,
            nonce,
            stack,
            queries: 4,
            from: 0,
            bytes_up: 10,
            bytes_down: 20,
            peer,
            pass,
        },
    ]
}

/// What a retrieval moves is what a real one would: a signed ticket, its length, and queries of the ring engine.
#[test]
fn lengths_are_those_of_real_messages() {
    let (_, lines) = logged(&Settings::default(), &small());
    let mut rng = rand_chacha::ChaCha20Rng::from_seed([1; 32]);
    let key = SigningKey::generate(&mut rng).0;
    let trust = TrustConfig::default();
    let set = harpo_oblivious::Params::by_id(harpo_oblivious::ParamSetId(2)).unwrap();
    let layout = trust.layout();
    let shape =
        harpo_oblivious::Shape::new(layout.slots, layout.slot_bytes(), trust.interleave()).unwrap();
    let mut seen = BTreeSet::new();
    for event in events(&lines) {
        let Event::Retrieval {
            time,
            nonce,
            stack,
            queries,
            bytes_up,
            bytes_down,
            ..
        } = event
        else {
            continue;
        };
        assert_eq!(bytes_down, u64::from(queries) * shape.answer_bytes(set));
        if !seen.insert((stack.len(), queries)) {
            continue;
        }
        let generations = stack.len() as u64;
        let ticket = key.sign(&Ticket {
            nonce,
            generations: stack,
            queries,
            expires: time,
        });
        let up = bytes_up - head(&ticket).len() as u64;
        let of_query = up / u64::from(queries);
        assert_eq!(up % u64::from(queries), 0);
        let polynomials = shape.query_bytes(set) * generations;
        assert!(
            (polynomials..polynomials + 100).contains(&of_query),
            "{of_query} for {polynomials}"
        );
    }
    assert!(seen.len() > 2, "{seen:?}");
}

#[test]
fn the_view_of_a_log_is_the_same_read_again() {
    let (run, lines) = logged(&System::NoRelay.settings().unwrap(), &small());
    let view = Recorder::read(&events(&lines));
    assert_eq!(view.uploads, run.record.view.uploads);
    assert_eq!(view.seals, run.record.view.seals);
    assert_eq!(view.fetches, run.record.view.fetches);
    let peers: BTreeSet<_> = view.fetches.iter().map(|fetch| fetch.peer).collect();
    assert_eq!(peers.len(), 6);
}

#[test]
fn a_planted_leak_shows_in_parities_and_halves() {
    let settings = System::PlantedLeak.settings().unwrap();
    let Way::Rounds(rule) = settings.way else {
        panic!("the product has rounds")
    };
    let (run, _) = logged(&settings, &small());
    let Record { view, truth } = run.record;
    let bit = |bundle: u32| truth.bundles[bundle as usize].patient % 2;
    let (mut right, mut all) = (0, 0);
    for (upload, written) in view.uploads.iter().zip(&truth.uploads) {
        if let Some(bundle) = written.bundles.first() {
            right += u32::from(upload.slot % 2 == bit(*bundle));
            all += 1;
        }
    }
    assert!(f64::from(right) > 0.9 * f64::from(all), "{right} of {all}");
    for (fetch, read) in view.fetches.iter().zip(&truth.fetches) {
        let Some(bundle) = read.bundles.first() else {
            continue;
        };
        let into = fetch
            .time
            .since(rule.begins(rule.number(fetch.time)))
            .as_millis();
        if fetch.queries == rule.queries {
            let half = u32::from(into >= u128::from(rule.seconds) * 500);
            right += u32::from(half == bit(*bundle));
            all += 1;
        }
    }
    assert!(f64::from(right) > 0.9 * f64::from(all), "{right} of {all}");
}

#[test]
#[ignore = "prints what a season costs in each system"]
fn a_season() {
    for system in System::ALL {
        let run = system.run_whole(&Scenario::default(), 1).unwrap();
        let summary = Summary {
            waits: vec![],
            ..run.summary
        };
        println!("{}: {summary:#?}", system.name());
        let view = run.record.view;
        println!(
            "{} uploads, {} fetches",
            view.uploads.len(),
            view.fetches.len()
        );
    }
}
