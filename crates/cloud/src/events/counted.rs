//! What is counted of events, as they are recorded.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use harpo_protocol::time::Timestamp;
use harpo_service::metrics::{Counter, Metrics};

use super::Event;
use crate::figures;

/// How far back retrievals are remembered.
const HOUR: Duration = Duration::from_secs(3600);
const MINUTE: Duration = Duration::from_secs(60);

/// Counters of events, and the retrievals of the last hour by the second.
#[derive(Debug)]
pub(super) struct Counted {
    kinds: [(Counter, Kind); 7],
    received: Counter,
    sent: Counter,
    /// Second and count, ascending: at most one for each second of an hour.
    recent: Mutex<VecDeque<(Timestamp, u64)>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Write,
    Seal,
    Retire,
    Hint,
    Retrieval,
    Resumption,
    Stream,
}

impl Kind {
    const ALL: [(Self, &'static str); 7] = [
        (Self::Write, "write"),
        (Self::Seal, "seal"),
        (Self::Retire, "retire"),
        (Self::Hint, "hint"),
        (Self::Retrieval, "retrieval"),
        (Self::Resumption, "resumption"),
        (Self::Stream, "stream"),
    ];
}

impl Counted {
    pub(super) fn new(metrics: &Metrics) -> Self {
        let counter = |(kind, name)| (metrics.counter_of(figures::EVENTS, name), kind);
        Self {
            kinds: Kind::ALL.map(counter),
            received: metrics.counter(figures::RECEIVED),
            sent: metrics.counter(figures::SENT),
            recent: Mutex::default(),
        }
    }

    pub(super) fn count(&self, event: &Event) {
        let (kind, received, sent, retrieved) = match event {
            Event::Write { bytes, .. } => (Kind::Write, *bytes, 0, None),
            Event::Seal { .. } => (Kind::Seal, 0, 0, None),
            Event::Retire { .. } => (Kind::Retire, 0, 0, None),
            Event::Hint { bytes, .. } => (Kind::Hint, 0, *bytes, None),
            Event::Retrieval {
                time,
                bytes_up,
                bytes_down,
                ..
            } => (Kind::Retrieval, *bytes_up, *bytes_down, Some(*time)),
            Event::Resumption {
                time,
                bytes_up,
                bytes_down,
                ..
            } => (Kind::Resumption, *bytes_up, *bytes_down, Some(*time)),
            Event::Stream {
                time,
                bytes_up,
                bytes_down,
                ..
            } => (Kind::Stream, *bytes_up, *bytes_down, Some(*time)),
        };
        if let Some((counter, _)) = self.kinds.iter().find(|(_, of)| *of == kind) {
            counter.increment(1);
        }
        self.received.increment(received);
        self.sent.increment(sent);
        if let Some(time) = retrieved {
            self.remember(time);
        }
    }

    /// Retrievals of the minute and of the hour before `now`.
    pub(super) fn recent(&self, now: Timestamp) -> (u64, u64) {
        let recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        let within = |length: Duration| {
            let seconds = recent
                .iter()
                .filter(|(second, _)| now.since(*second) < length);
            seconds.map(|(_, count)| count).sum()
        };
        (within(MINUTE), within(HOUR))
    }

    fn remember(&self, time: Timestamp) {
        let second = Timestamp(time.0 - time.0 % 1000);
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        while recent
            .front()
            .is_some_and(|(old, _)| second.since(*old) >= HOUR)
        {
            recent.pop_front();
        }
        match recent.back_mut() {
            // Also one that came a little late, or after the clock was set back.
            Some((last, count)) if *last >= second => *count += 1,
            _ => recent.push_back((second, 1)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retrievals_of_the_last_minute_and_hour_are_known_by_the_second() {
        let counted = Counted::new(&Metrics::new(figures::METRICS));
        let at = |seconds: u64| Timestamp::from_secs(1_800_000_000 + seconds);
        for seconds in [0, 0, 3550, 3599, 3600, 3599] {
            counted.remember(at(seconds));
        }
        // Those of the first second were forgotten when an hour had passed.
        assert_eq!(counted.recent(at(3599)), (4, 4));
        assert_eq!(counted.recent(at(3600)), (4, 4));
        assert_eq!(counted.recent(at(3620)), (3, 4));
        assert_eq!(counted.recent(at(99_999)), (0, 0));
        assert_eq!(counted.recent.lock().unwrap().len(), 3);
    }
}
