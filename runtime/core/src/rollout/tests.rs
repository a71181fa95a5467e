//! Rollouts, record by record.

mod arrival;
mod last_writer;
mod versions;

use std::collections::BTreeSet;

use super::*;
use crate::{FunctionVersion, Hlc};

const V1: FunctionVersion = FunctionVersion([1; 32]);
const V2: FunctionVersion = FunctionVersion([2; 32]);
const PASSED: SelfTest = SelfTest { digest: [7; 32], profile: 1 };
const DISTRIBUTING: RolloutPlace = RolloutPlace::Distributing;
const STAGE_1: RolloutPlace = RolloutPlace::Stage(1);
const STAGE_2: RolloutPlace = RolloutPlace::Stage(2);

fn region(name: &str) -> RegionId {
    name.parse().unwrap()
}

fn at(n: u64, name: &str) -> ChangeId {
    ChangeId { hlc: Hlc::from_bits(n).unwrap(), region: region(name) }
}

fn id(n: u64, name: &str) -> RolloutId {
    RolloutId(at(n, name))
}

fn table() -> TableName {
    "carts".parse().unwrap()
}

fn none() -> RolloutText {
    RolloutText::default()
}

/// First a, then all others.
fn staged() -> RolloutPlan {
    let stages = vec![
        RolloutStage { regions: [region("a")].into(), rest: false },
        RolloutStage { regions: BTreeSet::new(), rest: true },
    ];
    RolloutPlan { stages, ..RolloutPlan::default() }
}

fn new(version: impl Into<Stamp>, plan: RolloutPlan) -> NewRollout {
    NewRollout { table: table(), version: version.into(), plan, actor: none(), why: none() }
}

fn known_to(me: &str) -> Rollouts {
    Rollouts::new(region(me), ["a", "b", "c"].map(region))
}

fn command(rollout: &RolloutId, command: RolloutCommand) -> RolloutRecord {
    RolloutRecord::Command { rollout: rollout.clone(), command, actor: none(), why: none() }
}

fn promote(rollout: &RolloutId, from: RolloutPlace, to: RolloutPlace) -> RolloutRecord {
    command(rollout, RolloutCommand::Promote { from, to })
}

/// All regions' rollouts, and a clock: what one says all others hear at once, but for those that
/// are cut off.
struct Play {
    sides: Vec<Rollouts>,
    cut_off: BTreeSet<RegionId>,
    said: Vec<(ChangeId, RolloutRecord)>,
    time: u64,
    test: fn(&RegionId) -> Result<SelfTest, RolloutText>,
}

impl Play {
    fn new() -> Self {
        let sides = ["a", "b", "c"].map(known_to).to_vec();
        let (cut_off, said) = (BTreeSet::new(), Vec::new());
        Self { sides, cut_off, said, time: 0, test: |_| Ok(PASSED) }
    }

    fn side(&self, name: &str) -> &Rollouts {
        self.sides.iter().find(|side| side.me == region(name)).unwrap()
    }

    fn say(&mut self, name: &str, record: RolloutRecord) -> ChangeId {
        record.check().unwrap();
        self.time += 1;
        let id = at(self.time, name);
        self.said.push((id.clone(), record.clone()));
        let cut_off = &self.cut_off;
        let hears = |side: &&mut Rollouts| side.me == id.region || !cut_off.contains(&side.me);
        if cut_off.contains(&id.region) {
            self.sides
                .iter_mut()
                .find(|side| side.me == id.region)
                .unwrap()
                .insert(id.clone(), record);
        } else {
            self.sides.iter_mut().filter(hears).for_each(|s| s.insert(id.clone(), record.clone()));
        }
        id
    }

    fn create(&mut self, name: &str, version: impl Into<Stamp>, plan: RolloutPlan) -> RolloutId {
        let create = self.side(name).create(new(version, plan)).unwrap();
        RolloutId(self.say(name, create))
    }

    /// Until nothing more happens, at this time.
    fn run(&mut self, now_ms: u64) {
        for _ in 0..40 {
            let mut is_quiet = true;
            for n in 0..self.sides.len() {
                let side = &mut self.sides[n];
                let (me, test) = (side.me.clone(), self.test);
                let mut due = side.due(|_| Some(test(&me)));
                due.extend(side.decide(now_ms));
                is_quiet &= due.is_empty();
                for record in due {
                    self.say(me.as_str(), record);
                }
            }
            if is_quiet {
                return;
            }
        }
        panic!("it never comes to rest");
    }

    fn mend(&mut self) {
        self.cut_off.clear();
        for side in &mut self.sides {
            for (id, record) in &self.said {
                side.insert(id.clone(), record.clone());
            }
        }
    }

    fn ask(&mut self, name: &str, id: &RolloutId, ask: RolloutAsk) -> Result<bool, AskRefused> {
        let record = self.side(name).ask(id, ask, none(), none())?;
        Ok(record.map(|record| self.say(name, record)).is_some())
    }

    fn state(&self, id: &RolloutId) -> RolloutState {
        let shown: Vec<_> = self.sides.iter().map(|side| side.get(id).cloned()).collect();
        assert!(shown.windows(2).all(|pair| pair[0] == pair[1]), "{shown:#?}");
        shown[0].as_ref().unwrap().state
    }

    fn stamps(&self) -> [Stamp; 3] {
        [0, 1, 2].map(|n| self.sides[n].stamp(&table()))
    }
}

fn stamped(versions: [Option<FunctionVersion>; 3]) -> [Stamp; 3] {
    versions.map(|version| version.map_or(Stamp::Lww, Stamp::Function))
}

#[test]
fn a_plan_goes_stage_by_stage_and_each_bakes() {
    let mut play = Play::new();
    let rollout = play.create("b", V1, RolloutPlan { bake_ms: 100, ..staged() });
    play.run(0);
    assert_eq!(play.stamps(), stamped([Some(V1), None, None]));
    play.run(99);
    assert_eq!(play.stamps(), stamped([Some(V1), None, None]));
    play.run(100);
    assert_eq!(play.stamps(), stamped([Some(V1); 3]));
    assert_eq!(play.state(&rollout), RolloutState::Stage);
    play.run(200);
    assert_eq!(play.state(&rollout), RolloutState::Complete);
    let whats: Vec<_> =
        play.side("c").get(&rollout).unwrap().history.iter().map(|h| h.what).collect();
    assert_eq!((whats[0], whats.len()), (RolloutEvent::Created, 7));
}

#[test]
fn nothing_is_activated_before_every_region_has_it() {
    let mut play = Play::new();
    play.cut_off.insert(region("c"));
    let rollout = play.create("a", V1, RolloutPlan::default());
    play.run(0);
    assert_eq!(play.stamps(), stamped([None; 3]));
    assert!(matches!(play.side("b").create(new(V2, staged())), Err(CreateRefused::Open { .. })));
    let refused = play.ask("b", &rollout, RolloutAsk::Promote { to_stage: None });
    assert_eq!(refused, Err(AskRefused::NotReady { regions: vec![region("c")] }));
    // A step that someone takes all the same activates nothing.
    play.say("b", promote(&rollout, DISTRIBUTING, STAGE_1));
    play.run(0);
    assert_eq!(play.stamps(), stamped([None; 3]));
    play.mend();
    play.run(0);
    assert_eq!(play.state(&rollout), RolloutState::Complete);
    assert_eq!(play.stamps(), stamped([Some(V1); 3]));
}

#[test]
fn self_tests_that_differ_end_it_with_both_named() {
    let mut play = Play::new();
    play.test = |me| Ok(SelfTest { profile: u32::from(me.as_str() == "c"), ..PASSED });
    let rollout = play.create("a", V1, RolloutPlan::default());
    play.run(0);
    assert_eq!(play.state(&rollout), RolloutState::Aborted);
    let reason = play.side("b").get(&rollout).unwrap().reason.clone().unwrap();
    assert!(reason.as_str().contains("in a (profile 0)"), "{reason}");
    assert!(reason.as_str().contains("in c (profile 1)"), "{reason}");
    assert_eq!(play.stamps(), stamped([None; 3]));
}

#[test]
fn a_region_that_cannot_use_it_is_waited_for_and_may_say_later_that_it_can() {
    let mut play = Play::new();
    play.test = |me| if me.as_str() == "c" { Err(RolloutText::cut("no")) } else { Ok(PASSED) };
    let rollout = play.create("a", V1, RolloutPlan::default());
    play.run(0);
    assert_eq!(play.state(&rollout), RolloutState::Distributing);
    assert_eq!(play.side("a").get(&rollout).unwrap().not_ready(), vec![region("c")]);
    assert_eq!(play.side("c").to_test(), vec![V1]);
    play.test = |_| Ok(PASSED);
    play.run(0);
    assert_eq!(play.state(&rollout), RolloutState::Complete);
}

#[test]
fn an_abort_goes_back_to_the_last_complete_version() {
    let mut play = Play::new();
    play.create("a", V1, RolloutPlan::default());
    play.run(0);
    for _ in 0..2 {
        let rollout = play.create("b", V2, RolloutPlan { bake_ms: 9, ..staged() });
        play.run(0);
        assert_eq!(play.stamps(), stamped([Some(V2), Some(V1), Some(V1)]));
        assert_eq!(play.ask("c", &rollout, RolloutAsk::Abort), Ok(true));
        play.run(0);
        assert_eq!(play.state(&rollout), RolloutState::Aborted);
        assert_eq!(play.stamps(), stamped([Some(V1); 3]));
        assert_eq!(play.side("a").get(&rollout).unwrap().previous_version, V1.into());
        assert_eq!(play.ask("c", &rollout, RolloutAsk::Abort), Ok(false));
        let late = play.ask("c", &rollout, RolloutAsk::Pause);
        assert_eq!(late, Err(AskRefused::Ended { state: RolloutState::Aborted }));
        play.say("a", promote(&rollout, STAGE_1, STAGE_2));
        assert_eq!(play.state(&rollout), RolloutState::Aborted);
    }
}

#[test]
fn an_abort_of_the_first_rollout_goes_back_to_last_writer_wins() {
    let mut play = Play::new();
    let rollout = play.create("a", V1, RolloutPlan { bake_ms: 9, ..staged() });
    play.run(0);
    play.ask("b", &rollout, RolloutAsk::Abort).unwrap();
    play.run(0);
    assert_eq!(play.stamps(), stamped([None; 3]));
    let regions = &play.side("c").get(&rollout).unwrap().regions;
    assert!(regions.values().all(|progress| !progress.is_active()));
}

#[test]
fn a_region_that_missed_everything_ends_where_the_others_are() {
    let mut play = Play::new();
    play.create("a", V1, RolloutPlan { bake_ms: 9, ..RolloutPlan::default() });
    play.run(0);
    play.cut_off.insert(region("c"));
    let first = play.side("a").current(&table()).unwrap().id.clone();
    play.ask("a", &first, RolloutAsk::Abort).unwrap();
    play.run(0);
    assert_eq!(play.stamps(), stamped([None, None, Some(V1)]));
    let second = play.create("b", V2, staged());
    play.run(0);
    play.ask("b", &second, RolloutAsk::Abort).unwrap();
    play.mend();
    play.run(0);
    assert_eq!(play.stamps(), stamped([None; 3]));
    assert_eq!(play.state(&second), RolloutState::Aborted);
}

#[test]
fn an_abort_after_the_end_does_nothing() {
    let mut play = Play::new();
    let rollout = play.create("a", V1, RolloutPlan::default());
    play.run(0);
    play.say("b", command(&rollout, RolloutCommand::Abort));
    assert_eq!(play.state(&rollout), RolloutState::Complete);
    assert_eq!(play.stamps(), stamped([Some(V1); 3]));
}

#[test]
fn an_abort_that_comes_late_and_was_earlier_takes_the_end_back() {
    let mut a = known_to("a");
    let rollout = id(10, "a");
    a.insert(at(10, "a"), a.create(new(V1, RolloutPlan::default())).unwrap());
    for (n, name) in [(11, "a"), (12, "b"), (13, "c")] {
        let ready = RolloutRecord::Ready { rollout: rollout.clone(), self_test: PASSED };
        a.insert(at(n, name), ready);
    }
    a.insert(at(20, "a"), promote(&rollout, DISTRIBUTING, STAGE_1));
    a.insert(at(21, "a"), RolloutRecord::Active { rollout: rollout.clone() });
    a.insert(at(30, "a"), promote(&rollout, STAGE_1, RolloutPlace::Complete));
    assert_eq!(a.get(&rollout).unwrap().state, RolloutState::Complete);
    a.insert(at(25, "b"), command(&rollout, RolloutCommand::Abort));
    assert_eq!(a.get(&rollout).unwrap().state, RolloutState::Aborted);
    assert_eq!(a.stamp(&table()), Stamp::Function(V1));
    assert_eq!(a.due(|_| Some(Ok(PASSED))), vec![RolloutRecord::Inactive { rollout }]);
}

#[test]
fn a_pause_stops_it_and_only_who_saw_it_resumes_it() {
    let mut play = Play::new();
    let rollout = play.create("a", V1, RolloutPlan { bake_ms: 9, ..staged() });
    play.run(0);
    assert_eq!(play.ask("b", &rollout, RolloutAsk::Resume), Err(AskRefused::NotPaused));
    assert_eq!(play.ask("b", &rollout, RolloutAsk::Pause), Ok(true));
    assert_eq!(play.ask("c", &rollout, RolloutAsk::Pause), Ok(false));
    play.run(1_000);
    assert_eq!(
        (play.state(&rollout), play.stamps()),
        (RolloutState::Paused, stamped([Some(V1), None, None]))
    );
    let promoted = play.ask("b", &rollout, RolloutAsk::Promote { to_stage: None });
    assert_eq!(promoted, Err(AskRefused::Paused));
    let first = play.side("a").get(&rollout).unwrap().paused.clone().unwrap();
    play.say("c", command(&rollout, RolloutCommand::Pause));
    play.say("b", command(&rollout, RolloutCommand::Resume { pause: first }));
    assert_eq!(play.state(&rollout), RolloutState::Paused);
    assert_eq!(play.ask("b", &rollout, RolloutAsk::Resume), Ok(true));
    play.run(1_001);
    assert_eq!(play.state(&rollout), RolloutState::Stage);
    // The time begins anew.
    play.run(1_009);
    assert_eq!(play.stamps(), stamped([Some(V1), None, None]));
    play.run(1_010);
    assert_eq!(play.stamps(), stamped([Some(V1); 3]));
}

#[test]
fn a_manual_rollout_waits_for_a_word_and_the_word_said_twice_is_one_step() {
    let mut play = Play::new();
    let rollout = play.create("a", V1, RolloutPlan { manual: true, ..staged() });
    play.run(1_000_000);
    assert_eq!(play.state(&rollout), RolloutState::Distributing);
    let go = promote(&rollout, DISTRIBUTING, STAGE_1);
    play.say("b", go.clone());
    play.say("c", go);
    play.run(1_000_000);
    assert_eq!(play.stamps(), stamped([Some(V1), None, None]));
    assert_eq!(play.ask("c", &rollout, RolloutAsk::Promote { to_stage: Some(1) }), Ok(false));
    let beyond = play.ask("c", &rollout, RolloutAsk::Promote { to_stage: Some(3) });
    assert_eq!(beyond, Err(AskRefused::NoStage { stage: 3, stages: 2 }));
    assert_eq!(play.ask("c", &rollout, RolloutAsk::Promote { to_stage: Some(2) }), Ok(true));
    play.run(1_000_000);
    assert_eq!(play.state(&rollout), RolloutState::Complete);
}

#[test]
fn only_the_owner_decides_and_of_two_claims_the_first_counts() {
    let mut play = Play::new();
    play.cut_off.insert(region("a"));
    let rollout = play.create("a", V1, RolloutPlan { manual: true, ..staged() });
    play.mend();
    play.run(0);
    let asked = play.ask("b", &rollout, RolloutAsk::Claim { owner_is_silent: false });
    assert_eq!(asked, Err(AskRefused::OwnerSpeaks { owner: region("a") }));
    assert_eq!(play.ask("b", &rollout, RolloutAsk::Claim { owner_is_silent: true }), Ok(true));
    play.say("c", command(&rollout, RolloutCommand::Claim { from: region("a") }));
    assert_eq!(play.side("c").get(&rollout).unwrap().owner, region("b"));
    for name in ["a", "c"] {
        play.say(
            name,
            RolloutRecord::Decision {
                rollout: rollout.clone(),
                decision: RolloutDecision::Abort,
                gates: Vec::new(),
                why: none(),
            },
        );
        assert_eq!(play.state(&rollout), RolloutState::Distributing);
    }
    assert_eq!(play.ask("b", &rollout, RolloutAsk::Claim { owner_is_silent: true }), Ok(false));
}

#[test]
fn what_a_region_decides_that_has_lost_a_claim_is_taken_back() {
    let mut a = known_to("a");
    let rollout = id(10, "a");
    a.insert(at(10, "a"), a.create(new(V1, staged())).unwrap());
    a.insert(
        at(20, "a"),
        RolloutRecord::Decision {
            rollout: rollout.clone(),
            decision: RolloutDecision::Move { from: DISTRIBUTING, to: STAGE_1 },
            gates: Vec::new(),
            why: none(),
        },
    );
    assert_eq!(a.get(&rollout).unwrap().state, RolloutState::Stage);
    a.insert(at(15, "b"), command(&rollout, RolloutCommand::Claim { from: region("a") }));
    assert_eq!(a.get(&rollout).unwrap().state, RolloutState::Distributing);
}

#[test]
fn an_owner_that_is_evicted_is_succeeded_by_one_region() {
    let mut play = Play::new();
    let rollout = play.create("c", V1, staged());
    play.cut_off.insert(region("c"));
    play.run(0);
    assert_eq!(play.side("a").get(&rollout).unwrap().state, RolloutState::Distributing);
    play.sides.retain(|side| side.me != region("c"));
    for side in &mut play.sides {
        side.set_regions(["a", "b"].map(region).into());
    }
    play.run(0);
    let shown = play.side("b").get(&rollout).unwrap();
    assert_eq!((shown.state, &shown.owner), (RolloutState::Complete, &region("a")));
}

#[test]
fn a_region_that_joins_is_waited_for_before_any_further_region_activates() {
    let mut play = Play::new();
    let rollout = play.create("a", V1, RolloutPlan { bake_ms: 9, ..staged() });
    play.run(0);
    let four: BTreeSet<_> = ["a", "b", "c", "d"].map(region).into();
    play.sides.iter_mut().for_each(|side| side.set_regions(four.clone()));
    play.run(9);
    play.say("c", promote(&rollout, STAGE_1, STAGE_2));
    play.run(9);
    assert_eq!(play.stamps(), stamped([Some(V1), None, None]));
    let mut d = Rollouts::restore(region("d"), four, play.said.clone());
    assert!(!d.stamps_as_it_should());
    let due = d.due(|_| Some(Ok(PASSED)));
    assert_eq!(due.len(), 1);
    let ready = play.say("d", due[0].clone());
    d.insert(ready, due[0].clone());
    assert_eq!(d.due(|_| Some(Ok(PASSED))), vec![RolloutRecord::Active { rollout }]);
    play.run(9);
    assert_eq!(play.stamps(), stamped([Some(V1); 3]));
}

#[test]
fn of_two_made_apart_the_later_loses_and_is_active_nowhere() {
    let mut play = Play::new();
    play.cut_off.insert(region("b"));
    let first = play.create("a", V1, RolloutPlan::default());
    let second = play.create("b", V2, RolloutPlan::default());
    play.run(0);
    play.mend();
    play.run(0);
    assert_eq!(play.state(&first), RolloutState::Complete);
    assert_eq!(play.state(&second), RolloutState::Superseded);
    assert_eq!(play.stamps(), stamped([Some(V1); 3]));
    // And what follows the one that lost has lost as well.
    let mut b = play.side("b").clone();
    let RolloutRecord::Create(mut create) = b.create(new(V2, staged())).unwrap() else { panic!() };
    create.previous = Some(PreviousRollout { rollout: second, ended: RolloutEnd::Aborted });
    b.insert(at(900, "b"), RolloutRecord::Create(create));
    assert_eq!(b.get(&id(900, "b")).unwrap().state, RolloutState::Superseded);
}

#[test]
fn a_rollout_ends_as_the_one_that_follows_it_says() {
    let mut a = known_to("a");
    a.insert(at(10, "a"), a.create(new(V1, RolloutPlan::default())).unwrap());
    let RolloutRecord::Create(mut create) = known_to("b").create(new(V2, staged())).unwrap() else {
        panic!()
    };
    create.previous = Some(PreviousRollout { rollout: id(10, "a"), ended: RolloutEnd::Complete });
    a.insert(at(20, "b"), RolloutRecord::Create(create));
    assert_eq!(a.get(&id(10, "a")).unwrap().state, RolloutState::Complete);
    let second = a.get(&id(20, "b")).unwrap();
    assert_eq!((second.state, second.previous_version), (RolloutState::Distributing, V1.into()));
}

#[test]
fn a_gate_that_fails_ends_it_with_its_numbers() {
    let gate = Gate { limit_ppm: 10_000, min_conflicts: 500 };
    let gates = RolloutGates { fault_rate: Some(gate), ..RolloutGates::default() };
    for shadow_ms in [0, 50] {
        let mut play = Play::new();
        let rollout = play.create("a", V1, RolloutPlan { gates, shadow_ms, ..staged() });
        play.run(0);
        let mut counters = RolloutCounters::default();
        let calls = if shadow_ms > 0 { &mut counters.shadow } else { &mut counters.live };
        for n in 0..250 {
            calls.count((n % 20 == 0).then_some("depth-limit"), 1, 1);
        }
        let report = play.side("b").report(&rollout, &counters).unwrap();
        play.say("b", report);
        play.run(100);
        // Too few conflicts to say anything, and so to go on.
        assert!(play.state(&rollout).is_open());
        assert_eq!(play.side("a").gates(&rollout)[0].2, GateVerdict::Waits);
        let report = play.side("b").report(&rollout, &counters).unwrap();
        play.say("b", report);
        play.run(200);
        assert_eq!(play.state(&rollout), RolloutState::Aborted);
        let shown = play.side("c").get(&rollout).unwrap();
        let place = if shadow_ms > 0 { RolloutPlace::Shadow } else { STAGE_1 };
        assert_eq!(shown.place, place);
        let expected = "fault_rate is 5.2 % of 500 conflicts, the gate is at 1 %";
        assert_eq!(shown.reason.as_ref().unwrap().as_str(), expected);
        assert_eq!(play.stamps(), stamped([None; 3]));
        assert_eq!(play.side("b").report(&rollout, &counters), None);
    }
}

#[test]
fn a_version_is_needed_until_its_last_stamp_is_stable() {
    let mut play = Play::new();
    play.create("a", V1, RolloutPlan::default());
    play.run(0);
    let until = |play: &Play, version, stable: u64| {
        play.side("b").uses(&version, |_| Hlc::from_bits(stable).unwrap())
    };
    assert!(until(&play, V1, u64::from(u32::MAX)).contains(&VersionUse::InForce(table())));
    let second = play.create("b", V2, RolloutPlan::default());
    assert_eq!(until(&play, V2, 0), vec![VersionUse::Open(second)]);
    play.run(0);
    assert_eq!(until(&play, V1, 0).len(), 3);
    assert!(matches!(until(&play, V1, 0)[0], VersionUse::StampedUntil { .. }));
    assert_eq!(until(&play, V1, (LATE_STAMP_MS + 9) << 16), vec![]);
}

#[test]
fn plans_are_checked_against_the_regions() {
    let a = known_to("a");
    let refused = |stages: &[&[&str]]| {
        let stage = |names: &&[&str]| RolloutStage {
            regions: names.iter().filter(|name| **name != "*").map(|name| region(name)).collect(),
            rest: names.contains(&"*"),
        };
        let plan = RolloutPlan { stages: stages.iter().map(stage).collect(), ..staged() };
        match a.create(new(V1, plan)) {
            Err(CreateRefused::Plan(refused)) => Some(refused),
            _ => None,
        }
    };
    assert_eq!(refused(&[&["a"], &["b", "c"]]), None);
    assert_eq!(refused(&[&["a"], &["b"]]), Some(PlanRefused::LeftOut(region("c"))));
    assert_eq!(refused(&[&["z"], &["*"]]), Some(PlanRefused::UnknownRegion(region("z"))));
    let bad: [&[&[&str]]; 4] = [&[], &[&["a"], &["a", "*"]], &[&[], &["*"]], &[&["*"], &["*"]]];
    for bad in bad {
        assert!(matches!(refused(bad), Some(PlanRefused::Malformed(_))), "{bad:?}");
    }
    let second = region("a#2");
    assert_eq!(staged().stage_of(&second), 1);
}

#[test]
fn texts_and_places_are_checked() {
    assert_eq!(RolloutText::cut("a\nb").as_str(), "a b");
    assert_eq!(RolloutText::cut(&"é".repeat(600)).as_str().len(), ROLLOUT_TEXT_BYTES_MAX);
    assert!("a\u{7}".parse::<RolloutText>().is_err());
    assert!("x".repeat(1025).parse::<RolloutText>().is_err());
    for place in [DISTRIBUTING, RolloutPlace::Shadow, STAGE_1, RolloutPlace::Stage(64)] {
        assert_eq!(place.to_string().parse(), Ok(place));
    }
    for bad in ["", "stage", "stage 0", "stage 01", "stage 65", "stage +1", "Complete"] {
        assert!(bad.parse::<RolloutPlace>().is_err(), "{bad}");
    }
    let back = promote(&id(1, "a"), STAGE_2, STAGE_1);
    assert!(back.check().is_err());
}
