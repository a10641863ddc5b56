//! The part of `trust.toml` that a configuration is.

use harpo_trust::TrustConfig;

use super::{Configuration, PlanError};

/// The keys and values, for `trust.toml`: what is not there keeps its default.
#[must_use]
pub fn fragment(configuration: &Configuration) -> String {
    format!(
        "# Chosen by `harpo plan`. Everything that is not here keeps its default.\n\n\
         [layout]\nslots_per_generation = {}\n\n{}\
         [mixing]\nmode = \"epoch-shuffle\"\nseal_after_seconds = {}\n\n\
         [retrieval]\nschedule = \"rounds\"\nround_seconds = {}\nqueries = {}\n\n\
         [replacement]\nafter_read = true\nold_share = {:?}\n",
        configuration.generation_slots,
        ring(configuration),
        configuration.seal_after_seconds,
        configuration.round_seconds,
        configuration.queries,
        configuration.old_share,
    )
}

/// `[ring]`, with as many polynomials as the generations have.
fn ring(configuration: &Configuration) -> String {
    format!(
        "[ring]\nmax_generations_per_stack = {}\nmax_polynomials_per_stack = {}\n\n",
        configuration.stack_generations,
        polynomials(configuration)
    )
}

/// Polynomials of a full stack.
fn polynomials(configuration: &Configuration) -> u32 {
    let mut trust = TrustConfig::default();
    trust.layout.slots_per_generation = configuration.generation_slots;
    let each = configuration
        .generation_slots
        .div_ceil(trust.interleave().max(1));
    each.saturating_mul(configuration.stack_generations)
}

/// Trust's configuration, as far as stacks depend on it.
///
/// # Errors
/// What trust would refuse.
pub(super) fn trust(configuration: &Configuration) -> Result<TrustConfig, PlanError> {
    let mut trust = TrustConfig::default();
    trust.layout.slots_per_generation = configuration.generation_slots;
    trust.ring.max_polynomials_per_stack = polynomials(configuration);
    trust.ring.max_generations_per_stack = configuration.stack_generations;
    trust.validate().map_err(PlanError::Refused)?;
    Ok(trust)
}
