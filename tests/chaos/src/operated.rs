//! What those do who run regions and brokers: they stop processes, and change topics.

use std::thread;

use anyhow::{Result, ensure};
use syncline_harness::{PATIENCE, wait_for};

use crate::faults::{PAUSED, SOME_WRITES, Strike};
use crate::foreign::Foreign;
use crate::scene::{Scene, link};
use crate::writers::Writers;

/// How often each region is stopped and started again.
const DRAINS: usize = 3;

pub(crate) fn drained(scene: &mut Scene, writers: &Writers, strike: &mut Strike<'_>) -> Result<()> {
    for _ in 0..DRAINS {
        for number in 0..scene.serves.len() {
            writers.wait_for_more(1 + strike.rng.below(SOME_WRITES))?;
            let serve = &mut scene.serves[number];
            let status = serve.process.stop()?;
            ensure!(status.success(), "{} ended with {status}", serve.region.name);
            serve.start()?;
        }
    }
    writers.wait_for_more(SOME_WRITES)
}

pub(crate) fn broker_paused(
    scene: &mut Scene,
    writers: &Writers,
    strike: &mut Strike<'_>,
) -> Result<()> {
    let broker = scene.brokers[strike.rng.below(scene.brokers.len())].clone();
    writers.wait_for_more(SOME_WRITES)?;
    ensure!(broker.pause()?, "the broker does not run");
    // Its region goes on taking writes.
    let wrote = writers.wait_for_more(5 * SOME_WRITES);
    thread::sleep(PAUSED);
    broker.resume()?;
    wrote?;
    writers.wait_for_more(2 * SOME_WRITES)
}

/// What a region has not read yet is gone from the log that it reads. Nobody else has confirmed it for
/// that region, so it is sent again.
pub(crate) fn records_expired(
    scene: &mut Scene,
    writers: &Writers,
    strike: &mut Strike<'_>,
) -> Result<()> {
    let reader = strike.rng.below(scene.serves.len());
    let source = (reader + 1) % scene.serves.len();
    let topic = format!("syncline.changes.{}", scene.serves[source].region.name);
    writers.wait_for_more(SOME_WRITES)?;
    scene.serves[reader].process.kill9()?;
    writers.wait_for_more(5 * SOME_WRITES)?;
    let deleted = Foreign::delete_records(&scene.brokers[source], &topic)?;
    ensure!(deleted > 0, "there was nothing to delete");
    scene.serves[reader].start()?;
    writers.wait_for_more(2 * SOME_WRITES)
}

pub(crate) fn topic_altered(
    scene: &mut Scene,
    writers: &Writers,
    strike: &mut Strike<'_>,
) -> Result<()> {
    let number = strike.rng.below(scene.serves.len());
    let broker = scene.brokers[number].clone();
    let region = scene.serves[number].region.clone();
    let topic = format!("syncline.changes.{}", region.name);
    writers.wait_for_more(SOME_WRITES)?;
    let before = Foreign::set(&broker, &topic, "max.message.bytes", "200")?;
    // It goes on taking writes, which nobody else gets.
    writers.wait_for_more(5 * SOME_WRITES)?;
    wait_for("the region to keep what its topic does not take", PATIENCE, || {
        let outbox = region.topology()?["outbox"].as_u64().unwrap_or_default();
        ensure!(outbox > 0, "all is confirmed");
        Ok(())
    })?;
    Foreign::set(&broker, &topic, "max.message.bytes", &before)?;
    writers.wait_for_more(SOME_WRITES)?;
    // Nothing is ever written to the new ones.
    Foreign::grow(&broker, &topic, 16)?;
    scene.serves[number].process.kill9()?;
    writers.wait_for_more(SOME_WRITES)?;
    scene.serves[number].start()?;
    writers.wait_for_more(2 * SOME_WRITES)?;
    for other in scene.serves.iter().filter(|other| other.region.name != region.name) {
        wait_for("the log to be read", PATIENCE, || {
            let link = link(&other.region, &region.name)?;
            ensure!(link["link"] == "up", "{}: {link}", other.region.name);
            Ok(())
        })?;
    }
    Ok(())
}
