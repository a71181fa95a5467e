//! The chain: what of another region's records is taken, and what of one's own is confirmed.
//!
//! Every record names the HLC of its region's previous change in the partition. So a receiver sees
//! at once whether it has missed one, however it was lost.

mod heard;

use std::collections::{BTreeMap, BTreeSet};

use crate::outstanding::Outstanding;
use crate::planted::{self, Bug};
use crate::{
    Behind, ChangeId, Cut, Evidence, Heartbeat, Hlc, PartitionMeta, RegionId, Routes, VersionVector,
};
pub(crate) use heard::Heard;

/// What became of the records that were read of one region's partition. Each change that was
/// consumed is counted in exactly one of the others, or waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[allow(missing_docs, reason = "the words of FAULTS I4")]
pub struct LinkCounters {
    pub consumed: u64,
    pub applied: u64,
    pub duplicate: u64,
    pub gap: u64,
    pub quarantined: u64,
    pub dropped: u64,
    /// Apart from the changes.
    pub heartbeats: u64,
}

/// Whether another region's chain goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum LinkState {
    /// Its log is read.
    #[default]
    Live,
    /// It is being evicted: nothing more is taken of it until all who stay agree on the end.
    Fenced,
    /// All agree. What is missing up to the end comes from those who have it.
    Cut(Cut),
    /// All up to the end is taken. The region is not counted any more.
    Gone(Cut),
}

/// What a region knows of another region's chain in one partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Link {
    /// The last change taken: applied, or waiting on disk.
    pub taken: Hlc,
    /// The last heartbeat taken.
    pub heartbeat: Hlc,
    /// Whether it goes on.
    pub state: LinkState,
    /// What became of what was read.
    pub counters: LinkCounters,
}

/// Whether a change is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChangeVerdict {
    /// It is the next of its chain.
    Taken,
    /// It was taken before.
    Duplicate,
    /// One before it is missing. It moves nothing, and will be sent again.
    Gap,
    /// The region contradicts what it said before: two writers, or an old disk. The link stops.
    Fork,
}

/// Whether a heartbeat is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeartbeatVerdict {
    /// It moves watermarks.
    Taken,
    /// A later one, or a later change, was taken before.
    Old,
    /// A change before it is missing: of what it says only what others have taken counts.
    Gap,
    /// As [`ChangeVerdict::Fork`].
    Fork,
}

impl Link {
    /// All up to the end is taken.
    fn gone(&mut self, cut: Cut) -> LinkState {
        self.heartbeat = self.heartbeat.max(cut.heartbeat);
        LinkState::Gone(cut)
    }

    /// True if what this region has applied counts for what is stable and confirmed.
    pub fn is_counted(&self) -> bool {
        !matches!(self.state, LinkState::Gone(_))
    }

    /// Up to where the region's changes are all taken.
    pub fn reached(&self) -> Hlc {
        self.taken.max(self.heartbeat)
    }

    /// Judges a change by its place in the chain.
    pub fn judge_change(&self, hlc: Hlc, prev: Hlc) -> ChangeVerdict {
        if hlc <= self.taken {
            ChangeVerdict::Duplicate
        } else if prev > self.taken
            && planted::is(Bug::GapAfterQuarantine)
            && self.counters.quarantined > 0
        {
            ChangeVerdict::Taken
        } else if prev > self.taken {
            ChangeVerdict::Gap
        } else if prev < self.taken || hlc <= self.heartbeat {
            ChangeVerdict::Fork
        } else {
            ChangeVerdict::Taken
        }
    }

    /// Judges a heartbeat by its place in the chain.
    pub fn judge_heartbeat(&self, hlc: Hlc, prev: Hlc) -> HeartbeatVerdict {
        if planted::is(Bug::HeartbeatOverGap) && prev > self.taken && hlc > self.reached() {
            HeartbeatVerdict::Taken
        } else if prev > self.taken {
            HeartbeatVerdict::Gap
        } else if hlc <= self.reached() {
            HeartbeatVerdict::Old
        } else if prev < self.taken {
            HeartbeatVerdict::Fork
        } else {
            HeartbeatVerdict::Taken
        }
    }
}

/// What became of a record that was shown to a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Received {
    /// The next of its chain: it is applied or waits when the batch is finished.
    Taken,
    /// A heartbeat that moves watermarks.
    Heartbeat,
    /// No effect: known already, older than what is known, or beyond an evicted region's end.
    Known,
    /// One before it is missing; it will be sent again.
    Gap,
    /// The link must stop; the record is not passed.
    Fork,
    /// The region is being evicted, or is gone: its log is not read.
    Stopped,
    /// It comes from no region of this partition, or in the log of a region that has no right to
    /// pass it on.
    Foreign,
}

/// What a partition is to make of the other regions, as the control records have it.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Counting {
    /// The regions that count, this one included.
    pub counted: BTreeSet<RegionId>,
    /// Regions of which nothing more is to be taken for now.
    pub fenced: BTreeSet<RegionId>,
    /// Regions that all have agreed to be without, and where they end in this partition.
    pub cuts: BTreeMap<RegionId, Cut>,
    /// Local writes are taken.
    pub may_write: bool,
}

impl Counting {
    /// As it is before any record: all regions count.
    pub fn all(regions: impl IntoIterator<Item = RegionId>) -> Self {
        Self { counted: regions.into_iter().collect(), may_write: true, ..Self::default() }
    }
}

/// A stretch of another region's changes that someone has not taken: of one that is gone or silent,
/// or of any where this region passes on what it hears.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PassOn {
    /// The region that made them.
    pub region: RegionId,
    /// The last of its changes that the other has.
    pub after: Hlc,
    /// Its last change.
    pub upto: Hlc,
}

/// What follows from what was shown to the chains since the last commit.
#[derive(Clone, Debug, Default)]
pub(crate) struct ChainEffects {
    pub(crate) resend_after: Option<Hlc>,
    pub(crate) pass_on: Vec<PassOn>,
    pub(crate) forks: Vec<(RegionId, Hlc)>,
}

/// The chains of one partition, as one region sees them: the others', which it reads, and its own.
#[derive(Clone, Debug)]
pub(crate) struct Chains {
    me: RegionId,
    pub(crate) links: BTreeMap<RegionId, Link>,
    /// Of every region that is counted.
    pub(crate) heard: BTreeMap<RegionId, Heard>,
    /// This region's last change in the partition.
    pub(crate) own_change: Hlc,
    /// This region's last heartbeat in the partition.
    pub(crate) own_heartbeat: Hlc,
    /// Every region has taken this region's changes up to here; later ones are in the outbox.
    pub(crate) confirmed: Hlc,
    pub(crate) outstanding: Outstanding,
    /// This region's last change as of the last commit.
    committed: Hlc,
    /// Records of a region that is silent are passed on to peers that lack them, as well as those
    /// of regions that are gone.
    pub(crate) passes_on_for_the_silent: bool,
    /// In whose logs the others are heard.
    pub(crate) routes: Routes,
    /// Up to where the raw changes of each region were dropped.
    dropped_upto: BTreeMap<RegionId, Hlc>,
    effects: ChainEffects,
}

impl Chains {
    /// As they were committed; of a partition that never was, `regions` are all, this one included.
    /// `outstanding` is what the outbox holds, in order.
    pub(crate) fn restore(
        me: RegionId,
        regions: &[RegionId],
        meta: &PartitionMeta,
        outstanding: Vec<Hlc>,
    ) -> Self {
        let mut links: BTreeMap<RegionId, Link> = meta.links.iter().cloned().collect();
        if links.is_empty() {
            let peers = regions.iter().filter(|region| **region != me);
            links = peers.map(|region| (region.clone(), Link::default())).collect();
        }
        let counted = links.iter().filter(|(_, link)| link.is_counted());
        Self {
            heard: counted.map(|(region, _)| (region.clone(), Heard::default())).collect(),
            links,
            me,
            own_change: meta.own_change,
            own_heartbeat: meta.own_heartbeat,
            confirmed: meta.confirmed,
            committed: meta.own_change,
            outstanding: Outstanding::restore(outstanding, meta.own),
            passes_on_for_the_silent: false,
            routes: Routes::default(),
            dropped_upto: BTreeMap::new(),
            effects: ChainEffects::default(),
        }
    }

    pub(crate) fn me(&self) -> &RegionId {
        &self.me
    }

    /// Adds a change of this region to its chain; answers the change before it.
    pub(crate) fn append(&mut self, hlc: Hlc) -> Hlc {
        let prev = std::mem::replace(&mut self.own_change, hlc);
        self.outstanding.push(hlc);
        prev
    }

    /// Changes of this region that some region has not confirmed.
    pub(crate) fn outstanding(&self) -> usize {
        self.outstanding.len()
    }

    /// The regions that have not taken the oldest outstanding change: nothing can be confirmed
    /// before they have.
    pub(crate) fn behind(&self) -> Vec<Behind> {
        let Some(since) = self.outstanding.first_above(Hlc::ZERO) else { return Vec::new() };
        let behind = self.heard.iter().filter(|(_, heard)| heard.taken.get(&self.me) < since);
        behind.map(|(region, _)| Behind { region: region.clone(), since }).collect()
    }

    /// What a change would come to by its place in the chain; none where its region is unknown.
    pub(crate) fn judge(&self, change: &ChangeId, prev: Hlc) -> Option<ChangeVerdict> {
        self.links.get(&change.region).map(|link| link.judge_change(change.hlc, prev))
    }

    /// Takes a change, if its turn has come. `source` is the region in whose log it stands: the one
    /// that its region is heard in, or any other for a region that is `missed`.
    pub(crate) fn take(
        &mut self,
        source: &RegionId,
        change: &ChangeId,
        prev: Hlc,
        missed: bool,
    ) -> Received {
        let (region, hlc) = (&change.region, change.hlc);
        let elsewhere = self.heard_elsewhere(source, region);
        let Some(link) = self.links.get_mut(region) else { return elsewhere };
        match link.state {
            LinkState::Live if self.routes.hears(source, region) || missed => {}
            LinkState::Live => return elsewhere,
            _ if source == region => return Received::Stopped,
            LinkState::Cut(cut) | LinkState::Gone(cut) if hlc <= cut.taken => {}
            LinkState::Fenced | LinkState::Cut(_) | LinkState::Gone(_) => {
                link.counters.consumed += 1;
                link.counters.dropped += 1;
                return Received::Known;
            }
        }
        let verdict = link.judge_change(hlc, prev);
        link.counters.consumed += u64::from(verdict != ChangeVerdict::Fork);
        if let Some(heard) = self.heard.get_mut(region) {
            heard.lacks = match verdict {
                ChangeVerdict::Taken => false,
                ChangeVerdict::Gap => true,
                ChangeVerdict::Duplicate | ChangeVerdict::Fork => heard.lacks,
            };
        }
        match verdict {
            ChangeVerdict::Taken => {
                link.taken = hlc;
                Received::Taken
            }
            ChangeVerdict::Duplicate => {
                link.counters.duplicate += 1;
                Received::Known
            }
            ChangeVerdict::Gap => {
                link.counters.gap += u64::from(!planted::is(Bug::GapUncounted));
                Received::Gap
            }
            ChangeVerdict::Fork => {
                self.effects.forks.push((region.clone(), hlc));
                // Whoever passes it on says nothing wrong of itself: its log is read on.
                if source == region { Received::Fork } else { Received::Known }
            }
        }
    }

    /// What a record comes to that stands in a log where its region is not heard. One that passes on
    /// what it hears does so for others too, and this region's own records come back through it.
    fn heard_elsewhere(&self, source: &RegionId, region: &RegionId) -> Received {
        let known = *region == self.me || self.links.contains_key(region);
        let passed_on = source != region && self.routes.is_forwarder(source);
        if known && passed_on { Received::Known } else { Received::Foreign }
    }

    /// True if a change that stands in the log of `source` is to be left for later rather than keep
    /// that log from being read, where too much of its region waits: others' records follow in it.
    pub(crate) fn leaves_of_the_full(&self, source: &RegionId, region: &RegionId) -> bool {
        let is_live = self.links.get(region).is_some_and(|link| link.state == LinkState::Live);
        let passed_on = is_live && self.reads_full(source) && self.routes.hears(source, region);
        passed_on || (source == region && self.has_cut())
    }

    /// True if a log is read however much of its region waits: others' records stand in it too.
    pub(crate) fn reads_full(&self, source: &RegionId) -> bool {
        self.has_cut()
            || (self.routes.is_forwarder(source) && !planted::is(Bug::FullLinkHoldsOthers))
    }

    /// Leaves a change for later, as if one before it were missing: it will be sent again.
    pub(crate) fn leave(&mut self, region: &RegionId) -> Received {
        if let Some(link) = self.links.get_mut(region) {
            link.counters.consumed += 1;
            link.counters.gap += 1;
        }
        Received::Gap
    }

    /// True while a change of a region is missing that what was read last of it stands behind.
    pub(crate) fn lacks_of(&self, region: &RegionId) -> bool {
        let is_live = self.links.get(region).is_some_and(|link| link.state == LinkState::Live);
        is_live && self.heard.get(region).is_some_and(|heard| heard.lacks)
    }

    /// True while changes of a region that is gone are still to come.
    pub(crate) fn has_cut(&self) -> bool {
        self.links.values().any(|link| matches!(link.state, LinkState::Cut(_)))
    }

    /// Reads what a heartbeat says of others. `source` is the region in whose log it stands.
    pub(crate) fn hear(&mut self, source: &RegionId, beat: &Heartbeat) -> Received {
        let (is_own, elsewhere) =
            (*source == beat.region, self.heard_elsewhere(source, &beat.region));
        let Some(link) = self.links.get_mut(&beat.region) else { return elsewhere };
        if !is_own && !self.routes.hears(source, &beat.region) {
            return elsewhere;
        }
        if link.state != LinkState::Live {
            return if is_own { Received::Stopped } else { Received::Known };
        }
        link.counters.heartbeats += 1;
        let verdict = link.judge_heartbeat(beat.hlc, beat.prev);
        match verdict {
            HeartbeatVerdict::Old => return Received::Known,
            HeartbeatVerdict::Fork => {
                self.effects.forks.push((beat.region.clone(), beat.hlc));
                return if is_own { Received::Fork } else { Received::Known };
            }
            HeartbeatVerdict::Gap => {}
            HeartbeatVerdict::Taken => link.heartbeat = beat.hlc,
        }
        let took = verdict == HeartbeatVerdict::Taken;
        if let Some(heard) = self.heard.get_mut(&beat.region) {
            if took {
                heard.watermarks.join(&beat.watermarks);
            }
            heard.lacks = !took;
            let before = heard.taken.clone();
            heard.taken.join(&beat.taken);
            heard.silent = 0;
            self.feed(beat, &before);
        }
        if took { Received::Heartbeat } else { Received::Gap }
    }

    /// Has a peer that stands still sent what it lacks: of this region's changes, of those of
    /// regions that are gone, and of all others' where this region passes on what it hears.
    fn feed(&mut self, beat: &Heartbeat, before: &VersionVector) {
        let silent: BTreeSet<RegionId> = self
            .heard
            .iter()
            .filter(|(_, heard)| self.passes_on_for_the_silent && heard.is_silent())
            .map(|(region, _)| region.clone())
            // Whoever it is heard through sends its records again.
            .filter(|region| self.routes.is_direct(region))
            .collect();
        let forwards = self.routes.forwards() && !planted::is(Bug::ForwardOnce);
        let Self { me, links, heard, outstanding, effects, own_heartbeat, .. } = self;
        let Some(heard) = heard.get_mut(&beat.region) else { return };
        let counts = beat.hlc > heard.counts_after;
        let mut fed = false;
        let taken = heard.taken.get(me);
        let behind = outstanding.last().is_some_and(|last| last > taken);
        if heard.feeding.heard(behind, taken != before.get(me), counts) {
            let mut after = taken;
            if planted::is(Bug::ResendWithoutFirst) {
                after = outstanding.first_above(taken).unwrap_or(taken);
            }
            let earlier = effects.resend_after.get_or_insert(after);
            *earlier = after.min(*earlier);
            fed = true;
        }
        for (region, link) in links.iter() {
            let upto = match link.state {
                LinkState::Cut(cut) | LinkState::Gone(cut) => cut.taken,
                _ if silent.contains(region) => link.taken,
                LinkState::Live if forwards => link.taken,
                LinkState::Live | LinkState::Fenced => continue,
            };
            let after = heard.taken.get(region);
            let behind = link.taken >= upto && after < upto && *region != beat.region;
            let feeding = heard.passing_on.entry(region.clone()).or_default();
            if feeding.heard(behind, after != before.get(region), counts) {
                effects.pass_on.push(PassOn { region: region.clone(), after, upto });
                fed = true;
            }
        }
        if fed {
            heard.counts_after = *own_heartbeat;
        }
    }

    /// Counts, fences and cuts the other regions as is wanted. Answers true if that changed
    /// anything.
    pub(crate) fn align(&mut self, counting: &Counting) -> bool {
        let Counting { counted, fenced, cuts, .. } = counting;
        let before = self.links.clone();
        let named = counted.iter().chain(fenced).chain(cuts.keys());
        for region in named.filter(|region| **region != self.me) {
            self.links.entry(region.clone()).or_default();
        }
        for (region, link) in &mut self.links {
            link.state = match (link.state, cuts.get(region)) {
                (gone @ LinkState::Gone(_), _) => gone,
                (_, Some(cut)) if link.taken >= cut.taken => link.gone(*cut),
                (_, Some(cut)) => LinkState::Cut(*cut),
                (_, None) if fenced.contains(region) && planted::is(Bug::EvictWithoutAgreement) => {
                    link.gone(Cut { taken: link.taken, heartbeat: link.heartbeat })
                }
                (_, None) if fenced.contains(region) => LinkState::Fenced,
                (_, None) => LinkState::Live,
            };
        }
        // A region that was counted for a joining that came to nothing was never heard.
        self.links.retain(|region, link| link.state != LinkState::Live || counted.contains(region));
        self.count();
        self.links != before
    }

    /// Regions of which all up to their end is taken count no more.
    pub(crate) fn end_cuts(&mut self) -> bool {
        let mut ended = false;
        for link in self.links.values_mut() {
            if let LinkState::Cut(cut) = link.state
                && link.taken >= cut.taken
            {
                link.state = link.gone(cut);
                ended = true;
            }
        }
        if ended {
            self.count();
        }
        ended
    }

    fn count(&mut self) {
        let Self { links, heard, .. } = self;
        heard.retain(|region, _| links.get(region).is_some_and(Link::is_counted));
        for (region, _) in links.iter().filter(|(_, link)| link.is_counted()) {
            heard.entry(region.clone()).or_default();
        }
    }

    /// Makes a heartbeat of this region.
    pub(crate) fn beat(&mut self, hlc: Hlc, watermarks: VersionVector) -> Heartbeat {
        self.own_heartbeat = hlc;
        for heard in self.heard.values_mut() {
            heard.silent = heard.silent.saturating_add(1);
            if heard.is_silent() {
                heard.counts_after = hlc;
            }
        }
        let (region, prev, taken) = (self.me.clone(), self.own_change, self.taken());
        let evidence = Evidence::default();
        let wall_ms = hlc.millis();
        Heartbeat { region, hlc, prev, watermarks, taken, evidence, wall_ms }
    }

    /// Forgets the outstanding changes that every region has taken. Answers up to where, if that
    /// moved.
    pub(crate) fn confirm(&mut self) -> Option<Hlc> {
        let taken = self.heard.values().map(|heard| heard.taken.get(&self.me));
        let taken = if planted::is(Bug::ConfirmByOne) { taken.max() } else { taken.min() };
        let committed = std::mem::replace(&mut self.committed, self.own_change);
        // A region alone has nobody to wait for. What is only now to be written cannot be taken out
        // of the outbox with the same commit.
        let taken = taken.unwrap_or(committed).min(self.own_change);
        if taken <= self.confirmed {
            return None;
        }
        self.confirmed = taken;
        self.outstanding.confirm(taken);
        Some(taken)
    }

    /// For each region up to where nobody can need its changes from this region any more: everyone
    /// has taken them. Only what has moved since the last time.
    pub(crate) fn needless(&mut self) -> Vec<(RegionId, Hlc)> {
        let mut needless = Vec::new();
        for (region, link) in &self.links {
            let others = self.heard.iter().filter(|(peer, _)| *peer != region);
            let taken = others.map(|(_, heard)| heard.taken.get(region)).min();
            let taken = taken.filter(|_| !planted::is(Bug::ReceivedDroppedEarly));
            let upto = taken.unwrap_or(link.taken).min(link.taken);
            let dropped = self.dropped_upto.entry(region.clone()).or_default();
            if upto > *dropped {
                *dropped = upto;
                needless.push((region.clone(), upto));
            }
        }
        needless
    }

    /// True if there is another region that may need this one's changes from here.
    pub(crate) fn is_needed_elsewhere(&self, region: &RegionId) -> bool {
        self.heard.keys().any(|peer| peer != region)
    }

    pub(crate) fn take_effects(&mut self) -> ChainEffects {
        std::mem::take(&mut self.effects)
    }

    /// For each region the last change taken of it; of this one, the last made.
    pub(crate) fn taken(&self) -> VersionVector {
        let mut taken: VersionVector =
            self.links.iter().map(|(region, link)| (region.clone(), link.taken)).collect();
        taken.raise(&self.me, self.own_change);
        taken
    }

    /// The highest HLC of any region in this partition, for the clock to start above.
    pub(crate) fn highest(&self) -> Hlc {
        let links = self.links.values().map(Link::reached);
        links.chain([self.own_change, self.own_heartbeat]).max().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hlc(n: u64) -> Hlc {
        Hlc::from_bits(n).unwrap()
    }

    #[test]
    fn a_change_is_judged_by_its_place() {
        let link = Link { taken: hlc(10), heartbeat: hlc(15), ..Link::default() };
        for (at, prev, verdict) in [
            (20, 10, ChangeVerdict::Taken),
            (10, 5, ChangeVerdict::Duplicate),
            (7, 3, ChangeVerdict::Duplicate),
            (25, 20, ChangeVerdict::Gap),
            (14, 12, ChangeVerdict::Gap),
            (20, 9, ChangeVerdict::Fork),
            (15, 10, ChangeVerdict::Fork),
            (12, 10, ChangeVerdict::Fork),
        ] {
            assert_eq!(link.judge_change(hlc(at), hlc(prev)), verdict, "{at} after {prev}");
        }
    }

    #[test]
    fn a_heartbeat_is_judged_by_its_place() {
        let link = Link { taken: hlc(10), heartbeat: hlc(15), ..Link::default() };
        for (at, prev, verdict) in [
            (20, 10, HeartbeatVerdict::Taken),
            (15, 10, HeartbeatVerdict::Old),
            (9, 5, HeartbeatVerdict::Old),
            (30, 20, HeartbeatVerdict::Gap),
            (20, 5, HeartbeatVerdict::Fork),
        ] {
            assert_eq!(link.judge_heartbeat(hlc(at), hlc(prev)), verdict, "{at} after {prev}");
        }
    }

    fn region(name: &str) -> RegionId {
        name.parse().unwrap()
    }

    fn chains() -> Chains {
        let regions = [region("a"), region("b")];
        Chains::restore(region("a"), &regions, &PartitionMeta::default(), Vec::new())
    }

    /// From where on the heartbeat has changes sent again.
    fn resent(chains: &mut Chains, beat: &Heartbeat) -> Option<Hlc> {
        chains.hear(&beat.region, beat);
        chains.take_effects().resend_after
    }

    fn beat(at: u64, prev: u64, taken: u64) -> Heartbeat {
        let mut of_others = VersionVector::new();
        of_others.set(&region("a"), hlc(taken));
        Heartbeat {
            region: region("b"),
            hlc: hlc(at),
            prev: hlc(prev),
            watermarks: VersionVector::new(),
            taken: of_others,
            evidence: Evidence::default(),
            wall_ms: 0,
        }
    }

    #[test]
    fn a_change_is_missing_until_it_comes() {
        let (mut chains, b) = (chains(), region("b"));
        let change = |at| ChangeId { hlc: hlc(at), region: region("b") };
        assert!(!chains.lacks_of(&b));
        chains.hear(&b, &beat(30, 20, 0));
        assert!(chains.lacks_of(&b));
        // What is known says nothing of what is missing.
        chains.hear(&b, &beat(0, 0, 0));
        chains.take(&b, &change(0), hlc(0), false);
        assert!(chains.lacks_of(&b));
        chains.take(&b, &change(10), hlc(0), false);
        assert!(!chains.lacks_of(&b));
        chains.take(&b, &change(30), hlc(20), false);
        assert!(chains.lacks_of(&b));
        chains.take(&b, &change(20), hlc(10), false);
        chains.hear(&b, &beat(40, 20, 0));
        assert!(!chains.lacks_of(&b) && !chains.lacks_of(&region("c")));
        // Nothing is awaited of a region that is being evicted.
        chains.take(&b, &change(60), hlc(50), false);
        if let Some(link) = chains.links.get_mut(&b) {
            link.state = LinkState::Fenced;
        }
        assert!(!chains.lacks_of(&b));
    }

    #[test]
    fn heartbeats_from_a_time_of_silence_count_for_nothing() {
        let mut chains = chains();
        chains.append(hlc(1));
        for at in [100, 200, 300] {
            chains.beat(hlc(at), VersionVector::new());
        }
        // The link heals; what the peer said in the meantime is read.
        assert!((250..=300).all(|at| resent(&mut chains, &beat(at, 0, 0)).is_none()));
        let mut often_resent = |from: u64, upto: u64| -> Vec<u64> {
            (from..=upto).filter(|at| resent(&mut chains, &beat(*at, 0, 0)).is_some()).collect()
        };
        // With more and more patience, as it does not help.
        let often = [303, 309, 321, 345, 393, 441, 489];
        assert_eq!(often_resent(301, 500), often);
    }

    #[test]
    fn what_stands_still_for_three_heartbeats_is_sent_again() {
        let mut chains = chains();
        assert_eq!((chains.append(hlc(1)), chains.append(hlc(2))), (hlc(0), hlc(1)));
        let mut at = 10;
        let mut hear = |chains: &mut Chains, prev, taken| {
            at += 1;
            resent(chains, &beat(at, prev, taken))
        };
        // The first heartbeat moves `taken` from unknown; the next three stand still.
        assert_eq!(hear(&mut chains, 0, 1), None);
        assert_eq!(chains.confirm(), Some(hlc(1)));
        assert_eq!((hear(&mut chains, 0, 1), hear(&mut chains, 0, 1)), (None, None));
        assert_eq!(hear(&mut chains, 0, 1), Some(hlc(1)));
        // What a heartbeat says over a gap counts for this.
        for _ in 0..5 {
            assert_eq!(hear(&mut chains, 5, 1), None);
        }
        assert_eq!(hear(&mut chains, 5, 1), Some(hlc(1)));
        let behind = Behind { region: region("b"), since: hlc(2) };
        assert_eq!((chains.behind(), chains.outstanding()), (vec![behind], 1));
        assert_eq!(hear(&mut chains, 5, 2), None);
        assert_eq!((chains.confirm(), chains.outstanding()), (Some(hlc(2)), 0));
        for _ in 0..9 {
            assert_eq!(hear(&mut chains, 0, 2), None);
        }
    }
}
