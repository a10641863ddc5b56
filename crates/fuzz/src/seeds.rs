//! Where fuzzing begins: a few small good inputs for each target.

use harpo_oblivious::Params;
use harpo_protocol::fragment;
use harpo_protocol::pack::Writer;
use harpo_protocol::retrieval::head;

use crate::{capsule, certificates, content, ring, samples, sealed};

/// One input.
pub struct Seed {
    /// Name of the target that it is for.
    pub target: &'static str,
    /// Name of the file.
    pub name: String,
    /// What is in it.
    pub bytes: Vec<u8>,
}

/// All of them. The same in every run, but for certificates, whose keys are fresh.
pub fn seeds() -> Vec<Seed> {
    let mut seeds = Vec::new();
    let mut add = |target, name: &str, bytes: Vec<u8>| {
        seeds.push(Seed {
            target,
            name: name.to_owned(),
            bytes,
        });
    };
    for (index, stack) in ring::stacks().iter().enumerate() {
        let (query, answer, parts) = ring::exchange(stack);
        let generations = stack.generations().len();
        let set = stack.params().id.0;
        let name = format!("set{set}_generations{generations}");
        add("query", &name, query.to_bytes());
        add("answer", &name, answer.to_bytes());
        add("partial_answer", &name, parts[0].to_bytes());
        if index == 0 {
            let body = [head(&samples::signed_ticket()), query.to_bytes()].concat();
            add("retrieval", "one_query", body);
        }
    }
    for params in Params::table() {
        let hint = ring::sealed_hint(&ring::info(params.id, 3));
        add("hint", &format!("set{}", params.id.0), hint.to_bytes());
    }
    add("retrieval", "ticket", head(&samples::signed_ticket()));
    for (name, text) in samples::messages() {
        add("message", name, text.into_bytes());
    }
    for (name, text) in samples::messages() {
        if name == "stack" {
            add("stack", "one_generation", text.into_bytes());
        }
    }
    for (name, text) in samples::signed() {
        add("signed", name, text.into_bytes());
    }
    for (name, text) in TEXTS {
        add("text", name, text.as_bytes().to_vec());
    }
    sealed_seeds(&mut add);
    for (name, bytes) in capsule::seeds() {
        add("capsule", name, bytes);
    }
    for (target, name, bytes) in certificates::seeds() {
        add(target, name, bytes);
    }
    for (target, name, bytes) in content::seeds() {
        add(target, &name, bytes);
    }
    seeds
}

const TEXTS: &[(&str, &str)] = &[
    ("id", "000102030405060708090a0b0c0d0e0f"),
    (
        "digest",
        "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f",
    ),
    ("moment", "2026-01-31T12:00:00.250Z"),
    ("moment_elsewhere", "2026-01-31T12:00:00+05:30"),
    ("purpose", "HRESCH"),
    ("role", "gateway"),
    ("obligation", "second-review"),
    ("uid", "1.2.840.10008.5.1.4.1.1.2"),
    (
        "code",
        "harpo1-AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8gISIjJCUmJygpKissLS4v",
    ),
];

fn sealed_seeds(add: &mut impl FnMut(&'static str, &str, Vec<u8>)) {
    // Head, tail, body, and pixels that the body does not code.
    type Parts = (&'static [u8], &'static [u8], &'static [u8], u32);
    let instances: [Parts; 3] = [
        (&[0; 500], b"tail", b"body", 1000),
        (b"whole", b"", b"", 0),
        (b"", b"", b"", 0),
    ];
    for (name, instances) in [("three_instances", &instances[..]), ("empty", &[])] {
        let mut writer = Writer::new(Vec::new(), Vec::new()).unwrap();
        let mut input = vec![instances.len() as u8];
        for (head, tail, body, more) in instances {
            writer.append(head, tail, 2, body).unwrap();
            let stored = (head.len() + tail.len() + body.len()) as u32;
            input.extend_from_slice(&(stored + more).to_le_bytes());
        }
        let attestation = samples::key().sign(&samples::attestation());
        let parts = writer.finish(&attestation).unwrap();
        let padding = vec![0; 9];
        let pack = [input, parts.front, parts.heads, parts.bodies, padding];
        add("pack", name, pack.concat());
    }

    for (name, last) in [("first", false), ("last", true)] {
        let chunk = b"chunk".to_vec();
        let (key, layout) = (sealed::content_key(), sealed::LAYOUT);
        let sealed = fragment::seal(&key, sealed::BUNDLE, 1, last, chunk, &layout).unwrap();
        add("fragment", name, [vec![1, u8::from(last)], sealed].concat());
    }
    let mut cell = b"fragment".to_vec();
    harpo_protocol::cell::seal_cell(&sealed::placement_key(), sealed::PLACE, &mut cell).unwrap();
    add("cell", "short", cell);
    let wrapped = serde_json::to_vec(&samples::wrapped()).unwrap();
    add("wrapped", "secret", wrapped);
    let key = sealed::opening_key().sealing_key().to_bytes();
    add("sealing_key", "key", key);
}
