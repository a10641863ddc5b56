//! Joining the network with a one-time code, the same for every kind of party
//! (docs/protocol.md 2.2, 2.3), and keeping the certificate young (2.5).

use std::path::{Path, PathBuf};
use std::time::Duration;

use harpo_protocol::identity::{
    CertificateChain, CertificateRequest, EnrolCode, EnrolRequest, EnrolResponse, GatewayKeys,
};
use tokio_util::sync::CancellationToken;

use crate::causes::causes;
use crate::clock::Clock;
use crate::files;
use crate::http::{Client, ClientError};
use crate::tls::{
    Expect, Fingerprint, Identity, Role, Root, TlsError, generate_key_and_csr, pinned_client_config,
};

/// Largest answer: two certificates and a credential.
const ANSWER_BYTES: usize = 1 << 20;
/// The request under way: if the answer is lost, the same is sent again.
const PENDING: &str = "enrolling.json";
/// How often the certificate's age is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(60 * 60);
/// After a renewal that failed.
const LOOK_AGAIN: Duration = Duration::from_secs(5 * 60);

/// Why a party could not join, or not renew.
#[derive(Debug, thiserror::Error)]
pub enum EnrolError {
    /// Trust is away or refused the code.
    #[error("trust did not enrol this party")]
    Trust(#[from] ClientError),
    /// Keys or certificates.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The request that is under way could not be kept.
    #[error("{} cannot be written or removed", path.display())]
    Pending {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

/// Makes a TLS key in `identity_dir`, shows `code` to trust, and installs what trust issues. May be
/// repeated with the same code and folder if the answer was lost.
///
/// # Errors
/// [`EnrolError`].
pub async fn enrol(
    code: &EnrolCode,
    trust_url: &str,
    server_names: Vec<String>,
    keys: Option<GatewayKeys>,
    identity_dir: &Path,
    clock: &Clock,
) -> Result<EnrolResponse, EnrolError> {
    let authority = Fingerprint::from_bytes(code.authority.0);
    let tls = pinned_client_config(authority, clock, Expect::role(Role::Trust))?;
    let pending = identity_dir.join(PENDING);
    let request = match read_pending(&pending, code) {
        Some(request) => request,
        None => {
            let request = EnrolRequest {
                secret: code.secret.to_text(),
                certificate_request: generate_key_and_csr(identity_dir)?,
                server_names,
                keys,
            };
            keep_pending(&pending, &request)?;
            request
        }
    };
    let answer: EnrolResponse = Client::new(trust_url, tls)?
        .post("/v1/enrol")
        .json(&request)
        .send_json(ANSWER_BYTES)
        .await?;
    let root = Root::from_chain(&answer.chain, &authority)?;
    Identity::install(identity_dir, &answer.chain, &root, clock.clone())?;
    std::fs::remove_file(&pending).map_err(|source| EnrolError::Pending {
        path: pending,
        source,
    })?;
    Ok(answer)
}

/// The request that was sent before with the same code: trust answers it again, and no other.
fn read_pending(path: &Path, code: &EnrolCode) -> Option<EnrolRequest> {
    let request: EnrolRequest = serde_json::from_slice(&std::fs::read(path).ok()?).ok()?;
    (request.secret == code.secret.to_text()).then_some(request)
}

fn keep_pending(path: &Path, request: &EnrolRequest) -> Result<(), EnrolError> {
    let failed = |source| EnrolError::Pending {
        path: path.to_owned(),
        source,
    };
    let json = serde_json::to_vec(request)
        .map_err(std::io::Error::other)
        .map_err(failed)?;
    files::write_durable(path, &json, 0o600).map_err(failed)
}

/// Renews `identity` with trust whenever two thirds of its life are over, until `stop`. `trust` is a
/// client that shows it.
pub async fn keep_renewed(
    identity: Identity,
    trust: Client,
    server_names: Vec<String>,
    stop: CancellationToken,
) {
    let clock = identity.clock().clone();
    loop {
        let mut pause = LOOK_EVERY;
        if is_due(&identity) {
            match renew(&identity, &trust, &server_names).await {
                Ok(()) => tracing::info!(expires = %identity.expires(), "certificate renewed"),
                Err(error) => {
                    let reason: Vec<String> = causes(&error).map(ToString::to_string).collect();
                    tracing::warn!(
                        error = reason.join(": "),
                        expires = %identity.expires(),
                        "the certificate was not renewed; it is tried again"
                    );
                    pause = LOOK_AGAIN;
                }
            }
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = clock.sleep(pause) => {}
        }
    }
}

fn is_due(identity: &Identity) -> bool {
    let certificate = identity.certificate();
    let life = certificate.expires.since(certificate.not_before);
    identity.clock().now() >= certificate.not_before.after(life * 2 / 3)
}

async fn renew(
    identity: &Identity,
    trust: &Client,
    server_names: &[String],
) -> Result<(), EnrolError> {
    let request = CertificateRequest {
        certificate_request: generate_key_and_csr(identity.dir())?,
        server_names: server_names.to_vec(),
    };
    // A connection of its own: pooled ones keep showing the old certificate.
    let answer: CertificateChain = trust
        .fresh()?
        .post("/v1/renew")
        .json(&request)
        .send_json(ANSWER_BYTES)
        .await?;
    identity.renew(&answer.chain)?;
    Ok(())
}
