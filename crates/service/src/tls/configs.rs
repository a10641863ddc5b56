//! TLS configurations: what each side offers, and what it insists on.

use std::sync::Arc;

use rustls::client::Resumption;
use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs as aws;
use rustls::server::NoServerSessionStorage;
use rustls::{ClientConfig, ServerConfig, version};

use super::verify::{PartyClientVerifier, PartyServerVerifier, PinnedServerVerifier};
use super::{Fingerprint, Identity, PartyId, Role, Root, TlsError};
use crate::clock::Clock;

/// Whether clients must show a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientAuth {
    /// The handshake fails without one.
    Required,
    /// They may connect without one, and are then anonymous; one that is shown must be valid.
    Optional,
}

/// Whom a client wants to find at the other end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expect {
    pub(super) role: Role,
    pub(super) party: Option<PartyId>,
}

impl Expect {
    /// Any party with this role.
    #[must_use]
    pub const fn role(role: Role) -> Self {
        Self { role, party: None }
    }

    /// This party alone.
    #[must_use]
    pub const fn party(role: Role, party: PartyId) -> Self {
        Self {
            role,
            party: Some(party),
        }
    }
}

/// The server side: presents `identity` (as renewed meanwhile), accepts clients with certificates of
/// its root that name a party.
///
/// # Errors
/// [`TlsError::Rustls`] if the root is not usable.
pub fn server_config(identity: &Identity, auth: ClientAuth) -> Result<Arc<ServerConfig>, TlsError> {
    let verifier = PartyClientVerifier::new(identity.root(), auth)?;
    let clock = Arc::new(identity.clock().clone());
    let mut config = ServerConfig::builder_with_details(provider(), clock)
        .with_protocol_versions(&[&version::TLS13])?
        .with_client_cert_verifier(Arc::new(verifier))
        .with_cert_resolver(Arc::new(identity.clone()));
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    config.max_early_data_size = 0;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// The client side of a party: presents `identity` (as renewed meanwhile), accepts a server only
/// with a certificate of the identity's root, for the address it was reached at, naming whom
/// `expect` says.
///
/// # Errors
/// [`TlsError::Rustls`] if the root is not usable.
pub fn client_config(identity: &Identity, expect: Expect) -> Result<ClientConfig, TlsError> {
    with_client_key(
        identity.root(),
        identity.clock(),
        expect,
        Arc::new(identity.clone()),
    )
}

/// The client side of whoever has the key in `resolver`.
pub(super) fn with_client_key(
    root: &Root,
    clock: &Clock,
    expect: Expect,
    resolver: Arc<dyn rustls::client::ResolvesClientCert>,
) -> Result<ClientConfig, TlsError> {
    let verifier = PartyServerVerifier::new(root, expect)?;
    Ok(finish(
        client_builder(clock)?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier))
            .with_client_cert_resolver(resolver),
    ))
}

/// The client side of somebody who shows no certificate, and knows the root.
///
/// # Errors
/// [`TlsError::Rustls`] if the root is not usable.
pub fn anonymous_client_config(
    root: &Root,
    clock: &Clock,
    expect: Expect,
) -> Result<ClientConfig, TlsError> {
    let verifier = PartyServerVerifier::new(root, expect)?;
    Ok(finish(
        client_builder(clock)?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier))
            .with_no_client_auth(),
    ))
}

/// The client side of first contact: shows no certificate, and of the root knows only the
/// fingerprint, told by a person. The server's chain must end in exactly that root (chains of
/// [`Authority::issue`](super::Authority::issue) do).
///
/// # Errors
/// [`TlsError::Rustls`] if the configuration is not possible.
pub fn pinned_client_config(
    root: Fingerprint,
    clock: &Clock,
    expect: Expect,
) -> Result<ClientConfig, TlsError> {
    let verifier = PinnedServerVerifier::new(root, expect);
    Ok(finish(
        client_builder(clock)?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier))
            .with_no_client_auth(),
    ))
}

/// For clients of plain HTTP, whose library wants a configuration nevertheless: trusts nobody.
pub(crate) fn no_tls_config() -> Result<ClientConfig, TlsError> {
    Ok(finish(
        client_builder(&Clock::system())?
            .with_root_certificates(rustls::RootCertStore::empty())
            .with_no_client_auth(),
    ))
}

/// The algorithms of both sides: the hybrid of X25519 and ML-KEM-768 before its classical half.
pub(super) fn provider() -> Arc<CryptoProvider> {
    Arc::new(CryptoProvider {
        kx_groups: vec![
            aws::kx_group::X25519MLKEM768,
            aws::kx_group::X25519,
            aws::kx_group::SECP256R1,
        ],
        cipher_suites: vec![
            aws::cipher_suite::TLS13_AES_256_GCM_SHA384,
            aws::cipher_suite::TLS13_CHACHA20_POLY1305_SHA256,
            aws::cipher_suite::TLS13_AES_128_GCM_SHA256,
        ],
        ..aws::default_provider()
    })
}

type ClientBuilder = rustls::ConfigBuilder<ClientConfig, rustls::WantsVerifier>;

fn client_builder(clock: &Clock) -> Result<ClientBuilder, TlsError> {
    Ok(
        ClientConfig::builder_with_details(provider(), Arc::new(clock.clone()))
            .with_protocol_versions(&[&version::TLS13])?,
    )
}

fn finish(mut config: ClientConfig) -> ClientConfig {
    config.resumption = Resumption::disabled();
    config.enable_early_data = false;
    config
}
