use rand_core::SeedableRng as _;

use super::*;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Said {
    words: String,
}
impl Statement for Said {
    const KIND: &'static str = "test-said";
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Meant {
    words: String,
}
impl Statement for Meant {
    const KIND: &'static str = "test-meant";
}

fn key(seed: u8) -> SigningKey {
    SigningKey::generate(&mut rand_chacha::ChaCha20Rng::from_seed([seed; 32])).0
}

#[test]
fn a_statement_survives_the_wire_and_verifies() {
    let signed = key(1).sign(&Said {
        words: "yes".into(),
    });
    let read = Signed::<Said>::from_json(&signed.to_json()).unwrap();
    assert_eq!(read.verify(&key(1).verifying_key()).unwrap().words, "yes");
}

#[test]
fn another_key_is_rejected() {
    let signed = key(1).sign(&Said {
        words: "yes".into(),
    });
    assert_eq!(signed.verify(&key(2).verifying_key()), Err(Rejected));
}

#[test]
fn a_statement_of_one_kind_is_not_one_of_another() {
    let signed = key(1).sign(&Said {
        words: "yes".into(),
    });
    let posed = Signed::<Meant>::from_json(&signed.to_json()).unwrap();
    assert_eq!(posed.verify(&key(1).verifying_key()), Err(Rejected));
}

#[test]
fn every_flipped_bit_of_payload_or_signature_is_found() {
    let signed = key(1).sign(&Said {
        words: "yes".into(),
    });
    for at in 0..signed.payload.len() * 8 {
        let mut bad = signed.clone();
        bad.payload[at / 8] ^= 1 << (at % 8);
        assert_eq!(
            bad.verify(&key(1).verifying_key()),
            Err(Rejected),
            "payload bit {at}"
        );
    }
    for at in 0..signed.signature.len() * 8 {
        let mut bad = signed.clone();
        bad.signature[at / 8] ^= 1 << (at % 8);
        assert_eq!(
            bad.verify(&key(1).verifying_key()),
            Err(Rejected),
            "signature bit {at}"
        );
    }
}
