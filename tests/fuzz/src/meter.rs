//! The metering pass, held against the component as it was, against other engines, and against the
//! count of one engine.
//!
//! A component has one or two random modules, and a third that looks at their memory, globals and
//! tables. Its functions are called a few at a time, each time in a new instance, a *life*. Then
//!
//! - the metered component is valid, and each step of each life ends as it did before the pass,
//!   with the same results, memory, globals and tables, unless the meter ends it;
//! - results, ends and all that the meter counts are the same over engines that compile
//!   differently, and none of them runs into its own stack's end;
//! - a step costs at least one unit for each operator that an engine counts, and not far more;
//! - a call that changes nothing costs the same again, and goes as deep;
//! - with exactly the budget that was used up a life is as it was, and with less it ends where
//!   what was used up first went beyond that.
//!
//! Some modules may run without end. They have no life without the meter, and the rest is checked.

mod component;
mod engines;
mod observer;
mod operators;
pub(crate) mod surface;
mod trace;
mod verdicts;

use anyhow::{Context as _, Result};
use fastrand::Rng;
use syncline_host::{Budget, FEATURES, MeterError, STACK_BYTES_MAX, meter};
use wasmparser::types::TypesRef;
use wasmparser::{ValType, Validator};
use wasmtime::component::Val;

use crate::driver::{Case, Target};
use component::Built;
use engines::{Engines, Setting};
use observer::{STATE, TURNS};
use trace::{Compiled, End, Life, Step};
use verdicts::Cut;

/// Enough for all that ends by itself and asks for no memory.
const FUEL_PLENTY: u64 = i32::MAX as u64;
/// What those get that may have no end: over a slice.
const FUEL_OF_ENDLESS: u64 = 2_500_000;
/// After so many calls and turns the others end.
const ENDS_AFTER: [u32; 3] = [SHALLOW, 200, 2_000];
/// So many calls in one another are never too deep.
const SHALLOW: u32 = 20;
const LIVES_MAX: usize = 3;
const CALLS_MAX: usize = 4;

/// The pass that is fuzzed.
pub type Rewrite = fn(&[u8], TypesRef<'_>, &Budget) -> Result<Vec<u8>, MeterError>;

/// The target `meter`.
pub struct Metering {
    engines: Engines,
    rewrite: Rewrite,
}

impl Metering {
    /// The host's own pass.
    ///
    /// # Errors
    /// An engine can't be set up.
    pub fn new() -> Result<Self> {
        Self::with(meter)
    }

    /// Another pass, to see that its faults are found.
    ///
    /// # Errors
    /// An engine can't be set up.
    pub fn with(rewrite: Rewrite) -> Result<Self> {
        Ok(Self { engines: Engines::new()?, rewrite })
    }
}

impl Target for Metering {
    fn name(&self) -> &'static str {
        "meter"
    }

    fn run(&self, case: &mut Case<'_>) -> Result<()> {
        let endless = case.rng.u8(..4) == 0;
        let ends_after = (!endless).then(|| ENDS_AFTER[case.rng.usize(..ENDS_AFTER.len())]);
        let Some(built) = component::random(&mut case.rng, ends_after)? else {
            case.met("no module");
            return Ok(());
        };
        case.show("original.wasm", &built.bytes);
        case.met(if built.modules == 1 { "one module" } else { "two modules" });
        let lives = lives(&mut case.rng, &built);
        let fuel = if endless { FUEL_OF_ENDLESS } else { FUEL_PLENTY };
        let budget = Budget { fuel, stack_bytes: STACK_BYTES_MAX };
        let after = self.everywhere(case, &built, &budget, &lives, &Setting::ALL)?;
        for steps in &after {
            case.met(kind(steps));
        }
        match ends_after {
            Some(turns) => self.compare(case, &built, turns, &lives, &after)?,
            None => case.met("may be endless"),
        }
        if built.shows_all {
            for (life, steps) in lives.iter().zip(&after) {
                if verdicts::repeats(life, steps, budget.fuel)? {
                    case.met("repeated");
                }
            }
        }
        let at = case.rng.usize(..lives.len());
        self.cut(case, &built, &budget, (&lives[at], &after[at]))
    }
}

impl Metering {
    fn metered(&self, component: &[u8], budget: &Budget) -> Result<Vec<u8>> {
        let mut validator = Validator::new_with_features(FEATURES);
        let types = validator.validate_all(component).context("validate the component")?;
        let metered = (self.rewrite)(component, types.as_ref(), budget)?;
        Validator::new_with_features(FEATURES)
            .validate_all(&metered)
            .context("validate the metered component")?;
        Ok(metered)
    }

    /// The lives of the metered component, which have to be the same over these settings.
    fn everywhere(
        &self,
        case: &Case<'_>,
        built: &Built,
        budget: &Budget,
        lives: &[Life],
        settings: &[Setting],
    ) -> Result<Vec<Vec<Step>>> {
        let metered = self.metered(&built.bytes, budget)?;
        case.show("metered.wasm", &metered);
        let mut first: Option<(Setting, Vec<Vec<Step>>)> = None;
        for setting in settings {
            let compiled = Compiled::new(self.engines.metered(*setting), &metered, true)?;
            let found = live(&compiled, lives).with_context(|| format!("on {setting:?}"))?;
            verdicts::by_the_meter(&found).with_context(|| format!("on {setting:?}"))?;
            match &first {
                None => first = Some((*setting, found)),
                Some((other, expected)) => {
                    verdicts::same(lives, expected, &found)
                        .with_context(|| format!("{other:?} and {setting:?} differ"))?;
                }
            }
        }
        first.map(|(_, found)| found).context("no setting")
    }

    /// The component without the meter lives as it does with it.
    fn compare(
        &self,
        case: &mut Case<'_>,
        built: &Built,
        ends_after: u32,
        lives: &[Life],
        after: &[Vec<Step>],
    ) -> Result<()> {
        let setting = Setting::ALL[case.rng.usize(..Setting::ALL.len())];
        let original = Compiled::new(self.engines.counting(setting), &built.bytes, false)?;
        let before = live(&original, lives).with_context(|| format!("unmetered, {setting:?}"))?;
        let allowed =
            verdicts::Allowed { out_of_fuel: built.operators.grow, too_deep: ends_after > SHALLOW };
        for ((life, before), after) in lives.iter().zip(&before).zip(after) {
            verdicts::unchanged(life, before, after, allowed)
                .with_context(|| format!("metered, and not on {setting:?}"))?;
            verdicts::in_proportion(life, before, after, built.operators.have_lengths)?;
        }
        case.met("compared");
        Ok(())
    }

    /// Lives one life again, with a budget that is just enough, or not.
    fn cut(
        &self,
        case: &mut Case<'_>,
        built: &Built,
        budget: &Budget,
        (life, steps): (&Life, &Vec<Step>),
    ) -> Result<()> {
        let Some(cut) = Cut::random(&mut case.rng, budget, steps) else { return Ok(()) };
        let settings = two_settings(&mut case.rng);
        let lives = [life.clone()];
        let found = self.everywhere(case, built, &cut.budget, &lives, &settings)?;
        cut.check(&found[0])
            .with_context(|| format!("with {:?} in place of {budget:?}", cut.budget))?;
        case.met(cut.kind());
        Ok(())
    }
}

fn live(compiled: &Compiled, lives: &[Life]) -> Result<Vec<Vec<Step>>> {
    lives.iter().map(|life| compiled.live(life)).collect()
}

fn two_settings(rng: &mut Rng) -> [Setting; 2] {
    let all = Setting::ALL;
    let first = rng.usize(..all.len());
    let other = (first + rng.usize(1..all.len())) % all.len();
    [all[first], all[other]]
}

/// Random calls, some twice, and the observer between them.
fn lives(rng: &mut Rng, built: &Built) -> Vec<Life> {
    let state = || (STATE.to_owned(), Vec::new());
    let mut lives = Vec::new();
    for _ in 0..rng.usize(1..=LIVES_MAX) {
        let mut life = vec![state()];
        for _ in 0..rng.usize(1..=CALLS_MAX) {
            let Some(function) = rng.choice(&built.functions) else { break };
            let args = function.params.iter().map(|ty| argument(rng, *ty));
            let call = (function.name.clone(), args.collect::<Vec<_>>());
            for _ in 0..rng.usize(1..=2) {
                life.extend([call.clone(), state()]);
            }
        }
        life.push((TURNS.to_owned(), Vec::new()));
        lives.push(life);
    }
    lives
}

fn argument(rng: &mut Rng, ty: ValType) -> Val {
    let number = match rng.u8(..4) {
        0 => rng.u64(..4),
        1 => rng.u64(..100_000),
        2 => u64::MAX - rng.u64(..4),
        _ => rng.u64(..),
    };
    // A NaN is passed in its canonical form, as that is the only one which guests make.
    match ty {
        ValType::I32 => Val::U32(number as u32),
        ValType::F32 => {
            let float = f32::from_bits(number as u32);
            Val::Float32(if float.is_nan() { f32::from_bits(0x7fc0_0000) } else { float })
        }
        ValType::F64 => {
            let float = f64::from_bits(number);
            Val::Float64(if float.is_nan() { f64::from_bits(0x7ff8_0000_0000_0000) } else { float })
        }
        _ => Val::S64(number.cast_signed()),
    }
}

fn kind(steps: &[Step]) -> &'static str {
    match steps.last().map(|step| &step.end) {
        Some(End::Trapped(_)) => "trapped",
        Some(End::OutOfFuel) => "out of fuel",
        Some(End::TooDeep) => "too deep",
        _ => "done",
    }
}
