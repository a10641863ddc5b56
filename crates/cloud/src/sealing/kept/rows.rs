//! The file of a generation's rows, mapped.

use std::fs::{File, OpenOptions};
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use memmap2::Mmap;
use rustix::fs::{FallocateFlags, fallocate};
use rustix::io::Errno;

use crate::Error;

/// The file and its mapping. While it is filled and checked it is read as a file, not through the mapping: there, bytes
/// that the disk does not give end the process.
pub(super) struct Rows {
    file: File,
    path: PathBuf,
    pub(super) map: Arc<Mmap>,
}

impl Rows {
    /// Opens or creates the file with this length.
    ///
    /// # Errors
    /// [`Error::StorageFull`] at once, and not when it is half written.
    pub(super) fn open(path: &Path, bytes: u64) -> Result<Self, Error> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)
            .map_err(Error::file("open", path))?;
        set_aside(&file, bytes).map_err(Error::file("size", path))?;
        Ok(Self {
            map: Arc::new(map(&file).map_err(Error::file("map", path))?),
            path: path.to_owned(),
            file,
        })
    }

    /// Part of the rows, as they are now.
    pub(super) fn read(&self, range: &Range<u64>, bytes: &mut [u8]) -> io::Result<()> {
        self.file.read_exact_at(bytes, range.start)
    }

    /// Durable when it returns.
    pub(super) fn write(&self, range: &Range<u64>, bytes: &[u8]) -> Result<(), Error> {
        self.file
            .write_all_at(bytes, range.start)
            .and_then(|()| self.file.sync_data())
            .map_err(Error::file("write", &self.path))
    }
}

/// Gives the file its length, and all of it a place on the disk where the file system can do that.
fn set_aside(file: &File, bytes: u64) -> io::Result<()> {
    let before = file.metadata()?.len();
    match fallocate(file, FallocateFlags::empty(), 0, bytes) {
        Ok(()) | Err(Errno::OPNOTSUPP | Errno::NOSYS) => file.set_len(bytes),
        Err(error) => {
            // What it got before the disk was full.
            let _ = file.set_len(before);
            Err(error.into())
        }
    }
}

/// Maps the whole file.
#[expect(unsafe_code, reason = "a mapped file cannot be had otherwise")]
fn map(file: &File) -> io::Result<Mmap> {
    // SAFETY: the file lies in a folder that this process alone uses (it holds the lock of the data directory). It
    // has its final length before it is mapped and is never shortened, and is not written any more when the mapping is
    // first read. Bytes are all that is read: any value is valid. Where the disk does not give a page, or somebody
    // else shortened the file, the system ends the process with SIGBUS: it does not go on with other bytes.
    unsafe { Mmap::map(file) }
}
