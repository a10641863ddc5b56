//! Everything that the tests need around the service.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use harpo_protocol::access::{Purpose, Requester};
use harpo_protocol::cell::Layout;
use harpo_protocol::deposit::{DepositRequest, DepositStatus, Receipt, wrap_content_key};
use harpo_protocol::domain::sha256;
use harpo_protocol::fragment;
use harpo_protocol::id::{BundleId, GenerationId, PartyId};
use harpo_protocol::identity::{EnrolCode, GatewayKeys, Role, TrustInfo};
use harpo_protocol::manifest::{Attributes, Instance, Manifest, Series, Study};
use harpo_protocol::release::{Release, ReleaseRequest};
use harpo_protocol::search::{Level, SearchRequest, SearchResponse};
use harpo_protocol::secret::ContentKey;
use harpo_protocol::sign::{Signed, SigningKey, VerifyingKey};
use harpo_protocol::stack::StackDescriptor;
use harpo_protocol::time::Timestamp;
use harpo_protocol::wrap::OpeningKey;
use harpo_service::clock::Clock;
use harpo_service::http::{Client, ClientError, Limits, Server};
use harpo_service::random;
use harpo_service::shutdown::Shutdown;
use harpo_service::tls::{ClientAuth, Expect, Identity, client_config, server_config};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;

use super::cloud::Cloud;
use crate::config::TrustConfig;
use crate::mixer::{Mixer, Progress};
use crate::serve::{Service, Trust};
use crate::store::generations;
use crate::{Folder, InitOptions, Operator, api, init};

pub(super) const SMALL: Layout = Layout {
    cell_bytes: 1024,
    cells_per_slot: 4,
    slots: 8,
};
const ANSWER_BYTES: usize = 4 << 20;

/// Trust without its mixer, which tests drive step by step, and the cloud beside it.
pub(super) struct Network {
    dir: tempfile::TempDir,
    pub(super) clock: Clock,
    pub(super) config: TrustConfig,
    pub(super) cloud: Arc<Cloud>,
    pub(super) trust: Arc<Trust>,
    pub(super) mixer: Mixer,
    pub(super) identity: Identity,
    pub(super) addr: SocketAddr,
    serving: tokio::task::JoinHandle<()>,
    stop: Shutdown,
}

impl Network {
    pub(super) async fn new() -> Self {
        Self::with("").await
    }

    /// With more lines in the configuration. Unless they say otherwise, sealing waits for no round time of day, and the
    /// cache is cleared at once.
    pub(super) async fn with(extra: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let clock = Clock::manual(Timestamp(1_800_000_000_000));
        let folder = Folder::new(dir.path().join("trust"));
        let mut rng = random::system();
        init(&folder, &InitOptions::default(), &clock, &mut rng)
            .await
            .unwrap();
        let local = "127.0.0.1:0".parse().unwrap();
        let cloud_server = Server::bind(local, Limits::default()).await.unwrap();
        let cloud_url = format!("https://localhost:{}", cloud_server.local_addr().port());
        let text = format!(
            "listen = \"127.0.0.1:0\"\n[layout]\ncell_bytes = {}\ncells_per_slot = {}\n\
             slots_per_generation = {}\n[cloud]\nurl = \"{cloud_url}\"\n{extra}",
            SMALL.cell_bytes, SMALL.cells_per_slot, SMALL.slots
        );
        std::fs::write(folder.config_path(), text).unwrap();
        let mut config = folder.config().unwrap();
        if !extra.contains("seal_grid_seconds") {
            config.mixing.seal_grid_seconds = 0;
        }
        if !extra.contains("cache_grace_seconds") {
            config.mixing.cache_grace_seconds = 0;
        }
        let (trust, mixer, identity, addr, serving, stop) = start(&folder, &config, &clock).await;
        let network = Self {
            dir,
            clock,
            config,
            cloud: Arc::default(),
            trust,
            mixer,
            identity,
            addr,
            serving,
            stop,
        };
        network.start_cloud(cloud_server).await;
        network
    }

    async fn start_cloud(&self, server: Server) {
        let dir = self.dir.path().join("cloud");
        let code = self.code(Role::Cloud, "Cloud").await;
        let names = vec!["localhost".to_owned()];
        harpo_service::enrol::enrol(&code, &self.url(), names, None, &dir, &self.clock)
            .await
            .unwrap();
        let identity = Identity::load(&dir, self.clock.clone()).unwrap();
        let server = server
            .with_tls(server_config(&identity, ClientAuth::Required).unwrap())
            .with_clock(self.clock.clone());
        tokio::spawn(server.serve(self.cloud.router(), self.stop.token().child_token()));
    }

    pub(super) fn folder(&self) -> Folder {
        Folder::new(self.dir.path().join("trust"))
    }

    pub(super) fn url(&self) -> String {
        format!("https://localhost:{}", self.addr.port())
    }

    pub(super) async fn operator(&self) -> Operator {
        Operator::open(&self.folder(), self.clock.clone())
            .await
            .unwrap()
    }

    pub(super) async fn code(&self, role: Role, name: &str) -> EnrolCode {
        let operator = self.operator().await;
        let (code, _) = operator
            .new_code(role, name, &mut random::system())
            .await
            .unwrap();
        operator.close().await;
        code
    }

    /// Enrols a gateway.
    pub(super) async fn gateway(&self, name: &str) -> Gateway {
        let code = self.code(Role::Gateway, name).await;
        self.gateway_with(&code, name).await.unwrap()
    }

    pub(super) async fn gateway_with(
        &self,
        code: &EnrolCode,
        folder: &str,
    ) -> Result<Gateway, harpo_service::enrol::EnrolError> {
        let mut rng = random::system();
        let (signing, _) = SigningKey::generate(&mut rng);
        let (opening, _) = OpeningKey::generate(&mut rng);
        let keys = GatewayKeys {
            signing: signing.verifying_key(),
            sealing: opening.sealing_key(),
        };
        let dir = self.dir.path().join(folder);
        let enrolled =
            harpo_service::enrol::enrol(code, &self.url(), vec![], Some(keys), &dir, &self.clock)
                .await?;
        let identity = Identity::load(&dir, self.clock.clone()).unwrap();
        let mut gateway = Gateway {
            party: enrolled.party,
            client: client(&self.url(), &identity),
            identity,
            signing,
            opening,
            trust_key: enrolled.trust_key,
            info: None,
        };
        let info: Signed<TrustInfo> = gateway.get("/v1/info").await.unwrap();
        gateway.info = Some(info.verify(&gateway.trust_key).unwrap().into_inner());
        Ok(gateway)
    }

    /// Kills the service without letting it finish anything, and starts it again; gateways must
    /// [`Gateway::reconnect`].
    pub(super) async fn kill_and_restart(&mut self) {
        self.serving.abort();
        let _ = (&mut self.serving).await;
        let (trust, mixer, identity, addr, serving, stop) =
            start(&self.folder(), &self.config, &self.clock).await;
        self.trust = trust;
        self.mixer = mixer;
        self.identity = identity;
        self.addr = addr;
        self.serving = serving;
        self.stop = stop;
    }

    /// Steps the mixer until it has nothing to do, or fails; at most so many steps.
    pub(super) async fn mix(&mut self) {
        for _ in 0..100 {
            if self.mixer.step().await.unwrap() == Progress::Idle {
                return;
            }
        }
        panic!("the mixer does not come to rest");
    }

    /// Seals the open generation by the operator's wish.
    pub(super) async fn seal(&mut self) -> GenerationId {
        let operator = self.operator().await;
        let id = operator.seal().await.unwrap();
        operator.close().await;
        self.mix().await;
        id
    }

    pub(super) async fn states(&self) -> Vec<generations::State> {
        generations::unsealed(self.trust.store.db.read())
            .await
            .unwrap()
            .into_iter()
            .map(|generation| generation.state)
            .collect()
    }

    /// Events of the audit log, as JSON.
    pub(super) async fn events(&self) -> Vec<serde_json::Value> {
        let texts: Vec<String> = sqlx::query_scalar("SELECT entry FROM audit ORDER BY number")
            .fetch_all(self.trust.store.db.read())
            .await
            .unwrap();
        texts
            .iter()
            .map(|text| serde_json::from_str(text).unwrap())
            .collect()
    }

    pub(super) async fn events_named(&self, name: &str) -> Vec<serde_json::Value> {
        let mut events = self.events().await;
        events.retain(|event| event["event"] == name);
        events
    }
}

async fn start(
    folder: &Folder,
    config: &TrustConfig,
    clock: &Clock,
) -> (
    Arc<Trust>,
    Mixer,
    Identity,
    SocketAddr,
    tokio::task::JoinHandle<()>,
    Shutdown,
) {
    let service = Service::start(folder, config.clone(), clock.clone())
        .await
        .unwrap();
    let trust = Arc::clone(&service.trust);
    let mixer = Mixer::new(Arc::clone(&trust), service.cloud.clone());
    let (addr, stop) = (service.local_addr(), Shutdown::new());
    let router = api::router(Arc::clone(&trust));
    let token = stop.token();
    let serving = tokio::spawn(async move {
        service.server.serve(router, token).await;
    });
    (trust, mixer, service.identity, addr, serving, stop)
}

fn client(url: &str, identity: &Identity) -> Client {
    let tls = client_config(identity, Expect::role(Role::Trust)).unwrap();
    Client::new(url, tls).unwrap()
}

/// An enrolled hospital.
pub(super) struct Gateway {
    pub(super) party: PartyId,
    pub(super) client: Client,
    pub(super) identity: Identity,
    pub(super) signing: SigningKey,
    pub(super) opening: OpeningKey,
    pub(super) trust_key: VerifyingKey,
    pub(super) info: Option<TrustInfo>,
}

/// A bundle ready to be deposited.
#[derive(Clone)]
pub(super) struct Sealed {
    pub(super) id: BundleId,
    pub(super) manifest: Manifest,
    pub(super) request: DepositRequest,
    pub(super) fragments: Vec<Vec<u8>>,
    pub(super) pack: Vec<u8>,
}

/// What is in a bundle.
#[derive(Clone)]
pub(super) struct Spec {
    pub(super) study: &'static str,
    pub(super) patient: &'static str,
    pub(super) modality: &'static str,
    pub(super) date: &'static str,
    /// UID of a series, and UID and content of its instances.
    pub(super) series: Vec<(String, Vec<(String, u8)>)>,
    pub(super) fragments: u32,
}

impl Spec {
    pub(super) fn new(study: &'static str, fragments: u32) -> Self {
        Self {
            study,
            patient: "P1",
            modality: "CT",
            date: "20260131",
            series: vec![(
                format!("{study}.1"),
                vec![(format!("{study}.1.1"), 1), (format!("{study}.1.2"), 1)],
            )],
            fragments,
        }
    }
}

pub(super) fn text(vr: &str, value: &str) -> serde_json::Value {
    json!({"vr": vr, "Value": [value]})
}

impl Gateway {
    pub(super) fn reconnect(&mut self, network: &Network) {
        self.client = client(&network.url(), &self.identity);
    }

    pub(super) async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        self.client.get(path).send_json(ANSWER_BYTES).await
    }

    pub(super) async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, ClientError> {
        self.client
            .post(path)
            .json(body)
            .send_json(ANSWER_BYTES)
            .await
    }

    /// All stacks, oldest first (7.1).
    pub(super) async fn stacks(&self) -> Vec<StackDescriptor> {
        let stacks: Vec<Signed<StackDescriptor>> = self.get("/v1/stacks").await.unwrap();
        stacks
            .iter()
            .map(|stack| stack.verify(&self.trust_key).unwrap().into_inner())
            .collect()
    }

    pub(super) fn manifest(&self, spec: &Spec) -> Manifest {
        let series = spec.series.iter().map(|(uid, instances)| Series {
            series_instance_uid: uid.clone(),
            attributes: Attributes::from([
                ("00080060".to_owned(), text("CS", spec.modality)),
                ("0008103E".to_owned(), text("LO", "Series of tests")),
            ]),
            instances: instances
                .iter()
                .map(|(uid, content)| Instance {
                    sop_instance_uid: uid.clone(),
                    sop_class_uid: "1.2.840.10008.5.1.4.1.1.2".into(),
                    attributes: Attributes::from([(
                        "00200013".to_owned(),
                        json!({"vr": "IS", "Value": [7]}),
                    )]),
                    bytes: 100,
                    sha256: sha256(&[*content]),
                    dataset_sha256: sha256(&[*content]),
                })
                .collect(),
        });
        Manifest {
            bundle: BundleId::random(&mut random::system()),
            origin: self.party,
            creator: "CT1".into(),
            created: Timestamp(1_800_000_000_000),
            study: Study {
                study_instance_uid: spec.study.into(),
                patient_id: spec.patient.into(),
                attributes: Attributes::from([
                    ("00080020".to_owned(), text("DA", spec.date)),
                    ("00080050".to_owned(), text("SH", "A7")),
                    (
                        "00100010".to_owned(),
                        json!({"vr": "PN", "Value": [{"Alphabetic": "Doe^Jane"}]}),
                    ),
                ]),
                series: series.collect(),
            },
            fragments: vec![],
        }
    }

    pub(super) fn seal(&self, spec: &Spec) -> Sealed {
        self.seal_manifest(self.manifest(spec), spec.fragments)
    }

    /// Makes fragments and signs the manifest over them.
    pub(super) fn seal_manifest(&self, mut manifest: Manifest, fragments: u32) -> Sealed {
        let mut rng = random::system();
        let key = ContentKey::random(&mut rng);
        let mut pack = vec![0; SMALL.chunk_bytes() * fragments as usize];
        rand_core::Rng::fill_bytes(&mut rng, &mut pack);
        let sealed: Vec<Vec<u8>> = pack
            .chunks(SMALL.chunk_bytes())
            .enumerate()
            .map(|(i, chunk)| {
                let last = i as u32 == fragments - 1;
                fragment::seal(
                    &key,
                    manifest.bundle,
                    i as u32,
                    last,
                    chunk.to_vec(),
                    &SMALL,
                )
                .unwrap()
            })
            .collect();
        manifest.fragments = sealed.iter().map(|bytes| sha256(bytes)).collect();
        let signed = self.signing.sign(&manifest);
        let sealing_key = &self.info.as_ref().unwrap().sealing_key;
        let content_key = wrap_content_key(
            &key,
            manifest.bundle,
            signed.digest(),
            sealing_key,
            &mut rng,
        )
        .unwrap();
        Sealed {
            id: manifest.bundle,
            manifest,
            request: DepositRequest {
                manifest: signed,
                content_key,
            },
            fragments: sealed,
            pack,
        }
    }

    pub(super) async fn begin(&self, bundle: &Sealed) -> Result<DepositStatus, ClientError> {
        self.post("/v1/deposits", &bundle.request).await
    }

    pub(super) async fn put(
        &self,
        bundle: BundleId,
        index: u32,
        bytes: &[u8],
    ) -> Result<(), ClientError> {
        let path = format!("/v1/deposits/{bundle}/fragments/{index}");
        let request = self.client.put(&path).bytes(bytes.to_vec());
        request.send().await.map(drop)
    }

    pub(super) async fn complete(&self, bundle: BundleId) -> Result<Signed<Receipt>, ClientError> {
        let path = format!("/v1/deposits/{bundle}/complete");
        self.client.post(&path).send_json(ANSWER_BYTES).await
    }

    /// All steps of a deposit.
    pub(super) async fn deposit(&self, spec: &Spec) -> Sealed {
        let bundle = self.seal(spec);
        for index in self.begin(&bundle).await.unwrap().missing {
            self.put(bundle.id, index, &bundle.fragments[index as usize])
                .await
                .unwrap();
        }
        let receipt = self.complete(bundle.id).await.unwrap();
        let receipt = receipt.verify(&self.trust_key).unwrap();
        assert_eq!(receipt.bundle, bundle.id);
        bundle
    }

    pub(super) async fn release(
        &self,
        bundle: BundleId,
        who: &Requester,
        held: bool,
    ) -> Result<Release, ClientError> {
        let request = ReleaseRequest {
            requester: who.clone(),
            bundle,
            held,
        };
        self.post("/v1/releases", &request).await
    }

    pub(super) async fn search(
        &self,
        who: &Requester,
        level: Level,
        keys: &[(&str, &str)],
    ) -> SearchResponse {
        self.search_page(who, level, keys, 100, 0).await
    }

    pub(super) async fn search_page(
        &self,
        who: &Requester,
        level: Level,
        keys: &[(&str, &str)],
        limit: u32,
        offset: u32,
    ) -> SearchResponse {
        let matching: BTreeMap<String, String> = keys
            .iter()
            .map(|(tag, key)| ((*tag).to_owned(), (*key).to_owned()))
            .collect();
        let request = SearchRequest {
            requester: who.clone(),
            level,
            matching,
            limit,
            offset,
        };
        self.post("/v1/search", &request).await.unwrap()
    }
}

pub(super) fn who(role: &str, purpose: Purpose) -> Requester {
    Requester {
        user: "dr.who".into(),
        role: role.into(),
        purpose,
    }
}

pub(super) fn treating() -> Requester {
    who("physician", Purpose::Treat)
}

/// The code of a refusal.
pub(super) fn code<T: std::fmt::Debug>(outcome: Result<T, ClientError>) -> String {
    match outcome {
        Err(ClientError::Refused { code, .. }) => code,
        other => panic!("not refused: {other:?}"),
    }
}

pub(super) const HOUR: Duration = Duration::from_secs(3600);
