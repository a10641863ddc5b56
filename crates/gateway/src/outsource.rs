//! From the spool to trust (docs/protocol.md 3, 4): quiet studies are closed, sealed into the
//! outbox, deposited, and forgotten when the receipt is durable.
//!
//! ```text
//! outbox/<bundle>/fragments      the fragments, one after another
//! outbox/<bundle>/deposit.json   written last: what is deposited; without it sealing begins again
//! ```

use std::fs::{self, File};
use std::io::{self, BufWriter, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use harpo_protocol::deposit::{DepositRequest, Receipt};
use harpo_protocol::id::BundleId;
use harpo_protocol::sign::{Signed, Verified};
use harpo_service::causes::in_one_line;
use harpo_service::files;
use harpo_service::http::ClientError;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::blocking;
use crate::party::Party;
use crate::seal::{SealError, Sealer, scratch_file};
use crate::spool::{ClosedBundle, Spool, SpoolError};
use crate::store::{Store, StoreError};
use crate::trust_client::TrustClient;

const FRAGMENTS: &str = "fragments";
const DEPOSIT: &str = "deposit.json";
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
    /// A refusal that the same bundle will always meet.
    fn final_refusal(&self) -> Option<(&str, &str)> {
        match self {
            Self::Trust(ClientError::Refused { code, message, .. })
                if ["conflict", "denied", "malformed", "too_large"].contains(&code.as_str()) =>
            {
                Some((code, message))
            }
            _ => None,
        }
    }
}

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
    /// Folder of the outbox.
    pub outbox: PathBuf,
}

impl Outsource {
    /// Runs until `stop`: looks at the spool every `every`. Failures are logged and tried again.
    pub async fn run(self: Arc<Self>, every: Duration, stop: CancellationToken) {
        let clock = self.party.clock().clone();
        let mut backoff = Duration::ZERO;
        loop {
            let failed = match self.pass(&stop).await {
                Ok(()) => false,
                Err(error) => {
                    warn!(error = %in_one_line(&error), "outsourcing is delayed; it is tried again");
                    true
                }
            };
            backoff = match failed {
                true => (backoff * 2).clamp(every, Duration::from_secs(60)),
                false => every,
            };
            tokio::select! {
                () = stop.cancelled() => return,
                () = clock.sleep(backoff) => {}
            }
        }
    }

    /// Closes what is quiet, and deposits what is closed. The first transient failure ends the pass.
    async fn pass(&self, stop: &CancellationToken) -> Result<(), DepositError> {
        self.close_quiet()?;
        for closed in blocking({
            let spool = self.spool.clone();
            move || spool.closed()
        })
        .await?
        {
            if stop.is_cancelled() {
                return Ok(());
            }
            if self.store.is_refused(&closed.id).await? {
                continue;
            }
            match self.deposit(closed.clone()).await {
                Ok(()) => {}
                Err(error) => match error.final_refusal() {
                    Some((code, message)) => {
                        warn!(bundle = %closed.id, code, "trust refused a bundle for good; its instances stay in the spool");
                        let now = self.party.clock().now();
                        self.store
                            .add_refusal(&closed.id, &closed.study_instance_uid, code, message, now)
                            .await?;
                    }
                    None => return Err(error),
                },
            }
        }
        Ok(())
    }

    fn close_quiet(&self) -> Result<(), DepositError> {
        let now = self.party.clock().now().0;
        let quiet = u64::try_from(self.quiet.as_millis()).unwrap_or(u64::MAX);
        for study in self.spool.open_studies() {
            let since = self.spool.quiet_since(&study.study_instance_uid);
            if since.is_none_or(|since| now.saturating_sub(since) < quiet) {
                continue;
            }
            let bundle = BundleId::random(&mut self.party.rng());
            match self
                .spool
                .close(&study.study_instance_uid, &bundle.to_string())
            {
                Ok(closed) => {
                    info!(%bundle, instances = closed.instances.len(), "bundle closed");
                }
                Err(SpoolError::Busy) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Deposits one bundle; may be interrupted and repeated anywhere.
    async fn deposit(&self, closed: ClosedBundle) -> Result<(), DepositError> {
        let bundle: BundleId = closed.id.parse().map_err(SealError::from)?;
        if !self.store.has_receipt(bundle).await? {
            let dir = self.outbox.join(&closed.id);
            let request = self.sealed(&closed, bundle, &dir).await?;
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
        blocking({
            let (spool, dir, id) = (self.spool.clone(), self.outbox.join(&closed.id), closed.id);
            move || {
                match fs::remove_dir_all(&dir) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => {
                        return Err(error.into());
                    }
                    _ => {}
                }
                spool.remove(&id).map_err(DepositError::from)
            }
        })
        .await
    }

    /// Seals, unless that was done before a restart.
    async fn sealed(
        &self,
        closed: &ClosedBundle,
        bundle: BundleId,
        dir: &Path,
    ) -> Result<DepositRequest, DepositError> {
        let (party, closed, dir) = (self.party.clone(), closed.clone(), dir.to_owned());
        blocking(move || {
            if let Ok(text) = fs::read_to_string(dir.join(DEPOSIT)) {
                return serde_json::from_str(&text).map_err(|e| io::Error::other(e).into());
            }
            seal_into(&party, &closed, bundle, &dir)
        })
        .await
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

fn seal_into(
    party: &Party,
    closed: &ClosedBundle,
    bundle: BundleId,
    dir: &Path,
) -> Result<DepositRequest, DepositError> {
    // What an interrupted sealing left was never sent: its key is lost, so begin again.
    if dir.exists() {
        fs::remove_dir_all(dir)?;
    }
    fs::create_dir_all(dir)?;
    let info = party.info();
    let sealer = Sealer {
        origin: party.id(),
        signing: party.signing_key(),
        trust: &info.sealing_key,
        layout: info.layout,
    };
    let mut fragments = BufWriter::with_capacity(1 << 20, File::create_new(dir.join(FRAGMENTS))?);
    let now = party.clock().now();
    let request = sealer.seal(
        closed,
        bundle,
        scratch_file(dir)?,
        &mut fragments,
        now,
        &mut party.rng(),
    )?;
    fragments.flush()?;
    fragments.get_ref().sync_all()?;
    let json = serde_json::to_vec(&request).map_err(io::Error::other)?;
    files::write_durable(&dir.join(DEPOSIT), &json, 0o600)?;
    Ok(request)
}
