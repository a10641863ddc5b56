use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use rcgen::{CertificateParams, KeyPair};
use rustls::{ClientConnection, HandshakeKind, NamedGroup, ServerConnection};
use rustls_pki_types::ServerName;
use tempfile::TempDir;
use x509_parser::prelude::{FromDer as _, GeneralName, X509Certificate};

use super::*;
use crate::clock::{Clock, Timestamp};

pub(crate) const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// A certification authority with a clock of its own, and parties below it.
pub(crate) struct Pki {
    pub(crate) dir: TempDir,
    pub(crate) clock: Clock,
    pub(crate) authority: Authority,
}

impl Pki {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        // Some moment that is not now: what passes does so by this clock, not the machine's.
        let clock = Clock::manual("2031-05-06T07:08:09Z".parse().unwrap());
        let authority = Authority::create(&dir.path().join("authority"), clock.now()).unwrap();
        Self {
            dir,
            clock,
            authority,
        }
    }

    /// A party enrolled now, for a day; reachable at loopback.
    pub(crate) fn party(&self, role: Role, number: u8) -> Identity {
        self.party_from(role, number, self.clock.now(), self.clock.clone())
    }

    /// A party enrolled at `moment`, that believes `clock`.
    pub(crate) fn party_from(
        &self,
        role: Role,
        number: u8,
        moment: Timestamp,
        clock: Clock,
    ) -> Identity {
        let dir = self
            .dir
            .path()
            .join(format!("{role}-{number}-{}", moment.as_millis()));
        let csr = generate_key_and_csr(&dir).unwrap();
        let chain = self
            .authority
            .issue(&csr, &subject(role, number), DAY, moment)
            .unwrap();
        Identity::install(&dir, &chain, self.authority.root(), clock).unwrap()
    }
}

pub(crate) fn subject(role: Role, number: u8) -> Subject {
    Subject {
        role,
        party: PartyId([number; 16]),
        server_names: vec!["127.0.0.1".into(), "localhost".into()],
    }
}

/// Shakes hands in memory; returns both sides, or the first error.
fn shake(
    client: &rustls::ClientConfig,
    server: &std::sync::Arc<rustls::ServerConfig>,
) -> Result<(ClientConnection, ServerConnection), rustls::Error> {
    let name = ServerName::try_from("localhost").unwrap();
    let mut client = ClientConnection::new(std::sync::Arc::new(client.clone()), name)?;
    let mut server = ServerConnection::new(std::sync::Arc::clone(server))?;
    for _ in 0..10 {
        let mut flight = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut flight).unwrap();
        }
        let mut flight = flight.as_slice();
        while !flight.is_empty() {
            server.read_tls(&mut flight).unwrap();
            server.process_new_packets()?;
        }
        let mut flight = Vec::new();
        while server.wants_write() {
            server.write_tls(&mut flight).unwrap();
        }
        let mut flight = flight.as_slice();
        while !flight.is_empty() {
            client.read_tls(&mut flight).unwrap();
            client.process_new_packets()?;
        }
    }
    assert!(!client.is_handshaking() && !server.is_handshaking());
    Ok((client, server))
}

/// What the handshake was refused for.
fn refusal(client: &rustls::ClientConfig, server: &std::sync::Arc<rustls::ServerConfig>) -> String {
    match shake(client, server).map(drop).unwrap_err() {
        rustls::Error::InvalidCertificate(rustls::CertificateError::Other(other)) => {
            other.0.to_string()
        }
        other => other.to_string(),
    }
}

#[test]
fn names_have_one_spelling() {
    let party = PartyId([0xab; 16]);
    assert_eq!(party.to_string(), "ab".repeat(16));
    assert_eq!("ab".repeat(16).parse::<PartyId>(), Ok(party));
    for wrong in ["AB".repeat(16), "ab".repeat(15), "xy".repeat(16)] {
        assert!(wrong.parse::<PartyId>().is_err(), "{wrong}");
    }
    for role in [Role::Trust, Role::Cloud, Role::Gateway, Role::Pass] {
        assert_eq!(role.as_str().parse::<Role>(), Ok(role));
        assert_eq!(serde_json::to_string(&role).unwrap(), format!("\"{role}\""));
    }
    assert!("root".parse::<Role>().is_err());
    let print = Fingerprint::of(b"x");
    assert_eq!(print.to_string().parse::<Fingerprint>(), Ok(print));
    let with_colons = print.to_string().to_uppercase();
    let with_colons: Vec<_> = with_colons.as_bytes().chunks(2).collect();
    let with_colons = String::from_utf8(with_colons.join(&b':')).unwrap();
    assert_eq!(with_colons.parse::<Fingerprint>(), Ok(print));
}

#[test]
fn a_fresh_party_has_a_name_of_its_own() {
    use rand::SeedableRng as _;
    let mut rng = rand_chacha::ChaCha20Rng::seed_from_u64(1);
    assert_ne!(PartyId::random(&mut rng), PartyId::random(&mut rng));
}

#[test]
fn a_certificate_says_who_and_how_long_and_nothing_else() {
    let pki = Pki::new();
    let identity = pki.party(Role::Trust, 7);
    let certificate = identity.certificate();
    assert_eq!(certificate.role, Role::Trust);
    assert_eq!(certificate.party, PartyId([7; 16]));
    assert_eq!(certificate.expires, pki.clock.now() + DAY);
    assert!(certificate.not_before < pki.clock.now());
    assert!(certificate.not_before + Duration::from_secs(600) > pki.clock.now());

    let chain = super::certificate::chain_from_pem(&identity.chain_pem()).unwrap();
    assert_eq!(chain.len(), 2);
    assert_eq!(&chain[1], pki.authority.root().der());
    let (_, leaf) = X509Certificate::from_der(&chain[0]).unwrap();
    let uri = format!("harpocrates:v1:trust:{}", "07".repeat(16));
    assert_eq!(leaf.subject().to_string(), format!("CN={uri}"));
    let names = leaf.subject_alternative_name().unwrap().unwrap();
    let uris: Vec<_> = names
        .value
        .general_names
        .iter()
        .filter(|name| matches!(name, GeneralName::URI(_)))
        .collect();
    assert_eq!(uris, [&GeneralName::URI(&uri)]);
    assert!(!leaf.is_ca());

    let (_, root) = X509Certificate::from_der(&chain[1]).unwrap();
    let constraints = root.basic_constraints().unwrap().unwrap().value;
    assert!(constraints.ca && constraints.path_len_constraint == Some(0));
    let years = (root.validity().not_after.timestamp() - root.validity().not_before.timestamp())
        / (365 * 24 * 60 * 60);
    assert_eq!(years, 10);
}

#[test]
fn serial_numbers_are_random() {
    let pki = Pki::new();
    let [a, b] = [1, 2].map(|number| pki.party(Role::Gateway, number).certificate());
    assert_ne!(a.serial, b.serial);
    assert_eq!(a.serial.len(), 32);
}

#[test]
fn only_the_key_is_taken_from_a_signing_request() {
    let pki = Pki::new();
    let key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
    let mut params = CertificateParams::new(vec!["trust.example".to_owned()]).unwrap();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    params
        .distinguished_name
        .push(rcgen::DnType::CommonName, "somebody else");
    let csr = params.serialize_request(&key).unwrap().pem().unwrap();
    let mut who = subject(Role::Gateway, 9);
    who.server_names.clear();
    let chain = pki
        .authority
        .issue(&csr, &who, DAY, pki.clock.now())
        .unwrap();
    let read = pki
        .authority
        .root()
        .verify(&chain, pki.clock.now())
        .unwrap();
    assert_eq!((read.role, read.party), (who.role, who.party));
    let chain = super::certificate::chain_from_pem(&chain).unwrap();
    let (_, leaf) = X509Certificate::from_der(&chain[0]).unwrap();
    assert!(!leaf.is_ca());
    let names = leaf.subject_alternative_name().unwrap().unwrap();
    assert_eq!(names.value.general_names.len(), 1);
    assert!(!leaf.subject().to_string().contains("somebody"));
}

#[test]
fn signing_requests_are_refused_when_forged_or_for_other_keys() {
    let pki = Pki::new();
    let issue = |csr: &str| {
        let issued = pki
            .authority
            .issue(csr, &subject(Role::Gateway, 1), DAY, pki.clock.now());
        issued.unwrap_err().to_string()
    };
    let csr = |algorithm| {
        let key = KeyPair::generate_for(algorithm).unwrap();
        CertificateParams::default()
            .serialize_request(&key)
            .unwrap()
    };
    let good = csr(&rcgen::PKCS_ECDSA_P256_SHA256);
    let mut forged = good.der().to_vec();
    *forged.last_mut().unwrap() ^= 1;
    let forged = pem::encode(&pem::Pem::new("CERTIFICATE REQUEST", forged));
    assert!(
        issue(&forged).contains("not signed by the key"),
        "{}",
        issue(&forged)
    );
    let p384 = csr(&rcgen::PKCS_ECDSA_P384_SHA384).pem().unwrap();
    assert!(issue(&p384).contains("P-256"));
    let ed25519 = csr(&rcgen::PKCS_ED25519).pem().unwrap();
    assert!(issue(&ed25519).contains("P-256"));
    assert!(issue("no PEM").contains("not a signing request"));
}

#[test]
fn a_certificate_does_not_outlive_its_authority_and_its_names_are_possible() {
    let pki = Pki::new();
    let csr = generate_key_and_csr(&pki.dir.path().join("x")).unwrap();
    let now = pki.clock.now();
    let issue =
        |who: &Subject, validity, now| pki.authority.issue(&csr, who, validity, now).map(drop);
    let who = subject(Role::Gateway, 1);
    assert!(issue(&who, DAY, now).is_ok());
    for (validity, now) in [
        (DAY * 4000, now),
        (Duration::MAX, now),
        (Duration::ZERO, now),
        (DAY, now - DAY),
    ] {
        let refused = issue(&who, validity, now);
        assert!(
            matches!(refused, Err(TlsError::Validity { .. })),
            "{refused:?}"
        );
    }
    let mut odd = subject(Role::Trust, 1);
    odd.server_names.push("not a name".into());
    assert!(matches!(
        issue(&odd, DAY, now),
        Err(TlsError::Malformed { .. })
    ));
}

#[test]
fn an_authority_is_made_once_kept_private_and_loaded_again() {
    let pki = Pki::new();
    let dir = pki.dir.path().join("authority");
    let now = pki.clock.now();
    assert!(matches!(
        Authority::create(&dir, now),
        Err(TlsError::Exists { .. })
    ));
    let again = Authority::load_or_create(&dir, now).unwrap();
    assert_eq!(again.root(), pki.authority.root());
    let key = std::fs::metadata(dir.join("ca-key.pem")).unwrap();
    assert_eq!(key.permissions().mode() & 0o777, 0o600);

    let other = Authority::create(&pki.dir.path().join("other"), now).unwrap();
    std::fs::write(dir.join("root.pem"), other.root().pem()).unwrap();
    assert!(matches!(Authority::load(&dir), Err(TlsError::Mismatch(_))));
}

#[test]
fn parties_shake_hands_with_the_post_quantum_group_and_never_resume() {
    let pki = Pki::new();
    let (trust, gateway) = (pki.party(Role::Trust, 1), pki.party(Role::Gateway, 2));
    let server = server_config(&trust, ClientAuth::Required).unwrap();
    let client = client_config(&gateway, Expect::role(Role::Trust)).unwrap();
    for _ in 0..2 {
        let (client, server) = shake(&client, &server).unwrap();
        let group = client.negotiated_key_exchange_group().unwrap();
        assert_eq!(group.name(), NamedGroup::X25519MLKEM768);
        assert_eq!(
            client.protocol_version(),
            Some(rustls::ProtocolVersion::TLSv1_3)
        );
        assert_eq!(client.handshake_kind(), Some(HandshakeKind::Full));
        assert_eq!(client.tls13_tickets_received(), 0);
        let shown = server.peer_certificates().unwrap();
        let shown = PartyCertificate::from_der(&shown[0]).unwrap();
        assert_eq!(shown.party, gateway.party());
    }
}

#[test]
fn a_client_refuses_another_role_party_or_address() {
    let pki = Pki::new();
    let gateway = pki.party(Role::Gateway, 2);
    let posing = server_config(&gateway, ClientAuth::Optional).unwrap();
    let refused = |expect| refusal(&client_config(&gateway, expect).unwrap(), &posing);
    let wrong_role = refused(Expect::role(Role::Trust));
    assert!(
        wrong_role.contains("for gateway, not for trust"),
        "{wrong_role}"
    );
    let other = PartyId([3; 16]);
    assert!(refused(Expect::party(Role::Gateway, other)).contains("another party"));
    let right = client_config(&gateway, Expect::party(Role::Gateway, gateway.party())).unwrap();
    shake(&right, &posing).unwrap();

    let mut elsewhere = subject(Role::Trust, 1);
    elsewhere.server_names = vec!["trust.example".into()];
    let dir = pki.dir.path().join("elsewhere");
    let csr = generate_key_and_csr(&dir).unwrap();
    let chain = pki
        .authority
        .issue(&csr, &elsewhere, DAY, pki.clock.now())
        .unwrap();
    let trust = Identity::install(&dir, &chain, pki.authority.root(), pki.clock.clone()).unwrap();
    let server = server_config(&trust, ClientAuth::Optional).unwrap();
    let client = client_config(&gateway, Expect::role(Role::Trust)).unwrap();
    let error = refusal(&client, &server);
    assert!(error.contains("not valid for"), "{error}");
}

#[test]
fn first_contact_trusts_the_pinned_root_alone() {
    let pki = Pki::new();
    let stranger = Pki::new();
    let trust = pki.party(Role::Trust, 1);
    let server = server_config(&trust, ClientAuth::Optional).unwrap();
    let pinned = |root: &Root, role| {
        pinned_client_config(root.fingerprint(), &pki.clock, Expect::role(role)).unwrap()
    };
    shake(&pinned(pki.authority.root(), Role::Trust), &server).unwrap();
    let wrong_root = refusal(&pinned(stranger.authority.root(), Role::Trust), &server);
    assert!(wrong_root.contains("expected fingerprint"), "{wrong_root}");
    assert!(shake(&pinned(pki.authority.root(), Role::Cloud), &server).is_err());

    let mut late = pki.clock.now();
    late = late + DAY * 2;
    let late = pinned_client_config(
        pki.authority.root().fingerprint(),
        &Clock::manual(late),
        Expect::role(Role::Trust),
    );
    assert!(shake(&late.unwrap(), &server).is_err());

    // A chain whose root is pinned, but whose leaf another authority made.
    let forger = stranger.party(Role::Trust, 1);
    let forged = forger.chain_pem();
    let leaf = forged.split_inclusive("-----END CERTIFICATE-----\n").next();
    let chain = format!("{}{}", leaf.unwrap(), pki.authority.root().pem());
    let print = pki.authority.root().fingerprint();
    assert_eq!(
        &Root::from_chain(&chain, &print).unwrap(),
        pki.authority.root()
    );
    std::fs::write(forger.dir().join("chain.pem"), chain).unwrap();
    forger.reload().unwrap();
    let server = server_config(&forger, ClientAuth::Optional).unwrap();
    assert!(shake(&pinned(pki.authority.root(), Role::Trust), &server).is_err());
}

#[test]
fn a_renewed_certificate_is_shown_on_the_next_handshake() {
    let pki = Pki::new();
    let (trust, gateway) = (pki.party(Role::Trust, 1), pki.party(Role::Gateway, 2));
    let server = server_config(&trust, ClientAuth::Required).unwrap();
    let client = client_config(&gateway, Expect::role(Role::Trust)).unwrap();
    shake(&client, &server).unwrap();

    pki.clock.advance(DAY + Duration::from_secs(60));
    assert!(shake(&client, &server).is_err(), "both are expired");
    for (identity, number) in [(&trust, 1), (&gateway, 2)] {
        let csr = generate_key_and_csr(identity.dir()).unwrap();
        let who = subject(identity.role(), number);
        let chain = pki
            .authority
            .issue(&csr, &who, DAY, pki.clock.now())
            .unwrap();
        identity.renew(&chain).unwrap();
        assert_eq!(identity.expires(), pki.clock.now() + DAY);
        assert!(!identity.dir().join("key.next.pem").exists());
    }
    shake(&client, &server).unwrap();
    let again = Identity::load(gateway.dir(), pki.clock.clone()).unwrap();
    assert_eq!(again.certificate(), gateway.certificate());
}

#[test]
fn a_renewal_for_another_party_key_or_root_changes_nothing() {
    let pki = Pki::new();
    let stranger = Pki::new();
    let gateway = pki.party(Role::Gateway, 2);
    let before = gateway.certificate();
    let other_party = pki.party(Role::Gateway, 3).chain_pem();
    let csr = generate_key_and_csr(&pki.dir.path().join("elsewhere")).unwrap();
    let now = pki.clock.now();
    let who = subject(Role::Gateway, 2);
    let other_key = pki.authority.issue(&csr, &who, DAY, now).unwrap();
    let csr = generate_key_and_csr(gateway.dir()).unwrap();
    let other_root = stranger.authority.issue(&csr, &who, DAY, now).unwrap();
    for chain in [other_party, other_key, other_root] {
        assert!(matches!(gateway.renew(&chain), Err(TlsError::Mismatch(_))));
        assert!(gateway.reload().is_ok());
        assert_eq!(gateway.certificate(), before);
    }
    assert!(gateway.renew("nothing").is_err());
}

#[test]
fn a_renewal_cut_short_between_chain_and_key_is_completed_on_loading() {
    let pki = Pki::new();
    let gateway = pki.party(Role::Gateway, 2);
    let csr = generate_key_and_csr(gateway.dir()).unwrap();
    let chain = pki
        .authority
        .issue(&csr, &subject(Role::Gateway, 2), DAY, pki.clock.now())
        .unwrap();
    // As a crash leaves it after the chain was replaced.
    std::fs::write(gateway.dir().join("chain.pem"), &chain).unwrap();
    let again = Identity::load(gateway.dir(), pki.clock.clone()).unwrap();
    assert_eq!(again.chain_pem(), chain);
    let key = std::fs::metadata(gateway.dir().join("key.pem")).unwrap();
    assert_eq!(key.permissions().mode() & 0o777, 0o600);
    assert!(!gateway.dir().join("key.next.pem").exists());
}

#[test]
fn a_certificate_without_one_party_name_is_nobodys() {
    let pki = Pki::new();
    assert!(PartyCertificate::from_der(pki.authority.root().der()).is_err());
    let party = "07".repeat(16);
    let named = |uris: &[String]| {
        let key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
        let mut params = CertificateParams::default();
        for uri in uris {
            let name = rcgen::SanType::URI(uri.as_str().try_into().unwrap());
            params.subject_alt_names.push(name);
        }
        let certificate = params.self_signed(&key).unwrap();
        PartyCertificate::from_der(certificate.der())
    };
    let good = format!("harpocrates:v1:cloud:{party}");
    assert_eq!(
        named(std::slice::from_ref(&good)).unwrap().role,
        Role::Cloud
    );
    assert!(named(&[good.clone(), good.clone()]).is_err());
    for bad in [
        format!("harpocrates:v2:cloud:{party}"),
        format!("harpocrates:v1:root:{party}"),
        "harpocrates:v1:cloud:07".to_owned(),
        format!("{good}:more"),
    ] {
        assert!(named(std::slice::from_ref(&bad)).is_err(), "{bad}");
    }
}

#[test]
fn a_pass_has_a_key_of_its_own_and_only_for_its_certificate() {
    let pki = Pki::new();
    let trust = pki.party(Role::Trust, 1);
    let server = server_config(&trust, ClientAuth::Required).unwrap();
    let mut who = subject(Role::Pass, 5);
    who.server_names.clear();
    let issue = |key: &PassKey| {
        let csr = key.certificate_request();
        pki.authority
            .issue(csr, &who, DAY, pki.clock.now())
            .unwrap()
    };
    let (root, expect) = (pki.authority.root(), Expect::role(Role::Trust));
    let key = PassKey::generate().unwrap();
    let chain = issue(&key);
    let client = key.client_config(&chain, root, &pki.clock, expect).unwrap();
    let (_, server) = shake(&client, &server).unwrap();
    let shown = PartyCertificate::from_der(&server.peer_certificates().unwrap()[0]).unwrap();
    assert_eq!((shown.role, shown.party), (who.role, who.party));

    let other = PassKey::generate().unwrap();
    let refused = other.client_config(&chain, root, &pki.clock, expect);
    assert!(matches!(refused, Err(TlsError::Mismatch(_))), "{refused:?}");
}
