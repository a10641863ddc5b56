//! Short texts: identifiers, moments, codes (docs/protocol.md 1.3, 2.2, 8.1).

use std::fmt::Display;
use std::str::FromStr;

use harpo_protocol::access::{Obligation, Purpose};
use harpo_protocol::id::{BundleId, Digest, GenerationId, Nonce, PartyId};
use harpo_protocol::identity::{EnrolCode, EnrolSecret, Role};
use harpo_protocol::manifest::is_uid;
use harpo_protocol::time::Timestamp;

use crate::Outcome;

/// A text, as each of the things that a text can be.
pub fn text(data: &[u8]) -> Outcome {
    let Ok(text) = std::str::from_utf8(data) else {
        return Outcome::Refused;
    };
    let uid = is_uid(text);
    assert!(!uid || (!text.contains(['/', '\\']) && text.len() <= 64));
    [
        same::<PartyId>(text),
        same::<BundleId>(text),
        same::<GenerationId>(text),
        same::<Nonce>(text),
        same::<Digest>(text),
        same::<Purpose>(text),
        same::<Role>(text),
        Outcome::of(&text.parse::<Obligation>()),
        moment(text),
        code(text),
        secret(text),
    ]
    .into_iter()
    .fold(Outcome::of(&uid.then_some(()).ok_or(())), Outcome::or)
}

/// Has one spelling.
fn same<T: FromStr + Display>(text: &str) -> Outcome {
    let read = text.parse::<T>();
    if let Ok(value) = &read {
        assert_eq!(value.to_string(), text);
    }
    Outcome::of(&read)
}

/// Has many spellings; the one that is written names the same millisecond.
fn moment(text: &str) -> Outcome {
    let read = text.parse::<Timestamp>();
    if let Ok(moment) = &read {
        assert_eq!(moment.to_string().parse::<Timestamp>().unwrap(), *moment);
    }
    Outcome::of(&read)
}

/// White space around it is dropped.
fn code(text: &str) -> Outcome {
    let read = text.parse::<EnrolCode>();
    if let Ok(code) = &read {
        assert_eq!(code.to_text(), text.trim());
        // The authority is no secret, and may have the same digits.
        let (printed, secret) = (format!("{code:?}"), code.secret.to_text());
        assert!(!printed.contains(&secret) || code.authority.to_string().contains(&secret));
    }
    Outcome::of(&read)
}

/// Upper case is tolerated.
fn secret(text: &str) -> Outcome {
    let read = EnrolSecret::from_text(text);
    if let Ok(secret) = &read {
        assert_eq!(secret.to_text(), text.to_ascii_lowercase());
    }
    Outcome::of(&read)
}
