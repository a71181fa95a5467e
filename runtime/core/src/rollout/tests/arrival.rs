//! The order in which records arrive.

use proptest::prelude::*;

use super::*;

/// Any record about one of two rollouts of the table.
fn any_record() -> impl Strategy<Value = (ChangeId, RolloutRecord)> {
    let who = prop::sample::select(vec!["a", "b", "c"]);
    (3..60u64, who, 0..13u8, any::<bool>(), 3..60u64).prop_map(|(n, who, kind, first, other)| {
        let rollout = if first { id(1, "a") } else { id(2, "b") };
        let decision = |decision| RolloutRecord::Decision {
            rollout: rollout.clone(),
            decision,
            gates: Vec::new(),
            why: none(),
        };
        let record = match kind {
            0 | 1 => RolloutRecord::Ready { rollout, self_test: PASSED },
            2 => promote(&rollout, DISTRIBUTING, STAGE_1),
            3 => promote(&rollout, STAGE_1, STAGE_2),
            4 => command(&rollout, RolloutCommand::Pause),
            5 => command(&rollout, RolloutCommand::Resume { pause: at(other, who) }),
            6 => command(&rollout, RolloutCommand::Abort),
            7 => command(&rollout, RolloutCommand::Claim { from: rollout.0.region.clone() }),
            8 => decision(RolloutDecision::Move { from: DISTRIBUTING, to: STAGE_1 }),
            9 => decision(RolloutDecision::Move { from: STAGE_2, to: RolloutPlace::Complete }),
            10 => RolloutRecord::Active { rollout },
            11 => RolloutRecord::Inactive { rollout },
            _ => RolloutRecord::Unready { rollout, reason: none() },
        };
        (at(n, who), record)
    })
}

proptest! {
    #[test]
    fn the_order_of_arrival_makes_no_difference(
        records in prop::collection::btree_map(3..60u64, any_record(), 0..24)
            .prop_map(|records| records.into_values().collect::<BTreeMap<_, _>>())
            .prop_flat_map(|records| {
                let records: Vec<_> = records.into_iter().collect();
                (Just(records.clone()), Just(records).prop_shuffle())
            }),
        follows in any::<bool>(),
    ) {
        let create = |version, previous| {
            let NewRollout { table, version, plan, actor, why } = new(version, staged());
            let create = CreateRollout { table, version, previous, plan, actor, why };
            RolloutRecord::Create(Box::new(create))
        };
        let previous = follows.then(|| PreviousRollout {
            rollout: id(1, "a"),
            ended: RolloutEnd::Aborted,
        });
        let creations = [(at(1, "a"), create(V1, None)), (at(2, "b"), create(V2, previous))];
        let (sorted, shuffled) = records;
        let mut one = known_to("a");
        let mut other = known_to("a");
        for (id, record) in creations.iter().cloned().chain(sorted.clone()) {
            one.insert(id, record);
        }
        for (id, record) in shuffled.into_iter().chain(creations.iter().rev().cloned()) {
            other.insert(id.clone(), record.clone());
            // Records that come again change nothing.
            other.insert(id, record);
        }
        let shown = |rollouts: &Rollouts| rollouts.iter().cloned().collect::<Vec<_>>();
        prop_assert_eq!(shown(&one), shown(&other));
        prop_assert_eq!(one.stamps(), other.stamps());
        let all = creations.into_iter().chain(sorted);
        let restored = Rollouts::restore(region("a"), ["a", "b", "c"].map(region), all);
        prop_assert_eq!(shown(&one), shown(&restored));
        let ended = one.iter().filter(|rollout| rollout.state.is_open()).count();
        prop_assert!(ended <= 1, "one rollout a table at a time");
    }
}

fn any_version_record() -> impl Strategy<Value = VersionRecord> {
    (0..6u8, any::<bool>(), 1..60u64).prop_map(|(kind, first, deletion)| {
        let version = if first { V1 } else { V2 };
        let (actor, why) = (none(), none());
        match kind {
            0 => VersionRecord::Retire { version, actor, why },
            1 => VersionRecord::Reinstate { version, actor, why },
            2 | 3 => VersionRecord::Delete { version, actor, why },
            4 => VersionRecord::Upload { version, actor },
            _ => VersionRecord::Released { version, deletion: at(deletion, "c") },
        }
    })
}

proptest! {
    /// What is said of versions, before, between and behind the rollouts that it bars.
    #[test]
    fn what_bars_a_rollout_may_come_before_it_or_after(
        records in prop::collection::btree_map(1..60u64, any_version_record(), 0..12)
            .prop_flat_map(|records| {
                let records: Vec<_> = records.into_iter().collect();
                (Just(records.clone()), Just(records).prop_shuffle())
            }),
        first in any::<bool>(),
    ) {
        let create = |version, previous| {
            let NewRollout { table, version, plan, actor, why } = new(version, staged());
            let create = CreateRollout { table, version, previous, plan, actor, why };
            RolloutRecord::Create(Box::new(create))
        };
        let ended = RolloutEnd::Aborted;
        let previous = Some(PreviousRollout { rollout: id(20, "a"), ended });
        let creations =
            [(at(20, "a"), create(V1, None)), (at(40, "b"), create(V2, previous))];
        let (sorted, shuffled) = records;
        let (mut one, mut other) = (known_to("a"), known_to("a"));
        for (id, record) in &creations {
            one.insert(id.clone(), record.clone());
        }
        for (n, record) in &sorted {
            one.insert_version(at(*n, "c"), record.clone());
        }
        for (n, record) in shuffled {
            if !first {
                other.insert_version(at(n, "c"), record.clone());
            }
            for (id, record) in creations.iter().rev() {
                other.insert(id.clone(), record.clone());
            }
            other.insert_version(at(n, "c"), record);
        }
        for (id, record) in &creations {
            other.insert(id.clone(), record.clone());
        }
        let shown = |rollouts: &Rollouts| rollouts.iter().cloned().collect::<Vec<_>>();
        let views = |rollouts: &Rollouts| {
            let views = rollouts.versions().iter();
            views.map(|(version, view)| (*version, view.clone())).collect::<Vec<_>>()
        };
        prop_assert_eq!(shown(&one), shown(&other));
        prop_assert_eq!(views(&one), views(&other));
        for (n, version, rollout) in [(20, V1, id(20, "a")), (40, V2, id(40, "b"))] {
            let barred = one.versions().barred_at(&version, &at(n, if n == 20 { "a" } else { "b" }));
            let is_last = n == 40;
            let state = one.get(&rollout).unwrap().state;
            let open = barred.is_none() && is_last;
            prop_assert_eq!(state.is_open(), open, "{:?} {:?}", barred, state);
        }
    }
}
