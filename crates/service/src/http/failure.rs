//! Why a request did not bring what was asked for, told so that somebody can act on it.

use std::error::Error;
use std::time::Duration;

use http::StatusCode;

use crate::causes::causes;

/// Why a request did not bring what was asked for.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// No connection, or it broke off. Whether the request was acted on is unknown.
    #[error("{base} cannot be reached or broke off: {reason}")]
    Unreachable {
        /// Where.
        base: String,
        /// In short.
        reason: String,
        /// Why.
        source: reqwest::Error,
    },
    /// One side refused the other's certificate, or TLS failed otherwise. The request was not acted
    /// on.
    #[error("TLS with {base} failed: {reason}")]
    Tls {
        /// Where.
        base: String,
        /// What, and what to do.
        reason: String,
        /// The library's error.
        source: rustls::Error,
    },
    /// The other side answered, and refused.
    #[error("refused with {status} {code}: {message}")]
    Refused {
        /// The HTTP status.
        status: StatusCode,
        /// The refusal's code; `unknown` if it had none.
        code: String,
        /// The refusal's message.
        message: String,
        /// When the other side wants to be asked again.
        retry_after: Option<Duration>,
    },
    /// The answer is not what was asked for.
    #[error("the answer of {base} cannot be used: {reason}")]
    Malformed {
        /// Where.
        base: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The request cannot be made at all.
    #[error("the request cannot be made: {reason}")]
    Request {
        /// What is wrong with it.
        reason: String,
    },
}

impl ClientError {
    /// Whether the same request may succeed later without anybody changing anything: nobody
    /// answered, or the other side was overloaded, out of space or broken.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Unreachable { .. } => true,
            Self::Refused {
                status,
                retry_after,
                ..
            } => {
                retry_after.is_some()
                    || status.is_server_error()
                    || matches!(
                        *status,
                        StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS
                    )
            }
            Self::Tls { .. } | Self::Malformed { .. } | Self::Request { .. } => false,
        }
    }

    /// When the other side wants to be asked again, if it said so.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Refused { retry_after, .. } => *retry_after,
            _ => None,
        }
    }

    /// The refusal's code, if it was refused.
    #[must_use]
    pub fn code(&self) -> Option<&str> {
        match self {
            Self::Refused { code, .. } => Some(code),
            _ => None,
        }
    }
}

/// Tells TLS failures from others. Addresses are removed: parameters in them may be private.
pub(super) fn failure(base: &str, error: reqwest::Error) -> ClientError {
    let base = base.to_owned();
    if error.is_builder() {
        let error = error.without_url();
        return ClientError::Request {
            reason: innermost(&error),
        };
    }
    if let Some(source) = tls_error(&error) {
        return ClientError::Tls {
            base,
            reason: explain(&source),
            source,
        };
    }
    let source = error.without_url();
    let reason = if source.is_timeout() {
        "it took too long".to_owned()
    } else {
        innermost(&source)
    };
    ClientError::Unreachable {
        base,
        reason,
        source,
    }
}

fn innermost(error: &(dyn Error + 'static)) -> String {
    causes(error)
        .last()
        .map_or_else(String::new, ToString::to_string)
}

/// The TLS library's error among `error`'s causes. I/O errors carry theirs inside, where `source`
/// skips it.
fn tls_error(error: &(dyn Error + 'static)) -> Option<rustls::Error> {
    causes(error).find_map(|error| {
        if let Some(tls) = error.downcast_ref::<rustls::Error>() {
            return Some(tls.clone());
        }
        let inside = error.downcast_ref::<std::io::Error>()?.get_ref()?;
        tls_error(inside)
    })
}

fn explain(error: &rustls::Error) -> String {
    use rustls::{AlertDescription as Alert, CertificateError as Bad, Error as E};
    match error {
        E::AlertReceived(Alert::CertificateRequired) => {
            "it demands a certificate and none was shown; enrol first".to_owned()
        }
        E::AlertReceived(Alert::CertificateExpired) => {
            "it refused this party's certificate, which is expired or not yet valid; renew it, and \
             compare the clocks"
                .to_owned()
        }
        E::AlertReceived(alert) => format!(
            "it refused this party ({alert:?}); check that the certificate was issued by its authority"
        ),
        E::InvalidCertificate(
            Bad::Expired
            | Bad::ExpiredContext { .. }
            | Bad::NotValidYet
            | Bad::NotValidYetContext { .. },
        ) => {
            "its certificate is expired or not yet valid; it must be renewed, or the clocks compared"
                .to_owned()
        }
        E::InvalidCertificate(Bad::UnknownIssuer | Bad::BadSignature) => {
            "its certificate was not issued by the authority that this party trusts".to_owned()
        }
        E::InvalidCertificate(Bad::NotValidForName | Bad::NotValidForNameContext { .. }) => {
            "its certificate is not for this address; add the name to its server names".to_owned()
        }
        E::InvalidCertificate(Bad::Other(other)) => other.0.to_string(),
        other => other.to_string(),
    }
}
