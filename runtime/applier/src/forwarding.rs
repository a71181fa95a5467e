//! What a turn has taken of other regions, where this one passes it on.

use std::collections::BTreeMap;

use syncline_bus::Envelope;
use syncline_core::{ChangeId, Forward, ForwardedBeat, Heartbeat, Hlc, RegionId, Routes};

/// Gathered while a turn goes on, and told to the feed once it is committed.
#[derive(Debug, Default)]
pub(crate) struct Forwarding(BTreeMap<RegionId, Forward>);

impl Forwarding {
    /// A change or a control record was taken.
    pub(crate) fn taken(&mut self, routes: &Routes, id: &ChangeId) {
        if routes.forwards() {
            let of = self.of(&id.region);
            of.upto = of.upto.max(id.hlc);
        }
    }

    /// A heartbeat was heard, over a gap or not: what it says of others is of use to all.
    pub(crate) fn heard(&mut self, routes: &Routes, beat: &Heartbeat, envelope: &Envelope) {
        if routes.forwards() {
            let (region, record) = (beat.region.clone(), envelope.to_bytes().into());
            let forwarded = ForwardedBeat { region, hlc: beat.hlc, prev: beat.prev, record };
            self.of(&beat.region).heartbeat = Some(forwarded);
        }
    }

    fn of(&mut self, region: &RegionId) -> &mut Forward {
        let none = || Forward { region: region.clone(), upto: Hlc::ZERO, heartbeat: None };
        self.0.entry(region.clone()).or_insert_with(none)
    }

    /// For the feed.
    pub(crate) fn done(self) -> Vec<Forward> {
        self.0.into_values().collect()
    }
}
