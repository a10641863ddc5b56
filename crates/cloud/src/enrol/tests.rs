use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::routing::post;
use harpo_protocol::identity::{EnrolRequest, EnrolResponse};
use harpo_protocol::sign::SigningKey;
use harpo_service::clock::Timestamp;
use harpo_service::http::{ApiError, Json, Limits, Server};
use harpo_service::tls::{
    Authority, ClientAuth, Identity, Subject, generate_key_and_csr, server_config,
};
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng as _;
use tokio_util::sync::CancellationToken;

use super::*;

const DAY: Duration = Duration::from_secs(86_400);

struct Trust {
    authority: Authority,
    clock: Clock,
    key: VerifyingKey,
    code: EnrolCode,
    role: Role,
    used: Mutex<bool>,
}

impl Trust {
    fn issue(&self, csr: &str, role: Role, party: PartyId, server_names: Vec<String>) -> String {
        let subject = Subject {
            role,
            party,
            server_names,
        };
        self.authority
            .issue(csr, &subject, DAY, self.clock.now())
            .unwrap()
    }
}

async fn answer(
    State(trust): State<Arc<Trust>>,
    Json(request): Json<EnrolRequest>,
) -> Result<Json<EnrolResponse>, ApiError> {
    let used = std::mem::replace(&mut *trust.used.lock().unwrap(), true);
    if used || request.secret != trust.code.secret.to_text() {
        return Err(ApiError::forbidden("rejected", "the code was not accepted"));
    }
    let party = PartyId([7; 16]);
    Ok(Json(EnrolResponse {
        party,
        role: trust.role,
        chain: trust.issue(
            &request.certificate_request,
            trust.role,
            party,
            request.server_names,
        ),
        trust_key: trust.key,
        credential: None,
    }))
}

/// An authority that enrols whoever has the code, listening on loopback.
async fn trust(dir: &Path, role: Role) -> (Arc<Trust>, String) {
    let clock = Clock::manual(Timestamp::from_secs(1_800_000_000));
    let mut rng = ChaCha20Rng::from_seed([1; 32]);
    let authority = Authority::create(&dir.join("ca"), clock.now()).unwrap();
    let trust = Arc::new(Trust {
        code: EnrolCode::generate(authority.root().der(), &mut rng),
        key: SigningKey::generate(&mut rng).0.verifying_key(),
        authority,
        clock: clock.clone(),
        role,
        used: Mutex::new(false),
    });
    let own = dir.join("trust");
    let csr = generate_key_and_csr(&own).unwrap();
    let chain = trust.issue(
        &csr,
        Role::Trust,
        PartyId([1; 16]),
        vec!["127.0.0.1".into()],
    );
    let identity = Identity::install(&own, &chain, trust.authority.root(), clock).unwrap();
    let server = Server::bind("127.0.0.1:0".parse().unwrap(), Limits::default())
        .await
        .unwrap();
    let server = server.with_tls(server_config(&identity, ClientAuth::Optional).unwrap());
    let url = format!("https://{}", server.local_addr());
    let router = Router::new()
        .route("/v1/enrol", post(answer))
        .with_state(Arc::clone(&trust));
    tokio::spawn(server.serve(router, CancellationToken::new()));
    (trust, url)
}

#[tokio::test]
async fn a_code_enrols_once_and_what_was_learned_can_be_loaded() {
    let dir = tempfile::tempdir().unwrap();
    let (trust, url) = trust(dir.path(), Role::Cloud).await;
    let config = CloudConfig::new(dir.path().join("cloud"));
    let missing = Enrolment::load(&config.enrolment_file()).unwrap_err();
    assert!(
        matches!(missing, EnrolError::NotEnrolled { .. }),
        "{missing}"
    );

    let code = trust.code.to_text();
    let names = vec!["127.0.0.1".to_owned()];
    let enrolment = enrol(&config, &code, &url, names.clone(), &trust.clock)
        .await
        .unwrap();
    assert_eq!(enrolment.trust_key, trust.key);
    assert_eq!(
        Enrolment::load(&config.enrolment_file()).unwrap(),
        enrolment
    );
    let identity = Identity::load(&config.identity_dir(), trust.clock.clone()).unwrap();
    assert_eq!(
        (identity.role(), identity.party()),
        (Role::Cloud, enrolment.party)
    );

    let again = enrol(&config, &code, &url, names.clone(), &trust.clock)
        .await
        .unwrap_err();
    assert!(matches!(again, EnrolError::Already { .. }), "{again}");
    let second = CloudConfig::new(dir.path().join("second"));
    let spent = enrol(&second, &code, &url, names, &trust.clock)
        .await
        .unwrap_err();
    assert!(matches!(spent, EnrolError::Join(_)), "{spent}");
    assert!(!second.enrolment_file().exists());
}

#[tokio::test]
async fn codes_of_another_authority_or_role_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (trust, url) = trust(dir.path(), Role::Gateway).await;
    let config = CloudConfig::new(dir.path().join("cloud"));
    let mut foreign = trust.code.clone();
    foreign.authority.0[0] ^= 1;
    let refused = enrol(&config, &foreign.to_text(), &url, vec![], &trust.clock)
        .await
        .unwrap_err();
    assert!(matches!(refused, EnrolError::Join(_)), "{refused}");
    // First contact did not get past TLS: the code is unspent.
    assert!(!*trust.used.lock().unwrap());
    let code = trust.code.to_text();
    let refused = enrol(&config, &code, &url, vec![], &trust.clock)
        .await
        .unwrap_err();
    assert!(
        matches!(refused, EnrolError::WrongRole(Role::Gateway)),
        "{refused}"
    );
    assert!(!config.enrolment_file().exists());
}
