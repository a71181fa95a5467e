//! Damaged and odd components against admission: each gets an answer, the same each time; and
//! what is admitted loads, runs, and answers the same each time and on another engine.

mod corpus;
mod mutate;

use anyhow::{Context as _, Result, bail, ensure};
use syncline_core::FunctionVersion;
use syncline_host::{EngineSettings, Host, LoadError, Refused, Run};

use crate::driver::{Case, Target};
use crate::merge::conflict::Conflict;
use crate::merge::{host, outcome};
use corpus::Corpus;

/// The target `admission`.
pub struct Admission {
    corpus: Corpus,
    /// One for each setting of the engine, the one of regions first.
    hosts: Vec<(EngineSettings, Host)>,
}

impl Admission {
    /// Builds the examples, and starts the hosts.
    ///
    /// # Errors
    /// An example does not build, or a host does not start.
    pub fn new() -> Result<Self> {
        let hosts = EngineSettings::ALL.map(|engine| Ok((engine, host(engine)?)));
        let hosts = hosts.into_iter().collect::<Result<_>>()?;
        Ok(Self { corpus: Corpus::new()?, hosts })
    }
}

impl Target for Admission {
    fn name(&self) -> &'static str {
        "admission"
    }

    fn run(&self, case: &mut Case<'_>) -> Result<()> {
        let (kind, mut component) = self.corpus.pick(&mut case.rng)?;
        case.met(kind);
        if case.rng.u8(..8) > 0 {
            let (_, other) = self.corpus.pick(&mut case.rng)?;
            component = mutate::mutate(&mut case.rng, &component, &other);
        }
        case.show("component.wasm", &component);
        let [(_, host), others @ ..] = &self.hosts[..] else { bail!("no host") };
        let version = FunctionVersion::of(&component);
        match host.admit(&component) {
            Err(refused) => {
                let again = host.admit(&component);
                ensure!(again.as_ref() == Err(&refused), "first {refused:?}, then {again:?}");
                // The compiler has no say in what is admitted.
                if let Refused::Compile { .. } | Refused::NotNow { .. } = refused {
                    bail!("it is admitted, and then {refused}");
                }
                case.met(refused.code());
            }
            Ok(admitted) => {
                ensure!(admitted.version == version, "it is admitted as another");
                let conflict = Conflict::random(&mut case.rng)?;
                case.show("conflict.txt", conflict.text().as_bytes());
                let run = answer(host, &component, &conflict)?;
                let (engine, other) = &others[case.rng.usize(..others.len())];
                let elsewhere = answer(other, &component, &conflict)
                    .with_context(|| format!("on {engine:?}"))?;
                let same = but_for_the_log(&run) == but_for_the_log(&elsewhere);
                ensure!(same, "here {run:?}, on {engine:?} {elsewhere:?}");
                case.met("admitted");
                case.met(outcome(&run));
            }
        }
        Ok(())
    }
}

/// What has to be the same on all engines. Where a call failed is told by the engine's frames, and one
/// that puts functions into their callers has fewer.
fn but_for_the_log(run: &Run) -> Run {
    Run { log: String::new(), ..run.clone() }
}

/// Loads it, and calls it twice.
fn answer(host: &Host, component: &[u8], conflict: &Conflict) -> Result<Run> {
    let version = FunctionVersion::of(component);
    host.load(version, component)
        .map_err(|error: LoadError| anyhow::anyhow!("it was admitted, but not loaded: {error}"))?;
    let runs = [(); 2].map(|()| host.run(&version, &conflict.input()));
    host.remove(&version);
    let [first, second] = runs;
    let first = first.context("run it")?;
    let second = second.context("run it again")?;
    ensure!(first == second, "first {first:?}, then {second:?}");
    Ok(first)
}
