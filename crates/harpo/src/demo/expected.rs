//! How many bytes retrievals must move, by the formulas of the documentation and by nothing else: what the cloud's log
//! has of them is compared with this.

use anyhow::{Context as _, Result, bail};
use harpo_cloud::events::Event;
use harpo_gateway::status::GenerationRow;
use serde::Serialize;

/// The largest part by which bytes may differ from the formulas.
const TOLERANCE: f64 = 0.02;
/// Magic, version, parameter set and digest before each query, hint and answer (oblivious-encoding 4 to 6).
const HEADER: u64 = 4 + 2 + 2 + 32;
/// Values are packed in rows of sixteen (oblivious-encoding 1.3).
const ROW: u64 = 16;

/// A line of the table of parameter sets (oblivious-encoding 2).
struct ParameterSet {
    number: u16,
    /// n.
    degree: u64,
    /// Primes, of 27 bits each.
    primes: u64,
    /// Bits that a coefficient carries.
    plaintext_bits: u64,
    /// Bits that an answer keeps of a coefficient.
    answer_bits: u64,
    /// Bits that a hint keeps of a coefficient.
    hint_bits: u64,
}

const PARAMETER_SETS: [ParameterSet; 2] = [
    ParameterSet {
        number: 1,
        degree: 2048,
        primes: 2,
        plaintext_bits: 19,
        answer_bits: 21,
        hint_bits: 30,
    },
    ParameterSet {
        number: 2,
        degree: 4096,
        primes: 3,
        plaintext_bits: 32,
        answer_bits: 34,
        hint_bits: 44,
    },
];

/// Sizes that follow from a stack's public figures.
struct Sizes {
    query: u64,
    answer: u64,
    hints: u64,
    generations: u64,
    bytes: u64,
}

impl Sizes {
    fn of(stack: &[GenerationRow]) -> Result<Self> {
        let first = stack.first().context("the gateway holds no hints")?;
        let set = PARAMETER_SETS
            .iter()
            .find(|set| set.number == first.parameter_set)
            .with_context(|| format!("no formulas for parameter set {}", first.parameter_set))?;
        let interleave = u64::from(first.interleave);
        // 3.2: symbols of a slot, in rows, in blocks.
        let symbols = (u64::from(first.slot_bytes) * 8).div_ceil(set.plaintext_bits);
        let rows = symbols.div_ceil(ROW);
        let blocks = rows.div_ceil(set.degree / interleave);
        // 4.1: all residues of each polynomial.
        let polynomials = stack
            .iter()
            .map(|g| u64::from(g.slots).div_ceil(interleave));
        let polynomial = set.degree * set.primes * 27 / 8;
        // 5.2: one row for each coefficient of each block.
        let hint = HEADER + blocks * set.degree * ROW * set.hint_bits / 8;
        Ok(Self {
            query: HEADER + polynomials.sum::<u64>() * polynomial,
            // 6.3: the slot's rows.
            answer: HEADER + rows * ROW * set.answer_bits / 8,
            hints: hint * stack.len() as u64,
            generations: stack.len() as u64,
            bytes: stack
                .iter()
                .map(|g| u64::from(g.slots) * u64::from(g.slot_bytes))
                .sum(),
        })
    }

    /// A ticket and what stands before it (protocol 9.2): its length, and a signed statement (1.5) in JSON.
    fn ticket(&self, queries: u64) -> u64 {
        let generations = vec!["0".repeat(32); self.generations as usize];
        let payload = serde_json::json!({
            "nonce": "0".repeat(32),
            "generations": generations,
            "queries": queries,
            "expires": 1_800_000_000_000_u64,
        });
        let signed = serde_json::json!({
            "payload": "0".repeat(payload.to_string().len().div_ceil(3) * 4),
            "signature": "0".repeat(64_usize.div_ceil(3) * 4),
            "signer": "0".repeat(64),
        });
        4 + signed.to_string().len() as u64
    }
}

/// What all retrievals moved, bodies only, as the cloud logged it, beside what the formulas say. `expected_*` come from
/// the public figures of the stack and the network's rule, `difference_*` are relative to them.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Retrieval {
    /// Retrievals of both gateways, whoever read.
    pub retrievals: u64,
    /// Oblivious queries, dummies included; none where the whole stack was streamed.
    pub queries: u64,
    /// Those of the rule.
    pub expected_queries: u64,
    /// To the cloud.
    pub bytes_up: u64,
    /// Tickets and queries.
    pub expected_up: u64,
    /// Of the two.
    pub difference_up: f64,
    /// From the cloud.
    pub bytes_down: u64,
    /// Answers.
    pub expected_down: u64,
    /// Of the two.
    pub difference_down: f64,
    /// Of all hints, fetched once, before.
    pub hint_bytes: u64,
    /// One for each generation.
    pub expected_hint: u64,
    /// Of the two.
    pub difference_hint: f64,
    /// How often a broken connection was made anew; what moved again is not counted.
    pub resumed: u64,
}

impl Retrieval {
    /// Compares what the cloud logged of retrievals of `queries` each, and the hints that a gateway received, with the
    /// formulas.
    pub(crate) fn compare(
        log: &[Event],
        queries: u64,
        hint_bytes: u64,
        stack: &[GenerationRow],
    ) -> Result<Self> {
        let sizes = Sizes::of(stack)?;
        let mut this = Self {
            hint_bytes,
            expected_hint: sizes.hints,
            ..Self::default()
        };
        for event in log {
            match event {
                Event::Retrieval {
                    queries: asked,
                    bytes_up,
                    bytes_down,
                    ..
                } => {
                    this.moved(*bytes_up, *bytes_down);
                    this.queries += u64::from(*asked);
                    this.expected_queries += queries;
                    this.expected_up += sizes.ticket(queries) + queries * sizes.query;
                    this.expected_down += queries * sizes.answer;
                }
                // Streamed (9.6): one ticket, every slot.
                Event::Stream {
                    from: 0,
                    bytes_up,
                    bytes_down,
                    ..
                } => {
                    this.moved(*bytes_up, *bytes_down);
                    this.expected_up += sizes.ticket(queries);
                    this.expected_down += sizes.bytes;
                }
                Event::Resumption { .. } | Event::Stream { .. } => this.resumed += 1,
                _ => {}
            }
        }
        this.difference_up = difference(this.bytes_up, this.expected_up);
        this.difference_down = difference(this.bytes_down, this.expected_down);
        this.difference_hint = difference(this.hint_bytes, this.expected_hint);
        Ok(this)
    }

    fn moved(&mut self, up: u64, down: u64) {
        self.retrievals += 1;
        self.bytes_up += up;
        self.bytes_down += down;
    }

    /// Fails if anything is not what the formulas say.
    pub(crate) fn check(&self) -> Result<()> {
        let compared = [
            (
                "bytes to the cloud",
                self.bytes_up,
                self.expected_up,
                self.difference_up,
            ),
            (
                "bytes from the cloud",
                self.bytes_down,
                self.expected_down,
                self.difference_down,
            ),
            (
                "bytes of hints",
                self.hint_bytes,
                self.expected_hint,
                self.difference_hint,
            ),
        ];
        for (what, measured, expected, difference) in compared {
            if difference >= TOLERANCE {
                bail!("{measured} {what}, and the documentation's formulas say {expected}");
            }
        }
        if self.queries != self.expected_queries {
            bail!(
                "{} queries, and the network's rounds say {}",
                self.queries,
                self.expected_queries
            );
        }
        Ok(())
    }
}

fn difference(measured: u64, expected: u64) -> f64 {
    measured.abs_diff(expected) as f64 / (expected as f64).max(1.0)
}

#[cfg(test)]
mod tests {
    use harpo_protocol::id::{GenerationId, Nonce};
    use harpo_protocol::retrieval::{Ticket, head};
    use harpo_protocol::sign::SigningKey;
    use harpo_protocol::time::Timestamp;

    use super::*;

    fn generation(slots: u32, slot_bytes: u32, interleave: u32) -> GenerationRow {
        GenerationRow {
            parameter_set: 1,
            slots,
            slot_bytes,
            interleave,
            hint_bytes: 0,
        }
    }

    /// The table of oblivious-encoding 10.
    #[test]
    fn sizes_are_those_of_the_documentation() {
        let table = [
            (64, 4, 221_224, 26_542_120),
            (512, 8, 884_776, 53_084_200),
            (2048, 16, 1_769_512, 106_045_480),
            (16_384, 64, 3_538_984, 423_936_040),
        ];
        for (slots, interleave, query, hint) in table {
            let sizes = Sizes::of(&[generation(slots, 4 << 20, interleave)]).unwrap();
            assert_eq!((sizes.query, sizes.hints), (query, hint), "{slots} slots");
            assert_eq!(sizes.answer, 4_635_874);
        }
        let unknown = GenerationRow {
            parameter_set: 99,
            ..generation(64, 4096, 4)
        };
        assert!(Sizes::of(&[unknown]).is_err());
        assert!(Sizes::of(&[]).is_err());
    }

    #[test]
    fn a_ticket_has_the_length_that_was_counted() {
        let key = SigningKey::from_seed(&[1; 32]);
        for generations in [1, 2, 30] {
            let ticket = Ticket {
                nonce: Nonce([0xab; 16]),
                generations: vec![GenerationId([1; 16]); generations],
                queries: 16,
                expires: Timestamp(1_791_234_567_890),
            };
            let stack = vec![generation(64, 4096, 4); generations];
            let counted = Sizes::of(&stack).unwrap().ticket(16);
            assert_eq!(counted, head(&key.sign(&ticket)).len() as u64);
        }
    }

    #[test]
    fn more_bytes_than_the_formulas_say_fail() {
        let stack = [generation(64, 4 << 20, 4)];
        let sizes = Sizes::of(&stack).unwrap();
        let event = |kind: &str, queries: u64, up: u64, down: u64| -> Event {
            let mut event = serde_json::json!({
                "event": kind, "time": 1_800_000_000_000_u64, "nonce": "00".repeat(16), "stack": [],
                "queries": queries, "bytes_up": up, "bytes_down": down, "peer": "127.0.0.1:9",
                "pass": "00".repeat(16),
            });
            if kind == "stream" {
                event["from"] = 0.into();
            }
            serde_json::from_value(event).unwrap()
        };
        let compare = |log: &[Event], hint: u64| {
            let compared = Retrieval::compare(log, 4, hint, &stack).unwrap();
            compared.check().map(|()| compared.retrievals)
        };
        let up = sizes.ticket(4) + 4 * 221_224;
        let down = 4 * 4_635_874;
        let hint = 26_542_120;
        let good = event("retrieval", 4, up, down);
        assert_eq!(compare(&[good.clone(), good.clone()], hint).unwrap(), 2);
        compare(&[event("retrieval", 4, up + up / 100, down)], hint).unwrap();
        assert!(compare(&[event("retrieval", 4, up + up / 40, down)], hint).is_err());
        assert!(compare(&[event("retrieval", 4, up, down - down / 40)], hint).is_err());
        assert!(compare(&[good], 2 * hint).is_err());
        assert!(compare(&[event("retrieval", 8, up, down)], hint).is_err());
        compare(&[event("stream", 4, sizes.ticket(4), 64 << 22)], hint).unwrap();
        assert!(compare(&[event("stream", 4, sizes.ticket(4), 62 << 22)], hint).is_err());
    }
}
