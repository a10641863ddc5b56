//! Certificate verifiers: the library's own, plus the demand that a certificate names a party, and
//! on the client's side the expected one.

use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{verify_tls12_signature, verify_tls13_signature};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, RootCertStore,
    SignatureScheme,
};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

use super::configs::provider;
use super::{ClientAuth, Expect, Fingerprint, PartyCertificate, Root, TlsError};

/// Why a peer's certificate is refused although its chain is valid.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unexpected {
    #[error("its certificate names no party of this system")]
    Nobody,
    #[error("its certificate is for {found}, not for {wanted}")]
    Role {
        found: super::Role,
        wanted: super::Role,
    },
    #[error("its certificate is for another party than the expected one")]
    Party,
    #[error("its chain does not end in the root with the expected fingerprint")]
    Root,
}

impl From<Unexpected> for Error {
    fn from(reason: Unexpected) -> Self {
        Self::InvalidCertificate(CertificateError::Other(rustls::OtherError(Arc::new(
            reason,
        ))))
    }
}

fn roots(root: &CertificateDer<'static>) -> Result<Arc<RootCertStore>, Error> {
    let mut store = RootCertStore::empty();
    store.add(root.clone())?;
    Ok(Arc::new(store))
}

pub(super) fn client_verifier(root: &Root) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
    WebPkiClientVerifier::builder_with_provider(roots(root.der())?, provider())
        .build()
        .map_err(|error| TlsError::Rustls(Error::General(error.to_string())))
}

fn server_verifier(root: &CertificateDer<'static>) -> Result<Arc<WebPkiServerVerifier>, Error> {
    WebPkiServerVerifier::builder_with_provider(roots(root)?, provider())
        .build()
        .map_err(|error| Error::General(error.to_string()))
}

/// Accepts clients whose chain leads to the root and whose certificate names a party.
#[derive(Debug)]
pub(super) struct PartyClientVerifier {
    chain: Arc<dyn ClientCertVerifier>,
    auth: ClientAuth,
}

impl PartyClientVerifier {
    pub(super) fn new(root: &Root, auth: ClientAuth) -> Result<Self, TlsError> {
        let chain = client_verifier(root)?;
        Ok(Self { chain, auth })
    }
}

impl ClientCertVerifier for PartyClientVerifier {
    fn client_auth_mandatory(&self) -> bool {
        self.auth == ClientAuth::Required
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        // No hints: the certificate request is sent in clear to whoever connects.
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let verified = self
            .chain
            .verify_client_cert(end_entity, intermediates, now)?;
        PartyCertificate::from_der(end_entity).map_err(|_| Unexpected::Nobody)?;
        Ok(verified)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chain.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chain.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.chain.supported_verify_schemes()
    }
}

/// Accepts servers whose chain leads to the root, for the address they were reached at, if they
/// are whom the client wants.
#[derive(Debug)]
pub(super) struct PartyServerVerifier {
    chain: Arc<WebPkiServerVerifier>,
    expect: Expect,
}

impl PartyServerVerifier {
    pub(super) fn new(root: &Root, expect: Expect) -> Result<Self, TlsError> {
        let chain = server_verifier(root.der())?;
        Ok(Self { chain, expect })
    }
}

fn check_party(end_entity: &CertificateDer<'_>, expect: Expect) -> Result<(), Unexpected> {
    let found = PartyCertificate::from_der(end_entity).map_err(|_| Unexpected::Nobody)?;
    if found.role != expect.role {
        return Err(Unexpected::Role {
            found: found.role,
            wanted: expect.role,
        });
    }
    if expect.party.is_some_and(|party| party != found.party) {
        return Err(Unexpected::Party);
    }
    Ok(())
}

impl ServerCertVerifier for PartyServerVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let verified = self.chain.verify_server_cert(
            end_entity,
            intermediates,
            server_name,
            ocsp_response,
            now,
        )?;
        check_party(end_entity, self.expect)?;
        Ok(verified)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chain.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chain.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.chain.supported_verify_schemes()
    }
}

/// As [`PartyServerVerifier`], with the root taken from the server's own chain if it has the
/// fingerprint that a person told.
#[derive(Debug)]
pub(super) struct PinnedServerVerifier {
    root: Fingerprint,
    expect: Expect,
}

impl PinnedServerVerifier {
    pub(super) fn new(root: Fingerprint, expect: Expect) -> Self {
        Self { root, expect }
    }
}

impl ServerCertVerifier for PinnedServerVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let root = intermediates
            .iter()
            .find(|der| Fingerprint::of(der) == self.root)
            .ok_or(Unexpected::Root)?;
        let root = Root::from_der(root.clone().into_owned()).map_err(|_| Unexpected::Root)?;
        let verified = server_verifier(root.der())?.verify_server_cert(
            end_entity,
            // Certificates are issued by the root itself.
            &[],
            server_name,
            ocsp_response,
            now,
        )?;
        check_party(end_entity, self.expect)?;
        Ok(verified)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = provider().signature_verification_algorithms;
        verify_tls12_signature(message, cert, dss, &algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = provider().signature_verification_algorithms;
        verify_tls13_signature(message, cert, dss, &algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        provider()
            .signature_verification_algorithms
            .supported_schemes()
    }
}
