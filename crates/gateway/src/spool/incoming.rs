//! An object on its way in: in memory while it is small, in a temporary file when it is not.

use std::fs::{self, File};
use std::io::{self, BufReader, Cursor, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use aws_lc_rs::digest;

use super::StoreError;
use crate::dicom::inspect::MetaForm;
use crate::dicom::{Header, Limits, inspect, inspect_file, part10};

/// Objects up to this size are held in memory until they are written once.
const MEMORY_BYTES: usize = 4 << 20;

/// What the bytes are.
#[derive(Debug, Clone)]
pub enum Kind {
    /// A file as STOW-RS carries it.
    File {
        /// The study that the request names, if any.
        study_instance_uid: Option<String>,
    },
    /// A bare data set as C-STORE carries it; the gateway writes the meta header.
    Dataset {
        /// As negotiated.
        transfer_syntax_uid: String,
        /// As the command says.
        sop_class_uid: String,
        /// As the command says.
        sop_instance_uid: String,
    },
}

/// See the module. Dropping it removes what was written.
#[derive(Debug)]
pub struct Incoming {
    dir: PathBuf,
    kind: Kind,
    limit: u64,
    length: u64,
    buffer: Vec<u8>,
    spilled: Option<Temporary>,
}

/// A file in `tmp/` that removes itself unless it is renamed.
#[derive(Debug)]
pub(super) struct Temporary {
    path: PathBuf,
    file: File,
    keep: bool,
}

/// An object that was read and may be stored. Dropping it removes what was written.
#[derive(Debug)]
pub struct Ready {
    /// What its data set says.
    pub header: Header,
    pub(super) dataset_sha256: [u8; 32],
    kind: Kind,
    dir: PathBuf,
    content: Content,
}

#[derive(Debug)]
enum Content {
    Memory(Vec<u8>),
    File(Temporary, u64),
}

impl Incoming {
    pub(super) fn new(dir: PathBuf, kind: Kind, limit: u64) -> Self {
        let buffer = match &kind {
            Kind::File { .. } => Vec::new(),
            Kind::Dataset {
                transfer_syntax_uid,
                sop_class_uid,
                sop_instance_uid,
            } => part10::meta(sop_class_uid, sop_instance_uid, transfer_syntax_uid),
        };
        Self {
            dir,
            kind,
            limit,
            length: buffer.len() as u64,
            buffer,
            spilled: None,
        }
    }

    /// Takes more bytes. Blocks on the disk only where [`Self::would_block`] says so.
    ///
    /// # Errors
    /// [`StoreError::TooLarge`], [`StoreError::DiskFull`], [`StoreError::Io`].
    pub fn push(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        self.length += bytes.len() as u64;
        if self.length > self.limit {
            return Err(StoreError::TooLarge { limit: self.limit });
        }
        if self.would_block(bytes.len()) {
            self.spill()?;
        }
        self.buffer.extend_from_slice(bytes);
        Ok(())
    }

    /// Whether taking `more` bytes would write to the disk.
    #[must_use]
    pub fn would_block(&self, more: usize) -> bool {
        self.buffer.len() + more > MEMORY_BYTES
    }

    fn spill(&mut self) -> Result<(), StoreError> {
        let temporary = match &mut self.spilled {
            Some(temporary) => temporary,
            None => self.spilled.insert(Temporary::create(&self.dir)?),
        };
        temporary.file.write_all(&self.buffer)?;
        self.buffer.clear();
        Ok(())
    }

    /// Reads what was received.
    pub(super) fn inspect(mut self, limits: &Limits) -> Result<Ready, StoreError> {
        let (header, content) = if self.spilled.is_some() {
            self.spill()?;
            let Some(temporary) = self.spilled.take() else {
                return Err(StoreError::Io(io::ErrorKind::NotFound.into()));
            };
            (
                inspect_file(&temporary.path, limits)?,
                Content::File(temporary, self.length),
            )
        } else {
            let bytes = std::mem::take(&mut self.buffer);
            (inspect(&bytes, limits)?, Content::Memory(bytes))
        };
        Ready::new(header, content, self.kind, self.dir)
    }
}

impl Ready {
    /// Digests the data set, and replaces a meta header that is missing or wrong.
    fn new(
        mut header: Header,
        content: Content,
        kind: Kind,
        dir: PathBuf,
    ) -> Result<Self, StoreError> {
        let start = header.dataset_offset;
        let dataset_sha256 = match &content {
            Content::Memory(bytes) => {
                digest_of(Cursor::new(&bytes[usize::try_from(start).unwrap_or(0)..]))?
            }
            Content::File(temporary, _) => digest_of(temporary.from(start)?)?,
        };
        if header.meta == MetaForm::Regular {
            return Ok(Self {
                header,
                dataset_sha256,
                kind,
                dir,
                content,
            });
        }
        let meta = part10::meta(
            &header.sop_class_uid,
            &header.sop_instance_uid,
            &header.transfer_syntax_uid,
        );
        header.dataset_offset = meta.len() as u64;
        header.meta = MetaForm::Regular;
        let content = match content {
            Content::Memory(bytes) => {
                let dataset = &bytes[usize::try_from(start).unwrap_or(0)..];
                Content::Memory([meta.as_slice(), dataset].concat())
            }
            Content::File(old, length) => {
                let mut new = Temporary::create(&dir)?;
                new.file.write_all(&meta)?;
                io::copy(&mut old.from(start)?, &mut new.file)?;
                Content::File(new, length - start + meta.len() as u64)
            }
        };
        Ok(Self {
            header,
            dataset_sha256,
            kind,
            dir,
            content,
        })
    }

    /// Holds the data set against what the request said.
    pub(super) fn agrees(&self) -> Result<(), StoreError> {
        let header = &self.header;
        let stated = match &self.kind {
            Kind::File {
                study_instance_uid: None,
            } => return Ok(()),
            Kind::File {
                study_instance_uid: Some(study),
            } => {
                vec![("StudyInstanceUID", study, &header.study_instance_uid)]
            }
            Kind::Dataset {
                sop_class_uid,
                sop_instance_uid,
                ..
            } => vec![
                ("SOPClassUID", sop_class_uid, &header.sop_class_uid),
                ("SOPInstanceUID", sop_instance_uid, &header.sop_instance_uid),
            ],
        };
        match stated
            .into_iter()
            .find(|(_, stated, found)| stated != found)
        {
            None => Ok(()),
            Some((name, stated, found)) => Err(StoreError::Contradicts {
                name,
                stated: stated.chars().take(64).collect(),
                found: found.clone(),
            }),
        }
    }

    /// Size of the file in bytes.
    pub(super) fn len(&self) -> u64 {
        match &self.content {
            Content::Memory(bytes) => bytes.len() as u64,
            Content::File(_, length) => *length,
        }
    }

    /// Writes and syncs the file, still under its temporary name.
    pub(super) fn write(self) -> Result<Temporary, StoreError> {
        let temporary = match self.content {
            Content::File(temporary, _) => temporary,
            Content::Memory(bytes) => {
                let mut temporary = Temporary::create(&self.dir)?;
                temporary.file.write_all(&bytes)?;
                temporary
            }
        };
        temporary.file.sync_all()?;
        Ok(temporary)
    }
}

impl Temporary {
    fn create(dir: &Path) -> io::Result<Self> {
        let path = dir.join(uuid::Uuid::new_v4().simple().to_string());
        let file = File::options()
            .read(true)
            .write(true)
            .create_new(true)
            .open(&path)?;
        Ok(Self {
            path,
            file,
            keep: false,
        })
    }

    fn from(&self, start: u64) -> io::Result<BufReader<File>> {
        let mut file = File::open(&self.path)?;
        file.seek(SeekFrom::Start(start))?;
        Ok(BufReader::with_capacity(256 << 10, file))
    }

    pub(super) fn rename(mut self, to: &Path) -> io::Result<()> {
        fs::rename(&self.path, to)?;
        self.keep = true;
        Ok(())
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if !self.keep {
            // Best effort: what stays behind is removed at the next start.
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn digest_of(mut source: impl io::Read) -> io::Result<[u8; 32]> {
    let mut context = digest::Context::new(&digest::SHA256);
    let mut chunk = vec![0u8; 256 << 10];
    loop {
        match source.read(&mut chunk)? {
            0 => break,
            n => context.update(&chunk[..n]),
        }
    }
    let mut out = [0u8; 32];
    out.copy_from_slice(context.finish().as_ref());
    Ok(out)
}
