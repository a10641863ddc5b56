//! The harness of the black-box tests: the real binary as separate processes, foreign peers at its ends.
//!
//! `cargo xtask e2e` installs the peers, builds the binary and runs the tests. The harness finds both by
//! itself in the target folder; `HARPO_BIN` and `HARPO_VENV` name others. `HARPO_KEEP=1` keeps the folders of
//! a run, `HARPO_SEED` repeats the random choices of a run that failed.

pub mod disk;
pub mod events;
pub mod images;
pub mod peers;
pub mod process;
pub mod seed;
pub mod system;
pub mod wait;

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};

/// The binary under test.
///
/// # Errors
/// If it was not built.
pub fn binary() -> Result<PathBuf> {
    let path = match std::env::var_os("HARPO_BIN") {
        Some(path) => PathBuf::from(path),
        None => target()?.join("debug/harpo"),
    };
    ensure!(
        path.exists(),
        "{} does not exist: run the black-box tests with `cargo xtask e2e`, which builds it",
        path.display()
    );
    Ok(path)
}

/// The Python environment of the peers.
///
/// # Errors
/// If it was not made.
pub fn venv() -> Result<PathBuf> {
    let path = match std::env::var_os("HARPO_VENV") {
        Some(path) => PathBuf::from(path),
        None => target()?.join("venv"),
    };
    ensure!(
        path.join("bin/python").exists(),
        "{} is no Python environment: `cargo xtask test --only tools` makes it",
        path.display()
    );
    Ok(path)
}

/// The folder that cargo builds in: this program lies below it.
fn target() -> Result<PathBuf> {
    let program = std::env::current_exe()?;
    program
        .ancestors()
        .find(|folder| folder.join("CACHEDIR.TAG").exists())
        .map(PathBuf::from)
        .context("the test program does not lie in a target folder of cargo")
}
