//! Regions that come and go while clients write, and are killed in the middle of it.

use std::path::Path;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use syncline_harness::{If, PATIENCE, Region, Serve, wait_for};

use crate::faults::Strike;
use crate::scene::Scene;
use crate::writers::Writers;

/// Rows that make a snapshot take its time, and how long each is.
const BULK_ROWS: usize = 400;
const BULK_BYTES: usize = 100_000;
/// How often the donor or the joiner is killed.
const KILLS: usize = 4;
/// Long enough for a snapshot to begin, short enough to be within it.
const KILL_WITHIN_MS: usize = 900;
/// A join waits for starts of regions that were killed, and of brokers' clients.
const JOIN_WAIT: Duration = PATIENCE.saturating_mul(3);

/// A fourth region joins.
pub(crate) fn join(scene: &mut Scene, writers: &Writers, strike: &mut Strike<'_>) -> Result<()> {
    let donor = strike.rng.below(scene.serves.len());
    bulk(&scene.serves[donor].region)?;
    writers.wait_for_more(40)?;
    let name = scene.fourth.clone();
    let folder = scene.folder.path().join(&name);
    let serve = Serve::new(&name, &folder, &scene.config)?;
    let donor_name = scene.serves[donor].region.name.clone();
    joins_from(&serve, &donor_name, 1)?;
    scene.serves.push(serve);
    scene.known += 1;
    let joiner = scene.serves.len() - 1;
    let joins = ask(&scene.serves[donor].region, "join", &json!({ "region": name }))?;
    ensure!(joins["state"] == "open", "{joins}");
    take_over(scene, strike, donor, joiner)?;
    writers.wait_for_more(40)
}

/// A region loses its store, is evicted, and comes back as another incarnation.
pub(crate) fn come_back(
    scene: &mut Scene,
    writers: &Writers,
    strike: &mut Strike<'_>,
) -> Result<()> {
    let count = scene.serves.len();
    let lost = strike.rng.below(count);
    let donor = (lost + 1 + strike.rng.below(count - 1)) % count;
    bulk(&scene.serves[donor].region)?;
    writers.wait_for_more(40)?;
    // What it has acknowledged is with the others then: the rest would be lost with its disk.
    scene.serves[lost].process.stop()?;
    let name = scene.serves[lost].region.name.clone();
    let donor_name = scene.serves[donor].region.name.clone();
    let store = scene.serves[lost].data().join("store");
    let refuses = if strike.rng.one_in(2) {
        damage(&store)?;
        "store is corrupt"
    } else {
        std::fs::remove_dir_all(scene.serves[lost].data()).context("lose a disk")?;
        "disk is old"
    };
    does_not_start(&mut scene.serves[lost], refuses)?;
    let survivor = scene.serves[donor].region.clone();
    ask(&survivor, "evict", &json!({ "regions": [name] }))?;
    wait_for("the eviction to be complete", JOIN_WAIT, || {
        let changes = survivor.topology()?["membership"].clone();
        ensure!(changes[0]["state"] == "complete", "{changes}");
        Ok(())
    })?;
    writers.wait_for_more(40)?;
    joins_from(&scene.serves[lost], &donor_name, 2)?;
    ask(&survivor, "join", &json!({ "region": format!("{name}#2") }))?;
    scene.known += 1;
    take_over(scene, strike, donor, lost)?;
    writers.wait_for_more(40)
}

/// Kills the donor and the joiner while a snapshot is on its way, and waits until the joiner takes
/// writes.
fn take_over(
    scene: &mut Scene,
    strike: &mut Strike<'_>,
    donor: usize,
    joiner: usize,
) -> Result<()> {
    start(&mut scene.serves[joiner])?;
    for _ in 0..KILLS {
        thread::sleep(Duration::from_millis(strike.rng.below(KILL_WITHIN_MS) as u64));
        if strike.rng.one_in(2) {
            scene.serves[donor].process.kill9()?;
            scene.serves[donor].start()?;
        } else {
            scene.serves[joiner].process.kill9()?;
            start(&mut scene.serves[joiner])?;
        }
    }
    let region = scene.serves[joiner].region.clone();
    wait_for("the region to join", JOIN_WAIT, || {
        let ready = region.request("GET", "/readyz", &[], None)?;
        let said = String::from_utf8_lossy(&ready.body).into_owned();
        ensure!(ready.status == 200, "{said}");
        Ok(())
    })
}

fn start(serve: &mut Serve) -> Result<()> {
    let mut command = serve.command()?;
    serve.process.start(&mut command, &[])
}

/// Rows beside those that clients write.
fn bulk(region: &Region) -> Result<()> {
    for n in 0..BULK_ROWS {
        let image = json!({ "n": n, "bulk": "x".repeat(BULK_BYTES) }).to_string();
        region.put("bulk", &format!("row-{n}"), &image, If::Always)?.success()?;
    }
    Ok(())
}

fn ask(region: &Region, what: &str, body: &Value) -> Result<Value> {
    let path = format!("/v1/topology/{what}");
    let json = [("content-type", "application/json")];
    let answer = region.request("POST", &path, &json, Some(body.to_string().as_bytes()))?;
    Ok(answer.success()?.json())
}

/// Has a region's configuration say whom it takes its data over from.
fn joins_from(serve: &Serve, donor: &str, incarnation: u32) -> Result<()> {
    let config = std::fs::read_to_string(serve.config()).context("read a configuration")?;
    let keys = format!("[region]\nincarnation = {incarnation}\njoin_from = \"{donor}\"\n");
    let config = config.replacen("[region]\n", &keys, 1);
    std::fs::write(serve.config(), config).context("write a configuration")
}

fn does_not_start(serve: &mut Serve, reason: &str) -> Result<()> {
    start(serve)?;
    let ended = wait_for("the region to see what is wrong", PATIENCE, || {
        serve.process.ended()?.context("it still runs")
    })?;
    let log = serve.process.log();
    ensure!(!ended.success() && log.contains(reason), "it ended with {ended}:\n{log}");
    ensure!(log.contains("topology join"), "it does not say what to do:\n{log}");
    Ok(())
}

/// Overwrites the beginning of every file.
fn damage(folder: &Path) -> Result<()> {
    for entry in std::fs::read_dir(folder).with_context(|| format!("list {}", folder.display()))? {
        let path = entry?.path();
        if path.is_dir() {
            damage(&path)?;
        } else {
            std::fs::write(&path, [0xa5; 8192])
                .with_context(|| format!("write {}", path.display()))?;
        }
    }
    Ok(())
}
