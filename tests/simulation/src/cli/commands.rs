//! What the commands do. Each says whether all is as promised; the error is wrong usage.

use std::io::{self, BufRead as _};
use std::num::NonZeroUsize;

use crate::cost::{Costs, ROWS, measure};
use crate::report::{
    Ended, Explained, HowShort, Progress, Steps, Story, Summary, explain, made_short,
};
use crate::run::{Player, run_all};
use crate::scenario::Scenario;
use crate::seeds::{Chosen, Seeds};
use syncline_core::planted::Bug;

use crate::cli::arguments::{Bugs, Cost, Output, Range, Replay, Run};
use crate::cli::{say, show};

const RUN_SEEDS: u64 = 2000;
#[cfg(feature = "planted-bugs")]
const BUGS_SEEDS: u64 = 20_000;
#[cfg(not(feature = "planted-bugs"))]
const WITHOUT_BUGS: &str = "no bug can be planted in this build; cargo xtask sim --bugs makes one \
                            with the feature planted-bugs";

pub(crate) fn run(arguments: &Run) -> Result<bool, String> {
    let Run { range, twice, max_failures, log, output, cost } = arguments;
    let (chosen, jobs) = what_is_played(range, RUN_SEEDS)?;
    let player = Player::new(*twice);
    let mut progress = Progress::new("run", chosen.range.end - chosen.range.start);
    let ran = run_all(
        chosen.range.clone(),
        jobs,
        max_failures.get(),
        |seed| player.play(&Scenario::of(seed), false),
        |ran| progress.at(ran),
    );
    let took = progress.end();
    if !ran.failures.is_empty() {
        say("making the failing runs short");
    }
    let explained: Vec<Explained> =
        ran.failures.iter().map(|failed| explain(failed, player, log)).collect();
    let summary = Summary { chosen: &chosen, ran: &ran, explained: &explained, jobs, took };
    if *output == Output::Table {
        show(&summary.to_string());
        explained.iter().for_each(|explained| show(&explained.to_string()));
    }
    // Only now, as it wants the machine for itself.
    let costs = if *cost { Some(measured(&ROWS)?) } else { None };
    match (output, costs) {
        (Output::Table, costs) => costs.iter().for_each(|costs| show(&costs.to_string())),
        (Output::Json, costs) => {
            let mut json = summary.json();
            costs.iter().for_each(|costs| json["cost"] = costs.json());
            show(&format!("{json}\n"));
            explained.iter().for_each(|explained| say(&explained.to_string()));
        }
    }
    Ok(ran.failures.is_empty())
}

pub(crate) fn replay(arguments: &Replay) -> Result<bool, String> {
    let Replay { seed, shrunk, steps, pause, bug } = arguments;
    let player = player_with(*bug)?;
    let mut scenario = Scenario::of(*seed);
    let mut outcome = player.play(&scenario, true);
    match &outcome.failure {
        Some(failure) if *shrunk => {
            say("making the run short");
            let (short, played) = made_short(&scenario, failure.check, player);
            show(&format!("Made short: {}.\n\n", HowShort(&short)));
            (scenario, outcome) = (short.scenario, played);
        }
        None if *shrunk => say("the run is clean: there is nothing to make short"),
        _ => {}
    }
    if *steps {
        show(&format!("{}\n", Steps(&scenario)));
    }
    let story = Story(&outcome).to_string();
    if *pause {
        line_by_line(&story);
    } else {
        show(&story);
    }
    show(&format!("\n{}", Ended(&outcome)));
    Ok(outcome.failure.is_none())
}

/// A line for each Enter; all the rest where there is none to be had any more.
fn line_by_line(story: &str) {
    let mut enter = io::stdin().lock().lines();
    let mut waits = true;
    for line in story.lines() {
        show(line);
        waits = waits && matches!(enter.next(), Some(Ok(_)));
        if !waits {
            show("\n");
        }
    }
}

#[cfg(feature = "planted-bugs")]
pub(crate) fn bugs(arguments: &Bugs) -> Result<bool, String> {
    use crate::bugs::{Hunt, hunt};

    let Bugs { range, bug: named, fail_fast } = arguments;
    let (chosen, jobs) = what_is_played(range, BUGS_SEEDS)?;
    let bugs = if named.is_empty() { Bug::ALL } else { named };
    let seeds = chosen.range.end - chosen.range.start;
    let mut done = Hunt(Vec::new());
    for (number, bug) in bugs.iter().enumerate() {
        let what = format!("{} ({} of {})", bug.name(), number + 1, bugs.len());
        let mut progress = Progress::new(what, seeds);
        done.0.push(hunt(*bug, chosen.range.clone(), jobs, &mut progress));
        progress.end();
        if *fail_fast && done.not_found() > 0 {
            break;
        }
    }
    show(&done.to_string());
    Ok(done.not_found() == 0)
}

#[cfg(not(feature = "planted-bugs"))]
pub(crate) fn bugs(_: &Bugs) -> Result<bool, String> {
    Err(WITHOUT_BUGS.into())
}

#[cfg(feature = "planted-bugs")]
fn player_with(bug: Option<Bug>) -> Result<Player, String> {
    Ok(Player { bug, twice: false })
}

#[cfg(not(feature = "planted-bugs"))]
fn player_with(bug: Option<Bug>) -> Result<Player, String> {
    match bug {
        Some(_) => Err(WITHOUT_BUGS.into()),
        None => Ok(Player::default()),
    }
}

pub(crate) fn cost(arguments: &Cost) -> Result<bool, String> {
    let Cost { rows, output } = arguments;
    let costs = measured(rows)?;
    match output {
        Output::Table => show(&costs.to_string()),
        Output::Json => show(&format!("{}\n", costs.json())),
    }
    Ok(true)
}

fn measured(rows: &[usize]) -> Result<Costs, String> {
    const TURNS_BETWEEN: usize = 10;
    measure(rows, |turn, turns| {
        if turn % TURNS_BETWEEN == 0 {
            say(&format!("measuring costs: turn {} of {turns}", turn + 1));
        }
    })
}

/// The seeds and the number of threads.
fn what_is_played(range: &Range, by_default: u64) -> Result<(Chosen, usize), String> {
    let Range { seeds, from, jobs } = range;
    let chosen = seeds.clone().unwrap_or(Seeds::Count(by_default)).chosen(*from)?;
    let cores = std::thread::available_parallelism();
    let jobs = jobs.or(cores.ok()).map_or(1, NonZeroUsize::get);
    say(&format!(
        "playing seeds {}..{} ({}) on {jobs} threads",
        chosen.range.start, chosen.range.end, chosen.why
    ));
    Ok((chosen, jobs))
}
