//! What strikes the regions. Each scenario has regions of its own.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use syncline_harness::{PATIENCE, Process, Rng, Serve, wait_for};

use crate::console;
use crate::foreign::Foreign;
use crate::members;
use crate::operated;
use crate::poison::Poison;
use crate::rollouts;
use crate::run::Options;
use crate::scene::{Scene, copy, link};
use crate::topology::Topology;
use crate::writers::Writers;

/// How long a process is stopped where it is: longer than it takes to call it silent, and than
/// any interval of polling.
pub(crate) const PAUSED: Duration = Duration::from_secs(6);
/// How often a region that passes on what it hears is killed.
const FORWARDER_KILLS: usize = 8;
/// Writes that clients make between two faults.
pub(crate) const SOME_WRITES: usize = 40;

/// Something that goes wrong, while clients write.
pub struct Scenario {
    /// Its name, to choose it by.
    pub name: &'static str,
    /// What happens.
    pub what: &'static str,
    /// Who reads whose log.
    pub topology: Topology,
    pub(crate) strike: fn(&mut Scene, &Writers, &mut Strike<'_>) -> Result<()>,
}

/// What a scenario is played with.
pub(crate) struct Strike<'a> {
    pub(crate) rng: Rng,
    pub(crate) options: &'a Options,
}

/// All that can be played.
pub const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "nothing",
        what: "three regions write, and nothing goes wrong",
        topology: Topology::Direct,
        strike: nothing,
    },
    Scenario {
        name: "console",
        what: "Kafka's console consumer reads what a region writes",
        topology: Topology::Direct,
        strike: console::reads,
    },
    Scenario {
        name: "kill",
        what: "kill -9 of one region after the other",
        topology: Topology::Direct,
        strike: kill,
    },
    Scenario {
        name: "pause",
        what: "SIGSTOP of a region",
        topology: Topology::Direct,
        strike: pause,
    },
    Scenario {
        name: "broker-killed",
        what: "kill -9 of a broker",
        topology: Topology::Direct,
        strike: broker_killed,
    },
    Scenario {
        name: "broker-tail",
        what: "a broker comes back with its log as it was some time before",
        topology: Topology::Direct,
        strike: broker_loses_its_tail,
    },
    Scenario {
        name: "dark",
        what: "a region and its broker are away, while others write",
        topology: Topology::Direct,
        strike: dark,
    },
    Scenario {
        name: "poison",
        what: "a foreign producer writes what is no record",
        topology: Topology::Direct,
        strike: poison,
    },
    Scenario {
        name: "mirror",
        what: "a foreign producer copies records from topic to topic",
        topology: Topology::Direct,
        strike: mirror,
    },
    Scenario {
        name: "topic-deleted",
        what: "the topic of a region is deleted while it writes",
        topology: Topology::Direct,
        strike: topic_deleted,
    },
    Scenario {
        name: "drain",
        what: "SIGTERM of one region after the other, under load",
        topology: Topology::Direct,
        strike: operated::drained,
    },
    Scenario {
        name: "broker-paused",
        what: "SIGSTOP of a broker",
        topology: Topology::Direct,
        strike: operated::broker_paused,
    },
    Scenario {
        name: "expired",
        what: "records are gone from a region's topic before all others have read them",
        topology: Topology::Direct,
        strike: operated::records_expired,
    },
    Scenario {
        name: "topic-settings",
        what: "a region's topic takes no records of their size for a while, and has more partitions then",
        topology: Topology::Direct,
        strike: operated::topic_altered,
    },
    Scenario {
        name: "second-process",
        what: "a region is started a second time, on its own data and on none",
        topology: Topology::Direct,
        strike: second_process,
    },
    Scenario {
        name: "join",
        what: "a fourth region joins, while it and its donor are killed",
        topology: Topology::Direct,
        strike: members::join,
    },
    Scenario {
        name: "return",
        what: "a region loses its store, is evicted, and returns as another incarnation",
        topology: Topology::Direct,
        strike: members::come_back,
    },
    Scenario {
        name: "rollout",
        what: "versions go through the regions by stages, one of them back again",
        topology: Topology::Direct,
        strike: rollouts::watched,
    },
    Scenario {
        name: "rollout-gate",
        what: "a version that gives up on some conflicts is stopped by its gate",
        topology: Topology::Direct,
        strike: rollouts::stopped,
    },
    Scenario {
        name: "rollout-owner",
        what: "the region that decides dies before each of its records gets to its log",
        topology: Topology::Direct,
        strike: rollouts::owner_killed,
    },
    Scenario {
        name: "old-disk",
        what: "a region's disk is put back as it was",
        topology: Topology::Direct,
        strike: old_disk,
    },
    Scenario {
        name: "hub",
        what: "kill -9 of the hub that all others hear each other through",
        topology: Topology::Hub,
        strike: forwarder_killed,
    },
    Scenario {
        name: "hub-tail",
        what: "the hub's broker comes back with its log as it was some time before",
        topology: Topology::Hub,
        strike: hub_loses_its_tail,
    },
    Scenario {
        name: "chain",
        what: "four regions in a row, kill -9 of those in the middle",
        topology: Topology::Chain,
        strike: forwarder_killed,
    },
];

fn nothing(_: &mut Scene, writers: &Writers, _: &mut Strike<'_>) -> Result<()> {
    writers.wait_for_more(5 * SOME_WRITES)
}

fn kill(scene: &mut Scene, writers: &Writers, strike: &mut Strike<'_>) -> Result<()> {
    for cycle in 0..strike.options.cycles {
        let victim = strike.rng.below(scene.serves.len());
        thread::sleep(Duration::from_millis(strike.rng.below(700) as u64));
        let serve = &mut scene.serves[victim];
        serve.process.kill9().with_context(|| format!("cycle {cycle}"))?;
        // Some starts are killed as well, at any point.
        if strike.rng.one_in(3) {
            let mut command = serve.command()?;
            serve.process.start(&mut command, &[])?;
            thread::sleep(Duration::from_millis(strike.rng.below(400) as u64));
            serve.process.kill9()?;
        }
        serve.start().with_context(|| format!("cycle {cycle}"))?;
        strike.options.progress(cycle + 1);
    }
    writers.wait_for_more(SOME_WRITES)
}

fn forwarder_killed(scene: &mut Scene, writers: &Writers, strike: &mut Strike<'_>) -> Result<()> {
    let regions = 0..scene.serves.len();
    let victims: Vec<usize> = regions.filter(|number| scene.topology.forwards(*number)).collect();
    for _ in 0..FORWARDER_KILLS {
        let victim = victims[strike.rng.below(victims.len())];
        thread::sleep(Duration::from_millis(strike.rng.below(900) as u64));
        scene.serves[victim].process.kill9()?;
        // The others take writes, and hear of each other's when it is back.
        writers.wait_for_more(SOME_WRITES)?;
        scene.serves[victim].start()?;
        writers.wait_for_more(1 + strike.rng.below(2 * SOME_WRITES))?;
    }
    let (last, far) = (scene.serves.len() - 1, 1);
    let said = link(&scene.serves[last].region, &scene.serves[far].region.name)?;
    ensure!(said["via"].is_string(), "one end does not hear the other through anyone: {said}");
    writers.wait_for_more(SOME_WRITES)
}

fn pause(scene: &mut Scene, writers: &Writers, strike: &mut Strike<'_>) -> Result<()> {
    let victim = strike.rng.below(scene.serves.len());
    writers.wait_for_more(SOME_WRITES)?;
    scene.serves[victim].process.pause()?;
    thread::sleep(PAUSED);
    scene.serves[victim].process.resume()?;
    writers.wait_for_more(2 * SOME_WRITES)
}

fn broker_killed(scene: &mut Scene, writers: &Writers, strike: &mut Strike<'_>) -> Result<()> {
    let victim = strike.rng.below(scene.brokers.len());
    writers.wait_for_more(SOME_WRITES)?;
    scene.brokers[victim].kill()?;
    // Its region goes on taking writes.
    writers.wait_for_more(5 * SOME_WRITES)?;
    scene.start_broker(victim)?;
    writers.wait_for_more(SOME_WRITES)
}

fn broker_loses_its_tail(
    scene: &mut Scene,
    writers: &Writers,
    strike: &mut Strike<'_>,
) -> Result<()> {
    let number = strike.rng.below(scene.brokers.len());
    loses_its_tail(scene, writers, number)
}

/// What it had passed on, and the spokes had not read, is in no other log that they read.
fn hub_loses_its_tail(scene: &mut Scene, writers: &Writers, _: &mut Strike<'_>) -> Result<()> {
    let spoke = &scene.serves[2];
    spoke.process.pause()?;
    let lost = loses_its_tail(scene, writers, 0);
    scene.serves[2].process.resume()?;
    lost?;
    writers.wait_for_more(SOME_WRITES)
}

fn loses_its_tail(scene: &mut Scene, writers: &Writers, number: usize) -> Result<()> {
    let broker = scene.brokers[number].clone();
    writers.wait_for_more(SOME_WRITES)?;
    broker.stop()?;
    let before = scene.folder.path().join("broker");
    copy(&broker.data(), &before)?;
    scene.start_broker(number)?;
    writers.wait_for_more(3 * SOME_WRITES)?;
    broker.kill()?;
    std::fs::remove_dir_all(broker.data()).context("remove the log")?;
    copy(&before, &broker.data())?;
    scene.start_broker(number)?;
    writers.wait_for_more(SOME_WRITES)
}

fn dark(scene: &mut Scene, writers: &Writers, strike: &mut Strike<'_>) -> Result<()> {
    let number = strike.rng.below(scene.serves.len());
    scene.serves[number].process.kill9()?;
    scene.brokers[number].kill()?;
    writers.wait_for_more(10 * SOME_WRITES)?;
    // It starts, and takes writes, while its own broker is away.
    scene.serves[number].start()?;
    let region = scene.serves[number].region.clone();
    writers.wait_for_more(SOME_WRITES)?;
    for other in scene.serves.iter().filter(|other| other.region.name != region.name) {
        let state = link(&other.region, &region.name)?["link"].clone();
        let is_dark = state == "unreadable" || state == "silent";
        ensure!(is_dark, "{} says that {} is {state}", other.region.name, region.name);
    }
    scene.start_broker(number)?;
    writers.wait_for_more(SOME_WRITES)
}

fn poison(scene: &mut Scene, writers: &Writers, strike: &mut Strike<'_>) -> Result<()> {
    let source = scene.serves[0].region.name.clone();
    let foreign = Foreign::producer(&scene.brokers[0])?;
    writers.wait_for_more(SOME_WRITES)?;
    let all = Poison::all(&source, &scene.serves[1].region.name);
    for poison in &all {
        foreign.send(&poison.topic(&source), poison.partition, &poison.key, &poison.payload)?;
        writers.wait_for_more(1 + strike.rng.below(3))?;
    }
    for reader in &scene.serves[1..] {
        wait_for("the poison to be quarantined", PATIENCE, || {
            let records = link(&reader.region, &source)?["records"].clone();
            let quarantined = records["quarantined"].as_u64();
            let of_rows = all.iter().filter(|poison| !poison.is_control).count() as u64;
            ensure!(quarantined == Some(of_rows), "{of_rows} were sent: {records}");
            Ok(())
        })?;
    }
    writers.wait_for_more(SOME_WRITES)
}

fn mirror(scene: &mut Scene, writers: &Writers, _: &mut Strike<'_>) -> Result<()> {
    writers.wait_for_more(2 * SOME_WRITES)?;
    let topic = |number: usize| format!("syncline.changes.{}", scene.serves[number].region.name);
    // The records of b into the topic of a, as a mirror set up the wrong way round would; and those
    // of a into their own topic once more.
    let (own, others) = (topic(0), topic(1));
    let to = Foreign::producer(&scene.brokers[0])?;
    let copied =
        to.copy(&scene.brokers[1], &others, &own)? + to.copy(&scene.brokers[0], &own, &own)?;
    ensure!(copied > 0, "there was nothing to copy");
    writers.wait_for_more(2 * SOME_WRITES)
}

fn topic_deleted(scene: &mut Scene, writers: &Writers, _: &mut Strike<'_>) -> Result<()> {
    writers.wait_for_more(2 * SOME_WRITES)?;
    let region = &scene.serves[1].region.name;
    Foreign::delete_topic(&scene.brokers[1], &format!("syncline.changes.{region}"))?;
    writers.wait_for_more(2 * SOME_WRITES)
}

fn second_process(scene: &mut Scene, writers: &Writers, _: &mut Strike<'_>) -> Result<()> {
    writers.wait_for_more(SOME_WRITES)?;
    let first = &scene.serves[0];
    let on_the_same = first.command()?;
    let twin = Serve::new(&first.region.name, &scene.folder.path().join("twin"), &scene.config)?;
    let tries = [(on_the_same, "another process"), (twin.command()?, "disk is old")];
    for (number, (mut command, reason)) in tries.into_iter().enumerate() {
        let log = scene.folder.path().join(format!("second-{number}"));
        let mut second = Process::new("the second process", log);
        // Any free port: what is in its way must be the data.
        second.start(command.env("SYNCLINE_API__LISTEN", "127.0.0.1:0"), &[])?;
        let ended = wait_for("the second process to end", PATIENCE, || {
            second.ended()?.context("it still runs")
        })?;
        let log = second.log();
        ensure!(!ended.success() && log.contains(reason), "it ended with {ended}:\n{log}");
    }
    writers.wait_for_more(SOME_WRITES)
}

/// The scene goes on with the disk that it had: an old one ends its region.
fn old_disk(scene: &mut Scene, writers: &Writers, _: &mut Strike<'_>) -> Result<()> {
    writers.wait_for_more(SOME_WRITES)?;
    scene.serves[2].process.stop()?;
    let (data, old) = (scene.data(2), scene.folder.path().join("old"));
    let newest = scene.folder.path().join("newest");
    copy(&data, &old)?;
    scene.serves[2].start()?;
    writers.wait_for_more(2 * SOME_WRITES)?;
    scene.serves[2].process.kill9()?;
    std::fs::rename(&data, &newest).context("put the disk aside")?;
    std::fs::rename(&old, &data).context("put the old disk in its place")?;
    let serve = &mut scene.serves[2];
    let mut command = serve.command()?;
    serve.process.start(&mut command, &[])?;
    let started = Instant::now();
    let ended = wait_for("the region to see that its disk is old", PATIENCE, || {
        serve.process.ended()?.context("it still runs")
    })?;
    ensure!(!ended.success(), "it ended in order after {:?}", started.elapsed());
    let log = serve.process.log();
    ensure!(log.contains("disk is old"), "it does not say why:\n{log}");
    std::fs::remove_dir_all(&data).context("remove the old disk")?;
    std::fs::rename(&newest, &data).context("put the disk back")?;
    serve.start()?;
    writers.wait_for_more(SOME_WRITES)
}
