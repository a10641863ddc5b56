//! Consultation (docs/protocol.md 8 to 10): search at trust, ask for a release, fetch from trust's
//! cache or obliviously from the cloud, open, keep.
//!
//! A fetch runs in a task of its own: a user who goes away changes nothing about what the cloud
//! sees. Whoever asks for the same bundle meanwhile waits for the same fetch, and what went wrong at the
//! cloud is answered to all for a while without asking the cloud again (9.4).

pub mod ahead;
mod archive;
mod brought;
mod export;
mod fetch;
mod give_back;
mod library;
pub mod plan;
pub mod progress;
pub mod retrieve;
pub mod rounds;
mod stream;

use std::collections::{HashMap, HashSet};
use std::hash::Hash;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, Shared, join_all};
use harpo_protocol::access::{Obligation, Requester};
use harpo_protocol::id::BundleId;
use harpo_protocol::placement::below;
use harpo_protocol::release::{Release, ReleaseRequest};
use harpo_protocol::rounds::{Rule, Urgency};
use harpo_protocol::search::{LocateRequest, SearchRequest, SearchResponse};
use harpo_protocol::stack::StackDescriptor;
use harpo_protocol::time::Timestamp;
use harpo_service::http::ClientError;
use harpo_service::shutdown::Shutdown;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tracing::info;

use crate::cloud_client::{CloudClient, ConnectError};
use crate::content::export::UntraceableSet;
use crate::content::pipeline::Bounds;
use crate::hints::{HintError, Hints, Source};
use crate::open::OpenError;
use crate::party::Party;
use crate::store::{CachedInstance, Store, StoreError};
use crate::trust_client::TrustClient;
use crate::within::Pace;
use give_back::GIVEN_AT_ONCE;
use library::Library;
use progress::Underway;
use retrieve::RetrieveError;
use rounds::{Rounds, Unserved};

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
    /// The hints of a generation that was just sealed are still being fetched.
    #[error("the hints of newly sealed data are still being fetched; try again shortly")]
    HintsPending,
    /// It comes with the network's rounds, and the fetch goes on (9.7).
    #[error("it is being fetched, with the network's next rounds; try again in {} s", again.as_secs())]
    RoundPending {
        /// When something may have changed.
        again: Duration,
    },
    /// So much was asked for ahead that no more is noted.
    #[error("too much was asked for ahead and is not here yet; ask again later")]
    TooMuchAhead,
    /// No round brings it.
    #[error(transparent)]
    Unserved(#[from] Unserved),
    /// The stack would have to be downloaded, and the disk has no room for it. The cloud was not asked.
    #[error(
        "there is no room now: {needed_mib} MiB are needed on the disk of the local cache, which has {free_mib}: free \
         space, then try again"
    )]
    NoRoom {
        /// What it needs, with the opened bundle and what must stay free for rounds.
        needed_mib: u64,
        /// What is free.
        free_mib: u64,
    },
    /// An export must carry tracing marks, and some of the images cannot.
    #[error(transparent)]
    Untraceable(#[from] UntraceableSet),
    /// An export must carry tracing marks, and the bundle was opened before their keys were kept.
    #[error(
        "the policy permits this export with tracing marks only, and the local copy of bundle {0} has no key for them: \
         remove it with `harpo gateway cache clear`, then try again"
    )]
    NoTraceKey(BundleId),
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The disk.
    #[error("the local cache failed")]
    Io(#[from] io::Error),
    /// The task that fetched ended early: the gateway is stopping.
    #[error("the gateway is stopping")]
    Stopping,
}

impl From<harpo_oblivious::Error> for ConsultError {
    fn from(error: harpo_oblivious::Error) -> Self {
        RetrieveError::from(error).into()
    }
}

impl ConsultError {
    /// Whether what was released is not there any more.
    fn needs_another_release(&self) -> bool {
        match self {
            Self::Trust(error) => error.code() == Some("gone"),
            Self::Unserved(unserved) => matches!(unserved, Unserved::Gone),
            _ => false,
        }
    }

    /// Whether the cloud had answered, or may have: trying again would show it that something failed.
    fn was_seen_by_cloud(&self) -> bool {
        matches!(self, Self::Open(_) | Self::Retrieve(_) | Self::Io(_))
    }
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
    /// How long a failure at the cloud is answered again without asking it, on average.
    pub failure_holdoff: Duration,
    /// Oblivious retrievals at once: each needs memory for its queries.
    pub retrievals_at_once: usize,
    /// Threads and memory for opening one bundle.
    pub bounds: Bounds,
}

/// The consulting side of a gateway. Clones share it.
#[derive(Clone, Debug)]
pub struct Consult(Arc<Inner>);

/// Bundles that are decoded and opened at the same time. Waiting for it begins after the retrieval has ended, so that it does
/// not show to the cloud.
const OPENED_AT_ONCE: usize = 4;
/// What waits for a round longer than this is answered with when to ask again, while the fetch goes on.
const ANSWERED_WITHIN: Duration = Duration::from_secs(5);

#[derive(Debug)]
struct Inner {
    party: Arc<Party>,
    trust: TrustClient,
    store: Store,
    hints: Arc<Hints>,
    library: Library,
    decision_lasts: Duration,
    failure_holdoff: Duration,
    retrievals: Semaphore,
    openings: Semaphore,
    bounds: Bounds,
    /// Whether the permit demands tracing marks, where that is known.
    decisions: Remembered<(Requester, BundleId), Option<bool>>,
    located: Remembered<(Requester, String), Vec<BundleId>>,
    failures: Remembered<BundleId, Arc<ConsultError>>,
    flights: Mutex<HashMap<BundleId, Flight>>,
    underway: Arc<Underway>,
    rounds: Arc<Rounds>,
    /// Bundles that are given back, or wait for it.
    giving: Arc<Semaphore>,
    /// What was asked for ahead and is being fetched.
    begun: Mutex<HashSet<BundleId>>,
    shutdown: Shutdown,
}

/// A fetch under way.
#[derive(Clone, Debug)]
struct Flight {
    outcome: Shared<BoxFuture<'static, Result<(), Arc<ConsultError>>>>,
    /// Cancelled when somebody wants it who may not wait for a round.
    at_once: CancellationToken,
}

impl Consult {
    /// The consulting side of `party`; its fetches are among what `shutdown` waits for.
    pub async fn new(
        party: Arc<Party>,
        trust: TrustClient,
        store: Store,
        hints: Arc<Hints>,
        settings: Settings,
        shutdown: Shutdown,
    ) -> Result<Self, ConsultError> {
        let rounds = Arc::new(Rounds::new(party.clock()));
        let library = Library::open(settings.cache, settings.cache_max, store.clone()).await?;
        Ok(Self(Arc::new(Inner {
            party,
            trust,
            store,
            hints,
            library,
            decision_lasts: settings.decision_lasts,
            failure_holdoff: settings.failure_holdoff,
            retrievals: Semaphore::new(settings.retrievals_at_once.max(1)),
            openings: Semaphore::new(OPENED_AT_ONCE),
            bounds: settings.bounds,
            decisions: Remembered::default(),
            located: Remembered::default(),
            failures: Remembered::default(),
            flights: Mutex::default(),
            underway: Arc::default(),
            rounds,
            giving: Arc::new(Semaphore::new(GIVEN_AT_ONCE)),
            begun: Mutex::default(),
            shutdown,
        })))
    }

    /// The present.
    pub fn now(&self) -> Timestamp {
        self.0.now()
    }

    /// How far its fetches are.
    pub fn underway(&self) -> Arc<Underway> {
        self.0.underway.clone()
    }

    /// What waits for rounds, and how they went.
    pub fn rounds(&self) -> Arc<Rounds> {
        self.0.rounds.clone()
    }

    /// Searches at trust (8.2).
    pub async fn find(&self, request: &SearchRequest) -> Result<SearchResponse, ConsultError> {
        self.0
            .trust
            .search(request)
            .await
            .map_err(ConsultError::Trust)
    }

    /// The instances of a study that `requester` may see, on the local disk afterwards.
    pub async fn study(
        &self,
        requester: &Requester,
        study_instance_uid: &str,
    ) -> Result<Vec<CachedInstance>, Arc<ConsultError>> {
        let bundles = self.0.locate(requester, study_instance_uid).await?;
        // All are fetched, whatever comes of each, and each when its turn at the cloud comes, not when another was
        // opened: what was decoded of one must not show in whether or when the next is asked for (9.4).
        let fetched = bundles
            .into_iter()
            .map(|bundle| self.bundle(requester, bundle));
        let mut instances = Vec::new();
        for held in join_all(fetched).await {
            instances.extend(held?);
        }
        Ok(instances)
    }

    /// The instances of one bundle.
    async fn bundle(
        &self,
        requester: &Requester,
        bundle: BundleId,
    ) -> Result<Vec<CachedInstance>, Arc<ConsultError>> {
        let inner = &self.0;
        if let Some(instances) = inner
            .library
            .get(bundle, inner.now())
            .await
            .map_err(Arc::new)?
        {
            inner.decide_held(requester, bundle).await?;
            return Ok(instances);
        }
        self.fetched(requester, bundle).await?;
        // Who waited for another's fetch needs a permit of their own.
        inner.decide_held(requester, bundle).await?;
        let instances = inner
            .library
            .get(bundle, inner.now())
            .await
            .map_err(Arc::new)?;
        instances.ok_or_else(|| Arc::new(ConsultError::Io(io::ErrorKind::NotFound.into())))
    }

    /// Waits until the bundle is in the local cache, by a fetch under way or a new one.
    async fn fetched(
        &self,
        requester: &Requester,
        bundle: BundleId,
    ) -> Result<(), Arc<ConsultError>> {
        loop {
            let now = self.0.now();
            if let Some(failure) = self.0.failures.get(&bundle, now) {
                return Err(failure);
            }
            let (flight, own) = self.flight(requester, bundle, Urgency::Reader);
            if !own && self.0.rule_for(requester).is_none() {
                // Who may not wait does not; but nobody makes another's fetch hurry without a permit of their own.
                self.0.decide_held(requester, bundle).await?;
                flight.at_once.cancel();
            }
            match self.landed(flight, bundle).await? {
                // Another's refusal is not ours.
                Err(error) if !own && !error.was_seen_by_cloud() => {}
                other => return other,
            }
        }
    }

    /// Waits for a fetch; not for long where it waits for a round.
    async fn landed(
        &self,
        flight: Flight,
        bundle: BundleId,
    ) -> Result<Result<(), Arc<ConsultError>>, Arc<ConsultError>> {
        let inner = &self.0;
        loop {
            tokio::select! {
                outcome = flight.outcome.clone() => return Ok(outcome),
                () = inner.party.clock().sleep(ANSWERED_WITHIN) => {}
            }
            if let Some(next) = inner.rounds.waits(bundle) {
                let again = rounds::again_after(next, inner.now());
                return Err(Arc::new(ConsultError::RoundPending { again }));
            }
        }
    }

    /// The fetch of a bundle, and whether this call began it.
    fn flight(&self, requester: &Requester, bundle: BundleId, urgency: Urgency) -> (Flight, bool) {
        let mut flights = lock(&self.0.flights);
        if let Some(flight) = flights.get(&bundle) {
            if urgency == Urgency::Reader {
                self.0.rounds.hurry(bundle);
            }
            return (flight.clone(), false);
        }
        let (done, outcome) = tokio::sync::oneshot::channel();
        let at_once = CancellationToken::new();
        let (this, requester, hurry) = (self.clone(), requester.clone(), at_once.clone());
        self.0.shutdown.spawn("fetch", async move {
            let fetched = this.0.fetch(&requester, bundle, urgency, &hurry).await;
            let (result, read) = match fetched {
                Ok(read) => (Ok(()), read),
                Err(error) => (Err(Arc::new(error)), None),
            };
            this.0.land(requester, bundle, &result);
            // Nobody may be waiting any more.
            let _ = done.send(result);
            if let Some(read) = read {
                this.give_back(read);
            }
        });
        let outcome = async {
            outcome
                .await
                .unwrap_or_else(|_| Err(Arc::new(ConsultError::Stopping)))
        }
        .boxed()
        .shared();
        let flight = Flight { outcome, at_once };
        flights.insert(bundle, flight.clone());
        (flight, true)
    }

    /// Asks trust for the stacks and fetches the hints that are missing: run regularly, and never because
    /// somebody reads (7.2).
    pub async fn refresh_hints(&self) -> Result<(), ConsultError> {
        let inner = &self.0;
        let asked = inner.now();
        let stacks = inner.trust.stacks().await.map_err(ConsultError::Trust)?;
        let stacks: Vec<StackDescriptor> = stacks
            .iter()
            .map(|stack| match stack.verify(inner.party.trust_key()) {
                Ok(stack) => Ok((*stack).clone()),
                Err(error) => Err(OpenError::Stack(error)),
            })
            .collect::<Result<_, _>>()?;
        let generations = stacks.iter().flat_map(|stack| &stack.generations);
        let generations: Vec<_> = generations.map(|known| known.generation).collect();
        inner.rounds.retain(&generations, asked);
        inner.rounds.set_room(&stacks, inner.party.info().rounds);
        let source = Source {
            connect: &|| inner.connect().boxed(),
            clock: inner.party.clock(),
            pace: Pace::default(),
        };
        let mut rng = inner.party.rng();
        Ok(inner.hints.refresh(&stacks, source, &mut rng).await?)
    }
}

impl Inner {
    fn now(&self) -> Timestamp {
        self.party.clock().now()
    }

    /// The network's rounds, if the requester's purpose waits for them.
    fn rule_for(&self, requester: &Requester) -> Option<Rule> {
        let info = self.party.info();
        let rule = info.rounds?;
        (!info.at_once_for.contains(&requester.purpose)).then_some(rule)
    }

    async fn connect(&self) -> Result<CloudClient, ConnectError> {
        let (party, info) = (&self.party, self.party.info());
        CloudClient::connect(&self.trust, &info, party.identity(), party.clock()).await
    }

    /// The bundles of a study (8.3), remembered as long as decisions are.
    async fn locate(
        &self,
        requester: &Requester,
        study: &str,
    ) -> Result<Vec<BundleId>, Arc<ConsultError>> {
        let key = (requester.clone(), study.to_owned());
        if let Some(bundles) = self.located.get(&key, self.now()) {
            return Ok(bundles);
        }
        let request = LocateRequest {
            requester: requester.clone(),
            study_instance_uid: study.to_owned(),
        };
        let located = self
            .trust
            .locate(&request)
            .await
            .map_err(ConsultError::Trust)?;
        let bundles: Vec<BundleId> = located.bundles.iter().map(|b| b.bundle).collect();
        if !bundles.is_empty() {
            self.located
                .put(key, bundles.clone(), self.now().after(self.decision_lasts));
        }
        Ok(bundles)
    }

    /// What is held is shown only while the policy permits it (8.4, held).
    async fn decide_held(
        &self,
        requester: &Requester,
        bundle: BundleId,
    ) -> Result<(), Arc<ConsultError>> {
        let key = (requester.clone(), bundle);
        if self.decisions.get(&key, self.now()).is_some() {
            return Ok(());
        }
        self.permit(requester, bundle).await.map(drop)
    }

    /// Asks trust, whatever is remembered (8.4, held); what the permit demands.
    async fn permit(
        &self,
        requester: &Requester,
        bundle: BundleId,
    ) -> Result<Vec<Obligation>, Arc<ConsultError>> {
        let request = ReleaseRequest {
            requester: requester.clone(),
            bundle,
            held: true,
        };
        match self.trust.release(&request).await {
            Ok(release) => {
                note_obligations(&release);
                let key = (requester.clone(), bundle);
                let traced = release.obligations.contains(&Obligation::TraceExport);
                self.decisions
                    .put(key, Some(traced), self.now().after(self.decision_lasts));
                Ok(release.obligations)
            }
            Err(error) => {
                if error.code() == Some("not_found") {
                    // Erased: the local copy goes, too (12.1).
                    self.library.forget(bundle).await.map_err(Arc::new)?;
                }
                Err(Arc::new(ConsultError::Trust(error)))
            }
        }
    }

    /// Ends a fetch: from here on, others see its result.
    fn land(&self, requester: Requester, bundle: BundleId, result: &Result<(), Arc<ConsultError>>) {
        let now = self.now();
        match result {
            Ok(()) => self
                .decisions
                .put((requester, bundle), None, now.after(self.decision_lasts)),
            Err(error) if error.was_seen_by_cloud() => {
                // Between half and one and a half times the mean, so that its end tells nothing.
                let mean = u32::try_from(self.failure_holdoff.as_millis()).unwrap_or(u32::MAX / 2);
                let drawn = mean / 2 + below(mean.max(1), &mut self.party.rng());
                let until = now.after(Duration::from_millis(u64::from(drawn)));
                self.failures.put(bundle, error.clone(), until);
            }
            Err(_) => {}
        }
        lock(&self.flights).remove(&bundle);
    }
}

/// What a permit demands is in the gateway's log; trust has told the producer.
fn note_obligations(release: &Release) {
    if !release.obligations.is_empty() {
        info!(bundle = %release.bundle, obligations = ?release.obligations, "the permit has obligations");
    }
}

/// What is remembered for a while.
#[derive(Debug)]
struct Remembered<K, V>(Mutex<HashMap<K, (Timestamp, V)>>);

impl<K, V> Default for Remembered<K, V> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: Hash + Eq, V: Clone> Remembered<K, V> {
    fn get(&self, key: &K, now: Timestamp) -> Option<V> {
        let mut map = lock(&self.0);
        map.retain(|_, (until, _)| now < *until);
        map.get(key).map(|(_, value)| value.clone())
    }

    fn put(&self, key: K, value: V, until: Timestamp) {
        lock(&self.0).insert(key, (until, value));
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
