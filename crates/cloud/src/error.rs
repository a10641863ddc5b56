//! What can go wrong in the cloud, and the refusal that a peer sees for it (docs/protocol.md 13).

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use harpo_protocol::id::GenerationId;
use harpo_protocol::{Malformed, Rejected};
use harpo_service::blobs::BlobError;
use harpo_service::db::DbError;
use harpo_service::http::ApiError;
use http::StatusCode;

/// When a peer is told to come back.
const BUSY_FOR: Duration = Duration::from_secs(2);

/// A failure of the cloud. Messages may travel to peers: none says more than the peer knows.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No such generation, or no longer.
    #[error("there is no such {0}")]
    NotFound(&'static str),
    /// The certificate, a signature or a ticket was not accepted.
    #[error("rejected: certificate, signature or ticket was not accepted")]
    Rejected,
    /// The identifier is taken by other content, or its generation takes no more.
    #[error("{0}")]
    Conflict(String),
    /// Slots are missing.
    #[error(
        "{missing} of {expected} slots are missing, the first at index {first}; write them and seal again"
    )]
    Incomplete {
        /// How many.
        missing: u32,
        /// How many there should be.
        expected: u32,
        /// The lowest index without a slot.
        first: u32,
    },
    /// The ticket was used before.
    #[error("the ticket was used before; ask for a new release")]
    Spent,
    /// The ticket is too old.
    #[error("the ticket has expired; ask for a new release")]
    Expired,
    /// Not a message of this protocol.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// A body that did not come whole, or not in time.
    #[error("body: {0}; send it again")]
    Timeout(&'static str),
    /// Over a limit.
    #[error("{what} has more than {limit} bytes")]
    TooLarge {
        /// What is too large.
        what: &'static str,
        /// Largest that is accepted, in bytes.
        limit: u64,
    },
    /// As many queries wait as are allowed; when there will be room.
    #[error("too many retrievals wait; try again in {} seconds", seconds(*.0))]
    QueueFull(Duration),
    /// As many streams as are allowed; when a place will be free.
    #[error("too many streams at once; try again in {} seconds", seconds(*.0))]
    StreamsFull(Duration),
    /// As many as are allowed at once, or the stack is not in memory yet.
    #[error("{0}; try again later")]
    Busy(&'static str),
    /// Nothing is left of the memory set aside for the stack.
    #[error(
        "the encoded generation needs {needed_mib} MiB of memory and {free_mib} of {limit_mib} MiB are free; \
         raise memory_limit_mib or retire generations, then seal again"
    )]
    MemoryFull {
        /// What the generation would take.
        needed_mib: u64,
        /// What is left.
        free_mib: u64,
        /// The configured limit.
        limit_mib: u64,
    },
    /// The disk is full.
    #[error("the disk is full; nothing was lost: free space, then repeat")]
    StorageFull(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// A slot's bytes in storage are not what was written, or none.
    #[error(
        "slot {slot} of generation {generation} is missing or damaged in storage; restore it from a backup"
    )]
    Damaged {
        /// Which generation.
        generation: GenerationId,
        /// Which slot.
        slot: u32,
    },
    /// Two readings of the same slots gave different bytes.
    #[error(
        "the slots of generation {0} are read differently each time; check the disk and the memory of this machine"
    )]
    Unsteady(GenerationId),
    /// A closed generation cannot be used.
    #[error("generation {generation} cannot be used: {why}")]
    Unusable {
        /// Which generation.
        generation: GenerationId,
        /// What is wrong with it, and what helps.
        why: String,
    },
    /// The program is stopping.
    #[error("the service is stopping")]
    Stopping,
    /// A file could not be used.
    #[error("cannot {action} {}", path.display())]
    File {
        /// `read`, `write` or the like.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A slot could not be read, which says nothing about its bytes.
    #[error("cannot read slot {slot} of generation {generation}")]
    SlotUnreadable {
        /// Which generation.
        generation: GenerationId,
        /// Which slot.
        slot: u32,
        /// Why.
        source: BlobError,
    },
    /// Slots or hints could not be stored or brought.
    #[error("the store of slots and hints failed")]
    Storage(#[source] BlobError),
    /// A hint could not be read.
    #[error("cannot read a hint")]
    HintUnreadable(#[source] io::Error),
    /// The event log could not be written.
    #[error("cannot write the event log")]
    EventLog(#[source] io::Error),
    /// The database failed.
    #[error("the state database failed")]
    Database(#[from] DbError),
    /// The ring engine refused.
    #[error("the ring engine refused")]
    Engine(#[from] harpo_oblivious::Error),
    /// A thread could not be started.
    #[error("cannot start a thread")]
    Thread(#[source] io::Error),
    /// A background task ended without an answer.
    #[error("a task of the service ended without an answer")]
    TaskLost,
}

/// As a header tells them: whole, rounded up.
fn seconds(duration: Duration) -> u64 {
    duration.as_millis().div_ceil(1000) as u64
}

impl Error {
    /// For `map_err`: names the action and the file, and tells a full disk apart.
    pub(crate) fn file(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| {
            if harpo_service::files::is_storage_full(&source) {
                return Self::StorageFull(source.into());
            }
            Self::File {
                action,
                path: path.to_owned(),
                source,
            }
        }
    }

    pub(crate) fn malformed(what: &'static str, why: impl Into<String>) -> Self {
        Self::Malformed(Malformed::new(what, why))
    }
}

impl From<Rejected> for Error {
    fn from(Rejected: Rejected) -> Self {
        Self::Rejected
    }
}

impl From<BlobError> for Error {
    fn from(error: BlobError) -> Self {
        match error {
            BlobError::Full { source } => Self::StorageFull(source.into()),
            other => Self::Storage(other),
        }
    }
}

/// For reading; writing goes through [`harpo_service::db::Db::begin`].
impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        DbError::from(error).into()
    }
}

/// A refusal is sent with the code of docs/protocol.md 13. What the peer need not know stays in the log.
impl From<Error> for ApiError {
    fn from(error: Error) -> Self {
        let message = error.to_string();
        match error {
            Error::NotFound(_) => Self::not_found("not_found", message),
            Error::Rejected => Self::forbidden("rejected", message),
            Error::Conflict(_) => Self::conflict("conflict", message),
            Error::Incomplete { .. } => Self::conflict("incomplete", message),
            Error::Spent => Self::conflict("spent", message),
            Error::Expired => Self::forbidden("expired", message),
            Error::Malformed(_) => Self::bad_request("malformed", message),
            Error::Timeout(_) => Self::new(StatusCode::REQUEST_TIMEOUT, "timeout", message),
            Error::TooLarge { .. } => {
                Self::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", message)
            }
            Error::QueueFull(after) | Error::StreamsFull(after) => {
                Self::unavailable("busy", message, after)
            }
            Error::Busy(_) | Error::Stopping => Self::unavailable("busy", message, BUSY_FOR),
            Error::MemoryFull { .. } => {
                Self::new(StatusCode::INSUFFICIENT_STORAGE, "memory_full", message)
            }
            Error::StorageFull(_) => {
                Self::new(StatusCode::INSUFFICIENT_STORAGE, "storage_full", message)
            }
            Error::Damaged { .. } => {
                Self::new(StatusCode::INTERNAL_SERVER_ERROR, "damaged", message)
            }
            Error::Unusable { .. } => {
                Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", message)
            }
            Error::Database(error) => error.into(),
            other => Self::internal(&other),
        }
    }
}
