//! A gateway's configuration: `gateway.toml` in its folder. Paths are relative to that folder.
//! `docs/examples/gateway.toml` shows every key with its default.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use harpo_protocol::Malformed;
use harpo_service::config::{AdminConfig, ConfigError, LogConfig};
use serde::Deserialize;

use crate::content::pipeline::Bounds;

/// Name of the file in the party's folder.
pub const FILE: &str = "gateway.toml";

/// `gateway.toml`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GatewayConfig {
    /// Where the data is kept.
    #[serde(default = "data_dir")]
    pub data_dir: PathBuf,
    /// The users of this hospital.
    #[serde(default = "users_file")]
    pub users_file: PathBuf,
    /// The trusted third party.
    pub trust: TrustSection,
    /// DICOM.
    #[serde(default)]
    pub dicom: DicomSection,
    /// DICOMweb.
    #[serde(default)]
    pub web: WebSection,
    /// Sending.
    #[serde(default)]
    pub outsource: OutsourceSection,
    /// Marking, coding and opening bundles.
    #[serde(default)]
    pub sealing: SealingSection,
    /// Fetching.
    #[serde(default)]
    pub consult: ConsultSection,
    /// Taking away.
    #[serde(default)]
    pub export: ExportSection,
    /// Health.
    #[serde(default = "admin")]
    pub admin: AdminConfig,
    /// Logs.
    #[serde(default)]
    pub log: LogConfig,
}

/// `[trust]`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrustSection {
    /// `https://host:port`.
    pub url: String,
}

/// `[dicom]`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DicomSection {
    /// Address of the C-STORE service. Loopback unless you say otherwise: DICOM has no encryption.
    pub listen: SocketAddr,
    /// Our application entity title.
    pub ae_title: String,
    /// Titles that may call; empty means any.
    pub calling_ae_titles: Vec<String>,
    /// Associations at once.
    pub max_associations: usize,
    /// Largest instance, of bundles that are opened, too.
    pub max_object_mib: u64,
}

impl Default for DicomSection {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 11112)),
            ae_title: "HARPO".into(),
            calling_ae_titles: Vec::new(),
            max_associations: 16,
            max_object_mib: 2048,
        }
    }
}

/// `[web]`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct WebSection {
    /// Address of DICOMweb. Loopback unless you say otherwise: put a TLS proxy before it.
    pub listen: SocketAddr,
    /// Largest STOW-RS request.
    pub max_request_mib: u64,
}

impl Default for WebSection {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8604)),
            max_request_mib: 4096,
        }
    }
}

/// `[outsource]`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OutsourceSection {
    /// A study's bundle is closed when nothing came for it for so long.
    pub quiet_seconds: f64,
}

impl Default for OutsourceSection {
    fn default() -> Self {
        Self {
            quiet_seconds: 30.0,
        }
    }
}

/// `[sealing]`: bundles that are sealed or opened.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SealingSection {
    /// Threads of one bundle; 0 is one for each processor.
    pub threads: usize,
    /// Memory for the instances under way, of all bundles together. One that needs more, up to about
    /// eight times its size, is worked on alone.
    pub memory_mib: u64,
}

impl Default for SealingSection {
    fn default() -> Self {
        Self {
            threads: 0,
            memory_mib: 256,
        }
    }
}

/// `[consult]`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ConsultSection {
    /// How long a permit for a bundle that is held locally is remembered for the same user and purpose.
    pub decision_seconds: u64,
    /// Size of the local cache of opened bundles.
    pub cache_max_mib: u64,
    /// After a failure at the cloud the same bundle is not asked for again for so long, on average: a
    /// retry would show the cloud that something failed.
    pub failure_holdoff_seconds: f64,
    /// Oblivious retrievals at once.
    pub retrievals_at_once: usize,
    /// How often trust is asked for newly sealed generations, whose hints are then fetched, on
    /// average: each time between half of it and one and a half times it.
    pub stack_poll_seconds: f64,
}

impl Default for ConsultSection {
    fn default() -> Self {
        Self {
            decision_seconds: 30,
            cache_max_mib: 50 << 10,
            failure_holdoff_seconds: 60.0,
            retrievals_at_once: 2,
            stack_poll_seconds: 15.0,
        }
    }
}

/// `[export]`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ExportSection {
    /// Whole instances over WADO-RS count as exports, as zip downloads always do. Where the permit demands
    /// tracing marks they do so anyway.
    pub instances: bool,
}

fn data_dir() -> PathBuf {
    "data".into()
}

fn users_file() -> PathBuf {
    "users.toml".into()
}

fn admin() -> AdminConfig {
    AdminConfig {
        listen: SocketAddr::from(([127, 0, 0, 1], 8614)),
    }
}

/// The configuration in units of the code, checked.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Figures {
    /// `outsource.quiet_seconds`.
    pub quiet: Duration,
    /// `consult.decision_seconds`.
    pub decision_lasts: Duration,
    /// `consult.failure_holdoff_seconds`.
    pub failure_holdoff: Duration,
    /// `consult.stack_poll_seconds`.
    pub stack_poll: Duration,
    /// `consult.cache_max_mib`.
    pub cache_bytes: u64,
    /// `dicom.max_object_mib`.
    pub object_bytes: u64,
    /// `web.max_request_mib`.
    pub request_bytes: u64,
    /// `sealing`.
    pub bounds: Bounds,
}

impl GatewayConfig {
    /// Reads a configuration file.
    ///
    /// # Errors
    /// As [`harpo_service::config::load`].
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        harpo_service::config::load(path)
    }

    /// Checks what the types do not, and converts the units.
    ///
    /// # Errors
    /// What is wrong, with the key and what is allowed.
    pub fn figures(&self) -> Result<Figures, Malformed> {
        let (dicom, consult) = (&self.dicom, &self.consult);
        title("dicom.ae_title", &dicom.ae_title)?;
        for calling in &dicom.calling_ae_titles {
            title("dicom.calling_ae_titles", calling)?;
        }
        count("dicom.max_associations", dicom.max_associations)?;
        count("consult.retrievals_at_once", consult.retrievals_at_once)?;
        let decision = consult.decision_seconds as f64;
        let holdoff = consult.failure_holdoff_seconds;
        Ok(Figures {
            quiet: seconds("outsource.quiet_seconds", self.outsource.quiet_seconds, 0.0)?,
            decision_lasts: seconds("consult.decision_seconds", decision, 0.0)?,
            failure_holdoff: seconds("consult.failure_holdoff_seconds", holdoff, 0.0)?,
            // More often would only keep trust busy.
            stack_poll: seconds(
                "consult.stack_poll_seconds",
                consult.stack_poll_seconds,
                0.1,
            )?,
            cache_bytes: mebibytes("consult.cache_max_mib", consult.cache_max_mib)?,
            object_bytes: mebibytes("dicom.max_object_mib", dicom.max_object_mib)?,
            request_bytes: mebibytes("web.max_request_mib", self.web.max_request_mib)?,
            bounds: self.sealing.bounds(dicom.max_object_mib)?,
        })
    }
}

impl SealingSection {
    fn bounds(&self, max_object_mib: u64) -> Result<Bounds, Malformed> {
        let threads = match self.threads {
            // What a container is limited to, where the system can tell.
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            threads => threads,
        };
        count("sealing.threads", threads)?;
        Ok(Bounds {
            threads,
            memory_bytes: mebibytes("sealing.memory_mib", self.memory_mib)?,
            object_bytes: mebibytes("dicom.max_object_mib", max_object_mib)?,
        })
    }
}

/// Longest time that a key may name: a year.
const MOST_SECONDS: f64 = 365.0 * 24.0 * 3600.0;
/// Most of anything at the same time.
const MOST_AT_ONCE: usize = 1 << 16;
/// Largest size that a key may name: an exbibyte.
const MOST_MIB: u64 = 1 << 40;

fn seconds(key: &str, value: f64, least: f64) -> Result<Duration, Malformed> {
    let wrong = || {
        let why = format!("{key} is {value}; it must be {least} to {MOST_SECONDS} seconds");
        Malformed::new("configuration", why)
    };
    // Not a number is in no range.
    if !(least..=MOST_SECONDS).contains(&value) {
        return Err(wrong());
    }
    Duration::try_from_secs_f64(value).map_err(|_| wrong())
}

fn mebibytes(key: &str, value: u64) -> Result<u64, Malformed> {
    if !(1..=MOST_MIB).contains(&value) {
        let why = format!("{key} is {value}; it must be 1 to {MOST_MIB}");
        return Err(Malformed::new("configuration", why));
    }
    Ok(value << 20)
}

fn count(key: &str, value: usize) -> Result<(), Malformed> {
    if !(1..=MOST_AT_ONCE).contains(&value) {
        let why = format!("{key} is {value}; it must be 1 to {MOST_AT_ONCE}");
        return Err(Malformed::new("configuration", why));
    }
    Ok(())
}

/// PS3.5, value representation AE.
fn title(key: &str, value: &str) -> Result<(), Malformed> {
    let characters = value
        .bytes()
        .all(|b| (b' '..=b'~').contains(&b) && b != b'\\');
    if value.trim().is_empty() || value.len() > 16 || !characters {
        let why = format!(
            "{key} has {value:?}; a title has 1 to 16 ASCII characters, not all blank, without backslash"
        );
        return Err(Malformed::new("configuration", why));
    }
    Ok(())
}

/// The sample configuration, which says what the defaults are.
pub const SAMPLE: &str = include_str!("../../../docs/examples/gateway.toml");

/// A new gateway's `gateway.toml`: the sample, with trust's address.
#[must_use]
pub fn template(trust_url: &str) -> String {
    let url = toml::Value::String(trust_url.to_owned());
    SAMPLE
        .lines()
        .map(|line| match line.starts_with("url = ") {
            true => format!("url = {url}\n"),
            false => format!("{line}\n"),
        })
        .collect()
}

#[cfg(test)]
mod tests;
