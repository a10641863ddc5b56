//! Random choices that a failed run can be repeated with.

/// The seed of this run: `HARPO_SEED`, or a new one. Printed, so that a failure shows it.
#[must_use]
pub fn seed() -> u64 {
    let seed = std::env::var("HARPO_SEED")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or_else(|| {
            // Addresses of a fresh allocation and the process number differ between runs.
            use std::hash::{BuildHasher as _, RandomState};
            RandomState::new().hash_one(std::process::id())
        });
    println!("HARPO_SEED={seed}");
    seed
}

/// SplitMix64 (Steele, Lea and Flood 2014): small, and the same on every platform. For choosing what a test
/// does, never for keys.
#[derive(Debug, Clone)]
pub struct Choices(u64);

impl Choices {
    /// The choices of a seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Evenly from 0 to `bound` − 1; `bound` must not be 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % bound
    }
}
