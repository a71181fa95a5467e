//! A place where the process ends on purpose, for tests of what a kill does just there.
//!
//! It is there in builds with assertions only, as those are that are tested: a release build reads no
//! such variable, and needs no build of its own to be without it.

use syncline_bus::{Decoded, Outgoing, decode};
use syncline_core::{Hlc, RegionId};

use super::Shared;

/// Which of the control records that this process makes does not get to the log any more: 1 is the
/// first.
const VARIABLE: &str = "SYNCLINE_FAILPOINT_CONTROL_RECORD";

/// Ends the process when a control record of its own is committed and synced, and not yet produced.
pub(super) struct Failpoint {
    me: RegionId,
    /// Records up to here are of another start, or were counted.
    counted: Hlc,
    /// So many more, the one included; none: the process goes on for ever.
    left: Option<usize>,
}

impl Failpoint {
    /// As the environment says. Nothing was said since the start yet.
    pub(super) fn of(shared: &Shared) -> Self {
        let asked = if cfg!(debug_assertions) { std::env::var(VARIABLE).ok() } else { None };
        Self {
            me: shared.site.region.clone(),
            counted: shared.site.clock.last(),
            left: asked.and_then(|number| number.parse().ok()),
        }
    }

    /// How many of these records still get to the log before the process ends; none: all, and it does
    /// not.
    pub(super) fn cuts(&mut self, records: &[Outgoing]) -> Option<usize> {
        let mut left = self.left?;
        for (at, record) in records.iter().enumerate() {
            let Ok(Decoded::Control(record)) = decode(&record.envelope) else { continue };
            if record.id.region != self.me || record.id.hlc <= self.counted {
                continue;
            }
            self.counted = record.id.hlc;
            left = left.saturating_sub(1);
            if left == 0 {
                return Some(at);
            }
        }
        self.left = Some(left);
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use syncline_bus::{Lane, encode_control};
    use syncline_core::{ChangeId, ControlBody, ControlRecord, MembershipChange, MembershipRecord};

    #[test]
    fn the_process_ends_before_a_record_of_its_own_that_it_made_since_its_start() {
        let hlc = |n| Hlc::from_bits(n).unwrap();
        let record = |region: &str, n: u64| {
            let change = MembershipChange::Join { region: "c".parse().unwrap() };
            let body =
                ControlBody::Membership(MembershipRecord::Propose { change, previous: None });
            let id = ChangeId { hlc: hlc(n), region: region.parse().unwrap() };
            let envelope = encode_control(&ControlRecord { id, prev: hlc(n - 1), body });
            Outgoing { lane: Lane::Control, envelope }
        };
        let me: RegionId = "a".parse().unwrap();
        let mut failpoint = Failpoint { me: me.clone(), counted: hlc(5), left: Some(3) };
        // Of the start before, of another region, and sent again.
        let before = [record("a", 5), record("b", 9), record("a", 7), record("a", 7)];
        assert_eq!(failpoint.cuts(&before), None);
        assert_eq!(failpoint.cuts(&[record("a", 8), record("b", 9), record("a", 9)]), Some(2));
        let mut never = Failpoint { me, counted: Hlc::ZERO, left: None };
        assert_eq!(never.cuts(&before), None);
    }
}
