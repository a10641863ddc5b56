//! `harpo demo`.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;

use crate::demo::{self, Options};

/// Starts all five parties on loopback, sends a study by C-STORE, fetches it from trust's upload
/// cache, seals the generation, fetches it again obliviously from the cloud, and compares byte for
/// byte. Ends with exit code 0 only if everything was right.
#[derive(Debug, Args)]
pub(crate) struct Demo {
    /// Folder of DICOM files to send; without it, a synthetic CT study
    folder: Option<PathBuf>,
    /// Leave everything running afterwards, with the addresses printed
    #[arg(long)]
    keep: bool,
    /// Empty or new folder for everybody's data; without it, a temporary one
    #[arg(long)]
    dir: Option<PathBuf>,
    /// Size of the stack that each query covers, in MiB; by default 256, or what the files need
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=65536))]
    stack_mib: Option<u64>,
    /// Write the figures as JSON
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
}

impl Demo {
    pub(crate) async fn run(self) -> Result<()> {
        demo::run(Options {
            folder: self.folder,
            keep: self.keep,
            dir: self.dir,
            stack_mib: self.stack_mib,
            report: self.report,
        })
        .await
    }
}
