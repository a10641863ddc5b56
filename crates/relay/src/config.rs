//! The configuration file (TOML). `docs/examples/relay.toml` shows every key with its default.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use harpo_service::config::{AdminConfig, ConfigError, LogConfig};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

#[cfg(test)]
mod tests;

/// The sample configuration, which says what the defaults are.
pub const SAMPLE: &str = include_str!("../../../docs/examples/relay.toml");

/// A new relay's `relay.toml`: the sample, with the data beside it and this cloud.
#[must_use]
pub fn template(cloud_url: &str) -> String {
    SAMPLE
        .lines()
        .map(|line| match line {
            _ if line.starts_with("data_dir = ") => "data_dir = \"data\"\n".to_owned(),
            // Written as JSON writes a text, which TOML reads as the same.
            _ if line.starts_with("cloud_url = ") => {
                format!("cloud_url = {}\n", serde_json::Value::from(cloud_url))
            }
            _ => format!("{line}\n"),
        })
        .collect()
}

/// What an operator decides about a relay.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RelayConfig {
    /// Where gateways are served, with TLS. Port 0 chooses a free one. Default `127.0.0.1:8602`.
    #[serde(default = "listen")]
    pub listen: SocketAddr,
    /// The folder with identity and enrolment.
    pub data_dir: PathBuf,
    /// `https://HOST:PORT` of the cloud: the only place that anything is carried to.
    pub cloud_url: String,
    /// Health, without TLS. Default `127.0.0.1:8612`.
    #[serde(default = "admin")]
    pub admin: AdminConfig,
    /// What the relay puts up with.
    #[serde(default)]
    pub limits: Limits,
    /// The program's own log. It never names who asked.
    #[serde(default)]
    pub log: LogConfig,
}

/// `[limits]`, each at least 1.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Connections at a time; further ones wait in the system's queue. Default 1024.
    #[serde(deserialize_with = "above_zero")]
    pub connections: usize,
    /// Requests that are carried at the same time; further ones are told to come back. Default 256.
    #[serde(deserialize_with = "above_zero")]
    pub requests_at_once: u32,
    /// Of these, one gateway's. Default 8.
    #[serde(deserialize_with = "above_zero")]
    pub requests_per_gateway: u32,
    /// Largest request, in MiB. Default 4096.
    #[serde(deserialize_with = "above_zero")]
    pub max_request_mib: u64,
    /// Largest answer, in MiB: whole stacks come this way. Default 65536.
    #[serde(deserialize_with = "above_zero")]
    pub max_answer_mib: u64,
    /// Longest silence of the cloud, where other retrievals may go first, in seconds. Default 600.
    #[serde(deserialize_with = "above_zero")]
    pub silence_seconds: u64,
    /// Longest time for one request with its answer, in seconds. Default 86400.
    #[serde(deserialize_with = "above_zero")]
    pub total_seconds: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 1024,
            requests_at_once: 256,
            requests_per_gateway: 8,
            max_request_mib: 4096,
            max_answer_mib: 65536,
            silence_seconds: 600,
            total_seconds: 86400,
        }
    }
}

impl RelayConfig {
    /// A configuration with every default.
    pub fn new(data_dir: impl Into<PathBuf>, cloud_url: impl Into<String>) -> Self {
        Self {
            listen: listen(),
            data_dir: data_dir.into(),
            cloud_url: cloud_url.into(),
            admin: admin(),
            limits: Limits::default(),
            log: LogConfig::default(),
        }
    }

    /// The TLS identity.
    #[must_use]
    pub fn identity_dir(&self) -> PathBuf {
        self.data_dir.join("identity")
    }

    /// What enrolment learned.
    #[must_use]
    pub fn enrolment_file(&self) -> PathBuf {
        self.data_dir.join("enrolment.json")
    }

    /// Reads a configuration file.
    ///
    /// # Errors
    /// As [`harpo_service::config::load`].
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        harpo_service::config::load(path)
    }
}

/// A limit of nothing would carry nothing, and say so to nobody.
fn above_zero<'de, D, T>(from: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + Default + PartialEq,
{
    let limit = T::deserialize(from)?;
    if limit == T::default() {
        return Err(D::Error::custom("a limit is at least 1"));
    }
    Ok(limit)
}

fn listen() -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, 8602))
}

fn admin() -> AdminConfig {
    AdminConfig {
        listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 8612)),
    }
}
