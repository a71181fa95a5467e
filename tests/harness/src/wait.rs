//! Waiting for conditions.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// Long enough for anything that comes at all, on a machine that has much else to do.
pub const PATIENCE: Duration = Duration::from_secs(90);

const LOOK_EVERY: Duration = Duration::from_millis(25);

/// Looks again and again until the condition gives a value. It gives the reason why not yet as an
/// error; the last one stands in the message if the deadline passes.
///
/// # Errors
/// The deadline passed.
pub fn wait_for<T>(
    what: &str,
    deadline: Duration,
    mut condition: impl FnMut() -> Result<T>,
) -> Result<T> {
    let end = Instant::now() + deadline;
    loop {
        match condition() {
            Ok(value) => return Ok(value),
            Err(reason) if Instant::now() >= end => {
                bail!("waited {} s for {what}, but: {reason:#}", deadline.as_secs())
            }
            Err(_) => thread::sleep(LOOK_EVERY),
        }
    }
}
