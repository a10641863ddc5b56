//! `harpo mark`.

mod apply;
mod key;
mod trace;
mod verify;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use clap::{Args, Subcommand};
use harpo_gateway::config::{self, GatewayConfig};
use harpo_gateway::content::records::Records;

use super::say::plain;

/// Largest file that is read, in bytes.
const MAX_FILE: u64 = 4 << 30;

#[derive(Debug, Subcommand)]
pub(crate) enum Mark {
    /// Tell whether DICOM files are as their hospital sealed them
    ///
    /// The reliability mark names hospital, bundle and image, and proves every block of at most 16 x 16
    /// pixels. Whatever happened to other blocks, those that were altered are found and named. A file is
    /// authentic if everything else in its data set, names, dates, window and number of frames too, is
    /// also as its hospital attested. Exit code: 0 if all files are authentic; 1 if one was altered, has
    /// another image's mark, has its pixels unaltered and anything else changed, or is an attested
    /// instance that lost its mark; 2 if one is unmarked, cannot be read, or its key is not here.
    Verify(verify::Verify),
    /// Give restored originals their reliability mark again, for copies that leave the platform
    ///
    /// The archive holds exact originals, without marks. A copy with the mark differs from its original by
    /// a few of the finest grey levels, and says itself where it comes from: whoever has the bundle's key
    /// (`harpo mark key`) verifies it wherever it went.
    Apply(apply::Apply),
    /// Print the key that verifies a bundle's reliability marks, as JSON, to be handed on
    ///
    /// Whoever has it can verify the marks of that bundle's images without a gateway, and could also
    /// forge them: give it to those who shall judge, and to nobody else.
    Key(key::Key),
    /// Tell whose export a leaked picture was made of
    ///
    /// FILE is a DICOM file, PNG or JPEG, perhaps windowed, scaled, cropped or compressed. It is
    /// compared with the originals in the gateway's local copies, and with the exports that the gateway
    /// wrote down. Several files of one study say more than one. Exit code: 0 if somebody is named, 1 if
    /// nobody can be accused, 2 if it cannot be told.
    Trace(trace::Trace),
}

/// Where the gateway's records are.
#[derive(Debug, Args)]
pub(crate) struct Gateway {
    /// Folder of the gateway whose records are used
    #[arg(long)]
    dir: PathBuf,
}

impl Gateway {
    async fn records(&self) -> Result<Records> {
        records(&self.dir).await
    }
}

async fn records(dir: &Path) -> Result<Records> {
    let config = GatewayConfig::load(&dir.join(config::FILE))?;
    Ok(Records::open(&dir.join(config.data_dir)).await?)
}

impl Mark {
    /// Failures to tell are not the same as bad news: they have an exit code of their own.
    pub(crate) async fn run(self) -> ExitCode {
        let told = match self {
            Self::Verify(command) => command.run().await,
            Self::Apply(command) => command.run().await,
            Self::Key(command) => command.run().await,
            Self::Trace(command) => command.run().await,
        };
        told.unwrap_or_else(|error| {
            eprintln!("harpo: {}", plain(&format!("{error:#}")));
            ExitCode::from(2)
        })
    }
}

/// Reads a file of a size that fits into memory.
fn read(path: &Path) -> Result<Vec<u8>> {
    let name = || path.display().to_string();
    let length = path.metadata().with_context(name)?.len();
    if length > MAX_FILE {
        bail!("{} is larger than {} MiB", name(), MAX_FILE >> 20);
    }
    std::fs::read(path).with_context(name)
}

/// A name for something made of `path`, unlike those that were given before.
fn unlike(taken: &mut Vec<String>, path: &Path, ending: &str) -> String {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let mut name = format!("{stem}{ending}");
    let mut copy = 1;
    while taken.contains(&name) {
        copy += 1;
        name = format!("{stem}-{copy}{ending}");
    }
    taken.push(name.clone());
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_do_not_repeat() {
        let mut taken = Vec::new();
        let mut of = |path: &str| unlike(&mut taken, Path::new(path), ".png");
        assert_eq!(of("a/1.dcm"), "1.png");
        assert_eq!(of("b/1.dcm"), "1-2.png");
        assert_eq!(of("b/2"), "2.png");
    }
}
