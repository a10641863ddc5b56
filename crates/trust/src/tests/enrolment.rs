use harpo_protocol::identity::{
    CertificateChain, CertificateRequest, EnrolCode, EnrolRequest, EnrolResponse, Role,
};
use harpo_service::http::{Client, ClientError};
use harpo_service::random;
use harpo_service::tls::{
    Expect, Fingerprint, PartyCertificate, generate_key_and_csr, pinned_client_config,
};

use super::network::*;

fn stranger(network: &Network, code: &EnrolCode) -> Client {
    let authority = Fingerprint::from_bytes(code.authority.0);
    let tls = pinned_client_config(authority, &network.clock, Expect::role(Role::Trust)).unwrap();
    Client::new(&network.url(), tls).unwrap()
}

async fn ask(client: &Client, request: &EnrolRequest) -> Result<EnrolResponse, ClientError> {
    client
        .post("/v1/enrol")
        .json(request)
        .send_json(1 << 20)
        .await
}

fn request(code: &EnrolCode, dir: &std::path::Path) -> EnrolRequest {
    EnrolRequest {
        secret: code.secret.to_text(),
        certificate_request: generate_key_and_csr(dir).unwrap(),
        server_names: vec![],
        keys: None,
    }
}

#[tokio::test]
async fn a_code_works_once_and_the_identical_request_again() {
    let network = Network::new().await;
    let code = network.code(Role::Cloud, "Second cloud").await;
    let client = stranger(&network, &code);
    let dir = tempfile::tempdir().unwrap();
    let first = request(&code, dir.path());
    let answer = ask(&client, &first).await.unwrap();
    let again = ask(&client, &first).await.unwrap();
    assert_eq!((again.party, &again.chain), (answer.party, &answer.chain));
    assert!(answer.credential.is_none());
    // Somebody else with the same code.
    let other = request(&code, dir.path());
    assert_eq!(code_of(ask(&client, &other).await), "rejected");
    let parties = network.operator().await.parties().await.unwrap();
    assert_eq!(
        parties.iter().filter(|p| p.name == "Second cloud").count(),
        1
    );
    assert_eq!(network.events_named("enrolment-refused").await.len(), 1);
}

fn code_of<T: std::fmt::Debug>(outcome: Result<T, ClientError>) -> String {
    super::network::code(outcome)
}

#[tokio::test]
async fn wrong_old_and_unfit_codes_are_refused_and_recorded() {
    let network = Network::new().await;
    let dir = tempfile::tempdir().unwrap();
    let good = network.code(Role::Gateway, "Somewhere").await;
    let client = stranger(&network, &good);

    let authority = network.folder().authority().unwrap();
    let never_issued = EnrolCode::generate(authority.root().der(), &mut random::system());
    let outcome = ask(&client, &request(&never_issued, dir.path())).await;
    assert_eq!(code_of(outcome), "rejected");

    // A gateway without keys, and a request that is none.
    let outcome = ask(&client, &request(&good, dir.path())).await;
    assert_eq!(code_of(outcome), "malformed");
    let mut broken = request(&good, dir.path());
    broken.certificate_request = "hello".into();
    assert_eq!(code_of(ask(&client, &broken).await), "malformed");

    network.clock.advance(25 * HOUR);
    let old = network.gateway_with(&good, "old").await;
    let Err(harpo_service::enrol::EnrolError::Trust(error)) = old else {
        panic!("an old code was accepted");
    };
    assert_eq!(error.code(), Some("expired"));
    // Counted together within a minute.
    let refused = network.events_named("enrolment-refused").await;
    let counts: Vec<_> = refused.iter().map(|event| &event["count"]).collect();
    assert_eq!(counts, [1, 3]);
}

#[tokio::test]
async fn strangers_are_slowed_down() {
    let network = Network::with("[limits]\nrefused_enrolments_per_minute = 3").await;
    let authority = network.folder().authority().unwrap();
    let guess = EnrolCode::generate(authority.root().der(), &mut random::system());
    let client = stranger(&network, &guess);
    let dir = tempfile::tempdir().unwrap();
    let request = request(&guess, dir.path());
    // Right codes do not count: the cloud's, and these.
    for name in ["A", "B", "C", "D"] {
        network.gateway(name).await;
    }
    for _ in 0..3 {
        assert_eq!(code_of(ask(&client, &request).await), "rejected");
    }
    assert_eq!(code_of(ask(&client, &request).await), "busy");
    network.clock.advance(std::time::Duration::from_secs(61));
    assert_eq!(code_of(ask(&client, &request).await), "rejected");
}

#[tokio::test]
async fn a_lost_answer_is_repeated_after_the_code_is_old_and_not_after_revocation() {
    let network = Network::new().await;
    let code = network.code(Role::Cloud, "Second cloud").await;
    let client = stranger(&network, &code);
    let dir = tempfile::tempdir().unwrap();
    let request = request(&code, dir.path());
    let answer = ask(&client, &request).await.unwrap();
    network.clock.advance(25 * HOUR);
    let again = ask(&client, &request).await.unwrap();
    assert_eq!((again.party, &again.chain), (answer.party, &answer.chain));
    network.operator().await.revoke(answer.party).await.unwrap();
    assert_eq!(code_of(ask(&client, &request).await), "rejected");
}

#[tokio::test]
async fn a_revoked_party_is_refused_on_its_open_connection() {
    let network = Network::new().await;
    let gateway = network.gateway("A").await;
    assert_eq!(gateway.stacks().await, []);
    let operator = network.operator().await;
    operator.revoke(gateway.party).await.unwrap();
    let refused = gateway.get::<serde_json::Value>("/v1/stacks").await;
    assert_eq!(code_of(refused), "rejected");
    assert!(
        operator.revoke(gateway.party).await.is_err(),
        "revoked twice"
    );
    assert_eq!(network.events_named("revoked").await.len(), 1);
}

#[tokio::test]
async fn renewals_keep_the_party_and_passes_name_nobody() {
    let network = Network::new().await;
    let gateway = network.gateway("A").await;
    let dir = tempfile::tempdir().unwrap();
    let request = CertificateRequest {
        certificate_request: generate_key_and_csr(dir.path()).unwrap(),
        server_names: vec![],
    };
    network.clock.advance(HOUR);
    let renewed: CertificateChain = gateway.post("/v1/renew", &request).await.unwrap();
    let certificate = PartyCertificate::from_pem(&renewed.chain).unwrap();
    assert_eq!(
        (certificate.role, certificate.party),
        (Role::Gateway, gateway.party)
    );
    assert!(certificate.expires > gateway.identity.expires());

    let pass: CertificateChain = gateway.post("/v1/passes", &request).await.unwrap();
    let pass = PartyCertificate::from_pem(&pass.chain).unwrap();
    assert_eq!(pass.role, Role::Pass);
    assert_ne!(pass.party, gateway.party);
    assert!(pass.expires <= network.clock.now().after(HOUR / 6));
    // What the cloud sees of it is the same for all passes of a minute.
    network
        .clock
        .advance(std::time::Duration::from_millis(31_007));
    let later: CertificateChain = gateway.post("/v1/passes", &request).await.unwrap();
    let later = PartyCertificate::from_pem(&later.chain).unwrap();
    assert_eq!(
        (later.not_before, later.expires),
        (pass.not_before, pass.expires)
    );
    assert_eq!(pass.expires, pass.expires.minute_before());
    let log = serde_json::to_string(&network.events().await).unwrap();
    assert!(
        !log.contains(&pass.party.to_string()),
        "the log links the pass"
    );

    let mut named = request;
    named.server_names = vec!["hospital.example".into()];
    let refused = gateway.post::<CertificateChain>("/v1/passes", &named).await;
    assert_eq!(code_of(refused), "malformed");
}

#[tokio::test]
async fn routes_are_closed_to_strangers_and_other_roles() {
    let network = Network::new().await;
    let code = network.code(Role::Cloud, "Nosy cloud").await;
    let stranger = stranger(&network, &code);
    let routes = [
        ("GET", "/v1/info"),
        ("GET", "/v1/stacks"),
        ("GET", "/v1/notices?after=0"),
        ("POST", "/v1/renew"),
        ("POST", "/v1/passes"),
        ("POST", "/v1/deposits"),
        (
            "PUT",
            "/v1/deposits/00000000000000000000000000000000/fragments/0",
        ),
        (
            "POST",
            "/v1/deposits/00000000000000000000000000000000/complete",
        ),
        ("POST", "/v1/search"),
        ("POST", "/v1/locate"),
        ("POST", "/v1/releases"),
        (
            "GET",
            "/v1/bundles/00000000000000000000000000000000/fragments/0?grant=00000000000000000000000000000000",
        ),
    ];
    let dir = tempfile::tempdir().unwrap();
    harpo_service::enrol::enrol(
        &code,
        &network.url(),
        vec![],
        None,
        dir.path(),
        &network.clock,
    )
    .await
    .unwrap();
    let identity = harpo_service::tls::Identity::load(dir.path(), network.clock.clone()).unwrap();
    let tls = harpo_service::tls::client_config(&identity, Expect::role(Role::Trust)).unwrap();
    let cloud = Client::new(&network.url(), tls).unwrap();
    for (method, path) in routes {
        for client in [&stranger, &cloud] {
            let request = client.request(method.parse().unwrap(), path).bytes("{}");
            let expected = match path {
                // Open to the cloud, with a sensible body.
                "/v1/renew" if std::ptr::eq(client, &cloud) => "malformed",
                _ => "rejected",
            };
            assert_eq!(code_of(request.send().await), expected, "{method} {path}");
        }
    }
    // Whoever has a certificate does not enrol.
    let refused = cloud.post("/v1/enrol").bytes("{}").send().await;
    assert_eq!(code_of(refused), "rejected");
}
