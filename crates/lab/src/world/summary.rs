//! What a run cost, and how long readers waited.

use serde::Serialize;

/// Counts of a run. Times are in seconds.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Summary {
    /// Readings of a bundle that was in the gateway's archive by then.
    pub read_locally: u64,
    /// … that came from trust's cache: the cloud saw nothing.
    pub read_from_cache: u64,
    /// … that somebody waited for, from the cloud.
    pub read_from_cloud: u64,
    /// … though it was asked for ahead.
    pub ahead_late: u64,
    /// Bundles that were fetched before anybody waited.
    pub ahead: u64,
    /// How long those waited who did: median.
    pub wait_median: f64,
    /// 95 % waited no longer.
    pub wait_95: f64,
    /// The longest.
    pub wait_longest: f64,
    /// What is still wanted at the end.
    pub open_wants: u64,
    /// … and for how long, the oldest of it.
    pub open_longest: f64,
    /// Slots written that held fresh bundles.
    pub slots_fresh: u64,
    /// … only what had been there before.
    pub slots_replaced: u64,
    /// … nothing.
    pub slots_cover: u64,
    /// Retrievals that asked for anything.
    pub retrievals_real: u64,
    /// … for nothing.
    pub retrievals_cover: u64,
    /// Rounds that a gateway left out because a hint was not there yet.
    pub rounds_skipped: u64,
    /// Errands given.
    pub errands: u64,
    /// … and not finished in time.
    pub errands_expired: u64,
    /// … and finished, but not wanted while the open generation was empty.
    pub errands_refused: u64,
    /// Bundles placed again after they were read.
    pub given_back: u64,
    /// Bundles placed again by errands.
    pub brought_back: u64,
    /// Sealed generations.
    pub generations: u64,
    /// Stacks at the end.
    pub stacks: u64,
    /// Generations that were retired.
    pub retired: u64,
    /// How long each waited, in seconds.
    #[serde(skip)]
    pub waits: Vec<u32>,
}

impl Summary {
    pub(super) fn finish(&mut self) {
        self.waits.sort_unstable();
        let at = |share: f64| {
            let place = (share * self.waits.len() as f64) as usize;
            let last = self.waits.len().saturating_sub(1);
            self.waits
                .get(place.min(last))
                .copied()
                .map_or(0.0, f64::from)
        };
        (self.wait_median, self.wait_95, self.wait_longest) = (at(0.5), at(0.95), at(1.0));
    }
}
