//! An authority, a cloud, and clients of it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use harpo_cloud::config::CloudConfig;
use harpo_cloud::enrol::Enrolment;
use harpo_cloud::events::{Event, EventLog};
use harpo_cloud::{Running, StartError};
use harpo_oblivious::client::{self, Choice, Secret};
use harpo_oblivious::{Answer, GenerationInfo, Hint, ParamSetId, Seed, Shape, Stack, StackHint};
use harpo_protocol::domain::sha256;
use harpo_protocol::id::{Digest, GenerationId, Nonce, PartyId};
use harpo_protocol::retrieval::{self, Ticket};
use harpo_protocol::sign::{Signed, SigningKey};
use harpo_protocol::stack::{Figures, GenerationStatus, SealRequest, slots_digest};
use harpo_service::clock::{Clock, Timestamp};
use harpo_service::http::{Client, ClientError};
use harpo_service::shutdown::Shutdown;
use harpo_service::tls::{
    Authority, Expect, Identity, Role, Subject, client_config, generate_key_and_csr,
};
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng as _;

pub(crate) const SLOTS: u32 = 16;
pub(crate) const SLOT_BYTES: usize = 16 << 10;
const INTERLEAVE: u32 = 8;
const DAY: Duration = Duration::from_secs(86_400);
const ANSWER_LIMIT: usize = 128 << 20;

pub(crate) struct World {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) clock: Clock,
    pub(crate) signing: SigningKey,
    pub(crate) config: CloudConfig,
    authority: Authority,
}

impl World {
    /// An enrolled cloud that does not run yet.
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let clock = Clock::manual(Timestamp::from_secs(1_800_000_000));
        let authority = Authority::create(&dir.path().join("ca"), clock.now()).unwrap();
        let mut config = CloudConfig::new(dir.path().join("cloud"));
        config.listen.set_port(0);
        config.admin.listen.set_port(0);
        config.limits.memory_limit_mib = 64;
        let signing = SigningKey::generate(&mut ChaCha20Rng::from_seed([9; 32])).0;
        let world = Self {
            dir,
            clock,
            signing,
            config,
            authority,
        };
        let party = PartyId([2; 16]);
        world.identity_in(&world.config.identity_dir(), Role::Cloud, party);
        let enrolment = Enrolment {
            party,
            // Nobody is there: certificates are not renewed in these tests.
            trust_url: "https://127.0.0.1:9".into(),
            trust_key: world.signing.verifying_key(),
            server_names: vec!["127.0.0.1".into()],
        };
        enrolment.store(&world.config.enrolment_file()).unwrap();
        world
    }

    fn identity_in(&self, dir: &Path, role: Role, party: PartyId) -> Identity {
        let csr = generate_key_and_csr(dir).unwrap();
        let subject = Subject {
            role,
            party,
            server_names: vec!["127.0.0.1".into()],
        };
        let chain = self
            .authority
            .issue(&csr, &subject, DAY, self.clock.now())
            .unwrap();
        Identity::install(dir, &chain, self.authority.root(), self.clock.clone()).unwrap()
    }

    pub(crate) async fn try_start(&self) -> Result<Running, StartError> {
        harpo_cloud::serve(self.config.clone(), self.clock.clone(), Shutdown::new()).await
    }

    /// Starts the cloud and waits until it is ready.
    pub(crate) async fn start(&self) -> Running {
        let running = self.try_start().await.unwrap();
        until(async || running.readiness().not_ready().is_empty()).await;
        running
    }

    /// A client of the cloud with this role and name.
    pub(crate) fn client(&self, running: &Running, role: Role, party: u8) -> Client {
        let dir = self.dir.path().join(format!("{role}-{party}"));
        let identity = self.identity_in(&dir, role, PartyId([party; 16]));
        let config = client_config(&identity, Expect::role(Role::Cloud)).unwrap();
        Client::new(&format!("https://{}", running.address()), config).unwrap()
    }

    pub(crate) fn trust(&self, running: &Running) -> Client {
        self.client(running, Role::Trust, 1)
    }

    pub(crate) fn pass(&self, running: &Running, party: u8) -> Client {
        self.client(running, Role::Pass, party)
    }

    /// A ticket that is good for a minute.
    pub(crate) fn ticket(
        &self,
        generations: &[&Generation],
        queries: u32,
        nonce: u8,
    ) -> Signed<Ticket> {
        self.signing.sign(&Ticket {
            nonce: Nonce([nonce; 16]),
            generations: generations.iter().map(|generation| generation.id).collect(),
            queries,
            expires: self.clock.now().after(Duration::from_secs(60)),
        })
    }

    pub(crate) fn events(&self) -> Vec<Event> {
        EventLog::read(&self.config.event_log()).unwrap()
    }

    /// Where the objects of a generation are.
    pub(crate) fn objects_of(&self, generation: &Generation) -> PathBuf {
        self.config.objects_dir().join(generation.id.to_string())
    }

    /// The stored file of a slot.
    pub(crate) fn slot_file(&self, generation: &Generation, slot: u32) -> PathBuf {
        let digest = hex::encode(&sha256(&generation.slots[slot as usize]).0[..8]);
        let name = format!("slots/{slot:08}-{digest}");
        self.objects_of(generation).join(name)
    }
}

/// Waits until `holds`, for as long as a slow machine may need.
pub(crate) async fn until(mut holds: impl AsyncFnMut() -> bool) {
    for _ in 0..3000 {
        if holds().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("waited for half a minute");
}

/// A generation as trust knows it.
pub(crate) struct Generation {
    pub(crate) id: GenerationId,
    pub(crate) slots: Vec<Vec<u8>>,
    pub(crate) request: SealRequest,
}

impl Generation {
    pub(crate) fn new(id: u8) -> Self {
        Self::with(id, SLOTS, SLOT_BYTES)
    }

    pub(crate) fn with(id: u8, slots: u32, slot_bytes: usize) -> Self {
        use rand_core::Rng as _;
        let mut rng = ChaCha20Rng::from_seed([id; 32]);
        let slots: Vec<Vec<u8>> = (0..slots)
            .map(|_| {
                let mut bytes = vec![0; slot_bytes];
                rng.fill_bytes(&mut bytes);
                bytes
            })
            .collect();
        let figures = Figures {
            slots: slots.len() as u32,
            slot_bytes: slot_bytes as u32,
            parameter_set: 1,
            interleave: INTERLEAVE,
            seed: Digest([id; 32]),
        };
        let digest = slots_digest(slots.iter().map(|slot| sha256(slot)));
        Self {
            id: GenerationId([id; 16]),
            slots,
            request: SealRequest {
                figures,
                slots: digest,
            },
        }
    }

    pub(crate) fn path(&self, rest: &str) -> String {
        format!("/v1/generations/{}{rest}", self.id)
    }

    pub(crate) async fn put(&self, trust: &Client, slot: u32) -> Result<(), ClientError> {
        let bytes = self.slots[slot as usize].clone();
        trust
            .put(&self.path(&format!("/slots/{slot}")))
            .bytes(bytes)
            .send()
            .await
            .map(drop)
    }

    pub(crate) async fn write(&self, trust: &Client) {
        for slot in 0..self.slots.len() as u32 {
            self.put(trust, slot).await.unwrap();
        }
    }

    pub(crate) async fn ask_to_seal(
        &self,
        trust: &Client,
    ) -> Result<GenerationStatus, ClientError> {
        trust
            .post(&self.path("/seal"))
            .json(&self.request)
            .send_json(4096)
            .await
    }

    pub(crate) async fn status(&self, trust: &Client) -> Result<GenerationStatus, ClientError> {
        trust.get(&self.path("")).send_json(4096).await
    }

    /// Waits until it is sealed; digest of its hint.
    pub(crate) async fn sealed(&self, trust: &Client) -> Digest {
        until(async || {
            matches!(
                self.status(trust).await,
                Ok(GenerationStatus::Sealed { .. })
            )
        })
        .await;
        match self.status(trust).await.unwrap() {
            GenerationStatus::Sealed { slots, hint, .. } => {
                assert_eq!(slots, self.request.slots);
                hint
            }
            other => panic!("{other:?}"),
        }
    }

    pub(crate) async fn write_and_seal(&self, trust: &Client) -> Digest {
        self.write(trust).await;
        self.ask_to_seal(trust).await.unwrap();
        self.sealed(trust).await
    }

    pub(crate) fn info(&self) -> GenerationInfo {
        let f = &self.request.figures;
        GenerationInfo {
            params: ParamSetId(f.parameter_set),
            shape: Shape::new(f.slots, f.slot_bytes, f.interleave).unwrap(),
            seed: Seed(f.seed.0),
        }
    }

    pub(crate) async fn hint(&self, pass: &Client) -> Result<Bytes, ClientError> {
        pass.get(&self.path("/hint")).send_bytes(ANSWER_LIMIT).await
    }
}

/// What a consumer holds of a stack.
pub(crate) struct Consumer {
    pub(crate) stack: Stack,
    hint: StackHint,
}

/// A retrieval ready to be sent, and what opens its answer.
pub(crate) struct Asked {
    pub(crate) body: Vec<u8>,
    secrets: Vec<Secret>,
}

impl Consumer {
    /// Downloads the hints of a stack.
    pub(crate) async fn new(generations: &[&Generation], pass: &Client) -> Self {
        let stack = Stack::new(
            generations
                .iter()
                .map(|generation| generation.info())
                .collect(),
        )
        .unwrap();
        let mut hints = Vec::new();
        for generation in generations {
            let bytes = generation.hint(pass).await.unwrap();
            hints.push(Hint::from_bytes(&generation.info(), &bytes).unwrap());
        }
        let hint = StackHint::sum(&stack, &hints).unwrap();
        Self { stack, hint }
    }

    /// One query for each choice: generation in the stack, and slot.
    pub(crate) fn ask(&self, ticket: &Signed<Ticket>, choices: &[Option<(usize, u32)>]) -> Asked {
        let mut rng = ChaCha20Rng::from_seed([choices.len() as u8; 32]);
        let mut asked = Asked {
            body: retrieval::head(ticket),
            secrets: Vec::new(),
        };
        for choice in choices {
            let choice = match *choice {
                Some((generation, slot)) => Choice::Slot { generation, slot },
                None => Choice::Dummy,
            };
            let (secret, query) = client::query(&self.stack, choice, &mut rng).unwrap();
            asked.body.extend(query.to_bytes());
            asked.secrets.push(secret);
        }
        asked
    }

    pub(crate) fn open(&self, asked: Asked, answers: &[u8]) -> Vec<Vec<u8>> {
        let answer_bytes = self.stack.answer_bytes() as usize;
        assert_eq!(answers.len(), answer_bytes * asked.secrets.len());
        asked
            .secrets
            .into_iter()
            .zip(answers.chunks(answer_bytes))
            .map(|(secret, answer)| {
                let answer = Answer::from_bytes(&self.stack, answer).unwrap();
                secret.decode(&self.hint, &answer).unwrap()
            })
            .collect()
    }
}

pub(crate) async fn retrieve(pass: &Client, body: &[u8]) -> Result<Bytes, ClientError> {
    pass.post("/v1/retrievals")
        .bytes(body.to_vec())
        .send_bytes(ANSWER_LIMIT)
        .await
}

/// Status and code of a refusal.
pub(crate) fn refusal<T: std::fmt::Debug>(result: Result<T, ClientError>) -> (u16, String) {
    match result {
        Err(ClientError::Refused { status, code, .. }) => (status.as_u16(), code),
        other => panic!("not refused: {other:?}"),
    }
}

/// Asserts status and code.
#[track_caller]
pub(crate) fn assert_refused<T: std::fmt::Debug>(
    result: Result<T, ClientError>,
    status: u16,
    code: &str,
) {
    assert_eq!(refusal(result), (status, code.to_owned()));
}
