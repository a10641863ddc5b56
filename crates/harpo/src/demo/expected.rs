//! How many bytes a retrieval must move, by the formulas of the documentation and by nothing else: what the
//! demo measured is compared with this.

use anyhow::{Context as _, Result, bail};
use harpo_gateway::status::GenerationRow;
use harpo_gateway::store::FetchRow;
use serde::Serialize;

/// The largest part by which bytes may differ from the formulas.
const TOLERANCE: f64 = 0.02;
/// Magic, version, parameter set and digest before each query, hint and answer (oblivious-encoding 4 to 6).
const HEADER: u64 = 4 + 2 + 2 + 32;
/// Values are packed in rows of sixteen (oblivious-encoding 1.3).
const ROW: u64 = 16;
/// Most queries of a ticket (protocol 9.1).
const MOST_QUERIES: u64 = 64;

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

/// The numbers of queries of a bundle's tickets (protocol 9.1).
fn tickets(fragments: u64, cells_per_slot: u64) -> Vec<u64> {
    let slots = fragments.div_ceil(cells_per_slot);
    let mut tickets = vec![MOST_QUERIES; (slots / MOST_QUERIES) as usize];
    if !slots.is_multiple_of(MOST_QUERIES) {
        tickets.push((slots % MOST_QUERIES).next_power_of_two());
    }
    tickets
}

/// What the retrievals moved, bodies only, beside what the formulas say. `expected_*` come from the public figures
/// of the stack and the number of fragments, `difference_*` are relative to them.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Retrieval {
    /// Oblivious queries, dummies included; none where the whole stack was streamed.
    pub queries: u64,
    /// The classes of what was asked for.
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
    /// How often a broken connection was made anew; then more was moved than expected.
    pub resumed: u64,
}

impl Retrieval {
    /// Compares what `fetches` from the cloud moved, and the hints received, with the formulas.
    pub(crate) fn compare(
        fetches: &[&FetchRow],
        hint_bytes: u64,
        stack: &[GenerationRow],
        cells_per_slot: u64,
    ) -> Result<Self> {
        let sizes = Sizes::of(stack)?;
        let mut this = Self {
            hint_bytes,
            expected_hint: sizes.hints,
            ..Self::default()
        };
        for fetch in fetches {
            this.queries += fetch.queries;
            this.bytes_up += fetch.bytes_up;
            this.bytes_down += fetch.bytes_down;
            this.resumed += fetch.resumed;
            let tickets = tickets(fetch.fragments, cells_per_slot);
            if fetch.engine.as_deref() == Some("stream") {
                // Streamed (9.6): one ticket, every slot.
                this.expected_up += tickets.first().map_or(0, |queries| sizes.ticket(*queries));
                this.expected_down += sizes.bytes;
                continue;
            }
            for queries in tickets {
                this.expected_queries += queries;
                this.expected_up += sizes.ticket(queries) + queries * sizes.query;
                this.expected_down += queries * sizes.answer;
            }
        }
        this.difference_up = difference(this.bytes_up, this.expected_up);
        this.difference_down = difference(this.bytes_down, this.expected_down);
        this.difference_hint = difference(this.hint_bytes, this.expected_hint);
        Ok(this)
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
                "{} queries, and the documentation's classes say {}",
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
    fn bundles_cost_their_classes() {
        assert_eq!(tickets(1, 16), [1]);
        assert_eq!(tickets(16 * 5, 16), [8]);
        assert_eq!(tickets(16 * 64, 16), [64]);
        assert_eq!(tickets(16 * 130, 16), [64, 64, 2]);
    }

    #[test]
    fn more_bytes_than_the_formulas_say_fail() {
        let stack = [generation(64, 4 << 20, 4)];
        let sizes = Sizes::of(&stack).unwrap();
        let row = |queries: u64, up: u64, down: u64| -> FetchRow {
            let row = serde_json::json!({
                "number": 1, "source": "stack", "engine": if queries == 0 { "stream" } else { "ring" }, "at_ms": 0, "milliseconds": 0, "fragments": 50,
                "queries": queries, "stack_bytes": 0, "hint_bytes": 0, "bytes_up": up,
                "bytes_down": down, "resumed": 0, "outcome": "opened",
            });
            serde_json::from_value(row).unwrap()
        };
        let compare = |row: FetchRow, hint: u64| {
            Retrieval::compare(&[&row], hint, &stack, 16)
                .unwrap()
                .check()
        };
        let up = sizes.ticket(4) + 4 * 221_224;
        let down = 4 * 4_635_874;
        compare(row(4, up, down), 26_542_120).unwrap();
        compare(row(4, up + up / 100, down), 26_542_120).unwrap();
        assert!(compare(row(4, up + up / 40, down), 26_542_120).is_err());
        assert!(compare(row(4, up, down - down / 40), 26_542_120).is_err());
        assert!(compare(row(4, up, down), 2 * 26_542_120).is_err());
        assert!(compare(row(8, up, down), 26_542_120).is_err());
        // Streamed.
        compare(row(0, sizes.ticket(4), 64 << 22), 26_542_120).unwrap();
    }
}
