//! Which configuration to recommend.

use std::cmp::Ordering;

use harpo_protocol::cell::Layout;
use serde::Serialize;

use super::{Configuration, Network, Outlook, PlanError, outlook};

/// What a configuration must keep.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Search {
    /// 95 % of readers of the newest stack wait less.
    pub max_wait_seconds: f64,
    /// … of those of older ones.
    pub max_older_wait_seconds: f64,
    /// Mean time until an upload is at the cloud.
    pub max_delay_seconds: f64,
    /// What is best among those that keep the limits.
    pub prefer: Preference,
}

/// What is best.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Preference {
    /// The lowest whole-log AUC, to two decimals; then the largest stack; then the cheapest.
    #[default]
    Privacy,
    /// The cheapest; then the largest stack.
    Cost,
}

/// A limit that configurations break.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Binding {
    /// More cores than the cloud has.
    Cores,
    /// More of a hospital's line than it gives.
    Bandwidth,
    /// Readers of the newest stack wait too long.
    Wait,
    /// Readers of older stacks do.
    OlderWait,
    /// Uploads stay with trust too long.
    Delay,
    /// Rounds have too few queries for the busiest hour.
    Queue,
}

impl Binding {
    /// What would help, as advice.
    #[must_use]
    pub fn advice(self) -> &'static str {
        match self {
            Self::Cores => "give the cloud more --cores, or accept a longer --max-wait-seconds",
            Self::Bandwidth => {
                "give more --bandwidth-mbit of each line, or accept a longer --max-wait-seconds"
            }
            Self::Wait => "accept a longer --max-wait-seconds",
            Self::OlderWait => {
                "accept a longer --max-older-wait-seconds (what is known ahead is prefetched), keep less \
                 with --keep-days, or give more --cores for larger stacks"
            }
            Self::Delay => "accept a longer --max-delay-seconds: trust serves uploads meanwhile",
            Self::Queue => "give more --bandwidth-mbit and --cores: rounds need more queries",
        }
    }

    /// In a few words.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Cores => "cores of the cloud",
            Self::Bandwidth => "bandwidth of a hospital",
            Self::Wait => "wait of a reader, newest stack",
            Self::OlderWait => "wait of a reader, older stacks",
            Self::Delay => "delay of an upload",
            Self::Queue => "queries of the busiest hour",
        }
    }
}

/// What a search found.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Found {
    /// The best, if any keeps the limits.
    pub best: Option<Outlook>,
    /// All that were looked at, in the order of the search.
    pub all: Vec<Outlook>,
    /// How many of them break each limit.
    pub broken: Vec<(Binding, usize)>,
    /// For each limit, how many would do if it were lifted: the first is the one that binds.
    pub lifted: Vec<(Binding, usize)>,
    /// The one that breaks its worst limit least, where none keeps all.
    pub nearest: Option<Outlook>,
}

const ROUNDS: [u32; 9] = [10, 15, 30, 60, 120, 300, 600, 1200, 3600];
const QUERIES: [u32; 7] = [1, 2, 4, 8, 16, 32, 64];
const GENERATIONS: [u32; 6] = [1, 2, 4, 8, 16, 32];
const SHARES: [f64; 4] = [0.0, 0.25, 0.5, 0.75];
// Where the age makes no difference, the first is taken.
const AGES: [u64; 5] = [24 * 3600, 12 * 3600, 6 * 3600, 48 * 3600, 96 * 3600];

impl Search {
    /// How many times over each limit an outlook is; 1 and less keeps it.
    fn strain(&self, network: &Network, outlook: &Outlook) -> [(Binding, f64); 6] {
        let line = outlook.gateway_mbit_down.max(outlook.gateway_mbit_up);
        [
            (Binding::Cores, outlook.cores / network.cores),
            (Binding::Bandwidth, line / network.bandwidth_mbit),
            (
                Binding::Wait,
                outlook.wait_newest_95_seconds / self.max_wait_seconds,
            ),
            (
                Binding::OlderWait,
                outlook.wait_older_95_seconds / self.max_older_wait_seconds,
            ),
            (
                Binding::Delay,
                outlook.upload_delay_seconds / self.max_delay_seconds,
            ),
            // Above 0.8 queues are long.
            (Binding::Queue, outlook.busy / 0.8),
        ]
    }

    /// The limits that an outlook breaks.
    #[must_use]
    pub fn breaks(&self, network: &Network, outlook: &Outlook) -> Vec<Binding> {
        let strain = self.strain(network, outlook);
        strain
            .iter()
            .filter(|(_, s)| *s > 1.0)
            .map(|(b, _)| *b)
            .collect()
    }

    fn worst(&self, network: &Network, outlook: &Outlook) -> f64 {
        let strain = self.strain(network, outlook);
        strain.iter().map(|(_, s)| *s).fold(0.0, f64::max)
    }

    /// The better one is the smaller.
    fn compare(&self, a: &Outlook, b: &Outlook) -> Ordering {
        let hundredths = |o: &Outlook| (o.upload_auc * 100.0).round();
        let cost = a.cost_per_consult.total_cmp(&b.cost_per_consult);
        let larger = b.stack_slots.cmp(&a.stack_slots);
        match self.prefer {
            Preference::Privacy => hundredths(a)
                .total_cmp(&hundredths(b))
                .then(larger)
                .then(cost),
            Preference::Cost => cost.then(larger),
        }
    }
}

/// What is not searched: what is given is kept.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Chosen {
    /// `[layout] slots_per_generation`.
    pub generation_slots: u32,
    /// `[ring] max_generations_per_stack`.
    pub stack_generations: Option<u32>,
    /// `[mixing] seal_after_seconds`.
    pub seal_after_seconds: Option<u64>,
    /// `[retrieval] round_seconds`.
    pub round_seconds: Option<u32>,
    /// `[retrieval] queries`.
    pub queries: Option<u32>,
    /// `[replacement] old_share`.
    pub old_share: Option<f64>,
}

/// Generations of `slots` slots of the default size in a stack of `gib` GiB.
///
/// # Errors
/// Less than one, or no number.
pub fn generations(gib: f64, slots: u32) -> Result<u32, PlanError> {
    let each = f64::from(slots) * f64::from(Layout::DEFAULT.slot_bytes());
    let count = (gib * f64::from(1u32 << 30) / each).round();
    if count.is_finite() && (1.0..=f64::from(u16::MAX)).contains(&count) {
        return Ok(count as u32);
    }
    Err(PlanError::Figure {
        name: "the size of a stack in GiB",
        value: gib,
        wanted: "at least one generation",
    })
}

/// Looks at all configurations of the grid that keep what was chosen.
///
/// # Errors
/// Figures that cannot be.
pub fn search(network: &Network, chosen: &Chosen, limits: &Search) -> Result<Found, PlanError> {
    network.validate()?;
    let mut all = Vec::new();
    let mut refused = None;
    for configuration in grid(chosen) {
        match outlook(network, &configuration) {
            Ok(outlook) => all.push(outlook),
            // Some stacks are too large for the ring engine; others are not.
            Err(error) => refused = Some(error),
        }
    }
    if let (true, Some(error)) = (all.is_empty(), refused) {
        return Err(error);
    }
    let broken: Vec<Vec<Binding>> = all.iter().map(|o| limits.breaks(network, o)).collect();
    let kept = all.iter().zip(&broken).filter(|(_, b)| b.is_empty());
    let best = kept
        .map(|(outlook, _)| *outlook)
        .min_by(|a, b| limits.compare(a, b));
    let nearest = all
        .iter()
        .min_by(|a, b| {
            let worst = |o| limits.worst(network, o);
            worst(a).total_cmp(&worst(b))
        })
        .copied();
    Ok(Found {
        best,
        broken: count(|limit| broken.iter().filter(|list| list.contains(&limit)).count()),
        lifted: count(|limit| broken.iter().filter(|list| **list == [limit]).count()),
        nearest: nearest.filter(|_| best.is_none()),
        all,
    })
}

/// Limits by how often they were counted.
fn count(of: impl Fn(Binding) -> usize) -> Vec<(Binding, usize)> {
    let mut counts: Vec<(Binding, usize)> = BINDINGS
        .iter()
        .map(|limit| (*limit, of(*limit)))
        .filter(|(_, n)| *n > 0)
        .collect();
    counts.sort_by_key(|(_, n)| std::cmp::Reverse(*n));
    counts
}

const BINDINGS: [Binding; 6] = [
    Binding::Cores,
    Binding::Bandwidth,
    Binding::Wait,
    Binding::OlderWait,
    Binding::Delay,
    Binding::Queue,
];

fn grid(chosen: &Chosen) -> Vec<Configuration> {
    let mut grid = Vec::new();
    for round_seconds in these(chosen.round_seconds, &ROUNDS) {
        for queries in these(chosen.queries, &QUERIES) {
            for stack_generations in these(chosen.stack_generations, &GENERATIONS) {
                for old_share in these(chosen.old_share, &SHARES) {
                    for seal_after_seconds in these(chosen.seal_after_seconds, &AGES) {
                        grid.push(Configuration {
                            generation_slots: chosen.generation_slots,
                            stack_generations,
                            seal_after_seconds,
                            round_seconds,
                            queries,
                            old_share,
                        });
                    }
                }
            }
        }
    }
    grid
}

fn these<T: Copy>(chosen: Option<T>, searched: &[T]) -> Vec<T> {
    chosen.map_or_else(|| searched.to_vec(), |value| vec![value])
}

/// What to say where nothing keeps all limits: which one binds, and what would help.
#[must_use]
pub fn advice(found: &Found) -> String {
    let mut text = format!(
        "None of {} configurations keeps all limits. ",
        found.all.len()
    );
    let names = |list: &[(Binding, usize)]| {
        let names: Vec<&str> = list.iter().map(|(limit, _)| limit.name()).collect();
        names.join("; ")
    };
    if let Some((limit, count)) = found.lifted.first() {
        text.push_str(&format!(
            "What binds is the {}: without it {count} would do.\n→ {}.",
            limit.name(),
            limit.advice()
        ));
        if found.lifted.len() > 1 {
            let others = names(&found.lifted[1..]);
            text.push_str(&format!("\nSo would lifting one of these: {others}."));
        }
        return text;
    }
    text.push_str(&format!(
        "No single limit is to blame; broken are, most often first: {}.",
        names(&found.broken)
    ));
    for (limit, _) in found.broken.iter().take(3) {
        text.push_str(&format!("\n→ {}.", limit.advice()));
    }
    text
}
