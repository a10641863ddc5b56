//! Places for streams, and when one is free: a stream takes as long as the line of who receives it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::Error;

/// What is told before any stream under way was measured, and least and most that is told.
const UNKNOWN: Duration = Duration::from_secs(30);
const AT_LEAST: Duration = Duration::from_secs(2);
const AT_MOST: Duration = Duration::from_secs(600);
/// The first bytes fill buffers on the way, and tell nothing about the line.
const MEASURED_AFTER: Duration = Duration::from_secs(2);

#[derive(Debug)]
pub(super) struct Streams {
    most: usize,
    under_way: Mutex<Vec<Arc<Progress>>>,
}

/// How far a stream is.
#[derive(Debug)]
struct Progress {
    began: Instant,
    bytes: u64,
    sent: AtomicU64,
}

impl Streams {
    pub(super) fn new(most: u32) -> Self {
        Self {
            most: most as usize,
            under_way: Mutex::default(),
        }
    }

    /// A place for a stream of `bytes` that begins `now`.
    ///
    /// # Errors
    /// [`Error::StreamsFull`], with how long it takes until the first of those under way is over.
    pub(super) fn take(self: &Arc<Self>, bytes: u64, now: Instant) -> Result<StreamPlace, Error> {
        let mut under_way = self.lock();
        if under_way.len() >= self.most {
            let left = under_way
                .iter()
                .filter_map(|stream| stream.left(now.saturating_duration_since(stream.began)))
                .min();
            let wait = left.unwrap_or(UNKNOWN).clamp(AT_LEAST, AT_MOST);
            return Err(Error::StreamsFull(wait));
        }
        let progress = Arc::new(Progress {
            began: now,
            bytes,
            sent: AtomicU64::new(0),
        });
        under_way.push(Arc::clone(&progress));
        Ok(StreamPlace {
            of: Arc::clone(self),
            progress,
        })
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Arc<Progress>>> {
        self.under_way
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Progress {
    /// How long the rest takes at the rate so far, after it took `elapsed`. `None` before that can be told.
    fn left(&self, elapsed: Duration) -> Option<Duration> {
        let sent = self.sent.load(Ordering::Relaxed);
        if sent == 0 || elapsed < MEASURED_AFTER {
            return None;
        }
        let left = self.bytes.saturating_sub(sent) as f64 / sent as f64;
        Duration::try_from_secs_f64(elapsed.as_secs_f64() * left).ok()
    }
}

/// A stream's place, until dropped.
#[derive(Debug)]
pub(crate) struct StreamPlace {
    of: Arc<Streams>,
    progress: Arc<Progress>,
}

impl StreamPlace {
    /// So many bytes of it were handed over.
    pub(crate) fn sent(&self, bytes: u64) {
        self.progress.sent.store(bytes, Ordering::Relaxed);
    }
}

impl Drop for StreamPlace {
    fn drop(&mut self) {
        self.of
            .lock()
            .retain(|stream| !Arc::ptr_eq(stream, &self.progress));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_finds_no_place_hears_when_the_first_is_free() {
        let begun = Instant::now();
        let streams = Arc::new(Streams::new(2));
        let slow = streams.take(1 << 30, begun).unwrap();
        let quick = streams.take(100 << 20, begun).unwrap();
        let wait = |after| match streams.take(1, begun + Duration::from_secs(after)) {
            Err(Error::StreamsFull(wait)) => wait,
            other => panic!("{other:?}"),
        };
        assert_eq!(wait(60), UNKNOWN, "nothing was sent");
        slow.sent(1 << 20);
        assert_eq!(wait(1), UNKNOWN, "nothing is known of the line");
        assert_eq!(wait(60), AT_MOST, "seventeen hours");
        quick.sent(50 << 20);
        assert_eq!(wait(60), Duration::from_secs(60));
        quick.sent(100 << 20);
        assert_eq!(wait(60), AT_LEAST);
    }

    #[test]
    fn a_place_is_free_when_its_stream_is_over() {
        let now = Instant::now();
        let streams = Arc::new(Streams::new(1));
        let first = streams.take(1, now).unwrap();
        assert!(streams.take(1, now).is_err());
        drop(first);
        let _second = streams.take(1, now).unwrap();
        assert!(streams.take(1, now).is_err());
    }
}
