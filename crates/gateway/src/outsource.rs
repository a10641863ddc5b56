//! From the spool to trust (docs/protocol.md 3, 4): quiet studies are closed, sealed into the
//! outbox, deposited, and forgotten when the receipt is durable.
//!
//! ```text
//! outbox/<bundle>/fragments      the fragments, one after another
//! outbox/<bundle>/marks          what its marks are judged with, for the database
//! outbox/<bundle>/deposit.json   written last: what is deposited; without it sealing begins again
//! ```
//!
//! Bundles fail one by one: each is tried again by itself, later and later, while the others go on.
//! What can never succeed is refused, kept, and listed until an operator decides.

mod failures;
#[cfg(test)]
mod tests;
mod wishes;

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use harpo_protocol::attestation::Attestation;
use harpo_protocol::deposit::{DepositRequest, Receipt};
use harpo_protocol::id::BundleId;
use harpo_protocol::manifest::Manifest;
use harpo_protocol::sign::{Signed, Verified};
use harpo_service::causes::in_one_line;
use harpo_service::files;
use harpo_service::http::ClientError;
use harpo_service::retry::Backoff;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};
use zeroize::Zeroizing;

use crate::blocking;
use crate::content::pipeline::Bounds;
use crate::party::Party;
use crate::seal::{SealError, Sealer};
use crate::spool::{ClosedBundle, Spool, SpoolError, Waiting};
use crate::store::marks::BundleKeys;
use crate::store::{Store, StoreError};
use crate::trust_client::TrustClient;
use failures::Failures;

const FRAGMENTS: &str = "fragments";
const DEPOSIT: &str = "deposit.json";
/// Mark key and trace key, 32 bytes each, then the attestation as JSON.
const MARKS: &str = "marks";
/// Fragments on their way at once: hides the round trip, bounds memory.
const UPLOADS_AT_ONCE: usize = 4;

/// Why a bundle is not deposited yet.
#[derive(Debug, thiserror::Error)]
pub enum DepositError {
    /// Sealing failed.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// Trust is away or refused.
    #[error("trust did not take the bundle")]
    Trust(#[source] ClientError),
    /// Trust's receipt is not one.
    #[error("trust's receipt does not verify; nothing was deleted")]
    Receipt,
    /// The disk.
    #[error("the outbox failed")]
    Io(#[from] io::Error),
    /// The spool.
    #[error(transparent)]
    Spool(#[from] SpoolError),
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl DepositError {
    /// A refusal that the same bundle will always meet: a stable code, and words.
    fn final_refusal(&self) -> Option<(&str, String)> {
        match self {
            Self::Trust(ClientError::Refused { code, message, .. })
                if ["conflict", "denied", "malformed", "too_large"].contains(&code.as_str()) =>
            {
                Some((code, message.clone()))
            }
            Self::Seal(error @ SealError::Malformed(_)) => Some(("malformed", in_one_line(error))),
            Self::Seal(error @ SealError::Damaged { .. }) => Some(("damaged", in_one_line(error))),
            Self::Spool(error @ SpoolError::Damaged { .. }) => {
                Some(("damaged", in_one_line(error)))
            }
            _ => None,
        }
    }

    /// Nobody answered: the other bundles would fare no better.
    fn is_unreachable(&self) -> bool {
        matches!(
            self,
            Self::Trust(ClientError::Unreachable { .. } | ClientError::Tls { .. })
        )
    }

    fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Trust(error) => error.retry_after(),
            _ => None,
        }
    }
}

/// Between passes while trust is away.
const AWAY: Backoff = Backoff {
    first: Duration::from_secs(1),
    longest: Duration::from_secs(60),
};

/// Drives bundles from the spool to trust.
#[derive(Debug)]
pub struct Outsource {
    /// Keys and identity.
    pub party: Arc<Party>,
    /// Where instances arrive.
    pub spool: Arc<Spool>,
    /// Receipts go there.
    pub store: Store,
    /// Deposits go there.
    pub trust: TrustClient,
    /// A study is closed after so long.
    pub quiet: Duration,
    /// Threads and memory for sealing.
    pub bounds: Bounds,
    /// Folder of the outbox.
    pub outbox: PathBuf,
    failures: Mutex<Failures>,
}

impl Outsource {
    /// See the fields' words.
    pub fn new(
        party: Arc<Party>,
        spool: Arc<Spool>,
        store: Store,
        trust: TrustClient,
        quiet: Duration,
        bounds: Bounds,
        outbox: PathBuf,
    ) -> Self {
        Self {
            party,
            spool,
            store,
            trust,
            quiet,
            bounds,
            outbox,
            failures: Mutex::default(),
        }
    }

    /// Runs until `stop`: looks at the spool every `every`. Failures are logged and tried again.
    pub async fn run(self: Arc<Self>, every: Duration, stop: CancellationToken) {
        let clock = self.party.clock().clone();
        let mut failed = 0;
        loop {
            let pause = match self.pass(&stop).await {
                Ok(()) => {
                    failed = 0;
                    every
                }
                Err(error) => {
                    warn!(error = %in_one_line(&error), "outsourcing is delayed; it is tried again");
                    failed += 1;
                    AWAY.pause(failed, &mut self.party.rng()).max(every)
                }
            };
            tokio::select! {
                () = stop.cancelled() => return,
                () = clock.sleep(pause) => {}
            }
        }
    }

    /// Closes what is quiet, does what operators asked for, and deposits what is closed and due.
    /// Only trust's absence, or a database that fails, ends a pass early.
    async fn pass(&self, stop: &CancellationToken) -> Result<(), DepositError> {
        self.close_quiet().await?;
        self.carry_out_wishes().await?;
        let refusals = self.store.refusals().await?;
        let refused: HashSet<&str> = refusals.iter().map(|r| r.bundle.as_str()).collect();
        for closed in self.due(&refused) {
            if stop.is_cancelled() {
                return Ok(());
            }
            match self.deposit(&closed).await {
                Ok(()) => self.failures().forget(&closed.id),
                Err(error) => self.failed(&closed, error).await?,
            }
        }
        Ok(())
    }

    /// The bundles to deposit now, those that never failed first.
    fn due(&self, refused: &HashSet<&str>) -> Vec<Waiting> {
        let now = self.party.clock().now();
        let failures = self.failures();
        let mut due = self.spool.closed();
        due.retain(|closed| {
            !refused.contains(closed.id.as_str()) && failures.is_due(&closed.id, now)
        });
        due.sort_by_key(|closed| failures.times(&closed.id));
        due
    }

    async fn failed(&self, closed: &Waiting, error: DepositError) -> Result<(), DepositError> {
        let now = self.party.clock().now();
        let bundle = &closed.id;
        if error.is_unreachable() {
            self.failures().suspect(bundle);
            return Err(error);
        }
        if let Some((code, message)) = error.final_refusal() {
            warn!(%bundle, code, message, "a bundle is refused for good; its instances stay in the spool, see `harpo gateway refused list`");
            self.store
                .add_refusal(bundle, &closed.study_instance_uid, code, &message, now)
                .await?;
            self.failures().forget(bundle);
            return Ok(());
        }
        let asked = error.retry_after();
        let pause = self
            .failures()
            .postpone(bundle, now, asked, &mut self.party.rng());
        warn!(%bundle, error = %in_one_line(&error), again_in = ?pause, "a bundle is not deposited yet; the others go on");
        Ok(())
    }

    fn failures(&self) -> MutexGuard<'_, Failures> {
        // No code panics while holding it.
        self.failures.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn close_quiet(&self) -> Result<(), DepositError> {
        let now = self.party.clock().now().0;
        let quiet = u64::try_from(self.quiet.as_millis()).unwrap_or(u64::MAX);
        let studies: Vec<String> = self
            .spool
            .open_studies()
            .into_iter()
            .map(|study| study.study_instance_uid)
            .filter(|study| {
                let since = self.spool.quiet_since(study);
                since.is_some_and(|since| now.saturating_sub(since) >= quiet)
            })
            .collect();
        for study in studies {
            let bundle = BundleId::random(&mut self.party.rng());
            let spool = self.spool.clone();
            match blocking(move || spool.close(&study, &bundle.to_string())).await {
                Ok(closed) => info!(%bundle, instances = closed.instances, "bundle closed"),
                Err(SpoolError::Busy) => {}
                // The others may fare better.
                Err(error) => {
                    warn!(error = %in_one_line(&error), "a study is not closed yet; it is tried again");
                }
            }
        }
        Ok(())
    }

    /// Deposits one bundle; may be interrupted and repeated anywhere.
    async fn deposit(&self, closed: &Waiting) -> Result<(), DepositError> {
        let bundle: BundleId = closed.id.parse().map_err(SealError::from)?;
        let dir = self.outbox.join(&closed.id);
        if !self.store.has_receipt(bundle).await? {
            let Some(request) = self.sealed(bundle, &dir).await? else {
                // Trust may hold a part of what cannot be read any more, so not under this name.
                return self.rename(&closed.id).await;
            };
            self.keep_keys(bundle, &closed.study_instance_uid, &dir)
                .await?;
            let receipt = self.send(&request, bundle, &dir).await?;
            let verified = self.verify(&receipt, &request, bundle)?;
            self.store
                .add_receipt(
                    bundle,
                    &closed.study_instance_uid,
                    &receipt,
                    verified.received,
                )
                .await?;
            info!(%bundle, audit = verified.audit.number, "bundle deposited");
        }
        let (spool, id) = (self.spool.clone(), closed.id.clone());
        blocking(move || {
            wishes::remove_outbox(&dir)?;
            spool.remove(&id).map_err(DepositError::from)
        })
        .await
    }

    /// Seals, unless that was done before; none if what was done is damaged.
    async fn sealed(
        &self,
        bundle: BundleId,
        dir: &Path,
    ) -> Result<Option<DepositRequest>, DepositError> {
        let (party, spool, dir) = (self.party.clone(), self.spool.clone(), dir.to_owned());
        let bounds = self.bounds;
        blocking(move || match fs::read(dir.join(DEPOSIT)) {
            Ok(json) => {
                let request = usable(&json, &party, bundle, &dir)?;
                if request.is_none() {
                    warn!(%bundle, "what was sealed is damaged; it is sealed again");
                }
                Ok(request)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let closed = spool.bundle(&bundle.to_string())?;
                seal_into(&party, &bounds, &closed, bundle, &dir).map(Some)
            }
            // The disk may give it later; sealing anew would contradict what was sent.
            Err(error) => Err(error.into()),
        })
        .await
    }

    /// Keeps what marks of the bundle are judged with (10.2), before anybody can have one.
    async fn keep_keys(
        &self,
        bundle: BundleId,
        study: &str,
        dir: &Path,
    ) -> Result<(), DepositError> {
        let path = dir.join(MARKS);
        let bytes = blocking(move || fs::read(path)).await.map(Zeroizing::new)?;
        let damaged = || io::Error::new(io::ErrorKind::InvalidData, "the outbox is damaged");
        let marks = Marks::read(&bytes).ok_or_else(damaged)?;
        let keys = BundleKeys {
            bundle,
            study: study.to_owned(),
            origin: self.party.id(),
            origin_name: self.party.name().to_owned(),
            origin_key: self.party.signing_key().verifying_key(),
            mark_key: Zeroizing::new(*marks.mark_key),
            trace_key: Zeroizing::new(*marks.trace_key),
            attestation: marks.attestation.to_json(),
        };
        Ok(self.store.add_bundle_keys(&keys).await?)
    }

    async fn send(
        &self,
        request: &DepositRequest,
        bundle: BundleId,
        dir: &Path,
    ) -> Result<Signed<Receipt>, DepositError> {
        use futures_util::{StreamExt as _, TryStreamExt as _};
        let status = self
            .trust
            .deposit(request)
            .await
            .map_err(DepositError::Trust)?;
        let fragments = Arc::new(File::open(dir.join(FRAGMENTS))?);
        let size = self.party.layout().fragment_bytes();
        futures_util::stream::iter(status.missing)
            .map(|index| {
                let fragments = fragments.clone();
                async move {
                    let fragment = blocking(move || {
                        let mut bytes = vec![0; size];
                        fragments.read_exact_at(&mut bytes, u64::from(index) * size as u64)?;
                        Ok::<_, DepositError>(bytes)
                    })
                    .await?;
                    self.trust
                        .put_fragment(bundle, index, fragment.into())
                        .await
                        .map_err(DepositError::Trust)
                }
            })
            .buffer_unordered(UPLOADS_AT_ONCE)
            .try_collect::<()>()
            .await?;
        self.trust
            .complete(bundle)
            .await
            .map_err(DepositError::Trust)
    }

    fn verify(
        &self,
        receipt: &Signed<Receipt>,
        request: &DepositRequest,
        bundle: BundleId,
    ) -> Result<Verified<Receipt>, DepositError> {
        let verified = receipt
            .verify(self.party.trust_key())
            .map_err(|_| DepositError::Receipt)?;
        let ours = verified.bundle == bundle
            && verified.manifest == request.manifest.digest()
            && verified.depositor == self.party.id();
        if ours {
            Ok(verified)
        } else {
            Err(DepositError::Receipt)
        }
    }
}

/// What [`MARKS`] holds.
struct Marks<'a> {
    mark_key: &'a [u8; 32],
    trace_key: &'a [u8; 32],
    attestation: Signed<Attestation>,
}

impl<'a> Marks<'a> {
    fn read(bytes: &'a [u8]) -> Option<Self> {
        let (mark_key, rest) = bytes.split_first_chunk()?;
        let (trace_key, attestation) = rest.split_first_chunk()?;
        let attestation = Signed::from_json(std::str::from_utf8(attestation).ok()?).ok()?;
        Some(Self {
            mark_key,
            trace_key,
            attestation,
        })
    }

    /// Whether they are of this bundle, and ours.
    fn are_of(&self, manifest: &Manifest, party: &Party) -> bool {
        let key = party.signing_key().verifying_key();
        let attestation = self.attestation.verify(&key);
        attestation.is_ok_and(|attestation| attestation.agrees(manifest).is_ok())
    }
}

/// What was sealed before, if it is whole.
fn usable(
    json: &[u8],
    party: &Party,
    bundle: BundleId,
    dir: &Path,
) -> io::Result<Option<DepositRequest>> {
    let Ok(request) = serde_json::from_slice::<DepositRequest>(json) else {
        return Ok(None);
    };
    let Ok(manifest) = request
        .manifest
        .verify(&party.signing_key().verifying_key())
    else {
        return Ok(None);
    };
    let size = party.layout().fragment_bytes() as u64;
    let length = match fs::metadata(dir.join(FRAGMENTS)) {
        Ok(metadata) => metadata.len(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
        Err(error) => return Err(error),
    };
    let marks = match fs::read(dir.join(MARKS)) {
        Ok(bytes) => Zeroizing::new(bytes),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Zeroizing::default(),
        Err(error) => return Err(error),
    };
    let whole = manifest.bundle == bundle
        && length == size * manifest.fragments.len() as u64
        && Marks::read(&marks).is_some_and(|marks| marks.are_of(&manifest, party));
    Ok(whole.then_some(request))
}

fn seal_into(
    party: &Party,
    bounds: &Bounds,
    closed: &ClosedBundle,
    bundle: BundleId,
    dir: &Path,
) -> Result<DepositRequest, DepositError> {
    // What an interrupted sealing left was never sent: its key is lost, so begin again.
    if dir.exists() {
        fs::remove_dir_all(dir)?;
    }
    files::create_dir_durable(dir, 0o700)?;
    let info = party.info();
    let sealer = Sealer {
        origin: party.id(),
        signing: party.signing_key(),
        trust: &info.sealing_key,
        layout: info.layout,
        unmarked_modalities: &info.unmarked_modalities,
        bounds: *bounds,
    };
    let mut fragments = BufWriter::with_capacity(1 << 20, File::create_new(dir.join(FRAGMENTS))?);
    let now = party.clock().now();
    let sealed = sealer.seal(closed, bundle, dir, &mut fragments, now, &mut party.rng())?;
    fragments.flush()?;
    fragments.get_ref().sync_all()?;
    let attestation = sealed.attestation.to_json();
    let marks = [
        sealed.mark_key.expose().as_slice(),
        sealed.trace_key.expose().as_slice(),
        attestation.as_bytes(),
    ];
    files::write_durable(&dir.join(MARKS), &Zeroizing::new(marks.concat()), 0o600)?;
    let json = serde_json::to_vec(&sealed.request).map_err(io::Error::other)?;
    files::write_durable(&dir.join(DEPOSIT), &json, 0o600)?;
    info!(
        %bundle, bytes = sealed.bytes, pack_bytes = sealed.pack_bytes, marked = sealed.marked,
        unmarked = ?sealed.unmarked, "bundle sealed"
    );
    Ok(sealed.request)
}
