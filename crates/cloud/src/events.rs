//! The event log: one line of JSON for everything that was written, fetched and retrieved, with what an honest but curious
//! provider would keep of it (docs/threat-model.md, "What the cloud may see"). A cloud could know more: the log has no
//! refusals, no durations, and not to which key something from the relay was sealed.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, Read as _, Seek as _, SeekFrom, Write as _};
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use harpo_protocol::id::{GenerationId, Nonce, PartyId};
use harpo_protocol::time::Timestamp;
use harpo_service::metrics::Metrics;
use serde::{Deserialize, Serialize};

use self::counted::Counted;
use crate::Error;

mod counted;

#[cfg(test)]
mod tests;

/// One line of the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "lowercase", deny_unknown_fields)]
pub enum Event {
    /// Trust wrote a slot; again, if it repeated itself.
    Write {
        /// When.
        time: Timestamp,
        /// Into which generation.
        generation: GenerationId,
        /// At which index.
        slot: u32,
        /// Length, the same for all slots of a generation.
        bytes: u64,
    },
    /// A generation became readable.
    Seal {
        /// When.
        time: Timestamp,
        /// Which.
        generation: GenerationId,
        /// Number of slots.
        slots: u32,
        /// Length of each.
        slot_bytes: u32,
        /// Length of its hint.
        hint_bytes: u64,
    },
    /// A generation was removed.
    Retire {
        /// When.
        time: Timestamp,
        /// Which.
        generation: GenerationId,
    },
    /// Somebody downloaded a hint, or a range of it.
    Hint {
        /// When.
        time: Timestamp,
        /// Of which generation.
        generation: GenerationId,
        /// Bytes sent.
        bytes: u64,
        /// Network address of gateway or relay.
        peer: SocketAddr,
        /// The random name in the pass; none through the relay.
        pass: Option<PartyId>,
    },
    /// A ticket was spent.
    Retrieval {
        /// When.
        time: Timestamp,
        /// The ticket's.
        nonce: Nonce,
        /// The generations that every query covers.
        stack: Vec<GenerationId>,
        /// Number of queries: a class.
        queries: u32,
        /// Length of the request, ticket included.
        bytes_up: u64,
        /// Length of the answers.
        bytes_down: u64,
        /// Network address of gateway or relay.
        peer: SocketAddr,
        /// The random name in the pass; none through the relay.
        pass: Option<PartyId>,
    },
    /// Answers of a spent ticket that had not arrived were asked for again.
    Resumption {
        /// When.
        time: Timestamp,
        /// The ticket's, as when it was spent.
        nonce: Nonce,
        /// The generations that every query covers, as when it was spent.
        stack: Vec<GenerationId>,
        /// The first answer that had not arrived, counted from 0.
        from: u32,
        /// Number of queries from there on.
        queries: u32,
        /// Length of the request, ticket included.
        bytes_up: u64,
        /// Length of the answers.
        bytes_down: u64,
        /// Network address of gateway or relay.
        peer: SocketAddr,
        /// The random name in the pass; none through the relay.
        pass: Option<PartyId>,
    },
    /// A ticket was spent for the whole stack, or such a stream goes on.
    Stream {
        /// When.
        time: Timestamp,
        /// The ticket's.
        nonce: Nonce,
        /// The generations that were sent.
        stack: Vec<GenerationId>,
        /// Number of queries that the ticket would have been good for: a class.
        queries: u32,
        /// The slot of the whole stack that it begins with, counted from 0.
        from: u32,
        /// Length of the request: the ticket.
        bytes_up: u64,
        /// Length of the slots.
        bytes_down: u64,
        /// Network address of gateway or relay.
        peer: SocketAddr,
        /// The random name in the pass; none through the relay.
        pass: Option<PartyId>,
    },
}

/// The file that events are appended to. An event has been handed to the operating system when
/// [`EventLog::record`] returns.
#[derive(Debug)]
pub struct EventLog {
    file: Mutex<File>,
    counted: Option<Counted>,
}

impl EventLog {
    /// Opens the log, made if there is none (permissions 0600). A line that a crash cut off is
    /// removed, so that the file can always be read whole.
    ///
    /// # Errors
    /// Whatever the file system answers.
    pub fn open(path: &Path) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        let mut file = options
            .read(true)
            .append(true)
            .create(true)
            .mode(0o600)
            .open(path)?;
        let whole = whole_lines(&mut file)?;
        file.set_len(whole)?;
        Ok(Self {
            file: Mutex::new(file),
            counted: None,
        })
    }

    /// The same log, whose events are counted, too.
    pub(crate) fn counting(mut self, metrics: &Metrics) -> Self {
        self.counted = Some(Counted::new(metrics));
        self
    }

    /// Retrievals, resumptions and streams of the minute and of the hour before `now`, since the start of the process.
    pub(crate) fn recent(&self, now: Timestamp) -> (u64, u64) {
        let counted = self.counted.as_ref();
        counted.map_or((0, 0), |counted| counted.recent(now))
    }

    /// Appends one event.
    ///
    /// # Errors
    /// [`Error::EventLog`], [`Error::StorageFull`]. What was to be recorded must then not happen: a log with holes
    /// proves nothing.
    pub fn record(&self, event: &Event) -> Result<(), Error> {
        self.append(event).map_err(|error| {
            if harpo_service::files::is_storage_full(&error) {
                Error::StorageFull(error.into())
            } else {
                Error::EventLog(error)
            }
        })?;
        if let Some(counted) = &self.counted {
            counted.count(event);
        }
        Ok(())
    }

    fn append(&self, event: &Event) -> io::Result<()> {
        let mut line = serde_json::to_vec(event)?;
        line.push(b'\n');
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let before = file.metadata()?.len();
        let written = file.write_all(&line);
        if written.is_err() {
            // Half a line, on a full disk: the next event must not be joined to it.
            let _ = file.set_len(before);
        }
        written
    }

    /// Reads a log.
    ///
    /// # Errors
    /// Whatever the file system answers, and `InvalidData` for a line that is no [`Event`].
    pub fn read(path: &Path) -> io::Result<Vec<Event>> {
        BufReader::new(File::open(path)?)
            .lines()
            .map(|line| Ok(serde_json::from_str(&line?)?))
            .collect()
    }
}

/// Length of the file up to its last line feed.
fn whole_lines(file: &mut File) -> io::Result<u64> {
    const STEP: u64 = 4096;
    let mut end = file.metadata()?.len();
    while end > 0 {
        let start = end.saturating_sub(STEP);
        file.seek(SeekFrom::Start(start))?;
        let mut block = Vec::new();
        (&*file).take(end - start).read_to_end(&mut block)?;
        if let Some(last) = block.iter().rposition(|byte| *byte == b'\n') {
            return Ok(start + last as u64 + 1);
        }
        end = start;
    }
    Ok(0)
}
