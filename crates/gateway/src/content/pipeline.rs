//! Work on many objects at once, in memory that is bounded for the whole process, whose results are taken
//! in order.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// How much may be under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Threads that work.
    pub threads: usize,
    /// Memory of all objects under way in the process, in bytes. An object that needs more is worked on
    /// alone.
    pub memory_bytes: u64,
    /// Largest object of somebody else that is worked on at all, in bytes.
    pub object_bytes: u64,
}

/// Memory that is shared out, first come, first served: large objects wait, but not for ever.
#[derive(Debug)]
pub struct Memory {
    state: Mutex<Spent>,
    changed: Condvar,
}

#[derive(Debug)]
struct Spent {
    bytes: u64,
    next: u64,
    waiting: VecDeque<u64>,
}

/// A part of a [`Memory`], given back when it is dropped.
#[derive(Debug)]
pub struct Share<'a> {
    memory: &'a Memory,
    bytes: u64,
}

/// What all bundles of this process that are sealed and opened share.
static MEMORY: Memory = Memory::new();

impl Memory {
    /// Nothing of it is spent.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            state: Mutex::new(Spent {
                bytes: 0,
                next: 0,
                waiting: VecDeque::new(),
            }),
            changed: Condvar::new(),
        }
    }

    /// Waits until `bytes` fit into `limit`, or nothing else is spent. Blocks.
    pub fn share(&self, bytes: u64, limit: u64) -> Share<'_> {
        self.unless(&AtomicBool::new(false), bytes, limit)
            .unwrap_or(Share {
                memory: self,
                bytes: 0,
            })
    }

    /// As [`Memory::share`]; none once `stopped`, of which [`Memory::wake`] tells.
    fn unless(&self, stopped: &AtomicBool, bytes: u64, limit: u64) -> Option<Share<'_>> {
        let mut state = self.lock();
        let turn = state.next;
        state.next += 1;
        state.waiting.push_back(turn);
        let fits = |state: &Spent| {
            state.waiting.front() == Some(&turn)
                && (state.bytes == 0 || state.bytes.saturating_add(bytes) <= limit)
        };
        while !stopped.load(Ordering::SeqCst) && !fits(&state) {
            let woken = self.changed.wait(state);
            state = woken.unwrap_or_else(PoisonError::into_inner);
        }
        state.waiting.retain(|waiting| *waiting != turn);
        let share = !stopped.load(Ordering::SeqCst);
        if share {
            state.bytes = state.bytes.saturating_add(bytes);
        }
        drop(state);
        self.changed.notify_all();
        share.then_some(Share {
            memory: self,
            bytes,
        })
    }

    /// Those that wait look whether they are stopped.
    fn wake(&self) {
        drop(self.lock());
        self.changed.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, Spent> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Memory {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Share<'_> {
    fn drop(&mut self) {
        let mut state = self.memory.lock();
        state.bytes = state.bytes.saturating_sub(self.bytes);
        drop(state);
        self.memory.changed.notify_all();
    }
}

/// What workers and taker share.
struct State<R> {
    done: BTreeMap<usize, R>,
    stopped: bool,
}

struct Shared<'m, R> {
    state: Mutex<State<R>>,
    changed: Condvar,
    memory: &'m Memory,
    stopped: AtomicBool,
}

impl<'m, R> Shared<'m, R> {
    fn new(memory: &'m Memory) -> Self {
        Self {
            state: Mutex::new(State {
                done: BTreeMap::new(),
                stopped: false,
            }),
            changed: Condvar::new(),
            memory,
            stopped: AtomicBool::new(false),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State<R>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&self, state: MutexGuard<'a, State<R>>) -> MutexGuard<'a, State<R>> {
        let state = self.changed.wait(state);
        state.unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for the result of an object; none if everybody was stopped before there was one.
    fn done(&self, index: usize) -> Option<R> {
        let mut state = self.lock();
        loop {
            if let Some(result) = state.done.remove(&index) {
                return Some(result);
            }
            if state.stopped {
                return None;
            }
            state = self.wait(state);
        }
    }

    fn stop(&self) {
        self.lock().stopped = true;
        self.changed.notify_all();
        self.stopped.store(true, Ordering::SeqCst);
        self.memory.wake();
    }
}

/// Stops everybody when it is dropped early, by an error or a panic.
struct Guard<'a, 'm, R> {
    shared: &'a Shared<'m, R>,
    done: bool,
}

impl<R> Drop for Guard<'_, '_, R> {
    fn drop(&mut self) {
        if !self.done {
            self.shared.stop();
        }
    }
}

/// Works on one object for each of `costs` (bytes of memory): `prepare` is called in order, one call
/// at a time; `work` on several threads; `take` in order again, on the calling thread. All calls of the
/// process share one memory.
///
/// # Errors
/// The first in the order of the objects; what follows it is not taken, and soon not worked on.
pub fn in_order<J, R, E>(
    bounds: &Bounds,
    costs: &[u64],
    prepare: impl FnMut(usize) -> Result<J, E> + Send,
    work: impl Fn(usize, J) -> Result<R, E> + Sync,
    take: impl FnMut(usize, R) -> Result<(), E>,
) -> Result<(), E>
where
    R: Send,
    E: Send,
{
    in_order_within(&MEMORY, bounds, costs, prepare, work, take)
}

fn in_order_within<J, R, E>(
    memory: &Memory,
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
    let shared = Shared::new(memory);
    let prepare = Mutex::new((prepare, 0));
    let worker = || {
        let mut guard = Guard {
            shared: &shared,
            done: false,
        };
        loop {
            // Held from claiming to preparing, so that preparing keeps the order. What is claimed begins
            // with the first object that is not taken yet, and needs no more to get done: no two calls
            // wait for each other.
            let mut claiming = prepare.lock().unwrap_or_else(PoisonError::into_inner);
            let index = claiming.1;
            let Some(cost) = costs.get(index) else {
                break;
            };
            let share = memory.unless(&shared.stopped, *cost, bounds.memory_bytes);
            let Some(share) = share else {
                break;
            };
            claiming.1 += 1;
            let prepared = claiming.0(index);
            drop(claiming);
            let result = prepared.and_then(|job| work(index, job));
            shared.lock().done.insert(index, (result, share));
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
        for index in 0..costs.len() {
            let Some((result, share)) = shared.done(index) else {
                // A worker panicked; the scope passes it on.
                return Ok(());
            };
            take(index, result?)?;
            drop(share);
        }
        guard.done = true;
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU64;

    use super::*;

    const BOUNDS: Bounds = Bounds {
        threads: 4,
        memory_bytes: 100,
        object_bytes: 1000,
    };

    #[test]
    fn results_come_in_order_and_memory_is_bounded() {
        let costs: Vec<u64> = (0..200).map(|i| [10, 60, 300, 1][i % 4]).collect();
        let (under_way, most) = (AtomicU64::new(0), AtomicU64::new(0));
        let mut prepared = 0;
        let mut taken = Vec::new();
        in_order_within(
            &Memory::new(),
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

    #[test]
    fn all_calls_share_one_memory_and_large_objects_get_their_turn() {
        let memory = Memory::new();
        let (under_way, most) = (AtomicU64::new(0), AtomicU64::new(0));
        let run = |costs: &[u64]| {
            in_order_within(
                &memory,
                &BOUNDS,
                costs,
                |index| {
                    let now = under_way.fetch_add(costs[index], Ordering::SeqCst) + costs[index];
                    most.fetch_max(now, Ordering::SeqCst);
                    Ok::<_, ()>(())
                },
                |_, ()| {
                    std::thread::yield_now();
                    Ok(())
                },
                |index, ()| {
                    under_way.fetch_sub(costs[index], Ordering::SeqCst);
                    Ok(())
                },
            )
        };
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| run(&[40; 200]));
            }
            scope.spawn(|| run(&[100; 20]));
        });
        let most = most.load(Ordering::SeqCst);
        assert!((80..=100).contains(&most), "{most}");
        assert_eq!(memory.lock().bytes, 0);
        // What fails gives everything back, also while others wait.
        let failing = |limit| {
            in_order_within(
                &memory,
                &BOUNDS,
                &[60; 50],
                |_| Ok(()),
                |index, ()| if index == limit { Err(limit) } else { Ok(()) },
                |_, ()| Ok(()),
            )
        };
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| assert_eq!(failing(7), Err(7)));
            }
        });
        assert_eq!(memory.lock().bytes, 0);
    }
}
