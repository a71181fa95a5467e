//! What every region knows when the story begins.

use syncline_core::{ChangeId, Hlc, RegionId, RolloutId, RolloutRecord, TableName};
use syncline_store::kv::component::{self, ComponentFacts};
use syncline_store::kv::rollout;
use syncline_store::{Batch, MemoryStore};

use crate::functions::Function;

/// A table's name.
pub fn table(number: usize) -> TableName {
    format!("t{number}").parse().unwrap_or_else(|error| panic!("{error}"))
}

/// What is known of a component.
pub fn facts(function: Function) -> ComponentFacts {
    ComponentFacts {
        bytes: function.component().len() as u64,
        name: format!("{function:?}"),
        uploaded_by: "the scenario".into(),
        uploaded_at_ms: 0,
    }
}

/// A rollout that all regions have carried out long ago.
pub fn roll_out(
    batch: &mut Batch,
    store: &MemoryStore,
    regions: &[RegionId],
    number: usize,
    function: Function,
) {
    let component = function.component();
    component::put_whole(batch, store, &function.version(), &component, &facts(function))
        .unwrap_or_else(|error| panic!("{error}"));
    // Long before any clock of the story, and above zero.
    let at = |n: usize| {
        Hlc::from_bits((number * 100 + n + 1) as u64).unwrap_or_else(|error| panic!("{error}"))
    };
    let Some(first) = regions.first() else { return };
    let id = RolloutId(ChangeId { hlc: at(0), region: first.clone() });
    let version = function.version();
    let create = RolloutRecord::Create { table: table(number), version, previous: None };
    rollout::put(batch, &id.0, &create);
    for (n, region) in (1..).zip(regions) {
        for (m, record) in [
            RolloutRecord::Ready { rollout: id.clone() },
            RolloutRecord::Active { rollout: id.clone() },
        ]
        .into_iter()
        .enumerate()
        {
            let id = ChangeId { hlc: at(10 * (m + 1) + n), region: region.clone() };
            rollout::put(batch, &id, &record);
        }
    }
}
