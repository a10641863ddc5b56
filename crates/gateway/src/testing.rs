//! A stand-in for trust in tests: real TLS, real signatures, real messages; what it answers to a
//! deposit is the test's choice. The parties' code may not depend on each other, and black-box tests
//! with the real service cannot make it refuse, break off and come back at will.

pub(crate) mod stacks;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::routing::{self, get, post};
use harpo_protocol::audit::AuditHead;
use harpo_protocol::cell::Layout;
use harpo_protocol::deposit::{DepositRequest, DepositStatus, Receipt};
use harpo_protocol::domain::sha256;
use harpo_protocol::id::{BundleId, PartyId};
use harpo_protocol::identity::{
    Credential, EnrolCode, EnrolRequest, EnrolResponse, GatewayKeys, Role, TrustInfo,
};
use harpo_protocol::manifest::Manifest;
use harpo_protocol::release::{Notice, Release, ReleaseRequest};
use harpo_protocol::sign::{Signed, SigningKey};
use harpo_protocol::stack::StackDescriptor;
use harpo_protocol::time::Timestamp;
use harpo_protocol::wrap::OpeningKey;
use harpo_service::clock::Clock;
use harpo_service::http::{ApiError, Json, Limits, Server};
use harpo_service::random;
use harpo_service::tls::{
    Authority, ClientAuth, Identity, Subject, generate_key_and_csr, server_config,
};
use http::StatusCode;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::content::pipeline::Bounds;
use crate::dicom::testing::Sample;
use crate::dicom::uid;
use crate::party::{self, Party};
use crate::spool::{Kind, Source, Spool};
use crate::trust_client::TrustClient;

pub(crate) const NOW: Timestamp = Timestamp(1_800_000_000_000);
const LASTING: Duration = Duration::from_secs(30 * 24 * 3600);
const LAYOUT: Layout = Layout {
    cell_bytes: 4096,
    cells_per_slot: 4,
    slots: 64,
};

/// For sealing and opening.
pub(crate) const BOUNDS: Bounds = Bounds {
    threads: 2,
    memory_bytes: 64 << 20,
    object_bytes: 64 << 20,
};

/// What the stand-in has and does.
pub(crate) struct Desk {
    authority: Authority,
    signing: SigningKey,
    opening: OpeningKey,
    party: PartyId,
    clock: Clock,
    /// Deposits of a study are refused with this.
    pub(crate) refuse: Mutex<HashMap<String, ApiError>>,
    /// How often a deposit of a study was begun.
    pub(crate) begun: Mutex<HashMap<String, u32>>,
    /// Manifests, and whether their deposit is complete.
    pub(crate) deposits: Mutex<HashMap<BundleId, (Signed<Manifest>, bool)>>,
    /// What is told at `/v1/notices`.
    pub(crate) notices: Mutex<Vec<Notice>>,
    /// How many releases were asked for; all are refused, unless there are stacks.
    pub(crate) releases: AtomicUsize,
    /// What a gateway enrolled with.
    enrolled: Mutex<Option<GatewayKeys>>,
    /// What is to be read.
    pub(crate) stacks: OnceLock<Arc<stacks::Stacks>>,
}

/// Trust's place, and a gateway enrolled with it.
pub(crate) struct World {
    dir: tempfile::TempDir,
    pub(crate) clock: Clock,
    pub(crate) desk: Arc<Desk>,
    identity: Identity,
    address: std::net::SocketAddr,
    serving: Option<(CancellationToken, JoinHandle<()>)>,
}

impl World {
    pub(crate) async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let clock = Clock::manual(NOW);
        let mut rng = random::system();
        let authority = Authority::create(&dir.path().join("authority"), NOW).unwrap();
        let folder = dir.path().join("trust");
        let subject = Subject {
            role: Role::Trust,
            party: PartyId::random(&mut rng),
            server_names: vec!["localhost".into()],
        };
        let csr = generate_key_and_csr(&folder).unwrap();
        let chain = authority.issue(&csr, &subject, LASTING, NOW).unwrap();
        let identity = Identity::install(&folder, &chain, authority.root(), clock.clone()).unwrap();
        let desk = Desk {
            authority,
            signing: SigningKey::generate(&mut rng).0,
            opening: OpeningKey::generate(&mut rng).0,
            party: PartyId::random(&mut rng),
            clock: clock.clone(),
            refuse: Mutex::default(),
            begun: Mutex::default(),
            deposits: Mutex::default(),
            notices: Mutex::default(),
            releases: AtomicUsize::new(0),
            enrolled: Mutex::default(),
            stacks: OnceLock::new(),
        };
        let mut world = Self {
            dir,
            clock,
            desk: Arc::new(desk),
            identity,
            address: "127.0.0.1:0".parse().unwrap(),
            serving: None,
        };
        world.open().await;
        let code = EnrolCode::generate(world.desk.authority.root().der(), &mut rng);
        party::enrol(&world.data(), &world.url(), &code, &world.clock)
            .await
            .unwrap();
        world
    }

    /// The gateway's data folder.
    pub(crate) fn data(&self) -> PathBuf {
        self.dir.path().join("gateway/data")
    }

    pub(crate) fn url(&self) -> String {
        format!("https://localhost:{}", self.address.port())
    }

    /// The gateway's keys, and its connection to trust.
    pub(crate) async fn gateway(&self) -> (Arc<Party>, TrustClient) {
        Party::load(&self.data(), &self.url(), &self.clock)
            .await
            .unwrap()
    }

    /// Trust answers, at the address it had before.
    pub(crate) async fn open(&mut self) {
        let server = Server::bind(self.address, Limits::default()).await.unwrap();
        self.address = server.local_addr();
        let server = server
            .with_tls(server_config(&self.identity, ClientAuth::Optional).unwrap())
            .with_clock(self.clock.clone());
        let stop = CancellationToken::new();
        let (router, token) = (router(self.desk.clone()), stop.clone());
        let task = tokio::spawn(async move {
            server.serve(router, token).await;
        });
        self.serving = Some((stop, task));
    }

    /// Trust is away.
    pub(crate) async fn close(&mut self) {
        if let Some((stop, task)) = self.serving.take() {
            stop.cancel();
            task.await.unwrap();
        }
    }
}

impl Desk {
    /// Studies whose deposits are complete, sorted.
    pub(crate) fn complete(&self) -> Vec<String> {
        let mut studies: Vec<String> = lock(&self.deposits)
            .values()
            .filter(|(_, complete)| *complete)
            .map(|(manifest, _)| self.read(manifest).study.study_instance_uid)
            .collect();
        studies.sort();
        studies
    }

    pub(crate) fn refuse(&self, study: &str, status: StatusCode, code: &'static str) {
        let refusal = ApiError::new(status, code, "as the test wants");
        lock(&self.refuse).insert(study.to_owned(), refusal);
    }

    pub(crate) fn begun(&self, study: &str) -> u32 {
        lock(&self.begun).get(study).copied().unwrap_or(0)
    }

    // Signed by the only gateway there is; what the test is about is not the signature.
    fn read(&self, manifest: &Signed<Manifest>) -> Manifest {
        let json = serde_json::to_value(manifest).unwrap();
        let payload = base64::Engine::decode(
            &base64::engine::general_purpose::STANDARD,
            json["payload"].as_str().unwrap(),
        );
        serde_json::from_slice(&payload.unwrap()).unwrap()
    }
}

/// Puts an instance into the spool.
pub(crate) fn put(spool: &Spool, study: &str, instance: &str, now: Timestamp) {
    let sample = Sample {
        study: study.into(),
        instance: instance.into(),
        ..Sample::default()
    };
    let kind = Kind::Dataset {
        transfer_syntax_uid: uid::EXPLICIT_LE.into(),
        sop_class_uid: "1.2.840.10008.5.1.4.1.1.2".into(),
        sop_instance_uid: sample.instance.clone(),
    };
    let mut incoming = spool.begin(kind, 1 << 20);
    incoming.push(&sample.dataset()).unwrap();
    let source = Source::AeTitle("CT1".into());
    spool.store(incoming, &source, now.as_millis()).unwrap();
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap()
}

fn router(desk: Arc<Desk>) -> Router {
    Router::new()
        .route("/v1/enrol", post(enrol))
        .route("/v1/info", get(info))
        .route("/v1/deposits", post(begin))
        .route(
            "/v1/deposits/{bundle}/fragments/{index}",
            routing::put(fragment),
        )
        .route("/v1/deposits/{bundle}/complete", post(complete))
        .route("/v1/notices", get(notices))
        .route("/v1/stacks", get(stacks))
        .route("/v1/releases", post(release))
        .merge(stacks::routes())
        .with_state(desk)
}

type Answer<T> = Result<Json<T>, ApiError>;

async fn enrol(
    State(desk): State<Arc<Desk>>,
    Json(request): Json<EnrolRequest>,
) -> Answer<EnrolResponse> {
    let now = desk.clock.now();
    let subject = Subject {
        role: Role::Gateway,
        party: desk.party,
        server_names: Vec::new(),
    };
    let csr = &request.certificate_request;
    let chain = desk.authority.issue(csr, &subject, LASTING, now).unwrap();
    lock(&desk.enrolled).clone_from(&request.keys);
    let credential = Credential {
        party: desk.party,
        name: "St. Luke's".into(),
        keys: request.keys.unwrap(),
        issued: now,
        expires: now.after(LASTING),
    };
    Ok(Json(EnrolResponse {
        party: desk.party,
        role: Role::Gateway,
        chain,
        trust_key: desk.signing.verifying_key(),
        credential: Some(desk.signing.sign(&credential)),
    }))
}

async fn info(State(desk): State<Arc<Desk>>) -> Answer<Signed<TrustInfo>> {
    let stacks = desk.stacks.get();
    Ok(Json(desk.signing.sign(&TrustInfo {
        sealing_key: desk.opening.sealing_key(),
        layout: LAYOUT,
        cloud_url: stacks.map_or("https://localhost:1".into(), |s| s.cloud_url.clone()),
        issued: desk.clock.now(),
        unmarked_modalities: Vec::new(),
        rounds: stacks.and_then(|s| *lock(&s.rule)),
        at_once_for: stacks.map_or_else(Vec::new, |s| s.at_once_for()),
        relay: None,
    })))
}

async fn begin(
    State(desk): State<Arc<Desk>>,
    Json(request): Json<DepositRequest>,
) -> Answer<DepositStatus> {
    let manifest = desk.read(&request.manifest);
    let study = &manifest.study.study_instance_uid;
    *lock(&desk.begun).entry(study.clone()).or_default() += 1;
    if let Some(refusal) = lock(&desk.refuse).get(study) {
        return Err(refusal.clone());
    }
    let mut deposits = lock(&desk.deposits);
    let (known, _) = deposits
        .entry(manifest.bundle)
        .or_insert_with(|| (request.manifest.clone(), false));
    if known.digest() != request.manifest.digest() {
        return Err(ApiError::conflict("conflict", "another manifest"));
    }
    Ok(Json(DepositStatus {
        missing: (0..manifest.fragments.len() as u32).collect(),
    }))
}

async fn fragment(
    State(desk): State<Arc<Desk>>,
    Path((bundle, index)): Path<(String, usize)>,
    bytes: Bytes,
) -> Result<StatusCode, ApiError> {
    let deposits = lock(&desk.deposits);
    let (manifest, _) = &deposits[&bundle.parse().unwrap()];
    match desk.read(manifest).fragments.get(index) {
        Some(digest) if *digest == sha256(&bytes) => Ok(StatusCode::NO_CONTENT),
        _ => Err(ApiError::bad_request("malformed", "another fragment")),
    }
}

async fn complete(
    State(desk): State<Arc<Desk>>,
    Path(bundle): Path<String>,
) -> Answer<Signed<Receipt>> {
    let mut deposits = lock(&desk.deposits);
    let bundle = bundle.parse().unwrap();
    let (manifest, complete) = deposits.get_mut(&bundle).unwrap();
    *complete = true;
    Ok(Json(desk.signing.sign(&Receipt {
        bundle,
        manifest: manifest.digest(),
        depositor: desk.party,
        received: desk.clock.now(),
        audit: AuditHead::EMPTY,
    })))
}

async fn notices(
    State(desk): State<Arc<Desk>>,
    Query(query): Query<HashMap<String, u64>>,
) -> Answer<Vec<Notice>> {
    let after = query["after"];
    let notices = lock(&desk.notices);
    Ok(Json(
        notices
            .iter()
            .filter(|n| n.number > after)
            .cloned()
            .collect(),
    ))
}

async fn release(
    State(desk): State<Arc<Desk>>,
    Json(request): Json<ReleaseRequest>,
) -> Answer<Release> {
    desk.releases.fetch_add(1, Ordering::Relaxed);
    match desk.stacks.get() {
        Some(stacks) => Ok(Json(stacks::release(&desk, stacks, &request))),
        None => {
            let why = "as the test wants";
            Err(ApiError::new(StatusCode::FORBIDDEN, "denied", why))
        }
    }
}

async fn stacks(State(desk): State<Arc<Desk>>) -> Answer<Vec<Signed<StackDescriptor>>> {
    let stacks = desk.stacks.get();
    Ok(Json(stacks.map_or_else(Vec::new, |s| s.descriptors())))
}
