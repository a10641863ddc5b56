//! Randomness of the operating system: the one place where it comes from. Everything that draws
//! takes a generator as a parameter, and the binary gives it this one.

use rand_core::UnwrapErr;

/// Asks the operating system for every byte. Panics if it gives none, which on the systems we
/// support happens only before they have booted.
pub type SystemRng = UnwrapErr<getrandom::SysRng>;

/// The system's generator.
#[must_use]
pub fn system() -> SystemRng {
    UnwrapErr(getrandom::SysRng)
}
