//! A key for one connection: made in memory, never on the disk (docs/protocol.md 2.6).

use std::sync::Arc;

use rcgen::{CertificateParams, DistinguishedName, KeyPair};
use rustls::ClientConfig;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

use super::certificate::chain_from_pem;
use super::configs::{provider, with_client_key};
use super::{Expect, Root, TlsError};
use crate::clock::Clock;

/// The key of a pass, from asking for its certificate to the end of its connection.
pub struct PassKey {
    key: KeyPair,
    request: String,
}

impl std::fmt::Debug for PassKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PassKey(..)")
    }
}

impl PassKey {
    /// A fresh ECDSA P-256 key.
    ///
    /// # Errors
    /// [`TlsError::Make`].
    pub fn generate() -> Result<Self, TlsError> {
        let key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256)?;
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        let request = params.serialize_request(&key)?.pem()?;
        Ok(Self { key, request })
    }

    /// The signing request, in PEM.
    #[must_use]
    pub fn certificate_request(&self) -> &str {
        &self.request
    }

    /// The client side of the connection: shows the certificate at the head of `chain_pem`, accepts
    /// what [`client_config`](super::client_config) accepts.
    ///
    /// # Errors
    /// [`TlsError::Malformed`] if the chain is not one, [`TlsError::Mismatch`] if it is for another
    /// key, [`TlsError::Rustls`].
    pub fn client_config(
        self,
        chain_pem: &str,
        root: &Root,
        clock: &Clock,
        expect: Expect,
    ) -> Result<ClientConfig, TlsError> {
        let chain = chain_from_pem(chain_pem)?;
        let der = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(self.key.serialize_der()));
        let key = CertifiedKey::from_der(chain, der, &provider()).map_err(|error| match error {
            rustls::Error::InconsistentKeys(_) => TlsError::Mismatch("the pass is for another key"),
            other => other.into(),
        })?;
        with_client_key(root, clock, expect, Arc::new(SingleCertAndKey::from(key)))
    }
}
