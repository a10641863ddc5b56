//! Why something was not stored, or cannot be had.

use std::io;
use std::path::PathBuf;

use crate::dicom::InspectError;
use crate::dicom::walk::WalkError;

/// Why an instance was not stored. Nothing of it is kept.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// It cannot be read as a DICOM instance.
    #[error(transparent)]
    Refused(InspectError),
    /// The request names another instance than the data set does.
    #[error(
        "the request says {name} {stated:?} but the data set says {found:?}; have the sender correct it"
    )]
    Contradicts {
        /// Keyword of the attribute.
        name: &'static str,
        /// The request's value.
        stated: String,
        /// The data set's value.
        found: String,
    },
    /// Another patient's instances are in the same study (threat T2).
    #[error(
        "this study holds images of another patient ID; check the patient at the modality and send again"
    )]
    PatientMismatch,
    /// The instance is here with another data set.
    #[error(
        "this SOP instance is already here with different content; give changed images new UIDs"
    )]
    DuplicateDiffers,
    /// Larger than the gateway takes.
    #[error(
        "the object is larger than the {limit} bytes that this gateway takes; raise max_object_bytes or split it"
    )]
    TooLarge {
        /// The limit in bytes.
        limit: u64,
    },
    /// The disk is full.
    #[error("the gateway's disk is full; free space in the spool and send again")]
    DiskFull,
    /// The disk failed.
    #[error("the gateway could not write to its spool; see its log and send again")]
    Io(#[source] io::Error),
}

impl From<InspectError> for StoreError {
    fn from(error: InspectError) -> Self {
        match disk_failure(error) {
            Ok(source) => source.into(),
            Err(error) => Self::Refused(error),
        }
    }
}

impl From<io::Error> for StoreError {
    fn from(e: io::Error) -> Self {
        match e.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::DiskFull,
            _ => Self::Io(e),
        }
    }
}

/// Why the spool could not do what its owner asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SpoolError {
    /// Another process has it open.
    #[error("the spool {0} is in use by another process; stop that one first")]
    InUse(PathBuf),
    /// No such open study or closed bundle.
    #[error("the spool holds no {0}")]
    NotFound(String),
    /// Instances of the study are being written right now.
    #[error("instances of this study are arriving; close it when it is quiet")]
    Busy,
    /// Bundle identifiers are 1 to 64 letters, digits and dashes, each used once.
    #[error("{0:?} cannot name a bundle, or names one already")]
    BadBundleId(String),
    /// What was written is not what is read.
    #[error(
        "{path} is damaged on the disk: {why}; restore it from a backup, or have the sender send it again"
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// In words.
        why: String,
    },
    /// The disk failed.
    #[error("the spool failed at {path}; check the disk and the limit of open files")]
    Io {
        /// Where.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
}

/// Tells a disk that failed, whose file may be whole, from a file that was read and is no instance.
pub(super) fn disk_failure(error: InspectError) -> Result<io::Error, InspectError> {
    match error {
        InspectError::Read(source) => Ok(source),
        // Decoders report damage as I/O errors, too; the operating system's have a number.
        InspectError::Walk(WalkError::Read(source)) if source.raw_os_error().is_some() => {
            Ok(source)
        }
        other => Err(other),
    }
}
