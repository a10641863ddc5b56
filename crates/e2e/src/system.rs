//! A whole network: trust, a cloud and hospitals, enrolled as the README says.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tempfile::TempDir;
use toml::Table;

use crate::process::{Process, free_port, harpo};
use crate::{events, peers, wait};

/// Trust, cloud and hospitals, running.
///
/// Fields are dropped in order: services end before their folders go.
#[derive(Debug)]
pub struct System {
    /// The trusted third party.
    pub trust: Process,
    /// The provider.
    pub cloud: Process,
    /// Between hospitals and provider, if the network has one.
    pub relay: Option<Process>,
    /// The hospitals, in the order they were named.
    pub hospitals: Vec<Hospital>,
    /// Where trust is.
    pub trust_url: String,
    /// Where the cloud is.
    pub cloud_url: String,
    /// Where the relay is, if there is one.
    pub relay_url: Option<String>,
    folder: TempDir,
}

/// One hospital's gateway.
#[derive(Debug)]
pub struct Hospital {
    /// Its name.
    pub name: String,
    /// The gateway.
    pub process: Process,
    /// Its folder.
    pub dir: PathBuf,
    /// Port of DICOM.
    pub dicom: u16,
    /// Port of DICOMweb.
    pub web: u16,
    /// Token of its one user.
    pub token: String,
}

/// Name of the user that every hospital has.
pub const USER: &str = "grey-meredith-7731";

/// Changes of the parties' configurations, as TOML, on top of what keeps tests quick.
#[derive(Debug, Clone, Default)]
pub struct Changes {
    /// Of `trust.toml`.
    pub trust: &'static str,
    /// Of `cloud.toml`.
    pub cloud: &'static str,
    /// Of every `gateway.toml`.
    pub gateway: &'static str,
    /// Whether gateways reach the cloud through a relay.
    pub relay: bool,
}

/// Small cells and generations, and nothing waits long: retrievals are made when somebody reads, and what was read stays
/// where it is, unless a test says otherwise.
const QUICK_TRUST: &str = "
[layout]
cell_bytes = 16384
cells_per_slot = 4
slots_per_generation = 32
[mixing]
seal_when_full_share = 1.0
seal_after_seconds = 86400
seal_grid_seconds = 0
cache_grace_seconds = 0
[retrieval]
schedule = 'at-once'
[replacement]
after_read = false
old_share = 0.0
";
const QUICK_GATEWAY: &str = "
[outsource]
quiet_seconds = 0.5
[consult]
stack_poll_seconds = 0.3
decision_seconds = 1
failure_holdoff_seconds = 3
";

impl System {
    /// A network of these hospitals.
    ///
    /// # Errors
    /// If a command fails or a service does not come up.
    pub fn start(hospitals: &[&str]) -> Result<Self> {
        Self::start_with(hospitals, &Changes::default())
    }

    /// A network of these hospitals, configured otherwise.
    ///
    /// # Errors
    /// If a command fails or a service does not come up.
    pub fn start_with(hospitals: &[&str], changes: &Changes) -> Result<Self> {
        let mut folder = tempfile::Builder::new().prefix("harpo-e2e-").tempdir()?;
        if std::env::var_os("HARPO_KEEP").is_some() {
            folder.disable_cleanup(true);
            println!("folders of this run: {}", folder.path().display());
        }
        let root = folder.path();
        let (trust_port, cloud_port) = (free_port()?, free_port()?);
        let relay_port = changes.relay.then(free_port).transpose()?;
        let relay_url = relay_port.map(|port| format!("https://127.0.0.1:{port}"));
        let mut trust_changes = changes.trust.to_owned();
        if let Some(url) = &relay_url {
            trust_changes += &format!("\n[relay]\nurl = '{url}'\n");
        }
        let trust = start_trust(root, trust_port, cloud_port, &trust_changes)?;
        let url = format!("https://127.0.0.1:{trust_port}");
        let cloud = start_cloud(root, &url, cloud_port, changes.cloud)?;
        let cloud_url = format!("https://127.0.0.1:{cloud_port}");
        let relay = relay_port.map(|port| start_relay(root, [&url, &cloud_url], port));
        let mut system = Self {
            trust,
            cloud,
            relay: relay.transpose()?,
            relay_url,
            hospitals: Vec::new(),
            trust_url: url.clone(),
            cloud_url,
            folder,
        };
        system.cloud.ready()?;
        system.trust.ready()?;
        for name in hospitals {
            let hospital = system.join(name, &url, changes.gateway)?;
            system.hospitals.push(hospital);
        }
        Ok(system)
    }

    /// The folder with everything that the services keep.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// A party's folder: `trust`, `cloud`, or that of a hospital.
    #[must_use]
    pub fn dir(&self, party: &str) -> PathBuf {
        self.folder.path().join(party)
    }

    fn join(&self, name: &str, trust_url: &str, changes: &str) -> Result<Hospital> {
        let folder_name = name.to_lowercase().replace(' ', "-");
        let dir = self.dir(&folder_name);
        let code = enrol(&self.dir("trust"), "gateway", name)?;
        harpo(&[
            "gateway",
            "init",
            "--dir",
            text(&dir)?,
            "--trust",
            trust_url,
            "--code",
            &code,
        ])?;
        let token = harpo(&[
            "gateway",
            "user",
            "add",
            "--dir",
            text(&dir)?,
            "--name",
            USER,
            "--role",
            "physician",
        ])?;
        let token = token
            .split_whitespace()
            .last()
            .context("no token was printed")?
            .to_owned();
        let (dicom, web, admin) = (free_port()?, free_port()?, free_port()?);
        let ports = format!(
            "[dicom]\nlisten = '127.0.0.1:{dicom}'\n[web]\nlisten = '127.0.0.1:{web}'\n\
             [admin]\nlisten = '127.0.0.1:{admin}'\n"
        );
        configure(&dir.join("gateway.toml"), &[&ports, QUICK_GATEWAY, changes])?;
        let mut process = Process::new(
            &["gateway", "serve", "--dir", text(&dir)?],
            self.dir(&format!("{folder_name}.log")),
            loopback(admin),
        );
        process.start()?;
        process.ready()?;
        Ok(Hospital {
            name: name.to_owned(),
            process,
            dir,
            dicom,
            web,
            token,
        })
    }

    /// Enters whether a patient of the first hospital agrees to sharing.
    ///
    /// # Errors
    /// If the command fails.
    pub fn consent(&self, patient: &str, decision: &str) -> Result<()> {
        let dir = self.dir("trust");
        harpo(&["trust", "consent", "--dir", text(&dir)?, patient, decision]).map(drop)
    }

    /// The cloud's event log.
    ///
    /// # Errors
    /// If there is none.
    pub fn event_log(&self) -> Result<PathBuf> {
        let files = walkdir::WalkDir::new(self.dir("cloud"));
        for entry in files {
            let entry = entry?;
            if entry.file_name() == "events.jsonl" {
                return Ok(entry.into_path());
            }
        }
        anyhow::bail!("the cloud keeps no events.jsonl");
    }

    /// Events of one kind in the cloud's log.
    ///
    /// # Errors
    /// If the log cannot be read.
    pub fn events(&self, kind: &str) -> Result<Vec<Value>> {
        events::of_kind(&self.event_log()?, kind)
    }

    /// Asks trust to seal the open generation, and waits until the cloud has, trust has dropped its cache,
    /// and every running gateway has fetched the hint.
    ///
    /// # Errors
    /// If that does not happen.
    pub fn seal(&mut self) -> Result<()> {
        let before = self.events("seal")?.len();
        harpo(&["trust", "seal", "--dir", text(&self.dir("trust"))?])?;
        wait::until("the cloud seals the generation", || {
            Ok((self.events("seal")?.len() > before).then_some(()))
        })?;
        wait::until("trust drops what the cloud has confirmed", || {
            Ok((fragments(&self.dir("trust").join("cache"))? == 0).then_some(()))
        })?;
        let gateways = self
            .hospitals
            .iter_mut()
            .filter_map(|hospital| hospital.process.runs().then_some(()));
        let expected = gateways.count();
        let generation =
            self.events("seal")?.pop().context("nothing was sealed")?["generation"].clone();
        wait::until("every gateway fetches the hint", || {
            let mut hints = self.events("hint")?;
            hints.retain(|hint| hint["generation"] == generation);
            Ok((hints.len() >= expected).then_some(()))
        })
    }
}

impl Hospital {
    /// The address of DICOMweb.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}/dicom-web", self.web)
    }

    fn web(&self, command: &str, words: &[&str], files: &[PathBuf]) -> Result<Value> {
        let url = self.url();
        let mut all = vec![command, "--url", &url, "--token", &self.token];
        all.extend(words);
        peers::python(&all, files)
    }

    /// STOW-RS of whole files: status and answer.
    ///
    /// # Errors
    /// If the server cannot be reached.
    pub fn stow(&self, files: &[PathBuf]) -> Result<Value> {
        self.web("stow", &[], files)
    }

    /// C-STORE by pynetdicom: the status of each file, null where there was none.
    ///
    /// # Errors
    /// If the association is refused.
    pub fn send(&self, files: &[PathBuf]) -> Result<Value> {
        peers::python(&["send", "--port", &self.dicom.to_string()], files)
    }

    /// C-STORE by storescu.
    ///
    /// # Errors
    /// If a file was not stored.
    pub fn storescu(&self, options: &[&str], files: &[PathBuf]) -> Result<()> {
        peers::storescu(self.dicom, "HARPO", options, files)
    }

    /// QIDO-RS for studies: the rows.
    ///
    /// # Errors
    /// If the server refuses.
    pub fn studies(&self, filters: &[&str]) -> Result<Vec<Value>> {
        rows(self.web("search", filters, &[])?)
    }

    /// QIDO-RS for the instances of a study: the rows.
    ///
    /// # Errors
    /// If the server refuses.
    pub fn instances(&self, study: &str) -> Result<Vec<Value>> {
        rows(self.web("search", &["--study", study], &[])?)
    }

    /// WADO-RS of a study: the files, bytes as they came, or the refusal.
    ///
    /// # Errors
    /// If the server cannot be reached.
    pub fn retrieve(&self, study: &str, out: &Path) -> Result<Retrieved> {
        let mut all = self.retrieve_all(&[study], out, false)?;
        all.remove(study).context("no answer")
    }

    /// WADO-RS of several studies, one after the other. With `decode`, dicomweb-client reads each once more and must come
    /// to the same instances.
    ///
    /// # Errors
    /// If the server cannot be reached.
    pub fn retrieve_all(
        &self,
        studies: &[&str],
        out: &Path,
        decode: bool,
    ) -> Result<BTreeMap<String, Retrieved>> {
        let mut words = vec!["--out", text(out)?];
        if decode {
            words.push("--decode");
        }
        words.extend(studies);
        let answer = self.web("retrieve", &words, &[])?;
        let answers = answer.as_object().context("no answers")?;
        let read = |(study, answer): (&String, &Value)| {
            let files = answer["files"].as_array().context("no list of files")?;
            let retrieved = Retrieved {
                status: answer["status"].as_u64().context("no status")?,
                body: answer["body"].as_str().unwrap_or_default().to_owned(),
                files: files
                    .iter()
                    .filter_map(Value::as_str)
                    .map(PathBuf::from)
                    .collect(),
            };
            Ok((study.clone(), retrieved))
        };
        answers.iter().map(read).collect()
    }

    /// Waits until the hospital finds studies with so many instances each.
    ///
    /// # Errors
    /// If it does not.
    pub fn finds(&self, studies: &[(&str, usize)]) -> Result<()> {
        let pairs: Vec<_> = studies
            .iter()
            .map(|(study, count)| format!("{study}={count}"))
            .collect();
        let seconds = wait::PATIENCE.as_secs().to_string();
        let mut words = vec!["--seconds", &seconds];
        words.extend(pairs.iter().map(String::as_str));
        let missing = self.web("wait", &words, &[])?;
        ensure!(
            missing == serde_json::json!({}),
            "{} does not find {missing}",
            self.name
        );
        Ok(())
    }
}

/// What WADO-RS answered.
#[derive(Debug)]
pub struct Retrieved {
    /// HTTP status.
    pub status: u64,
    /// The refusal, if it is one.
    pub body: String,
    /// One file an instance.
    pub files: Vec<PathBuf>,
}

fn start_trust(root: &Path, port: u16, cloud_port: u16, changes: &str) -> Result<Process> {
    let dir = root.join("trust");
    harpo(&["trust", "init", "--dir", text(&dir)?])?;
    let admin = free_port()?;
    let addresses = format!(
        "listen = '127.0.0.1:{port}'\n[admin]\nlisten = '127.0.0.1:{admin}'\n\
         [cloud]\nurl = 'https://127.0.0.1:{cloud_port}'\n"
    );
    configure(&dir.join("trust.toml"), &[&addresses, QUICK_TRUST, changes])?;
    let mut process = Process::new(
        &["trust", "serve", "--dir", text(&dir)?],
        root.join("trust.log"),
        loopback(admin),
    );
    process.start()?;
    process.healthy()?;
    Ok(process)
}

fn start_cloud(root: &Path, trust_url: &str, port: u16, changes: &str) -> Result<Process> {
    let dir = root.join("cloud");
    let code = enrol(&root.join("trust"), "cloud", "Cumulus")?;
    harpo(&[
        "cloud",
        "init",
        "--dir",
        text(&dir)?,
        "--trust",
        trust_url,
        "--code",
        &code,
    ])?;
    let admin = free_port()?;
    let addresses = format!("listen = '127.0.0.1:{port}'\n[admin]\nlisten = '127.0.0.1:{admin}'\n");
    configure(&dir.join("cloud.toml"), &[&addresses, changes])?;
    let mut process = Process::new(
        &["cloud", "serve", "--dir", text(&dir)?],
        root.join("cloud.log"),
        loopback(admin),
    );
    process.start()?;
    process.healthy()?;
    Ok(process)
}

fn start_relay(root: &Path, [trust, cloud]: [&str; 2], port: u16) -> Result<Process> {
    let dir = root.join("relay");
    let code = enrol(&root.join("trust"), "relay", "Portia")?;
    let folder = text(&dir)?;
    harpo(&[
        "relay", "init", "--dir", folder, "--trust", trust, "--cloud", cloud, "--code", &code,
    ])?;
    let admin = free_port()?;
    let addresses = format!("listen = '127.0.0.1:{port}'\n[admin]\nlisten = '127.0.0.1:{admin}'\n");
    configure(&dir.join("relay.toml"), &[&addresses])?;
    let mut process = Process::new(
        &["relay", "serve", "--dir", folder],
        root.join("relay.log"),
        loopback(admin),
    );
    process.start()?;
    process.ready()?;
    Ok(process)
}

/// Asks trust for an enrolment code.
///
/// # Errors
/// If none is printed.
pub fn enrol(trust: &Path, role: &str, name: &str) -> Result<String> {
    let printed = harpo(&[
        "trust",
        "enrol",
        "--dir",
        text(trust)?,
        "--role",
        role,
        "--name",
        name,
    ])?;
    let code = printed
        .split_whitespace()
        .find(|word| word.starts_with("harpo1-"));
    Ok(code
        .with_context(|| format!("no code in {printed:?}"))?
        .to_owned())
}

/// Lays changes over a configuration file, later ones over earlier ones.
///
/// # Errors
/// If a text is not TOML.
pub fn configure(path: &Path, changes: &[&str]) -> Result<()> {
    let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
    let mut table: Table = text.parse().with_context(|| path.display().to_string())?;
    for change in changes {
        merge(&mut table, change.parse()?);
    }
    std::fs::write(path, table.to_string())?;
    Ok(())
}

fn merge(into: &mut Table, from: Table) {
    for (key, value) in from {
        match (into.get_mut(&key), value) {
            (Some(toml::Value::Table(below)), toml::Value::Table(value)) => merge(below, value),
            (_, value) => {
                into.insert(key, value);
            }
        }
    }
}

fn fragments(cache: &Path) -> Result<usize> {
    let mut files = 0;
    for entry in walkdir::WalkDir::new(cache) {
        if entry.is_ok_and(|entry| entry.file_type().is_file()) {
            files += 1;
        }
    }
    Ok(files)
}

fn rows(answer: Value) -> Result<Vec<Value>> {
    answer.as_array().cloned().context("not a list of rows")
}

fn loopback(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}

/// A path as text, for a command line.
///
/// # Errors
/// If it is not UTF-8.
pub fn text(path: &Path) -> Result<&str> {
    path.to_str()
        .with_context(|| format!("{} is not UTF-8", path.display()))
}
