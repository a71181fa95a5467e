//! What every region knows when the story begins.

use syncline_core::{
    ChangeId, CreateRollout, FunctionVersion, Hlc, RegionId, RolloutDecision, RolloutId,
    RolloutPlace, RolloutPlan, RolloutRecord, RolloutText, SelfTest, TableName,
};
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

/// A rollout that all regions have carried out long ago. There is a region.
pub fn roll_out(
    batch: &mut Batch,
    store: &MemoryStore,
    regions: &[RegionId],
    number: usize,
    function: Function,
) -> RolloutId {
    let component = function.component();
    component::put_whole(batch, store, &function.version(), &component, &facts(function))
        .unwrap_or_else(|error| panic!("{error}"));
    // Long before any clock of the story, and above zero.
    let at = |n: usize| {
        Hlc::from_bits((number * 100 + n + 1) as u64).unwrap_or_else(|error| panic!("{error}"))
    };
    let first = &regions[0];
    let id = RolloutId(ChangeId { hlc: at(0), region: first.clone() });
    let create = CreateRollout {
        table: table(number),
        version: function.version().into(),
        previous: None,
        plan: RolloutPlan::default(),
        actor: RolloutText::default(),
        why: RolloutText::default(),
    };
    rollout::put(batch, &id.0, &RolloutRecord::Create(Box::new(create)));
    let self_test = self_test(function.version());
    let all = |round: usize, record: RolloutRecord| {
        let said = (1..).zip(regions).map(move |(n, region)| {
            let id = ChangeId { hlc: at(10 * round + n), region: region.clone() };
            (id, record.clone())
        });
        said.collect::<Vec<_>>()
    };
    let owner = |n: usize, from: RolloutPlace, to: RolloutPlace| {
        let decision = RolloutRecord::Decision {
            rollout: id.clone(),
            decision: RolloutDecision::Move { from, to },
            gates: Vec::new(),
            why: RolloutText::default(),
        };
        vec![(ChangeId { hlc: at(n), region: first.clone() }, decision)]
    };
    let stage = RolloutPlace::Stage(1);
    for (id, record) in [
        all(1, RolloutRecord::Ready { rollout: id.clone(), self_test }),
        owner(20, RolloutPlace::Distributing, stage),
        all(3, RolloutRecord::Active { rollout: id.clone() }),
        owner(40, stage, RolloutPlace::Complete),
    ]
    .concat()
    {
        rollout::put(batch, &id, &record);
    }
    id
}

/// What the self-test of a version comes to in a region that works.
pub fn self_test(version: FunctionVersion) -> SelfTest {
    SelfTest { digest: version.0, profile: 1 }
}
