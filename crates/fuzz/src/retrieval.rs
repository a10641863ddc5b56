//! The body of a retrieval (docs/protocol.md 9.2), which the cloud reads from strangers.

use harpo_protocol::retrieval::{head, split, ticket_length};

use crate::Outcome;

/// A whole body: a ticket and queries.
pub fn retrieval(data: &[u8]) -> Outcome {
    let read = split(data);
    if let Ok((ticket, queries)) = &read {
        assert!(data.ends_with(queries), "the queries are the body's end");
        let length = ticket_length(*data.first_chunk().unwrap()).unwrap();
        assert_eq!(4 + length + queries.len(), data.len());
        // JSON has several spellings of one ticket; the one that is written is read as the same.
        let written = [head(ticket).as_slice(), queries].concat();
        let (again, rest) = split(&written).unwrap();
        assert!(again == *ticket && rest == *queries);
    }
    Outcome::of(&read)
}
