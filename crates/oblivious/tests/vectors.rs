//! The engine against vectors that an independent program computed (`vectors/README.md`), through the public interface.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by panicking"
)]

use std::process::Command;

use harpo_oblivious::{
    Answer, Choice, Encoded, Error, GenerationInfo, Hint, ParamSetId, Params, PartialAnswer, Query,
    Secret, Seed, Shape, Stack, StackHint, answer, client,
};

#[path = "vectors/format.rs"]
mod format;
use format::{Case, Clear, Document, Exchange, StackVector, Tape, stream};

const DOCUMENTS: &[(&str, &str)] = &[
    ("set1.json", include_str!("../vectors/set1.json")),
    ("set2.json", include_str!("../vectors/set2.json")),
];

fn documents() -> impl Iterator<Item = (&'static str, Document)> {
    DOCUMENTS
        .iter()
        .map(|(name, text)| (*name, serde_json::from_str(text).unwrap()))
}

/// A stack of the vectors, sealed by the engine.
struct World {
    stack: Stack,
    encoded: Vec<Encoded>,
    hints: Vec<Hint>,
}

impl World {
    fn new(params: ParamSetId, vector: &StackVector) -> Self {
        let encoded: Vec<Encoded> = vector
            .generations
            .iter()
            .map(|generation| {
                let info = GenerationInfo {
                    params,
                    shape: Shape::new(generation.slots, vector.slot_bytes, vector.interleave)
                        .unwrap(),
                    seed: Seed((*generation.seed).try_into().unwrap()),
                };
                assert_eq!(info.digest(), *generation.digest);
                let slots: Vec<Vec<u8>> = (0..generation.slots)
                    .map(|slot| {
                        let name = format!("{}{slot}", generation.slots_stream);
                        stream(&name, vector.slot_bytes as usize)
                    })
                    .collect();
                Encoded::of_slots(&info, &slots).unwrap()
            })
            .collect();
        let stack = Stack::new(encoded.iter().map(|e| *e.info()).collect()).unwrap();
        assert_eq!(stack.digest(), *vector.digest);
        let hints = encoded.iter().map(Encoded::hint).collect();
        World {
            stack,
            encoded,
            hints,
        }
    }

    fn answer(&self, query: Query) -> Answer {
        let encoded: Vec<&Encoded> = self.encoded.iter().collect();
        answer(&self.stack, &encoded, &[query]).unwrap().remove(0)
    }

    /// Makes the query of `vector` from its randomness.
    fn query(&self, vector: &Exchange) -> (Secret, Query) {
        let choice = match &vector.choice {
            Some(choice) => Choice::Slot {
                generation: choice.generation,
                slot: choice.slot,
            },
            None => Choice::Dummy,
        };
        let mut tape = Tape::new(&vector.randomness);
        let made = client::query(&self.stack, choice, &mut tape).unwrap();
        assert!(tape.is_empty(), "{}: randomness is left over", vector.name);
        made
    }

    /// What one generation adds to the answer.
    fn partial_answer(&self, query: &Query, generation: usize) -> PartialAnswer {
        let mut sums = [PartialAnswer::new(&self.stack)];
        let part = query.part(&self.stack, generation).unwrap();
        self.encoded[generation]
            .accumulate(&[part], &mut sums)
            .unwrap();
        let [sum] = sums;
        sum
    }

    fn check_partial_answers(&self, name: &str, query: &Query, exchange: &Exchange) {
        let mut sum = PartialAnswer::new(&self.stack);
        for (number, expected) in exchange.partial_answers.iter().flatten().enumerate() {
            let bytes = self.partial_answer(query, number).to_bytes();
            expected.check(&format!("{name}, partial answer {number}"), &bytes);
            let read = PartialAnswer::from_bytes(&self.stack, &bytes).unwrap();
            sum.merge(&read).unwrap();
        }
        if exchange.partial_answers.is_some() {
            let answer = sum.finish().unwrap();
            assert!(
                answer == self.answer(query.clone()),
                "{name}: added up elsewhere"
            );
        }
    }

    /// The objects whose bytes the bad cases change.
    fn dummy(&self, vector: &StackVector) -> (Vec<u8>, Vec<u8>, Vec<u8>) {
        let dummy = vector.exchanges().find(|e| e.name == "dummy").unwrap();
        let (_, query) = self.query(dummy);
        let partial = self.partial_answer(&query, 0).to_bytes();
        (query.to_bytes(), self.answer(query).to_bytes(), partial)
    }
}

/// Calls `check` with every stack of every document.
fn for_each_stack(mut check: impl FnMut(&str, &World, &StackVector)) {
    let mut stacks = 0;
    for (file, document) in documents() {
        for vector in &document.stacks {
            let world = World::new(ParamSetId(document.parameters.number), vector);
            check(&format!("{file}, {}", vector.name), &world, vector);
            stacks += 1;
        }
    }
    assert!(stacks >= 3 * DOCUMENTS.len(), "{stacks} stacks");
}

#[test]
fn the_parameters_are_those_of_the_vectors() {
    let tested: Vec<u16> = documents().map(|(_, d)| d.parameters.number).collect();
    let known: Vec<u16> = Params::table().iter().map(|p| p.id.0).collect();
    assert_eq!(tested, known, "each parameter set has its vectors");
    for (_, document) in documents() {
        let expected = &document.parameters;
        let params = Params::by_id(ParamSetId(expected.number)).unwrap();
        assert_eq!(params.degree, expected.n);
        assert_eq!(params.primes.to_vec(), expected.primes);
        assert_eq!(params.plaintext_bits, expected.plaintext_bits);
        assert_eq!(params.eta, expected.eta);
        assert_eq!(params.hint_drop, expected.hint_drop);
        assert_eq!(params.hint_bits(), expected.hint_bits);
        assert_eq!(params.answer_bits, expected.answer_bits);
        assert_eq!(params.max_polys, expected.most_polys);
    }
}

#[test]
fn hints_are_those_of_the_vectors() {
    for_each_stack(|name, world, vector| {
        for (number, (hint, generation)) in world.hints.iter().zip(&vector.generations).enumerate()
        {
            let bytes = hint.to_bytes();
            generation
                .hint
                .check(&format!("{name}, hint of generation {number}"), &bytes);
            assert_eq!(&Hint::from_bytes(hint.generation(), &bytes).unwrap(), hint);
        }
    });
}

#[test]
fn public_polynomials_are_those_of_the_vectors() {
    // With s = 1 and no errors, a dummy's polynomials are the public ones.
    for_each_stack(|name, world, vector| {
        let probe = vector.exchanges().find(|e| e.answer.is_none()).unwrap();
        let bytes = world.query(probe).1.to_bytes();
        let polys: Vec<_> = vector.generations.iter().flat_map(|g| &g.public).collect();
        let each = bytes[40..].chunks_exact((bytes.len() - 40) / polys.len());
        assert_eq!(each.len(), polys.len());
        for (j, (public, bytes)) in polys.iter().zip(each).enumerate() {
            public.check(&format!("{name}, public polynomial {j}"), bytes);
        }
    });
}

#[test]
fn queries_answers_and_slots_are_those_of_the_vectors() {
    for_each_stack(|name, world, vector| {
        let sum = StackHint::sum(&world.stack, &world.hints).unwrap();
        for exchange in vector.exchanges() {
            let name = format!("{name}, {}", exchange.name);
            let (secret, query) = world.query(exchange);
            let bytes = query.to_bytes();
            exchange.query.check(&format!("{name}, query"), &bytes);
            assert_eq!(Query::from_bytes(&world.stack, &bytes).unwrap(), query);
            let (Some(expected), Some(slot)) = (&exchange.answer, &exchange.slot) else {
                continue;
            };
            world.check_partial_answers(&name, &query, exchange);
            let bytes = world.answer(query).to_bytes();
            expected.check(&format!("{name}, answer"), &bytes);
            let answer = Answer::from_bytes(&world.stack, &bytes).unwrap();
            let decoded = secret.decode(&sum, &answer).unwrap();
            slot.check(&format!("{name}, slot"), &decoded);
            if let Some(choice) = &exchange.choice {
                let generation = &vector.generations[choice.generation];
                let label = format!("{}{}", generation.slots_stream, choice.slot);
                assert_eq!(decoded, stream(&label, decoded.len()), "{name}");
            }
        }
    });
}

#[test]
fn answers_to_queries_in_the_clear_are_those_of_the_vectors() {
    for_each_stack(|name, world, vector| {
        for Clear {
            name: which,
            from_zeros,
            query,
            answer,
        } in vector.clear()
        {
            let name = format!("{name}, {which}");
            let mut bytes = world.query(vector.exchanges().next().unwrap()).1.to_bytes();
            bytes[40..].fill(0);
            let bytes = format::mutate(bytes, from_zeros);
            query.check(&format!("{name}, query"), &bytes);
            let query = Query::from_bytes(&world.stack, &bytes).unwrap();
            answer.check(&format!("{name}, answer"), &world.answer(query).to_bytes());
        }
    });
}

#[test]
fn bad_bytes_are_refused_as_the_vectors_say() {
    let mut refused = 0;
    for_each_stack(|name, world, vector| {
        let (query, answer, partial) = world.dummy(vector);
        for case in &vector.bad.objects {
            let name = format!("{name}, {}: {}", case.object, case.name);
            let good = match case.object.as_str() {
                "query" => query.clone(),
                "answer" => answer.clone(),
                "partial answer" => partial.clone(),
                "hint" => world.hints[case.of].to_bytes(),
                other => panic!("there is no object {other}"),
            };
            let bytes = format::mutate(good, &case.changes);
            case.bytes.check(&name, &bytes);
            let outcome = read(&world.stack, case, &bytes);
            assert_eq!(
                outcome.as_ref().err().map(kind),
                case.expect.as_deref(),
                "{name}"
            );
            match outcome {
                Ok(back) => assert!(back == bytes, "{name} is written back differently"),
                Err(_) => refused += 1,
            }
        }
    });
    assert!(refused > 100, "{refused} bad cases");
}

/// Reads the bytes of a case and writes them back.
fn read(stack: &Stack, case: &Case, bytes: &[u8]) -> Result<Vec<u8>, Error> {
    match case.object.as_str() {
        "query" => Query::from_bytes(stack, bytes).map(|q| q.to_bytes()),
        "answer" => Answer::from_bytes(stack, bytes).map(|a| a.to_bytes()),
        "partial answer" => PartialAnswer::from_bytes(stack, bytes).map(|p| p.to_bytes()),
        _ => Hint::from_bytes(&stack.generations()[0], bytes).map(|h| h.to_bytes()),
    }
}

#[test]
fn bad_choices_and_sums_are_refused_as_the_vectors_say() {
    for_each_stack(|name, world, vector| {
        for choice in &vector.bad.choices {
            let (generation, slot) = (choice.generation, choice.slot);
            let mut tape = Tape::new(&[]);
            let outcome = client::query(&world.stack, Choice::Slot { generation, slot }, &mut tape);
            assert_eq!(
                outcome.err().as_ref().map(kind),
                Some(choice.expect.as_str()),
                "{name}"
            );
        }
        let (query, ..) = world.dummy(vector);
        let query = Query::from_bytes(&world.stack, &query).unwrap();
        for sum in &vector.bad.sums {
            let hints: Vec<Hint> = sum
                .generations
                .iter()
                .map(|g| world.hints[*g].clone())
                .collect();
            let outcome = StackHint::sum(&world.stack, &hints).err();
            assert_eq!(
                outcome.as_ref().map(kind),
                Some(sum.expect.as_str()),
                "{name}: hints"
            );
            let outcome = partial_sum(world, &query, &sum.generations).err();
            assert_eq!(
                outcome.as_ref().map(kind),
                Some(sum.expect.as_str()),
                "{name}: answers"
            );
        }
    });
}

fn partial_sum(world: &World, query: &Query, generations: &[usize]) -> Result<Answer, Error> {
    let mut sum = [PartialAnswer::new(&world.stack)];
    for generation in generations {
        let part = query.part(&world.stack, *generation)?;
        world.encoded[*generation].accumulate(&[part], &mut sum)?;
    }
    let [sum] = sum;
    sum.finish()
}

#[test]
fn stacks_are_accepted_and_refused_as_the_vectors_say() {
    for (file, document) in documents() {
        for case in &document.stack_cases {
            let outcome = case.infos().and_then(Stack::new);
            let found = outcome.as_ref().err().map(kind);
            assert_eq!(found, case.expect.as_deref(), "{file}, {}", case.name);
        }
    }
}

/// The word that the vectors use for a refusal.
fn kind(error: &Error) -> &'static str {
    match error {
        Error::UnknownParams(_) => "UnknownParams",
        Error::BadShape(_) => "BadShape",
        Error::BadStack(_) => "BadStack",
        Error::TooManyPolys { .. } => "TooManyPolys",
        Error::TooNoisy { .. } => "TooNoisy",
        Error::Malformed { .. } => "Malformed",
        Error::WrongStack { .. } => "WrongStack",
        Error::AddedTwice { .. } => "AddedTwice",
        Error::Incomplete { .. } => "Incomplete",
        Error::NoSuchSlot => "NoSuchSlot",
        _ => "another",
    }
}

#[test]
fn the_committed_vectors_are_what_the_script_computes() {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/vectors/make.py");
    match Command::new("python3").args([script, "--check"]).output() {
        Ok(output) => assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        ),
        Err(error) => eprintln!("NOT CHECKED: python3 cannot be run: {error}"),
    }
}
