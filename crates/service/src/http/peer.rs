//! Who is at the other end of a request.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::FromRequestParts;
use http::request::Parts;

use super::ApiError;
use crate::tls::{PartyCertificate, PartyId, Role};

/// Who sent a request, as the TLS handshake proved. In every request that a
/// [`Server`](super::Server) hands on; handlers take it as an argument.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    addr: SocketAddr,
    certificate: Option<Arc<PartyCertificate>>,
}

impl Peer {
    /// Somebody at `addr` who showed no certificate.
    #[must_use]
    pub fn anonymous(addr: SocketAddr) -> Self {
        Self {
            addr,
            certificate: None,
        }
    }

    /// The holder of `certificate`, which the handshake has verified.
    #[must_use]
    pub fn verified(addr: SocketAddr, certificate: PartyCertificate) -> Self {
        Self {
            addr,
            certificate: Some(Arc::new(certificate)),
        }
    }

    /// Where the connection comes from.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// What it does; `None` if it showed no certificate.
    #[must_use]
    pub fn role(&self) -> Option<Role> {
        self.certificate.as_ref().map(|shown| shown.role)
    }

    /// Who it is; `None` if it showed no certificate.
    #[must_use]
    pub fn party(&self) -> Option<PartyId> {
        self.certificate.as_ref().map(|shown| shown.party)
    }

    /// The certificate it showed, with the serial number that a revocation would name.
    #[must_use]
    pub fn certificate(&self) -> Option<&PartyCertificate> {
        self.certificate.as_deref()
    }

    /// Who it is, if it has the role that a request needs.
    ///
    /// # Errors
    /// `rejected`: 401 if it showed no certificate, 403 if it has another role.
    pub fn require(&self, role: Role) -> Result<PartyId, ApiError> {
        match &self.certificate {
            None => Err(ApiError::unauthorized(
                "rejected",
                format!("this needs a certificate of a {role}; the connection showed none"),
            )),
            Some(shown) if shown.role == role => Ok(shown.party),
            Some(shown) => Err(ApiError::forbidden(
                "rejected",
                format!(
                    "this is for a {role}, and the certificate is of a {}",
                    shown.role
                ),
            )),
        }
    }
}

impl<S: Sync> FromRequestParts<S> for Peer {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        parts.extensions.get::<Self>().cloned().ok_or_else(|| {
            ApiError::new(
                http::StatusCode::INTERNAL_SERVER_ERROR,
                "internal",
                "the request did not come through the service's own server",
            )
        })
    }
}
