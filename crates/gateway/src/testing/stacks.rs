//! Stacks in tests: bundles that were really sealed, in slots that are really encoded, behind a cloud that answers
//! retrievals and streams over TLS, and what trust's stand-in says and takes of them.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::sync::Mutex;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, OriginalUri, Path, Query, State};
use axum::routing::{get, post};
use harpo_oblivious::{Encoded, GenerationInfo, Query as Asked, Stack, answer};
use harpo_protocol::access::{Purpose, Requester};
use harpo_protocol::cell::{CellAddress, seal_cell};
use harpo_protocol::deposit::unwrap_content_key;
use harpo_protocol::domain::sha256;
use harpo_protocol::id::{BundleId, Digest, GenerationId, Nonce, PartyId};
use harpo_protocol::identity::{
    CertificateChain, CertificateRequest, Credential, GatewayKeys, Role,
};
use harpo_protocol::manifest::Manifest;
use harpo_protocol::release::{self, Access, Placement, Release, ReleaseRequest, Secrets};
use harpo_protocol::replacement::{Errand, ErrandSecrets};
use harpo_protocol::retrieval::{self, Ticket, classes};
use harpo_protocol::rounds::{Round, RoundStack, Rule, stack_of};
use harpo_protocol::search::{LocateRequest, LocateResponse, Located};
use harpo_protocol::secret::{ContentKey, PlacementKey};
use harpo_protocol::sign::{Signed, SigningKey};
use harpo_protocol::stack::{Figures, SealedGeneration, StackDescriptor};
use harpo_protocol::time::Timestamp;
use harpo_protocol::wrap::{OpeningKey, SealingKey};
use harpo_service::http::{ApiError, Json, Limits, Peer, Server};
use harpo_service::shutdown::Shutdown;
use harpo_service::tls::{ClientAuth, Identity, Subject, generate_key_and_csr, server_config};
use http::StatusCode;
use rand_chacha::ChaCha20Rng;
use rand_core::{Rng as _, SeedableRng as _};
use tokio_util::sync::CancellationToken;

mod trust;

pub(super) use self::trust::{release, routes};
use super::{Answer, BOUNDS, Desk, LASTING, LAYOUT, NOW, World, lock};
use crate::consult::{Consult, Settings};
use crate::hints::Hints;
use crate::phantom::{self, Plan};
use crate::seal::Sealer;
use crate::spool::{Kind, Source as Sender, Spool};
use crate::store::Store;

/// Slots of a generation.
pub(crate) const SLOTS: u32 = 256;

/// One request as the cloud sees it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Seen {
    pub(crate) at: Timestamp,
    pub(crate) path: String,
    /// Of which stack, oldest first.
    pub(crate) stack: usize,
    pub(crate) queries: u32,
    pub(crate) up: usize,
    pub(crate) nonce: Nonce,
}

/// A bundle in a stack.
pub(crate) struct Stored {
    pub(crate) manifest: Signed<Manifest>,
    pub(crate) study: String,
    pub(crate) fragments: Vec<Vec<u8>>,
    pub(crate) originals: BTreeMap<String, Vec<u8>>,
    pub(crate) stack: usize,
    content_key: ContentKey,
    places: Vec<(CellAddress, [u8; 32])>,
}

struct Sealed {
    descriptor: Signed<StackDescriptor>,
    generation: SealedGeneration,
    stack: Stack,
    encoded: Encoded,
    slots: Vec<Vec<u8>>,
}

/// What the stand-ins of trust and cloud have and do beside deposits.
pub(crate) struct Stacks {
    pub(crate) cloud_url: String,
    pub(crate) rule: Mutex<Option<Rule>>,
    pub(crate) bundles: HashMap<BundleId, Stored>,
    stacks: Vec<Sealed>,
    origin: Signed<Credential>,
    /// Trust wants back what is read.
    pub(crate) give_back: Mutex<bool>,
    /// Given with the next rounds of their stack.
    pub(crate) errands: Mutex<VecDeque<BundleId>>,
    /// Fragments that were given back, by bundle.
    pub(crate) given: Mutex<HashMap<BundleId, BTreeMap<u32, Vec<u8>>>>,
    /// Bundles that were given back whole.
    pub(crate) replaced: Mutex<Vec<BundleId>>,
    pub(crate) seen: Mutex<Vec<Seen>>,
    /// So many retrievals are refused.
    pub(crate) refuse: Mutex<u32>,
    /// All retrievals are told to come back later.
    pub(crate) busy: Mutex<bool>,
    /// Retrievals are answered while somebody could take it.
    pub(crate) gate: tokio::sync::Mutex<()>,
    /// How far trust's clock is behind.
    pub(crate) behind: Mutex<Duration>,
    /// What each round has got.
    rounds: Mutex<HashMap<u64, Round>>,
    /// What is released, by whom.
    pub(crate) released: Mutex<Vec<(BundleId, Requester)>>,
}

impl World {
    /// A network with two stacks of a generation each, and a bundle in each.
    pub(crate) async fn with_stacks(rule: Option<Rule>) -> (Self, Arc<Stacks>) {
        let world = Self::new().await;
        let mut rng = ChaCha20Rng::from_seed([5; 32]);
        let server = Server::bind("127.0.0.1:0".parse().unwrap(), Limits::default());
        let server = server.await.unwrap();
        let url = format!("https://localhost:{}", server.local_addr().port());
        let stacks = Arc::new(Stacks::new(&world, url, rule, &mut rng));
        assert!(world.desk.stacks.set(stacks.clone()).is_ok());
        let folder = world.dir.path().join("cloud");
        let subject = Subject {
            role: Role::Cloud,
            party: PartyId::random(&mut rng),
            server_names: vec!["localhost".into()],
        };
        let csr = generate_key_and_csr(&folder).unwrap();
        let authority = &world.desk.authority;
        let chain = authority.issue(&csr, &subject, LASTING, NOW).unwrap();
        let identity =
            Identity::install(&folder, &chain, authority.root(), world.clock.clone()).unwrap();
        let server = server
            .with_tls(server_config(&identity, ClientAuth::Required).unwrap())
            .with_clock(world.clock.clone());
        let router = cloud(world.desk.clone());
        tokio::spawn(async move { server.serve(router, CancellationToken::new()).await });
        (world, stacks)
    }
}

impl World {
    /// The gateway's consulting side, with the hints of all stacks.
    pub(crate) async fn consult(&self) -> (Consult, Shutdown) {
        let (party, trust) = self.gateway().await;
        let store = Store::open(&self.data().join("gateway.db")).await.unwrap();
        let hints = Arc::new(Hints::open(self.data().join("hints")).unwrap());
        let settings = Settings {
            cache: self.data().join("cache"),
            cache_max: 1 << 30,
            decision_lasts: Duration::from_secs(60),
            failure_holdoff: Duration::from_secs(60),
            retrievals_at_once: 1,
            bounds: BOUNDS,
        };
        let shutdown = Shutdown::new();
        let consult = Consult::new(party, trust, store, hints, settings, shutdown.clone());
        let consult = consult.await.unwrap();
        consult.refresh_hints().await.unwrap();
        (consult, shutdown)
    }
}

impl Stacks {
    fn new(world: &World, cloud_url: String, rule: Option<Rule>, rng: &mut ChaCha20Rng) -> Self {
        let desk = &world.desk;
        let (producer, _) = SigningKey::generate(rng);
        let credential = Credential {
            party: PartyId([3; 16]),
            name: "Far away".into(),
            keys: GatewayKeys {
                signing: producer.verifying_key(),
                sealing: OpeningKey::generate(rng).0.sealing_key(),
            },
            issued: NOW,
            expires: NOW.after(LASTING),
        };
        let mut bundles = HashMap::new();
        let mut stacks = Vec::new();
        for number in 0..2 {
            let bundle = BundleId([number + 1; 16]);
            let mut stored = deposited(world, bundle, &producer, rng);
            stored.stack = number.into();
            stacks.push(sealed(
                desk,
                GenerationId([number + 11; 16]),
                &mut stored,
                rng,
            ));
            bundles.insert(bundle, stored);
        }
        Self {
            cloud_url,
            rule: Mutex::new(rule),
            bundles,
            stacks,
            origin: desk.signing.sign(&credential),
            give_back: Mutex::default(),
            errands: Mutex::default(),
            given: Mutex::default(),
            replaced: Mutex::default(),
            seen: Mutex::default(),
            refuse: Mutex::default(),
            busy: Mutex::default(),
            gate: tokio::sync::Mutex::default(),
            behind: Mutex::default(),
            rounds: Mutex::default(),
            released: Mutex::default(),
        }
    }

    /// The bundle in a stack.
    pub(crate) fn bundle(&self, stack: usize) -> (BundleId, &Stored) {
        let mut bundles = self.bundles.iter();
        let (bundle, stored) = bundles.find(|(_, stored)| stored.stack == stack).unwrap();
        (*bundle, stored)
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        lock(&self.seen).clone()
    }

    pub(crate) fn at_once_for(&self) -> Vec<Purpose> {
        vec![Purpose::Etreat, Purpose::Btg]
    }

    pub(super) fn descriptors(&self) -> Vec<Signed<StackDescriptor>> {
        let stacks = self.stacks.iter();
        stacks.map(|sealed| sealed.descriptor.clone()).collect()
    }

    fn ticket(&self, desk: &Desk, stack: usize, queries: u32) -> Signed<Ticket> {
        desk.signing.sign(&Ticket {
            nonce: Nonce::random(&mut harpo_service::random::system()),
            generations: vec![self.stacks[stack].generation.generation],
            queries,
            expires: desk.clock.now().after(LASTING),
        })
    }
}

impl Stored {
    /// Where it is.
    pub(crate) fn generation(&self) -> GenerationId {
        self.places[0].0.generation
    }

    /// Slots that it takes.
    pub(crate) fn slots(&self) -> usize {
        self.fragments.len().div_ceil(LAYOUT.cells_per_slot.into())
    }

    fn placements(&self) -> Vec<Placement> {
        let places = self.places.iter();
        places
            .map(|(at, key)| Placement {
                at: *at,
                key: PlacementKey::from_slice(key).unwrap(),
            })
            .collect()
    }
}

/// What a producer deposits.
fn deposited(
    world: &World,
    bundle: BundleId,
    producer: &SigningKey,
    rng: &mut ChaCha20Rng,
) -> Stored {
    let plan = Plan {
        slices: 10,
        size: 128,
        ..Plan::default()
    };
    let dir = world.dir.path().join(format!("producer-{bundle}"));
    let spool = Spool::open(&dir.join("spool")).unwrap();
    let mut originals = BTreeMap::new();
    let mut study = String::new();
    for path in phantom::write_plan(&dir.join("phantom"), &plan, rng).unwrap() {
        let bytes = std::fs::read(path).unwrap();
        let kind = Kind::File {
            study_instance_uid: None,
        };
        let mut incoming = spool.begin(kind, 1 << 20);
        incoming.push(&bytes).unwrap();
        let sender = Sender::User("ada".into());
        let stored = spool.store(incoming, &sender, NOW.0).unwrap();
        study = stored.header.study_instance_uid;
        originals.insert(stored.header.sop_instance_uid, bytes);
    }
    let closed = spool.close(&study, &bundle.to_string()).unwrap();
    let closed = spool.bundle(&closed.id).unwrap();
    let (opening, _) = OpeningKey::generate(rng);
    let sealer = Sealer {
        origin: PartyId([3; 16]),
        signing: producer,
        trust: &opening.sealing_key(),
        layout: LAYOUT,
        unmarked_modalities: &[],
        bounds: BOUNDS,
    };
    let mut fragments = Vec::new();
    let request = sealer
        .seal(&closed, bundle, &dir, &mut fragments, NOW, rng)
        .unwrap()
        .request;
    let digest = request.manifest.digest();
    let content_key = unwrap_content_key(&request.content_key, bundle, digest, &opening).unwrap();
    let fragments = fragments.chunks(LAYOUT.fragment_bytes());
    Stored {
        manifest: request.manifest,
        study,
        fragments: fragments.map(<[u8]>::to_vec).collect(),
        originals,
        stack: 0,
        content_key,
        places: Vec::new(),
    }
}

/// A stack of one generation with the bundle at random slots.
fn sealed(desk: &Desk, id: GenerationId, stored: &mut Stored, rng: &mut ChaCha20Rng) -> Sealed {
    let per_slot = u32::from(LAYOUT.cells_per_slot);
    let mut order: Vec<u32> = (0..SLOTS).collect();
    harpo_protocol::placement::shuffle(&mut order, rng);
    let mut slots: Vec<Vec<u8>> = (0..SLOTS)
        .map(|_| {
            let mut slot = vec![0; LAYOUT.slot_bytes() as usize];
            rng.fill_bytes(&mut slot);
            slot
        })
        .collect();
    for (index, fragment) in (0u32..).zip(&stored.fragments) {
        let at = CellAddress {
            generation: id,
            slot: order[(index / per_slot) as usize],
            cell: (index % per_slot) as u16,
        };
        let mut key = [0; 32];
        rng.fill_bytes(&mut key);
        let mut cell = fragment.clone();
        seal_cell(&PlacementKey::from_slice(&key).unwrap(), at, &mut cell).unwrap();
        let start = usize::from(at.cell) * cell.len();
        slots[at.slot as usize][start..start + cell.len()].copy_from_slice(&cell);
        stored.places.push((at, key));
    }
    let mut generation = SealedGeneration {
        generation: id,
        figures: Figures {
            slots: SLOTS,
            slot_bytes: LAYOUT.slot_bytes(),
            parameter_set: 1,
            interleave: 2,
            seed: Digest([id.0[0]; 32]),
        },
        slots: Digest([0; 32]),
        hint: Digest([0; 32]),
        hint_bytes: 0,
    };
    let info: GenerationInfo = crate::hints::info(&generation).unwrap();
    let encoded = Encoded::of_slots(&info, &slots).unwrap();
    let hint = encoded.hint().to_bytes();
    (generation.hint, generation.hint_bytes) = (sha256(&hint), hint.len() as u64);
    let descriptor = desk.signing.sign(&StackDescriptor {
        generations: vec![generation.clone()],
        issued: NOW,
    });
    Sealed {
        descriptor,
        generation,
        stack: Stack::new(vec![info]).unwrap(),
        encoded,
        slots,
    }
}

fn cloud(desk: Arc<Desk>) -> Router {
    Router::new()
        .route("/v1/retrievals", post(spend))
        .route("/v1/streams", post(spend))
        .route("/v1/generations/{generation}/hint", get(hint))
        .layer(DefaultBodyLimit::disable())
        .with_state(desk)
}

async fn spend(
    State(desk): State<Arc<Desk>>,
    peer: Peer,
    OriginalUri(uri): OriginalUri,
    body: Bytes,
) -> Result<Vec<u8>, ApiError> {
    peer.require(Role::Pass)?;
    let stacks = desk.stacks.get().unwrap();
    let (ticket, queries) = retrieval::split(&body).unwrap();
    let ticket = ticket.verify(&desk.signing.verifying_key()).unwrap();
    let of = |sealed: &Sealed| ticket.generations == [sealed.generation.generation];
    let number = stacks.stacks.iter().position(of).unwrap();
    let spent = lock(&stacks.seen)
        .iter()
        .any(|seen| seen.nonce == ticket.nonce);
    assert!(!spent, "a ticket was spent twice");
    lock(&stacks.seen).push(Seen {
        at: desk.clock.now(),
        path: uri.to_string(),
        stack: number,
        queries: ticket.queries,
        up: body.len(),
        nonce: ticket.nonce,
    });
    let _gate = stacks.gate.lock().await;
    let refused = {
        let mut refuse = lock(&stacks.refuse);
        let refused = *refuse > 0;
        *refuse = refuse.saturating_sub(1);
        refused
    };
    if refused {
        return Err(ApiError::new(
            StatusCode::FORBIDDEN,
            "rejected",
            "as the test wants",
        ));
    }
    if *lock(&stacks.busy) {
        let busy = ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "busy", "as the test wants");
        return Err(busy.retry_after(Duration::from_secs(600)));
    }
    let sealed = &stacks.stacks[number];
    if uri.path() == "/v1/streams" {
        assert!(queries.is_empty());
        return Ok(sealed.slots.concat());
    }
    let size = sealed.stack.query_bytes() as usize;
    assert_eq!(queries.len(), ticket.queries as usize * size);
    let queries = queries.chunks(size);
    let queries: Vec<Asked> = queries
        .map(|bytes| Asked::from_bytes(&sealed.stack, bytes).unwrap())
        .collect();
    let answers = answer(&sealed.stack, &[&sealed.encoded], &queries).unwrap();
    Ok(answers.iter().flat_map(|a| a.to_bytes()).collect())
}

async fn hint(State(desk): State<Arc<Desk>>, Path(generation): Path<String>) -> Vec<u8> {
    let wanted: GenerationId = generation.parse().unwrap();
    let mut stacks = desk.stacks.get().unwrap().stacks.iter();
    let sealed = stacks.find(|sealed| sealed.generation.generation == wanted);
    sealed.unwrap().encoded.hint().to_bytes()
}
