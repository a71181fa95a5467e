//! A component whose instance is used again, which no host of ours does: what it takes less than a
//! fresh one is the price of giving each call an instance of its own.

use anyhow::{Context as _, Result, anyhow};
use syncline_host::{Budget, FEATURES, Mark, meter};
use syncline_sdk::Conflict;
use wasmparser::Validator;
use wasmtime::component::{Component, Linker};
use wasmtime::{Config, Engine, ResourceLimiter, Store};

use self::bindings::syncline::merge::types::{self, Side};

#[allow(missing_docs, reason = "made of the world's text")]
mod bindings {
    wasmtime::component::bindgen!({ world: "merge-function", path: "../../../wit" });
}

/// Calls of one instance, then another takes its place: the guests' allocator never gives memory back.
const CALLS: u32 = 1_000;
/// For all of them.
const BUDGET: Budget = Budget { fuel: i32::MAX as u64, stack_bytes: 1 << 20 };

/// Hears what the meter has to say, and ends a call that has used up its budget.
struct Looks;

impl ResourceLimiter for Looks {
    fn memory_growing(
        &mut self,
        _current: usize,
        _desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        Ok(true)
    }

    fn table_growing(
        &mut self,
        _current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        match Mark::of(desired) {
            Some(Mark::Tick) => Ok(false),
            Some(mark) => Err(wasmtime::format_err!("the budget of an instance: {mark:?}")),
            None => Ok(true),
        }
    }
}

/// A metered component with an engine of its own.
pub struct Reused {
    engine: Engine,
    component: Component,
}

/// An instance, and how many calls it is still good for.
pub struct Instance {
    store: Store<Looks>,
    function: bindings::MergeFunction,
    left: u32,
}

impl Reused {
    /// Compiles it with the host's meter and with what the host sets for speed.
    pub fn new(component: &[u8]) -> Result<Self> {
        let mut config = Config::new();
        config.concurrency_support(false).cranelift_nan_canonicalization(true);
        config.wasm_branch_hinting(true);
        let engine = Engine::new(&config).map_err(|error| anyhow!("{error:#}"))?;
        let types = Validator::new_with_features(FEATURES).validate_all(component)?;
        let metered = meter(component, types.as_ref(), &BUDGET).context("meter the component")?;
        let component = Component::new(&engine, metered).map_err(|error| anyhow!("{error:#}"))?;
        Ok(Self { engine, component })
    }

    /// Calls the instance in `kept`, or a new one where it is none or used up.
    pub fn call(&self, kept: &mut Option<Instance>, conflict: &Conflict<&[u8]>) -> Result<Vec<u8>> {
        let instance = match kept {
            Some(instance) if instance.left > 0 => instance,
            _ => kept.insert(self.instance()?),
        };
        instance.left -= 1;
        let Instance { store, function, .. } = instance;
        let answer = function.call_merge(store, &lowered(conflict));
        answer
            .map_err(|error| anyhow!("{error:#}"))?
            .map_err(|error| anyhow!("the component answers {error}"))?
            .context("the component deletes the row")
    }

    fn instance(&self) -> Result<Instance> {
        let mut store = Store::new(&self.engine, Looks);
        store.limiter(|looks| looks);
        let linker = Linker::new(&self.engine);
        let function = bindings::MergeFunction::instantiate(&mut store, &self.component, &linker)
            .map_err(|error| anyhow!("{error:#}"))?;
        Ok(Instance { store, function, left: CALLS })
    }
}

fn lowered(conflict: &Conflict<&[u8]>) -> types::Conflict {
    let image = |image: Option<&[u8]>| image.map(<[u8]>::to_vec);
    let side = |side: &syncline_sdk::Side<&[u8]>| Side {
        region: side.region.clone(),
        hlc: side.hlc,
        operation: match side.operation {
            syncline_sdk::Operation::Insert => types::Operation::Insert,
            syncline_sdk::Operation::Update => types::Operation::Update,
            syncline_sdk::Operation::Delete => types::Operation::Delete,
        },
        image: image(side.image),
    };
    types::Conflict {
        table: conflict.table.clone(),
        row_pk: conflict.row_pk.clone(),
        ancestor: image(conflict.ancestor),
        older: side(&conflict.older),
        newer: side(&conflict.newer),
    }
}
