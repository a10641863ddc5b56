//! What a configuration costs and hides.

use harpo_oblivious::{Cost, Engine, GenerationInfo, ParamSetId, Seed, Shape, Stack};
use harpo_trust::TrustConfig;
use serde::Serialize;

use super::law::{self, Slots};
use super::{Configuration, Network, PlanError};

const DAY: f64 = 86_400.0;
/// Bytes that one core seals a second: encoding and hint (docs/performance.md 3, "both").
const SEAL_BYTES_PER_SECOND: f64 = 400e6;
/// The busiest hour has so many times the mean hour's studies: 10 to 15 % of a day.
const BUSY_HOUR: f64 = 3.0;

/// The figures. Times in seconds, sizes in bytes, rates in the unit that the name says.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Outlook {
    /// For what.
    pub configuration: Configuration,
    /// Slots of a full stack: the anonymity set of a query.
    pub stack_slots: u64,
    /// The same in bytes.
    pub stack_bytes: u64,
    /// Bundles of a stack, about: what a retrieval could be for.
    pub stack_bundles: f64,
    /// Stacks of what is kept.
    pub stacks: f64,
    /// Memory or disk that the encoded stacks take at the cloud.
    pub encoded_bytes: f64,
    /// One query, one answer, and the hint of one generation.
    pub query_bytes: u64,
    /// See [`Self::query_bytes`].
    pub answer_bytes: u64,
    /// See [`Self::query_bytes`].
    pub hint_bytes: u64,
    /// `ring` or `stream`: what a round uses.
    pub engine: &'static str,

    /// Slots written in a day.
    pub writes_per_day: f64,
    /// Of them, cover.
    pub cover_writes: f64,
    /// Of those that hold something, brought back by re-placement.
    pub moved_writes: f64,
    /// Slots written for each slot that was deposited.
    pub writes_per_deposited: f64,
    /// From one sealing to the next.
    pub epoch_seconds: f64,
    /// Mean time until an upload is at the cloud. Trust serves it meanwhile.
    pub upload_delay_seconds: f64,

    /// Consults in a day, of all hospitals.
    pub consults_per_day: f64,
    /// Of them, the share that trust's cache answers.
    pub from_cache: f64,
    /// … that wants something from the newest stack.
    pub from_newest: f64,
    /// Retrievals in a minute, of all hospitals: who could be the one.
    pub retrievals_per_minute: f64,
    /// Of their queries, those that nobody needs: errands and dummies.
    pub cover_queries: f64,
    /// Of the busiest hour's demand on the newest stack, and on older ones, how much there is room for: below 1, or
    /// queues grow.
    pub busy: f64,
    /// Wait for something from the newest stack, retrieval included: mean.
    pub wait_newest_seconds: f64,
    /// … 95 % wait less.
    pub wait_newest_95_seconds: f64,
    /// Wait for something from an older stack: mean.
    pub wait_older_seconds: f64,
    /// … 95 % wait less.
    pub wait_older_95_seconds: f64,
    /// Something that does not wait for a round (break-glass, emergency), over one stack.
    pub wait_at_once_seconds: f64,

    /// Whole-log AUC of two slots of one study by their times, about ([`law::replaced_auc`]).
    pub upload_auc: f64,
    /// The same of different studies of one visit.
    pub upload_auc_studies: f64,
    /// The same without re-placement.
    pub upload_auc_unmoved: f64,
    /// Whole-log AUC of retrievals by their stacks if there were no rounds; with rounds it is a half.
    pub stacks_auc_at_once: f64,

    /// Each gateway's line, down and up, in Mbit/s, round the clock.
    pub gateway_mbit_down: f64,
    /// See [`Self::gateway_mbit_down`].
    pub gateway_mbit_up: f64,
    /// Cores of the cloud that are busy, on average.
    pub cores: f64,
    /// What leaves the cloud in a day.
    pub cloud_bytes_per_day: f64,
    /// Of the cloud, for each consult, cover included.
    pub bytes_per_consult: f64,
    /// The same in seconds of a core.
    pub core_seconds_per_consult: f64,
    /// The same in money.
    pub cost_per_consult: f64,
}

/// The exact stack of a configuration.
pub(super) fn stack(configuration: &Configuration) -> Result<Stack, PlanError> {
    let trust = super::fragment::trust(configuration)?;
    let layout = trust.layout();
    let shape = Shape::new(layout.slots, layout.slot_bytes(), trust.interleave())
        .map_err(PlanError::Stack)?;
    let info = |number: u32| {
        let mut seed = [0; 32];
        seed[..4].copy_from_slice(&number.to_le_bytes());
        GenerationInfo {
            params: ParamSetId(trust.ring.parameter_set),
            shape,
            seed: Seed(seed),
        }
    };
    Stack::new((0..configuration.stack_generations).map(info).collect()).map_err(PlanError::Stack)
}

/// What `network` pays and hides under `configuration`.
///
/// # Errors
/// A configuration that trust or the ring engine would refuse, a network of nothing.
pub fn outlook(network: &Network, configuration: &Configuration) -> Result<Outlook, PlanError> {
    network.validate()?;
    let stack = stack(configuration)?;
    let slot = f64::from(stack.slot_bytes());
    // What remains of a bundle shares a slot, and fetching it takes a query.
    let study_slots = network.study_bytes / slot;
    let study_queries = study_slots + 0.5;
    let consults = network.studies_per_day * network.reads_per_study;

    let reading = Reading::new(network, configuration, &stack, consults * study_queries);
    let (writing, demand, delay) = settled(network, configuration, &stack, study_slots, &reading);
    let waits = Waits::new(network, configuration, &reading, &demand, study_queries);
    let epochs = network.keep_days * DAY / writing.epoch;
    let hint = stack.hint_bytes() / u64::from(configuration.stack_generations);
    let generations_per_day = DAY / writing.epoch;
    let hints_per_day = hint as f64 * generations_per_day;
    let retrievals_per_day = reading.retrievals_per_gateway * f64::from(network.hospitals);
    let at_once = consults * network.at_once_share * demand.at_cloud();
    let down = (retrievals_per_day + at_once) * reading.cost.bytes_down as f64
        + hints_per_day * f64::from(network.hospitals);
    let up = retrievals_per_day * reading.cost.bytes_up as f64
        + network.studies_per_day * network.study_bytes
        + writing.moves * slot;
    let core_seconds = (retrievals_per_day + at_once) * reading.core_seconds
        + writing.slots * slot / SEAL_BYTES_PER_SECOND;
    let mbit = |bytes: f64| bytes * 8.0 / DAY / 1e6 / f64::from(network.hospitals);
    let money =
        down / 1e9 * network.price_per_gb + core_seconds / 3600.0 * network.price_per_core_hour;
    let unmoved = law::epoch_auc(epochs);
    Ok(Outlook {
        configuration: *configuration,
        stack_slots: stack.slots(),
        stack_bytes: stack.plain_bytes(),
        stack_bundles: stack.slots() as f64 * (1.0 - writing.cover) / study_slots,
        stacks: demand.stacks,
        encoded_bytes: stack.encoded_bytes() as f64 * demand.stacks,
        query_bytes: stack.query_bytes(),
        answer_bytes: stack.answer_bytes(),
        hint_bytes: hint,
        engine: reading.engine.name(),
        writes_per_day: writing.slots,
        cover_writes: writing.cover,
        moved_writes: writing.moved,
        writes_per_deposited: writing.slots / (network.studies_per_day * study_slots),
        epoch_seconds: writing.epoch,
        upload_delay_seconds: delay,
        consults_per_day: consults,
        from_cache: demand.cached,
        from_newest: demand.newest,
        retrievals_per_minute: retrievals_per_day / 1440.0,
        cover_queries: 1.0
            - (consults * study_queries * demand.at_cloud() / reading.queries).min(1.0),
        busy: waits.busy,
        wait_newest_seconds: waits.newest.0,
        wait_newest_95_seconds: waits.newest.1,
        wait_older_seconds: waits.older.0,
        wait_older_95_seconds: waits.older.1,
        wait_at_once_seconds: reading.seconds,
        upload_auc: law::replaced_auc(unmoved, writing.errands, Slots::OneStudy),
        upload_auc_studies: law::replaced_auc(unmoved, writing.errands, Slots::DifferentStudies),
        upload_auc_unmoved: unmoved,
        stacks_auc_at_once: law::stacks_auc(&demand.shares()),
        gateway_mbit_down: mbit(down),
        gateway_mbit_up: mbit(up),
        cores: core_seconds / DAY,
        cloud_bytes_per_day: down,
        bytes_per_consult: (down + up) / consults,
        core_seconds_per_consult: core_seconds / consults,
        cost_per_consult: money / consults,
    })
}

/// Sealing, demand, and the mean delay of an upload. What the cache answers is not moved, and what is moved makes
/// generations fill sooner, so that the cache answers less: they are found together.
fn settled(
    network: &Network,
    configuration: &Configuration,
    stack: &Stack,
    study_slots: f64,
    reading: &Reading,
) -> (Writing, Demand, f64) {
    const STEPS: usize = 20;
    let mixing = TrustConfig::default().mixing;
    let at = |at_cloud: f64| {
        let writing = Writing::new(network, configuration, study_slots, at_cloud, reading);
        let delay = writing.epoch / 2.0
            + mixing.seal_grid_seconds as f64 / 2.0
            + f64::from(configuration.generation_slots) * mixing.slot_interval_milliseconds as f64
                / 2000.0;
        let demand = Demand::new(network, stack, &writing, study_slots, delay);
        (writing, demand, delay)
    };
    (0..STEPS).fold(at(1.0), |(_, demand, _), _| at(demand.at_cloud()))
}

/// What a day of rounds is.
struct Reading {
    engine: Engine,
    /// One retrieval.
    cost: Cost,
    /// Of the cloud, for one.
    core_seconds: f64,
    /// How long one takes over the hospital's line, with the cloud's cores.
    seconds: f64,
    retrievals_per_gateway: f64,
    /// Of all gateways, in a day.
    queries: f64,
    /// What is left of them for errands.
    spare: f64,
}

impl Reading {
    fn new(network: &Network, configuration: &Configuration, stack: &Stack, wanted: f64) -> Self {
        let queries = configuration.queries;
        let engine = Engine::choose(stack, queries);
        let cost = engine.cost(stack, queries);
        let moved = cost.bytes() as f64 / harpo_oblivious::engine::LINK_BYTES_PER_SECOND as f64;
        let core_seconds = (cost.time.as_secs_f64() - moved).max(0.0);
        let line = cost.bytes() as f64 * 8.0 / (network.bandwidth_mbit * 1e6);
        let retrievals_per_gateway = DAY / f64::from(configuration.round_seconds);
        let all = retrievals_per_gateway * f64::from(network.hospitals) * f64::from(queries);
        Self {
            engine,
            cost,
            core_seconds,
            seconds: line + core_seconds / network.cores.max(1.0),
            retrievals_per_gateway,
            queries: all,
            spare: (all - wanted).max(0.0),
        }
    }
}

/// What a day of sealing is.
struct Writing {
    /// Slots that go to the cloud.
    slots: f64,
    cover: f64,
    /// Of those that hold something.
    moved: f64,
    /// … by errands alone.
    errands: f64,
    epoch: f64,
    /// Slots that gateways gave back.
    moves: f64,
}

impl Writing {
    fn new(
        network: &Network,
        configuration: &Configuration,
        study_slots: f64,
        at_cloud: f64,
        reading: &Reading,
    ) -> Self {
        let trust = TrustConfig::default();
        let slots = f64::from(configuration.generation_slots);
        let full = trust.mixing.seal_when_full_share * slots;
        let fresh = network.studies_per_day * study_slots;
        let read = fresh * network.reads_per_study * at_cloud;
        let flow = (fresh + read) / DAY;
        // Errands come as fast as rounds have queries left, up to their share of the generation.
        let errands_flow = reading.spare / DAY;
        let most_errands = (configuration.old_share * slots).min((full - flow).max(0.0));
        let age = configuration.seal_after_seconds as f64;
        let quick = full / (flow + errands_flow);
        let epoch = if quick * errands_flow <= most_errands {
            quick
        } else {
            (full - most_errands) / flow
        }
        .min(age)
        .max(trust.mixing.seal_grid_seconds.max(1) as f64);
        let errands = most_errands.min(errands_flow * epoch);
        let held = flow * epoch + errands;
        // A generation that fills within the grid of sealing times is followed by others at once.
        let generations = (held / full).max(1.0);
        let in_day = DAY / epoch;
        Self {
            slots: slots * generations * in_day,
            cover: 1.0 - (held / (slots * generations)).min(1.0),
            moved: (read * epoch / DAY + errands) / held,
            errands: errands / held,
            epoch,
            moves: (read + errands * in_day).max(f64::MIN_POSITIVE),
        }
    }
}

/// Where what is wanted lies.
struct Demand {
    cached: f64,
    newest: f64,
    stacks: f64,
}

impl Demand {
    fn new(
        network: &Network,
        stack: &Stack,
        writing: &Writing,
        study_slots: f64,
        delay: f64,
    ) -> Self {
        // A stack lives until all that was in it is moved or too old. Moves hit what lives at random: the last of n
        // goes after ln n + 0.58 times as long as each stays on average.
        let bundles = (stack.slots() as f64 * (1.0 - writing.cover) / study_slots).max(1.0);
        let stays = network.studies_per_day * study_slots * network.keep_days / writing.moves;
        let life = network.keep_days.min((bundles.ln() + 0.58) * stays);
        let stacks = (writing.slots * life / stack.slots() as f64).max(1.0);
        // The newest stack is half full on average.
        let span = stack.slots() as f64 / writing.slots / 2.0;
        let cached = law::wanted_within(delay / DAY, network.keep_days);
        let recent = law::wanted_within(delay / DAY + span, network.keep_days);
        let newest = if stacks > 1.0 {
            recent - cached
        } else {
            1.0 - cached
        };
        Self {
            cached,
            newest,
            stacks,
        }
    }

    fn at_cloud(&self) -> f64 {
        1.0 - self.cached
    }

    fn older(&self) -> f64 {
        (1.0 - self.cached - self.newest).max(0.0)
    }

    /// Of retrievals from the cloud, by stack.
    fn shares(&self) -> Vec<f64> {
        let all = self.at_cloud().max(f64::MIN_POSITIVE);
        let older = (self.stacks.ceil() - 1.0).max(0.0);
        let mut shares = vec![self.newest / all];
        shares.extend((0..older as usize).map(|_| self.older() / all / older));
        shares
    }
}

/// How long readers of a study of mean size wait: mean and 95 %. That larger ones take more visits is left out.
struct Waits {
    newest: (f64, f64),
    older: (f64, f64),
    busy: f64,
}

impl Waits {
    fn new(
        network: &Network,
        configuration: &Configuration,
        reading: &Reading,
        demand: &Demand,
        study_queries: f64,
    ) -> Self {
        let round = f64::from(configuration.round_seconds);
        let stacks = demand.stacks.ceil().max(1.0);
        let (newest, older) = if stacks > 1.0 {
            (2, (2.0 * (stacks - 1.0)).min(f64::from(u32::MAX)) as u32)
        } else {
            (1, 1)
        };
        let consults = network.studies_per_day * network.reads_per_study * BUSY_HOUR
            / f64::from(network.hospitals)
            / DAY;
        let wanted = consults * study_queries;
        let room = f64::from(configuration.queries) / round;
        // Half of all rounds are the newest stack's; each older one has an equal part of the others.
        let share = if stacks > 1.0 { 0.5 } else { 1.0 };
        let busy_newest = wanted * demand.newest / (room * share);
        let busy_older = if stacks > 1.0 {
            wanted * demand.older() / (room * share)
        } else {
            0.0
        };
        let visits = (study_queries / f64::from(configuration.queries))
            .ceil()
            .max(1.0);
        let wait = |period: u32, busy: f64| {
            let (mean, most) = law::wait_in_rounds(period);
            // Whole visits of others that are before one: those of a queue with visits of fixed size.
            let queue = if busy < 1.0 {
                busy / (2.0 * (1.0 - busy))
            } else {
                f64::INFINITY
            };
            let more = (visits - 1.0 + queue * visits) * f64::from(period);
            let seconds = |rounds: f64| (rounds + more) * round + reading.seconds;
            (seconds(mean), seconds(most))
        };
        Self {
            newest: wait(newest, busy_newest),
            older: wait(older, busy_older),
            busy: busy_newest.max(busy_older),
        }
    }
}
