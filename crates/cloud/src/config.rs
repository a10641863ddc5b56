//! The configuration file (TOML). `docs/examples/cloud.toml` shows every key with its default.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use harpo_service::config::{AdminConfig, LogConfig};
use serde::Deserialize;

#[cfg(test)]
mod tests;

/// Where the machine does not say how much memory it has.
const FALLBACK_MEMORY_MIB: u64 = 4096;

/// The sample configuration, which says what the defaults are.
pub const SAMPLE: &str = include_str!("../../../docs/examples/cloud.toml");

/// A new cloud's `cloud.toml`: the sample, with the data beside it.
#[must_use]
pub fn template() -> String {
    SAMPLE
        .lines()
        .map(|line| match line.starts_with("data_dir = ") {
            true => "data_dir = \"data\"\n".to_owned(),
            false => format!("{line}\n"),
        })
        .collect()
}

/// What an operator decides about a cloud.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CloudConfig {
    /// Where trust and gateways are served, with TLS. Port 0 chooses a free one. Default `127.0.0.1:8601`.
    #[serde(default = "listen")]
    pub listen: SocketAddr,
    /// The folder with all state: identity, enrolment, database, slots, hints, event log.
    pub data_dir: PathBuf,
    /// Health, without TLS. Default `127.0.0.1:8611`.
    #[serde(default = "admin")]
    pub admin: AdminConfig,
    /// The sealed generations.
    #[serde(default)]
    pub stack: StackConfig,
    /// What the cloud puts up with.
    #[serde(default)]
    pub limits: Limits,
    /// The program's own log (not the event log, which is always written).
    #[serde(default)]
    pub log: LogConfig,
}

/// `[stack]`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StackConfig {
    /// Where encoded generations are, from which queries are answered. Default in memory.
    pub encoded: EncodedForm,
}

/// Where encoded generations are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EncodedForm {
    /// In memory, on huge pages where the system gives them: the quickest to scan. Encoded again from the slots at each
    /// start.
    #[default]
    Memory,
    /// In files that are mapped into memory: a start checks their digests instead of encoding, and an interrupted
    /// sealing goes on. Takes as much disk as the other takes memory; `memory_limit_mib` does not count it. A disk that
    /// fails under them while they are scanned, or another program that shortens them, ends the process.
    Mapped,
}

/// `[limits]`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Largest slot, in bytes. Default 64 MiB.
    pub max_slot_bytes: u32,
    /// Slots that are received at the same time; further ones wait. Each is held in memory. Default 4.
    pub slot_uploads_at_once: u32,
    /// Memory for encoded generations, in MiB; they take 3 to 3.4 times the size of their slots. Sealing what does not
    /// fit is refused. Default 0: three quarters of the machine's memory.
    pub memory_limit_mib: u64,
    /// Retrievals with a good ticket that are received or answered at the same time; further ones are told when to
    /// come back. Default 64.
    pub retrievals_at_once: u32,
    /// Queries of all of them together that were not answered yet. No retrieval is let in while there are so many; one
    /// that was let in may have up to 64 more. Default 512.
    pub queue_queries: u32,
    /// Memory for these queries and for answers that were not taken yet, in MiB, bounded in the same way. Besides,
    /// the pass under way needs memory for 16 answers in the making. Default 1024.
    pub queue_mib: u64,
    /// How long a query waits for others to be answered with it when nothing is under way, in milliseconds. Default 3.
    pub gather_milliseconds: u64,
    /// How often an interrupted retrieval may be resumed. Default 8.
    pub retrieval_resumptions: u32,
    /// Streams of whole stacks at the same time; further ones are told to come back. Each has two or three slots in
    /// memory. Default 4.
    pub streams_at_once: u32,
    /// Hints, or parts of them, that are sent at the same time; further readers are told to come back. Default 16.
    pub hints_at_once: u32,
    /// Retrievals whose tickets are being read at the same time; further ones are told to come back. Each holds at
    /// most 256 KiB. Default 256.
    pub tickets_at_once: u32,
    /// Longest time for a retrieval's ticket to arrive, and how far its queries and the taking of its answers may fall
    /// behind the slowest rate, in seconds. Default 10.
    pub retrieval_patience_seconds: u64,
    /// Slowest rate for queries to arrive, and for answers, streams and hints to be taken, in KiB a second: whoever is slower loses its place.
    /// Default 64.
    pub retrieval_min_kib_per_second: u32,
    /// Longest time for one retrieval's queries to arrive, in seconds, whatever their rate. Default 300.
    pub retrieval_upload_seconds: u64,
    /// How long a spent ticket is remembered after it has expired, in seconds. Default 3600.
    pub ticket_memory_seconds: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_slot_bytes: 64 << 20,
            slot_uploads_at_once: 4,
            memory_limit_mib: 0,
            retrievals_at_once: 64,
            queue_queries: 512,
            queue_mib: 1024,
            gather_milliseconds: 3,
            retrieval_resumptions: 8,
            streams_at_once: 4,
            hints_at_once: 16,
            tickets_at_once: 256,
            retrieval_patience_seconds: 10,
            retrieval_min_kib_per_second: 64,
            retrieval_upload_seconds: 300,
            ticket_memory_seconds: 3600,
        }
    }
}

impl Limits {
    /// What `memory_limit_mib` comes to on this machine.
    #[must_use]
    pub fn memory_mib(&self) -> u64 {
        match self.memory_limit_mib {
            0 => machine_memory_mib().map_or(FALLBACK_MEMORY_MIB, |all| all * 3 / 4),
            limit => limit,
        }
    }
}

/// As Linux tells it.
fn machine_memory_mib() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib / 1024)
}

impl CloudConfig {
    /// A configuration with every default, and its state in `data_dir`.
    pub fn new(data_dir: impl Into<PathBuf>) -> Self {
        Self {
            listen: listen(),
            data_dir: data_dir.into(),
            admin: admin(),
            stack: StackConfig::default(),
            limits: Limits::default(),
            log: LogConfig::default(),
        }
    }

    /// The TLS identity.
    #[must_use]
    pub fn identity_dir(&self) -> PathBuf {
        self.data_dir.join("identity")
    }

    /// What enrolment learned: trust's address and key.
    #[must_use]
    pub fn enrolment_file(&self) -> PathBuf {
        self.data_dir.join("enrolment.json")
    }

    /// The keys for what comes through the relay (docs/protocol.md 9.8).
    #[must_use]
    pub fn relay_keys_file(&self) -> PathBuf {
        self.data_dir.join("relay.keys")
    }

    /// The database.
    #[must_use]
    pub fn database_file(&self) -> PathBuf {
        self.data_dir.join("cloud.sqlite")
    }

    /// The objects: slots and hints.
    #[must_use]
    pub fn objects_dir(&self) -> PathBuf {
        self.data_dir.join("objects")
    }

    /// Encoded generations, if they are kept.
    #[must_use]
    pub fn encoded_dir(&self) -> PathBuf {
        self.data_dir.join("encoded")
    }

    /// The event log ([`crate::events`]).
    #[must_use]
    pub fn event_log(&self) -> PathBuf {
        self.data_dir.join("events.jsonl")
    }

    /// Reads a configuration file.
    ///
    /// # Errors
    /// As [`harpo_service::config::load`].
    pub fn load(path: &Path) -> Result<Self, harpo_service::config::ConfigError> {
        harpo_service::config::load(path)
    }
}

fn listen() -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, 8601))
}

fn admin() -> AdminConfig {
    AdminConfig {
        listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 8611)),
    }
}
