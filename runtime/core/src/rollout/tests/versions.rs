//! Versions that are retired or deleted.

use super::*;
use crate::{Barred, VersionAsk, VersionRefused, VersionUse};

fn ask(rollouts: &Rollouts, version: FunctionVersion, ask: VersionAsk) -> Option<VersionRecord> {
    let uses = rollouts.uses(&version, |_| Hlc::MAX);
    rollouts.versions().ask(version, ask, uses, (none(), none())).unwrap()
}

fn complete() -> (Play, RolloutId) {
    let mut play = Play::new();
    let first = play.create("a", V1, RolloutPlan::default());
    play.run(0);
    play.create("a", V2, RolloutPlan::default());
    play.run(0);
    (play, first)
}

#[test]
fn what_a_table_has_is_neither_retired_nor_deleted() {
    let (play, _) = complete();
    let a = play.side("a");
    for asked in [VersionAsk::Retire, VersionAsk::Delete] {
        let uses = a.uses(&V2, |_| Hlc::MAX);
        assert!(uses.contains(&VersionUse::InForce(table())), "{uses:?}");
        let refused = a.versions().ask(V2, asked, uses.clone(), (none(), none()));
        assert_eq!(refused, Err(VersionRefused::InUse { uses }));
        assert!(ask(a, V1, asked).is_some());
    }
    assert_eq!(ask(a, V1, VersionAsk::Reinstate), None);
}

#[test]
fn a_rollout_to_what_was_retired_before_is_aborted_wherever_that_is_known_first() {
    let (play, _) = complete();
    let (mut a, mut b) = (play.side("a").clone(), play.side("b").clone());
    let retire = ask(&a, V1, VersionAsk::Retire).unwrap();
    let create = b.create(new(V1, RolloutPlan::default())).unwrap();
    a.insert_version(at(1000, "a"), retire.clone());
    assert_eq!(
        a.create(new(V1, RolloutPlan::default())),
        Err(CreateRefused::Retired { version: V1 })
    );
    for (n, aborted) in [(1001, true), (999, false)] {
        let (mut a, mut b) = (a.clone(), b.clone());
        let rollout = id(n, "b");
        a.insert(rollout.0.clone(), create.clone());
        b.insert(rollout.0.clone(), create.clone());
        assert!(b.get(&rollout).unwrap().state.is_open());
        b.insert_version(at(1000, "a"), retire.clone());
        for side in [&a, &b] {
            let rollout = side.get(&rollout).unwrap();
            assert_eq!(rollout.state == RolloutState::Aborted, aborted, "{:?}", rollout.state);
            assert_eq!(rollout.reason.is_some(), aborted);
            assert_eq!(side.stamp(&table()), crate::Stamp::Function(V2));
        }
    }
    let undo = ask(&a, V1, VersionAsk::Reinstate).unwrap();
    a.insert_version(at(1002, "a"), undo);
    assert!(a.create(new(V1, RolloutPlan::default())).is_ok());
    b.insert_version(at(1000, "a"), retire);
    assert_eq!(b.versions().barred(&V1), Some(Barred::Retired));
}

#[test]
fn only_an_upload_brings_back_what_is_deleted() {
    let (play, _) = complete();
    let mut a = play.side("a").clone();
    let delete = ask(&a, V1, VersionAsk::Delete).unwrap();
    a.insert_version(at(1000, "a"), delete.clone());
    // A second one, made apart, is the same wish.
    a.insert_version(at(1001, "b"), delete);
    let deletion = a.versions().get(&V1).unwrap().deletion.clone();
    assert_eq!(deletion, Some(at(1000, "a")));
    assert_eq!(ask(&a, V1, VersionAsk::Delete), None);
    for asked in [VersionAsk::Retire, VersionAsk::Reinstate] {
        let refused = a.versions().ask(V1, asked, Vec::new(), (none(), none()));
        assert_eq!(refused, Err(VersionRefused::Deleted));
    }
    assert_eq!(
        a.create(new(V1, RolloutPlan::default())),
        Err(CreateRefused::Deleted { version: V1 })
    );
    assert!(a.create_uploaded(new(V1, RolloutPlan::default())).is_ok());
    let released = |n| VersionRecord::Released { version: V1, deletion: at(n, "a") };
    a.insert_version(at(1002, "b"), released(1000));
    a.insert_version(at(1003, "c"), released(7));
    assert_eq!(a.versions().get(&V1).unwrap().released, [region("b")].into());
    a.insert_version(at(1004, "c"), VersionRecord::Upload { version: V1, actor: none() });
    assert_eq!(a.versions().barred(&V1), None);
    assert!(a.create(new(V1, RolloutPlan::default())).is_ok());
}
