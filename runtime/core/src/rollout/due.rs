//! What a region says of its own accord: that it has a version, and what it stamps.

use super::view::{Rollout, RolloutState};
use super::{RolloutRecord, RolloutText, Rollouts, SelfTest};
use crate::planted::{self, Bug};
use crate::{FunctionVersion, Stamp, TableName};

/// What the rollouts of a table come to for one region.
struct Standing<'a> {
    /// The last rollout that is complete.
    base: Option<&'a Rollout>,
    /// The one that is under way.
    open: Option<&'a Rollout>,
    /// The one whose version this region stamps.
    stamped: Option<&'a Rollout>,
}

impl Rollouts {
    /// What this region stamps the table's changes with: what it last said that it does.
    pub fn stamp(&self, table: &TableName) -> Stamp {
        let stamped = self.standing(table).stamped;
        stamped.map_or(Stamp::Lww, |rollout| rollout.version)
    }

    /// False while this region is about to stamp another version than it does: then what it wrote
    /// would be resolved by another function than its users expect.
    pub fn stamps_as_it_should(&self) -> bool {
        self.tables().all(|table| {
            let standing = self.standing(table);
            let wanted = self.wanted(&standing).map(|rollout| &rollout.id);
            wanted == standing.stamped.map(|rollout| &rollout.id)
        })
    }

    /// What this region should say next. `tested` says of a version that is here what its self-test
    /// came to, if that is known. Saying `Active` is what activates: nothing is activated before
    /// every counted region has it.
    pub fn due(
        &self,
        tested: impl Fn(&FunctionVersion) -> Option<Result<SelfTest, RolloutText>>,
    ) -> Vec<RolloutRecord> {
        let mut due = Vec::new();
        if !self.regions.contains(&self.me) {
            return due;
        }
        for table in self.tables() {
            let standing = self.standing(table);
            for rollout in [standing.base, standing.open].into_iter().flatten() {
                let tested = match rollout.version {
                    Stamp::Lww => Some(Ok(SelfTest::BUILT_IN)),
                    Stamp::Function(version) => tested(&version),
                };
                due.extend(self.due_test(rollout, tested));
            }
            due.extend(self.due_stamp(&standing));
        }
        due
    }

    /// The versions of which this region should say what their self-test comes to: it has not said
    /// so yet, or it did not pass, or came to something else than elsewhere, which a newer
    /// software or machine may have mended. To be tested once after each start.
    pub fn to_test(&self) -> Vec<FunctionVersion> {
        let untested = |rollout: &&Rollout| {
            let me = rollout.regions.get(&self.me);
            me.is_none_or(|me| me.self_test.is_none()) || rollout.differ().is_some()
        };
        let asked = self.tables().flat_map(|table| {
            let Standing { base, open, .. } = self.standing(table);
            [base, open].into_iter().flatten()
        });
        let versions = asked.filter(untested).filter_map(|rollout| rollout.version.function());
        let mut versions: Vec<_> = versions.collect();
        versions.sort();
        versions.dedup();
        versions
    }

    fn due_test(
        &self,
        rollout: &Rollout,
        tested: Option<Result<SelfTest, RolloutText>>,
    ) -> Option<RolloutRecord> {
        let me = rollout.regions.get(&self.me).cloned().unwrap_or_default();
        let id = rollout.id.clone();
        match tested? {
            Ok(self_test) if me.self_test != Some(self_test) => {
                Some(RolloutRecord::Ready { rollout: id, self_test })
            }
            Err(reason) if me.unready.as_ref() != Some(&reason) => {
                Some(RolloutRecord::Unready { rollout: id, reason })
            }
            _ => None,
        }
    }

    fn due_stamp(&self, standing: &Standing<'_>) -> Option<RolloutRecord> {
        let wanted = self.wanted(standing);
        let stamped = standing.stamped;
        let (wanted, stamped_id) = match (wanted, stamped) {
            (None, None) => return None,
            (None, Some(stamped)) => {
                return Some(RolloutRecord::Inactive { rollout: stamped.id.clone() });
            }
            (Some(wanted), stamped) => (wanted, stamped.map(|rollout| &rollout.id)),
        };
        if stamped_id == Some(&wanted.id) {
            return None;
        }
        // Whoever leaves a version goes back at once: what is here of the former one decides only
        // where its conflicts wait.
        let goes_back = stamped_id.is_some_and(|stamped| *stamped > wanted.id);
        if goes_back && planted::is(Bug::AbortKeepsStamp) {
            return None;
        }
        let is_here = wanted.regions.get(&self.me).is_some_and(|me| me.is_ready());
        let looks_at_others =
            !planted::is(Bug::LateRegionNotAwaited) && !planted::is(Bug::ActivateEarly);
        let may = goes_back || wanted.is_everywhere() || !looks_at_others && is_here;
        may.then(|| RolloutRecord::Active { rollout: wanted.id.clone() })
    }

    /// The rollout whose version this region should stamp.
    fn wanted<'a>(&self, standing: &Standing<'a>) -> Option<&'a Rollout> {
        let stamps = |open: &&Rollout| standing.stamped.is_some_and(|s| s.id == open.id);
        // While it is paused nobody begins with it, and who has begun keeps to it.
        let goes = |open: &&Rollout| {
            let begins = open.is_entered_by(&self.me)
                || planted::is(Bug::ActivateEarly)
                    && open.regions.get(&self.me).is_some_and(|me| me.is_ready());
            begins && (open.paused.is_none() || stamps(open))
        };
        standing.open.filter(goes).or(standing.base)
    }

    fn standing(&self, table: &TableName) -> Standing<'_> {
        let mut standing = Standing { base: None, open: None, stamped: None };
        for rollout in self.of_table(table) {
            match rollout.state {
                RolloutState::Complete => standing.base = Some(rollout),
                state if state.is_open() => standing.open = Some(rollout),
                _ => {}
            }
        }
        let stamped = self.tables.get(table).and_then(|table| table.stamped.get(&self.me));
        standing.stamped = stamped.and_then(|id| self.get(id));
        standing
    }
}
