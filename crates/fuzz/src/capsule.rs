//! What passes through the relay, opened (docs/protocol.md 9.8): heads of Binary HTTP messages, which cloud and gateways read
//! from each other, and lists of keys, which trust reads from the cloud and gateways from trust.

use harpo_service::ohttp::{HEAD_BYTES, PublicKey, RequestHead, ResponseHead, ServerKeys};
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng as _;

use crate::Outcome;

/// A head with what follows it, or a list of keys.
pub fn capsule(data: &[u8]) -> Outcome {
    let request = RequestHead::read(data);
    if let Ok(Some((head, taken))) = &request {
        assert!(*taken <= data.len() && *taken <= HEAD_BYTES);
        // Lengths have several spellings; the one that is written is the shortest, and is read as the same.
        let written = head.to_bytes().unwrap();
        assert!(written.len() <= *taken);
        let (again, length) = RequestHead::read(&written).unwrap().unwrap();
        assert!(again == *head && length == written.len());
    }
    let response = ResponseHead::read(data);
    if let Ok(Some((head, taken))) = &response {
        assert!(*taken <= data.len() && *taken <= HEAD_BYTES);
        let written = head.to_bytes().unwrap();
        assert!(written.len() <= *taken);
        let (again, length) = ResponseHead::read(&written).unwrap().unwrap();
        assert!(again == *head && length == written.len());
    }
    // Only so much is waited for.
    assert!(
        data.len() < HEAD_BYTES || (!matches!(request, Ok(None)) && !matches!(response, Ok(None)))
    );
    let key = PublicKey::from_list(data);
    if let Ok(key) = &key {
        let text = key.to_base64().unwrap();
        assert_eq!(
            PublicKey::from_base64(&text).unwrap().to_base64().unwrap(),
            text
        );
    }
    let head = |is_whole: bool| is_whole.then_some(()).ok_or(());
    Outcome::of(&head(matches!(request, Ok(Some(_)))))
        .or(Outcome::of(&head(matches!(response, Ok(Some(_))))))
        .or(Outcome::of(&key))
}

/// Name and bytes of good inputs.
pub(crate) fn seeds() -> Vec<(&'static str, Vec<u8>)> {
    let folder = tempfile::tempdir().unwrap();
    let mut rng = ChaCha20Rng::from_seed([7; 32]);
    let keys = ServerKeys::load_or_make(&folder.path().join("keys"), &mut rng).unwrap();
    let text = |text: &str| [&[text.len() as u8], text.as_bytes()].concat();
    let asks = |method: &str, path: &str, fields: &[u8], length: &[u8]| {
        let fields = [&[fields.len() as u8], fields].concat();
        let words = [text(method), text("https"), text(""), text(path)].concat();
        [&[0], &*words, &fields, length].concat()
    };
    let range = [text("range"), text("bytes=100-")].concat();
    let wait = [text("retry-after"), text("7")].concat();
    let hint = "/v1/generations/000102030405060708090a0b0c0d0e0f/hint";
    vec![
        (
            "request",
            asks("POST", "/v1/retrievals?from=3", &[], &[0x80, 1, 0, 0]),
        ),
        ("request_with_range", asks("GET", hint, &range, &[0])),
        ("response", [&[1, 0x40, 200, 0, 5], &b"slots"[..]].concat()),
        (
            "response_busy",
            [&[1, 0x41, 0xf7, wait.len() as u8], &*wait, &[0]].concat(),
        ),
        ("keys", keys.public().unwrap()),
    ]
}
