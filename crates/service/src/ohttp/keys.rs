//! The cloud's keys for what comes through the relay (docs/protocol.md 9.8). One suite: with a choice, what a gateway
//! chooses would tell it apart.

use std::io;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use harpo_protocol::Malformed;
use ohttp::hpke::{Aead, Kdf, Kem};
use ohttp::{KeyConfig, SymmetricSuite};
use rand_core::CryptoRng;
use zeroize::Zeroizing;

use crate::files;

const KEM: Kem = Kem::XWing;
/// Not ChaCha20-Poly1305, as elsewhere: version 0.8 of the library has no room for the nonce of its streamed answers.
const SUITE: SymmetricSuite = SymmetricSuite::new(Kdf::HkdfSha256, Aead::Aes128Gcm);
/// Encapsulated requests begin with key identifier, KEM, KDF and AEAD (RFC 9458, section 4.3).
pub(super) const HEADER_BYTES: usize = 7;
/// The present one and the one before.
const KEPT: usize = 2;
const SEED_BYTES: usize = 32;
/// Largest list of key configurations: far more than one.
const LIST_BYTES: usize = 16 << 10;

/// Why there are no keys.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeysError {
    /// The file cannot be read or written.
    #[error("cannot {action} {}", path.display())]
    File {
        /// `read` or `write`.
        action: &'static str,
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file is not one.
    #[error("{} is not a file of keys; restore it from a backup, or remove it to have a new key made", path.display())]
    Malformed {
        /// Which.
        path: PathBuf,
        /// Why.
        source: Malformed,
    },
}

/// What a private key is derived from, with its identifier before it. The cloud alone has it, until two newer ones were
/// made.
struct Seed(Zeroizing<[u8; 1 + SEED_BYTES]>);

impl Seed {
    fn generate(id: u8, rng: &mut impl CryptoRng) -> Self {
        let mut bytes = Zeroizing::new([0; 1 + SEED_BYTES]);
        rng.fill_bytes(&mut *bytes);
        bytes[0] = id;
        Self(bytes)
    }

    fn server(&self) -> Result<ohttp::Server, Malformed> {
        let [id, seed @ ..] = &*self.0;
        KeyConfig::derive(*id, KEM, vec![SUITE], seed)
            .and_then(ohttp::Server::new)
            .map_err(|error| Malformed::new("key", error.to_string()))
    }
}

/// Private keys: the present one, and the one before it for those who have not heard. Held by the cloud alone.
pub struct ServerKeys {
    /// Newest first, never empty.
    keys: Vec<ohttp::Server>,
}

impl std::fmt::Debug for ServerKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let ids: Vec<u8> = self
            .keys
            .iter()
            .map(|key| identifier(key.config()))
            .collect();
        write!(f, "ServerKeys({ids:?}, …)")
    }
}

impl ServerKeys {
    /// The keys in this file, which is made with a first one if there is none.
    ///
    /// # Errors
    /// [`KeysError`].
    pub fn load_or_make(path: &Path, rng: &mut impl CryptoRng) -> Result<Self, KeysError> {
        let seeds = match read(path)? {
            Some(seeds) => seeds,
            None => {
                let seeds = vec![Seed::generate(1, rng)];
                write(path, &seeds)?;
                seeds
            }
        };
        let keys = seeds.iter().map(Seed::server).collect::<Result<_, _>>();
        Ok(Self {
            keys: keys.map_err(malformed(path))?,
        })
    }

    /// Puts a new key before those in this file, and forgets all but the latest of these.
    ///
    /// # Errors
    /// [`KeysError`].
    pub fn renew(path: &Path, rng: &mut impl CryptoRng) -> Result<(), KeysError> {
        let mut seeds = read(path)?.unwrap_or_default();
        let id = seeds
            .first()
            .map_or(1, |newest| newest.0[0].wrapping_add(1));
        seeds.insert(0, Seed::generate(id, rng));
        seeds.truncate(KEPT);
        write(path, &seeds)
    }

    /// The present key's configuration, as a list (RFC 9458, section 3.2).
    ///
    /// # Errors
    /// [`Malformed`], which a key of this suite is not.
    pub fn public(&self) -> Result<Vec<u8>, Malformed> {
        let newest: Vec<&KeyConfig> = self
            .keys
            .iter()
            .take(1)
            .map(ohttp::Server::config)
            .collect();
        KeyConfig::encode_list(&newest).map_err(|error| Malformed::new("key", error.to_string()))
    }

    /// The key that an encapsulated request names at its beginning, if it is one of these.
    ///
    /// # Errors
    /// [`Malformed`] if it names another, or another suite.
    pub(super) fn named(&self, header: [u8; HEADER_BYTES]) -> Result<&ohttp::Server, Malformed> {
        self.keys
            .iter()
            .find(|key| header_of(identifier(key.config())) == header)
            .ok_or_else(|| {
                Malformed::new(
                    "encapsulated request",
                    "its key is not, or no longer, one of these, or its suite is another",
                )
            })
    }
}

/// Its first byte (RFC 9458, section 3.1): the crate shows it no other way.
fn identifier(config: &KeyConfig) -> u8 {
    config
        .encode()
        .ok()
        .and_then(|bytes| bytes.first().copied())
        .unwrap_or_default()
}

fn header_of(id: u8) -> [u8; HEADER_BYTES] {
    let [kem, kdf, aead] = [
        u16::from(KEM),
        u16::from(SUITE.kdf()),
        u16::from(SUITE.aead()),
    ]
    .map(u16::to_be_bytes);
    [id, kem[0], kem[1], kdf[0], kdf[1], aead[0], aead[1]]
}

/// Newest first.
fn read(path: &Path) -> Result<Option<Vec<Seed>>, KeysError> {
    let bytes = match std::fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        read => Zeroizing::new(read.map_err(failed("read", path))?),
    };
    let (seeds, rest) = bytes.as_chunks::<{ 1 + SEED_BYTES }>();
    if !rest.is_empty() || seeds.is_empty() || seeds.len() > KEPT {
        let why = format!("{} bytes, which is neither one key nor two", bytes.len());
        return Err(malformed(path)(Malformed::new("file of keys", why)));
    }
    let seeds = seeds.iter().map(|seed| Seed(Zeroizing::new(*seed)));
    Ok(Some(seeds.collect()))
}

fn write(path: &Path, seeds: &[Seed]) -> Result<(), KeysError> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(KEPT * (1 + SEED_BYTES)));
    for seed in seeds {
        bytes.extend_from_slice(&*seed.0);
    }
    files::write_durable(path, &bytes, 0o600).map_err(failed("write", path))
}

fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> KeysError {
    move |source| KeysError::File {
        action,
        path: path.to_owned(),
        source,
    }
}

fn malformed(path: &Path) -> impl FnOnce(Malformed) -> KeysError {
    move |source| KeysError::Malformed {
        path: path.to_owned(),
        source,
    }
}

/// The cloud's present public key, by trust's word.
#[derive(Clone)]
pub struct PublicKey(KeyConfig);

impl std::fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "PublicKey({})", identifier(&self.0))
    }
}

impl PublicKey {
    /// From a list of exactly one configuration, of the one suite.
    ///
    /// # Errors
    /// [`Malformed`].
    pub fn from_list(list: &[u8]) -> Result<Self, Malformed> {
        let complain = |why: String| Malformed::new("list of keys", why);
        if list.len() > LIST_BYTES {
            return Err(complain("too long".to_owned()));
        }
        let mut keys = KeyConfig::decode_list(list).map_err(|e| complain(e.to_string()))?;
        let (Some(key), true) = (keys.pop(), keys.is_empty()) else {
            return Err(complain("not one key that can be used here".to_owned()));
        };
        // What is not of this suite alone is written otherwise.
        let again = KeyConfig::encode_list(&[&key]).map_err(|e| complain(e.to_string()))?;
        let ends_in = |suite: &[u8; HEADER_BYTES]| {
            let mut suites = vec![0, 4];
            suites.extend_from_slice(&suite[3..]);
            list.ends_with(&suites)
        };
        let header = header_of(identifier(&key));
        if again != list || list.get(2..5) != Some(&header[..3]) || !ends_in(&header) {
            return Err(complain(
                "another suite than X-Wing, HKDF-SHA256, AES-128-GCM".to_owned(),
            ));
        }
        Ok(Self(key))
    }

    /// From [`RelayInfo::keys`](harpo_protocol::identity::RelayInfo).
    ///
    /// # Errors
    /// [`Malformed`].
    pub fn from_base64(text: &str) -> Result<Self, Malformed> {
        let list = STANDARD
            .decode(text)
            .map_err(|_| Malformed::new("list of keys", "not base64"))?;
        Self::from_list(&list)
    }

    /// For [`RelayInfo::keys`](harpo_protocol::identity::RelayInfo).
    ///
    /// # Errors
    /// [`Malformed`], which a key of this suite is not.
    pub fn to_base64(&self) -> Result<String, Malformed> {
        let list = KeyConfig::encode_list(&[&self.0])
            .map_err(|error| Malformed::new("key", error.to_string()))?;
        Ok(STANDARD.encode(list))
    }

    /// For one request.
    ///
    /// # Errors
    /// [`ohttp::Error`], which a key of this suite is not met with.
    pub(super) fn request(&self) -> Result<ohttp::ClientRequest, ohttp::Error> {
        ohttp::ClientRequest::from_config(&mut self.0.clone())
    }
}
