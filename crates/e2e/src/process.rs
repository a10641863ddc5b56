//! One service as a process.

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use crate::wait;

/// A service of the binary: `harpo WORDS…`.
#[derive(Debug)]
pub struct Process {
    words: Vec<String>,
    log: PathBuf,
    admin: SocketAddr,
    child: Option<Child>,
}

impl Process {
    /// Not started yet. Its output is appended to `log`; health is told at `admin`.
    #[must_use]
    pub fn new(words: &[&str], log: PathBuf, admin: SocketAddr) -> Self {
        Self {
            words: words.iter().map(|word| (*word).to_owned()).collect(),
            log,
            admin,
            child: None,
        }
    }

    /// Starts it and returns at once.
    ///
    /// # Errors
    /// If it runs already or cannot be started.
    pub fn start(&mut self) -> Result<()> {
        ensure!(self.child.is_none(), "{} runs already", self.name());
        let log = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&self.log)?;
        let child = Command::new(crate::binary()?)
            .args(&self.words)
            .env_remove("RUST_LOG")
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .with_context(|| format!("cannot start {}", self.name()))?;
        self.child = Some(child);
        Ok(())
    }

    /// Waits until it says that it is ready.
    ///
    /// # Errors
    /// If it ends before, or stays unready.
    pub fn ready(&mut self) -> Result<()> {
        self.answers("/-/ready")
    }

    /// Waits until it says that it is alive.
    ///
    /// # Errors
    /// If it ends before, or does not answer.
    pub fn healthy(&mut self) -> Result<()> {
        self.answers("/-/healthy")
    }

    fn answers(&mut self, path: &str) -> Result<()> {
        let mut last = String::new();
        let outcome = wait::until(path, || {
            if let Some(status) = self.ended()? {
                bail!("{} ended with {status}:\n{}", self.name(), tail(&self.log));
            }
            match get(self.admin, path) {
                Ok((200, _)) => Ok(Some(())),
                Ok((status, body)) => {
                    last = format!("{status}: {body}");
                    Ok(None)
                }
                Err(_) => Ok(None),
            }
        });
        outcome.with_context(|| format!("{} is not ready, it says {last:?}", self.name()))
    }

    /// The status and body of a page of its health listener.
    ///
    /// # Errors
    /// If it cannot be reached.
    pub fn health(&self, path: &str) -> Result<(u16, String)> {
        get(self.admin, path)
    }

    /// How it ended, if it did.
    fn ended(&mut self) -> Result<Option<ExitStatus>> {
        match &mut self.child {
            Some(child) => Ok(child.try_wait()?),
            None => bail!("{} was not started", self.name()),
        }
    }

    /// Whether it runs.
    pub fn runs(&mut self) -> bool {
        self.child.is_some() && matches!(self.ended(), Ok(None))
    }

    /// SIGKILL: no chance to tidy up.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// SIGTERM, and waits for the orderly end.
    ///
    /// # Errors
    /// If it does not end in time.
    pub fn stop(&mut self) -> Result<ExitStatus> {
        let Some(child) = &self.child else {
            bail!("{} was not started", self.name());
        };
        let status = Command::new("kill").arg(child.id().to_string()).status()?;
        ensure!(status.success(), "cannot signal {}", self.name());
        let status = wait::until("an orderly end", || self.ended())?;
        self.child = None;
        Ok(status)
    }

    /// What it printed so far.
    #[must_use]
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    fn name(&self) -> String {
        let words: Vec<_> = self.words.iter().take(2).map(String::as_str).collect();
        words.join(" ")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            eprintln!("──── {}\n{}", self.name(), tail(&self.log));
        }
    }
}

/// Runs a command of the binary to its end and returns what it printed.
///
/// # Errors
/// If it fails; the message has what it printed.
pub fn harpo(words: &[&str]) -> Result<String> {
    let output = Command::new(crate::binary()?)
        .args(words)
        .env_remove("RUST_LOG")
        .stdin(Stdio::null())
        .output()?;
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure!(
        output.status.success(),
        "harpo {} ended with {}:\n{printed}{}",
        words.join(" "),
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(printed)
}

/// A port on loopback that nobody listens at. Below the range from which systems number outgoing connections, so that
/// no connection takes it before the service does.
///
/// # Errors
/// If all are taken.
pub fn free_port() -> Result<u16> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    const FIRST: u32 = 12_000;
    const PORTS: u32 = 20_000;
    for _ in 0..PORTS {
        let step = NEXT.fetch_add(1, Ordering::Relaxed);
        // Test programs that run at once begin at different places.
        let port = FIRST + (std::process::id().wrapping_mul(97).wrapping_add(step)) % PORTS;
        let port = u16::try_from(port)?;
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return Ok(port);
        }
    }
    bail!("no port is free");
}

/// One GET over plain HTTP.
fn get(addr: SocketAddr, path: &str) -> Result<(u16, String)> {
    let mut stream = TcpStream::connect_timeout(&addr, Duration::from_secs(2))?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: {addr}\r\nConnection: close\r\n\r\n"
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").context("not HTTP")?;
    let status = head.split_whitespace().nth(1).context("not HTTP")?;
    Ok((status.parse()?, body.to_owned()))
}

/// The end of a log.
fn tail(log: &Path) -> String {
    let mut text = String::new();
    if let Ok(mut file) = File::open(log) {
        let _ = file.read_to_string(&mut text);
    }
    let lines: Vec<_> = text.lines().collect();
    lines[lines.len().saturating_sub(40)..].join("\n")
}
