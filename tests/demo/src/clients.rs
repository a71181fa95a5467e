//! The clients of all regions, each in a thread of its own.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, ScopedJoinHandle};
use std::time::Duration;

use anyhow::{Result, anyhow};
use syncline_harness::Region;

use crate::ledger::Ledger;
use crate::shopper::{CARTS, Shopper};

const CLIENTS_A_REGION: usize = 2;
/// Without a number of writes nobody hurries: a shadow has only what merging leaves of the processors.
const PAUSE: Duration = Duration::from_millis(10);
/// And then all share few carts, so that they meet.
const FEW_CARTS: usize = 10;

/// What the clients have in common.
#[derive(Debug, Default)]
pub(crate) struct Market {
    /// Writes that were acknowledged to all of them together.
    acknowledged: AtomicUsize,
    has_wholesalers: AtomicBool,
    is_closed: AtomicBool,
}

impl Market {
    pub(crate) fn acknowledged(&self) -> usize {
        self.acknowledged.load(Ordering::Relaxed)
    }

    pub(crate) fn count(&self) {
        self.acknowledged.fetch_add(1, Ordering::Relaxed);
    }

    /// From here on some put very much into their carts.
    pub(crate) fn let_wholesalers_in(&self) {
        self.has_wholesalers.store(true, Ordering::Relaxed);
    }

    pub(crate) fn has_wholesalers(&self) -> bool {
        self.has_wholesalers.load(Ordering::Relaxed)
    }

    fn is_closed(&self) -> bool {
        self.is_closed.load(Ordering::Relaxed)
    }
}

/// Closes the market when it ends, however it ends: clients must not go on for ever.
struct Closing<'a>(&'a Market);

impl Drop for Closing<'_> {
    fn drop(&mut self) {
        self.0.is_closed.store(true, Ordering::Relaxed);
    }
}

/// Lets clients in all regions write until each has made its share of `writes`, or, without a number,
/// until `meanwhile` has ended. Gives what they did, and what `meanwhile` gave, which can tell
/// by its argument whether all clients are done.
pub(crate) fn shop<T>(
    regions: &[Region],
    seed: u64,
    writes: Option<usize>,
    market: &Market,
    meanwhile: impl FnOnce(&dyn Fn() -> bool) -> Result<T>,
) -> Result<(Ledger, T)> {
    let clients = CLIENTS_A_REGION * regions.len();
    thread::scope(|scope| {
        let mut handles = Vec::new();
        for client in 0..clients {
            let region = regions[client % regions.len()].clone();
            let seed = seed.wrapping_mul(1_000_003).wrapping_add(client as u64);
            let share = |all: usize| all / clients + usize::from(client < all % clients);
            let share = writes.map(share);
            let hurries = share.is_some();
            let (pause, carts) = if hurries { (Duration::ZERO, CARTS) } else { (PAUSE, FEW_CARTS) };
            let shopper = Shopper::new(region, seed, market, carts);
            handles.push(scope.spawn(move || {
                let is_enough = |made| share.map_or_else(|| market.is_closed(), |all| made >= all);
                shopper.shop(pause, is_enough)
            }));
        }
        let closing = Closing(market);
        let came = meanwhile(&|| handles.iter().all(ScopedJoinHandle::is_finished));
        drop(closing);
        let mut ledger = Ledger::default();
        for handle in handles {
            let shopped = handle.join().map_err(|_| anyhow!("a client broke down"))?;
            ledger.merge(shopped?);
        }
        Ok((ledger, came?))
    })
}

/// How many clients write in so many regions.
pub(crate) fn clients(regions: usize) -> usize {
    CLIENTS_A_REGION * regions
}
