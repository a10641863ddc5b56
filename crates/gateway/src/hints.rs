//! The hints of the whole stack, fetched when generations appear and kept (docs/protocol.md 7.2).
//!
//! What the cloud says of a hint is its word alone: how many bytes it has follows from the generation's public figures,
//! which are trust's, and how long it may take from that.

mod refresh;

use std::collections::{HashMap, HashSet};
use std::fs;
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::StreamExt as _;
use harpo_oblivious::{
    self as oblivious, Choice, GenerationInfo, Hint, ParamSetId, Seed, Shape, Stack, StackHint,
};
use harpo_protocol::domain::Hasher;
use harpo_protocol::id::GenerationId;
use harpo_protocol::stack::{SealedGeneration, StackDescriptor};
use harpo_service::clock::Clock;
use harpo_service::http::ClientError;

pub use self::refresh::Source;
use self::refresh::Wrong;
use crate::blocking;
use crate::cloud_client::{CloudClient, ConnectError};
use crate::within::{Pace, TooSlow};

/// Why hints are not there.
#[derive(Debug, thiserror::Error)]
pub enum HintError {
    /// The cloud did not give one.
    #[error("the hint of generation {generation} could not be fetched")]
    Cloud {
        /// Which.
        generation: GenerationId,
        /// Why.
        #[source]
        source: Box<ClientError>,
    },
    /// It is not the one that trust names.
    #[error(
        "the hint of generation {0} is not the one that trust names; the cloud is wrong or was altered"
    )]
    Digest(GenerationId),
    /// It was not the one that trust names when it came last, and is not asked for again yet.
    #[error(
        "the hint of generation {generation} was not the one that trust names, {times} times in a row; it is asked for \
         again later. The cloud is wrong or was altered"
    )]
    HeldOff {
        /// Which.
        generation: GenerationId,
        /// How often it was wrong.
        times: u32,
    },
    /// Its length, which the cloud said, is not the one that the generation's public figures give.
    #[error(
        "generation {generation} is said to have a hint of {said} bytes, but its figures give {expected}; it is not \
         fetched. The cloud is wrong or was altered"
    )]
    Length {
        /// Which.
        generation: GenerationId,
        /// The descriptor's.
        said: u64,
        /// The figures'.
        expected: u64,
    },
    /// The cloud sends it, but so slowly that it would never be here. What came is kept.
    #[error("the hint of generation {generation} trickles")]
    TooSlow {
        /// Which.
        generation: GenerationId,
        /// How slowly.
        #[source]
        source: TooSlow,
    },
    /// No connection to the cloud.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// Some are not here, and the others are.
    #[error("{count} hints are not here; the log names each, and this is the first")]
    Missing {
        /// How many, at least.
        count: usize,
        /// Why the first is not.
        #[source]
        first: Box<HintError>,
    },
    /// The descriptor or a hint cannot be used.
    #[error("the stack cannot be used")]
    Stack(#[from] oblivious::Error),
    /// The disk.
    #[error("keeping a hint failed")]
    Io(#[from] io::Error),
}

/// A stack with the sum of its hints.
pub struct HeldStack {
    /// Its shape.
    pub stack: Stack,
    /// The sum.
    pub hint: StackHint,
    generations: Vec<GenerationId>,
}

impl HeldStack {
    /// `generations` are those of `stack`, in order; `hint` is the sum of theirs.
    pub(crate) fn new(stack: Stack, hint: StackHint, generations: Vec<GenerationId>) -> Self {
        Self {
            stack,
            hint,
            generations,
        }
    }

    /// What to ask for to get a slot.
    pub fn choice(&self, generation: GenerationId, slot: u32) -> Option<Choice> {
        let generation = self.generations.iter().position(|g| *g == generation)?;
        Some(Choice::Slot { generation, slot })
    }

    /// Bytes of one answer.
    pub fn answer_bytes(&self) -> usize {
        self.stack.answer_bytes() as usize
    }
}

/// A hint that broke off is asked for again from a multiple of this, 16 MiB: the exact byte at which it broke would be known
/// again by the cloud, which cut it there, and two connections would be one gateway's.
const RESUMES_AT: u64 = 16 << 20;

/// Sums in memory at once; the least recently used goes first. Each is as large as two to four of
/// its generations' hints.
const SUMS_HELD: usize = 3;

/// Keeps hints in a folder, one file a generation, and the sums of the stacks that were read lately
/// in memory.
#[derive(Debug)]
pub struct Hints {
    dir: PathBuf,
    /// Most recently used last.
    held: Mutex<Vec<Arc<HeldStack>>>,
    ready: Mutex<Vec<SealedGeneration>>,
    /// Bytes of hints that came since the start.
    received: AtomicU64,
    fetching: tokio::sync::Mutex<()>,
    /// Those that were not what trust names, by their place.
    wrong: Mutex<HashMap<PathBuf, Wrong>>,
}

impl std::fmt::Debug for HeldStack {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HeldStack")
            .field("generations", &self.generations)
            .finish_non_exhaustive()
    }
}

impl Hints {
    /// Opens or creates the folder.
    pub fn open(dir: PathBuf) -> io::Result<Self> {
        fs::create_dir_all(&dir)?;
        Ok(Self {
            dir,
            held: Mutex::default(),
            ready: Mutex::default(),
            received: AtomicU64::new(0),
            fetching: tokio::sync::Mutex::default(),
            wrong: Mutex::default(),
        })
    }

    /// The generations of `stack` whose hints are not here yet.
    pub fn missing<'a>(&self, stack: &'a StackDescriptor) -> Vec<&'a SealedGeneration> {
        stack
            .generations
            .iter()
            .filter(|g| !self.path(g).exists())
            .collect()
    }

    /// Fetches a hint; goes on where an earlier try broke off. One call at a time.
    pub async fn fetch(
        &self,
        cloud: &CloudClient,
        generation: &SealedGeneration,
        clock: &Clock,
        pace: Pace,
    ) -> Result<(), HintError> {
        let expected = info(generation)?.hint_bytes()?;
        if generation.hint_bytes != expected {
            return Err(HintError::Length {
                generation: generation.generation,
                said: generation.hint_bytes,
                expected,
            });
        }
        let _one = self.fetching.lock().await;
        let part = self.path(generation).with_extension("part");
        let have = resumable(&part, expected)?;
        if have < expected {
            let receiving = self.receive(cloud, generation, &part, have);
            let received = pace.within(clock, expected, receiving).await;
            received.map_err(|source| HintError::TooSlow {
                generation: generation.generation,
                source,
            })??;
        }
        let (generation, path) = (generation.clone(), self.path(generation));
        let this = self.dir.clone();
        blocking(move || {
            let whole = fs::metadata(&part)?.len() == generation.hint_bytes;
            if !whole || digest(&part)? != generation.hint {
                fs::remove_file(&part)?;
                return Err(HintError::Digest(generation.generation));
            }
            fs::rename(&part, &path)?;
            Ok(harpo_service::files::sync_dir(&this)?)
        })
        .await
    }

    /// Appends what is missing after byte `have` of a hint.
    async fn receive(
        &self,
        cloud: &CloudClient,
        generation: &SealedGeneration,
        part: &Path,
        mut have: u64,
    ) -> Result<(), HintError> {
        let failed = |source: ClientError| HintError::Cloud {
            generation: generation.generation,
            source: Box::new(source),
        };
        let answer = cloud
            .hint(generation.generation, have)
            .await
            .map_err(failed)?;
        let mut file = fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(part)?;
        // A server that does not know ranges begins again.
        if answer.status() != http::StatusCode::PARTIAL_CONTENT || have == 0 {
            file.set_len(0)?;
            have = 0;
        }
        let mut stream = answer.stream();
        while let Some(piece) = stream.next().await {
            let piece = piece.map_err(failed)?;
            have += piece.len() as u64;
            self.received
                .fetch_add(piece.len() as u64, Ordering::Relaxed);
            if have > generation.hint_bytes {
                break;
            }
            // Into the page cache: as quick as copying.
            file.write_all(&piece)?;
        }
        blocking(move || file.sync_all()).await?;
        Ok(())
    }

    /// Removes the hints of other generations, and older ones of these.
    pub fn keep_only(&self, generations: &[&SealedGeneration]) -> io::Result<()> {
        let keep: HashSet<PathBuf> = generations.iter().map(|g| self.path(g)).collect();
        for entry in fs::read_dir(&self.dir)? {
            let path = entry?.path();
            if !keep.contains(&path) && !keep.contains(&path.with_extension("hint")) {
                fs::remove_file(path)?;
            }
        }
        Ok(())
    }

    /// The sum over `stack`, whose hints must all be here. Reads files only when the stack changed.
    pub fn held(&self, stack: &StackDescriptor) -> Result<Arc<HeldStack>, HintError> {
        let generations: Vec<GenerationId> =
            stack.generations.iter().map(|g| g.generation).collect();
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(at) = held.iter().position(|h| h.generations == generations) {
            let found = held.remove(at);
            held.push(found.clone());
            return Ok(found);
        }
        let shape = shape(stack)?;
        // One by one: a hint may take hundreds of megabytes.
        let mut hint = StackHint::empty(&shape);
        for (generation, info) in stack.generations.iter().zip(shape.generations()) {
            let bytes = fs::read(self.path(generation))?;
            if harpo_protocol::domain::sha256(&bytes) != generation.hint {
                fs::remove_file(self.path(generation))?;
                return Err(HintError::Digest(generation.generation));
            }
            hint.add(&Hint::from_bytes(info, &bytes)?)?;
        }
        let new = Arc::new(HeldStack::new(shape, hint, generations));
        // A stack that grew replaces what it was before.
        held.retain(|old| !new.generations.starts_with(&old.generations));
        held.push(new.clone());
        if held.len() > SUMS_HELD {
            held.remove(0);
        }
        Ok(new)
    }

    /// Notes for which sealed generations everything is here.
    pub fn set_ready(&self, generations: Vec<SealedGeneration>) {
        *self.ready.lock().unwrap_or_else(PoisonError::into_inner) = generations;
    }

    /// The sealed generations for which everything is here, oldest first.
    pub fn ready(&self) -> Vec<SealedGeneration> {
        let ready = self.ready.lock();
        ready.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Bytes of hints that came from the cloud since the start, bodies only.
    pub fn received(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }

    fn path(&self, generation: &SealedGeneration) -> PathBuf {
        self.dir.join(format!(
            "{}-{}.hint",
            generation.generation,
            &generation.hint.to_string()[..16]
        ))
    }
}

/// The engines' view of a stack.
pub fn shape(stack: &StackDescriptor) -> Result<Stack, oblivious::Error> {
    let generations = stack.generations.iter().map(info);
    Stack::new(generations.collect::<Result<_, _>>()?)
}

/// The ring engine's view of a generation's public figures.
pub fn info(generation: &SealedGeneration) -> Result<GenerationInfo, oblivious::Error> {
    let figures = &generation.figures;
    Ok(GenerationInfo {
        params: ParamSetId(figures.parameter_set),
        shape: Shape::new(figures.slots, figures.slot_bytes, figures.interleave)?,
        seed: Seed(figures.seed.0),
    })
}

/// Bytes of an interrupted hint that are kept; cuts off the others.
fn resumable(part: &Path, expected: u64) -> io::Result<u64> {
    let have = match fs::metadata(part) {
        Ok(found) => found.len(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        Err(error) => return Err(error),
    };
    if have >= expected {
        // Whole, or wrong: its digest says.
        return Ok(have);
    }
    let keep = have - have % RESUMES_AT;
    fs::OpenOptions::new()
        .write(true)
        .open(part)?
        .set_len(keep)?;
    Ok(keep)
}

fn digest(path: &Path) -> io::Result<harpo_protocol::id::Digest> {
    let mut file = fs::File::open(path)?;
    let mut hasher = Hasher::default();
    let mut buffer = vec![0; 1 << 20];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hasher.finish()),
            n => hasher.update(&buffer[..n]),
        }
    }
}

#[cfg(test)]
mod tests;
