//! The five parties of the demo, each a process of its own on loopback.

use std::fs;
use std::io::Write as _;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use harpo_protocol::cell::Layout;
use harpo_protocol::rounds::Rule;
use harpo_service::http::Client;
use tokio::process::{Child, Command};

use super::marks;

const READY_WITHIN: Duration = Duration::from_secs(60);

/// A hospital of the demo.
#[derive(Debug)]
pub(crate) struct Hospital {
    /// Its folder.
    pub dir: PathBuf,
    /// Name.
    pub name: &'static str,
    /// DICOM address.
    pub dicom: SocketAddr,
    /// DICOMweb address.
    pub web: SocketAddr,
    /// The name of its user.
    pub user: &'static str,
    /// That user's token.
    pub token: String,
}

/// All five.
#[derive(Debug)]
pub(crate) struct Network {
    /// Folder of trust.
    pub trust_dir: PathBuf,
    /// Folder of the cloud.
    pub cloud_dir: PathBuf,
    /// Address of trust.
    pub trust: SocketAddr,
    /// Address of the cloud.
    pub cloud: SocketAddr,
    /// Address of the relay.
    pub relay: SocketAddr,
    /// The producer.
    pub producer: Hospital,
    /// The consumer.
    pub consumer: Hospital,
    children: Vec<Child>,
}

impl Network {
    /// Makes the folders, enrols everybody and starts the processes.
    pub(crate) async fn start(dir: &Path, layout: Layout, rule: Rule) -> Result<Self> {
        let [trust, trust_admin, cloud, cloud_admin, relay, relay_admin] = free_addresses()?;
        let trust_dir = dir.join("trust");
        let cloud_dir = dir.join("cloud");
        let relay_dir = dir.join("relay");
        let harpo = Harpo::new()?;
        let mut children = Vec::new();

        let cloud_url = format!("https://{cloud}");
        harpo
            .run(&[
                "trust",
                "init",
                "--dir",
                text(&trust_dir)?,
                "--cloud-url",
                &cloud_url,
            ])
            .await?;
        configure(
            &trust_dir.join("trust.toml"),
            &trust_toml([trust, trust_admin, relay], &cloud_url, layout, rule),
        )?;
        configure(&trust_dir.join("policy.cedar"), &policy())?;
        children.push(harpo.serve("trust", &trust_dir)?);
        // Ready only when the cloud has told it the key for the relay.
        answers("trust", trust_admin, "/-/healthy", &trust_dir).await?;

        let trust_url = format!("https://{trust}");
        let join = Join {
            harpo: &harpo,
            trust_dir: &trust_dir,
            trust_url: &trust_url,
        };
        join.init("cloud", "Nimbus", &cloud_dir, &[]).await?;
        configure(
            &cloud_dir.join("cloud.toml"),
            &cloud_toml(cloud, cloud_admin),
        )?;
        children.push(harpo.serve("cloud", &cloud_dir)?);
        ready("cloud", cloud_admin, &cloud_dir).await?;
        let more = ["--cloud", &cloud_url];
        join.init("relay", "Portia", &relay_dir, &more).await?;
        configure(
            &relay_dir.join("relay.toml"),
            &relay_toml(relay, relay_admin, &cloud_url),
        )?;
        children.push(harpo.serve("relay", &relay_dir)?);
        ready("relay", relay_admin, &relay_dir).await?;
        ready("trust", trust_admin, &trust_dir).await?;

        let producer = join
            .hospital(dir, "producer", "St. Luke's Hospital", "ada", &mut children)
            .await?;
        let consumer = join
            .hospital(dir, "consumer", "Mercy Hospital", "grace", &mut children)
            .await?;
        Ok(Self {
            trust_dir,
            cloud_dir,
            trust,
            cloud,
            relay,
            producer,
            consumer,
            children,
        })
    }

    /// The first party that ended by itself, if any: a fault.
    pub(crate) fn check(&mut self) -> Result<()> {
        for child in &mut self.children {
            if let Some(status) = child.try_wait()? {
                bail!("a party of the demo ended with {status}; its log is beside its data");
            }
        }
        Ok(())
    }

    /// SIGTERM to all, then waits for them.
    pub(crate) async fn stop(mut self) {
        for child in &self.children {
            if let Some(pid) = child.id() {
                let _ = Command::new("kill")
                    .args(["-TERM", &pid.to_string()])
                    .status()
                    .await;
            }
        }
        for child in &mut self.children {
            if tokio::time::timeout(Duration::from_secs(10), child.wait())
                .await
                .is_err()
            {
                let _ = child.kill().await;
            }
        }
    }
}

/// Runs this very program with other words.
#[derive(Debug)]
pub(crate) struct Harpo {
    program: PathBuf,
}

impl Harpo {
    /// The running executable.
    pub(crate) fn new() -> Result<Self> {
        Ok(Self {
            program: std::env::current_exe().context("finding this program")?,
        })
    }

    /// Runs a command to its end; what it printed.
    pub(crate) async fn run(&self, words: &[&str]) -> Result<String> {
        let output = Command::new(&self.program).args(words).output().await?;
        if !output.status.success() {
            bail!(
                "`harpo {}` failed: {}",
                words.join(" "),
                String::from_utf8_lossy(&output.stderr).trim()
            );
        }
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }

    /// Runs a command whose exit code is its answer: the code, and what it printed.
    pub(crate) async fn ask(&self, words: &[&str]) -> Result<(i32, String)> {
        let output = Command::new(&self.program).args(words).output().await?;
        let code = output.status.code().context("it was killed")?;
        let told = match output.stdout.is_empty() {
            true => &output.stderr,
            false => &output.stdout,
        };
        Ok((code, String::from_utf8_lossy(told).trim().to_owned()))
    }

    /// Starts a service; it is killed if the demo dies.
    fn serve(&self, party: &str, dir: &Path) -> Result<Child> {
        let log = fs::File::create(dir.join("log.txt"))?;
        Command::new(&self.program)
            .args([party, "serve", "--dir", text(dir)?])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("starting {party}"))
    }
}

struct Join<'a> {
    harpo: &'a Harpo,
    trust_dir: &'a Path,
    trust_url: &'a str,
}

impl Join<'_> {
    async fn init(&self, role: &str, name: &str, dir: &Path, more: &[&str]) -> Result<()> {
        let enrol = [
            "trust",
            "enrol",
            "--dir",
            text(self.trust_dir)?,
            "--role",
            role,
            "--name",
            name,
        ];
        let code = self.harpo.run(&enrol).await?;
        let init = [
            role,
            "init",
            "--dir",
            text(dir)?,
            "--trust",
            self.trust_url,
            "--code",
            &code,
        ];
        self.harpo.run(&[&init, more].concat()).await?;
        Ok(())
    }

    async fn hospital(
        &self,
        dir: &Path,
        folder: &str,
        name: &'static str,
        user: &'static str,
        children: &mut Vec<Child>,
    ) -> Result<Hospital> {
        let dir = dir.join(folder);
        self.init("gateway", name, &dir, &[]).await?;
        let [dicom, web, admin] = free_addresses()?;
        configure(
            &dir.join("gateway.toml"),
            &gateway_toml(self.trust_url, dicom, web, admin),
        )?;
        let add = [
            "gateway",
            "user",
            "add",
            "--dir",
            text(&dir)?,
            "--name",
            user,
            "--role",
            "physician",
        ];
        let token = self.harpo.run(&add).await?;
        children.push(self.harpo.serve("gateway", &dir)?);
        ready(folder, admin, &dir).await?;
        Ok(Hospital {
            dir,
            name,
            dicom,
            web,
            user,
            token,
        })
    }
}

fn trust_toml(
    [listen, admin, relay]: [SocketAddr; 3],
    cloud_url: &str,
    layout: Layout,
    rule: Rule,
) -> String {
    format!(
        "listen = \"{listen}\"\n\n[admin]\nlisten = \"{admin}\"\n\n[cloud]\nurl = \"{cloud_url}\"\n\n\
         [relay]\nurl = \"https://{relay}\"\n\n\
         [layout]\ncell_bytes = {}\ncells_per_slot = {}\nslots_per_generation = {}\n\n\
         # The demo seals by command, and reads from the cloud at once.\n[mixing]\nseal_after_seconds = 86400\n\
         seal_when_full_share = 1.0\nseal_grid_seconds = 0\ncache_grace_seconds = 0\n\n\
         # Short rounds; and errands would move the study before anybody reads it.\n[retrieval]\n\
         schedule = \"rounds\"\nround_seconds = {}\nqueries = {}\n\n[replacement]\nold_share = 0.0\n\n\
         [policy]\nfile = \"policy.cedar\"\n",
        layout.cell_bytes, layout.cells_per_slot, layout.slots, rule.seconds, rule.queries,
    )
}

/// The built-in policy, with exports that must be traced.
fn policy() -> String {
    format!("{}{}", harpo_trust::policy::DEFAULT_POLICIES, marks::RULE)
}

fn cloud_toml(listen: SocketAddr, admin: SocketAddr) -> String {
    format!("listen = \"{listen}\"\ndata_dir = \"data\"\n\n[admin]\nlisten = \"{admin}\"\n")
}

fn relay_toml(listen: SocketAddr, admin: SocketAddr, cloud_url: &str) -> String {
    format!(
        "listen = \"{listen}\"\ndata_dir = \"data\"\ncloud_url = \"{cloud_url}\"\n\n[admin]\nlisten = \"{admin}\"\n"
    )
}

fn gateway_toml(trust: &str, dicom: SocketAddr, web: SocketAddr, admin: SocketAddr) -> String {
    format!(
        "[trust]\nurl = \"{trust}\"\n\n[dicom]\nlisten = \"{dicom}\"\n\n[web]\nlisten = \"{web}\"\n\n\
         [admin]\nlisten = \"{admin}\"\n\n[outsource]\nquiet_seconds = 1.0\n\n\
         [consult]\nstack_poll_seconds = 1.0\n",
    )
}

fn configure(path: &Path, text: &str) -> Result<()> {
    let mut file = fs::File::create(path).with_context(|| path.display().to_string())?;
    file.write_all(text.as_bytes())?;
    Ok(())
}

/// Waits until a party says that it is ready.
async fn ready(party: &str, admin: SocketAddr, dir: &Path) -> Result<()> {
    answers(party, admin, "/-/ready", dir).await
}

/// Waits until a page of a party's health is good.
async fn answers(party: &str, admin: SocketAddr, page: &str, dir: &Path) -> Result<()> {
    let client = Client::plain(&format!("http://{admin}"))?;
    let asked = async {
        loop {
            if client.get(page).send().await.is_ok() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    if tokio::time::timeout(READY_WITHIN, asked).await.is_err() {
        let log = fs::read_to_string(dir.join("log.txt")).unwrap_or_default();
        let tail: Vec<&str> = log.lines().rev().take(10).collect();
        bail!(
            "{party} was not ready within {READY_WITHIN:?}; the end of its log, latest first:\n{}",
            tail.join("\n")
        );
    }
    Ok(())
}

/// Addresses on loopback that were free a moment ago.
fn free_addresses<const N: usize>() -> Result<[SocketAddr; N]> {
    let listeners: Vec<TcpListener> = (0..N)
        .map(|_| TcpListener::bind(("127.0.0.1", 0)))
        .collect::<Result<_, _>>()?;
    let addresses: Vec<SocketAddr> = listeners
        .iter()
        .map(TcpListener::local_addr)
        .collect::<Result<_, _>>()?;
    addresses
        .try_into()
        .map_err(|_| anyhow::anyhow!("no free ports"))
}

/// A path as a command line takes it.
pub(crate) fn text(path: &Path) -> Result<&str> {
    path.to_str()
        .with_context(|| format!("{} is not UTF-8", path.display()))
}
