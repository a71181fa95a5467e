//! Reads another region's log, and hands its records to the threads that they belong to.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::time::Duration;

use syncline_applier::{ControlItem, ControlRead, Intake, Read, ReadItem, ReadRecords, Sorted};
use syncline_bus::{Bus, Delivery, Item, Lane, Reader, region_tags};
use syncline_core::RegionId;

use super::controller::ControlWork;
use super::links::LinkState;
use super::queue::ShardQueue;
use super::startup::Freshness;
use super::{Shared, chain};

const RECORDS_MAX: usize = 512;
const BYTES_MAX: usize = 4 << 20;
/// How long a reader waits for records before it looks whether it should stop.
const WAIT: Duration = Duration::from_millis(100);
/// How soon a log that could not be read is tried again.
const WAIT_AFTER_TROUBLE: Duration = Duration::from_millis(500);
/// How often a reader of a link that is cut looks whether it is healed.
const WAIT_FOR_HEALING: Duration = Duration::from_millis(20);

/// One link: the log of `source`, as this region reads it.
pub(super) struct Link {
    pub(super) shared: Arc<Shared>,
    pub(super) source: RegionId,
    pub(super) state: Arc<LinkState>,
    pub(super) bus: Arc<dyn Bus>,
    pub(super) intake: Intake,
    pub(super) shards: Vec<ShardQueue>,
    pub(super) control: SyncSender<ControlWork>,
}

impl Link {
    /// Reads until the region stops, or the link has to.
    pub(super) fn run(self, mut log: Box<dyn Reader>) {
        let state = Arc::clone(&self.state);
        let mut paused: BTreeSet<u32> = BTreeSet::new();
        let mut freshness = Freshness::of(&self.source, self.heard_here());
        while !self.shared.is_stopping() && !state.is_stopped() && !state.is_ended() {
            self.wait_while_cut();
            freshness.look(&self.shared, &*self.bus);
            for partition in 0..self.shared.site.partitions.get() {
                if state.is_full(partition) && paused.insert(partition) {
                    tracing::warn!(source = %self.source, partition, "too much waits: not read");
                    log.pause(Lane::Changes(partition));
                } else if !state.is_full(partition) && paused.remove(&partition) {
                    log.resume(Lane::Changes(partition));
                }
            }
            match log.poll(RECORDS_MAX, BYTES_MAX, WAIT) {
                Ok(deliveries) => {
                    self.note_trouble(log.trouble());
                    // What arrived after the cut is not let through by a poll from before it.
                    self.wait_while_cut();
                    if state.is_ended() || !self.pass_on(deliveries, &freshness) {
                        return;
                    }
                }
                Err(error) => {
                    self.note_trouble(Some(chain(&error)));
                    std::thread::sleep(WAIT_AFTER_TROUBLE);
                }
            }
        }
    }

    fn note_trouble(&self, reason: Option<String>) {
        if !self.state.set_trouble(reason.clone()) {
            return;
        }
        match reason {
            Some(reason) => tracing::warn!(source = %self.source, reason, "cannot read the link"),
            None => tracing::warn!(source = %self.source, "the link can be read again"),
        }
    }

    /// The regions that are heard in this log.
    fn heard_here(&self) -> Vec<RegionId> {
        let (peers, routes) = (self.shared.links.peers(), &self.shared.site.routes);
        peers.into_iter().filter(|peer| routes.hears(&self.source, peer)).collect()
    }

    fn wait_while_cut(&self) {
        let shared = &self.shared;
        let cut = || shared.cuts.between(&shared.site.region, &self.source);
        while cut() && !shared.is_stopping() && !self.state.is_ended() {
            std::thread::sleep(WAIT_FOR_HEALING);
        }
    }

    /// Answers false if nobody takes the records any more, or the link has to stop.
    fn pass_on(&self, deliveries: Vec<Delivery>, freshness: &Freshness) -> bool {
        let mut rows: BTreeMap<u32, Vec<ReadItem>> = BTreeMap::new();
        let mut control = Vec::new();
        let mut holds = false;
        for Delivery { lane, position, next_position, item } in deliveries {
            let is_fresh = freshness.is_fresh(lane, position);
            let sorted = match self.sort(lane, is_fresh, item) {
                Ok(sorted) => sorted,
                Err(version) => {
                    let at = self.bus.offset(position).unwrap_or(position);
                    let reason = format!(
                        "the record at {at} of {lane} speaks version {version} of the format, \
                         which this software does not: update this region"
                    );
                    self.shared.links.stop(&self.source, reason);
                    holds = true;
                    break;
                }
            };
            match (lane, sorted) {
                (Lane::Changes(partition), Sorted::Row(what)) => {
                    let items = rows.entry(partition).or_default();
                    items.push(ReadItem { position, next_position, what });
                }
                (_, Sorted::Control(what)) => {
                    control.push(ControlItem { position, next_position, what });
                }
                (Lane::Control, Sorted::Row(_)) => {}
            }
        }
        for (partition, items) in rows {
            let shard = &self.shards[partition as usize % self.shards.len()];
            let read = ReadRecords { source: self.source.clone(), partition, items };
            if !shard.send_records(read) {
                return false;
            }
        }
        if !control.is_empty() {
            let work = ControlWork::Records { source: self.source.clone(), items: control };
            if self.control.send(work).is_err() {
                return false;
            }
        }
        !holds
    }

    /// Notes when the region was heard. An error is a version that is not understood.
    fn sort(&self, lane: Lane, is_fresh: bool, item: Item) -> Result<Sorted, u64> {
        if let Item::Moved { asked, start, reason } = &item {
            let at = |position: u64| self.bus.offset(position).unwrap_or(position);
            let (asked, start) = (at(*asked), at(*start));
            tracing::warn!(source = %self.source, ?lane, asked, start, %reason,
                "the log does not hold what is to be read next; what is missing is sent again");
            self.state.set_moved(lane, reason.clone());
        }
        let sorted = self.intake.sort(lane, item)?;
        if let Sorted::Row(Read::Heartbeat(beat, envelope))
        | Sorted::Control(ControlRead::Heartbeat(beat, envelope)) = &sorted
            && self.shared.site.routes.hears(&self.source, &beat.region)
            && let Some(state) = self.shared.links.get(&beat.region)
        {
            state.heard(lane, beat.hlc);
            // What another passes on may have been on its way for long.
            if beat.region == self.source {
                let steady_ms = self.shared.steady_ms();
                self.shared.site.hear_clock(beat, steady_ms, is_fresh);
            }
            // One lane's are enough: they are the same in all.
            if self.shared.site.lanes().next() == Some(lane) {
                state.set_tags(region_tags(envelope));
            }
            self.shared.startup.heard(&self.shared, lane, &self.source, beat, is_fresh);
            let me = &self.shared.site.region;
            if let Some((last, taken)) = self.shared.last_own.surpassed_by(me, lane, beat) {
                self.shared.fail(format!(
                    "another process writes {lane} of {me}: {} has taken its changes up to {taken}, \
                     and the last one made here is {last}. One of the two must not be started again",
                    beat.region
                ));
            }
        }
        Ok(sorted)
    }
}
