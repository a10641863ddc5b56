//! A gateway's configuration: `gateway.toml` in its folder. Paths are relative to that folder.

use std::net::SocketAddr;
use std::path::PathBuf;

use serde::Deserialize;

use harpo_service::config::{AdminConfig, LogConfig};

/// Name of the file in the party's folder.
pub const FILE: &str = "gateway.toml";

/// `gateway.toml`.
#[derive(Debug, Clone, Deserialize)]
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
    /// Fetching.
    #[serde(default)]
    pub consult: ConsultSection,
    /// Health.
    #[serde(default = "admin")]
    pub admin: AdminConfig,
    /// Logs.
    #[serde(default)]
    pub log: LogConfig,
}

/// `[trust]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrustSection {
    /// `https://host:port`.
    pub url: String,
}

/// `[dicom]`.
#[derive(Debug, Clone, Deserialize)]
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
    /// Largest instance.
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
#[derive(Debug, Clone, Deserialize)]
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
#[derive(Debug, Clone, Deserialize)]
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

/// `[consult]`.
#[derive(Debug, Clone, Deserialize)]
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
    /// How often trust is asked for newly sealed generations, whose hints are then fetched.
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

/// A new gateway's `gateway.toml`.
pub fn template(trust_url: &str) -> String {
    let url = toml::Value::String(trust_url.to_owned());
    format!(
        "# A Harpocrates gateway. Every other key has a default, shown here.\n\n\
         [trust]\nurl = {url}\n\n\
         [dicom]\n# listen = \"127.0.0.1:11112\"\n# ae_title = \"HARPO\"\n# calling_ae_titles = []\n\
         # max_associations = 16\n# max_object_mib = 2048\n\n\
         [web]\n# listen = \"127.0.0.1:8604\"\n# max_request_mib = 4096\n\n\
         [admin]\n# listen = \"127.0.0.1:8614\"\n\n\
         [outsource]\n# quiet_seconds = 30.0\n\n\
         [consult]\n# decision_seconds = 30\n# cache_max_mib = 51200\n# failure_holdoff_seconds = 60.0\n# retrievals_at_once = 2\n# stack_poll_seconds = 15.0\n\n\
         [log]\n# level = \"info\"\n# format = \"text\"\n"
    )
}
