//! Configuration files, and the sections that every party has.
//!
//! Files are TOML. Unknown keys are refused, so that a misspelt one is not silently a default:
//! every structure that is read by [`load`] says `#[serde(deny_unknown_fields)]`.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::DeserializeOwned;
use zeroize::Zeroizing;

#[cfg(test)]
mod tests;

/// Why a configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("the configuration {} cannot be read", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file does not say what it should. The message shows the line, and names the key and what
    /// is allowed instead.
    #[error("the configuration {} is wrong: {source}", path.display())]
    Parse {
        /// The file.
        path: PathBuf,
        /// Where and why.
        source: Box<toml::de::Error>,
    },
    /// The file that holds a secret cannot be read.
    #[error("the secret in {} cannot be read", path.display())]
    SecretFile {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The environment variable that holds a secret is not set, or not text.
    #[error("the environment variable {name}, which should hold a secret, is not set or not text")]
    SecretEnv {
        /// The variable.
        name: String,
    },
    /// The secret is empty.
    #[error("the secret from {origin} is empty")]
    SecretEmpty {
        /// Where it comes from.
        origin: String,
    },
}

/// Reads the configuration in the TOML file at `path`.
///
/// # Errors
/// [`ConfigError::Read`], [`ConfigError::Parse`].
pub fn load<T: DeserializeOwned>(path: &Path) -> Result<T, ConfigError> {
    let text = std::fs::read_to_string(path).map_err(|source| ConfigError::Read {
        path: path.to_owned(),
        source,
    })?;
    toml::from_str(&text).map_err(|source| ConfigError::Parse {
        path: path.to_owned(),
        source: Box::new(source),
    })
}

/// Where a secret is: `{ file = "/run/secrets/console" }` or `{ env = "CONSOLE_PASSWORD" }`. Secrets
/// themselves never stand in configuration files.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SecretSource {
    /// In a file: its text, without the newline at its end. Relative paths start at the directory
    /// given to [`SecretSource::read`].
    File(PathBuf),
    /// In an environment variable.
    Env(String),
}

impl SecretSource {
    /// Fetches the secret; relative paths start at `base`, the directory of the configuration.
    ///
    /// # Errors
    /// [`ConfigError::SecretFile`], [`ConfigError::SecretEnv`], [`ConfigError::SecretEmpty`].
    pub fn read(&self, base: &Path) -> Result<Secret, ConfigError> {
        let text = match self {
            Self::File(path) => {
                let path = base.join(path);
                warn_if_open_to_others(&path);
                std::fs::read_to_string(&path)
                    .map(Zeroizing::new)
                    .map_err(|source| ConfigError::SecretFile { path, source })?
            }
            Self::Env(name) => std::env::var(name)
                .map(Zeroizing::new)
                .map_err(|_| ConfigError::SecretEnv { name: name.clone() })?,
        };
        let line = text.strip_suffix('\n').unwrap_or(&text);
        let line = line.strip_suffix('\r').unwrap_or(line);
        if line.is_empty() {
            return Err(ConfigError::SecretEmpty {
                origin: self.to_string(),
            });
        }
        Ok(Secret(Zeroizing::new(line.to_owned())))
    }
}

impl fmt::Display for SecretSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "the file {}", path.display()),
            Self::Env(name) => write!(f, "the environment variable {name}"),
        }
    }
}

fn warn_if_open_to_others(path: &Path) {
    // Only a warning: secrets mounted into containers are often readable by everybody there.
    if std::fs::metadata(path).is_ok_and(|meta| meta.permissions().mode() & 0o007 != 0) {
        tracing::warn!(path = %path.display(), "other users can read this secret; chmod o= it");
    }
}

/// A secret in text, such as a password. Held by the service that its configuration names, until it
/// stops; wiped when dropped, and shown to nobody.
#[derive(Clone)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// The secret itself, for the one call that needs it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether `candidate` is the secret, in time that depends on the lengths alone.
    #[must_use]
    pub fn matches(&self, candidate: &str) -> bool {
        aws_lc_rs::constant_time::verify_slices_are_equal(self.0.as_bytes(), candidate.as_bytes())
            .is_ok()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// `[log]`: what is written to standard error.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LogConfig {
    /// `error`, `warn`, `info`, `debug` or `trace`, or directives such as `info,harpo_trust=debug`.
    /// The environment variable `RUST_LOG` goes before it.
    pub level: String,
    /// Lines for people or for machines.
    pub format: LogFormat,
}

impl Default for LogConfig {
    fn default() -> Self {
        Self {
            level: "info".to_owned(),
            format: LogFormat::Text,
        }
    }
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// `[admin]`: where health is told.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AdminConfig {
    /// Without TLS, so for loopback or a network of machines' own. Port 0 chooses a free one.
    pub listen: SocketAddr,
}

impl Default for AdminConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
        }
    }
}
