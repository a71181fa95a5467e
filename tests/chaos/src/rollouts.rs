//! Versions that are rolled out while clients write: watched, aborted, stopped by a gate, and with an
//! owner that dies.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Value, json};
use syncline_harness::{
    If, PATIENCE, Region, Rng, Serve, example_function, later_cart, one_outcome_each, run_cli,
    wait_for,
};

use crate::faults::Strike;
use crate::ledger::CARTS;
use crate::scene::Scene;
use crate::writers::Writers;

/// An owner that was dead decides again once its start check is over.
const ROLLOUT_WAIT: Duration = PATIENCE.saturating_mul(2);
/// More records than an owner's rollout takes: creation, component, readiness, decisions, and what
/// the region itself stamps.
const OWNER_RECORDS_MAX: usize = 12;
/// Which control record of its own the owner commits, and dies before it gets to the log.
const FAILPOINT: &str = "SYNCLINE_FAILPOINT_CONTROL_RECORD";
/// The gate looks from so many conflicts on, and a version that gives up on one of twenty is over it.
const GATE: &str = "fault-rate=0.01@500";
/// Rows that all regions write at once, without looking.
const TRIAL_ROWS: usize = 40;
const TRIAL_PAUSE: Duration = Duration::from_millis(8);

/// Through three regions by the command line, there and, for a part of the way, back.
pub(crate) fn watched(scene: &mut Scene, writers: &Writers, strike: &mut Strike<'_>) -> Result<()> {
    let regions = scene.regions();
    let [a, b, c] = &regions[..] else { bail!("three regions take part") };
    let stages = format!("{};{},{}", a.name, b.name, c.name);
    let file = scene.folder.path().join("later.wasm");
    std::fs::write(&file, later_cart("cart-with-total")?).context("write a component")?;
    let file = file.display().to_string();
    let deploy = ["deploy", &file, "--table", CARTS, "--stages", &stages, "--bake", "1s"];
    let ran = run_cli(&b.url, &[&deploy[..], &["--watch"]].concat(), "")?;
    ensure!(ran.code == 0, "{}{}", ran.stdout, ran.stderr);
    let is_complete = |rollout: &Value| rollout["state"] == "complete";
    let first = wait_state(a, CARTS, "the rollout to be complete here too", is_complete)?;
    writers.wait_for_more(strike.rng.below(80))?;

    let cart = first["previous_version"].as_str().context("there was a version")?.to_owned();
    let create = ["rollout", "create", &cart, "--table", CARTS, "--stages", &stages];
    let ran = run_cli(&c.url, &[&create[..], &["--bake", "1h"]].concat(), "")?;
    ensure!(ran.code == 0, "{}{}", ran.stdout, ran.stderr);
    wait_state(a, CARTS, "the first stage", |rollout| {
        rollout["regions"][&a.name]["active"] == true
    })?;
    writers.wait_for_more(80)?;
    let why = ["rollout", "abort", "--table", CARTS, "--why", "a test"];
    let ran = run_cli(&b.url, &why, "")?;
    ensure!(ran.code == 0, "{}{}", ran.stdout, ran.stderr);
    let aborted = wait_state(a, CARTS, "the abort", |rollout| {
        rollout["state"] == "aborted" && rollout["regions"][&a.name]["active"] == false
    })?;
    ensure!(aborted["reason"] == "a test", "{aborted:#}");
    writers.wait_for_more(80)?;
    let met = one_outcome_each(&regions, CARTS)?;
    ensure!(met > 0, "no conflict was met in two regions");
    Ok(())
}

/// A version that gives up on one conflict of twenty, with a shadow and without.
pub(crate) fn stopped(scene: &mut Scene, writers: &Writers, strike: &mut Strike<'_>) -> Result<()> {
    let regions = scene.regions();
    let bad = scene.folder.path().join("bad.wasm");
    std::fs::write(&bad, later_cart("cart-fails-at-times")?).context("write a component")?;
    let bad = bad.display().to_string();
    for (table, how) in [("trial-shadow", ["--shadow", "1h"]), ("trial-stage", ["--bake", "1h"])] {
        regions[0].deploy(table, &example_function("cart")?)?;
        let stages = format!("{};*", regions[0].name);
        let deploy = ["deploy", &bad, "--table", table, "--stages", &stages, "--gate", GATE];
        let ran = run_cli(&regions[1].url, &[&deploy[..], &how, &["--no-wait"]].concat(), "")?;
        ensure!(ran.code == 0, "{}{}", ran.stdout, ran.stderr);
        let aborted = try_out(&regions, table, strike)?;
        let reason = aborted["reason"].as_str().unwrap_or_default();
        ensure!(reason.starts_with("fault_rate is "), "{aborted:#}");
        let history = aborted["history"].as_array().context("a rollout has a history")?;
        let was_active = history.iter().any(|line| line["what"] == "active");
        let (in_stage, seen) =
            if how[0] == "--shadow" { (false, "shadow") } else { (true, "live") };
        ensure!(was_active == in_stage, "{aborted:#}");
        let conflicts = aborted["seen"][seen]["conflicts"].as_u64();
        ensure!(conflicts >= Some(500), "{aborted:#}");
    }
    writers.wait_for_more(40)
}

/// Writes conflicts until the rollout has ended. Gives the rollout.
fn try_out(regions: &[Region], table: &str, strike: &mut Strike<'_>) -> Result<Value> {
    let done = AtomicBool::new(false);
    let aborted = thread::scope(|scope| {
        for region in regions {
            let (seed, done) = (strike.rng.below(1 << 30) as u64, &done);
            scope.spawn(move || write_trials(region, table, seed, done));
        }
        let ended = wait_state(&regions[2], table, "the gate", |rollout| {
            rollout["state"] == "aborted"
                && regions.iter().all(|region| rollout["regions"][&region.name]["active"] == false)
        });
        done.store(true, Ordering::Relaxed);
        ended
    })?;
    wait_for("the trials to be quiet", PATIENCE, || one_outcome_each(regions, table))?;
    Ok(aborted)
}

/// Overwrites rows without looking. What is refused is left out.
fn write_trials(region: &Region, table: &str, seed: u64, done: &AtomicBool) {
    let mut rng = Rng::new(seed);
    while !done.load(Ordering::Relaxed) {
        let cart = json!({"items": [{"id": region.name, "qty": 1 + rng.below(1000)}]});
        let row = format!("row-{}", rng.below(TRIAL_ROWS));
        let _ = region.put(table, &row, &cart.to_string(), If::Always);
        thread::sleep(TRIAL_PAUSE);
    }
}

/// Rollouts whose owner dies between the commit of a record and the log: of its first record, of its
/// second, and so on. In turn it comes back and goes on, or another region claims the rollout meanwhile.
pub(crate) fn owner_killed(
    scene: &mut Scene,
    writers: &Writers,
    strike: &mut Strike<'_>,
) -> Result<()> {
    let regions = scene.regions();
    let [_, other, _] = &regions[..] else { bail!("three regions take part") };
    let versions = [later_cart("cart-with-total")?, example_function("cart")?];
    for record in 1..=OWNER_RECORDS_MAX {
        let before = newest(other, CARTS)?["rollout_id"].clone();
        scene.serves[0].process.kill9()?;
        scene.serves[0].start_with(&[(FAILPOINT, &record.to_string())])?;
        let version = &versions[(record - 1) % versions.len()];
        let died = upload_and_die(&mut scene.serves[0], &regions, version, &before)?;
        if died {
            writers.wait_for_more(1 + strike.rng.below(20))?;
            if record.is_multiple_of(2) && newest(other, CARTS)?["rollout_id"] != before {
                claim(other)?;
            }
        } else {
            scene.serves[0].process.kill9()?;
        }
        scene.serves[0].start()?;
        for region in &regions {
            wait_state(region, CARTS, "the rollout to go on to its end", |rollout| {
                is_done(rollout, &regions, &before)
            })
            .with_context(|| format!("the owner died before its record {record}"))?;
        }
        if !died {
            ensure!(record > 5, "the owner wrote less than {record} records");
            return one_outcome_each(&regions, CARTS).map(drop);
        }
    }
    bail!("a rollout took more than {OWNER_RECORDS_MAX} records of its owner")
}

/// Has the owner roll a version out. True if it died of that; else all regions have the version.
fn upload_and_die(
    owner: &mut Serve,
    regions: &[Region],
    version: &[u8],
    before: &Value,
) -> Result<bool> {
    let plan = json!({"stages": [[regions[1].name], ["*"]], "bake": "300ms"});
    let mut died = false;
    // It may die before it answers.
    wait_for("the rollout to begin", PATIENCE, || {
        died = died || owner.process.ended()?.is_some();
        if died {
            return Ok(());
        }
        owner.region.upload_with(CARTS, version, &plan)?.success().map(drop)
    })?;
    wait_for("the owner to die, or the rollout to end", ROLLOUT_WAIT, || {
        died = died || owner.process.ended()?.is_some();
        if died {
            return Ok(());
        }
        for region in regions {
            let rollout = newest(region, CARTS)?;
            ensure!(is_done(&rollout, regions, before), "{rollout:#}");
        }
        Ok(())
    })?;
    Ok(died)
}

/// A later rollout than the one before is complete, and all regions have its version.
fn is_done(rollout: &Value, regions: &[Region], before: &Value) -> bool {
    rollout["rollout_id"] != *before
        && rollout["state"] == "complete"
        && regions.iter().all(|of| rollout["regions"][&of.name]["active"] == true)
}

/// Asks until the owner has been silent for long enough.
fn claim(region: &Region) -> Result<()> {
    let id = newest(region, CARTS)?["rollout_id"].as_str().context("it has an id")?.to_owned();
    let path = format!("/v1/rollouts/{id}/claim");
    wait_for("the owner to be silent", PATIENCE, || {
        let answer = region.request("POST", &path, &[], Some(b"{}"))?;
        ensure!(answer.is_success() || answer.code() == "rollout-ended", "{answer}");
        Ok(())
    })
}

/// The table's newest rollout.
fn newest(region: &Region, table: &str) -> Result<Value> {
    let rollouts = region.get_json(&format!("/v1/rollouts?table={table}"))?;
    let rollouts = rollouts["items"].as_array().context("a list of rollouts")?;
    let by_age = |rollout: &&Value| rollout["created_at"].as_str().map(str::to_owned);
    let newest = rollouts.iter().max_by_key(by_age).context("the table has a rollout")?;
    let id = newest["rollout_id"].as_str().context("a rollout has an id")?;
    region.get_json(&format!("/v1/rollouts/{id}"))
}

fn wait_state(
    region: &Region,
    table: &str,
    what: &str,
    holds: impl Fn(&Value) -> bool,
) -> Result<Value> {
    wait_for(what, ROLLOUT_WAIT, || {
        let rollout = newest(region, table)?;
        ensure!(holds(&rollout), "{}: {rollout:#}", region.name);
        Ok(rollout)
    })
}
