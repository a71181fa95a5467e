//! How the partitions of a node stand, for the other nodes: whoever is asked puts them together.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use syncline_core::{Behind, Hlc, LinkCounters, OwnCounters, RegionId, TableDigest, TableName};

use super::form::{DivergenceForm, Text, VectorForm, vector_form, vector_of};
use crate::region::PartitionView;

/// How one partition stands.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct ViewForm {
    partition: u32,
    taken: VectorForm,
    watermarks: VectorForm,
    stable: VectorForm,
    waiting: BTreeMap<Text<RegionId>, usize>,
    counters: BTreeMap<Text<RegionId>, CountersForm>,
    outstanding: usize,
    produced: u64,
    confirmed_count: u64,
    behind: Vec<(Text<RegionId>, Text<Hlc>)>,
    confirmed: Text<Hlc>,
    rows_with_history: usize,
    digests: BTreeMap<Text<TableName>, (u64, [u64; 4])>,
    divergences: Vec<DivergenceForm>,
    outcomes_left_out: u64,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct CountersForm {
    consumed: u64,
    applied: u64,
    duplicate: u64,
    gap: u64,
    quarantined: u64,
    dropped: u64,
    heartbeats: u64,
}

impl CountersForm {
    fn of(counters: &LinkCounters) -> Self {
        let LinkCounters { consumed, applied, duplicate, gap, quarantined, dropped, heartbeats } =
            *counters;
        Self { consumed, applied, duplicate, gap, quarantined, dropped, heartbeats }
    }

    fn make(self) -> LinkCounters {
        let Self { consumed, applied, duplicate, gap, quarantined, dropped, heartbeats } = self;
        LinkCounters { consumed, applied, duplicate, gap, quarantined, dropped, heartbeats }
    }
}

impl ViewForm {
    pub(crate) fn of(view: &PartitionView) -> Self {
        let text = |region: &RegionId| Text(region.clone());
        let counters = view.counters.iter();
        let digests = view.digests.iter();
        Self {
            partition: view.partition,
            taken: vector_form(&view.taken),
            watermarks: vector_form(&view.watermarks),
            stable: vector_form(&view.stable),
            waiting: view.waiting.iter().map(|(region, n)| (text(region), *n)).collect(),
            counters: counters.map(|(region, c)| (text(region), CountersForm::of(c))).collect(),
            outstanding: view.outstanding,
            produced: view.own.produced,
            confirmed_count: view.own.confirmed,
            behind: view.behind.iter().map(|b| (text(&b.region), Text(b.since))).collect(),
            confirmed: Text(view.confirmed),
            rows_with_history: view.rows_with_history,
            digests: digests.map(|(table, d)| (Text(table.clone()), (d.rows, d.sum))).collect(),
            divergences: view.divergences.iter().map(DivergenceForm::of).collect(),
            outcomes_left_out: view.outcomes_left_out,
        }
    }

    pub(crate) fn make(self) -> PartitionView {
        let counters = self.counters.into_iter();
        let behind = |(Text(region), Text(since))| Behind { region, since };
        let digest = |(Text(table), (rows, sum))| (table, TableDigest { rows, sum });
        PartitionView {
            partition: self.partition,
            taken: vector_of(self.taken),
            watermarks: vector_of(self.watermarks),
            stable: vector_of(self.stable),
            waiting: self.waiting.into_iter().map(|(Text(region), n)| (region, n)).collect(),
            counters: counters.map(|(Text(region), c)| (region, c.make())).collect(),
            outstanding: self.outstanding,
            own: OwnCounters { produced: self.produced, confirmed: self.confirmed_count },
            behind: self.behind.into_iter().map(behind).collect(),
            confirmed: self.confirmed.0,
            rows_with_history: self.rows_with_history,
            digests: self.digests.into_iter().map(digest).collect(),
            divergences: self.divergences.into_iter().map(DivergenceForm::make).collect(),
            outcomes_left_out: self.outcomes_left_out,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use syncline_core::VersionVector;

    #[test]
    fn a_partition_arrives_as_it_was() {
        let region: RegionId = "a".parse().unwrap();
        let hlc = |n| Hlc::from_bits(n).unwrap();
        let vector = |n| VersionVector::from_iter([(region.clone(), hlc(n))]);
        let counters =
            LinkCounters { consumed: 5, applied: 4, heartbeats: 3, ..LinkCounters::default() };
        let view = PartitionView {
            partition: 2,
            taken: vector(1),
            watermarks: vector(2),
            stable: vector(3),
            waiting: [(region.clone(), 4)].into(),
            counters: [(region.clone(), counters)].into(),
            outstanding: 5,
            own: OwnCounters { produced: 6, confirmed: 7 },
            behind: vec![Behind { region: region.clone(), since: hlc(8) }],
            confirmed: hlc(9),
            rows_with_history: 10,
            digests: [("t".parse().unwrap(), TableDigest { rows: 1, sum: [u64::MAX, 2, 3, 4] })]
                .into(),
            divergences: Vec::new(),
            outcomes_left_out: 11,
        };
        let sent = serde_json::to_vec(&ViewForm::of(&view)).unwrap();
        let arrived = serde_json::from_slice::<ViewForm>(&sent).unwrap().make();
        assert_eq!(format!("{arrived:?}"), format!("{view:?}"));
    }
}
