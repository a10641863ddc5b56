//! Reading certificates: whom they name, and the root that vouches for them.

use std::fmt;
use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

use aws_lc_rs::digest;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, UnixTime};
use serde::{Deserialize, Serialize};
use x509_parser::prelude::{FromDer as _, GeneralName, X509Certificate};

use super::{ParseNameError, PartyId, Role, TlsError};
use crate::clock::Timestamp;

const URI_PREFIX: &str = "harpocrates:v1:";

/// The URI that names a party in its certificate.
pub(super) fn party_uri(role: Role, party: PartyId) -> String {
    format!("{URI_PREFIX}{role}:{party}")
}

/// SHA-256 of a certificate's DER; written as 64 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    /// The fingerprint of the certificate `der`.
    #[must_use]
    pub fn of(der: &[u8]) -> Self {
        let digest = digest::digest(&digest::SHA256, der);
        let mut bytes = [0; 32];
        bytes.copy_from_slice(digest.as_ref());
        Self(bytes)
    }

    /// The fingerprint with these bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Its bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fingerprint({self})")
    }
}

/// Colons between the bytes are accepted, as other tools print them, and so are capitals.
impl FromStr for Fingerprint {
    type Err = ParseNameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(text.replace(':', ""), &mut bytes).map_err(|_| ParseNameError)?;
        Ok(Self(bytes))
    }
}

impl Serialize for Fingerprint {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Fingerprint {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// What a party's certificate says. Only reading: whether to believe it is for the TLS handshake
/// (or [`Root::verify`]) to decide.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartyCertificate {
    /// What its holder does.
    pub role: Role,
    /// Who its holder is.
    pub party: PartyId,
    /// Its serial number, lower-case hexadecimal: what a revocation names.
    pub serial: String,
    /// When it becomes valid.
    pub not_before: Timestamp,
    /// When it stops being valid.
    pub expires: Timestamp,
    /// SHA-256 of its DER.
    pub fingerprint: Fingerprint,
}

impl PartyCertificate {
    /// Reads a certificate.
    ///
    /// # Errors
    /// [`TlsError::Malformed`] unless it is an X.509 certificate with exactly one URI among its
    /// names, `harpocrates:v1:<role>:<party-id>`, besides DNS names and IP addresses.
    pub fn from_der(der: &[u8]) -> Result<Self, TlsError> {
        let malformed = |reason: &str| TlsError::malformed("a party's certificate", reason);
        let (rest, certificate) =
            X509Certificate::from_der(der).map_err(|error| malformed(&error.to_string()))?;
        if !rest.is_empty() {
            return Err(malformed("bytes follow it"));
        }
        let names = certificate
            .subject_alternative_name()
            .map_err(|error| malformed(&error.to_string()))?
            .ok_or_else(|| malformed("it names nobody"))?;
        let mut uri = None;
        for name in &names.value.general_names {
            match name {
                GeneralName::URI(text) if uri.is_none() => uri = Some(*text),
                GeneralName::DNSName(_) | GeneralName::IPAddress(_) => {}
                _ => return Err(malformed("it has names of another kind, or two URIs")),
            }
        }
        let (role, party) = uri
            .and_then(|uri| uri.strip_prefix(URI_PREFIX))
            .and_then(|name| name.split_once(':'))
            .ok_or_else(|| malformed("it has no name of the form harpocrates:v1:ROLE:PARTY"))?;
        let validity = certificate.validity();
        Ok(Self {
            role: role
                .parse()
                .map_err(|_| malformed("it names an unknown role"))?,
            party: party
                .parse()
                .map_err(|_| malformed("it names no party id"))?,
            serial: hex::encode(certificate.raw_serial()),
            not_before: seconds(validity.not_before.timestamp()),
            expires: seconds(validity.not_after.timestamp()),
            fingerprint: Fingerprint::of(der),
        })
    }

    /// Reads the first certificate of a chain in PEM.
    ///
    /// # Errors
    /// As [`PartyCertificate::from_der`].
    pub fn from_pem(chain_pem: &str) -> Result<Self, TlsError> {
        let chain = chain_from_pem(chain_pem)?;
        Self::from_der(&chain[0])
    }
}

/// The root that a party trusts: the certificate of the one [`Authority`](super::Authority).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Root {
    der: CertificateDer<'static>,
}

impl Root {
    /// Reads a root from PEM.
    ///
    /// # Errors
    /// [`TlsError::Malformed`] unless it is exactly one certificate of an authority.
    pub fn from_pem(pem: &str) -> Result<Self, TlsError> {
        let mut chain = chain_from_pem(pem)?;
        match (chain.pop(), chain.is_empty()) {
            (Some(der), true) => Self::from_der(der),
            _ => Err(TlsError::malformed(
                "the root",
                "it holds several certificates",
            )),
        }
    }

    /// Reads a root from DER.
    ///
    /// # Errors
    /// As [`Root::from_pem`].
    pub fn from_der(der: CertificateDer<'static>) -> Result<Self, TlsError> {
        let (_, parsed) = X509Certificate::from_der(&der)
            .map_err(|error| TlsError::malformed("the root", error))?;
        if !parsed.is_ca() {
            return Err(TlsError::malformed(
                "the root",
                "it is not the certificate of an authority",
            ));
        }
        Ok(Self { der })
    }

    /// Reads the root in the file at `path`.
    ///
    /// # Errors
    /// [`TlsError::File`], or as [`Root::from_pem`].
    pub fn load(path: &Path) -> Result<Self, TlsError> {
        let pem = std::fs::read_to_string(path).map_err(|source| TlsError::File {
            action: "read",
            path: path.to_owned(),
            source,
        })?;
        Self::from_pem(&pem)
    }

    /// The root at the end of a chain as [`Authority::issue`](super::Authority::issue) makes it,
    /// if its fingerprint is the one expected.
    ///
    /// # Errors
    /// [`TlsError::Mismatch`] for another root, [`TlsError::Malformed`] for no chain.
    pub fn from_chain(chain_pem: &str, expected: &Fingerprint) -> Result<Self, TlsError> {
        let last = chain_from_pem(chain_pem)?.pop();
        let root = last.map(Self::from_der).transpose()?;
        root.filter(|root| root.fingerprint() == *expected)
            .ok_or(TlsError::Mismatch(
                "the chain does not end in the root with the expected fingerprint",
            ))
    }

    /// SHA-256 of the certificate: what people compare, and what first contact pins.
    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of(&self.der)
    }

    /// The certificate in PEM.
    #[must_use]
    pub fn pem(&self) -> String {
        certificate_pem(&self.der)
    }

    /// The certificate in DER.
    #[must_use]
    pub fn der(&self) -> &CertificateDer<'static> {
        &self.der
    }

    /// Checks a party's chain (PEM, leaf first) against this root at the moment `now`, as the TLS
    /// handshake would, and reads it.
    ///
    /// # Errors
    /// [`TlsError::Rustls`] if the chain is not valid then, [`TlsError::Malformed`] if it is no
    /// party's.
    pub fn verify(&self, chain_pem: &str, now: Timestamp) -> Result<PartyCertificate, TlsError> {
        let chain = chain_from_pem(chain_pem)?;
        let verifier = super::verify::client_verifier(self)?;
        let now = UnixTime::since_unix_epoch(Duration::from_millis(now.as_millis()));
        verifier.verify_client_cert(&chain[0], &chain[1..], now)?;
        PartyCertificate::from_der(&chain[0])
    }
}

/// The certificates in `pem`: at least one.
pub(super) fn chain_from_pem(pem: &str) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let chain: Vec<_> = CertificateDer::pem_slice_iter(pem.as_bytes())
        .collect::<Result<_, _>>()
        .map_err(|error| TlsError::malformed("the certificate chain", error))?;
    if chain.is_empty() {
        return Err(TlsError::malformed(
            "the certificate chain",
            "it holds no certificate",
        ));
    }
    Ok(chain)
}

pub(super) fn certificate_pem(der: &[u8]) -> String {
    let config = pem::EncodeConfig::new().set_line_ending(pem::LineEnding::LF);
    pem::encode_config(&pem::Pem::new("CERTIFICATE", der), config)
}

/// When the certificate `der` becomes and stops being valid.
pub(super) fn validity(der: &[u8]) -> Result<(Timestamp, Timestamp), TlsError> {
    let (_, certificate) = X509Certificate::from_der(der)
        .map_err(|error| TlsError::malformed("a certificate", error))?;
    let validity = certificate.validity();
    Ok((
        seconds(validity.not_before.timestamp()),
        seconds(validity.not_after.timestamp()),
    ))
}

fn seconds(seconds: i64) -> Timestamp {
    Timestamp::from_secs(u64::try_from(seconds).unwrap_or(0))
}
