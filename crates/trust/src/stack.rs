//! Which generations share a stack (docs/protocol.md 7.1). The ring engine bounds a stack
//! (docs/oblivious-encoding.md 3.5, 8.4), and data grows without bound.

use harpo_protocol::stack::Figures;

#[cfg(test)]
mod tests;

/// What one stack holds at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Most generations.
    pub generations: u32,
    /// Most polynomials of a query, ⌈slots/interleave⌉ for each generation.
    pub polynomials: u32,
}

impl Bounds {
    /// Whether the newest stack, of these generations, takes the next one; otherwise it is closed for
    /// good and a new stack begins. A stack of nothing takes anything.
    #[must_use]
    pub fn takes(&self, stack: &[&Figures], next: &Figures) -> bool {
        let Some(first) = stack.first() else {
            return true;
        };
        let shape = |f: &Figures| (f.parameter_set, f.slot_bytes, f.interleave);
        let held: u64 = stack.iter().map(|figures| polynomials(figures)).sum();
        shape(first) == shape(next)
            && stack.len() < self.generations as usize
            && held + polynomials(next) <= u64::from(self.polynomials)
    }
}

/// Polynomials that a query has for a generation.
fn polynomials(figures: &Figures) -> u64 {
    figures.slots.div_ceil(figures.interleave.max(1)).into()
}
