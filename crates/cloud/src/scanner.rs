//! The one thread that works through the stack. Retrievals that wait at the same time share a pass: a pass costs
//! one reading of the whole stack, however many queries it carries.

use std::collections::VecDeque;
use std::panic::AssertUnwindSafe;

use harpo_oblivious::{Encoded, Query};
use tokio::sync::{mpsc, oneshot};

use crate::Error;
use crate::residents::Loaded;

#[cfg(test)]
mod tests;

/// Most queries in one pass: bounds the memory of a pass to as many unfinished answers.
pub(crate) const PASS_QUERIES: usize = 16;

type Answers = Result<Vec<Vec<u8>>, Error>;

/// A handle of the thread; it ends when the last one is dropped.
#[derive(Clone, Debug)]
pub(crate) struct Scanner(mpsc::UnboundedSender<Job>);

#[derive(Debug)]
struct Job {
    loaded: Loaded,
    queries: Vec<Query>,
    reply: oneshot::Sender<Answers>,
}

impl Scanner {
    /// Starts the thread.
    pub(crate) fn start() -> Result<Self, Error> {
        let (sender, receiver) = mpsc::unbounded_channel();
        std::thread::Builder::new()
            .name("scanner".into())
            .spawn(move || run(receiver))
            .map_err(Error::Thread)?;
        Ok(Self(sender))
    }

    /// Answers at most [`PASS_QUERIES`] queries over one stack, in order, each as bytes for the wire. If the caller
    /// goes away before its turn, nothing is computed.
    pub(crate) async fn answer(&self, loaded: Loaded, queries: Vec<Query>) -> Answers {
        let (reply, answers) = oneshot::channel();
        self.0
            .send(Job {
                loaded,
                queries,
                reply,
            })
            .map_err(|_| Error::TaskLost)?;
        answers.await.map_err(|_| Error::TaskLost)?
    }
}

fn run(mut jobs: mpsc::UnboundedReceiver<Job>) {
    let mut waiting = VecDeque::new();
    loop {
        if waiting.is_empty() {
            match jobs.blocking_recv() {
                Some(job) => waiting.push_back(job),
                None => return,
            }
        }
        while let Ok(job) = jobs.try_recv() {
            waiting.push_back(job);
        }
        answer(next_pass(&mut waiting));
    }
}

/// Takes the job that has waited longest, and of the others those over the same stack that fit into the pass. Jobs whose
/// callers went away are dropped.
fn next_pass(waiting: &mut VecDeque<Job>) -> Vec<Job> {
    waiting.retain(|job| !job.reply.is_closed());
    let Some(first) = waiting.pop_front() else {
        return Vec::new();
    };
    let stack = first.loaded.stack.digest();
    let mut room = PASS_QUERIES.saturating_sub(first.queries.len());
    let mut pass = vec![first];
    for job in std::mem::take(waiting) {
        if job.loaded.stack.digest() == stack && job.queries.len() <= room {
            room -= job.queries.len();
            pass.push(job);
        } else {
            waiting.push_back(job);
        }
    }
    pass
}

fn answer(pass: Vec<Job>) {
    let Some(Job { loaded, .. }) = pass.first() else {
        return;
    };
    let loaded = loaded.clone();
    let mut queries = Vec::new();
    let mut replies = Vec::new();
    for job in pass {
        replies.push((job.queries.len(), job.reply));
        queries.extend(job.queries);
    }
    // A fault in one pass must not end all later ones.
    let answers = std::panic::catch_unwind(AssertUnwindSafe(|| {
        let encoded: Vec<&Encoded> = loaded
            .residents
            .iter()
            .map(|resident| &resident.0)
            .collect();
        harpo_oblivious::answer(&loaded.stack, &encoded, &queries)
    }));
    let mut answers = match answers {
        Ok(Ok(answers)) => answers.into_iter(),
        Ok(Err(error)) => {
            for (_, reply) in replies {
                let _ = reply.send(Err(Error::Engine(error.clone())));
            }
            return;
        }
        // The panic hook has reported it; dropping the replies tells those who wait.
        Err(_) => return,
    };
    for (count, reply) in replies {
        let bytes = answers
            .by_ref()
            .take(count)
            .map(|answer| answer.to_bytes())
            .collect();
        // A receiver that went away wants nothing.
        let _ = reply.send(Ok(bytes));
    }
}
