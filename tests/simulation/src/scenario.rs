//! What happens in a run, as data: made from a seed without a look at the run, so that it can be
//! shrunk and played again.

mod broken;
mod deletion;
mod rollouts;
mod versions;

use std::fmt;

use crate::functions::Function;
use crate::topology::Topology;

pub use rollouts::{Asked, Oddity, Plan};
pub use versions::VersionAsked;

/// How the regions are set up.
#[derive(Clone, Debug)]
pub struct Setup {
    /// Regions at the start, 2 to 7.
    pub regions: usize,
    /// Who reads whose log.
    pub topology: Topology,
    /// Partitions of rows.
    pub partitions: u32,
    /// The function of each table; none is last-writer-wins.
    pub tables: Vec<Option<Function>>,
    /// Rows of each table.
    pub rows: usize,
    /// By how much each region's wall clock is off at the start, in milliseconds.
    pub skews_ms: Vec<i64>,
    /// Local writes are refused while the wall clock is further ahead of the others; none: never.
    pub clock_bound_ms: Option<u64>,
    /// Local writes are refused while so many changes of a partition are not confirmed.
    pub unconfirmed_max: usize,
    /// A link with so many waiting changes is not read.
    pub waiting_max: usize,
    /// The engine of this region gives other bytes for some conflicts.
    pub broken: Option<Pick>,
    /// The network and the disks do as they should, and nothing but the workload happens.
    pub calm: bool,
}

/// A region, a table, a row: whatever number it is, it is taken modulo how many there are.
pub type Pick = u8;

/// What a client asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// A new image, or one more of what the table counts.
    Put,
    /// No row any more.
    Delete,
    /// A new row, if there is none.
    Insert,
    /// As [`Verb::Put`], if the row is as it was just read.
    IfMatch,
    /// As [`Verb::Put`], if the row is as it never was.
    IfStale,
}

/// Garbage that may stand in a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Garbage {
    /// Not even JSON.
    Noise,
    /// A record of the log, cut short.
    CutShort,
    /// A record of the log, said by another region.
    Forged,
    /// A record that belongs to another lane.
    Misplaced,
    /// In place of the last record, which is lost by that.
    Instead,
}

/// One thing that happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are those of the faults and of the product's steps")]
pub enum Step {
    Write {
        region: Pick,
        table: Pick,
        row: Pick,
        verb: Verb,
        amount: u8,
    },
    Turn {
        region: Pick,
        lane: Pick,
        beats: bool,
        retries: bool,
    },
    Sync {
        region: Pick,
    },
    Produce {
        region: Pick,
        lane: Pick,
        portions: u8,
        breaks_after: Option<u8>,
    },
    Read {
        region: Pick,
        source: Pick,
        lane: Pick,
        count: u8,
        at_once: bool,
    },
    /// All lanes: heartbeats, a sync, all that is to be produced.
    Pump {
        region: Pick,
    },
    /// All lanes of all sources, to their end.
    Pull {
        region: Pick,
    },
    ReadAgain {
        region: Pick,
        source: Pick,
        lane: Pick,
        back: u8,
    },
    SkipAhead {
        region: Pick,
        source: Pick,
        lane: Pick,
        ahead: u8,
    },
    Crash {
        region: Pick,
        keeps_percent: u8,
    },
    Start {
        region: Pick,
    },
    LoseTail {
        region: Pick,
        lane: Pick,
        count: u8,
    },
    Retention {
        region: Pick,
        lane: Pick,
        keeps: u8,
    },
    Garbage {
        region: Pick,
        lane: Pick,
        garbage: Garbage,
    },
    Cut {
        region: Pick,
        source: Pick,
        both_ways: bool,
    },
    Isolate {
        region: Pick,
    },
    /// Regions whose bit is set and those whose bit is not do not reach each other.
    Split {
        group: u8,
    },
    Mend {
        region: Pick,
        source: Pick,
    },
    MendAll,
    Clock {
        region: Pick,
        skew_ms: i64,
    },
    DiskFull {
        region: Pick,
        full: bool,
    },
    SyncFails {
        region: Pick,
    },
    EngineFails {
        region: Pick,
        fails: bool,
    },
    Deploy {
        region: Pick,
        table: Pick,
        function: Function,
    },
    RollOut {
        region: Pick,
        table: Pick,
        /// None: the table is to be last-writer-wins again.
        function: Option<Function>,
        plan: Plan,
    },
    Ask {
        region: Pick,
        table: Pick,
        asked: Asked,
    },
    /// What was seen of the versions that are rolled out.
    Report {
        region: Pick,
        faults: bool,
    },
    Odd {
        region: Pick,
        odd: Oddity,
    },
    Version {
        region: Pick,
        function: Function,
        asked: VersionAsked,
    },
    /// The region is gone for good.
    Die {
        region: Pick,
    },
    /// A region that only `hears` reaches writes; that one builds on it, tells the others, and both
    /// are gone for good.
    LastWords {
        region: Pick,
        hears: Pick,
        table: Pick,
    },
    Evict {
        by: Pick,
        also: Option<Pick>,
    },
    Join {
        by: Pick,
    },
    Snapshot {
        donor: Pick,
    },
    Backup {
        region: Pick,
    },
    OldDisk {
        region: Pick,
    },
    Wait {
        ms: u32,
    },
}

/// A whole run.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// The seed that it was made from.
    pub seed: u64,
    /// How it begins.
    pub setup: Setup,
    /// What happens; then everything heals.
    pub steps: Vec<Step>,
}

/// How often each kind of step comes, in this run: a run that does everything at once would never
/// get far into anything.
struct Mix {
    kinds: Vec<(u32, Kind)>,
    total: u32,
    hot: bool,
    deletes: bool,
    lazy: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Write,
    Turn,
    Sync,
    Produce,
    Read,
    Pump,
    Pull,
    ReadAgain,
    SkipAhead,
    Crash,
    Start,
    LoseTail,
    Retention,
    Garbage,
    Cut,
    Isolate,
    Split,
    Mend,
    Clock,
    DiskFull,
    SyncFails,
    EngineFails,
    Deploy,
    Die,
    LastWords,
    Evict,
    Join,
    Snapshot,
    Backup,
    OldDisk,
    Wait,
}

/// Kinds that come in every run, and how often.
const ALWAYS: [(u32, Kind); 8] = [
    (36, Kind::Write),
    (14, Kind::Turn),
    (12, Kind::Sync),
    (16, Kind::Produce),
    (30, Kind::Read),
    (10, Kind::Pump),
    (8, Kind::Pull),
    (4, Kind::Wait),
];

/// Faults: each comes in some runs only, with what belongs to it.
const SOMETIMES: [&[(u32, Kind)]; 13] = [
    &[(3, Kind::ReadAgain)],
    &[(2, Kind::SkipAhead)],
    &[(3, Kind::Crash), (4, Kind::Start)],
    &[(2, Kind::LoseTail)],
    &[(1, Kind::Retention)],
    &[(2, Kind::Garbage)],
    &[(3, Kind::Cut), (2, Kind::Isolate), (2, Kind::Split), (5, Kind::Mend)],
    &[(2, Kind::Clock)],
    &[(2, Kind::DiskFull)],
    &[(1, Kind::SyncFails), (3, Kind::Start)],
    &[(4, Kind::EngineFails)],
    &[(2, Kind::Deploy)],
    &[
        (2, Kind::Backup),
        (1, Kind::OldDisk),
        (2, Kind::Evict),
        (2, Kind::Join),
        (4, Kind::Snapshot),
    ],
];

/// Regions that come and go: in some runs.
const MEMBERSHIP: [&[(u32, Kind)]; 4] = [
    &[(2, Kind::LastWords), (1, Kind::Evict), (1, Kind::Join), (4, Kind::Snapshot)],
    &[
        (4, Kind::Die),
        (4, Kind::Cut),
        (1, Kind::Mend),
        (2, Kind::Evict),
        (1, Kind::Join),
        (4, Kind::Snapshot),
    ],
    &[(1, Kind::Die), (4, Kind::Evict), (3, Kind::Join), (6, Kind::Snapshot)],
    &[(3, Kind::Join), (6, Kind::Snapshot)],
];

impl Mix {
    fn draw(rng: &mut fastrand::Rng, calm: bool) -> Self {
        let mut kinds: Vec<(u32, Kind)> = ALWAYS.to_vec();
        for (weight, _) in &mut kinds {
            *weight = *weight * rng.u32(2..=9) / 4;
        }
        if !calm {
            let often = rng.u32(1..=6);
            for group in SOMETIMES {
                if rng.u32(0..10) < often {
                    let times = rng.u32(1..=3);
                    kinds.extend(group.iter().map(|(weight, kind)| (weight * times, *kind)));
                }
            }
            if rng.u32(0..4) == 0 {
                kinds.extend(MEMBERSHIP[rng.usize(0..MEMBERSHIP.len())]);
            }
        }
        let total = kinds.iter().map(|(weight, _)| weight).sum();
        Self { kinds, total, hot: rng.bool(), deletes: rng.u32(0..3) > 0, lazy: rng.bool() }
    }

    fn kind(&self, rng: &mut fastrand::Rng) -> Kind {
        let mut at = rng.u32(0..self.total);
        for (weight, kind) in &self.kinds {
            if at < *weight {
                return *kind;
            }
            at -= weight;
        }
        Kind::Write
    }

    fn step(&self, rng: &mut fastrand::Rng) -> Step {
        let region = rng.u8(0..60);
        let lane = rng.u8(0..60);
        let source = rng.u8(0..60);
        match self.kind(rng) {
            Kind::Write => self.write(rng, region),
            Kind::Turn => {
                Step::Turn { region, lane, beats: rng.bool(), retries: rng.u8(0..3) == 0 }
            }
            Kind::Sync => Step::Sync { region },
            Kind::Produce => {
                let breaks_after = (rng.u8(0..12) == 0).then(|| rng.u8(0..3));
                Step::Produce { region, lane, portions: rng.u8(1..4), breaks_after }
            }
            Kind::Read => {
                let at_once = !(self.lazy && rng.bool());
                let count = *[1, 1, 2, 4, 12].get(rng.usize(0..5)).unwrap_or(&1);
                Step::Read { region, source, lane, count, at_once }
            }
            Kind::Pump => Step::Pump { region },
            Kind::Pull => Step::Pull { region },
            Kind::ReadAgain => Step::ReadAgain { region, source, lane, back: rng.u8(1..8) },
            Kind::SkipAhead => Step::SkipAhead { region, source, lane, ahead: rng.u8(1..4) },
            Kind::Crash => Step::Crash { region, keeps_percent: keeps(rng) },
            Kind::Start => Step::Start { region },
            Kind::LoseTail => Step::LoseTail { region, lane, count: rng.u8(1..6) },
            Kind::Retention => Step::Retention { region, lane, keeps: rng.u8(0..6) },
            Kind::Garbage => Step::Garbage { region, lane, garbage: garbage(rng) },
            Kind::Cut => Step::Cut { region, source, both_ways: rng.bool() },
            Kind::Isolate => Step::Isolate { region },
            Kind::Split => Step::Split { group: rng.u8(..) },
            Kind::Mend if rng.u8(0..3) == 0 => Step::MendAll,
            Kind::Mend => Step::Mend { region, source },
            Kind::Clock => Step::Clock { region, skew_ms: skew(rng) },
            Kind::DiskFull => Step::DiskFull { region, full: rng.bool() },
            Kind::SyncFails => Step::SyncFails { region },
            Kind::EngineFails => Step::EngineFails { region, fails: rng.bool() },
            Kind::Deploy => {
                let function = Function::ALL[rng.usize(0..3)];
                Step::Deploy { region, table: rng.u8(0..60), function }
            }
            Kind::Die => Step::Die { region },
            Kind::LastWords => Step::LastWords { region, hears: source, table: lane },
            Kind::Evict => {
                Step::Evict { by: region, also: (rng.u8(0..12) == 0).then(|| rng.u8(0..60)) }
            }
            Kind::Join => Step::Join { by: region },
            Kind::Snapshot => Step::Snapshot { donor: region },
            Kind::Backup => Step::Backup { region },
            Kind::OldDisk => Step::OldDisk { region },
            Kind::Wait => Step::Wait { ms: rng.u32(1..3000) },
        }
    }

    fn write(&self, rng: &mut fastrand::Rng, region: Pick) -> Step {
        let row = if self.hot && rng.u8(0..4) > 0 { 0 } else { rng.u8(0..60) };
        let verb = match rng.u8(0..10) {
            0..=2 if self.deletes => Verb::Delete,
            3 => [Verb::Insert, Verb::IfMatch, Verb::IfStale][rng.usize(0..3)],
            _ => Verb::Put,
        };
        Step::Write { region, table: rng.u8(0..60), row, verb, amount: rng.u8(1..5) }
    }
}

fn keeps(rng: &mut fastrand::Rng) -> u8 {
    // As often everything since the last sync is lost, as nothing, as a part.
    *[0, 100, rng.u8(1..100)].get(rng.usize(0..3)).unwrap_or(&0)
}

fn garbage(rng: &mut fastrand::Rng) -> Garbage {
    let all = [
        Garbage::Noise,
        Garbage::CutShort,
        Garbage::Forged,
        Garbage::Misplaced,
        Garbage::Instead,
        Garbage::Instead,
    ];
    all[rng.usize(0..all.len())]
}

fn skew(rng: &mut fastrand::Rng) -> i64 {
    const HOUR: i64 = 3_600_000;
    match rng.u8(0..6) {
        0 => -HOUR,
        1 => HOUR,
        2 => 365 * 24 * HOUR,
        _ => rng.i64(-3000..3000),
    }
}

/// In every other run clocks are compared. Drawn apart, so that all else in a run is what it was.
fn clock_bound(seed: u64) -> Option<u64> {
    let mut rng = fastrand::Rng::with_seed(seed ^ 0x636c_6f63_6b73);
    rng.bool().then(|| [500, 500, 10_000][rng.usize(0..3)])
}

impl Scenario {
    /// The run of a seed.
    pub fn of(seed: u64) -> Self {
        let mut rng = fastrand::Rng::with_seed(seed);
        let calm = rng.u8(0..16) == 0;
        let regions = [2, 3, 3, 3, 4, 4, 4, 5][rng.usize(0..8)];
        let tables = rng.usize(1..=3);
        let table = |rng: &mut fastrand::Rng| {
            (rng.u8(0..10) > 0).then(|| Function::ALL[rng.usize(0..Function::ALL.len())])
        };
        let mut setup = Setup {
            regions,
            topology: Topology::of(seed, regions),
            partitions: [1, 1, 2, 2, 3][rng.usize(0..5)],
            tables: (0..tables).map(|_| table(&mut rng)).collect(),
            rows: [1, 2, 3, 6][rng.usize(0..4)],
            skews_ms: (0..regions).map(|_| if rng.bool() { 0 } else { skew(&mut rng) }).collect(),
            clock_bound_ms: clock_bound(seed),
            unconfirmed_max: if rng.u8(0..8) == 0 { 4 } else { 10_000 },
            waiting_max: if rng.u8(0..8) == 0 { 2 } else { 10_000 },
            broken: None,
            calm,
        };
        let mix = Mix::draw(&mut rng, calm);
        let count = [40, 90, 160, 240][rng.usize(0..4)];
        let mut steps: Vec<Step> = (0..count).map(|_| mix.step(&mut rng)).collect();
        if let Some((regions, rolling)) = rollouts::draw(seed).filter(|_| !calm) {
            setup.regions = regions;
            for step in rolling {
                steps.insert(rng.usize(0..=steps.len()), step);
            }
            for step in versions::draw(seed) {
                steps.insert(rng.usize(0..=steps.len()), step);
            }
        }
        deletion::draw(seed, &mut setup, &mut steps);
        broken::draw(seed, &mut setup, &mut steps);
        Self { seed, setup, steps }
    }
}

impl fmt::Display for Setup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { regions, topology, partitions, tables, rows, skews_ms, .. } = self;
        let bound = self.clock_bound_ms.map(|ms| format!(", at most {ms} ms ahead"));
        let names: Vec<String> = tables
            .iter()
            .enumerate()
            .map(|(i, function)| match function {
                Some(function) => format!("t{i} {function:?}"),
                None => format!("t{i} lww"),
            })
            .collect();
        write!(
            f,
            "{regions} regions, {topology:?}, {partitions} partitions, {rows} rows in each of: {}; clocks off by \
             {skews_ms:?} ms{}",
            names.join(", "),
            bound.unwrap_or_default()
        )
    }
}
