//! What can go wrong in trust, and how it is told to the other side (docs/protocol.md 1.7, 13).

use std::path::PathBuf;

use harpo_service::blobs::BlobError;
use harpo_service::config::ConfigError;
use harpo_service::db::DbError;
use harpo_service::http::{ApiError, ClientError};
use harpo_service::tls::TlsError;

use crate::audit::AuditError;
use crate::policy::PolicyError;

/// Why something was not done.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    /// The other side is told so.
    #[error(transparent)]
    Refused(#[from] ApiError),
    /// The database.
    #[error(transparent)]
    Db(#[from] DbError),
    /// The upload cache.
    #[error(transparent)]
    Cache(#[from] BlobError),
    /// The audit log.
    #[error(transparent)]
    Audit(#[from] AuditError),
    /// Certificates.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// Policies.
    #[error(transparent)]
    Policy(#[from] PolicyError),
    /// The configuration file.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The cloud.
    #[error(transparent)]
    Cloud(#[from] ClientError),
    /// A file of the data folder.
    #[error("cannot {action} {}", path.display())]
    File {
        /// `read` or `write`.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A listener.
    #[error(transparent)]
    Listen(std::io::Error),
    /// There is a trust service in the folder already, or half of one.
    #[error("{} {why}", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// What is wrong with it, and what to do.
        why: &'static str,
    },
    /// The operator asked for something that cannot be.
    #[error("{0}")]
    Usage(String),
    /// What was stored cannot be read back.
    #[error("{what} in the database cannot be read: restore the database from a backup")]
    Damaged {
        /// Which thing.
        what: &'static str,
    },
    /// Cryptography failed on trust's own data.
    #[error(transparent)]
    Crypto(#[from] harpo_protocol::Rejected),
}

impl From<sqlx::Error> for TrustError {
    fn from(error: sqlx::Error) -> Self {
        Self::Db(error.into())
    }
}

impl From<TrustError> for ApiError {
    fn from(error: TrustError) -> Self {
        match error {
            TrustError::Refused(refusal) => refusal,
            TrustError::Db(error) => error.into(),
            TrustError::Cache(error) => error.into(),
            other => Self::internal(&other),
        }
    }
}

pub(crate) fn damaged(what: &'static str) -> TrustError {
    TrustError::Damaged { what }
}

/// Refusals with the codes of section 13.
pub(crate) mod refuse {
    use std::time::Duration;

    use axum::http::StatusCode;
    use harpo_service::http::{ApiError, bounded};

    /// Everything about identity and cryptography: the other side learns no more than that; `why` is
    /// for the log here.
    pub(crate) fn rejected(why: impl std::fmt::Display) -> ApiError {
        tracing::warn!(why = bounded(&why.to_string()), "rejected");
        ApiError::forbidden("rejected", "the request was not accepted")
    }

    /// The same where no certificate was shown.
    pub(crate) fn unidentified() -> ApiError {
        ApiError::unauthorized(
            "rejected",
            "this needs the certificate of an enrolled party",
        )
    }

    pub(crate) fn denied(message: impl Into<String>) -> ApiError {
        ApiError::forbidden("denied", message)
    }

    pub(crate) fn not_found(message: impl Into<String>) -> ApiError {
        ApiError::not_found("not_found", message)
    }

    pub(crate) fn conflict(message: impl Into<String>) -> ApiError {
        ApiError::conflict("conflict", message)
    }

    pub(crate) fn incomplete(message: impl Into<String>) -> ApiError {
        ApiError::conflict("incomplete", message)
    }

    /// Says what is wrong, which mostly quotes what the other side sent: cut.
    pub(crate) fn malformed(message: impl AsRef<str>) -> ApiError {
        ApiError::bad_request("malformed", bounded(message.as_ref()))
    }

    /// A time that was set by a clock that is wrong, here or there.
    pub(crate) fn wrong_clock(message: impl Into<String>) -> ApiError {
        ApiError::bad_request("wrong_clock", message)
    }

    pub(crate) fn storage_full(message: impl Into<String>) -> ApiError {
        ApiError::new(StatusCode::INSUFFICIENT_STORAGE, "storage_full", message)
            .retry_after(Duration::from_secs(60))
    }

    pub(crate) fn too_large(message: impl Into<String>) -> ApiError {
        ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", message)
    }

    pub(crate) fn expired(message: impl Into<String>) -> ApiError {
        ApiError::forbidden("expired", message)
    }

    pub(crate) fn gone() -> ApiError {
        ApiError::new(
            StatusCode::GONE,
            "gone",
            "the bundle's generation was sealed meanwhile; ask for the release again",
        )
    }

    pub(crate) fn not_wanted() -> ApiError {
        ApiError::new(
            StatusCode::GONE,
            "gone",
            "the bundle is not wanted any more: a generation was sealed meanwhile, and an errand begins none",
        )
    }

    pub(crate) fn busy(message: impl Into<String>, after: Duration) -> ApiError {
        ApiError::new(StatusCode::TOO_MANY_REQUESTS, "busy", message).retry_after(after)
    }
}

/// For `map_err` on file operations.
pub(crate) fn file_error(
    action: &'static str,
    path: &std::path::Path,
) -> impl FnOnce(std::io::Error) -> TrustError {
    let path = path.to_owned();
    move |source| TrustError::File {
        action,
        path,
        source,
    }
}
