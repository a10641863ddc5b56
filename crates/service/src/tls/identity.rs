//! A party's own key, certificate and trusted root, kept in a directory and replaced in place when
//! the certificate is renewed.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;
use rcgen::{CertificateParams, DistinguishedName, KeyPair};
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use x509_parser::prelude::{FromDer as _, X509Certificate};
use zeroize::Zeroizing;

use super::certificate::chain_from_pem;
use super::{PartyCertificate, PartyId, Role, Root, TlsError};
use crate::clock::{Clock, Timestamp};
use crate::files;

const KEY: &str = "key.pem";
const NEXT_KEY: &str = "key.next.pem";
const CHAIN: &str = "chain.pem";
const ROOT: &str = "root.pem";

/// Makes a fresh ECDSA P-256 key in `dir` (`key.next.pem`, permissions 0600) and returns a signing
/// request for it in PEM. The key that is in use stays so until a certificate for the new one is
/// installed by [`Identity::install`] or [`Identity::renew`]; asking again before that replaces
/// the new key.
///
/// # Errors
/// [`TlsError::File`], [`TlsError::Make`].
pub fn generate_key_and_csr(dir: &Path) -> Result<String, TlsError> {
    files::create_dir_durable(dir, 0o700).map_err(|source| write_error(dir, source))?;
    let key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256)?;
    let key_pem = Zeroizing::new(key.serialize_pem());
    write(&dir.join(NEXT_KEY), key_pem.as_bytes(), 0o600)?;
    let mut params = CertificateParams::default();
    // The authority takes nothing but the key.
    params.distinguished_name = DistinguishedName::new();
    Ok(params.serialize_request(&key)?.pem()?)
}

/// A party's TLS identity. Clones share it: after [`Identity::renew`] or [`Identity::reload`] every
/// configuration made from it presents the new certificate on its next handshake.
///
/// Kept in a directory as `key.pem` (private: whoever holds it is this party until the certificate
/// expires or is revoked), `chain.pem` (certificate, then root) and `root.pem`.
#[derive(Clone)]
pub struct Identity(Arc<Inner>);

struct Inner {
    dir: PathBuf,
    clock: Clock,
    root: Root,
    current: ArcSwap<Current>,
}

struct Current {
    key: Arc<CertifiedKey>,
    certificate: Arc<PartyCertificate>,
    chain_pem: String,
}

impl Identity {
    /// Loads the identity in `dir`. That the certificate is valid now is not checked: an expired one
    /// can still be looked at, and peers refuse it.
    ///
    /// # Errors
    /// [`TlsError::File`], [`TlsError::Malformed`], or [`TlsError::Mismatch`] if key, chain and root do
    /// not belong together.
    pub fn load(dir: &Path, clock: Clock) -> Result<Self, TlsError> {
        let root = Root::load(&dir.join(ROOT))?;
        let current = Current::load(dir, &root)?;
        Ok(Self(Arc::new(Inner {
            dir: dir.to_owned(),
            clock,
            root,
            current: ArcSwap::from_pointee(current),
        })))
    }

    /// Completes an enrolment that began with [`generate_key_and_csr`]: checks the issued chain
    /// against `root` and the new key, makes both durable, and loads the identity.
    ///
    /// # Errors
    /// As [`Identity::load`].
    pub fn install(
        dir: &Path,
        chain_pem: &str,
        root: &Root,
        clock: Clock,
    ) -> Result<Self, TlsError> {
        write(&dir.join(ROOT), root.pem().as_bytes(), 0o644)?;
        install_chain(dir, chain_pem, root)?;
        Self::load(dir, clock)
    }

    /// Puts a newly issued chain in use, for the key of the last [`generate_key_and_csr`] or for
    /// the present one.
    ///
    /// # Errors
    /// As [`Identity::load`]; also [`TlsError::Mismatch`] if the chain names another party. The
    /// present certificate then stays in use.
    pub fn renew(&self, chain_pem: &str) -> Result<(), TlsError> {
        let new = PartyCertificate::from_pem(chain_pem)?;
        if (new.role, new.party) != (self.role(), self.party()) {
            return Err(TlsError::Mismatch(
                "the new certificate names another party",
            ));
        }
        install_chain(&self.0.dir, chain_pem, &self.0.root)?;
        self.reload()
    }

    /// Reads key and chain from the directory again, after another process has renewed them.
    ///
    /// # Errors
    /// As [`Identity::load`]; the present certificate then stays in use.
    pub fn reload(&self) -> Result<(), TlsError> {
        let current = Current::load(&self.0.dir, &self.0.root)?;
        self.0.current.store(Arc::new(current));
        Ok(())
    }

    /// What this party does.
    #[must_use]
    pub fn role(&self) -> Role {
        self.certificate().role
    }

    /// Who this party is.
    #[must_use]
    pub fn party(&self) -> PartyId {
        self.certificate().party
    }

    /// When the present certificate stops being valid.
    #[must_use]
    pub fn expires(&self) -> Timestamp {
        self.certificate().expires
    }

    /// What the present certificate says.
    #[must_use]
    pub fn certificate(&self) -> Arc<PartyCertificate> {
        Arc::clone(&self.0.current.load().certificate)
    }

    /// The present certificate and the root, in PEM.
    #[must_use]
    pub fn chain_pem(&self) -> String {
        self.0.current.load().chain_pem.clone()
    }

    /// The root that this party trusts.
    #[must_use]
    pub fn root(&self) -> &Root {
        &self.0.root
    }

    /// Where its files are.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.0.dir
    }

    /// The clock that certificates are judged by.
    #[must_use]
    pub fn clock(&self) -> &Clock {
        &self.0.clock
    }

    fn certified_key(&self) -> Arc<CertifiedKey> {
        Arc::clone(&self.0.current.load().key)
    }
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Identity")
            .field("certificate", &self.certificate())
            .finish_non_exhaustive()
    }
}

impl rustls::server::ResolvesServerCert for Identity {
    fn resolve(&self, _: rustls::server::ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.certified_key())
    }
}

impl rustls::client::ResolvesClientCert for Identity {
    fn resolve(&self, _: &[&[u8]], _: &[rustls::SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(self.certified_key())
    }

    fn has_certs(&self) -> bool {
        true
    }
}

impl Current {
    fn load(dir: &Path, root: &Root) -> Result<Self, TlsError> {
        let chain_path = dir.join(CHAIN);
        let chain_pem = std::fs::read_to_string(&chain_path)
            .map_err(|source| read_error(&chain_path, source))?;
        let chain = chain_from_pem(&chain_pem)?;
        let certificate = PartyCertificate::from_der(&chain[0])?;
        check_issued_by(&chain[0], root)?;
        let key = match load_key(&dir.join(KEY), &chain) {
            Ok(key) => key,
            // Stopped between writing the chain and putting its key in place: finish that now.
            Err(error) => match load_key(&dir.join(NEXT_KEY), &chain) {
                Ok(key) => {
                    promote_next_key(dir)?;
                    key
                }
                Err(_) => return Err(error),
            },
        };
        Ok(Self {
            key: Arc::new(key),
            certificate: Arc::new(certificate),
            chain_pem,
        })
    }
}

/// The chain goes first, then its key takes its place: [`Current::load`] completes what a crash in
/// between leaves.
fn install_chain(dir: &Path, chain_pem: &str, root: &Root) -> Result<(), TlsError> {
    let chain = chain_from_pem(chain_pem)?;
    PartyCertificate::from_der(&chain[0])?;
    check_issued_by(&chain[0], root)?;
    let next_is_new = load_key(&dir.join(NEXT_KEY), &chain).is_ok();
    if !next_is_new {
        load_key(&dir.join(KEY), &chain)?;
    }
    write(&dir.join(CHAIN), chain_pem.as_bytes(), 0o644)?;
    if next_is_new {
        promote_next_key(dir)?;
    }
    Ok(())
}

fn promote_next_key(dir: &Path) -> Result<(), TlsError> {
    let key = dir.join(KEY);
    std::fs::rename(dir.join(NEXT_KEY), &key)
        .and_then(|()| files::sync_dir(dir))
        .map_err(|source| write_error(&key, source))
}

fn load_key(path: &Path, chain: &[CertificateDer<'static>]) -> Result<CertifiedKey, TlsError> {
    let pem = std::fs::read(path)
        .map(Zeroizing::new)
        .map_err(|source| read_error(path, source))?;
    let key = PrivateKeyDer::from_pem_slice(&pem)
        .map_err(|error| TlsError::malformed("the private key", error))?;
    let provider = super::configs::provider();
    CertifiedKey::from_der(chain.to_vec(), key, &provider).map_err(|error| match error {
        rustls::Error::InconsistentKeys(_) => {
            TlsError::Mismatch("the private key is not the certificate's")
        }
        other => other.into(),
    })
}

fn check_issued_by(leaf: &[u8], root: &Root) -> Result<(), TlsError> {
    let malformed = |error| TlsError::malformed("a certificate", error);
    let (_, leaf) = X509Certificate::from_der(leaf).map_err(malformed)?;
    let (_, root) = X509Certificate::from_der(root.der()).map_err(malformed)?;
    leaf.verify_signature(Some(root.public_key()))
        .map_err(|_| TlsError::Mismatch("the certificate was not issued by the trusted root"))
}

/// Whether the certificate `der` is for the key with this uncompressed point.
pub(super) fn holds_key(der: &[u8], point: &[u8]) -> Result<bool, TlsError> {
    let (_, certificate) = X509Certificate::from_der(der)
        .map_err(|error| TlsError::malformed("a certificate", error))?;
    Ok(certificate.public_key().subject_public_key.data.as_ref() == point)
}

fn write(path: &Path, bytes: &[u8], mode: u32) -> Result<(), TlsError> {
    files::write_durable(path, bytes, mode).map_err(|source| write_error(path, source))
}

fn write_error(path: &Path, source: std::io::Error) -> TlsError {
    TlsError::File {
        action: "write",
        path: path.to_owned(),
        source,
    }
}

fn read_error(path: &Path, source: std::io::Error) -> TlsError {
    TlsError::File {
        action: "read",
        path: path.to_owned(),
        source,
    }
}
