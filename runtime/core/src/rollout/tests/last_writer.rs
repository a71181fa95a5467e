//! A table goes back to the last writer.

use super::*;

#[test]
fn a_table_goes_back_to_the_last_writer_stage_by_stage() {
    let mut play = Play::new();
    play.create("a", V1, RolloutPlan::default());
    play.run(0);
    assert_eq!(play.stamps(), stamped([Some(V1); 3]));
    let back = play.create("b", Stamp::Lww, RolloutPlan { bake_ms: 100, ..staged() });
    // Every region has it: nothing is to be tested.
    assert_eq!(play.side("a").to_test(), vec![]);
    play.run(0);
    assert_eq!(play.stamps(), stamped([None, Some(V1), Some(V1)]));
    let shown = play.side("c").get(&back).unwrap();
    assert_eq!((shown.version, shown.previous_version), (Stamp::Lww, V1.into()));
    assert!(shown.regions.values().all(|at| at.self_test == Some(SelfTest::BUILT_IN)));
    for now_ms in [100, 200] {
        play.run(now_ms);
    }
    assert_eq!((play.state(&back), play.stamps()), (RolloutState::Complete, stamped([None; 3])));
    // The version is needed no longer, and nothing needs a profile for lww.
    assert_eq!(play.side("a").uses(&V1, |_| Hlc::MAX), vec![]);
    assert!(play.side("a").profiles().keys().eq([&V1]));
    // And forward again, to the version that was there.
    let again = play.create("c", V1, RolloutPlan::default());
    play.run(200);
    assert_eq!(play.side("a").get(&again).unwrap().previous_version, Stamp::Lww);
    assert_eq!(play.stamps(), stamped([Some(V1); 3]));
}

#[test]
fn who_aborts_the_way_back_keeps_the_version() {
    let mut play = Play::new();
    play.create("a", V1, RolloutPlan::default());
    play.run(0);
    let back = play.create("a", Stamp::Lww, RolloutPlan { bake_ms: 100, ..staged() });
    play.run(0);
    assert_eq!(play.stamps(), stamped([None, Some(V1), Some(V1)]));
    assert_eq!(play.ask("b", &back, RolloutAsk::Abort), Ok(true));
    play.run(0);
    assert_eq!(play.stamps(), stamped([Some(V1); 3]));
}
