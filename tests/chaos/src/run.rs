//! Plays scenarios, one after the other, over the same brokers.

use std::path::Path;
use std::time::Instant;

use anyhow::{Context as _, Result, bail, ensure};
use syncline_broker::{Broker, Jars};
use syncline_harness::Rng;

use crate::faults::{SCENARIOS, Scenario, Strike};
use crate::scene::Scene;
use crate::writers::Writers;

/// How much is played.
#[derive(Clone, Debug)]
pub struct Options {
    /// Regions killed in the scenario that kills.
    pub cycles: usize,
    /// The first seed. Each round takes the next.
    pub seed: u64,
    /// How often all is played.
    pub rounds: usize,
    /// Only the scenarios of these names; all where there are none.
    pub only: Vec<String>,
    /// What keeps the regions' stores.
    pub engine: String,
}

impl Default for Options {
    fn default() -> Self {
        Self { cycles: 50, seed: 1, rounds: 1, only: Vec::new(), engine: "sled".into() }
    }
}

impl Options {
    pub(crate) fn progress(&self, cycle: usize) {
        if cycle.is_multiple_of(10) {
            eprintln!("  {cycle} of {} kills", self.cycles);
        }
    }

    fn chosen(&self) -> Result<Vec<&'static Scenario>> {
        let known = |name: &String| SCENARIOS.iter().any(|scenario| scenario.name == name.as_str());
        if let Some(unknown) = self.only.iter().find(|name| !known(name)) {
            let names: Vec<&str> = SCENARIOS.iter().map(|scenario| scenario.name).collect();
            bail!("there is no scenario {unknown}; there are: {}", names.join(", "));
        }
        let is_chosen =
            |s: &&Scenario| self.only.is_empty() || self.only.iter().any(|name| name == s.name);
        Ok(SCENARIOS.iter().filter(is_chosen).collect())
    }
}

/// Three brokers that end with this value.
pub struct Brokers {
    pub(crate) jars: Jars,
    pub(crate) all: Vec<Broker>,
}

impl Brokers {
    /// Starts three brokers that hold nothing, in folders below this one.
    ///
    /// # Errors
    /// Java or Maven is missing, or a broker does not start.
    pub fn start(below: &Path) -> Result<Self> {
        let jars = Jars::fetch(below).context("get Apache Kafka")?;
        let named = |letter: &str| Broker::named(&format!("chaos-{letter}"), &below.join("run"));
        let all = ["a", "b", "c"].map(named).into_iter().collect::<Result<Vec<_>>>()?;
        let brokers = Self { jars, all };
        for broker in &brokers.all {
            // One that a run left behind that was killed.
            broker.stop()?;
            broker.clear()?;
            broker.start(&brokers.jars, None)?;
        }
        Ok(brokers)
    }
}

impl Drop for Brokers {
    fn drop(&mut self) {
        for broker in &self.all {
            if let Err(error) = broker.kill().and_then(|_| broker.clear()) {
                eprintln!("a broker was left behind: {error:#}");
            }
        }
    }
}

/// Plays what was chosen. An error tells the scenario and its seed.
///
/// # Errors
/// Something was not as promised.
pub fn run(brokers: &Brokers, options: &Options) -> Result<()> {
    let chosen = options.chosen()?;
    for round in 0..options.rounds {
        let seed = options.seed.wrapping_add(round as u64);
        for scenario in &chosen {
            let started = Instant::now();
            eprintln!("{}: {}", scenario.name, scenario.what);
            let summary = play(brokers, options, scenario, seed).with_context(|| {
                format!("scenario {}, seed {seed}, {} engine", scenario.name, options.engine)
            })?;
            eprintln!("  {summary}, {:.1} s", started.elapsed().as_secs_f64());
        }
    }
    Ok(())
}

fn play(brokers: &Brokers, options: &Options, scenario: &Scenario, seed: u64) -> Result<String> {
    // Each has topics of its own, as the names of the regions are in them.
    let name = format!("{}-{seed}", scenario.name);
    let mut scene = Scene::start(brokers, &name, &options.engine, scenario.topology)?;
    let writers = Writers::start(&scene.regions(), seed, scenario.name);
    let mut strike = Strike { rng: Rng::new(seed), options };
    let struck = (scenario.strike)(&mut scene, &writers, &mut strike);
    let ledger = writers.stop();
    struck.with_context(|| logs(&scene))?;
    ensure!(!ledger.acknowledged.is_empty(), "nothing was acknowledged");
    scene.heal().with_context(|| logs(&scene))?;
    scene.settle(&ledger).with_context(|| logs(&scene))?;
    for serve in &mut scene.serves {
        let ended = serve.process.stop()?;
        ensure!(ended.success(), "{} ended with {ended}", serve.region.name);
    }
    Ok(format!(
        "{} writes acknowledged, {} unclear, {} refused",
        ledger.acknowledged.len(),
        ledger.unclear.len(),
        ledger.refused
    ))
}

fn logs(scene: &Scene) -> String {
    let log = |serve: &syncline_harness::Serve| {
        format!("--- {} ---\n{}", serve.region.name, serve.process.log())
    };
    let logs: Vec<String> = scene.serves.iter().map(log).collect();
    format!("while regions said\n{}", logs.join("\n"))
}
