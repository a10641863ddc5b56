//! Waiting for what other processes do.

use std::thread::sleep;
use std::time::Duration;

use anyhow::{Result, bail};

/// Longest wait for anything that is a matter of seconds, with slack for slow and busy machines.
pub const PATIENCE: Duration = Duration::from_secs(90);

/// Asks again and again until `look` finds something.
///
/// # Errors
/// What `look` fails with, or, after [`PATIENCE`], that `what` did not happen.
pub fn until<T>(what: &str, mut look: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    let mut waited = Duration::ZERO;
    let mut pause = Duration::from_millis(20);
    loop {
        if let Some(found) = look()? {
            return Ok(found);
        }
        if waited > PATIENCE {
            bail!("waited {} s in vain: {what}", PATIENCE.as_secs());
        }
        sleep(pause);
        waited += pause;
        pause = (pause * 2).min(Duration::from_millis(250));
    }
}
