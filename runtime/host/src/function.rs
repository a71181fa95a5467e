//! One merge function, compiled and linked, and a call of it.
//!
//! # What ends a call
//! Its fuel, by the meter in its code. The wall clock is looked at whenever a slice of fuel is used up,
//! which is most often each millisecond; it is for a machine that hardly moves, and its verdict is no
//! outcome.

use std::time::{Duration, Instant};

use syncline_core::{GuestFault, HostFault, Image, MergeInput, Merged};
use wasmtime::component::types::ComponentItem;
use wasmtime::component::{Component, ComponentExportIndex, InstancePre, Linker, TypedFunc};
use wasmtime::{Engine, Store};

use crate::abi::{Answer, Conflict, MERGE};
use crate::admission::{Refused, told};
use crate::engine::CALL_STACK_BYTES;
use crate::fault;
use crate::function_log::Log;
use crate::limiter::TookTooLong;
use crate::manifest::Manifest;
use crate::metering::{Left, METER_EXPORT};
use crate::profile::STACK_BYTES_MAX;
use crate::state::CallState;
use crate::wasi;

type Params<'a> = (Conflict<'a>,);
type Returned = (Answer,);

/// A merge function, ready to be called.
pub(crate) struct Function {
    pub(crate) manifest: Manifest,
    instance: InstancePre<CallState>,
    /// Whether it imports anything of WASI, which else is not made for its calls.
    wasi: bool,
    merge: ComponentExportIndex,
    /// What its calls had to say.
    pub(crate) log: Log,
    /// Where the meter is read. None: none of its code needs one.
    meter: Option<ComponentExportIndex>,
}

/// What a call came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// The answer, or the guest's fault: the same in every region.
    pub outcome: Result<Merged, GuestFault>,
    /// What it used up. None: it ended in a trap or over a limit, and can't be asked any more.
    pub usage: Option<Usage>,
    /// What its fuel was limited to.
    pub fuel_limit: u64,
    /// The most memory that the guest had, in bytes.
    pub memory_bytes: u64,
    /// What the guest wrote to its standard output and error, and where it was when it failed: lines
    /// of a stranger's text, escaped and bounded. For people; regions may differ in it.
    pub log: String,
}

impl Run {
    /// The share of the limit on fuel that it took, in parts per million: all of it where the fuel
    /// ran out, none where a call ended in another fault and can't be asked.
    pub fn fuel_ppm(&self) -> u32 {
        let share = match (&self.outcome, self.usage) {
            (Err(GuestFault::OutOfFuel { .. }), _) => 1_000_000,
            (_, Some(usage)) => {
                u128::from(usage.fuel) * 1_000_000 / u128::from(self.fuel_limit.max(1))
            }
            (_, None) => 0,
        };
        u32::try_from(share.min(1_000_000)).unwrap_or(1_000_000)
    }
}

/// What a call used up, by the meter's measure: the same in every region.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    /// From the start functions of its instance to the cleaning up after the answer.
    pub fuel: u64,
    /// The most that its activations took at a time of the stack's account, in bytes.
    pub stack_bytes: u64,
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
}

impl Function {
    /// Checks that a compiled component's `merge` is of our type, and links it to what it
    /// imports, which is nothing but parts of WASI.
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
        let mut linker = Linker::new(engine);
        let wasi = wasi::is_imported(component);
        if wasi {
            wasi::link(&mut linker)
                .map_err(|error| Refused::Compile { what: told(&format!("{error:#}")) })?;
        }
        let instance = linker
            .instantiate_pre(component)
            .map_err(|error| Refused::WrongImport { what: told(&format!("{error:#}")) })?;
        let meter = component.get_export_index(None, METER_EXPORT);
        Ok(Self { manifest, instance, wasi, merge, log: Log::default(), meter })
    }

    /// Calls it, in a fresh instance.
    pub(crate) fn call(
        &self,
        engine: &Engine,
        input: &MergeInput<'_>,
        backstop: &Backstop,
    ) -> Result<Run, HostFault> {
        // A thread of ours has so much left; any other gets a stack for this call.
        stacker::maybe_grow(CALL_STACK_BYTES, CALL_STACK_BYTES, || {
            let limits = &self.manifest.limits;
            let mut store = CallState::store(engine, limits, input, self.wasi, backstop.deadline);
            let returned = self.run(&mut store, input);
            let state = store.data();
            let (outcome, usage, log) = match returned {
                Ok((answer, left)) => {
                    let (outcome, usage) = self.account(answer, left, state.host_fuel());
                    (outcome, usage, state.log(None))
                }
                Err(error) if error.is::<TookTooLong>() => return Err(backstop.fault()),
                Err(error) => {
                    let fault = fault::of_call(&error, limits)?;
                    let log = state.log(Some((&error, &fault)));
                    (Err(fault), None, log)
                }
            };
            let fuel_limit = self.manifest.limits.fuel;
            Ok(Run { outcome, usage, fuel_limit, memory_bytes: state.memory_bytes(), log })
        })
    }

    fn run(
        &self,
        store: &mut Store<CallState>,
        input: &MergeInput<'_>,
    ) -> wasmtime::Result<(Answer, Option<Left>)> {
        let instance = self.instance.instantiate(&mut *store)?;
        let func = |store: &mut Store<CallState>, export: &ComponentExportIndex| {
            let func = instance.get_func(store, export);
            func.ok_or_else(|| {
                wasmtime::format_err!("the instance lacks an export of its component")
            })
        };
        let merge = func(store, &self.merge)?;
        // SAFETY: `new` has checked the type of this export of this component.
        let merge = unsafe { TypedFunc::<Params<'_>, Returned>::new_unchecked(merge) };
        let conflict = Conflict::new(input, self.manifest.needs_ancestor);
        let (answer,) = merge.call(&mut *store, (conflict,))?;
        let Some(meter) = &self.meter else { return Ok((answer, None)) };
        let meter = func(store, meter)?;
        // SAFETY: the metering pass has given the export this type.
        let meter = unsafe { TypedFunc::<(), (u64,)>::new_unchecked(meter) };
        let (left,) = meter.call(&mut *store, ())?;
        Ok((answer, Some(Left::read(left))))
    }

    /// The guest's own fuel and that of its calls of the host are within the limit each; here the
    /// two are taken together.
    fn account(
        &self,
        answer: Answer,
        left: Option<Left>,
        host_fuel: u64,
    ) -> (Result<Merged, GuestFault>, Option<Usage>) {
        let limit = self.manifest.limits.fuel;
        // Without code of its own there is nothing to meter.
        let left = left.unwrap_or(Left { fuel: Some(limit), stack_bytes: STACK_BYTES_MAX });
        let Some(left_fuel) = left.fuel.and_then(|fuel| fuel.checked_sub(host_fuel)) else {
            return (Err(GuestFault::OutOfFuel { limit }), None);
        };
        let usage = Usage {
            fuel: limit.saturating_sub(left_fuel),
            stack_bytes: STACK_BYTES_MAX.saturating_sub(left.stack_bytes),
        };
        (self.judge(answer), Some(usage))
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
