//! Plays whole regions that propose, answer, die and are evicted, with every record delivered at any
//! time. The first region never dies and is never named gone, so all evictions leave a common
//! survivor.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;
use crate::{Hlc, VersionVector};

/// What happens next. Numbers are taken modulo what there is, so that any list of steps can be
/// played, and shrinks.
#[derive(Clone, Debug)]
enum Step {
    /// A region proposes that a new one joins.
    Join { at: usize },
    /// A region proposes that others are gone, dead or not.
    Evict { at: usize, mask: u8 },
    /// A region proposes that all that are dead are gone.
    EvictDead { at: usize },
    /// A region proposes something without asking whether it may.
    Rash { at: usize, on: usize, mask: u8 },
    /// A region reads some of another's records.
    Read { at: usize, of: usize, count: usize },
    /// A region fetches what it misses, from others.
    Fetch { at: usize },
    /// A region does its duty once.
    Act { at: usize },
    /// A region is no more. Of what nobody has read of it so many records are left, and its log can
    /// be read on, or not.
    Die { at: usize, left: usize, readable: bool },
}

struct Node {
    name: RegionId,
    alive: bool,
    started: bool,
    readable: bool,
    clock: u64,
    log: Vec<(ChangeId, MembershipRecord)>,
    read: BTreeMap<usize, usize>,
    view: Membership,
    held: BTreeSet<MembershipId>,
}

struct World {
    configured: Vec<RegionId>,
    nodes: Vec<Node>,
    previous: BTreeMap<MembershipId, Option<MembershipId>>,
    held: BTreeSet<MembershipId>,
}

impl World {
    fn new(count: usize) -> Self {
        let configured: Vec<RegionId> =
            (0..count).map(|n| format!("r{n}").parse().unwrap()).collect();
        let mut world = Self {
            configured: configured.clone(),
            nodes: Vec::new(),
            previous: BTreeMap::new(),
            held: BTreeSet::new(),
        };
        for name in configured {
            world.add(name, true);
        }
        world
    }

    fn add(&mut self, name: RegionId, started: bool) {
        let view = Membership::new(name.clone(), self.configured.clone());
        self.nodes.push(Node {
            name,
            alive: true,
            started,
            readable: true,
            // Not all clocks agree.
            clock: (self.nodes.len() as u64 * 2) % 5,
            log: Vec::new(),
            read: BTreeMap::new(),
            view,
            held: BTreeSet::new(),
        });
    }

    fn runs(&self, at: usize) -> bool {
        self.nodes[at].alive && self.nodes[at].started
    }

    fn running(&self) -> Vec<usize> {
        (0..self.nodes.len()).filter(|at| self.runs(*at)).collect()
    }

    fn index(&self, name: &RegionId) -> usize {
        self.nodes.iter().position(|node| node.name == *name).unwrap()
    }

    fn read(&self, at: usize, of: usize) -> usize {
        let own = if at == of { self.nodes[at].log.len() } else { 0 };
        self.nodes[at].read.get(&of).copied().unwrap_or(own)
    }

    fn say(&mut self, at: usize, record: MembershipRecord) {
        let node = &mut self.nodes[at];
        node.clock += 1;
        let id = ChangeId { hlc: Hlc::from_bits(node.clock).unwrap(), region: node.name.clone() };
        assert_eq!(record.check(), Ok(()));
        node.log.push((id.clone(), record.clone()));
        if let MembershipRecord::Propose { previous, .. } = &record {
            self.previous.insert(MembershipId(id.clone()), previous.clone());
        }
        node.view.insert(id, record);
        self.check(at);
    }

    /// Reads so many records more.
    fn take(&mut self, at: usize, of: usize, to: usize) -> bool {
        let from = self.read(at, of);
        let to = to.min(self.nodes[of].log.len());
        for n in from..to {
            let (id, record) = self.nodes[of].log[n].clone();
            let node = &mut self.nodes[at];
            node.clock = node.clock.max(id.hlc.bits());
            node.view.insert(id, record);
            node.read.insert(of, n + 1);
            self.check(at);
        }
        to > from
    }

    fn deliver(&mut self, at: usize, of: usize, count: usize) -> bool {
        let (node, other) = (&self.nodes[at], &self.nodes[of]);
        let readable = other.alive || other.readable;
        let counted = node.view.counted().contains(&other.name);
        let stopped = node.view.fenced().contains(&other.name);
        let to = self.read(at, of) + count;
        at != of && readable && counted && !stopped && self.take(at, of, to)
    }

    fn fetch(&mut self, at: usize) -> bool {
        let missing = self.nodes[at].view.missing();
        let mut any = false;
        for name in missing {
            let of = self.index(&name);
            for from in self.running() {
                // What is read may be the promise to read no more.
                let wanted = self.nodes[at].view.missing().contains(&name);
                any |= wanted && self.take(at, of, self.read(from, of));
            }
        }
        any
    }

    /// A new region begins with the state of one that has accepted its join.
    fn start_joiners(&mut self, donor: usize) -> bool {
        let Node { name, view, .. } = &self.nodes[donor];
        let live = view.iter().filter(|change| change.state != MembershipState::Dead);
        let joins: Vec<&MembershipChange> =
            live.filter(|change| change.accepted.contains(name)).map(|v| &v.change).collect();
        let joins =
            |name: &RegionId| joins.contains(&&MembershipChange::Join { region: name.clone() });
        let waits = |node: &Node| node.alive && !node.started && joins(&node.name);
        let Some(at) = self.nodes.iter().position(waits) else { return false };
        let mut view = Membership::new(self.nodes[at].name.clone(), self.configured.clone());
        for (id, record) in self.nodes[donor].view.records.clone() {
            view.insert(id, record);
        }
        let read = (0..self.nodes.len()).filter(|of| *of != at);
        let read = read.map(|of| (of, self.read(donor, of))).collect();
        let clock = self.nodes[donor].clock;
        let node = &mut self.nodes[at];
        (node.view, node.read, node.clock, node.started) = (view, read, clock, true);
        true
    }

    fn act(&mut self, at: usize) -> bool {
        if self.start_joiners(at) {
            return true;
        }
        let Some(duty) = self.nodes[at].view.duty() else { return false };
        let hlc = |node: &Node| Hlc::from_bits(node.clock).unwrap();
        match duty {
            Duty::Say(record) => self.say(at, record),
            Duty::Count { change, .. } => {
                let node = &self.nodes[at];
                let stable = vec![[(node.name.clone(), hlc(node))].into_iter().collect()];
                let answer = MembershipAnswer::Counted { stable };
                self.say(at, MembershipRecord::Accept { change, answer });
            }
            Duty::Fence { change, gone } => {
                let last = gone.into_iter().map(|name| {
                    let of = self.index(&name);
                    let read = self.read(at, of);
                    let last = read.checked_sub(1).map(|n| self.nodes[of].log[n].0.hlc);
                    let cut = Cut { taken: last.unwrap_or_default(), heartbeat: Hlc::ZERO };
                    (name, vec![cut])
                });
                let answer = MembershipAnswer::Fenced { last: last.collect() };
                self.say(at, MembershipRecord::Accept { change, answer });
            }
            Duty::Cut { change, cuts } => return self.carry_out(at, change, &cuts),
            Duty::Admit { change, stable } => {
                let accepted = self.nodes[at].view.get(&change).unwrap().accepted.clone();
                let named: BTreeSet<RegionId> =
                    stable.iter().flat_map(VersionVector::iter).map(|(r, _)| r.clone()).collect();
                assert_eq!(named, accepted);
                self.say(at, MembershipRecord::Done { change });
            }
        }
        true
    }

    fn carry_out(
        &mut self,
        at: usize,
        change: MembershipId,
        cuts: &BTreeMap<RegionId, Vec<Cut>>,
    ) -> bool {
        let mut there = true;
        for (name, cut) in cuts {
            let of = self.index(name);
            let reached = cut[0].reached();
            let to = self.nodes[of].log.iter().filter(|(id, _)| id.hlc <= reached).count();
            assert!(self.read(at, of) <= to, "{name} was read beyond its cut");
            let has = |from: &usize| !cuts.contains_key(&self.nodes[*from].name);
            let sources = self.running().into_iter().filter(has);
            let most = sources.map(|from| self.read(from, of)).max().unwrap_or(0);
            if self.take(at, of, to.min(most)) {
                // What was read may change what is to be done.
                return true;
            }
            there &= self.read(at, of) == to;
        }
        if there {
            self.say(at, MembershipRecord::Done { change });
        }
        there
    }

    fn die(&mut self, at: usize, left: usize, readable: bool) {
        let read = self.running().into_iter().filter(|by| *by != at).map(|by| self.read(by, at));
        let read = read.max().unwrap_or(0);
        let node = &mut self.nodes[at];
        let rest = node.log.len() - read;
        node.log.truncate(read + left % (rest + 1));
        (node.alive, node.readable) = (false, readable);
    }

    fn chosen(&self, at: usize, mask: u8) -> BTreeSet<RegionId> {
        let others = self.nodes[at].view.members().into_iter().filter(|name| {
            let of = self.index(name);
            of != 0 && of != at && mask & (1 << (of % 8)) != 0
        });
        others.collect()
    }

    fn dead(&self, at: usize) -> BTreeSet<RegionId> {
        let members = self.nodes[at].view.members().into_iter();
        members.filter(|name| !self.nodes[self.index(name)].alive).collect()
    }

    fn evict(&mut self, at: usize, mut gone: BTreeSet<RegionId>) -> bool {
        for _ in 0..2 {
            let change = MembershipChange::Evict { gone: gone.clone() };
            match self.nodes[at].view.propose(change) {
                Ok(record) => {
                    self.say(at, record);
                    return true;
                }
                Err(ProposeRefused::UnderWay { must, .. }) => gone.extend(must),
                Err(_) => return false,
            }
        }
        false
    }

    fn join(&mut self, at: usize) -> bool {
        let region: RegionId = format!("j{}", self.nodes.len()).parse().unwrap();
        let change = MembershipChange::Join { region: region.clone() };
        let Ok(record) = self.nodes[at].view.propose(change) else { return false };
        self.add(region, false);
        self.say(at, record);
        true
    }

    fn rash(&mut self, at: usize, on: usize, mask: u8) -> bool {
        let Node { name, view, .. } = &self.nodes[at];
        if !view.members().contains(name) {
            return false;
        }
        let changes: Vec<MembershipId> = self.previous.keys().cloned().collect();
        let previous = changes.get(on % (changes.len() + 1)).cloned();
        let gone = self.chosen(at, mask);
        let change = if mask & 3 > 0 {
            MembershipChange::Evict { gone }
        } else {
            // Some are members, some are new.
            let region: RegionId = format!("j{}", self.nodes.len()).parse().unwrap();
            if mask & 4 > 0 {
                MembershipChange::Join { region: self.nodes[at].name.clone() }
            } else {
                self.add(region.clone(), false);
                MembershipChange::Join { region }
            }
        };
        self.say(at, MembershipRecord::Propose { previous, change });
        true
    }

    fn step(&mut self, step: &Step) {
        let (Step::Join { at }
        | Step::Evict { at, .. }
        | Step::EvictDead { at }
        | Step::Rash { at, .. }
        | Step::Read { at, .. }
        | Step::Fetch { at }
        | Step::Act { at }
        | Step::Die { at, .. }) = step;
        let at = at % self.nodes.len();
        if let Step::Die { left, readable, .. } = step {
            if at > 0 && self.nodes[at].alive {
                self.die(at, *left, *readable);
            }
            return;
        }
        if !self.runs(at) {
            return;
        }
        let _happened = match step {
            Step::Join { .. } => self.join(at),
            Step::Evict { mask, .. } => self.evict(at, self.chosen(at, *mask)),
            Step::EvictDead { .. } => self.evict(at, self.dead(at)),
            Step::Rash { on, mask, .. } => self.rash(at, *on, *mask),
            Step::Read { of, count, .. } => self.deliver(at, of % self.nodes.len(), *count),
            Step::Fetch { .. } => self.fetch(at),
            Step::Act { .. } => self.act(at),
            Step::Die { .. } => false,
        };
    }

    /// Everybody reads, fetches and does their duty until nothing happens any more.
    fn settle(&mut self) {
        for _ in 0..10_000 {
            let mut any = false;
            for at in self.running() {
                for of in 0..self.nodes.len() {
                    any |= self.deliver(at, of, usize::MAX / 2);
                }
                any |= self.fetch(at);
                any |= self.act(at);
            }
            if !any {
                return;
            }
        }
        panic!("the regions never come to rest");
    }

    /// People evict what is dead, wherever they are let, until all is well.
    fn operate(&mut self) {
        for round in 0..12 {
            self.settle();
            if self.is_well() {
                return;
            }
            let running = self.running();
            let tried = (0..running.len()).any(|n| {
                let at = running[(n + round) % running.len()];
                self.evict(at, self.dead(at))
            });
            assert!(tried, "no region lets anyone evict the dead: {}", self.print());
        }
        panic!("the dead cannot be evicted: {}", self.print());
    }

    fn survivors(&self) -> Vec<usize> {
        let members = self.nodes[0].view.members();
        let running = self.running().into_iter();
        running.filter(|at| members.contains(&self.nodes[*at].name)).collect()
    }

    fn is_well(&self) -> bool {
        self.survivors().into_iter().all(|at| {
            let tip = self.nodes[at].view.current();
            self.dead(at).is_empty() && tip.is_none_or(|t| t.state == MembershipState::Complete)
        })
    }

    /// What must hold at every moment, in the eyes of a region that has just learned something.
    fn check(&mut self, at: usize) {
        let node = &mut self.nodes[at];
        let holds: BTreeSet<MembershipId> =
            node.view.iter().filter(|v| v.state.holds()).map(|v| v.id.clone()).collect();
        assert!(holds.is_superset(&node.held), "what was agreed on is no more");
        node.held.clone_from(&holds);
        for node in node.view.nodes().filter(|node| node.agreed) {
            assert!(node.view.state.holds(), "{} is agreed on and dead", node.view.id.0);
        }
        self.held.extend(holds);
        let held: Vec<&MembershipId> = self.held.iter().collect();
        for pair in held.windows(2) {
            assert!(self.is_on(pair[1], pair[0]), "{} and {}", pair[0].0, pair[1].0);
        }
    }

    fn is_on(&self, upper: &MembershipId, lower: &MembershipId) -> bool {
        let mut at = Some(upper);
        while let Some(id) = at.filter(|id| *id != lower) {
            at = self.previous.get(id).and_then(Option::as_ref);
        }
        at.is_some()
    }

    /// All survivors know the same.
    fn check_same(&self) {
        let first = &self.nodes[0].view;
        for at in self.survivors() {
            let view = &self.nodes[at].view;
            let all = |view: &Membership| -> Vec<MembershipView> { view.iter().cloned().collect() };
            assert_eq!(all(view), all(first), "{}: {}", self.nodes[at].name, self.print());
            assert_eq!(view.members(), first.members());
            for change in view.iter() {
                assert_eq!(view.cuts(&change.id), first.cuts(&change.id));
            }
        }
    }

    /// Without an open eviction nobody has stopped reading anyone whom others still read.
    fn check_same_where_decided(&self) {
        let mut changes = self.survivors().into_iter().flat_map(|at| self.nodes[at].view.iter());
        let decided = changes.all(|change| change.state != MembershipState::Open);
        if decided && self.nodes.iter().all(|node| node.readable) {
            self.check_same();
        }
    }

    /// Nothing is left to do.
    fn check_well(&self) {
        for at in self.survivors() {
            let Node { view, name, .. } = &self.nodes[at];
            for change in view.iter() {
                let ended = [MembershipState::Complete, MembershipState::Dead];
                assert!(ended.contains(&change.state), "{}: {}", name, self.print());
            }
            assert_eq!(view.duty(), None);
            assert_eq!(view.counted(), view.members(), "{name}: {}", self.print());
            assert!(view.fenced().iter().all(|gone| view.is_evicted(gone)), "{name}");
            assert!(view.may_write(), "{name}: {}", self.print());
        }
    }

    fn print(&self) -> String {
        let mut text = String::new();
        for (at, node) in self.nodes.iter().enumerate() {
            text += &format!("\n{} alive={} started={} ", node.name, node.alive, node.started);
            text += &format!("readable={} read={:?}", node.readable, node.read);
            for (id, record) in &node.log {
                text += &format!("\n  {id} {record:?}");
            }
            for view in self.runs(at).then(|| node.view.iter()).into_iter().flatten() {
                text += &format!("\n    sees {} {:?}", view.id.0, view.state);
            }
            text += &format!("\n    duty {:?}", node.view.duty());
        }
        text
    }
}

fn at() -> std::ops::Range<usize> {
    0..8
}

fn calm() -> impl Strategy<Value = Step> {
    prop_oneof![
        2 => at().prop_map(|at| Step::Join { at }),
        2 => (at(), any::<u8>()).prop_map(|(at, mask)| Step::Evict { at, mask }),
        12 => (at(), at(), 1..6usize).prop_map(|(at, of, count)| Step::Read { at, of, count }),
        8 => at().prop_map(|at| Step::Act { at }),
    ]
}

fn deadly() -> impl Strategy<Value = Step> {
    prop_oneof![
        20 => calm(),
        2 => at().prop_map(|at| Step::EvictDead { at }),
        1 => at().prop_map(|at| Step::Fetch { at }),
        1 => (at(), 0..4usize, any::<bool>())
            .prop_map(|(at, left, readable)| Step::Die { at, left, readable }),
    ]
}

fn rash() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => deadly(),
        1 => (at(), at(), any::<u8>()).prop_map(|(at, on, mask)| Step::Rash { at, on, mask }),
    ]
}

fn played(count: usize, steps: &[Step]) -> World {
    let mut world = World::new(count);
    steps.iter().for_each(|step| world.step(step));
    world
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 384, ..ProptestConfig::default() })]

    #[test]
    fn with_all_alive_every_change_ends(
        count in 3..7usize, steps in prop::collection::vec(calm(), 0..120),
    ) {
        let mut world = played(count, &steps);
        world.settle();
        world.check_same();
        world.check_well();
    }

    #[test]
    fn the_dead_can_be_evicted_and_all_survivors_agree(
        count in 3..7usize, steps in prop::collection::vec(deadly(), 0..160),
    ) {
        let mut world = played(count, &steps);
        world.settle();
        world.check_same_where_decided();
        world.operate();
        world.check_same();
        world.check_well();
    }

    #[test]
    fn no_proposal_however_rash_splits_the_regions(
        count in 3..7usize, steps in prop::collection::vec(rash(), 0..160),
    ) {
        let mut world = played(count, &steps);
        world.settle();
        world.check_same_where_decided();
    }
}
