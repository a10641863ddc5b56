//! `harpo mark apply`.

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use clap::Args;
use harpo_gateway::content::judge::{NotMarked, VerifyKey, apply};
use harpo_gateway::dicom::{Limits, inspect};

use super::super::say::say;
use super::{Gateway, read, unlike};

#[derive(Debug, Args)]
pub(crate) struct Apply {
    /// Originals of fetched or sealed studies
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    #[command(flatten)]
    gateway: Gateway,
    /// Folder for the marked copies
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
}

impl Apply {
    pub(super) async fn run(self) -> Result<ExitCode> {
        let records = self.gateway.records().await?;
        fs::create_dir_all(&self.out).with_context(|| self.out.display().to_string())?;
        let mut taken = Vec::new();
        for path in &self.files {
            let name = || path.display().to_string();
            let original = read(path)?;
            let study = inspect(&original, &Limits::default())
                .with_context(name)?
                .study_instance_uid;
            let mut marked = None;
            // A study may have come in several bundles: the one that attests this very file.
            for keys in records.keys_of(&study).await? {
                let mut copy = original.clone();
                match apply(&mut copy, &VerifyKey::new(&keys)?) {
                    Ok(()) => {
                        marked = Some(copy);
                        break;
                    }
                    Err(NotMarked::NotOriginal) => {}
                    Err(error) => return Err(error).with_context(name),
                }
            }
            let Some(marked) = marked else {
                bail!("{}: {}", name(), NotMarked::NotOriginal);
            };
            let out = self.out.join(unlike(&mut taken, path, ".dcm"));
            // Never over a file that is there.
            let mut file = fs::File::create_new(&out).with_context(|| out.display().to_string())?;
            std::io::Write::write_all(&mut file, &marked)?;
            say(format_args!("{}", out.display()));
        }
        Ok(ExitCode::SUCCESS)
    }
}
