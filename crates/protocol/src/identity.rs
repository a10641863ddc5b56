//! Parties, enrolment and credentials (docs/protocol.md 2).

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rand_core::CryptoRng;
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::access::Purpose;
use crate::cell::Layout;
use crate::domain::{hash, sha256};
use crate::id::{Digest, PartyId};
use crate::sign::{Signed, Statement, VerifyingKey};
use crate::time::Timestamp;
use crate::wrap::SealingKey;
use crate::{Malformed, rounds};

/// What a party is in the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// The trusted third party.
    Trust,
    /// The cloud provider.
    Cloud,
    /// A hospital's gateway.
    Gateway,
    /// Nobody in particular: may retrieve from the cloud (2.6).
    Pass,
    /// Carries gateways' requests to the cloud without reading them (9.8).
    Relay,
}

impl Role {
    /// The word for it in certificates and messages.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Trust => "trust",
            Self::Cloud => "cloud",
            Self::Gateway => "gateway",
            Self::Pass => "pass",
            Self::Relay => "relay",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Role {
    type Err = Malformed;
    fn from_str(text: &str) -> Result<Self, Malformed> {
        [
            Self::Trust,
            Self::Cloud,
            Self::Gateway,
            Self::Pass,
            Self::Relay,
        ]
        .into_iter()
        .find(|role| role.as_str() == text)
        .ok_or_else(|| {
            Malformed::new(
                "role",
                format!("{text:?} is none of trust, cloud, gateway, pass, relay"),
            )
        })
    }
}

const CODE_PREFIX: &str = "harpo1-";
const SECRET_BYTES: usize = 16;

/// The secret half of an enrolment code. Held by trust's operator and the joining party's, until it is used.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct EnrolSecret([u8; SECRET_BYTES]);

impl EnrolSecret {
    /// What trust keeps of it.
    pub fn digest(&self) -> Digest {
        hash("enrol-secret", &[&self.0])
    }

    /// Text form for the request.
    pub fn to_text(&self) -> String {
        hex::encode(self.0)
    }

    /// From the request's text form.
    pub fn from_text(text: &str) -> Result<Self, Malformed> {
        let mut bytes = [0; SECRET_BYTES];
        hex::decode_to_slice(text, &mut bytes)
            .map_err(|_| Malformed::new("enrolment secret", "not 32 hexadecimal digits"))?;
        Ok(Self(bytes))
    }
}

impl fmt::Debug for EnrolSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EnrolSecret(…)")
    }
}

impl PartialEq for EnrolSecret {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

/// A one-time code with which a party joins (2.2).
#[derive(Clone, Debug, PartialEq)]
pub struct EnrolCode {
    /// SHA-256 of the authority's certificate (DER).
    pub authority: Digest,
    /// Shown to trust once.
    pub secret: EnrolSecret,
}

impl EnrolCode {
    /// A fresh code of this authority.
    pub fn generate(authority_der: &[u8], rng: &mut impl CryptoRng) -> Self {
        let mut secret = [0; SECRET_BYTES];
        rng.fill_bytes(&mut secret);
        Self {
            authority: sha256(authority_der),
            secret: EnrolSecret(secret),
        }
    }

    /// What the operator hands over.
    pub fn to_text(&self) -> String {
        let mut bytes = self.authority.0.to_vec();
        bytes.extend_from_slice(&self.secret.0);
        format!("{CODE_PREFIX}{}", URL_SAFE_NO_PAD.encode(bytes))
    }
}

impl FromStr for EnrolCode {
    type Err = Malformed;
    fn from_str(text: &str) -> Result<Self, Malformed> {
        let complain = || {
            Malformed::new(
                "enrolment code",
                "it should begin with harpo1- and be copied whole",
            )
        };
        let bytes = text
            .trim()
            .strip_prefix(CODE_PREFIX)
            .and_then(|t| URL_SAFE_NO_PAD.decode(t).ok())
            .ok_or_else(complain)?;
        let (authority, secret) = bytes.split_at_checked(Digest::LEN).ok_or_else(complain)?;
        Ok(Self {
            authority: Digest::from_slice(authority)?,
            secret: EnrolSecret(secret.try_into().map_err(|_| complain())?),
        })
    }
}

/// `POST /v1/enrol` (2.3).
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EnrolRequest {
    /// [`EnrolSecret::to_text`].
    pub secret: String,
    /// PKCS #10 request in PEM, for the transport key.
    pub certificate_request: String,
    /// DNS names and IP addresses under which the party serves others.
    pub server_names: Vec<String>,
    /// Gateways only.
    pub keys: Option<GatewayKeys>,
}

/// The public keys of a gateway.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GatewayKeys {
    /// Verifies its manifests.
    pub signing: VerifyingKey,
    /// Wraps releases to it.
    pub sealing: SealingKey,
}

/// What trust answers.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EnrolResponse {
    /// The new party.
    pub party: PartyId,
    /// Its role.
    pub role: Role,
    /// Its certificate and the authority's, PEM.
    pub chain: String,
    /// Verifies trust's statements.
    pub trust_key: VerifyingKey,
    /// Gateways only.
    pub credential: Option<Signed<Credential>>,
}

/// `POST /v1/renew` and `POST /v1/passes` (2.5, 2.6).
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CertificateRequest {
    /// PKCS #10 request in PEM.
    pub certificate_request: String,
    /// As in [`EnrolRequest::server_names`]; empty for passes.
    pub server_names: Vec<String>,
}

/// A certificate with the authority's behind it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CertificateChain {
    /// PEM.
    pub chain: String,
}

/// Who a hospital is, by trust's word (2.4).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Credential {
    /// The party.
    pub party: PartyId,
    /// The hospital's name.
    pub name: String,
    /// Its public keys.
    pub keys: GatewayKeys,
    /// When trust said so.
    pub issued: Timestamp,
    /// Until when manifests made with it are accepted.
    pub expires: Timestamp,
}

impl Statement for Credential {
    const KIND: &'static str = "credential";
}

/// What every gateway must know of the network (2.7).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrustInfo {
    /// Wraps content keys to trust.
    pub sealing_key: SealingKey,
    /// Sizes.
    pub layout: Layout,
    /// `https://…` of the cloud.
    pub cloud_url: String,
    /// When this was said.
    pub issued: Timestamp,
    /// Modalities (0008,0060) whose images get no reliability mark when they are sealed.
    #[serde(default)]
    pub unmarked_modalities: Vec<String>,
    /// When gateways retrieve (9.7); at once, when somebody wants something, if there is no rule.
    #[serde(default)]
    pub rounds: Option<rounds::Rule>,
    /// Purposes for which somebody may not wait for a round.
    #[serde(default)]
    pub at_once_for: Vec<Purpose>,
    /// Through whom gateways reach the cloud (9.8); directly, if there is none.
    #[serde(default)]
    pub relay: Option<RelayInfo>,
}

/// The relay, and how requests are sealed that pass through it (9.8).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RelayInfo {
    /// `https://HOST:PORT`.
    pub url: String,
    /// The cloud's key configurations (RFC 9458, section 3.2), base64. By trust's word, so that neither the relay nor
    /// the cloud can give one gateway a key of its own.
    pub keys: String,
}

impl Statement for TrustInfo {
    const KIND: &'static str = "trust-info";
}

#[cfg(test)]
mod tests {
    use rand_core::SeedableRng as _;

    use super::*;

    #[test]
    fn codes_survive_being_copied_and_damaged_ones_are_refused() {
        let code = EnrolCode::generate(
            b"certificate",
            &mut rand_chacha::ChaCha20Rng::from_seed([3; 32]),
        );
        let text = code.to_text();
        assert_eq!(format!(" {text}\n").parse::<EnrolCode>().unwrap(), code);
        for bad in [
            "",
            "harpo1-",
            &text[..text.len() - 3],
            &text[1..],
            "harpo2-AAAA",
            &format!("{text}AAAA"),
        ] {
            assert!(bad.parse::<EnrolCode>().is_err(), "{bad:?}");
        }
        assert!(!format!("{code:?}").contains(&code.secret.to_text()));
    }
}
