//! The certification authority: one root, and certificates of parties directly below it.

use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use aws_lc_rs::rand::{SecureRandom as _, SystemRandom};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DistinguishedName,
    DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, PublicKeyData as _,
    SanType, SerialNumber,
};
use zeroize::Zeroizing;

use super::certificate::{party_uri, validity};
use super::{PartyId, Role, Root, TlsError};
use crate::clock::Timestamp;
use crate::files;

const KEY_FILE: &str = "ca-key.pem";
const ROOT_FILE: &str = "root.pem";
/// How far certificates reach into the past, for parties whose clocks are behind.
const BACKDATE: Duration = Duration::from_secs(5 * 60);
/// Ten years, the leap days among them.
const ROOT_VALIDITY: Duration = Duration::from_secs(3652 * 24 * 60 * 60);

/// Whom a certificate is for.
#[derive(Clone, Debug)]
pub struct Subject {
    /// What its holder does.
    pub role: Role,
    /// Who its holder is.
    pub party: PartyId,
    /// The DNS names and IP addresses at which its holder serves; empty for one that only connects.
    pub server_names: Vec<String>,
}

/// The trusted third party's certification authority. Its key, in `ca-key.pem`, never leaves the
/// directory; whoever holds it can pose as anybody. Its certificate is `root.pem` beside it.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    root: Root,
}

impl Authority {
    /// Makes a new authority in `dir`, valid for ten years from `now`.
    ///
    /// # Errors
    /// [`TlsError::Exists`] if there is one already; [`TlsError::File`].
    pub fn create(dir: &Path, now: Timestamp) -> Result<Self, TlsError> {
        let root_path = dir.join(ROOT_FILE);
        if root_path.exists() {
            return Err(TlsError::Exists {
                path: dir.to_owned(),
            });
        }
        let key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256)?;
        let mut params = base_params(now, now + ROOT_VALIDITY)?;
        let name = format!("harpocrates:v1:authority:{}", random_hex::<16>()?);
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let root = params.self_signed(&key)?;

        files::create_dir_durable(dir, 0o700).map_err(write_error(dir))?;
        let key_pem = Zeroizing::new(key.serialize_pem());
        let key_path = dir.join(KEY_FILE);
        // The key first: an authority exists from the moment that its root does.
        files::write_durable(&key_path, key_pem.as_bytes(), 0o600)
            .map_err(write_error(&key_path))?;
        files::write_durable(&root_path, root.pem().as_bytes(), 0o644)
            .map_err(write_error(&root_path))?;
        Self::load(dir)
    }

    /// Loads the authority in `dir`.
    ///
    /// # Errors
    /// [`TlsError::File`], [`TlsError::Malformed`], or [`TlsError::Mismatch`] if the key is not
    /// the root's.
    pub fn load(dir: &Path) -> Result<Self, TlsError> {
        let root = Root::load(&dir.join(ROOT_FILE))?;
        let key_path = dir.join(KEY_FILE);
        let key_pem = std::fs::read_to_string(&key_path)
            .map(Zeroizing::new)
            .map_err(|source| TlsError::File {
                action: "read",
                path: key_path,
                source,
            })?;
        let key = KeyPair::from_pem(&key_pem)
            .map_err(|error| TlsError::malformed("the authority's key", error))?;
        if !super::identity::holds_key(root.der(), key.public_key_raw())? {
            return Err(TlsError::Mismatch("the authority's key is not the root's"));
        }
        let issuer = Issuer::from_ca_cert_der(root.der(), key)?;
        Ok(Self { issuer, root })
    }

    /// Loads the authority in `dir`, or makes one there if there is none.
    ///
    /// # Errors
    /// As [`Authority::create`] and [`Authority::load`].
    pub fn load_or_create(dir: &Path, now: Timestamp) -> Result<Self, TlsError> {
        if dir.join(ROOT_FILE).exists() {
            Self::load(dir)
        } else {
            Self::create(dir, now)
        }
    }

    /// Its certificate.
    #[must_use]
    pub fn root(&self) -> &Root {
        &self.root
    }

    /// Issues a certificate for the key in the signing request `csr_pem`, valid from a little before
    /// `now` until `now + validity`. Returns the chain in PEM: the certificate, then the root.
    ///
    /// Only the key is taken from the request, after checking that whoever wrote it holds the
    /// private key; names and extensions asked for there are ignored.
    ///
    /// # Errors
    /// [`TlsError::Request`] for a request that is malformed, wrongly signed or not for an ECDSA
    /// P-256 key; [`TlsError::Validity`] if it would outlive the root or the authority is not valid
    /// now; [`TlsError::Malformed`] for an impossible server name.
    pub fn issue(
        &self,
        csr_pem: &str,
        subject: &Subject,
        validity: Duration,
        now: Timestamp,
    ) -> Result<String, TlsError> {
        let request = CertificateSigningRequestParams::from_pem(csr_pem).map_err(refuse)?;
        // 65 bytes: an uncompressed point of P-256. The algorithm alone names only the digest.
        if request.public_key.algorithm() != &rcgen::PKCS_ECDSA_P256_SHA256
            || request.public_key.der_bytes().len() != 65
        {
            return Err(TlsError::Request("its key is not an ECDSA key on P-256"));
        }
        let params = self.leaf_params(subject, validity, now)?;
        let leaf = params.signed_by(&request.public_key, &self.issuer)?;
        let leaf_pem = super::certificate::certificate_pem(leaf.der());
        Ok(format!("{leaf_pem}{}", self.root.pem()))
    }

    fn leaf_params(
        &self,
        subject: &Subject,
        lifetime: Duration,
        now: Timestamp,
    ) -> Result<CertificateParams, TlsError> {
        let (root_from, root_to) = validity(self.root.der())?;
        let expires = now + lifetime;
        let outside = |reason| TlsError::Validity {
            from: now,
            to: expires,
            reason,
        };
        if now < root_from || expires > root_to {
            return Err(outside("the authority's own certificate is not valid then"));
        }
        if lifetime.is_zero() {
            return Err(outside("it would be over at once"));
        }
        let mut params = base_params(now, expires)?;
        let uri = party_uri(subject.role, subject.party);
        params
            .distinguished_name
            .push(DnType::CommonName, uri.as_str());
        params.subject_alt_names = vec![SanType::URI(uri.try_into()?)];
        for name in &subject.server_names {
            params.subject_alt_names.push(server_name(name)?);
        }
        params.is_ca = IsCa::ExplicitNoCa;
        params.use_authority_key_identifier_extension = true;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        if !subject.server_names.is_empty() {
            params
                .extended_key_usages
                .push(ExtendedKeyUsagePurpose::ServerAuth);
        }
        Ok(params)
    }
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Authority")
            .field("root", &self.root.fingerprint())
            .finish_non_exhaustive()
    }
}

fn base_params(now: Timestamp, expires: Timestamp) -> Result<CertificateParams, TlsError> {
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    let seconds = |moment: Timestamp| Duration::from_secs(moment.as_secs());
    // X.509 ends with the year 9999; saturated additions would reach beyond it.
    if expires > Timestamp::from_secs(253_402_300_799) {
        return Err(TlsError::Validity {
            from: now,
            to: expires,
            reason: "it ends after the year 9999",
        });
    }
    let mut params = CertificateParams::default();
    params.not_before = epoch + seconds(now - BACKDATE);
    params.not_after = epoch + seconds(expires);
    params.distinguished_name = DistinguishedName::new();
    params.serial_number = Some(random_serial()?);
    Ok(params)
}

fn server_name(name: &str) -> Result<SanType, TlsError> {
    if let Ok(address) = name.parse::<IpAddr>() {
        return Ok(SanType::IpAddress(address));
    }
    rustls_pki_types::DnsName::try_from(name)
        .map_err(|error| TlsError::malformed("a server name", error))?;
    Ok(SanType::DnsName(name.try_into()?))
}

/// 126 random bits: positive, without a leading zero byte, and within the 20 octets of RFC 5280.
fn random_serial() -> Result<SerialNumber, TlsError> {
    let mut bytes = random_bytes::<16>()?;
    bytes[0] = bytes[0] & 0x7f | 0x40;
    Ok(SerialNumber::from_slice(&bytes))
}

fn random_hex<const N: usize>() -> Result<String, TlsError> {
    Ok(hex::encode(random_bytes::<N>()?))
}

fn random_bytes<const N: usize>() -> Result<[u8; N], TlsError> {
    let mut bytes = [0; N];
    SystemRandom::new()
        .fill(&mut bytes)
        .map_err(|_| TlsError::Random)?;
    Ok(bytes)
}

fn refuse(error: rcgen::Error) -> TlsError {
    TlsError::Request(match error {
        rcgen::Error::InvalidCertificationRequestSignature => {
            "it is not signed by the key that it holds"
        }
        rcgen::Error::UnsupportedExtension => "it asks for extensions that are never granted",
        _ => "it is not a signing request in PEM for a supported key",
    })
}

fn write_error(path: &Path) -> impl FnOnce(std::io::Error) -> TlsError + '_ {
    |source| TlsError::File {
        action: "write",
        path: path.to_owned(),
        source,
    }
}
