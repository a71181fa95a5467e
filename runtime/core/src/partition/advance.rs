//! Applying: what waits and has all that it builds on becomes part of its row.

use std::sync::Arc;

use super::WaitingWrite;
use super::batch::{Batch, Touched};
use super::commit::{Alarm, ConflictWrite, LoadError};
use crate::planted::{self, Bug};
use crate::{
    Absorbed, Change, ChangeId, ChangeRecord, ConflictId, ConflictOutcome, ConflictRecord,
    ConflictSide, Fold, Hlc, HostFault, LinkCounters, LinkState, RegionId, RowKey, VersionVector,
};

/// Where the changes of a row cannot be folded together, so many are tried one by one at a time.
const SINGLE_TRIES_MAX: usize = 64;

/// What trying to apply changes of a row came to.
enum Tried {
    /// They are applied, or were there already.
    Applied,
    /// Nothing could be applied: what they build on is not here.
    Nothing,
    /// No function could be asked; the row is as it was.
    Stalled(HostFault),
}

impl Batch<'_> {
    /// Applies until nothing more can be: a change may be what another one waits for.
    pub(super) fn drain(&mut self) -> Result<(), LoadError> {
        loop {
            while let Some(key) = self.queue.pop_first() {
                self.advance_row(&key)?;
            }
            self.raise_watermarks();
            if self.queue.is_empty() {
                return Ok(());
            }
        }
    }

    /// For each region up to the first of its changes that waits.
    fn raise_watermarks(&mut self) {
        let partition = &mut *self.partition;
        for (region, link) in &partition.chains.links {
            let first = partition.waiting.first_of(region);
            let first = first.filter(|_| !planted::is(Bug::WatermarkPastWaiting));
            let reached = first.map_or(link.reached(), |first| link.reached().min(first.before()));
            if reached > partition.watermarks.get(region) {
                partition.watermarks.set(region, reached);
                self.queue.extend(partition.waiting.released_by(region, reached));
            }
        }
    }

    /// Applies the row's waiting changes: all together, so that a successor may heal what cannot be
    /// folded without it; if that cannot be folded, one by one, so that none waits for a stranger.
    fn advance_row(&mut self, key: &RowKey) -> Result<(), LoadError> {
        let waiting = self.partition.waiting.shared_of_row(key);
        if waiting.is_empty() {
            return Ok(());
        }
        let mut stalled = None;
        match self.try_apply(key, &waiting)? {
            Tried::Applied => self.waits_no_longer(key),
            Tried::Nothing => {}
            Tried::Stalled(fault) => {
                // Where the clock ran out, more of the same would hold up the neighbours.
                let slow = matches!(fault, HostFault::Backstop { .. });
                let tries = if slow { 0 } else { SINGLE_TRIES_MAX };
                for change in waiting.iter().take(tries) {
                    self.try_apply(key, std::slice::from_ref(change))?;
                }
                stalled = Some(fault);
            }
        }
        if self.partition.waiting.of_row(key).next().is_none() {
            self.waits_no_longer(key);
            return Ok(());
        }
        if let Some(fault) = stalled {
            self.stall(key, fault)?;
        }
        let mut seen = self.partition.watermarks.clone();
        seen.join(&self.rows.row(key)?.state().vv);
        self.give_up_what_builds_on_the_lost(key, &seen);
        self.partition.waiting.note_missing(key, &seen);
        Ok(())
    }

    /// What builds on a change beyond the end of a region that is gone can be applied nowhere.
    fn give_up_what_builds_on_the_lost(&mut self, key: &RowKey, seen: &VersionVector) {
        if planted::is(Bug::LostNeverGivenUp) {
            return;
        }
        let links = &self.partition.chains.links;
        let is_lost = |region: &RegionId, hlc: Hlc| {
            let state = links.get(region).map(|link| link.state);
            matches!(state, Some(LinkState::Gone(cut)) if hlc > cut.reached())
        };
        let builds_on_lost = |change: &&Change| {
            let missing = change.context.iter().filter(|(region, hlc)| seen.get(region) < *hlc);
            missing.into_iter().any(|(region, hlc)| is_lost(region, hlc))
        };
        let waiting = self.partition.waiting.of_row(key);
        let lost: Vec<ChangeId> =
            waiting.filter(builds_on_lost).map(|change| change.id.clone()).collect();
        for id in lost {
            self.leave_waiting(key, &id, |counters| &mut counters.dropped);
            self.commit.alarms.push(Alarm::BuildsOnTheLost { row: key.clone(), change: id });
        }
    }

    /// `changes` are oldest first, so that what a change builds on comes before it.
    fn try_apply(
        &mut self,
        key: &RowKey,
        changes: &[Arc<ChangeRecord>],
    ) -> Result<Tried, LoadError> {
        let row = self.rows.row(key)?;
        let mut mark = row.mark();
        let image_before = row.image().cloned();
        let (mut duplicates, mut diverged) = (Vec::new(), None);
        for change in changes.iter().map(|record| &record.change) {
            match row.absorb(change, &self.partition.watermarks) {
                Absorbed::Yes { diverged: differs } => {
                    mark.note(change.id.clone());
                    if differs && mark.absorbed().len() == 1 {
                        diverged = Some((change, image_before.clone()));
                    }
                }
                Absorbed::Duplicate => duplicates.push(change.id.clone()),
                Absorbed::Early => {}
            }
        }
        if mark.absorbed().is_empty() {
            for id in &duplicates {
                self.leave_waiting(key, id, |counters| &mut counters.duplicate);
            }
            return Ok(if duplicates.is_empty() { Tried::Nothing } else { Tried::Applied });
        }
        let fold = match row.fold(key, self.functions) {
            Ok(fold) => fold,
            Err(fault) => {
                row.roll_back(mark);
                return Ok(Tried::Stalled(fault));
            }
        };
        let conflict = conflict_record(key, &fold, row.image().cloned(), self.now_ms);
        let absorbed = mark.absorbed().to_vec();
        let touched = self.touched.entry(key.clone());
        let touched = touched.or_insert_with(|| Touched { image_before, ..Touched::default() });
        touched.absorbed.extend(absorbed.iter().cloned());
        if let Some(conflict) = &conflict {
            self.partition.comparing.met(conflict, self.now_ms);
        }
        self.commit.conflicts.extend(conflict.map(ConflictWrite::Resolved));
        if let Some((change, ours)) = diverged {
            let images = (ours.as_ref(), change.before.as_ref());
            self.partition.comparing.differs_before(key, &change.id, images, self.now_ms);
        }
        for id in &absorbed {
            self.leave_waiting(key, id, |counters| &mut counters.applied);
        }
        for id in &duplicates {
            self.leave_waiting(key, id, |counters| &mut counters.duplicate);
        }
        Ok(Tried::Applied)
    }

    fn leave_waiting(
        &mut self,
        key: &RowKey,
        id: &ChangeId,
        counter: impl Fn(&mut LinkCounters) -> &mut u64,
    ) {
        if self.partition.waiting.remove(key, id) {
            self.commit.waiting.push(WaitingWrite::Drop(key.clone(), id.clone()));
        }
        if let Some(link) = self.partition.chains.links.get_mut(&id.region) {
            *counter(&mut link.counters) += 1;
        }
    }

    /// Notes the conflict that the row waits in, once for each set of heads.
    fn stall(&mut self, key: &RowKey, fault: HostFault) -> Result<(), LoadError> {
        let known = self.partition.waiting.stalled.insert(key.clone(), fault.clone());
        if fault == HostFault::Deferred || known.as_ref() == Some(&fault) {
            return Ok(());
        }
        let waiting = self.partition.waiting.shared_of_row(key);
        let watermarks: &VersionVector = &self.partition.watermarks;
        let row = self.rows.row(key)?;
        let mut mark = row.mark();
        for change in waiting.iter().map(|record| &record.change) {
            if let Absorbed::Yes { .. } = row.absorb(change, watermarks) {
                mark.note(change.id.clone());
            }
        }
        let steps = row.heads_as_steps();
        row.roll_back(mark);
        let fold = Fold { steps, fault: None, calls: 0 };
        if let Some(mut record) = conflict_record(key, &fold, None, self.now_ms) {
            record.outcome = ConflictOutcome::Waiting { reason: fault.to_string() };
            self.commit.conflicts.push(ConflictWrite::Waits(record));
        }
        self.commit.alarms.push(Alarm::MergeWaits { row: key.clone(), fault });
        Ok(())
    }
}

/// None where there is no conflict.
pub(super) fn conflict_record(
    key: &RowKey,
    fold: &Fold,
    image: Option<crate::Image>,
    now_ms: u64,
) -> Option<ConflictRecord> {
    let newest = fold.steps.last().filter(|_| fold.steps.len() > 1)?;
    let heads: Vec<ChangeId> = fold.steps.iter().map(|step| step.head.id.clone()).collect();
    let side = |step: &crate::FoldStep| ConflictSide {
        change: step.head.id.clone(),
        operation: step.head.operation,
        image: step.head.after.clone(),
        ancestor: step.ancestor.clone(),
    };
    let outcome = match &fold.fault {
        None => ConflictOutcome::Merged(image),
        Some(fault) => ConflictOutcome::of_fault(fault),
    };
    Some(ConflictRecord {
        id: ConflictId::of(key, &heads),
        row: key.clone(),
        sides: fold.steps.iter().map(side).collect(),
        stamp: newest.head.stamp,
        outcome,
        resolved_at_ms: now_ms,
        has_images: true,
    })
}
