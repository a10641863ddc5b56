//! The configuration file. Every key has a default; `docs/examples/trust.toml` lists them all.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use harpo_protocol::Malformed;
use harpo_protocol::cell::Layout;
use harpo_protocol::placement::{Mixing, SealRule};
use harpo_protocol::time::Timestamp;
use harpo_service::config::{AdminConfig, LogConfig};
use serde::Deserialize;

pub use crate::relay::RelayConfig;
use crate::ring::{HINT_NOISE, MAX_INTERLEAVE, MAX_POLYS, ParameterSet};
use crate::stack::Bounds;

mod retrieval;

pub use retrieval::{Replacement, Retrieval, Schedule};

/// The sample configuration, which says what the defaults are.
pub const SAMPLE: &str = include_str!("../../../docs/examples/trust.toml");

/// `trust.toml`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TrustConfig {
    /// Where parties connect.
    pub listen: SocketAddr,
    /// DNS names and IP addresses at which parties find this service: they stand in its certificate.
    pub server_names: Vec<String>,
    /// `[admin]`: where health is told.
    pub admin: AdminConfig,
    /// `[log]`.
    pub log: LogConfig,
    /// `[cloud]`.
    pub cloud: Cloud,
    /// `[layout]`.
    pub layout: LayoutConfig,
    /// `[ring]`.
    pub ring: Ring,
    /// `[mixing]`.
    pub mixing: MixingConfig,
    /// `[certificates]`.
    pub certificates: Certificates,
    /// `[tickets]`.
    pub tickets: Tickets,
    /// `[policy]`.
    pub policy: PolicyFiles,
    /// `[marks]`.
    pub marks: Marks,
    /// `[limits]`.
    pub limits: Limits,
    /// `[relay]`.
    pub relay: RelayConfig,
    /// `[retrieval]`.
    pub retrieval: Retrieval,
    /// `[replacement]`.
    pub replacement: Replacement,
}

impl Default for TrustConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 8600)),
            server_names: vec!["localhost".to_owned(), "127.0.0.1".to_owned()],
            admin: AdminConfig::default(),
            log: LogConfig::default(),
            cloud: Cloud::default(),
            layout: LayoutConfig::default(),
            ring: Ring::default(),
            mixing: MixingConfig::default(),
            certificates: Certificates::default(),
            tickets: Tickets::default(),
            policy: PolicyFiles::default(),
            marks: Marks::default(),
            limits: Limits::default(),
            relay: RelayConfig::default(),
            retrieval: Retrieval::default(),
            replacement: Replacement::default(),
        }
    }
}

/// `[cloud]`: the provider.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Cloud {
    /// `https://HOST:PORT`. Gateways are told the same address.
    pub url: String,
}

impl Default for Cloud {
    fn default() -> Self {
        Self {
            url: "https://localhost:8601".to_owned(),
        }
    }
}

/// `[layout]`: public sizes. Cells and slots stay as they are once something was deposited; a change of
/// `slots_per_generation` holds from the next generation on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LayoutConfig {
    /// Bytes of a cell, which holds one fragment.
    pub cell_bytes: u32,
    /// Cells of a slot, which one query fetches.
    pub cells_per_slot: u16,
    /// Slots of a generation.
    pub slots_per_generation: u32,
}

impl Default for LayoutConfig {
    fn default() -> Self {
        Self {
            cell_bytes: Layout::DEFAULT.cell_bytes,
            cells_per_slot: Layout::DEFAULT.cells_per_slot,
            slots_per_generation: Layout::DEFAULT.slots,
        }
    }
}

/// `[ring]`: how the cloud encodes generations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Ring {
    /// Row of the parameter table in `docs/oblivious-encoding.md`.
    pub parameter_set: u16,
    /// Slots that share a polynomial, a power of two; chosen from the layout and `queries_per_hint` if left out.
    pub interleave: Option<u32>,
    /// Queries that a hospital is expected to make over a generation: one for each slot of each bundle that it reads,
    /// over the time that it keeps the generation's hint. More of them make uploads smaller and hints larger.
    pub queries_per_hint: u64,
    /// Most generations in a stack.
    pub max_generations_per_stack: u32,
    /// Most polynomials, ⌈slots/interleave⌉ for each generation, in a stack.
    pub max_polynomials_per_stack: u32,
}

impl Default for Ring {
    fn default() -> Self {
        Self {
            parameter_set: 2,
            interleave: None,
            queries_per_hint: 64,
            max_generations_per_stack: 32,
            // A query of at most 10.6 MB with set 2.
            max_polynomials_per_stack: 256,
        }
    }
}

/// When slots leave for the cloud.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// All slots of a generation in one random order when it is sealed.
    #[default]
    EpochShuffle,
    /// Each slot after a random memoryless delay.
    Exponential,
}

/// `[mixing]`.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MixingConfig {
    /// `"epoch-shuffle"` or `"exponential"`.
    pub mode: Mode,
    /// Mean delay of a slot in exponential mode.
    pub mean_delay_seconds: u64,
    /// A generation is sealed when this share of its slots is occupied, above 0 and at most 1.
    pub seal_when_full_share: f64,
    /// … or when its first deposit is this old.
    pub seal_after_seconds: u64,
    /// At most one slot leaves in this time, at its ticks; 0 is as fast as possible, and shows how long each took
    /// to put together.
    pub slot_interval_milliseconds: u64,
    /// A closed generation's slots begin to leave at a multiple of this time of day; 0 is at once, and shows when
    /// something was deposited.
    pub seal_grid_seconds: u64,
    /// How long a sealed generation is still read from the upload cache: meanwhile gateways fetch its hint.
    pub cache_grace_seconds: u64,
}

impl Default for MixingConfig {
    fn default() -> Self {
        Self {
            mode: Mode::EpochShuffle,
            mean_delay_seconds: 4 * 3600,
            seal_when_full_share: 0.9,
            seal_after_seconds: 24 * 3600,
            slot_interval_milliseconds: 10,
            seal_grid_seconds: 300,
            cache_grace_seconds: 120,
        }
    }
}

/// `[certificates]`: how long they are valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Certificates {
    /// Certificates of parties; they renew them after two thirds of it.
    pub validity_days: u32,
    /// Passes to the cloud.
    pub pass_minutes: u32,
    /// Enrolment codes.
    pub code_hours: u32,
}

impl Default for Certificates {
    fn default() -> Self {
        Self {
            validity_days: 30,
            pass_minutes: 10,
            code_hours: 24,
        }
    }
}

/// `[tickets]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Tickets {
    /// How long a ticket can be spent.
    pub validity_seconds: u32,
    /// How long a permit opens the upload cache.
    pub cache_seconds: u32,
}

impl Default for Tickets {
    fn default() -> Self {
        Self {
            // Long enough to receive what it bought over a slow line, and to resume.
            validity_seconds: 1800,
            cache_seconds: 3600,
        }
    }
}

/// `[policy]`: files that replace the built-in policy and schema. Relative paths start at the data
/// folder.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PolicyFiles {
    /// Cedar policies.
    pub file: Option<PathBuf>,
    /// Their schema.
    pub schema: Option<PathBuf>,
}

/// `[marks]`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Marks {
    /// Modalities (0008,0060) whose images are sealed without a reliability mark, such as `"US"`. Gateways
    /// learn it when they start.
    pub unmarked_modalities: Vec<String>,
}

impl Marks {
    /// PS3.5, value representation CS.
    fn validate(&self) -> Result<(), Malformed> {
        let is_code = |modality: &String| {
            let characters =
                |b: u8| b.is_ascii_uppercase() || b.is_ascii_digit() || [b' ', b'_'].contains(&b);
            (1..=16).contains(&modality.len()) && modality.bytes().all(characters)
        };
        match self.unmarked_modalities.iter().find(|m| !is_code(m)) {
            None => Ok(()),
            Some(modality) => {
                let why = format!(
                    "marks.unmarked_modalities has {modality:?}; a modality has 1 to 16 capitals, digits, blanks or underscores"
                );
                Err(Malformed::new("configuration", why))
            }
        }
    }
}

/// `[limits]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Connections at a time.
    pub connections: usize,
    /// Of these, such as show no certificate; a quarter of them from one network address.
    pub anonymous_connections: usize,
    /// Refused attempts to enrol in a minute from one network address.
    pub refused_enrolments_per_minute: u32,
    /// … and from everywhere.
    pub refused_enrolments_per_minute_of_all: u32,
    /// Deposits of one hospital that are begun and not completed.
    pub max_open_deposits_per_party: u32,
    /// MiB of one hospital in the upload cache, with what its open deposits announce.
    pub max_cached_mib_per_party: u32,
    /// Deposits that were begun and not completed are removed after this.
    pub abandoned_deposit_hours: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 1024,
            anonymous_connections: 64,
            refused_enrolments_per_minute: 30,
            refused_enrolments_per_minute_of_all: 3000,
            max_open_deposits_per_party: 1000,
            max_cached_mib_per_party: 65536,
            abandoned_deposit_hours: 7 * 24,
        }
    }
}

impl TrustConfig {
    /// Checks what the types do not.
    pub fn validate(&self) -> Result<(), Malformed> {
        self.layout().validate()?;
        self.marks.validate()?;
        self.relay.validate()?;
        self.retrieval.validate()?;
        self.replacement.validate()?;
        let complain = |why: String| Err(Malformed::new("configuration", why));
        let share = self.mixing.seal_when_full_share;
        if !(share > 0.0 && share <= 1.0) {
            return complain(format!(
                "mixing.seal_when_full_share is {share}; it must be above 0 and at most 1"
            ));
        }
        if self.mixing.mean_delay_seconds == 0 || self.mixing.seal_after_seconds == 0 {
            return complain(
                "mixing.mean_delay_seconds and mixing.seal_after_seconds must be at least 1".into(),
            );
        }
        if self.server_names.is_empty() {
            return complain("server_names is empty: parties could not verify this service".into());
        }
        let validity = [
            (
                "certificates.validity_days",
                self.certificates.validity_days,
            ),
            ("certificates.pass_minutes", self.certificates.pass_minutes),
            ("certificates.code_hours", self.certificates.code_hours),
            ("tickets.validity_seconds", self.tickets.validity_seconds),
            ("tickets.cache_seconds", self.tickets.cache_seconds),
            (
                "limits.refused_enrolments_per_minute",
                self.limits.refused_enrolments_per_minute,
            ),
            (
                "limits.refused_enrolments_per_minute_of_all",
                self.limits.refused_enrolments_per_minute_of_all,
            ),
            (
                "limits.max_open_deposits_per_party",
                self.limits.max_open_deposits_per_party,
            ),
            (
                "limits.max_cached_mib_per_party",
                self.limits.max_cached_mib_per_party,
            ),
        ];
        if let Some((name, _)) = validity.iter().find(|(_, value)| *value == 0) {
            return complain(format!("{name} must be at least 1"));
        }
        self.validate_ring()
    }

    fn validate_ring(&self) -> Result<(), Malformed> {
        let complain = |why: String| Err(Malformed::new("configuration", why));
        let Bounds {
            generations,
            polynomials,
        } = self.stack_bounds();
        let Some(set) = ParameterSet::by_number(self.ring.parameter_set) else {
            return complain(format!(
                "ring.parameter_set is {}; this version knows 1 and 2",
                self.ring.parameter_set
            ));
        };
        let noise = u64::from(polynomials) + HINT_NOISE * u64::from(generations);
        let max_noise = set.max_noise;
        if generations == 0 || polynomials > MAX_POLYS || noise > max_noise {
            return complain(format!(
                "ring.max_generations_per_stack is {generations} and ring.max_polynomials_per_stack is \
                 {polynomials}; a stack has 1 to {MAX_POLYS} polynomials, and answers are exact only while \
                 polynomials + {HINT_NOISE} · generations is at most {max_noise}"
            ));
        }
        let interleave = self.interleave();
        let needed = self.layout().slots.div_ceil(interleave.max(1));
        if !interleave.is_power_of_two() || interleave > MAX_INTERLEAVE || needed > polynomials {
            return complain(format!(
                "ring.interleave is {interleave}; it must be a power of two, at most {MAX_INTERLEAVE}, and at \
                 least layout.slots_per_generation / ring.max_polynomials_per_stack ({polynomials})"
            ));
        }
        Ok(())
    }

    /// What a stack holds at most.
    pub fn stack_bounds(&self) -> Bounds {
        Bounds {
            generations: self.ring.max_generations_per_stack,
            polynomials: self.ring.max_polynomials_per_stack,
        }
    }

    /// The layout of new generations.
    pub fn layout(&self) -> Layout {
        Layout {
            cell_bytes: self.layout.cell_bytes,
            cells_per_slot: self.layout.cells_per_slot,
            slots: self.layout.slots_per_generation,
        }
    }

    /// How slots are mixed.
    pub fn mixing(&self) -> Mixing {
        match self.mixing.mode {
            Mode::EpochShuffle => Mixing::EpochShuffle,
            Mode::Exponential => Mixing::Exponential {
                mean: Duration::from_secs(self.mixing.mean_delay_seconds),
            },
        }
    }

    /// Between two departures of slots; zero if they need not wait.
    pub fn slot_interval(&self) -> Duration {
        Duration::from_millis(self.mixing.slot_interval_milliseconds)
    }

    /// When the slots of a generation that is closed now begin to leave: the next multiple of the grid since the
    /// Unix epoch, which is a round time of day if the grid divides the day.
    pub fn seal_moment(&self, now: Timestamp) -> Timestamp {
        let grid = self.mixing.seal_grid_seconds.saturating_mul(1000);
        match now.0.checked_rem(grid) {
            None | Some(0) => now,
            Some(past) => Timestamp(now.0.saturating_add(grid - past)),
        }
    }

    /// How long a sealed generation is read from the upload cache.
    pub fn cache_grace(&self) -> Duration {
        Duration::from_secs(self.mixing.cache_grace_seconds)
    }

    /// When generations are sealed.
    pub fn seal_rule(&self) -> SealRule {
        SealRule {
            share: self.mixing.seal_when_full_share,
            age: Duration::from_secs(self.mixing.seal_after_seconds),
        }
    }

    /// The interleaving of new generations: as configured, or the cheapest for hospitals.
    pub fn interleave(&self) -> u32 {
        self.interleave_for(&self.layout())
    }

    /// The interleaving of a generation of this layout.
    pub fn interleave_for(&self, layout: &Layout) -> u32 {
        let chosen = || {
            let set = ParameterSet::by_number(self.ring.parameter_set)?;
            let queries = self.ring.queries_per_hint;
            let polynomials = self.ring.max_polynomials_per_stack;
            Some(set.interleave(layout.slots, layout.slot_bytes(), queries, polynomials))
        };
        // An unknown set was refused when the configuration was read.
        self.ring.interleave.or_else(chosen).unwrap_or(1)
    }

    /// Validity of parties' certificates.
    pub fn validity(&self) -> Duration {
        Duration::from_secs(u64::from(self.certificates.validity_days) * 24 * 3600)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sample_says_the_defaults() {
        let sample: TrustConfig = toml::from_str(SAMPLE).unwrap();
        let mut expected = TrustConfig::default();
        // The sample names a port, so that people find it again.
        expected.admin.listen = "127.0.0.1:8610".parse().unwrap();
        assert_eq!(sample, expected);
        assert_eq!(sample.validate(), Ok(()));
    }

    #[test]
    fn misspelt_keys_and_impossible_values_are_refused() {
        for bad in [
            "lissen = \"127.0.0.1:1\"",
            "[mixing]\nmean_delay = 3",
            "[mixing]\nmode = \"shuffle\"",
            "[layout]\ncell_bytes = -1",
        ] {
            assert!(toml::from_str::<TrustConfig>(bad).is_err(), "{bad}");
        }
        for bad in [
            "server_names = []",
            "[mixing]\nseal_when_full_share = 0.0",
            "[mixing]\nseal_when_full_share = 1.5",
            "[mixing]\nseal_when_full_share = nan",
            "[mixing]\nseal_after_seconds = 0",
            "[layout]\ncells_per_slot = 0",
            "[ring]\ninterleave = 3",
            "[layout]\nslots_per_generation = 65536\n[ring]\ninterleave = 8",
            "[ring]\nmax_generations_per_stack = 0",
            "[ring]\nparameter_set = 3",
            "[ring]\nparameter_set = 1\nmax_polynomials_per_stack = 1024\nmax_generations_per_stack = 40",
            "[ring]\nmax_polynomials_per_stack = 1024\nmax_generations_per_stack = 94",
            "[ring]\nmax_polynomials_per_stack = 0",
            "[ring]\nmax_polynomials_per_stack = 1025",
            // 256 slots, eight to a polynomial.
            "[ring]\ninterleave = 8\nmax_polynomials_per_stack = 31",
            "[certificates]\nvalidity_days = 0",
        ] {
            let config: TrustConfig = toml::from_str(bad).unwrap();
            assert!(config.validate().is_err(), "{bad}");
        }
    }

    /// The largest numbers of generations in docs/oblivious-encoding.md 8.4.
    #[test]
    fn stacks_stay_below_the_noise_bound() {
        let set_1 = [(1, 64, 53), (1, 256, 50), (1, 512, 46), (1, 1024, 39)];
        let set_2 = [(2, 64, 108), (2, 256, 105), (2, 512, 101), (2, 1024, 93)];
        for (set, polynomials, generations) in [set_1, set_2].concat() {
            let mut config = TrustConfig::default();
            config.ring.parameter_set = set;
            config.ring.max_polynomials_per_stack = polynomials;
            config.ring.max_generations_per_stack = generations;
            assert_eq!(config.validate(), Ok(()), "{polynomials}, {generations}");
            config.ring.max_generations_per_stack += 1;
            assert!(
                config.validate().is_err(),
                "{polynomials}, {generations} + 1"
            );
        }
    }

    #[test]
    fn sealing_begins_at_multiples_of_the_grid() {
        let mut config = TrustConfig::default();
        for (now, begins) in [(600_000, 600_000), (600_001, 900_000), (899_999, 900_000)] {
            assert_eq!(config.seal_moment(Timestamp(now)), Timestamp(begins));
        }
        config.mixing.seal_grid_seconds = 0;
        assert_eq!(config.seal_moment(Timestamp(600_001)), Timestamp(600_001));
        config.mixing.seal_grid_seconds = u64::MAX;
        assert!(config.seal_moment(Timestamp(600_001)) > Timestamp(600_001));
    }
}
