//! Random conflicts through the example functions: every engine gives the same answer for the
//! same fuel and the same depth, however often it is asked; and the cart's is that of its native
//! function.
//!
//! A case is a row with a few conflicts in a row: the answer of one of the engines is a side of
//! the next conflict, as if the engine had been changed in between.

pub(crate) mod conflict;
pub(crate) mod json;

use std::fs;
use std::panic::catch_unwind;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use fastrand::Rng;
use syncline_core::{FunctionVersion, GuestFault, Image, Merged};
use syncline_guest_build::example;
use syncline_host::{EngineSettings, Host, HostConfig, Run};
use syncline_sdk::resolve;

use crate::driver::{Case, Target};
use conflict::Conflict;

const EXAMPLES: [&str; 3] = ["cart", "first-word", "hash-sides"];
/// The one that is compared with its native function.
const CART: &str = "cart";
const CONFLICTS_MAX: usize = 4;
/// Far above what a call takes; below the time in which a case must end.
pub(crate) const WALL_CLOCK_LIMIT: Duration = Duration::from_secs(20);
/// The host cuts longer texts of a function, and escapes what is not printed as it is.
const ERROR_BYTES_COMPARED: usize = 1024;

/// The target `merge`.
pub struct Merging {
    hosts: Vec<(EngineSettings, Host)>,
    functions: Vec<(&'static str, FunctionVersion)>,
}

impl Merging {
    /// Builds the examples, and loads them on a host for each setting of the engine.
    ///
    /// # Errors
    /// An example does not build, a host does not start, or an example is refused.
    pub fn new() -> Result<Self> {
        let components = EXAMPLES
            .map(|name| {
                let built = example(name).with_context(|| format!("build {name}"))?;
                Ok((name, fs::read(&built.path).context("read a component")?))
            })
            .into_iter()
            .collect::<Result<Vec<_>>>()?;
        let mut hosts = Vec::new();
        for engine in EngineSettings::ALL {
            let host = host(engine)?;
            for (name, component) in &components {
                host.load(FunctionVersion::of(component), component)
                    .with_context(|| format!("load {name} on {engine:?}"))?;
            }
            hosts.push((engine, host));
        }
        let functions =
            components.iter().map(|(name, bytes)| (*name, FunctionVersion::of(bytes))).collect();
        Ok(Self { hosts, functions })
    }

    /// What all hosts answer, asked in a random order, the first of them twice.
    fn everywhere(
        &self,
        rng: &mut Rng,
        version: &FunctionVersion,
        conflict: &Conflict,
    ) -> Result<Run> {
        let mut order: Vec<_> = self.hosts.iter().collect();
        rng.shuffle(&mut order);
        order.extend(order.first().copied());
        let mut first: Option<(EngineSettings, Run)> = None;
        for (engine, host) in order {
            let run = host
                .run(version, &conflict.input())
                .with_context(|| format!("no answer on {engine:?}"))?;
            match &first {
                None => first = Some((*engine, run)),
                Some((other, expected)) => {
                    ensure!(run == *expected, "{other:?}: {expected:?}\n{engine:?}: {run:?}");
                }
            }
        }
        first.map(|(_, run)| run).context("no host")
    }
}

/// Small, and without a cache.
pub(crate) fn host(engine: EngineSettings) -> Result<Host> {
    let config = HostConfig {
        slots: 4,
        functions: 4,
        engine,
        wall_clock_limit: WALL_CLOCK_LIMIT,
        ..HostConfig::default()
    };
    Host::new(config).with_context(|| format!("start a host, {engine:?}"))
}

impl Target for Merging {
    fn name(&self) -> &'static str {
        "merge"
    }

    fn run(&self, case: &mut Case<'_>) -> Result<()> {
        let (name, version) = self.functions[case.rng.usize(..self.functions.len())];
        case.met(name);
        let mut conflict = Conflict::random(&mut case.rng)?;
        for _ in 0..case.rng.usize(1..=CONFLICTS_MAX) {
            case.show("conflict.txt", conflict.text().as_bytes());
            let run = self.everywhere(&mut case.rng, &version, &conflict)?;
            case.met(outcome(&run));
            if name == CART {
                compare_with_native(case, &conflict, &run)?;
            }
            let Ok(merged) = run.outcome else { break };
            conflict = conflict.follow(&mut case.rng, merged)?;
        }
        Ok(())
    }
}

/// For the summary.
pub(crate) fn outcome(run: &Run) -> &'static str {
    match &run.outcome {
        Ok(Some(_)) => "merged",
        Ok(None) => "deleted",
        Err(fault) => fault.code(),
    }
}

fn compare_with_native(case: &mut Case<'_>, conflict: &Conflict, run: &Run) -> Result<()> {
    let native = catch_unwind(|| resolve(cart::merge, conflict.native()));
    let expected: Merged = match (native, &run.outcome) {
        // A limit of the sandbox: the native function has none.
        (_, Err(fault)) if is_limit(fault) => return Ok(()),
        (Err(_), Err(GuestFault::Trap(_))) => return Ok(()),
        (Err(_), other) => bail!("the native function panics, the guest does not: {other:?}"),
        (Ok(Err(error)), Err(GuestFault::Error(text))) => {
            let error = String::from(error);
            let plain = error.len() <= ERROR_BYTES_COMPARED
                && !error.chars().any(|c| c.is_control() || !c.is_ascii());
            ensure!(!plain || error == *text, "natively {error:?}, the guest {text:?}");
            case.met("error as native");
            return Ok(());
        }
        (Ok(Err(error)), other) => bail!("natively an error, {error}; the guest: {other:?}"),
        (Ok(Ok(None)), _) => None,
        (Ok(Ok(Some(json))), outcome) => match (Image::canonicalize(&json), outcome) {
            (Ok(image), _) => Some(image),
            (Err(_), Err(GuestFault::InvalidOutput(_))) => return Ok(()),
            (Err(error), other) => bail!("natively no row, {error}; the guest: {other:?}"),
        },
    };
    ensure!(
        run.outcome.as_ref() == Ok(&expected),
        "natively {expected:?}, the guest: {:?}",
        run.outcome
    );
    case.met("as native");
    Ok(())
}

fn is_limit(fault: &GuestFault) -> bool {
    matches!(
        fault,
        GuestFault::OutOfFuel { .. }
            | GuestFault::DepthLimit
            | GuestFault::MemoryLimit { .. }
            | GuestFault::OutputTooLarge { .. }
    )
}
