//! Downloading a whole stack, where that costs less than queries (docs/protocol.md 9.6).
//!
//! Everything is received into a file, in the same way whatever is wanted, and the connection closed; only then are the
//! wanted slots read from the file. What is set aside on the disk beforehand is the stack's size, so that a full disk
//! is found before the ticket is spent.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use harpo_oblivious::{Engine, Stack};
use harpo_protocol::id::GenerationId;
use harpo_protocol::retrieval::{self, Ticket, classes};
use harpo_protocol::sign::Signed;
use harpo_protocol::stack::StackDescriptor;
use harpo_service::http::{ClientError, Response};
use rand_core::CryptoRng;
use rustix::fs::{FallocateFlags, fallocate, fstatvfs};
use rustix::io::Errno;

use super::ConsultError;
use super::plan::{Choice, plan};
use super::progress::{Phase, Progress};
use super::retrieve::ask::{Asking, Region, Request};
use super::retrieve::{Place, RetrieveError};
use crate::cloud_client::CloudClient;
use crate::hints::shape;
use crate::seal::scratch_file;

const MIB: u64 = 1 << 20;

/// What is asked for, with the engine that brings it: chosen from the stack's shape and the tickets' number of queries,
/// never from what is wanted or held here.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) engine: Engine,
    pub(super) stack: Stack,
    /// Numbers of the wanted slots in the whole stack.
    places: Vec<u64>,
}

impl Asked {
    /// For `slots` of the stack that trust describes, with tickets of `queries` queries together.
    pub(super) fn new(
        stack: &StackDescriptor,
        slots: &[(GenerationId, u32)],
        queries: u32,
    ) -> Result<Self, RetrieveError> {
        let shape = shape(stack)?;
        let places = slots.iter().map(|(generation, slot)| {
            let mut generations = stack.generations.iter();
            let generation = generations.position(|known| known.generation == *generation)?;
            shape.position(generation, *slot)
        });
        let places = places
            .collect::<Option<_>>()
            .ok_or(RetrieveError::OutsideStack)?;
        Ok(Self {
            engine: Engine::choose(&shape, queries),
            stack: shape,
            places,
        })
    }

    /// What a retrieval of so many queries, or of the whole stack, takes of the disk.
    pub(super) fn disk_bytes(&self, queries: u32) -> u64 {
        match self.engine {
            Engine::Stream => self.stack.plain_bytes(),
            Engine::Ring => {
                u64::from(queries) * (self.stack.query_bytes() + self.stack.answer_bytes())
            }
        }
    }
}

/// Queries of all tickets that a release of so many slots has: a class, not what is needed (9.1).
pub(super) fn class(slots: usize) -> u32 {
    let slots = u32::try_from(slots).unwrap_or(u32::MAX);
    classes(slots).iter().sum()
}

/// A stack that has arrived, with what is wanted of it.
#[derive(Debug)]
pub(super) struct Streamed {
    file: Arc<File>,
    slot_bytes: u32,
    /// What is read, in this order: entries of the list that was asked for, and where each is.
    places: Vec<(Choice, u64)>,
}

/// Spends `ticket` for the stack, and receives all of it into `file`, which [`set_aside`] made.
pub(super) async fn stream(
    cloud: CloudClient,
    asked: &Asked,
    ticket: &Signed<Ticket>,
    file: File,
    place: Place<'_>,
    mut rng: impl CryptoRng,
) -> Result<Streamed, RetrieveError> {
    let request = Whole {
        head: retrieval::head(ticket).into(),
        slots: u32::try_from(asked.stack.slots()).unwrap_or(u32::MAX),
    };
    place
        .progress
        .expect_more(request.length(0) + asked.stack.plain_bytes());
    let region = Region {
        file: &file,
        start: 0,
        part_bytes: u64::from(asked.stack.slot_bytes()),
    };
    let mut asking = Asking::new(cloud, &place);
    asking.ask(&request, region, &mut rng).await?;
    Ok(Streamed {
        file: Arc::new(file),
        slot_bytes: asked.stack.slot_bytes(),
        places: numbered(asked.places.iter().copied()),
    })
}

fn numbered(places: impl Iterator<Item = u64>) -> Vec<(Choice, u64)> {
    let places = places.enumerate();
    places
        .map(|(index, place)| (Choice::new(Some(index)), place))
        .collect()
}

/// Asks for all slots of a stack.
struct Whole {
    head: Bytes,
    slots: u32,
}

impl Request for Whole {
    fn parts(&self) -> u32 {
        self.slots
    }

    fn length(&self, _from: u32) -> u64 {
        self.head.len() as u64
    }

    async fn send(
        &self,
        cloud: &CloudClient,
        from: u32,
        resumes: bool,
        progress: &Progress,
    ) -> Result<Result<Response, ClientError>, RetrieveError> {
        progress.enter(Phase::Waiting, 0);
        progress.sent(self.head.len() as u64);
        let from = resumes.then_some(from);
        Ok(cloud.stream(self.head.clone(), from).await)
    }
}

impl Streamed {
    /// Wanted slots that are in `file`, one after another and nothing else.
    pub(super) fn kept(file: Arc<File>, slot_bytes: u32, slots: usize) -> Self {
        Self {
            file,
            slot_bytes,
            places: numbered(0..slots as u64),
        }
    }

    /// Reads `reads` slots of the file's, which has `slots`: others, at random, beside those that are wanted. So it takes the
    /// same work whatever is.
    pub(super) fn among(mut self, slots: u64, reads: u32, rng: &mut impl CryptoRng) -> Self {
        let reads = reads.max(u32::try_from(self.places.len()).unwrap_or(u32::MAX));
        let wanted = std::mem::take(&mut self.places);
        let choices = plan(wanted.len(), &[reads], rng).into_iter().flatten();
        self.places = choices
            .map(|choice| {
                let other = ((u128::from(rng.next_u64()) * u128::from(slots)) >> 64) as u64;
                let place = choice.index().map_or(other, |index| wanted[index].1);
                (choice, place)
            })
            .collect();
        self
    }

    /// Hands each wanted slot to `take` with its place in the list that was asked for. Blocks.
    pub(super) fn slots(
        self,
        progress: &Progress,
        mut take: impl FnMut(usize, Vec<u8>) -> Result<(), ConsultError>,
    ) -> Result<(), ConsultError> {
        progress.enter(Phase::Decoding, self.places.len() as u64);
        for (choice, place) in self.places {
            let mut slot = vec![0; self.slot_bytes as usize];
            self.file
                .read_exact_at(&mut slot, place * u64::from(self.slot_bytes))?;
            progress.step(1);
            if let Some(index) = choice.index() {
                take(index, slot)?;
            }
        }
        Ok(())
    }
}

/// A file in `dir` with `bytes` of the disk for it alone, if as many as `besides` stay free.
///
/// # Errors
/// [`ConsultError::NoRoom`].
pub(super) fn set_aside(dir: &Path, bytes: u64, besides: u64) -> Result<File, ConsultError> {
    let file = scratch_file(dir)?;
    let all = bytes.saturating_add(besides);
    let no_room = |free: u64| no_room(all, free);
    let before = free(&file)?;
    // What the file gets is no longer free, if the file system can promise it at all.
    let promised = match fallocate(&file, FallocateFlags::empty(), 0, bytes) {
        Ok(()) => true,
        Err(Errno::NOTSUP | Errno::NOSYS) => false,
        Err(Errno::NOSPC | Errno::DQUOT | Errno::FBIG) => return Err(no_room(before)),
        Err(error) => return Err(io::Error::from(error).into()),
    };
    let needed = if promised { besides } else { all };
    if free(&file)? < needed {
        return Err(no_room(before));
    }
    Ok(file)
}

/// Whether `bytes` are free in `dir`.
///
/// # Errors
/// [`ConsultError::NoRoom`].
pub(super) fn check_room(dir: &Path, bytes: u64) -> Result<(), ConsultError> {
    let free = free(&File::open(dir)?)?;
    if free < bytes {
        return Err(no_room(bytes, free));
    }
    Ok(())
}

fn no_room(needed: u64, free: u64) -> ConsultError {
    ConsultError::NoRoom {
        needed_mib: needed.div_ceil(MIB),
        free_mib: free / MIB,
    }
}

/// Bytes that this user may still write.
fn free(file: &File) -> io::Result<u64> {
    let disk = fstatvfs(file)?;
    Ok(disk.f_bavail.saturating_mul(disk.f_frsize))
}

#[cfg(test)]
mod tests;
