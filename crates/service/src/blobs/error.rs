//! Why objects cannot be stored or brought.

use std::io;
use std::path::PathBuf;

use crate::causes::causes;
use crate::files;

/// Why an object could not be stored or brought.
#[derive(Debug, thiserror::Error)]
pub enum BlobError {
    /// No space is left; nothing was changed.
    #[error("the storage for objects is full; make space and try again")]
    Full {
        /// What the store said.
        source: object_store::Error,
    },
    /// There is no such object.
    #[error("there is no object `{key}`")]
    NotFound {
        /// The key asked for.
        key: String,
    },
    /// The key is not usable.
    #[error("`{key}` cannot be the key of an object: {reason}")]
    Key {
        /// The key.
        key: String,
        /// Why not.
        reason: String,
    },
    /// The range reaches outside the object.
    #[error("`{key}` has fewer bytes than the range {start}..{end} asks for")]
    Range {
        /// The key.
        key: String,
        /// First byte asked for.
        start: u64,
        /// The byte after the last one asked for.
        end: u64,
    },
    /// The object is not as long as it was when it was stored.
    #[error("`{key}` has {found} bytes, not {expected}")]
    Length {
        /// The key.
        key: String,
        /// Bytes that were stored.
        expected: u64,
        /// Bytes that are there.
        found: u64,
    },
    /// The directory cannot be used.
    #[error("the directory {} cannot be used for objects", path.display())]
    Open {
        /// The directory.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Anything else.
    #[error("the storage for objects failed")]
    Store {
        /// What it said.
        source: object_store::Error,
    },
}

impl BlobError {
    pub(super) fn from_store(key: &str, source: object_store::Error) -> Self {
        if matches!(source, object_store::Error::NotFound { .. }) {
            return Self::NotFound {
                key: key.to_owned(),
            };
        }
        let full = causes(&source)
            .filter_map(|error| error.downcast_ref::<io::Error>())
            .any(files::is_storage_full);
        if full {
            Self::Full { source }
        } else {
            Self::Store { source }
        }
    }
}
