//! When slots leave (docs/protocol.md 5.5): put together ahead of time by a task of their own, and sent at the ticks
//! of a fixed interval, so that the moment does not tell how long it took to put a slot together: a slot
//! full of fragments takes many reads, a cover slot none.

use std::time::Duration;

use futures_util::{Stream, StreamExt as _};
use tokio::sync::mpsc::{self, error::TryRecvError};
use tokio::time::{Instant, sleep_until};
use tokio_util::task::AbortOnDropHandle;

#[cfg(test)]
mod tests;

/// Slots that wait to leave. With one that waits for a place here, and those on their way, this is what
/// the mixer holds in memory.
const QUEUE: usize = 4;

/// A queue that a task of its own keeps full. The task ends with the queue.
pub(super) struct Ahead<T> {
    ready: mpsc::Receiver<T>,
    /// It was empty when something should have left: nothing leaves until it is full again. Otherwise each
    /// tick that passes would tell about one slot; so they tell about the sum of several.
    filling: bool,
    _task: AbortOnDropHandle<()>,
}

impl<T: Send + 'static> Ahead<T> {
    /// Begins at once.
    pub(super) fn of(items: impl Stream<Item = T> + Send + 'static) -> Self {
        let (sender, ready) = mpsc::channel(QUEUE);
        let task = tokio::spawn(async move {
            let mut items = std::pin::pin!(items);
            while let Some(item) = items.next().await {
                if sender.send(item).await.is_err() {
                    return;
                }
            }
        });
        Self {
            ready,
            filling: true,
            _task: AbortOnDropHandle::new(task),
        }
    }

    /// How many wait.
    #[cfg(test)]
    pub(super) fn waiting(&self) -> usize {
        self.ready.len()
    }

    fn take(&mut self) -> Result<T, TryRecvError> {
        if self.filling && self.ready.len() < QUEUE && !self.ready.is_closed() {
            return Err(TryRecvError::Empty);
        }
        let taken = self.ready.try_recv();
        self.filling = matches!(taken, Err(TryRecvError::Empty));
        taken
    }
}

/// The ticks. They are counted on the monotonic clock: a step of the wall clock neither halts nor hurries
/// them.
pub(super) struct Pace {
    start: Instant,
    interval: Duration,
}

impl Pace {
    /// An interval of zero: as fast as possible.
    pub(super) fn new(interval: Duration) -> Self {
        Self {
            start: Instant::now(),
            interval,
        }
    }

    /// The next item, at the first tick from now at which it is ready; none if all have left. Nothing is lost
    /// if the future is dropped.
    pub(super) async fn next<T: Send + 'static>(&self, ahead: &mut Ahead<T>) -> Option<T> {
        if self.interval.is_zero() {
            return ahead.ready.recv().await;
        }
        loop {
            sleep_until(self.tick()).await;
            match ahead.take() {
                Ok(item) => return Some(item),
                Err(TryRecvError::Empty) => {}
                Err(TryRecvError::Disconnected) => return None,
            }
        }
    }

    /// The first tick after now: never one that has passed, however late the caller is.
    fn tick(&self) -> Instant {
        let interval = self.interval.as_nanos();
        let into = self.start.elapsed().as_nanos() % interval;
        let left = u64::try_from(interval - into).unwrap_or(u64::MAX);
        Instant::now() + Duration::from_nanos(left)
    }
}
