//! What happens: upload, writes, a cut in the middle of them, two rollouts, quiet, and the checks.

use std::collections::BTreeMap;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use syncline_harness::{Dev, DevSetup, Digests, Region, example_function};

use crate::clients::{self, Market};
use crate::report::{Cut, Report, Writes};
use crate::rollouts::Versions;
use crate::{check, rollouts, say, story};

/// The table that is written.
pub(crate) const TABLE: &str = "carts";
/// The regions that take part.
pub(crate) const REGIONS: [&str; 3] = ["us-east-1", "eu-west-1", "ap-south-1"];
/// The region that is cut off for a part of the writes.
const CUT_OFF: &str = "ap-south-1";
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// What was asked for.
pub(crate) struct Plan {
    pub(crate) writes: usize,
    pub(crate) seed: u64,
    pub(crate) port: Option<u16>,
}

/// How far it is, for what is measured apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    Together,
    CutOff,
    Healed,
}

/// The largest lag between any two regions that was seen in each phase.
type LagMs = BTreeMap<&'static str, u64>;

/// Carries it all out.
pub(crate) fn run(plan: &Plan) -> Result<Report> {
    say("building the node and three merge functions from source, if they are not built yet");
    let (function, later) = (example_function("cart")?, Versions::build()?);
    syncline_harness::syncline()?;
    say("starting three regions");
    let regions = REGIONS.map(str::to_owned).to_vec();
    let mut dev = Dev::start_with(DevSetup { regions, port: plan.port })?;
    let report = in_regions(plan, &dev, &function, &later)
        .with_context(|| format!("the regions' own log ends with:\n{}", dev.log()))?;
    let ended = dev.stop().context("stop the regions")?;
    Ok(report.with_end(ended))
}

fn in_regions(plan: &Plan, dev: &Dev, function: &[u8], later: &Versions) -> Result<Report> {
    let version = dev.regions()[0].deploy(TABLE, function)?;
    say(&format!("the cart function is active in all regions: {version}"));
    let (count, started) = (clients::clients(REGIONS.len()), Instant::now());
    say(&format!("{count} clients in three regions make {} writes", plan.writes));
    let market = Market::default();
    let (mut ledger, (cut, mut lag_ms_max)) =
        clients::shop(dev.regions(), plan.seed, Some(plan.writes), &market, |are_done| {
            conduct(plan, dev, &market, are_done)
        })?;
    say("they write on, while versions are rolled out");
    let (market, seed) = (Market::default(), !plan.seed);
    let (wrote, mut rollouts) = clients::shop(dev.regions(), seed, None, &market, |_| {
        rollouts::roll_out(dev, later, &market)
    })?;
    ledger.merge(wrote);
    let seconds = started.elapsed().as_secs_f64();
    say("waiting until all regions have applied everything");
    let quiet_from = Instant::now();
    let digests = dev.wait_quiet()?;
    let quiet_ms = quiet_from.elapsed().as_millis();
    say("checking the regions against what the clients were told");
    sample_lag(dev.regions(), "quiet", &mut lag_ms_max);
    let conflicts = check::conflicts(dev.regions())?;
    let story = story::find(&dev.regions()[0], &conflicts, &ledger)?;
    let checked = check::additions(dev.regions(), &ledger)?;
    let mut failures = checked.failures.clone();
    failures.extend(conflicts.failures.iter().cloned());
    failures.extend(rollouts.judge(&conflicts));
    if let Err(error) = Digests::equal(&digests) {
        failures.push(format!("digest: {error:#}"));
    }
    let writes = Writes { acknowledged: ledger.counts.writes(), of: ledger.counts, seconds };
    Ok(Report {
        ok: failures.is_empty(),
        failures,
        seed: plan.seed,
        regions: REGIONS.map(str::to_owned).to_vec(),
        merge_function: version,
        writes,
        cut: Cut { quiet_ms: u64::try_from(quiet_ms).unwrap_or(u64::MAX), ..cut },
        conflicts: conflicts.summary,
        rollouts,
        lag_ms_max,
        checked: checked.summary,
        story,
        digests: digests.into_iter().map(Into::into).collect(),
    })
}

/// Cuts and heals while the clients write, and looks at the lag.
fn conduct(
    plan: &Plan,
    dev: &Dev,
    market: &Market,
    are_done: &dyn Fn() -> bool,
) -> Result<(Cut, LagMs)> {
    let (cut_at, heal_at) = (plan.writes * 3 / 10, plan.writes * 7 / 10);
    let mut phase = Phase::Together;
    let mut lag_ms_max = LagMs::new();
    let mut cut_since = Instant::now();
    let mut cut = Cut { region: CUT_OFF.to_owned(), ..Cut::default() };
    loop {
        let (written, done) = (market.acknowledged(), are_done());
        if phase == Phase::Together && written >= cut_at && !done {
            dev.cut_off(CUT_OFF)?;
            say(&format!("{CUT_OFF} is cut off after {written} writes; all regions write on"));
            (phase, cut_since, cut.from_write) = (Phase::CutOff, Instant::now(), written);
        }
        if phase == Phase::CutOff && (written >= heal_at || done) {
            dev.heal(CUT_OFF)?;
            say(&format!("{CUT_OFF} is back after {written} writes"));
            cut.seconds = cut_since.elapsed().as_secs_f64();
            cut.to_write = written;
            phase = Phase::Healed;
        }
        if done {
            return Ok((cut, lag_ms_max));
        }
        sample_lag(dev.regions(), phase.name(), &mut lag_ms_max);
        thread::sleep(LOOK_EVERY);
    }
}

impl Phase {
    fn name(self) -> &'static str {
        match self {
            Self::Together => "together",
            Self::CutOff => "cut_off",
            Self::Healed => "healed",
        }
    }
}

/// Notes the largest lag of any link. A region that does not tell now tells the next time.
fn sample_lag(regions: &[Region], phase: &'static str, max: &mut LagMs) {
    for region in regions {
        let Ok(topology) = region.topology() else { continue };
        let links = topology["regions"].as_array().into_iter().flatten();
        let lags = links.filter(|link| link["self"] != true).filter_map(|l| l["lag_ms"].as_u64());
        let seen = max.entry(phase).or_default();
        *seen = lags.max().unwrap_or_default().max(*seen);
    }
}
