//! What can be seen of a component while its functions are called.

use anyhow::{Context as _, Result, anyhow, bail};
use syncline_host::{METER_EXPORT, Mark, TABLE_ELEMENTS_MAX};
use wasmtime::component::{Component, Instance, Linker, Val};
use wasmtime::{Engine, ResourceLimiter, Store, Trap};

/// What a guest may have of memory: more than its modules begin with, and soon looked at.
pub(super) const PAGES_MAX: usize = 6;
const MEMORY_BYTES_MAX: usize = PAGES_MAX << 16;
/// The engine's own fuel, which only counts.
const COUNTED: u64 = u64::MAX / 2;

/// A call: the export's name, and its arguments.
pub(super) type Call = (String, Vec<Val>);

/// Calls of one instance, in their order.
pub(super) type Life = Vec<Call>;

/// How a step ended.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum End {
    /// Its results, as bits.
    Done(Vec<u64>),
    Trapped(Trap),
    OutOfFuel,
    TooDeep,
}

/// What was seen of one step.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Step {
    pub(super) end: End,
    /// Of a metered component that goes on.
    pub(super) left: Option<Left>,
    /// What the engine counts, over all steps of the life so far.
    pub(super) counted: Option<u64>,
    /// How often the meter asked whether to go on, over all steps so far.
    pub(super) ticks: u64,
}

/// What a metered component has left of its budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Left {
    pub(super) fuel: u64,
    pub(super) stack_bytes: u64,
}

/// A component, compiled.
pub(super) struct Compiled {
    engine: Engine,
    component: Component,
    is_metered: bool,
}

impl Compiled {
    /// A component that is not metered needs an engine that counts.
    pub(super) fn new(engine: &Engine, bytes: &[u8], is_metered: bool) -> Result<Self> {
        let component =
            Component::from_binary(engine, bytes).map_err(|error| anyhow!("compile: {error:#}"))?;
        Ok(Self { engine: engine.clone(), component, is_metered })
    }

    /// Makes an instance and calls it until something ends it. The first step is its start.
    pub(super) fn live(&self, life: &Life) -> Result<Vec<Step>> {
        let mut store = Store::new(&self.engine, Limiter::default());
        store.limiter(|limiter| limiter);
        if !self.is_metered {
            store.set_fuel(COUNTED).map_err(|error| anyhow!("count: {error:#}"))?;
        }
        let mut living = Living { store, is_metered: self.is_metered, steps: Vec::new() };
        let linker = Linker::new(&self.engine);
        let instance = match linker.instantiate(&mut living.store, &self.component) {
            Ok(instance) => instance,
            Err(error) => {
                let end = ended(error)?;
                living.note(None, end)?;
                return Ok(living.steps);
            }
        };
        let mut goes_on = living.note(Some(&instance), End::Done(Vec::new()))?;
        for (name, args) in life {
            if !goes_on {
                break;
            }
            let end = living.call(&instance, name, args)?;
            goes_on = living.note(Some(&instance), end)?;
        }
        Ok(living.steps)
    }
}

struct Living {
    store: Store<Limiter>,
    is_metered: bool,
    steps: Vec<Step>,
}

impl Living {
    fn call(&mut self, instance: &Instance, name: &str, args: &[Val]) -> Result<End> {
        let func = instance.get_func(&mut self.store, name).context("an export is lost")?;
        let results = func.ty(&self.store).results().len();
        let mut results = vec![Val::Bool(false); results];
        match func.call(&mut self.store, args, &mut results) {
            Ok(()) => Ok(End::Done(results.iter().map(bits).collect())),
            Err(error) => ended(error),
        }
    }

    /// Notes a step; says whether the instance can go on.
    fn note(&mut self, instance: Option<&Instance>, end: End) -> Result<bool> {
        // There is an error where nothing is counted.
        let counted = self.store.get_fuel().ok().map(|left| COUNTED - left);
        let ticks = self.store.data().ticks;
        let mut step = Step { end, left: None, counted, ticks };
        if let (Some(instance), true, End::Done(_)) = (instance, self.is_metered, &step.end) {
            let End::Done(left) = self.call(instance, METER_EXPORT, &[])? else {
                bail!("the meter can't be read");
            };
            let left = left.first().context("the meter tells nothing")?;
            let (fuel, stack_bytes) = (left >> 32, left & u64::from(u32::MAX));
            if fuel == u64::from(u32::MAX) {
                // It is overdrawn. The host takes no answer then.
                step.end = End::OutOfFuel;
            } else {
                step.left = Some(Left { fuel, stack_bytes });
            }
        }
        let goes_on = matches!(step.end, End::Done(_));
        self.steps.push(step);
        Ok(goes_on)
    }
}

fn ended(error: wasmtime::Error) -> Result<End> {
    if let Some(ended) = error.downcast_ref::<Ended>() {
        return Ok(match ended {
            Ended::OutOfFuel => End::OutOfFuel,
            Ended::TooDeep => End::TooDeep,
        });
    }
    match error.downcast_ref::<Trap>() {
        Some(trap) => Ok(End::Trapped(*trap)),
        None => Err(anyhow!("the engine failed: {error:#}")),
    }
}

fn bits(value: &Val) -> u64 {
    match value {
        Val::U32(n) => u64::from(*n),
        Val::S64(n) => n.cast_unsigned(),
        Val::U64(n) => *n,
        Val::Float32(n) => u64::from(n.to_bits()),
        Val::Float64(n) => n.to_bits(),
        // No function here has other results.
        _ => u64::MAX,
    }
}

/// What the meter asks to have done.
#[derive(Debug, thiserror::Error)]
enum Ended {
    #[error("out of fuel")]
    OutOfFuel,
    #[error("too deep")]
    TooDeep,
}

/// Hears the meter as the host does, and gives everyone the same memory.
#[derive(Default)]
struct Limiter {
    ticks: u64,
}

impl ResourceLimiter for Limiter {
    fn memory_growing(
        &mut self,
        _current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        Ok(desired <= MEMORY_BYTES_MAX && maximum.is_none_or(|maximum| desired <= maximum))
    }

    fn table_growing(
        &mut self,
        _current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        match Mark::of(desired) {
            Some(Mark::OutOfFuel) => return Err(Ended::OutOfFuel.into()),
            Some(Mark::TooDeep) => return Err(Ended::TooDeep.into()),
            Some(Mark::Tick) => self.ticks += 1,
            None => {}
        }
        Ok(desired <= TABLE_ELEMENTS_MAX && maximum.is_none_or(|maximum| desired <= maximum))
    }
}
