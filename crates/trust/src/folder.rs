//! The data folder: what is where, and the keys.
//!
//! | path | what |
//! |---|---|
//! | `trust.toml` | configuration |
//! | `authority/` | the certification authority |
//! | `identity/` | trust's own certificate |
//! | `keys/` | statement signing key and sealing key, for this user alone |
//! | `trust.db` | everything else that must survive |
//! | `cache/` | fragments whose generation is not sealed |

use std::path::{Path, PathBuf};

use harpo_protocol::sign::SigningKey;
use harpo_protocol::wrap::OpeningKey;
use harpo_service::clock::Clock;
use harpo_service::db::{Db, Options, open_sqlite_with};
use harpo_service::files;
use harpo_service::tls::Authority;
use rand_core::CryptoRng;
use sqlx::migrate::Migrator;
use zeroize::Zeroizing;

use crate::config::TrustConfig;
use crate::error::{TrustError, file_error};
use crate::store::Store;

static MIGRATOR: Migrator = sqlx::migrate!("./migrations");

/// A data folder of the trusted third party.
#[derive(Clone, Debug)]
pub struct Folder(PathBuf);

impl Folder {
    /// The folder at this path; nothing is read yet.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The configuration file.
    pub fn config_path(&self) -> PathBuf {
        self.0.join("trust.toml")
    }

    /// Reads and checks the configuration.
    pub fn config(&self) -> Result<TrustConfig, TrustError> {
        let config: TrustConfig = harpo_service::config::load(&self.config_path())?;
        config
            .validate()
            .map_err(|error| TrustError::Usage(error.to_string()))?;
        Ok(config)
    }

    pub(crate) fn authority_dir(&self) -> PathBuf {
        self.0.join("authority")
    }

    pub(crate) fn identity_dir(&self) -> PathBuf {
        self.0.join("identity")
    }

    pub(crate) fn cache_dir(&self) -> PathBuf {
        self.0.join("cache")
    }

    fn database_path(&self) -> PathBuf {
        self.0.join("trust.db")
    }

    /// The certification authority.
    pub fn authority(&self) -> Result<Authority, TrustError> {
        Ok(Authority::load(&self.authority_dir())?)
    }

    pub(crate) async fn open_db(&self) -> Result<Db, TrustError> {
        // It holds keys, which erasure destroys.
        let options = Options {
            secure_delete: true,
            ..Options::default()
        };
        Ok(open_sqlite_with(&self.database_path(), &MIGRATOR, &options).await?)
    }

    /// Opens database and keys of a folder that was initialised.
    pub(crate) async fn open(&self, clock: Clock) -> Result<Store, TrustError> {
        if !self.config_path().exists() {
            return Err(TrustError::Folder {
                path: self.0.clone(),
                why: "holds no trust service; make one with `harpo trust init`",
            });
        }
        let signing = self.signing_key()?;
        Ok(Store::new(self.open_db().await?, signing, clock))
    }

    /// Makes the keys. The signing key is written last.
    pub(crate) fn create_keys(&self, rng: &mut impl CryptoRng) -> Result<SigningKey, TrustError> {
        let dir = self.0.join("keys");
        files::create_dir_durable(&dir, 0o700).map_err(file_error("write", &dir))?;
        let (_, sealing) = OpeningKey::generate(rng);
        self.write_key("sealing", &sealing)?;
        let (signing, seed) = SigningKey::generate(rng);
        self.write_key("signing", &seed)?;
        Ok(signing)
    }

    fn signing_key(&self) -> Result<SigningKey, TrustError> {
        Ok(SigningKey::from_seed(&*self.read_key("signing")?))
    }

    pub(crate) fn opening_key(&self) -> Result<OpeningKey, TrustError> {
        Ok(OpeningKey::from_bytes(&*self.read_key("sealing")?)?)
    }

    fn key_path(&self, name: &str) -> PathBuf {
        self.0.join("keys").join(format!("{name}.key"))
    }

    fn write_key(&self, name: &str, key: &[u8; 32]) -> Result<(), TrustError> {
        let path = self.key_path(name);
        files::write_durable(&path, key, 0o600).map_err(file_error("write", &path))
    }

    fn read_key(&self, name: &str) -> Result<Zeroizing<[u8; 32]>, TrustError> {
        let path = self.key_path(name);
        let bytes = std::fs::read(&path)
            .map(Zeroizing::new)
            .map_err(file_error("read", &path))?;
        let mut key = Zeroizing::new([0; 32]);
        if bytes.len() != key.len() {
            return Err(TrustError::Folder {
                path,
                why: "does not hold 32 bytes; restore it from a backup",
            });
        }
        key.copy_from_slice(&bytes);
        Ok(key)
    }
}
