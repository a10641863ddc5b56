//! Tickets, and the shape of a retrieval (docs/protocol.md 9).

use serde::{Deserialize, Serialize};

use crate::Malformed;
use crate::id::{GenerationId, Nonce};
use crate::sign::{Signed, Statement};
use crate::time::Timestamp;

/// Most queries that one ticket buys.
pub const MAX_QUERIES: u32 = 64;
/// Most bytes of a ticket in a retrieval.
pub const MAX_TICKET_BYTES: usize = 256 << 10;

/// A one-time permission for a retrieval of a given shape (9.1).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ticket {
    /// Spent once.
    pub nonce: Nonce,
    /// The generations that every query covers, in stack order.
    pub generations: Vec<GenerationId>,
    /// Number of queries: a class, not what is needed.
    pub queries: u32,
    /// Not accepted afterwards.
    pub expires: Timestamp,
}

impl Statement for Ticket {
    const KIND: &'static str = "ticket";
}

/// The numbers of queries of the tickets that `slots` slots need (9.1): full tickets, then one of
/// the next power of two.
///
/// ```
/// use harpo_protocol::retrieval::classes;
/// assert_eq!(classes(1), [1]);
/// assert_eq!(classes(5), [8]);
/// assert_eq!(classes(130), [64, 64, 2]);
/// ```
pub fn classes(slots: u32) -> Vec<u32> {
    let full = slots / MAX_QUERIES;
    let rest = slots % MAX_QUERIES;
    let mut classes = vec![MAX_QUERIES; full as usize];
    if rest > 0 {
        classes.push(rest.next_power_of_two());
    }
    classes
}

/// Puts a ticket before the queries of a retrieval's body (9.2).
pub fn head(ticket: &Signed<Ticket>) -> Vec<u8> {
    let json = ticket.to_json().into_bytes();
    #[expect(
        clippy::expect_used,
        reason = "a ticket names at most a few thousand generations"
    )]
    let length = u32::try_from(json.len()).expect("a ticket under 4 GiB");
    [&length.to_be_bytes(), json.as_slice()].concat()
}

/// Length of the ticket, from the first four bytes of a body (9.2).
pub fn ticket_length(head: [u8; 4]) -> Result<usize, Malformed> {
    let length = u32::from_be_bytes(head) as usize;
    if length > MAX_TICKET_BYTES {
        return Err(Malformed::new(
            "retrieval",
            format!("a ticket of {length} bytes, more than {MAX_TICKET_BYTES}"),
        ));
    }
    Ok(length)
}

/// Splits a body into ticket and queries (9.2).
pub fn split(body: &[u8]) -> Result<(Signed<Ticket>, &[u8]), Malformed> {
    let short = || Malformed::new("retrieval", "it ends within the ticket");
    let (head, rest) = body.split_first_chunk::<4>().ok_or_else(short)?;
    let (ticket, queries) = rest
        .split_at_checked(ticket_length(*head)?)
        .ok_or_else(short)?;
    let ticket = std::str::from_utf8(ticket).map_err(|_| Malformed::new("ticket", "not UTF-8"))?;
    Ok((Signed::from_json(ticket)?, queries))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rand_core::SeedableRng as _;

    use super::*;
    use crate::sign::SigningKey;

    #[test]
    fn classes_cover_what_is_needed_and_tell_only_the_class() {
        for slots in 1..1000 {
            let classes = classes(slots);
            let total: u32 = classes.iter().sum();
            assert!(
                total >= slots && total < 2 * slots.max(1),
                "{slots}: {classes:?}"
            );
            assert!(
                classes
                    .iter()
                    .all(|c| c.is_power_of_two() && *c <= MAX_QUERIES)
            );
        }
        assert_eq!(classes(33), classes(64));
    }

    #[test]
    fn bodies_split_where_they_were_joined() {
        let key = SigningKey::generate(&mut rand_chacha::ChaCha20Rng::from_seed([1; 32])).0;
        let ticket = key.sign(&Ticket {
            nonce: Nonce([1; 16]),
            generations: vec![],
            queries: 2,
            expires: Timestamp(5),
        });
        let body = [head(&ticket).as_slice(), b"queries"].concat();
        assert_eq!(split(&body).unwrap(), (ticket, b"queries".as_slice()));
        for cut in 0..body.len() - b"queries".len() {
            assert!(split(&body[..cut]).is_err());
        }
    }

    proptest! {
        #[test]
        fn hostile_bodies_are_refused_without_panic(body in prop::collection::vec(any::<u8>(), 0..300)) {
            prop_assert!(split(&body).is_err());
        }
    }
}
