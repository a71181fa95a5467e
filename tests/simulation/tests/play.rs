//! Runs can be played again, and what fails can be made short.

use syncline_sim::report::{explain, made_short};
use syncline_sim::run::{Failed, PANIC, Player, run_all};
use syncline_sim::scenario::{Scenario, Step, Verb};
use syncline_sim::world::Failure;

/// A scenario in which a write panics: there is no row that it could be of.
fn that_panics() -> Scenario {
    let seed = (0..100).find(|seed| Scenario::of(*seed).steps.len() == 240);
    let mut scenario = Scenario::of(seed.unwrap_or_default());
    scenario.steps.retain(|step| !matches!(step, Step::Write { .. }));
    let write = Step::Write { region: 0, table: 0, row: 0, verb: Verb::Put, amount: 1 };
    scenario.steps.insert(3, write);
    scenario.setup.rows = 0;
    scenario.setup.calm = true;
    scenario
}

#[test]
fn a_seed_played_twice_is_the_same_run() {
    for seed in 0..20 {
        let play = || Player::new(false).play(&Scenario::of(seed), true);
        let (first, second) = (play(), play());
        assert_eq!(first.trace, second.trace, "{seed}");
        assert_eq!(first.story, second.story, "{seed}");
        assert_eq!(first.stats.seeds, 1);
    }
}

#[test]
fn seeds_differ() {
    let trace = |seed| Player::new(false).play(&Scenario::of(seed), false).trace;
    assert_ne!(trace(1), trace(2));
}

#[test]
fn what_fails_still_fails_the_same_check_when_it_is_short() {
    let scenario = that_panics();
    let player = Player::new(false);
    let whole = player.play(&scenario, true).failure.unwrap();
    assert_eq!(whole.check, PANIC);
    assert!(whole.what.contains("world.rs"), "{}", whole.what);
    let (shrunk, outcome) = made_short(&scenario, whole.check, player);
    assert_eq!(outcome.failure.unwrap().check, PANIC);
    assert!(shrunk.is_minimal);
    assert!(matches!(shrunk.scenario.steps[..], [Step::Write { .. }]));
    assert!(outcome.story.iter().any(|line| line.ends_with(" a starts")), "{:?}", outcome.story);
    assert!(outcome.story.last().unwrap().contains("Write"), "{:?}", outcome.story);
}

#[test]
fn all_events_of_a_failing_seed_are_in_its_log() {
    // A short one, as nothing can be left out of what does not fail.
    let seed = (0..).find(|seed| Scenario::of(*seed).steps.len() == 40).unwrap();
    let failure = Failure { check: "none", what: "as the test asked".into(), step: None };
    let dir = tempfile::tempdir().unwrap();
    let logs = dir.path().join("a/b");
    let log = explain(&Failed { seed, failure }, Player::new(false), &logs).log.unwrap();
    assert_eq!(log, logs.join(format!("{seed}.log")));
    let text = std::fs::read_to_string(log).unwrap();
    assert!(text.starts_with(&format!("seed {seed}: Setup")), "{text}");
    for line in Player::new(false).play(&Scenario::of(seed), true).story.iter().take(3) {
        assert!(text.contains(line.as_str()), "{line}");
    }
}

#[test]
fn many_seeds_come_to_the_same_on_any_number_of_threads() {
    let player = Player::new(false);
    let play =
        |jobs| run_all(0..30, jobs, 30, |seed| player.play(&Scenario::of(seed), false), |_| {});
    let (one, four) = (play(1), play(4));
    assert_eq!(format!("{one:?}"), format!("{four:?}"));
    assert_eq!(one.stats.seeds, 30);
}
