//! Foreign codecs in one Python process (peers.py), found in the environment that `cargo xtask bench` names.

use std::env;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::{Context, Result, ensure};
use harpo_watermark::Plane;
use serde::Deserialize;
use serde_json::json;

const SCRIPT: &str = include_str!("peers.py");
/// Where `cargo xtask` says the Python environment is.
const VENV: &str = "HARPO_VENV";

/// One codec on one image.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Answer {
    pub(crate) codec: String,
    pub(crate) bytes: u64,
    pub(crate) encode_seconds: f64,
    pub(crate) decode_seconds: f64,
}

/// The process. It ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Peers {
    child: Child,
    requests: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl Peers {
    /// Starts it; the error says why there are no foreign codecs here.
    pub(crate) fn start() -> Result<Self> {
        let python = venv()?.join("bin/python");
        let installed = Command::new(&python)
            .args(["-c", "import imagecodecs, numpy"])
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|status| status.success());
        ensure!(
            installed,
            "{} has no imagecodecs: `cargo xtask bench content` installs it",
            python.display()
        );
        let mut child = Command::new(&python)
            .args(["-c", SCRIPT])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot run {}", python.display()))?;
        let requests = child.stdin.take();
        let answers = child.stdout.take().context("no output")?;
        Ok(Peers {
            child,
            requests,
            answers: BufReader::new(answers),
        })
    }

    /// Every codec on one image of planes of one shape, slow ones once.
    ///
    /// # Errors
    /// If the process failed, or a codec did not give back what it was given.
    pub(crate) fn measure(&mut self, planes: &[Plane], rounds: usize) -> Result<Vec<Answer>> {
        let first = planes.first().context("an image without planes")?;
        let asked = json!({
            "width": first.width(), "height": first.height(), "components": planes.len(),
            "depth": first.depth(), "rounds": rounds,
        });
        let requests = self.requests.as_mut().context("it was closed")?;
        let mut request = asked.to_string().into_bytes();
        request.push(b'\n');
        request.extend(interleaved(planes));
        let sent = requests.write_all(&request).and_then(|()| requests.flush());
        let mut line = String::new();
        if sent.is_ok() {
            self.answers.read_line(&mut line)?;
        }
        ensure!(!line.is_empty(), "the foreign codecs ended: see above why");
        serde_json::from_str(&line).context("the foreign codecs answered something else")
    }
}

impl Drop for Peers {
    fn drop(&mut self) {
        // The end of its input ends it.
        drop(self.requests.take());
        let _ = self.child.wait();
    }
}

/// The samples as a file has them: pixel by pixel, one byte each up to a depth of 8, else two, low byte first.
pub(crate) fn interleaved(planes: &[Plane]) -> Vec<u8> {
    let Some(first) = planes.first() else {
        return Vec::new();
    };
    let size = if first.depth() > 8 { 2 } else { 1 };
    let mut out = Vec::with_capacity(first.samples().len() * planes.len() * size);
    for pixel in 0..first.samples().len() {
        for plane in planes {
            out.extend_from_slice(&plane.samples()[pixel].to_le_bytes()[..size]);
        }
    }
    out
}

fn venv() -> Result<PathBuf> {
    let folder = env::var_os(VENV)
        .map(PathBuf::from)
        .context("no Python environment was named: run `cargo xtask bench content`")?;
    ensure!(folder.exists(), "{} does not exist", folder.display());
    Ok(folder)
}

/// The folder of pydicom's test files, if that package is in the environment.
pub(crate) fn pydicom_files() -> Option<PathBuf> {
    let lib = venv().ok()?.join("lib");
    std::fs::read_dir(lib)
        .ok()?
        .filter_map(|entry| Some(test_files(&entry.ok()?.path())))
        .find(|files| files.is_dir())
}

fn test_files(python: &Path) -> PathBuf {
    python.join("site-packages/pydicom/data/test_files")
}
