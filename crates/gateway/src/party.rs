//! Who this gateway is: keys, credential, and what it knows of the network (docs/protocol.md 2).

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;
use harpo_protocol::Rejected;
use harpo_protocol::cell::Layout;
use harpo_protocol::id::PartyId;
use harpo_protocol::identity::{Credential, EnrolCode, GatewayKeys, Role, TrustInfo};
use harpo_protocol::sign::{Signed, SigningKey, VerifyingKey};
use harpo_protocol::wrap::OpeningKey;
use harpo_service::clock::Clock;
use harpo_service::files;
use harpo_service::http::{Client, ClientError};
use harpo_service::random::{self, SystemRng};
use harpo_service::tls::{Expect, Identity, TlsError, client_config};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::trust_client::TrustClient;

const SIGNING: &str = "signing.key";
const OPENING: &str = "opening.key";
const ENROLMENT: &str = "enrolment.json";
const INFO: &str = "trust-info.json";

/// Why this gateway does not know who it is.
#[derive(Debug, thiserror::Error)]
pub enum PartyError {
    /// A file is missing or damaged.
    #[error("{path} cannot be used; enrol again with `harpo gateway init`")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// TLS identity.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// Enrolling with trust failed.
    #[error("enrolling with trust failed")]
    Enrol(#[from] harpo_service::enrol::EnrolError),
    /// Trust did not tell.
    #[error("trust did not tell the network's layout; check that it runs and is reachable")]
    Info(#[source] ClientError),
    /// Trust's word does not verify.
    #[error("what trust says does not verify with the key that was given at enrolment")]
    Rejected(#[source] Rejected),
    /// The folder is taken.
    #[error("{0} is enrolled already; choose another folder, or remove it to begin anew")]
    Exists(PathBuf),
}

/// What enrolment gave.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Enrolment {
    trust_key: VerifyingKey,
    credential: Signed<Credential>,
}

/// A gateway's identity and keys. Shared by everything in the process; holds the signing and
/// opening keys as long as it runs.
pub struct Party {
    identity: Identity,
    signing: SigningKey,
    opening: OpeningKey,
    trust_key: VerifyingKey,
    name: String,
    info: ArcSwap<TrustInfo>,
    /// Where the latest is kept.
    kept: PathBuf,
    clock: Clock,
}

impl std::fmt::Debug for Party {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Party")
            .field("id", &self.id())
            .finish_non_exhaustive()
    }
}

/// Enrols with trust (2.3): makes keys in `data_dir` and keeps what trust answers.
pub async fn enrol(
    data_dir: &Path,
    trust_url: &str,
    code: &EnrolCode,
    clock: &Clock,
) -> Result<(), PartyError> {
    let enrolment = data_dir.join(ENROLMENT);
    if enrolment.exists() {
        return Err(PartyError::Exists(data_dir.to_owned()));
    }
    files::create_dir_durable(data_dir, 0o700).map_err(at(data_dir))?;
    let mut rng = random::system();
    let signing = load_or_make(&data_dir.join(SIGNING), || SigningKey::generate(&mut rng).1)?;
    let opening = load_or_make(&data_dir.join(OPENING), || OpeningKey::generate(&mut rng).1)?;
    let keys = GatewayKeys {
        signing: SigningKey::from_seed(&signing).verifying_key(),
        sealing: OpeningKey::from_bytes(&*opening)
            .map_err(PartyError::Rejected)?
            .sealing_key(),
    };
    let dir = identity_dir(data_dir);
    let answer =
        harpo_service::enrol::enrol(code, trust_url, Vec::new(), Some(keys), &dir, clock).await?;
    let credential = answer.credential.ok_or(PartyError::Rejected(Rejected))?;
    credential
        .verify(&answer.trust_key)
        .map_err(PartyError::Rejected)?;
    let json = serde_json::to_vec(&Enrolment {
        trust_key: answer.trust_key,
        credential,
    })
    .map_err(io::Error::other)
    .map_err(at(&enrolment))?;
    files::write_durable(&enrolment, &json, 0o600).map_err(at(&enrolment))
}

/// The hospital's name and TLS identity, without its keys.
///
/// # Errors
/// [`PartyError::File`], [`PartyError::Tls`], [`PartyError::Rejected`] if it is not enrolled.
pub fn who(data_dir: &Path, clock: &Clock) -> Result<(String, Identity), PartyError> {
    let enrolment: Enrolment = read_json(&data_dir.join(ENROLMENT))?;
    let credential = enrolment
        .credential
        .verify(&enrolment.trust_key)
        .map_err(PartyError::Rejected)?;
    let identity = Identity::load(&identity_dir(data_dir), clock.clone())?;
    Ok((credential.name.clone(), identity))
}

/// The hospital's credential, and the key of trust that verifies it.
///
/// # Errors
/// [`PartyError::File`] if it is not enrolled.
pub fn credential(data_dir: &Path) -> Result<(Signed<Credential>, VerifyingKey), PartyError> {
    let enrolment: Enrolment = read_json(&data_dir.join(ENROLMENT))?;
    Ok((enrolment.credential, enrolment.trust_key))
}

impl Party {
    /// Loads keys and identity, and asks trust for the layout; the last known one is used while
    /// trust is away.
    pub async fn load(
        data_dir: &Path,
        trust_url: &str,
        clock: &Clock,
    ) -> Result<(Arc<Self>, TrustClient), PartyError> {
        let identity = Identity::load(&identity_dir(data_dir), clock.clone())?;
        let signing = read_key(&data_dir.join(SIGNING))?;
        let opening = read_key(&data_dir.join(OPENING))?;
        let enrolment: Enrolment = read_json(&data_dir.join(ENROLMENT))?;
        let credential = enrolment
            .credential
            .verify(&enrolment.trust_key)
            .map_err(PartyError::Rejected)?;
        let tls = client_config(&identity, Expect::role(Role::Trust))?;
        let trust = TrustClient::new(Client::new(trust_url, tls).map_err(PartyError::Info)?);
        let kept = data_dir.join(INFO);
        let info = network(&trust, &enrolment.trust_key, &kept).await?;
        let party = Self {
            identity,
            signing: SigningKey::from_seed(&signing),
            opening: OpeningKey::from_bytes(&*opening).map_err(PartyError::Rejected)?,
            trust_key: enrolment.trust_key,
            name: credential.name.clone(),
            info: ArcSwap::from_pointee(info),
            kept,
            clock: clock.clone(),
        };
        Ok((Arc::new(party), trust))
    }

    /// This party.
    pub fn id(&self) -> PartyId {
        self.identity.party()
    }

    /// The hospital's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// TLS identity.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Signs manifests.
    pub fn signing_key(&self) -> &SigningKey {
        &self.signing
    }

    /// Opens releases.
    pub fn opening_key(&self) -> &OpeningKey {
        &self.opening
    }

    /// Verifies trust's statements.
    pub fn trust_key(&self) -> &VerifyingKey {
        &self.trust_key
    }

    /// What trust says of the network.
    pub fn info(&self) -> Arc<TrustInfo> {
        self.info.load_full()
    }

    /// Asks trust anew what it says of the network: rules may change while a gateway runs.
    ///
    /// # Errors
    /// [`PartyError`]; what was known stays. Sizes never change in a network's life.
    pub async fn refresh(&self, trust: &TrustClient) -> Result<(), PartyError> {
        let signed = trust.info().await.map_err(PartyError::Info)?;
        let info = accepted(&signed, &self.trust_key, &self.kept)?;
        let known = self.info.load();
        if info.layout != known.layout {
            let other = io::Error::other("trust says other sizes than before; enrol again");
            return Err(at(&self.kept)(other));
        }
        // It is signed anew each time.
        let same = TrustInfo {
            issued: known.issued,
            ..info.clone()
        };
        if same != **known {
            keep(&signed, &self.kept)?;
            self.info.store(Arc::new(info));
        }
        Ok(())
    }

    /// The network's sizes.
    pub fn layout(&self) -> Layout {
        self.info.load().layout
    }

    /// The clock.
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// The system's randomness.
    pub fn rng(&self) -> SystemRng {
        random::system()
    }
}

async fn network(
    trust: &TrustClient,
    key: &VerifyingKey,
    kept: &Path,
) -> Result<TrustInfo, PartyError> {
    let signed: Signed<TrustInfo> = match trust.info().await {
        Ok(signed) => signed,
        Err(error) => return known(kept, key).ok_or(PartyError::Info(error)),
    };
    let info = accepted(&signed, key, kept)?;
    keep(&signed, kept)?;
    Ok(info)
}

/// What trust says, if it is trust that says it and can be meant.
fn accepted(
    signed: &Signed<TrustInfo>,
    key: &VerifyingKey,
    kept: &Path,
) -> Result<TrustInfo, PartyError> {
    let info = signed.verify(key).map_err(PartyError::Rejected)?;
    info.layout
        .validate()
        .and_then(|()| info.rounds.map_or(Ok(()), |rule| rule.validate()))
        .map_err(|e| at(kept)(io::Error::other(e)))?;
    Ok(info.into_inner())
}

fn keep(signed: &Signed<TrustInfo>, kept: &Path) -> Result<(), PartyError> {
    files::write_durable(kept, signed.to_json().as_bytes(), 0o600).map_err(at(kept))
}

fn known(kept: &Path, key: &VerifyingKey) -> Option<TrustInfo> {
    let signed = Signed::<TrustInfo>::from_json(&fs::read_to_string(kept).ok()?).ok()?;
    Some(signed.verify(key).ok()?.into_inner())
}

fn identity_dir(data_dir: &Path) -> PathBuf {
    data_dir.join("identity")
}

fn load_or_make(
    path: &Path,
    make: impl FnOnce() -> Zeroizing<[u8; 32]>,
) -> Result<Zeroizing<[u8; 32]>, PartyError> {
    if path.exists() {
        return read_key(path);
    }
    let key = make();
    files::write_durable(path, &*key, 0o600).map_err(at(path))?;
    Ok(key)
}

fn read_key(path: &Path) -> Result<Zeroizing<[u8; 32]>, PartyError> {
    let bytes = Zeroizing::new(fs::read(path).map_err(at(path))?);
    let mut key = Zeroizing::new([0; 32]);
    if bytes.len() != key.len() {
        return Err(at(path)(io::Error::other("not 32 bytes")));
    }
    key.copy_from_slice(&bytes);
    Ok(key)
}

fn read_json<T: serde::de::DeserializeOwned>(path: &Path) -> Result<T, PartyError> {
    let bytes = fs::read(path).map_err(at(path))?;
    serde_json::from_slice(&bytes).map_err(|e| at(path)(io::Error::other(e)))
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> PartyError {
    let path = path.to_owned();
    move |source| PartyError::File { path, source }
}
