//! Foreign peers: DCMTK's programs, and pynetdicom and dicomweb-client behind `python/peers.py`.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::process::free_port;
use crate::wait;

/// Runs a program and returns what it printed, on either stream.
///
/// # Errors
/// If it fails; the message has what it printed.
pub fn run(command: &mut Command) -> Result<String> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot run {}", command.get_program().display()))?;
    let printed = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    ensure!(
        output.status.success(),
        "{command:?} ended with {}:\n{printed}",
        output.status
    );
    Ok(printed)
}

/// `storescu`: C-STORE of files over one association. `options` choose the transfer syntax that is proposed.
///
/// # Errors
/// If any file was not stored.
pub fn storescu(port: u16, called: &str, options: &[&str], files: &[PathBuf]) -> Result<()> {
    run(Command::new("storescu")
        .args(["-aet", "STORESCU", "-aec", called])
        .args(options)
        .args(["127.0.0.1", &port.to_string()])
        .args(files))
    .map(drop)
}

/// Runs `python/peers.py` and returns the value that it prints.
///
/// # Errors
/// If it fails.
pub fn python(words: &[&str], files: &[PathBuf]) -> Result<Value> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("python/peers.py");
    let output = Command::new(crate::venv()?.join("bin/python"))
        .arg(script)
        .args(words)
        .args(files)
        .stdin(Stdio::null())
        .output()?;
    ensure!(
        output.status.success(),
        "peers.py {} ended with {}:\n{}",
        words.join(" "),
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    serde_json::from_slice(&output.stdout).context("peers.py printed no JSON")
}

/// DCMTK's own receiver, which writes what arrives bit by bit. What a sender puts on the wire is not always what
/// is in its file; this tells.
#[derive(Debug)]
pub struct Witness {
    child: Child,
    port: u16,
    folder: PathBuf,
}

impl Witness {
    /// Listens, and writes into `folder`.
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn start(folder: PathBuf) -> Result<Self> {
        std::fs::create_dir_all(&folder)?;
        let port = free_port()?;
        let child = Command::new("storescp")
            .args(["--bit-preserving", "--accept-all", "-od"])
            .arg(&folder)
            .arg(port.to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("cannot run storescp")?;
        let witness = Self {
            child,
            port,
            folder,
        };
        wait::until("storescp listens", || {
            let echo = Command::new("echoscu")
                .args(["127.0.0.1", &port.to_string()])
                .stderr(Stdio::null())
                .status()?;
            Ok(echo.success().then_some(()))
        })?;
        Ok(witness)
    }

    /// Where it listens.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// What it received.
    ///
    /// # Errors
    /// If its folder cannot be read.
    pub fn received(&self) -> Result<Vec<PathBuf>> {
        std::fs::read_dir(&self.folder)?
            .map(|entry| Ok(entry?.path()))
            .collect()
    }
}

impl Drop for Witness {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
