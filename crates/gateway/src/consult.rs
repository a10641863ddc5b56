//! Consultation (docs/protocol.md 8 to 10): search at trust, ask for a release, fetch from trust's
//! cache or obliviously from the cloud, open, keep.

mod archive;
pub mod plan;
pub mod retrieve;

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use harpo_protocol::access::Requester;
use harpo_protocol::id::BundleId;
use harpo_protocol::manifest::Manifest;
use harpo_protocol::release::{Release, ReleaseRequest};
use harpo_protocol::search::{LocateRequest, SearchRequest, SearchResponse};
use harpo_protocol::sign::{Signed, Verified};
use harpo_protocol::stack::StackDescriptor;
use harpo_protocol::time::Timestamp;
use harpo_service::causes::in_one_line;
use harpo_service::files;
use harpo_service::http::ClientError;
use tracing::{info, warn};

use crate::blocking;
use crate::cloud_client::{CloudClient, ConnectError};
use crate::hints::{HeldStack, HintError, Hints};
use crate::open::{self, CheckedAccess, OpenError, Opener};
use crate::party::Party;
use crate::seal::scratch_file;
use crate::store::{Cached, CachedInstance, Fetch, Store, StoreError};
use crate::trust_client::TrustClient;
use retrieve::{RetrieveError, Wire};

/// Fragments from trust's cache on their way at once.
const DOWNLOADS_AT_ONCE: usize = 4;

/// Why a bundle cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum ConsultError {
    /// Trust is away or refused.
    #[error("trust refused or is away")]
    Trust(#[source] ClientError),
    /// What came does not verify.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// No connection to the cloud.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// Hints.
    #[error(transparent)]
    Hints(#[from] HintError),
    /// Retrieval.
    #[error(transparent)]
    Retrieve(#[from] RetrieveError),
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The disk.
    #[error("the local cache failed")]
    Io(#[from] io::Error),
}

/// The consulting side of a gateway.
#[derive(Debug)]
pub struct Consult {
    party: Arc<Party>,
    trust: TrustClient,
    store: Store,
    hints: Arc<Hints>,
    cache: PathBuf,
    cache_max: u64,
    decision_lasts: Duration,
    decisions: Mutex<HashMap<(Requester, BundleId), Timestamp>>,
    fetching: Mutex<HashMap<BundleId, Arc<tokio::sync::Mutex<()>>>>,
}

/// What it works with.
#[derive(Debug)]
pub struct Settings {
    /// Folder of the local cache.
    pub cache: PathBuf,
    /// Its size in bytes.
    pub cache_max: u64,
    /// How long a permit for what is held is remembered.
    pub decision_lasts: Duration,
}

impl Consult {
    /// See the fields' words.
    pub fn new(
        party: Arc<Party>,
        trust: TrustClient,
        store: Store,
        hints: Arc<Hints>,
        settings: Settings,
    ) -> io::Result<Self> {
        fs::create_dir_all(&settings.cache)?;
        Ok(Self {
            party,
            trust,
            store,
            hints,
            cache: settings.cache,
            cache_max: settings.cache_max,
            decision_lasts: settings.decision_lasts,
            decisions: Mutex::default(),
            fetching: Mutex::default(),
        })
    }

    /// Searches at trust (8.2).
    pub async fn find(&self, request: &SearchRequest) -> Result<SearchResponse, ConsultError> {
        self.trust
            .search(request)
            .await
            .map_err(ConsultError::Trust)
    }

    /// The instances of a study that `requester` may see, on the local disk afterwards.
    pub async fn study(
        &self,
        requester: &Requester,
        study_instance_uid: &str,
    ) -> Result<Vec<CachedInstance>, ConsultError> {
        let located = self
            .trust
            .locate(&LocateRequest {
                requester: requester.clone(),
                study_instance_uid: study_instance_uid.to_owned(),
            })
            .await
            .map_err(ConsultError::Trust)?;
        let mut instances = Vec::new();
        for located in located.bundles {
            instances.extend(self.bundle(requester, located.bundle).await?);
        }
        Ok(instances)
    }

    /// The instances of one bundle; fetched once however many ask at the same time.
    async fn bundle(
        &self,
        requester: &Requester,
        bundle: BundleId,
    ) -> Result<Vec<CachedInstance>, ConsultError> {
        let gate = {
            let mut fetching = lock(&self.fetching);
            fetching.retain(|_, gate| Arc::strong_count(gate) > 1);
            fetching.entry(bundle).or_default().clone()
        };
        let _one_at_a_time = gate.lock().await;
        let now = self.party.clock().now();
        if let Some(instances) = self.store.cached(bundle, now).await? {
            self.decide_held(requester, bundle, now).await?;
            return Ok(instances);
        }
        self.fetch(requester, bundle).await
    }

    /// What is held is shown only while the policy permits it (8.4, held).
    async fn decide_held(
        &self,
        requester: &Requester,
        bundle: BundleId,
        now: Timestamp,
    ) -> Result<(), ConsultError> {
        let key = (requester.clone(), bundle);
        {
            let mut decisions = lock(&self.decisions);
            decisions.retain(|_, at| now.since(*at) < self.decision_lasts);
            if decisions.contains_key(&key) {
                return Ok(());
            }
        }
        self.release(requester, bundle, true).await?;
        lock(&self.decisions).insert(key, now);
        Ok(())
    }

    async fn release(
        &self,
        requester: &Requester,
        bundle: BundleId,
        held: bool,
    ) -> Result<Release, ConsultError> {
        let request = ReleaseRequest {
            requester: requester.clone(),
            bundle,
            held,
        };
        self.trust
            .release(&request)
            .await
            .map_err(ConsultError::Trust)
    }

    async fn fetch(
        &self,
        requester: &Requester,
        bundle: BundleId,
    ) -> Result<Vec<CachedInstance>, ConsultError> {
        // Sealed between release and fetch: the second release names the stack.
        match self.fetch_once(requester, bundle).await {
            Err(ConsultError::Trust(error)) if error.code() == Some("gone") => {
                self.fetch_once(requester, bundle).await
            }
            other => other,
        }
    }

    async fn fetch_once(
        &self,
        requester: &Requester,
        bundle: BundleId,
    ) -> Result<Vec<CachedInstance>, ConsultError> {
        #[expect(
            clippy::disallowed_methods,
            reason = "how long it took, for people to read"
        )]
        let begun = Instant::now();
        let release = self.release(requester, bundle, false).await?;
        let party = &self.party;
        let layout = party.layout();
        let checked = open::check(
            &release,
            bundle,
            party.trust_key(),
            party.opening_key(),
            &layout,
        )?;
        let Some(access) = checked.access else {
            return Err(OpenError::Unfit("it gives no access").into());
        };
        let mut fetch = Fetch::new(&checked.manifest, &access, party.clock().now());
        let result = self.bring(&checked.manifest, &access, &mut fetch).await;
        fetch.took = begun.elapsed();
        fetch.outcome = match &result {
            Ok(_) => "opened".into(),
            Err(error) => in_one_line(error),
        };
        self.store.add_fetch(&fetch).await?;
        match &result {
            Ok(_) => {
                info!(%bundle, source = fetch.source, queries = fetch.wire.queries, "bundle opened")
            }
            Err(error) => {
                warn!(%bundle, error = %in_one_line(error), "a bundle could not be opened")
            }
        }
        result
    }

    async fn bring(
        &self,
        manifest: &Verified<Manifest>,
        access: &CheckedAccess,
        fetch: &mut Fetch,
    ) -> Result<Vec<CachedInstance>, ConsultError> {
        let scratch = scratch_file(&self.cache)?;
        let mut opener = Opener::new(
            manifest,
            &access.secrets.content_key,
            self.party.layout(),
            scratch,
        );
        match &access.stack {
            None => {
                self.fetch_cached(manifest, access, &mut opener, &mut fetch.wire)
                    .await?
            }
            Some((stack, tickets)) => {
                let held = self.held(stack).await?;
                fetch.stack_bytes = held.stack.slots() * u64::from(held.stack.slot_bytes());
                fetch.hint_bytes = stack.generations.iter().map(|g| g.hint_bytes).sum();
                self.fetch_obliviously(access, held, tickets, &mut opener, &mut fetch.wire)
                    .await?;
            }
        }
        self.keep(manifest, opener).await
    }

    /// Cache first (8.5).
    async fn fetch_cached(
        &self,
        manifest: &Manifest,
        access: &CheckedAccess,
        opener: &mut Opener<'_>,
        wire: &mut Wire,
    ) -> Result<(), ConsultError> {
        use futures_util::StreamExt as _;
        let size = self.party.layout().fragment_bytes();
        let mut fragments = futures_util::stream::iter(0..manifest.fragments.len() as u32)
            .map(|index| async move {
                let bytes = self
                    .trust
                    .cached_fragment(manifest.bundle, index, access.grant, size)
                    .await;
                (index, bytes)
            })
            .buffer_unordered(DOWNLOADS_AT_ONCE);
        while let Some((index, bytes)) = fragments.next().await {
            let bytes = bytes.map_err(ConsultError::Trust)?;
            wire.down += bytes.len() as u64;
            tokio::task::block_in_place(|| opener.fragment(index, bytes.into()))?;
        }
        Ok(())
    }

    /// Obliviously (9). Every retrieval is made to its end before a wrong answer is reported.
    async fn fetch_obliviously(
        &self,
        access: &CheckedAccess,
        held: Arc<HeldStack>,
        tickets: &[Signed<harpo_protocol::retrieval::Ticket>],
        opener: &mut Opener<'_>,
        wire: &mut Wire,
    ) -> Result<(), ConsultError> {
        let cloud = self.connect().await?;
        let slots = open::distinct_slots(&access.secrets);
        let tickets: Vec<_> = tickets
            .iter()
            .cloned()
            .zip(harpo_protocol::retrieval::classes(slots.len() as u32))
            .collect();
        let cell_bytes = self.party.layout().cell_bytes as usize;
        let mut verdict = Ok(());
        let take = |index: usize, slot: Vec<u8>| {
            let wanted = slots[index];
            for (fragment, placement) in (0u32..).zip(&access.secrets.placements) {
                if verdict.is_err() || (placement.at.generation, placement.at.slot) != wanted {
                    continue;
                }
                let start = usize::from(placement.at.cell) * cell_bytes;
                verdict = match slot.get(start..start + cell_bytes) {
                    Some(cell) => opener.cell(fragment, placement.at, &placement.key, cell),
                    None => Err(OpenError::Fragment { index: fragment }),
                };
            }
        };
        *wire = retrieve::retrieve(&cloud, held, &slots, &tickets, self.party.rng(), take).await?;
        Ok(verdict?)
    }

    async fn connect(&self) -> Result<CloudClient, ConnectError> {
        let (party, info) = (&self.party, self.party.info());
        CloudClient::connect(
            &self.trust,
            &info.cloud_url,
            party.identity().root(),
            party.clock(),
        )
        .await
    }

    /// Hints of `stack`: those that are missing are fetched, over a connection of their own (7.2).
    pub async fn held(&self, stack: &StackDescriptor) -> Result<Arc<HeldStack>, ConsultError> {
        self.fetch_missing_hints(stack).await?;
        let (hints, stack) = (self.hints.clone(), stack.clone());
        Ok(blocking(move || hints.held(&stack)).await?)
    }

    async fn fetch_missing_hints(&self, stack: &StackDescriptor) -> Result<(), ConsultError> {
        let missing = self.hints.missing(stack);
        if !missing.is_empty() {
            let cloud = self.connect().await?;
            for generation in missing {
                self.hints.fetch(&cloud, generation).await?;
                info!(generation = %generation.generation, bytes = generation.hint_bytes, "hint fetched");
            }
        }
        Ok(())
    }

    /// Asks trust for the stacks and fetches the hints that are missing: run regularly, so that
    /// fetching hints says nothing about reading.
    pub async fn refresh_hints(&self) -> Result<(), ConsultError> {
        let stacks = self.trust.stacks().await.map_err(ConsultError::Trust)?;
        let mut generations = 0;
        for (number, stack) in (1..).zip(&stacks) {
            let stack = stack
                .verify(self.party.trust_key())
                .map_err(OpenError::Stack)?;
            self.fetch_missing_hints(&stack).await?;
            generations += stack.generations.len();
            // The newest is read most: have its sum at hand.
            if number == stacks.len() {
                self.held(&stack).await?;
            }
        }
        self.hints.set_ready(generations);
        Ok(())
    }

    /// Writes the instances to the local cache: all of a bundle or none.
    async fn keep(
        &self,
        manifest: &Verified<Manifest>,
        opener: Opener<'_>,
    ) -> Result<Vec<CachedInstance>, ConsultError> {
        let dir = self.cache.join(manifest.bundle.to_string());
        let part = self.cache.join(format!("{}.part", manifest.bundle));
        let bytes = tokio::task::block_in_place(|| write_instances(opener, &part, &dir))?;
        let cached = Cached::new(manifest, &dir, bytes);
        let now = self.party.clock().now();
        self.store.add_cached(&cached, now).await?;
        for old in self.store.beyond(self.cache_max, manifest.bundle).await? {
            self.store.forget_cached(old).await?;
            match fs::remove_dir_all(self.cache.join(old.to_string())) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
                _ => {}
            }
        }
        Ok(cached.instances)
    }
}

fn write_instances(opener: Opener<'_>, part: &Path, dir: &Path) -> Result<u64, OpenError> {
    for leftover in [part, dir] {
        if leftover.exists() {
            fs::remove_dir_all(leftover)?;
        }
    }
    fs::create_dir(part)?;
    let mut total = 0;
    let mut number = 0;
    let result = opener.finish(|_, bytes| {
        fs::write(part.join(CachedInstance::file_name(number)), bytes)?;
        number += 1;
        total += bytes.len() as u64;
        Ok(())
    });
    if let Err(error) = result {
        fs::remove_dir_all(part)?;
        return Err(error);
    }
    files::sync_dir(part)?;
    fs::rename(part, dir)?;
    Ok(total)
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
