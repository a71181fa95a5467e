//! Shows a vector's changes to one region, as they would travel.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Result, ensure};
use syncline_core::{
    ChangeId, ChangeRecord, Evidence, Heartbeat, Hlc, LoadError, Partition, PartitionSetup,
    PartitionSnapshot, Received, RegionId, Row, RowKey, Rows, VersionVector,
};

use crate::{Rng, Vector};

/// The one row of a vector.
#[derive(Default)]
struct OneRow(Row);

impl Rows for OneRow {
    fn row(&mut self, _: &RowKey) -> Result<&mut Row, LoadError> {
        Ok(&mut self.0)
    }
}

/// A record of a region's log.
enum Sent {
    Change(ChangeRecord),
    Heartbeat(Heartbeat),
}

fn row_key() -> Result<RowKey> {
    Ok(RowKey { table: "vectors".parse()?, pk: "row".parse()? })
}

/// Each region's log. A context may name the HLC of a heartbeat, so each change is followed by the
/// last heartbeat that could have come before the region's next change.
fn logs(vector: &Vector) -> Result<BTreeMap<RegionId, Vec<Sent>>> {
    let row = row_key()?;
    let end = vector.changes.iter().map(|change| change.id.hlc.bits()).max().unwrap_or(0) + 1000;
    let mut logs: BTreeMap<RegionId, Vec<Sent>> = BTreeMap::new();
    let mut lasts: BTreeMap<&RegionId, Hlc> = BTreeMap::new();
    let beat = |region: &RegionId, hlc: Hlc, prev: Hlc| {
        let (watermarks, taken) = (VersionVector::new(), VersionVector::new());
        let evidence = Evidence::default();
        Sent::Heartbeat(Heartbeat {
            region: region.clone(),
            hlc,
            prev,
            watermarks,
            taken,
            evidence,
            wall_ms: hlc.millis(),
        })
    };
    for change in &vector.changes {
        let (region, hlc) = (&change.id.region, change.id.hlc);
        let prev = lasts.insert(region, hlc).unwrap_or(Hlc::ZERO);
        ensure!(prev < hlc, "{} does not come after {prev}", change.id);
        let log = logs.entry(region.clone()).or_default();
        if hlc.before() > prev {
            log.push(beat(region, hlc.before(), prev));
        }
        log.push(Sent::Change(ChangeRecord { row: row.clone(), change: change.clone(), prev }));
    }
    for (region, log) in &mut logs {
        log.push(beat(region, Hlc::from_bits(end)?, lasts[region]));
    }
    // Regions that wrote nothing may still stand in contexts.
    let silent: BTreeSet<RegionId> = vector
        .changes
        .iter()
        .flat_map(|change| change.context.iter().map(|(region, _)| region.clone()))
        .filter(|region| !lasts.contains_key(region))
        .collect();
    for region in silent {
        let heartbeat = beat(&region, Hlc::from_bits(end)?, Hlc::ZERO);
        logs.insert(region, vec![heartbeat]);
    }
    Ok(logs)
}

struct Observer<'a> {
    vector: &'a Vector,
    partition: Partition,
    row: OneRow,
}

impl<'a> Observer<'a> {
    fn new(vector: &'a Vector, regions: impl Iterator<Item = RegionId>) -> Result<Self> {
        let region: RegionId = "the-observer".parse()?;
        let setup = PartitionSetup {
            partition: 0,
            regions: regions.chain([region.clone()]).collect(),
            region,
            outstanding_max: usize::MAX,
            waiting_per_link_max: usize::MAX,
        };
        let partition = Partition::restore(setup, PartitionSnapshot::default());
        Ok(Self { vector, partition, row: OneRow::default() })
    }

    /// Shows it some records in one batch.
    fn read(&mut self, records: &[Sent]) -> Result<Vec<Received>> {
        let mut batch = self.partition.batch(&mut self.row, &self.vector.functions, 0);
        let received = records.iter().map(|record| match record {
            Sent::Change(record) => batch.receive(&record.change.id.region, record.clone()),
            Sent::Heartbeat(beat) => batch.hear(beat),
        });
        let received = received.collect();
        let commit = batch.finish(None)?;
        ensure!(commit.alarms.is_empty(), "alarms: {:?}", commit.alarms);
        Ok(received)
    }

    fn check_end(&self) -> Result<()> {
        let (state, vector) = (self.row.0.state(), self.vector);
        ensure!(self.partition.waiting() == 0, "{} changes still wait", self.partition.waiting());
        ensure!(state.heads == vector.heads, "heads {:?}, not {:?}", state.heads, vector.heads);
        ensure!(state.vv == vector.vv, "version vector {:?}, not {:?}", state.vv, vector.vv);
        ensure!(state.image == vector.image, "image {:?}, not {:?}", state.image, vector.image);
        let mut applied = 0;
        for (region, link, waiting) in self.partition.links() {
            let c = link.counters;
            let accounted =
                c.applied + c.duplicate + c.gap + c.quarantined + c.dropped + waiting as u64;
            ensure!(c.consumed == accounted, "the account of {region} is off: {c:?}");
            applied += c.applied;
        }
        ensure!(applied == vector.changes.len() as u64, "{applied} changes took effect");
        Ok(())
    }
}

/// In the order in which they were made, one by one.
pub(crate) fn in_order(vector: &Vector) -> Result<()> {
    let logs = logs(vector)?;
    let mut observer = Observer::new(vector, logs.keys().cloned())?;
    let mut records: Vec<&Sent> = logs.values().flatten().collect();
    records.sort_by_cached_key(|record| match record {
        Sent::Change(record) => record.change.id.clone(),
        Sent::Heartbeat(beat) => ChangeId { hlc: beat.hlc, region: beat.region.clone() },
    });
    for record in records {
        observer.read(std::slice::from_ref(record))?;
    }
    observer.check_end()
}

/// Regions in any order, in batches of any size; a reader may jump ahead, which shows as a gap, and
/// may be put back, which shows as duplicates.
pub(crate) fn permuted(vector: &Vector, rng: &mut Rng) -> Result<()> {
    let logs: Vec<(RegionId, Vec<Sent>)> = logs(vector)?.into_iter().collect();
    let mut observer = Observer::new(vector, logs.iter().map(|(region, _)| region.clone()))?;
    let mut at = vec![0; logs.len()];
    while (0..logs.len()).any(|i| at[i] < logs[i].1.len()) {
        let i = rng.below(logs.len());
        let log = &logs[i].1;
        if rng.percent(15) {
            at[i] = rng.below(log.len() + 1);
        }
        let upto = (at[i] + 1 + rng.below(6)).min(log.len());
        let from = at[i].min(upto);
        let received = observer.read(&log[from..upto])?;
        // What was refused over a gap is sent again, from the first that is missing.
        at[i] = match received.iter().position(|received| *received == Received::Gap) {
            Some(gap) if rng.percent(50) => (from + gap).saturating_sub(rng.below(8)),
            _ => upto,
        };
    }
    for (_, log) in &logs {
        observer.read(log)?;
    }
    observer.check_end()
}
