//! What a guest's calls of the host use up.

use syncline_core::GuestFault;
use thiserror::Error;

use crate::fault::shown;
use crate::manifest::Limits;
use crate::profile::{WASI_CALL_FUEL, WASI_HANDLES_MAX};

const WHY_BYTES_MAX: usize = 256;

/// Ends a call, from within a function of the host that the guest called.
#[derive(Debug, Error, PartialEq, Eq)]
pub(crate) enum Stop {
    #[error("calls of the host used up the fuel")]
    OutOfFuel,
    /// The guest asked for what a merge function is not given.
    #[error("{0}")]
    NotGiven(&'static str),
}

impl Stop {
    pub(crate) fn fault(&self, limits: &Limits) -> GuestFault {
        match self {
            Self::OutOfFuel => GuestFault::OutOfFuel { limit: limits.fuel },
            Self::NotGiven(what) => GuestFault::Trap(shown(what, WHY_BYTES_MAX)),
        }
    }
}

/// Fuel, and handles.
pub(super) struct Meter {
    limit: u64,
    spent: u64,
    handles: u32,
}

impl Meter {
    pub(super) fn new(limit: u64) -> Self {
        Self { limit, spent: 0, handles: 0 }
    }

    /// At most the limit.
    pub(super) fn spent(&self) -> u64 {
        self.spent
    }

    /// Pays for a call.
    pub(super) fn call(&mut self) -> Result<(), Stop> {
        self.pay(WASI_CALL_FUEL)
    }

    /// Pays for a call that does something so many times.
    pub(super) fn call_with(&mut self, count: u64, fuel_each: u64) -> Result<(), Stop> {
        self.pay(WASI_CALL_FUEL.saturating_add(count.saturating_mul(fuel_each)))
    }

    fn pay(&mut self, fuel: u64) -> Result<(), Stop> {
        let spent = self.spent.saturating_add(fuel);
        self.spent = spent.min(self.limit);
        if spent > self.limit { Err(Stop::OutOfFuel) } else { Ok(()) }
    }

    /// One handle more in the guest's hands.
    pub(super) fn give_handle(&mut self) -> Result<(), Stop> {
        if self.handles >= WASI_HANDLES_MAX {
            return Err(Stop::NotGiven("it holds too many streams and pollables"));
        }
        self.handles += 1;
        Ok(())
    }

    pub(super) fn take_handle(&mut self) {
        self.handles = self.handles.saturating_sub(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_over_the_limit_is_not_given_and_not_counted() {
        let mut meter = Meter::new(2 * WASI_CALL_FUEL + 7);
        assert_eq!(meter.call_with(7, 1), Ok(()));
        assert_eq!(meter.spent(), WASI_CALL_FUEL + 7);
        assert_eq!(meter.call(), Ok(()));
        assert_eq!(meter.call(), Err(Stop::OutOfFuel));
        assert_eq!(meter.spent(), 2 * WASI_CALL_FUEL + 7);
        assert_eq!(Meter::new(u64::MAX).call_with(u64::MAX, u64::MAX), Ok(()));
        assert_eq!(Meter::new(5_000).call_with(u64::MAX, 4), Err(Stop::OutOfFuel));
    }

    #[test]
    fn handles_come_and_go() {
        let mut meter = Meter::new(0);
        for _ in 0..WASI_HANDLES_MAX {
            assert_eq!(meter.give_handle(), Ok(()));
        }
        assert!(meter.give_handle().is_err());
        meter.take_handle();
        assert_eq!(meter.give_handle(), Ok(()));
    }
}
