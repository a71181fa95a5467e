//! What has to hold of what was seen.

use anyhow::{Result, bail, ensure};
use fastrand::Rng;
use syncline_host::Budget;
use wasmtime::Trap;

use super::observer::STATE;
use super::trace::{Call, End, Life, Step};

/// How much a step may cost for each operator that the engine counts: the dearest operator
/// without a length costs 32, and an entry or a turn has some other code's cost folded into it.
const COST_MAX: u64 = 64;

/// For what reasons the meter may end what ended otherwise without it.
#[derive(Clone, Copy)]
pub(super) struct Allowed {
    pub(super) out_of_fuel: bool,
    pub(super) too_deep: bool,
}

/// The meter's account comes before the end of the engine's stack.
pub(super) fn by_the_meter(lives: &[Vec<Step>]) -> Result<()> {
    for step in lives.iter().flatten() {
        ensure!(step.end != End::Trapped(Trap::StackOverflow), "the engine's stack is used up");
    }
    Ok(())
}

/// Two engines agree in all.
pub(super) fn same(lives: &[Life], one: &[Vec<Step>], other: &[Vec<Step>]) -> Result<()> {
    for ((life, one), other) in lives.iter().zip(one).zip(other) {
        let differs = one.iter().zip(other).position(|(one, other)| one != other);
        let differs =
            differs.or_else(|| (one.len() != other.len()).then(|| one.len().min(other.len())));
        if let Some(at) = differs {
            let (one, other) = (one.get(at), other.get(at));
            bail!("{}: {one:?}, and {other:?}", step_name(life, at));
        }
    }
    Ok(())
}

/// The meter changes nothing, but that it may end a life.
pub(super) fn unchanged(
    life: &Life,
    before: &[Step],
    after: &[Step],
    allowed: Allowed,
) -> Result<()> {
    for (at, (before, after)) in before.iter().zip(after).enumerate() {
        if before.end == after.end {
            continue;
        }
        let may = match after.end {
            End::OutOfFuel => allowed.out_of_fuel,
            End::TooDeep => allowed.too_deep,
            _ => false,
        };
        ensure!(may, "{}: {:?}, and {:?}", step_name(life, at), after.end, before.end);
        return Ok(());
    }
    ensure!(before.len() == after.len(), "{} steps, and {}", after.len(), before.len());
    Ok(())
}

/// What a call costs is at least what an engine counts. The start is left out, as engines count
/// what they do for an instance themselves.
pub(super) fn in_proportion(
    life: &Life,
    before: &[Step],
    after: &[Step],
    has_lengths: bool,
) -> Result<()> {
    let mut last: Option<(u64, u64)> = None;
    for (at, (before, after)) in before.iter().zip(after).enumerate() {
        let (Some(counted), Some(left)) = (before.counted, after.left) else { break };
        if let Some((counted_before, left_before)) = last {
            let (counted, cost) = (counted - counted_before, left_before - left.fuel);
            ensure!(cost >= counted, "{}: {counted} operators cost {cost}", step_name(life, at));
            let max = COST_MAX * (counted + 1);
            ensure!(
                has_lengths || cost <= max,
                "{}: {counted} operators cost {cost}, which is far more",
                step_name(life, at)
            );
        }
        last = Some((counted, left.fuel));
    }
    Ok(())
}

/// A call that changes nothing, made again, is the same again. Says whether there was one.
pub(super) fn repeats(life: &Life, steps: &[Step], fuel: u64) -> Result<bool> {
    let mut found = false;
    // A step for each call, after the start.
    let seen: Vec<(&Call, &Step)> = life.iter().zip(steps.iter().skip(1)).collect();
    for window in seen.windows(5) {
        let [state, call, state_after, again, _] = window else { continue };
        let states = [state, state_after].iter().all(|(call, _)| call.0 == STATE);
        if !states || call.0 != again.0 || call.0.0 == STATE || state.1.end != state_after.1.end {
            continue;
        }
        let left = [state.1.left, call.1.left, state_after.1.left, again.1.left];
        let [Some(a), Some(b), Some(c), Some(d)] = left else { continue };
        found = true;
        let name = &call.0.0;
        ensure!(call.1.end == again.1.end, "{name} gives other results the second time");
        let (first, second) = (a.fuel - b.fuel, c.fuel - d.fuel);
        ensure!(first == second, "{name} costs {first} of {fuel}, and then {second}");
        ensure!(
            d.stack_bytes == c.stack_bytes,
            "{name} goes deeper the second time: {} bytes are left, and then {}",
            c.stack_bytes,
            d.stack_bytes
        );
    }
    Ok(found)
}

/// A budget that is just what a life used up to some step, or less.
pub(super) struct Cut<'a> {
    pub(super) budget: Budget,
    steps: Vec<(&'a Step, Used)>,
}

/// What was used up after a step.
#[derive(Clone, Copy)]
struct Used {
    fuel: u64,
    stack_bytes: u64,
}

impl<'a> Cut<'a> {
    /// None: not even the start came to its end.
    pub(super) fn random(rng: &mut Rng, of: &Budget, steps: &'a [Step]) -> Option<Self> {
        let used = steps.iter().map_while(|step| {
            let left = step.left?;
            let fuel = of.fuel.saturating_sub(left.fuel);
            let stack_bytes = of.stack_bytes.saturating_sub(left.stack_bytes);
            Some((step, Used { fuel, stack_bytes }))
        });
        let steps: Vec<_> = used.collect();
        let all = steps.last()?.1;
        let mut budget = Budget { fuel: all.fuel, stack_bytes: all.stack_bytes };
        match rng.u8(..6) {
            0 => budget.fuel = budget.fuel.saturating_sub(1),
            1 => budget.fuel /= 2,
            2 => budget.fuel = rng.u64(..=budget.fuel),
            3 => budget.stack_bytes = budget.stack_bytes.saturating_sub(1),
            4 => budget.stack_bytes = rng.u64(..=budget.stack_bytes),
            _ => {}
        }
        Some(Self { budget, steps })
    }

    pub(super) fn kind(&self) -> &'static str {
        let all = self.steps.last().map(|(_, used)| *used);
        match all {
            Some(all) if self.budget.fuel < all.fuel => "less fuel",
            Some(all) if self.budget.stack_bytes < all.stack_bytes => "less stack",
            _ => "just enough",
        }
    }

    /// Whether a life under this budget is what follows from the one with more.
    pub(super) fn check(&self, found: &[Step]) -> Result<()> {
        for (at, (expected, used)) in self.steps.iter().enumerate() {
            let Some(step) = found.get(at) else { bail!("step {at} is missing") };
            let fuel = self.budget.fuel.checked_sub(used.fuel);
            let stack_bytes = self.budget.stack_bytes.checked_sub(used.stack_bytes);
            let (Some(fuel), Some(stack_bytes)) = (fuel, stack_bytes) else {
                let end = if fuel.is_none() { End::OutOfFuel } else { End::TooDeep };
                ensure!(step.end == end, "step {at} ends with {:?}, not {end:?}", step.end);
                return Ok(());
            };
            ensure!(
                step.end == expected.end,
                "step {at} ends with {:?}, not {:?}",
                step.end,
                expected.end
            );
            let left = step.left.map(|left| (left.fuel, left.stack_bytes));
            ensure!(
                left == Some((fuel, stack_bytes)),
                "step {at} leaves {left:?}, not {:?}",
                (fuel, stack_bytes)
            );
        }
        Ok(())
    }
}

fn step_name(life: &Life, at: usize) -> String {
    match at.checked_sub(1).and_then(|at| life.get(at)) {
        Some((name, args)) => format!("step {at}, {name}({args:?})"),
        None => format!("step {at}, the start"),
    }
}
