//! A hospital that departs from the protocol: it has a real gateway's keys and sends what it likes.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use harpo_oblivious::{
    Answer, Choice, GenerationInfo, Hint, ParamSetId, Query, Secret, Seed, Shape, Stack, StackHint,
    client,
};
use harpo_protocol::access::{Purpose, Requester};
use harpo_protocol::deposit::{DepositRequest, DepositStatus};
use harpo_protocol::id::{BundleId, GenerationId, PartyId};
use harpo_protocol::identity::{CertificateChain, CertificateRequest, Role};
use harpo_protocol::release::{Release, ReleaseRequest, Secrets, Source};
use harpo_protocol::retrieval::{self, Ticket};
use harpo_protocol::search::{LocateRequest, LocateResponse};
use harpo_protocol::sign::{Signed, Statement};
use harpo_protocol::stack::{SealedGeneration, StackDescriptor};
use harpo_protocol::wrap::OpeningKey;
use harpo_service::clock::Clock;
use harpo_service::http::{Client, ClientError};
use harpo_service::random;
use harpo_service::tls::{Expect, Identity, PassKey, client_config};
use serde_json::json;

const LIMIT: usize = 256 << 20;

/// See the module.
pub(crate) struct Rogue {
    identity: Identity,
    opening: OpeningKey,
    trust: Client,
    cloud_url: String,
}

/// What a permit gave, opened.
pub(crate) struct Permit {
    pub(crate) secrets: Secrets,
    pub(crate) stack: StackDescriptor,
    pub(crate) tickets: Vec<Signed<Ticket>>,
}

/// The stack with its hints.
pub(crate) struct Held {
    pub(crate) stack: Stack,
    pub(crate) hint: StackHint,
}

/// The file of this name below a folder.
pub(crate) fn find(folder: &Path, name: &str) -> Result<PathBuf> {
    let mut files = walkdir::WalkDir::new(folder).into_iter().flatten();
    let found = files.find(|entry| entry.file_name() == name);
    Ok(found
        .with_context(|| format!("no {name} in {}", folder.display()))?
        .into_path())
}

/// The TLS identity that a party keeps somewhere in its folder.
pub(crate) fn identity(folder: &Path) -> Result<Identity> {
    let chain = find(folder, "chain.pem")?;
    let dir = chain.parent().context("a file without a folder")?;
    Ok(Identity::load(dir, Clock::system())?)
}

impl Rogue {
    /// With the keys in a gateway's folder.
    pub(crate) fn new(gateway: &Path, trust_url: &str, cloud_url: &str) -> Result<Self> {
        let identity = identity(gateway)?;
        let tls = client_config(&identity, Expect::role(Role::Trust))?;
        Ok(Self {
            trust: Client::new(trust_url, tls)?,
            opening: OpeningKey::from_bytes(&std::fs::read(find(gateway, "opening.key")?)?)?,
            identity,
            cloud_url: cloud_url.to_owned(),
        })
    }

    fn requester(purpose: Purpose) -> Requester {
        Requester {
            user: "mallory".to_owned(),
            role: "physician".to_owned(),
            purpose,
        }
    }

    /// The bundles of a study that trust admits to.
    pub(crate) async fn locate(&self, study: &str) -> Result<Vec<BundleId>, ClientError> {
        let request = LocateRequest {
            requester: Self::requester(Purpose::Treat),
            study_instance_uid: study.to_owned(),
        };
        let answer: LocateResponse = self
            .trust
            .post("/v1/locate")
            .json(&request)
            .send_json(LIMIT)
            .await?;
        Ok(answer
            .bundles
            .into_iter()
            .map(|located| located.bundle)
            .collect())
    }

    /// Asks for a bundle.
    pub(crate) async fn release(&self, bundle: BundleId) -> Result<Release, ClientError> {
        let request = ReleaseRequest {
            requester: Self::requester(Purpose::Treat),
            bundle,
            held: false,
        };
        self.trust
            .post("/v1/releases")
            .json(&request)
            .send_json(LIMIT)
            .await
    }

    /// Begins a deposit.
    pub(crate) async fn deposit(
        &self,
        request: &DepositRequest,
    ) -> Result<DepositStatus, ClientError> {
        self.trust
            .post("/v1/deposits")
            .json(request)
            .send_json(LIMIT)
            .await
    }

    /// Who it is.
    pub(crate) fn party(&self) -> PartyId {
        self.identity.party()
    }

    /// Asks for a bundle of the stack, and opens what was wrapped.
    pub(crate) async fn permit(&self, bundle: BundleId) -> Result<Permit> {
        let access = self
            .release(bundle)
            .await?
            .access
            .context("nothing was released")?;
        let secrets = Secrets::unwrap(&access.secrets, bundle, access.grant, &self.opening)?;
        let Source::Stack { stack, tickets } = access.source else {
            anyhow::bail!("the bundle is still in the cache");
        };
        let payload: StackDescriptor = serde_json::from_slice(&payload(&stack)?)?;
        Ok(Permit {
            secrets,
            stack: payload,
            tickets,
        })
    }

    /// A connection to the cloud under a pass.
    pub(crate) async fn cloud(&self) -> Result<Client> {
        self.under_pass(&self.cloud_url, Role::Cloud).await
    }

    /// A connection to anybody under a pass.
    pub(crate) async fn under_pass(&self, url: &str, role: Role) -> Result<Client> {
        let key = PassKey::generate()?;
        let request = CertificateRequest {
            certificate_request: key.certificate_request().to_owned(),
            server_names: Vec::new(),
        };
        let answer: CertificateChain = self
            .trust
            .post("/v1/passes")
            .json(&request)
            .send_json(LIMIT)
            .await?;
        let tls = key.client_config(
            &answer.chain,
            self.identity.root(),
            &Clock::system(),
            Expect::role(role),
        )?;
        Ok(Client::new(url, tls)?)
    }

    /// A connection to the cloud under the gateway's own name.
    pub(crate) fn cloud_by_name(&self) -> Result<Client> {
        let tls = client_config(&self.identity, Expect::role(Role::Cloud))?;
        Ok(Client::new(&self.cloud_url, tls)?)
    }

    /// Fetches the hints of a stack.
    pub(crate) async fn hold(&self, stack: &StackDescriptor) -> Result<Held> {
        let infos = stack
            .generations
            .iter()
            .map(info)
            .collect::<Result<Vec<_>>>()?;
        let shape = Stack::new(infos)?;
        let cloud = self.cloud().await?;
        let mut hints = Vec::new();
        for (generation, info) in stack.generations.iter().zip(shape.generations()) {
            let path = format!("/v1/generations/{}/hint", generation.generation);
            let bytes = cloud.get(&path).send_bytes(LIMIT).await?;
            hints.push(Hint::from_bytes(info, &bytes)?);
        }
        let hint = StackHint::sum(&shape, &hints)?;
        Ok(Held { stack: shape, hint })
    }

    /// Spends a ticket on queries as they are.
    pub(crate) async fn spend(
        &self,
        ticket: &Signed<Ticket>,
        queries: &[u8],
    ) -> Result<Bytes, ClientError> {
        let cloud = self.cloud().await.map_err(|error| ClientError::Malformed {
            base: self.cloud_url.clone(),
            reason: format!("{error:#}"),
        })?;
        let body = [retrieval::head(ticket).as_slice(), queries].concat();
        cloud
            .post("/v1/retrievals")
            .bytes(body)
            .send_bytes(LIMIT)
            .await
    }

    /// Fetches one slot with a ticket for one query.
    pub(crate) async fn slot(
        &self,
        held: &Held,
        ticket: &Signed<Ticket>,
        generation: usize,
        slot: u32,
    ) -> Result<Vec<u8>> {
        let (secret, query) = ask(held, generation, slot)?;
        let answer = self.spend(ticket, &query.to_bytes()).await?;
        read(held, secret, &answer)
    }
}

/// An honest query.
pub(crate) fn ask(held: &Held, generation: usize, slot: u32) -> Result<(Secret, Query)> {
    let choice = Choice::Slot { generation, slot };
    Ok(client::query(&held.stack, choice, &mut random::system())?)
}

/// Decodes an answer.
pub(crate) fn read(held: &Held, secret: Secret, answer: &[u8]) -> Result<Vec<u8>> {
    Ok(secret.decode(&held.hint, &Answer::from_bytes(&held.stack, answer)?)?)
}

/// Where a generation stands in a stack.
pub(crate) fn position(stack: &StackDescriptor, generation: GenerationId) -> Result<usize> {
    let mut generations = stack.generations.iter();
    generations
        .position(|sealed| sealed.generation == generation)
        .context("the generation is not in the stack")
}

fn info(generation: &SealedGeneration) -> Result<GenerationInfo> {
    let figures = &generation.figures;
    Ok(GenerationInfo {
        params: ParamSetId(figures.parameter_set),
        shape: Shape::new(figures.slots, figures.slot_bytes, figures.interleave)?,
        seed: Seed(figures.seed.0),
    })
}

/// The JSON that was signed, unverified: a rogue believes what it likes.
pub(crate) fn payload<T: Statement>(signed: &Signed<T>) -> Result<Vec<u8>> {
    let fields: BTreeMap<String, String> = serde_json::from_str(&signed.to_json())?;
    Ok(BASE64.decode(&fields["payload"])?)
}

/// The same statement with another payload under the old signature.
pub(crate) fn forge<T: Statement>(
    signed: &Signed<T>,
    change: impl FnOnce(&mut serde_json::Value),
) -> Result<Signed<T>> {
    let mut value: serde_json::Value = serde_json::from_slice(&payload(signed)?)?;
    change(&mut value);
    let mut fields: BTreeMap<String, String> = serde_json::from_str(&signed.to_json())?;
    fields.insert(
        "payload".to_owned(),
        BASE64.encode(serde_json::to_vec(&value)?),
    );
    Ok(Signed::from_json(&json!(fields).to_string())?)
}
