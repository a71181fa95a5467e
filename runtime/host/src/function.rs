//! One merge function, compiled and linked, and a call of it.
//!
//! # How the wall clock stops a call
//! The engine counts fuel anyway, so a call runs on a stack of its own and comes back here between two
//! slices of its fuel, where the clock is looked at; dropping the call unwinds that stack. The other
//! means, the engine's epochs, has the guest look at a counter in each loop and function. Measured in
//! one run against the same call without either (wasmtime 48, x86-64, medians of 41 paired rounds):
//!
//! | | answers at once | cart, 1 KB | cart, 16 KB |
//! |---|---|---|---|
//! | epochs | +3 % | +18 % | +25 % |
//! | slices of fuel, on a stack of its own | +12 % (0.6 us) | +2.5 % | +3.5 % |
//!
//! Fuel alone bounds a call too: of 21 kinds of loops tried, the dearest for its fuel was one of
//! `ref.func`, at 60 ns each and 3 seconds for all of the fuel. Filling memory is charged by its length
//! before it runs, tables are small, and there are no host functions to wait in.
//! A stack of its own also makes a call independent of how much the calling thread has left.

use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use syncline_core::{GuestFault, HostFault, Image, MergeInput, Merged};
use wasmtime::component::types::ComponentItem;
use wasmtime::component::{Component, ComponentExportIndex, InstancePre, Linker, TypedFunc};
use wasmtime::{Engine, Store};

use crate::abi::{Answer, Conflict, MERGE};
use crate::admission::{Refused, told};
use crate::fault;
use crate::limiter::Limiter;
use crate::manifest::Manifest;
use crate::profile::INSTANTIATION_FUEL;

/// After so much fuel the clock is looked at: most often each millisecond, at worst each 60.
const FUEL_BETWEEN_LOOKS: u64 = 1_000_000;

type Params<'a> = (Conflict<'a>,);
type Returned = (Answer,);

/// A merge function, ready to be called.
pub(crate) struct Function {
    pub(crate) manifest: Manifest,
    instance: InstancePre<Limiter>,
    merge: ComponentExportIndex,
}

/// What a call came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// The answer, or the guest's fault: the same in every region.
    pub outcome: Result<Merged, GuestFault>,
    /// The fuel that the call used, its instantiation not counted. All of the limit where it ran
    /// out; zero where it did not come to the call.
    pub fuel_used: u64,
}

/// When a call is given up.
#[derive(Clone, Copy)]
pub(crate) struct Backstop {
    pub(crate) deadline: Instant,
    pub(crate) limit: Duration,
}

impl Backstop {
    pub(crate) fn fault(&self) -> HostFault {
        HostFault::Backstop { limit_ms: u64::try_from(self.limit.as_millis()).unwrap_or(u64::MAX) }
    }

    /// Runs what only ever waits because a slice of its fuel is used up.
    fn drive<T>(&self, call: impl Future<Output = T>) -> Result<T, HostFault> {
        let mut call = pin!(call);
        let mut context = Context::from_waker(Waker::noop());
        loop {
            match call.as_mut().poll(&mut context) {
                Poll::Ready(value) => return Ok(value),
                Poll::Pending if Instant::now() < self.deadline => {}
                Poll::Pending => return Err(self.fault()),
            }
        }
    }
}

impl Function {
    /// Checks that a compiled component's `merge` is of our type, and links it to nothing at all,
    /// which is what it imports.
    pub(crate) fn new(component: &Component, manifest: Manifest) -> Result<Self, Refused> {
        let engine = component.engine();
        let ty = component.component_type();
        let merge = component.get_export_index(None, MERGE).ok_or(Refused::NoMerge)?;
        match ty.get_export(engine, MERGE).map(|export| export.ty) {
            Some(ComponentItem::ComponentFunc(func)) => func
                .typecheck::<Params<'_>, Returned>(&ty.instance_type())
                .map_err(|error| Refused::WrongType { what: told(&format!("{error:#}")) })?,
            _ => return Err(Refused::NoMerge),
        }
        let instance = Linker::new(engine)
            .instantiate_pre(component)
            .map_err(|error| Refused::Compile { what: told(&format!("{error:#}")) })?;
        Ok(Self { manifest, instance, merge })
    }

    /// Calls it, in a fresh instance.
    pub(crate) fn call(
        &self,
        engine: &Engine,
        input: &MergeInput<'_>,
        backstop: &Backstop,
    ) -> Result<Run, HostFault> {
        let limits = &self.manifest.limits;
        let mut store = Store::new(engine, Limiter::new(limits.memory_bytes));
        store.limiter(|limiter| limiter);
        let setting = |error: wasmtime::Error| fault::engine(&error);
        store.set_fuel(INSTANTIATION_FUEL).map_err(setting)?;
        store.fuel_async_yield_interval(Some(FUEL_BETWEEN_LOOKS)).map_err(setting)?;
        let instance = match backstop.drive(self.instance.instantiate_async(&mut store))? {
            Ok(instance) => instance,
            Err(error) => {
                let fault = fault::of_instantiation(&error, limits)?;
                return Ok(Run { outcome: Err(fault), fuel_used: 0 });
            }
        };
        let merge = instance
            .get_func(&mut store, self.merge)
            .ok_or_else(|| HostFault::Engine("the instance has no `merge`".into()))?;
        // SAFETY: `new` has checked the type of this export of this component.
        let merge = unsafe { TypedFunc::<Params<'_>, Returned>::new_unchecked(merge) };
        store.set_fuel(limits.fuel).map_err(setting)?;
        let conflict = Conflict::new(input, self.manifest.needs_ancestor);
        let answer = backstop.drive(merge.call_async(&mut store, (conflict,)))?;
        let fuel_used = limits.fuel.saturating_sub(store.get_fuel().map_err(setting)?);
        let outcome = match answer {
            Ok((answer,)) => self.judge(answer),
            Err(error) => Err(fault::of_call(&error, limits)?),
        };
        Ok(Run { outcome, fuel_used })
    }

    fn judge(&self, answer: Answer) -> Result<Merged, GuestFault> {
        let limit_bytes = self.manifest.limits.output_bytes;
        match answer {
            Answer::Deleted => Ok(None),
            Answer::Row(json) if json.len() as u64 > limit_bytes => {
                Err(GuestFault::OutputTooLarge { bytes: json.len() as u64, limit_bytes })
            }
            Answer::Row(json) => Image::canonicalize(&json)
                .map(Some)
                .map_err(|error| GuestFault::InvalidOutput(error.to_string())),
            Answer::Error(text) => Err(fault::of_error(&text)),
            Answer::TooLarge { bytes } => Err(GuestFault::OutputTooLarge { bytes, limit_bytes }),
            Answer::Invalid(what) => Err(GuestFault::InvalidOutput(what.into())),
        }
    }
}
