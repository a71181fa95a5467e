//! Which records go to the bus next, lane by lane.

use std::collections::BTreeMap;
use std::ops::Bound;

use syncline_bus::{BadFrame, Envelope, Lane, Outgoing, encode_tagged_heartbeat};
use syncline_core::{Feed, FeedStep, Forward, ForwardedBeat, Heartbeat, Hlc, PassOn, RegionId};
use syncline_store::kv::{outbox, received};
use syncline_store::{Store, StoreError};
use thiserror::Error;

use crate::{Site, partition_of_lane};

/// Records and bytes that go to the bus at once.
const RECORDS_MAX: usize = 512;
const BYTES_MAX: usize = 4 << 20;

/// How far each lane is. It holds no records, so it is bounded however long the bus is away.
#[derive(Clone, Debug, Default)]
pub struct Feeds(BTreeMap<Lane, Feed>);

/// Why what is to be produced could not be read.
#[derive(Debug, Error)]
pub enum FeedError {
    /// The store.
    #[error("read the outbox")]
    Store(#[from] StoreError),
    /// What stands in the store is no record.
    #[error("read the outbox: a record is broken")]
    Record(#[from] BadFrame),
}

/// Records to be produced together, and what that will mean.
#[derive(Clone, Debug)]
pub struct Portion {
    /// The records, in order.
    pub records: Vec<Outgoing>,
    lane: Lane,
    meaning: Meaning,
}

#[derive(Clone, Debug)]
enum Meaning {
    Changes(Hlc),
    Heartbeat(Hlc),
    PassedOn(PassOn),
    Forwarded(RegionId, Hlc),
    ForwardedBeat(RegionId, Hlc),
}

impl Feeds {
    /// Of a region's lanes.
    pub fn new(feeds: impl IntoIterator<Item = (Lane, Feed)>) -> Self {
        Self(feeds.into_iter().collect())
    }

    /// A commit is durable: its last change and its heartbeat may be produced.
    pub fn synced(&mut self, lane: Lane, change: Option<Hlc>, heartbeat: Option<Heartbeat>) {
        if let Some(feed) = self.0.get_mut(&lane) {
            feed.synced(change, heartbeat);
        }
    }

    /// Some region has not taken what came after this.
    pub fn resend_after(&mut self, lane: Lane, hlc: Hlc) {
        if let Some(feed) = self.0.get_mut(&lane) {
            feed.resend_after(hlc);
        }
    }

    /// Some region lacks changes of another one.
    pub fn pass_on(&mut self, lane: Lane, what: PassOn) {
        if let Some(feed) = self.0.get_mut(&lane) {
            feed.pass_on(what);
        }
    }

    /// A commit has taken records of other regions, which this one passes on.
    pub fn forward(&mut self, lane: Lane, what: Vec<Forward>) {
        if let Some(feed) = self.0.get_mut(&lane) {
            what.into_iter().for_each(|what| feed.forward(what));
        }
    }

    /// What to produce next: of each lane that has anything, in turn from the one behind `last`.
    pub fn due(&self, last: Lane) -> impl Iterator<Item = (Lane, FeedStep)> {
        let after = (Bound::Excluded(last), Bound::Unbounded);
        let in_turn = self.0.range(after).chain(self.0.range(..=last));
        let due = in_turn.map(|(lane, feed)| (*lane, feed.next()));
        due.filter(|(_, step)| *step != FeedStep::Idle)
    }

    /// How many lanes there are.
    pub fn lanes(&self) -> usize {
        self.0.len()
    }

    /// How many changes of this region's own were not produced.
    pub fn left<S: Store>(&self, site: &Site<S>) -> Result<usize, StoreError> {
        let count = |(lane, feed): (&Lane, &Feed)| {
            let hlcs = outbox::hlcs(&site.store, partition_of_lane(*lane))?;
            Ok(hlcs.into_iter().filter(|hlc| *hlc > feed.left_above()).count())
        };
        self.0.iter().map(count).sum()
    }

    /// What to produce next in one lane.
    pub fn next_in(&self, lane: Lane) -> FeedStep {
        self.0.get(&lane).map_or(FeedStep::Idle, Feed::next)
    }

    /// The whole portion is in the log.
    pub fn produced(&mut self, portion: &Portion) {
        let Some(feed) = self.0.get_mut(&portion.lane) else { return };
        let records = portion.records.len();
        match &portion.meaning {
            Meaning::Changes(upto) => feed.produced(*upto),
            Meaning::Heartbeat(hlc) => feed.beat(*hlc),
            Meaning::PassedOn(what) => feed.passed_on(what, records),
            Meaning::Forwarded(region, upto) => feed.forwarded(region, *upto, records),
            Meaning::ForwardedBeat(region, hlc) => feed.forwarded_beat(region, *hlc),
        }
    }
}

/// Reads what a step asks for. None if there is nothing to be done.
pub fn portion<S: Store>(
    site: &Site<S>,
    lane: Lane,
    step: FeedStep,
) -> Result<Option<Portion>, FeedError> {
    let store = &site.store;
    let partition = partition_of_lane(lane);
    let (page, meaning) = match step {
        FeedStep::Idle => return Ok(None),
        FeedStep::Heartbeat(beat) => {
            let envelope = encode_tagged_heartbeat(&beat, &site.tags);
            let records = vec![Outgoing { lane, envelope }];
            return Ok(Some(Portion { records, lane, meaning: Meaning::Heartbeat(beat.hlc) }));
        }
        FeedStep::Changes { after, upto } => {
            let page = outbox::page(store, partition, after, upto, RECORDS_MAX, BYTES_MAX)?;
            // What every region has confirmed since is gone from the outbox, and need not be sent.
            let done = page.last().map_or(upto, |(hlc, _)| *hlc);
            (page, Meaning::Changes(done))
        }
        FeedStep::ForwardHeartbeat(ForwardedBeat { region, hlc, record, .. }) => {
            let envelope = Envelope::from_bytes(&record)?;
            let records = vec![Outgoing { lane, envelope }];
            let meaning = Meaning::ForwardedBeat(region, hlc);
            return Ok(Some(Portion { records, lane, meaning }));
        }
        FeedStep::PassOn(what) => {
            let (page, after) = of_another(store, partition, &what)?;
            (page, Meaning::PassedOn(PassOn { after, ..what }))
        }
        FeedStep::Forward(what) => {
            let (page, upto) = of_another(store, partition, &what)?;
            (page, Meaning::Forwarded(what.region, upto))
        }
    };
    let mut records = Vec::with_capacity(page.len());
    for (_, bytes) in page {
        records.push(Outgoing { lane, envelope: Envelope::from_bytes(&bytes)? });
    }
    Ok(Some(Portion { records, lane, meaning }))
}

/// Records as they were kept, by their HLC.
type Records = Vec<(Hlc, Vec<u8>)>;

/// Records of another region as they came, and up to where there are no others: what every region
/// has taken since need not be sent.
fn of_another(
    store: &(impl Store + ?Sized),
    partition: u32,
    PassOn { region, after, upto }: &PassOn,
) -> Result<(Records, Hlc), StoreError> {
    let page = received::page(store, partition, region, *after, *upto, RECORDS_MAX, BYTES_MAX)?;
    let done = page.last().map_or(*upto, |(hlc, _)| *hlc);
    Ok((page, done))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_that_is_due_is_told_in_turn() {
        let hlc = |n| Hlc::from_bits(n).unwrap_or(Hlc::ZERO);
        let lanes: Vec<Lane> = Lane::all(3).collect();
        let mut feeds = Feeds::new(
            lanes.iter().map(|lane| (*lane, Feed::starting_after(Hlc::ZERO, Hlc::ZERO))),
        );
        let due = |feeds: &Feeds, last| feeds.due(last).map(|(lane, _)| lane).collect::<Vec<_>>();
        assert!(due(&feeds, Lane::Control).is_empty());
        for (n, lane) in [(1, lanes[0]), (2, lanes[2]), (3, lanes[3])] {
            feeds.synced(lane, Some(hlc(n)), None);
        }
        assert_eq!(due(&feeds, Lane::Control), [lanes[0], lanes[2], lanes[3]]);
        assert_eq!(due(&feeds, lanes[0]), [lanes[2], lanes[3], lanes[0]]);
        assert_eq!(due(&feeds, lanes[1]), [lanes[2], lanes[3], lanes[0]]);
        assert_eq!(feeds.lanes(), 4);
    }
}
