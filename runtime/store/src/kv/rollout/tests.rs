use super::*;
use crate::MemoryStore;
use crate::kv::{arbitrary, golden};
use proptest::prelude::*;
use syncline_core::FunctionVersion;

fn id() -> impl Strategy<Value = RolloutId> {
    arbitrary::change_id().prop_map(RolloutId)
}

fn any_text() -> impl Strategy<Value = RolloutText> {
    "[ -~é日]{0,9}".prop_map(|text| text.parse().unwrap())
}

fn way() -> impl Strategy<Value = (RolloutPlace, RolloutPlace)> {
    let place = |n: u8| match n {
        0 => RolloutPlace::Distributing,
        1 => RolloutPlace::Shadow,
        66 => RolloutPlace::Complete,
        n => RolloutPlace::Stage(n - 1),
    };
    (0..66u8, 1..=66u8).prop_map(move |(from, steps)| {
        let to = from.saturating_add(steps).min(66);
        (place(from), place(to))
    })
}

fn plan() -> impl Strategy<Value = RolloutPlan> {
    let gate = || {
        prop::option::of((0..=1_000_000u32, any::<u64>())).prop_map(|gate| {
            gate.map(|(limit_ppm, min_conflicts)| Gate { limit_ppm, min_conflicts })
        })
    };
    (any::<bool>(), 0..1000u64, 0..1000u64, any::<bool>(), (gate(), gate(), gate())).prop_map(
        |(rest, bake_ms, shadow_ms, manual, gates)| RolloutPlan {
            stages: vec![
                RolloutStage { regions: ["a".parse().unwrap()].into(), rest: false },
                RolloutStage { regions: ["b-1".parse().unwrap()].into(), rest },
            ],
            bake_ms,
            shadow_ms,
            manual,
            gates: RolloutGates {
                fault_rate: gates.0,
                shadow_difference_rate: gates.1,
                fuel_p99: gates.2,
            },
        },
    )
}

fn create() -> impl Strategy<Value = RolloutRecord> {
    let ended = prop::sample::select(vec![RolloutEnd::Complete, RolloutEnd::Aborted]);
    let previous = prop::option::of(
        (id(), ended).prop_map(|(rollout, ended)| PreviousRollout { rollout, ended }),
    );
    (arbitrary::row(), arbitrary::stamp(), previous, plan(), any_text(), any_text()).prop_map(
        |(row, version, previous, plan, actor, why)| {
            let table = row.table;
            let create = CreateRollout { table, version, previous, plan, actor, why };
            RolloutRecord::Create(Box::new(create))
        },
    )
}

fn command() -> impl Strategy<Value = RolloutCommand> {
    prop_oneof![
        way().prop_map(|(from, to)| RolloutCommand::Promote { from, to }),
        Just(RolloutCommand::Pause),
        arbitrary::change_id().prop_map(|pause| RolloutCommand::Resume { pause }),
        Just(RolloutCommand::Abort),
        arbitrary::region().prop_map(|from| RolloutCommand::Claim { from }),
    ]
}

fn decision() -> impl Strategy<Value = RolloutDecision> {
    prop_oneof![
        way().prop_map(|(from, to)| RolloutDecision::Move { from, to }),
        Just(RolloutDecision::Abort),
    ]
}

fn calls() -> impl Strategy<Value = CallCounters> {
    (any::<u64>(), any::<[u64; 7]>(), any::<[u64; 20]>(), any::<[u64; 24]>()).prop_map(
        |(conflicts, faults, fuel, latency)| CallCounters { conflicts, faults, fuel, latency },
    )
}

fn record() -> impl Strategy<Value = RolloutRecord> {
    let reading = (prop::sample::select(GateKind::ALL.to_vec()), any::<u32>(), any::<u64>())
        .prop_map(|(gate, value_ppm, conflicts)| GateReading { gate, value_ppm, conflicts });
    let gates = prop::collection::vec(reading, 0..3);
    prop_oneof![
        create(),
        (id(), any::<[u8; 32]>(), any::<u32>()).prop_map(|(rollout, digest, profile)| {
            RolloutRecord::Ready { rollout, self_test: SelfTest { digest, profile } }
        }),
        (id(), any_text()).prop_map(|(rollout, reason)| RolloutRecord::Unready { rollout, reason }),
        (id(), command(), any_text(), any_text()).prop_map(|(rollout, command, actor, why)| {
            RolloutRecord::Command { rollout, command, actor, why }
        }),
        (id(), decision(), gates, any_text()).prop_map(|(rollout, decision, gates, why)| {
            RolloutRecord::Decision { rollout, decision, gates, why }
        }),
        id().prop_map(|rollout| RolloutRecord::Active { rollout }),
        id().prop_map(|rollout| RolloutRecord::Inactive { rollout }),
    ]
}

fn report() -> impl Strategy<Value = RolloutRecord> {
    (id(), calls(), calls(), any::<u64>(), any::<u64>()).prop_map(
        |(rollout, live, shadow, different, dropped)| RolloutRecord::Report {
            rollout,
            counters: Box::new(RolloutCounters { live, shadow, different, dropped }),
        },
    )
}

proptest! {
    #[test]
    fn reads_back(
        records in prop::collection::btree_map(arbitrary::change_id(), record(), 0..6),
        report in (arbitrary::change_id(), report()),
    ) {
        let store = MemoryStore::new();
        let mut batch = Batch::new();
        put(&mut batch, &report.0, &report.1);
        records.iter().for_each(|(id, record)| put(&mut batch, id, record));
        store.commit(batch).unwrap();
        let expected: Vec<_> = records.into_iter().chain([report]).collect();
        prop_assert_eq!(all(&store).unwrap(), expected);
    }

    #[test]
    fn any_bytes_are_read_without_a_panic(value in prop::collection::vec(any::<u8>(), 0..60)) {
        let key = Key::of(Family::Rollout).u64(1).text("a").done();
        let _ = decode_record(&key, &[&[VERSION], &value[..]].concat());
        let key = Key::of(Family::RolloutReport).u64(1).text("a").text("b").done();
        let _ = decode_report(&key, &[&[REPORT_VERSION], &value[..]].concat());
    }
}

#[test]
fn of_a_regions_reports_the_last_is_kept() {
    let store = MemoryStore::new();
    let report = |conflicts| RolloutRecord::Report {
        rollout: RolloutId(golden::id(1 << 16, "a")),
        counters: Box::new(RolloutCounters {
            live: CallCounters { conflicts, ..Default::default() },
            ..Default::default()
        }),
    };
    let mut batch = Batch::new();
    put(&mut batch, &golden::id(2 << 16, "b"), &report(1));
    put(&mut batch, &golden::id(3 << 16, "c"), &report(2));
    put(&mut batch, &golden::id(4 << 16, "b"), &report(3));
    store.commit(batch).unwrap();
    let kept = all(&store).unwrap();
    let of_b = (golden::id(4 << 16, "b"), report(3));
    assert_eq!(kept, vec![of_b, (golden::id(3 << 16, "c"), report(2))]);
}

#[test]
fn the_form_stays() {
    let rollout = || RolloutId(golden::id(300 << 16, "eu-west-1"));
    let text = |text: &str| text.parse::<RolloutText>().unwrap();
    let create = |previous, plan| {
        let (table, version) = ("carts".parse().unwrap(), FunctionVersion([7; 32]).into());
        let (actor, why) = (text("ana"), text("new"));
        let create = CreateRollout { table, version, previous, plan, actor, why };
        RolloutRecord::Create(Box::new(create))
    };
    let gate = |limit_ppm| Some(Gate { limit_ppm, min_conflicts: 500 });
    let plan = RolloutPlan {
        stages: vec![
            RolloutStage { regions: ["eu-west-1".parse().unwrap()].into(), rest: false },
            RolloutStage { regions: [].into(), rest: true },
        ],
        bake_ms: 600_000,
        shadow_ms: 1_000,
        manual: true,
        gates: RolloutGates {
            fault_rate: gate(10_000),
            shadow_difference_rate: None,
            fuel_p99: gate(800_000),
        },
    };
    let command = |command| RolloutRecord::Command {
        rollout: rollout(),
        command,
        actor: text("ana"),
        why: text(""),
    };
    let (from, to) = (RolloutPlace::Stage(1), RolloutPlace::Stage(2));
    let reading = GateReading { gate: GateKind::FuelP99, value_ppm: 900_000, conflicts: 501 };
    let decision = |decision| RolloutRecord::Decision {
        rollout: rollout(),
        decision,
        gates: vec![reading],
        why: text("too much"),
    };
    let previous = PreviousRollout { rollout: rollout(), ended: RolloutEnd::Aborted };
    let self_test = SelfTest { digest: [9; 32], profile: 1 };
    let calls = CallCounters { conflicts: 300, ..Default::default() };
    let counters = RolloutCounters { live: calls, shadow: calls, different: 2, dropped: 1 };
    let records = [
        create(None, RolloutPlan::default()),
        create(Some(previous), plan),
        RolloutRecord::Ready { rollout: rollout(), self_test },
        RolloutRecord::Unready { rollout: rollout(), reason: text("no") },
        command(RolloutCommand::Promote { from, to }),
        command(RolloutCommand::Pause),
        command(RolloutCommand::Resume { pause: golden::id(5 << 16, "b") }),
        command(RolloutCommand::Abort),
        command(RolloutCommand::Claim { from: "b".parse().unwrap() }),
        decision(RolloutDecision::Move { from, to: RolloutPlace::Complete }),
        decision(RolloutDecision::Abort),
        RolloutRecord::Active { rollout: rollout() },
        RolloutRecord::Inactive { rollout: rollout() },
        RolloutRecord::Report { rollout: rollout(), counters: Box::new(counters) },
    ];
    let mut batch = Batch::new();
    for (n, record) in (1..).zip(&records) {
        put(&mut batch, &golden::id(n << 16, "a"), record);
    }
    golden::check("rollout", &batch);
}
