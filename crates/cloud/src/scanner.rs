//! The one thread that works through the stack. Queries that wait at the same time share a pass, whoever's they are: a
//! pass costs one reading of the whole stack, however many queries it carries. Who goes first is [`queue`]'s to say.

use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use harpo_oblivious::Query;
use harpo_service::metrics::{Counter, Histogram};
use tokio::sync::mpsc;
use tokio::time::Instant;

pub(crate) use self::pace::Pace;
use self::pass::Pass;
pub(crate) use self::queue::{AHEAD, PASS_QUERIES};
use self::queue::{Id, Next, Queue};
use crate::Error;
use crate::residents::Loaded;

mod pace;
mod pass;
mod queue;

#[cfg(test)]
mod tests;

/// A handle of the thread; it ends when the last one is dropped.
#[derive(Clone, Debug)]
pub(crate) struct Scanner(Arc<Handle>);

#[derive(Debug)]
struct Handle(Arc<Shared>);

impl Drop for Handle {
    fn drop(&mut self) {
        self.0.lock().stopped = true;
        self.0.wake.notify_all();
    }
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    /// Something changed that the thread may wait for.
    wake: Condvar,
    pace: Pace,
    tally: Tally,
}

/// What is counted of passes.
#[derive(Clone, Debug)]
pub(crate) struct Tally {
    /// How long each took, in seconds.
    pub(crate) passes: Histogram,
    /// Queries that were in them.
    pub(crate) queries: Counter,
}

impl Tally {
    /// Nothing is counted.
    #[cfg(test)]
    pub(crate) fn none() -> Self {
        Self {
            passes: Histogram::noop(),
            queries: Counter::noop(),
        }
    }
}

#[derive(Debug)]
struct State {
    queue: Queue<Item>,
    last: Id,
    stopped: bool,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A query that waits.
#[derive(Debug)]
struct Item {
    query: Query,
    asked: Arc<Asked>,
}

/// What the queries of a retrieval have in common.
#[derive(Debug)]
struct Asked {
    loaded: Loaded,
    /// Holds at most [`queue::AHEAD`] answers, since the queue lets no more be computed.
    answers: mpsc::UnboundedSender<Result<Vec<u8>, Error>>,
}

impl Asked {
    fn is_gone(&self) -> bool {
        self.answers.is_closed()
    }

    fn answer(&self, answer: Result<Vec<u8>, Error>) {
        // A receiver that went away wants nothing.
        let _ = self.answers.send(answer);
    }
}

/// A retrieval that is being answered. Dropping it takes what was not computed out of the queue at once.
#[derive(Debug)]
pub(crate) struct Turn {
    scanner: Scanner,
    id: Id,
    answers: mpsc::UnboundedReceiver<Result<Vec<u8>, Error>>,
}

impl Scanner {
    /// Starts the thread. `gather` is how long it waits for others when a query comes and nothing is under way.
    pub(crate) fn start(gather: Duration, tally: Tally) -> Result<Self, Error> {
        let shared = Arc::new(Shared {
            state: Mutex::new(State {
                queue: Queue::new(gather),
                last: 0,
                stopped: false,
            }),
            wake: Condvar::new(),
            pace: Pace::default(),
            tally,
        });
        let working = Arc::clone(&shared);
        std::thread::Builder::new()
            .name("scanner".into())
            .spawn(move || run(&working))
            .map_err(Error::Thread)?;
        Ok(Self(Arc::new(Handle(shared))))
    }

    /// How fast passes are.
    pub(crate) fn pace(&self) -> &Pace {
        &self.0.0.pace
    }

    /// Queries that wait for a pass.
    pub(crate) fn waiting(&self) -> usize {
        self.0.0.lock().queue.len()
    }

    /// Queues the queries of one retrieval over one stack.
    pub(crate) fn ask(&self, loaded: Loaded, queries: Vec<Query>) -> Turn {
        let (sender, answers) = mpsc::unbounded_channel();
        let stack = loaded.stack.digest();
        let asked = Arc::new(Asked {
            loaded,
            answers: sender,
        });
        let items = queries.into_iter().map(|query| Item {
            query,
            asked: Arc::clone(&asked),
        });
        let shared = &self.0.0;
        let mut state = shared.lock();
        state.last += 1;
        let id = state.last;
        state.queue.join(id, stack, items);
        drop(state);
        shared.wake.notify_all();
        Turn {
            scanner: self.clone(),
            id,
            answers,
        }
    }
}

impl Turn {
    /// The next answer, in the order of the queries, as bytes for the wire.
    ///
    /// # Errors
    /// [`Error::Engine`], and [`Error::TaskLost`] if the pass broke down or there is no further answer.
    pub(crate) async fn next(&mut self) -> Result<Vec<u8>, Error> {
        self.answers.recv().await.ok_or(Error::TaskLost)?
    }

    /// Says that an answer no longer waits here: another may be computed for it.
    pub(crate) fn taken(&self) {
        let shared = &self.scanner.0.0;
        if shared.lock().queue.taken(self.id) {
            shared.wake.notify_all();
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        // What is in a pass already finds that nobody listens.
        self.answers.close();
        let left = self.scanner.0.0.lock().queue.leave(self.id);
        drop(left);
    }
}

fn run(shared: &Shared) {
    while let Some((items, waiting)) = next(shared) {
        let begun = Instant::now();
        let queries = items.len();
        let asked: Vec<Arc<Asked>> = items.iter().map(|item| Arc::clone(&item.asked)).collect();
        // A fault in one pass must not end all later ones. The panic hook reports it.
        let done = std::panic::catch_unwind(AssertUnwindSafe(|| answer(items)));
        let took = begun.elapsed();
        shared.tally.passes.record(took);
        shared.tally.queries.increment(queries as u64);
        match done {
            Ok(Some(bytes)) => shared.pace.observe(bytes, queries, took),
            Ok(None) => {}
            // Or later answers would be taken for those that are missing.
            Err(_) => asked
                .iter()
                .for_each(|asked| asked.answer(Err(Error::TaskLost))),
        }
        drop(asked);
        let millis = took.as_millis() as u64;
        tracing::debug!(queries, waiting, millis, "pass over a stack");
    }
}

/// Waits for the next pass. Its queries, and how many wait behind it.
fn next(shared: &Shared) -> Option<(Vec<Item>, usize)> {
    let mut state = shared.lock();
    while !state.stopped {
        let now = Instant::now();
        state = match state.queue.next(now) {
            Next::Pass(items) => return Some((items, state.queue.len())),
            Next::At(then) => {
                let waited = shared.wake.wait_timeout(state, then - now);
                waited.unwrap_or_else(PoisonError::into_inner).0
            }
            Next::Idle => {
                let waited = shared.wake.wait(state);
                waited.unwrap_or_else(PoisonError::into_inner)
            }
        };
    }
    None
}

/// Runs a pass. Returns the size of its stack if nobody left on the way, which would make it look faster than it is.
fn answer(items: Vec<Item>) -> Option<u64> {
    let begun = items.len();
    let bytes = items.first()?.asked.loaded.stack.encoded_bytes();
    let mut pass = Pass::new(items)?;
    while pass.step() {}
    let whole = pass.len() == begun;
    pass.finish();
    whole.then_some(bytes)
}
