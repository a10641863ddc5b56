//! What the tests need beside Rust: DCMTK, and foreign DICOM peers in a Python environment of their own.

use std::fs;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};

use crate::metadata::Workspace;

const REQUIREMENTS: &str = include_str!("../requirements.txt");

/// Programs of DCMTK that the tests call.
const DCMTK: &[&str] = &[
    "echoscu", "storescu", "findscu", "movescu", "getscu", "dcmdump",
];

/// Installs what is missing.
pub(crate) fn install(workspace: &Workspace) -> Result<()> {
    if let Some(missing) = DCMTK.iter().find(|program| !on_path(program)) {
        println!("{missing} is missing: installing dcmtk");
        apt_install("dcmtk")?;
    }
    venv(&folder(workspace))
}

/// Installs the Python environment and the foreign codecs that `bench content` compares with. They are no
/// requirement of the tests, which do without 20 MB more to download.
pub(crate) fn codecs(workspace: &Workspace) -> Result<()> {
    let folder = folder(workspace);
    venv(&folder)?;
    let python = folder.join("bin/python");
    if quiet(Command::new(&python).args(["-c", "import imagecodecs, numpy"])) {
        return Ok(());
    }
    println!("installing imagecodecs");
    run(Command::new(&python).args([
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "--only-binary",
        ":all:",
        "imagecodecs",
    ]))
}

/// Where the Python environment is.
pub(crate) fn folder(workspace: &Workspace) -> PathBuf {
    workspace.target.join("venv")
}

/// Makes the environment, or leaves it alone if it was made from the same requirements.
fn venv(folder: &Path) -> Result<()> {
    let stamp = folder.join("requirements.txt");
    if fs::read_to_string(&stamp).is_ok_and(|made_from| made_from == REQUIREMENTS) {
        return Ok(());
    }
    ensure!(
        on_path("python3"),
        "python3 is missing: install Python 3.9 or newer"
    );
    if !quiet(Command::new("python3").args(["-c", "import ensurepip, venv"])) {
        println!("Python's venv is missing: installing python3-venv");
        apt_install("python3-venv")?;
    }
    println!("making {}", folder.display());
    if folder.exists() {
        fs::remove_dir_all(folder)
            .with_context(|| format!("cannot replace {}", folder.display()))?;
    }
    run(Command::new("python3").args(["-m", "venv"]).arg(folder))?;
    let list = folder.with_extension("requirements");
    fs::write(&list, REQUIREMENTS)?;
    run(Command::new(folder.join("bin/python"))
        .args([
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
            "--requirement",
        ])
        .arg(&list))?;
    // Last, so that an interrupted installation begins anew.
    fs::rename(&list, &stamp).context("cannot write the environment's stamp")
}

/// Installs a Debian package, as root or by sudo.
fn apt_install(package: &str) -> Result<()> {
    ensure!(
        on_path("apt-get"),
        "{package} is missing and there is no apt-get here: install {package} by hand"
    );
    let prefix: &[&str] = if is_root()? {
        &[]
    } else if on_path("sudo") && std::io::stdin().is_terminal() {
        &["sudo"]
    } else if on_path("sudo") {
        // Nobody is there to type a password.
        &["sudo", "-n"]
    } else {
        bail!(
            "{package} is missing, and installing it needs root or sudo: apt-get install {package}"
        )
    };
    for arguments in [
        ["update", "-qq"].as_slice(),
        &["install", "-y", "-qq", "--no-install-recommends", package],
    ] {
        let mut words: Vec<&str> = prefix.to_vec();
        words.extend(["env", "DEBIAN_FRONTEND=noninteractive", "apt-get"]);
        words.extend(arguments);
        run(Command::new(words[0])
            .args(&words[1..])
            .stdin(Stdio::inherit()))
        .with_context(|| format!("cannot install {package}; by hand: apt-get install {package}"))?;
    }
    Ok(())
}

fn is_root() -> Result<bool> {
    let output = Command::new("id")
        .arg("-u")
        .output()
        .context("cannot run id")?;
    Ok(output.stdout.trim_ascii() == b"0")
}

fn on_path(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}

fn quiet(command: &mut Command) -> bool {
    command
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

fn run(command: &mut Command) -> Result<()> {
    let status = command
        .status()
        .with_context(|| format!("cannot run {}", command.get_program().display()))?;
    ensure!(
        status.success(),
        "{} ended with {status}",
        command.get_program().display()
    );
    Ok(())
}
