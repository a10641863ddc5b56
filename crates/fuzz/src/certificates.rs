//! Certificates that peers show, and requests for them (docs/protocol.md 2.1, 2.3).

use std::sync::LazyLock;
use std::time::Duration;

use harpo_protocol::id::PartyId;
use harpo_protocol::time::Timestamp;
use harpo_service::tls::{Authority, PartyCertificate, Role, Root, Subject, generate_key_and_csr};

use crate::Outcome;

const NOW: Timestamp = Timestamp(1_800_000_000_000);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// An authority whose key lasts as long as the process: no input can hold a certificate by it.
fn authority() -> &'static Authority {
    static AUTHORITY: LazyLock<Authority> = LazyLock::new(fresh_authority);
    &AUTHORITY
}

fn fresh_authority() -> Authority {
    let folder = tempfile::tempdir().unwrap();
    Authority::create(folder.path(), NOW).unwrap()
}

fn subject() -> Subject {
    Subject {
        role: Role::Gateway,
        party: PartyId([1; 16]),
        server_names: vec!["gateway.example".into()],
    }
}

/// A certificate in DER or a chain in PEM: what is read has the names of a party, and nothing verifies that the authority did not
/// issue.
pub fn certificate(data: &[u8]) -> Outcome {
    let party = PartyCertificate::from_der(data);
    if let Ok(party) = &party {
        let name = format!("harpocrates:v1:{}:{}", party.role, party.party);
        let there = data
            .windows(name.len())
            .any(|bytes| bytes == name.as_bytes());
        assert!(there, "the name is not in the certificate");
    }
    let outcome = Outcome::of(&party).or(Outcome::of(&Root::from_der(data.to_vec().into())));
    let Ok(text) = std::str::from_utf8(data) else {
        return outcome;
    };
    let root = authority().root();
    assert!(root.verify(text, NOW).is_err());
    assert!(Root::from_chain(text, &root.fingerprint()).is_err());
    let pem = Root::from_pem(text);
    if let Ok(root) = &pem {
        assert!(Root::from_pem(&root.pem()).unwrap() == *root);
    }
    outcome
        .or(Outcome::of(&pem))
        .or(Outcome::of(&PartyCertificate::from_pem(text)))
}

/// A request for a certificate: what is issued is for whom the authority says, whatever was asked for.
pub fn certificate_request(data: &[u8]) -> Outcome {
    let Ok(text) = std::str::from_utf8(data) else {
        return Outcome::Refused;
    };
    let issued = authority().issue(text, &subject(), DAY, NOW);
    if let Ok(chain) = &issued {
        let party = authority().root().verify(chain, NOW).unwrap();
        assert_eq!((party.role, party.party), (Role::Gateway, PartyId([1; 16])));
    }
    Outcome::of(&issued)
}

/// Name and bytes of good inputs, with fresh keys.
pub(crate) fn seeds() -> Vec<(&'static str, &'static str, Vec<u8>)> {
    let folder = tempfile::tempdir().unwrap();
    let request = generate_key_and_csr(folder.path()).unwrap();
    let authority = fresh_authority();
    let chain = authority.issue(&request, &subject(), DAY, NOW).unwrap();
    let root = authority.root();
    vec![
        ("certificate", "root_der", root.der().to_vec()),
        ("certificate", "root_pem", root.pem().into_bytes()),
        ("certificate", "chain_pem", chain.into_bytes()),
        ("certificate_request", "request", request.into_bytes()),
    ]
}
