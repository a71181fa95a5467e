//! What a turn of the control partition comes to.

use syncline_bus::Lane;
use syncline_core::{
    Alarm, ControlBody, Forward, FunctionVersion, Heartbeat, Hlc, PassOn, RegionId,
};
use syncline_store::kv::quarantine::Quarantined;

use crate::Ticket;

/// What a turn came to.
#[derive(Debug, Default)]
pub struct ControlDone {
    /// For the syncer.
    pub last_change: Option<Hlc>,
    /// For the syncer.
    pub heartbeat: Option<Heartbeat>,
    /// Components of which every part is here now: to be put together, loaded and reported with
    /// [`super::ControlApplier::loaded`].
    pub assembled: Vec<FunctionVersion>,
    /// Versions to be tested, and then reported with [`super::ControlApplier::self_tested`]. Each is named
    /// once after a start.
    pub to_test: Vec<FunctionVersion>,
    /// For the feed: records above this are to be produced again.
    pub resend_after: Option<Hlc>,
    /// For the feed: what some lack of other regions.
    pub pass_on: Vec<PassOn>,
    /// For the feed: what was taken of other regions, where this one passes it on.
    pub forward: Vec<Forward>,
    /// What people should know.
    pub alarms: Vec<Alarm>,
    /// Records that were put into quarantine.
    pub quarantined: Vec<Quarantined>,
    /// Regions whose log must not be read on.
    pub forked: Vec<RegionId>,
    /// What this region said of rollouts and of the regions, of its own accord.
    pub said: Vec<ControlBody>,
}

impl ControlDone {
    /// What the syncer is to make durable; none if nobody waits for that.
    pub fn ticket<R>(&mut self, replies: Vec<R>) -> Option<Ticket<R>> {
        let (last_change, heartbeat) = (self.last_change.take(), self.heartbeat.take());
        let waits = last_change.is_some() || heartbeat.is_some() || !replies.is_empty();
        waits.then_some(Ticket { lane: Lane::Control, last_change, heartbeat, replies })
    }
}
