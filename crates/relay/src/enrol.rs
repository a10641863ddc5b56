//! Joining the network (docs/protocol.md 2.3), and what is remembered of it.

use std::io;
use std::path::{Path, PathBuf};

use harpo_protocol::Malformed;
use harpo_protocol::id::PartyId;
use harpo_protocol::identity::{EnrolCode, Role};
use harpo_service::clock::Clock;
use harpo_service::files;
use harpo_service::http::ClientError;
use harpo_service::tls::TlsError;
use serde::{Deserialize, Serialize};

use crate::config::RelayConfig;

const FILE_MODE: u32 = 0o600;
const DIRECTORY_MODE: u32 = 0o700;

/// What the relay knows of the network it belongs to. In `enrolment.json`; nothing in it is secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Enrolment {
    /// The relay's own name.
    pub party: PartyId,
    /// `https://…` of trust.
    pub trust_url: String,
    /// DNS names and IP addresses at which the relay serves.
    pub server_names: Vec<String>,
}

/// Why joining, or loading what joining left, failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EnrolError {
    /// It was done before.
    #[error("{} says that this relay is enrolled already; choose another data_dir to enrol another", path.display())]
    Already {
        /// The enrolment.
        path: PathBuf,
    },
    /// It was not done yet.
    #[error("{} is missing: this relay is not enrolled; run `harpo relay init` with a code from trust", path.display())]
    NotEnrolled {
        /// Where the enrolment should be.
        path: PathBuf,
    },
    /// The enrolment file, or the code, is not one.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// Trust did not accept, or could not be reached.
    #[error(transparent)]
    Join(#[from] harpo_service::enrol::EnrolError),
    /// The code was made for a party of another role.
    #[error(
        "the code is for a {0}; ask trust for one for a relay, and repeat with an empty data_dir"
    )]
    WrongRole(Role),
    /// Keys and certificates.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// Trust's address is none.
    #[error("the address of trust is not usable")]
    TrustUrl(#[from] ClientError),
    /// A file could not be read or written.
    #[error("cannot {action} {}", path.display())]
    File {
        /// `read`, `write` or `create`.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

fn file_error(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> EnrolError {
    move |source| EnrolError::File {
        action,
        path: path.to_owned(),
        source,
    }
}

/// Joins the network of the trust service at `trust_url` with a one-time code (2.3): makes a key, has it certified, and
/// stores identity and enrolment in the data folder. `server_names` are the DNS names and IP addresses
/// under which the relay will be reached.
///
/// # Errors
/// [`EnrolError`].
pub async fn enrol(
    config: &RelayConfig,
    code: &str,
    trust_url: &str,
    server_names: Vec<String>,
    clock: &Clock,
) -> Result<Enrolment, EnrolError> {
    let path = config.enrolment_file();
    if path.exists() {
        return Err(EnrolError::Already { path });
    }
    let code: EnrolCode = code.parse()?;
    files::create_dir_durable(&config.data_dir, DIRECTORY_MODE)
        .map_err(file_error("create", &config.data_dir))?;
    let identity_dir = config.identity_dir();
    let names = server_names.clone();
    let answer =
        harpo_service::enrol::enrol(&code, trust_url, names, None, &identity_dir, clock).await?;
    if answer.role != Role::Relay {
        return Err(EnrolError::WrongRole(answer.role));
    }
    let enrolment = Enrolment {
        party: answer.party,
        trust_url: trust_url.to_owned(),
        server_names,
    };
    enrolment.store(&path)?;
    Ok(enrolment)
}

impl Enrolment {
    /// Reads what [`enrol`] left.
    ///
    /// # Errors
    /// [`EnrolError::NotEnrolled`], [`EnrolError::File`], [`EnrolError::Malformed`].
    pub fn load(path: &Path) -> Result<Self, EnrolError> {
        let bytes = match std::fs::read(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(EnrolError::NotEnrolled {
                    path: path.to_owned(),
                });
            }
            read => read.map_err(file_error("read", path))?,
        };
        Ok(serde_json::from_slice(&bytes)
            .map_err(|e| Malformed::new("enrolment", e.to_string()))?)
    }

    /// Writes it, durably: for whoever set the identity up by other means than [`enrol`].
    ///
    /// # Errors
    /// [`EnrolError::File`].
    pub fn store(&self, path: &Path) -> Result<(), EnrolError> {
        let mut text = serde_json::to_vec_pretty(self)
            .map_err(|e| Malformed::new("enrolment", e.to_string()))?;
        text.push(b'\n');
        files::write_durable(path, &text, FILE_MODE).map_err(file_error("write", path))
    }
}
