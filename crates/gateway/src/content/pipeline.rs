//! Work on many objects at once, in bounded memory, whose results are taken in order.

use std::collections::BTreeMap;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// How much may be under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Threads that work.
    pub threads: usize,
    /// Memory of all objects under way, in bytes. An object that needs more is worked on alone.
    pub memory_bytes: u64,
}

/// What workers and taker share.
struct State<R> {
    next: usize,
    spent: u64,
    done: BTreeMap<usize, R>,
    stopped: bool,
}

struct Shared<R> {
    state: Mutex<State<R>>,
    changed: Condvar,
}

impl<R> Shared<R> {
    fn lock(&self) -> MutexGuard<'_, State<R>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&self, state: MutexGuard<'a, State<R>>) -> MutexGuard<'a, State<R>> {
        let state = self.changed.wait(state);
        state.unwrap_or_else(PoisonError::into_inner)
    }

    /// The next object, when there is memory for it; none when there are no more.
    fn claim(&self, costs: &[u64], bounds: &Bounds) -> Option<usize> {
        let mut state = self.lock();
        let index = state.next;
        let cost = *costs.get(index)?;
        // The first object that is not taken yet has its share already, so that it always gets done.
        while !state.stopped
            && state.spent > 0
            && state.spent.saturating_add(cost) > bounds.memory_bytes
        {
            state = self.wait(state);
        }
        if state.stopped {
            return None;
        }
        state.next += 1;
        state.spent = state.spent.saturating_add(cost);
        Some(index)
    }

    fn stop(&self) {
        self.lock().stopped = true;
        self.changed.notify_all();
    }
}

/// Stops everybody when it is dropped early, by an error or a panic.
struct Guard<'a, R> {
    shared: &'a Shared<R>,
    done: bool,
}

impl<R> Drop for Guard<'_, R> {
    fn drop(&mut self) {
        if !self.done {
            self.shared.stop();
        }
    }
}

/// Works on one object for each of `costs` (bytes of memory): `prepare` is called in order, one call
/// at a time; `work` on several threads; `take` in order again, on the calling thread.
///
/// # Errors
/// The first in the order of the objects; what follows it is not taken, and soon not worked on.
pub fn in_order<J, R, E>(
    bounds: &Bounds,
    costs: &[u64],
    prepare: impl FnMut(usize) -> Result<J, E> + Send,
    work: impl Fn(usize, J) -> Result<R, E> + Sync,
    mut take: impl FnMut(usize, R) -> Result<(), E>,
) -> Result<(), E>
where
    R: Send,
    E: Send,
{
    let shared = Shared {
        state: Mutex::new(State {
            next: 0,
            spent: 0,
            done: BTreeMap::new(),
            stopped: false,
        }),
        changed: Condvar::new(),
    };
    let prepare = Mutex::new(prepare);
    let worker = || {
        let mut guard = Guard {
            shared: &shared,
            done: false,
        };
        loop {
            // Held from claiming to preparing, so that preparing keeps the order.
            let mut prepare = prepare.lock().unwrap_or_else(PoisonError::into_inner);
            let Some(index) = shared.claim(costs, bounds) else {
                break;
            };
            let prepared = prepare(index);
            drop(prepare);
            let result = prepared.and_then(|job| work(index, job));
            shared.lock().done.insert(index, result);
            shared.changed.notify_all();
        }
        guard.done = true;
    };
    std::thread::scope(|scope| {
        let mut guard = Guard {
            shared: &shared,
            done: false,
        };
        for _ in 0..bounds.threads.clamp(1, costs.len().max(1)) {
            scope.spawn(worker);
        }
        for (index, cost) in costs.iter().enumerate() {
            let mut state = shared.lock();
            let result = loop {
                if let Some(result) = state.done.remove(&index) {
                    break result;
                }
                if state.stopped {
                    // A worker panicked; the scope passes it on.
                    return Ok(());
                }
                state = shared.wait(state);
            };
            drop(state);
            take(index, result?)?;
            let mut state = shared.lock();
            state.spent = state.spent.saturating_sub(*cost);
            drop(state);
            shared.changed.notify_all();
        }
        guard.done = true;
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    const BOUNDS: Bounds = Bounds {
        threads: 4,
        memory_bytes: 100,
    };

    #[test]
    fn results_come_in_order_and_memory_is_bounded() {
        let costs: Vec<u64> = (0..200).map(|i| [10, 60, 300, 1][i % 4]).collect();
        let (under_way, most) = (AtomicU64::new(0), AtomicU64::new(0));
        let mut prepared = 0;
        let mut taken = Vec::new();
        in_order(
            &BOUNDS,
            &costs,
            |index| {
                assert_eq!(index, prepared);
                prepared += 1;
                let now = under_way.fetch_add(costs[index], Ordering::SeqCst) + costs[index];
                most.fetch_max(if now > 300 { u64::MAX } else { now }, Ordering::SeqCst);
                Ok::<_, ()>(index)
            },
            |index, job| {
                assert_eq!(index, job);
                std::thread::yield_now();
                Ok(job * 2)
            },
            |index, result| {
                assert_eq!(result, 2 * index);
                under_way.fetch_sub(costs[index], Ordering::SeqCst);
                taken.push(index);
                Ok(())
            },
        )
        .unwrap();
        assert_eq!(taken, (0..200).collect::<Vec<_>>());
        // The large ones alone, and nothing else above the bound.
        assert_eq!(most.load(Ordering::SeqCst), 300);
    }

    #[test]
    fn the_first_error_in_order_ends_it() {
        let mut taken = 0;
        let result = in_order(
            &BOUNDS,
            &[1; 50],
            Ok,
            |_, job| if job >= 20 { Err(job) } else { Ok(()) },
            |_, ()| {
                taken += 1;
                Ok(())
            },
        );
        assert_eq!((result, taken), (Err(20), 20));
        let refused = in_order(
            &BOUNDS,
            &[1; 50],
            Ok,
            |_, job| Ok(job),
            |_, job| {
                if job == 3 { Err(job) } else { Ok(()) }
            },
        );
        assert_eq!(refused, Err(3));
        let unprepared = in_order(
            &BOUNDS,
            &[1; 5],
            |index| if index == 1 { Err(index) } else { Ok(()) },
            |_, ()| Ok(()),
            |_, ()| Ok(()),
        );
        assert_eq!(unprepared, Err(1));
        assert_eq!(
            in_order(
                &BOUNDS,
                &[],
                |_| Ok::<_, ()>(()),
                |_, ()| Ok(()),
                |_, ()| Ok(())
            ),
            Ok(())
        );
    }

    #[test]
    fn a_panic_is_passed_on() {
        let run = || {
            let _ = in_order(
                &BOUNDS,
                &[1; 50],
                Ok::<_, ()>,
                |_, job| {
                    if job == 7 {
                        panic!("a worker's")
                    } else {
                        Ok(())
                    }
                },
                |_, ()| Ok(()),
            );
        };
        assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(run)).is_err());
    }
}
