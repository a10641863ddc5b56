//! Small disks that fill up.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::peers::run;

/// A small file system in memory over a folder, with what was in it. Gone when dropped.
#[derive(Debug)]
pub struct SmallDisk {
    folder: PathBuf,
}

impl SmallDisk {
    /// Puts one of `mib` MiB over `folder`, whose service must not run. None where mounting is not allowed, as for
    /// ordinary users.
    ///
    /// # Errors
    /// If the content cannot be copied.
    pub fn over(folder: &Path, mib: u32) -> Result<Option<Self>> {
        let aside = folder.with_extension("aside");
        run(Command::new("cp").arg("-a").arg(folder).arg(&aside))?;
        let mounted = run(Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={mib}m"), "tmpfs"])
            .arg(folder));
        if let Err(error) = mounted {
            println!("no small disk: {error:#}");
            fs::remove_dir_all(&aside)?;
            return Ok(None);
        }
        let disk = Self {
            folder: folder.to_owned(),
        };
        run(Command::new("cp")
            .arg("-a")
            .arg(aside.join("."))
            .arg(folder))?;
        // A second copy would be found by whoever looks for files.
        fs::remove_dir_all(&aside)?;
        Ok(Some(disk))
    }

    /// Fills it, but for `spare` bytes.
    ///
    /// # Errors
    /// If nothing can be written at all.
    pub fn fill(&self, spare: u64) -> Result<()> {
        let path = self.ballast();
        let mut file = File::create(&path).context("the disk is full already")?;
        let block = [0; 4096];
        while file.write_all(&block).is_ok() {}
        let length = file.metadata()?.len();
        file.set_len(length.saturating_sub(spare))?;
        Ok(())
    }

    /// Frees what was filled.
    ///
    /// # Errors
    /// If the ballast cannot be removed.
    pub fn free(&self) -> Result<()> {
        fs::remove_file(self.ballast()).context("nothing was filled")
    }

    fn ballast(&self) -> PathBuf {
        self.folder.join("ballast")
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: the service may still hold files open.
        let _ = Command::new("umount")
            .arg("--lazy")
            .arg(&self.folder)
            .status();
    }
}
