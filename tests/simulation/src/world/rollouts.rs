//! Rollouts with plans: what people ask for, what regions report, and what must hold of that.

use std::collections::{BTreeMap, BTreeSet};

use syncline_applier::Loaded;
use syncline_core::{
    FunctionVersion, Gate, NewRollout, RegionId, RolloutAsk, RolloutCounters, RolloutDecision,
    RolloutGates, RolloutId, RolloutPlace, RolloutPlan, RolloutRecord, RolloutStage, RolloutState,
    RolloutText, SelfTest, Stamp, TableName,
};
use syncline_store::kv::rollout;

use super::World;
use crate::founding::{facts, self_test};
use crate::functions::Function;
use crate::reference::{Expected, Reference};
use crate::scenario::{Asked, Oddity, Plan, Step};

/// So many heartbeats a region may take to stamp a version that it has been told to stamp.
const HEARTBEATS_MAX: u32 = 2;

/// Conflicts below which the gate on faults waits, and those of one report.
const CONFLICTS_MIN: u64 = 20;
const CONFLICTS_REPORTED: u32 = 10;

/// What the run knows of rollouts, by what regions have said.
#[derive(Default)]
pub(super) struct Told {
    /// Who has said that it has what is rolled out, and what its self-test came to.
    ready: BTreeMap<RolloutId, BTreeMap<RegionId, SelfTest>>,
    /// When it was first said that a rollout goes to a place, on the clock that nobody sets.
    moved_ms: BTreeMap<(RolloutId, RolloutPlace), u64>,
    /// For how many heartbeats a region has not stamped what it should.
    late: BTreeMap<(RegionId, TableName), u32>,
    /// Whose version each region stamped last, by what it said.
    stamped: BTreeMap<(RegionId, TableName), RolloutId>,
    /// Regions with odd self-tests.
    odd: BTreeMap<RegionId, Oddity>,
}

impl Told {
    /// What was rolled out before the story begins.
    pub(super) fn found(&mut self, id: RolloutId, founders: &[RegionId], function: Function) {
        let ready = |region: &RegionId| (region.clone(), self_test(function.version()));
        self.ready.insert(id, founders.iter().map(ready).collect());
    }
}

impl World {
    pub(super) fn roll(&mut self, step: Step) {
        match step {
            Step::RollOut { region, table, function, plan } => {
                let region = self.pick(region);
                let plan = self.plan(plan);
                self.roll_out(region, table.into(), function, plan);
            }
            Step::Ask { region, table, asked } => self.ask(self.pick(region), table, asked),
            Step::Report { region, faults } => self.report(self.pick(region), faults),
            Step::Odd { region, odd } => {
                let region = self.pick(region);
                self.stats.fault("a self-test that is odd");
                self.tell_of(region, || format!("has odd self-tests: {odd:?}"));
                self.rollouts.odd.insert(self.regions[region].id.clone(), odd);
            }
            _ => {}
        }
    }

    fn plan(&self, plan: Plan) -> RolloutPlan {
        let names: BTreeSet<&str> = self.founders.iter().map(RegionId::name).collect();
        let first = usize::from(plan.first) % names.len();
        let mut in_turn = names.iter().cycle().skip(first).take(names.len());
        let named = usize::from(plan.stages - 1).min(names.len() - 1);
        let stage =
            |name: &&str| RolloutStage { regions: name.parse().into_iter().collect(), rest: false };
        let mut stages: Vec<RolloutStage> = in_turn.by_ref().take(named).map(stage).collect();
        stages.push(RolloutStage { regions: BTreeSet::new(), rest: true });
        let gate = Gate { limit_ppm: 200_000, min_conflicts: CONFLICTS_MIN };
        RolloutPlan {
            stages,
            bake_ms: u64::from(plan.bake_s) * 1000,
            shadow_ms: u64::from(plan.shadow_s) * 1000,
            manual: plan.manual,
            gates: RolloutGates {
                fault_rate: plan.gate.then_some(gate),
                ..RolloutGates::default()
            },
        }
    }

    pub(super) fn roll_out(
        &mut self,
        region: usize,
        table: usize,
        function: Option<Function>,
        plan: RolloutPlan,
    ) {
        let number = table % self.setup.tables.len();
        // What counts must be counted by one function.
        if matches!(
            self.setup.tables[number],
            Some(Function::Counter | Function::Set | Function::Cart)
        ) {
            return;
        }
        let table = self.table(number);
        let now = self.moment(region);
        let steady = self.steady_ms();
        let Some(running) = self.running(region) else { return };
        let (actor, why) = (RolloutText::default(), RolloutText::default());
        let stamp = function.map_or(Stamp::Lww, |function| function.version().into());
        let new = NewRollout { table, version: stamp, plan, actor, why };
        let deployed = match function {
            None => running.control.roll_out(&running.site, new, now.now_ms),
            Some(function) => {
                let (version, bytes) = (function.version(), function.component());
                let component = Loaded { version, bytes, facts: facts(function) };
                let deployed = running.control.deploy(&running.site, new, component, now.now_ms);
                deployed.map(|(id, _)| id)
            }
        };
        if deployed.is_ok() {
            running.here.extend(stamp.function());
            self.stats.state(match function {
                Some(_) => "a function was deployed",
                None => "a table went back to the last writer",
            });
        }
        let Some(running) = self.running(region) else { return };
        let done = running.control.end(&running.site, false, now, steady);
        self.control_done(region, done, vec![]);
        self.tell_of(region, || format!("deploys {function:?}: {deployed:?}"));
    }

    fn ask(&mut self, region: usize, table: u8, asked: Asked) {
        let table = self.table(usize::from(table) % self.setup.tables.len());
        let now = self.moment(region);
        let steady = self.steady_ms();
        let Some(running) = self.running(region) else { return };
        let Some(current) = running.control.control().rollouts().current(&table) else { return };
        let id = current.id.clone();
        let ask = match asked {
            Asked::Promote => RolloutAsk::Promote { to_stage: None },
            Asked::PromoteTo(stage) => RolloutAsk::Promote { to_stage: Some(stage) },
            Asked::Pause => RolloutAsk::Pause,
            Asked::Resume => RolloutAsk::Resume,
            Asked::Abort => RolloutAsk::Abort,
            Asked::Claim => RolloutAsk::Claim { owner_is_silent: true },
        };
        let texts = (RolloutText::default(), RolloutText::default());
        let answer = running.control.ask(&running.site, &id, ask, texts, now.now_ms);
        let done = running.control.end(&running.site, false, now, steady);
        self.control_done(region, done, vec![]);
        if let Ok(Some(_)) = answer {
            self.stats.state("something was asked of a rollout");
        }
        self.tell_of(region, || format!("{asked:?} of {id}: {answer:?}"));
    }

    fn report(&mut self, region: usize, faults: bool) {
        let now = self.moment(region);
        let Some(running) = self.running(region) else { return };
        let open = running.control.control().rollouts().open();
        let open: Vec<_> = open.map(|rollout| (rollout.id.clone(), rollout.place)).collect();
        for (id, place) in open {
            let mut since = RolloutCounters::default();
            let calls = match place {
                RolloutPlace::Shadow => &mut since.shadow,
                _ => &mut since.live,
            };
            for _ in 0..CONFLICTS_REPORTED {
                calls.count(faults.then_some("depth-limit"), 1000, 10);
            }
            let Some(running) = self.running(region) else { return };
            // Only a clock at its end refuses.
            let _ = running.control.report(&running.site, &id, &since, now.now_ms);
            self.stats.state("conflicts under a rollout were reported");
        }
    }

    /// What a self-test comes to in a region.
    pub(super) fn tested(
        &self,
        region: usize,
        version: FunctionVersion,
    ) -> Result<SelfTest, RolloutText> {
        match self.rollouts.odd.get(&self.regions[region].id) {
            None => Ok(self_test(version)),
            Some(Oddity::Differs) => Ok(SelfTest { digest: [0xee; 32], profile: 1 }),
            Some(Oddity::Fails) => Err(RolloutText::cut("its cases fail here")),
        }
    }

    /// From here on all self-tests pass, those too that did not.
    pub(super) fn pass_all_tests(&mut self) {
        self.rollouts.odd.clear();
        for region in 0..self.regions.len() {
            let Some(running) = self.running(region) else { continue };
            let rollouts = running.control.control().rollouts();
            let versions = rollouts.iter().filter_map(|rollout| rollout.version.function());
            let versions: Vec<_> = versions.collect();
            for version in versions {
                running.control.self_tested(version, Ok(self_test(version)));
            }
        }
    }

    /// What a region says of a rollout must be so.
    pub(super) fn check_rollout_said(&mut self, region: usize, record: &RolloutRecord) {
        let name = self.regions[region].id.clone();
        let Some(rollout) = record.about() else { return };
        match record {
            RolloutRecord::Ready { self_test, .. } => {
                let ready = self.rollouts.ready.entry(rollout.clone()).or_default();
                ready.insert(name, *self_test);
            }
            RolloutRecord::Active { .. } => self.check_activation(region, rollout),
            RolloutRecord::Decision { decision: RolloutDecision::Move { from, to }, .. } => {
                self.check_decision(region, rollout, *from);
                let (at, now) = ((rollout.clone(), *to), self.steady_ms());
                self.rollouts.moved_ms.entry(at).or_insert(now);
            }
            _ => {}
        }
    }

    fn reference(&self, region: usize) -> Reference {
        let records = rollout::all(&*self.regions[region].store).unwrap_or_default();
        Reference::of(&records, &self.version_records(region))
    }

    /// Nothing is activated before every region has it, with the same self-test.
    fn check_activation(&mut self, region: usize, rollout: &RolloutId) {
        let name = self.regions[region].id.clone();
        let before = self.reference(region);
        let Some(expected) = before.rollouts.get(rollout) else { return };
        let at = (name.clone(), expected.create.table.clone());
        let goes_back = self.rollouts.stamped.get(&at).is_some_and(|last| last > rollout);
        self.rollouts.stamped.insert(at, rollout.clone());
        // What was there at the start, or comes with a snapshot, is known to work.
        let Some(ready) = self.rollouts.ready.get(rollout).cloned() else { return };
        if goes_back {
            self.stats.state("a region went back to the version before");
            return;
        }
        let Some(running) = &self.regions[region].running else { return };
        let mut members = running.control.control().membership().members();
        // One whose join was agreed on in this very turn, after the region had spoken, and that takes
        // the version over with its snapshot.
        members.retain(|member| self.regions.iter().any(|known| known.id == *member));
        let lacks = members.iter().find(|member| !ready.contains_key(*member)).cloned();
        let mine = ready.get(&name).copied();
        let differs = members.iter().find(|member| ready.get(*member).copied() != mine).cloned();
        if let Some(lacks) = lacks {
            self.fail("activation", || format!("{name} activates {rollout}, {lacks} has it not"));
        } else if let Some(other) = differs {
            self.fail("self-test", || format!("{name} activates {rollout}, {other} differs"));
        }
    }

    /// The owner decides when it is time, and when no gate is against it.
    fn check_decision(&mut self, region: usize, rollout: &RolloutId, from: RolloutPlace) {
        let name = self.regions[region].id.clone();
        let records = rollout::all(&*self.regions[region].store).unwrap_or_default();
        let reference = Reference::of(&records, &self.version_records(region));
        let Some(expected) = reference.rollouts.get(rollout) else { return };
        let plan = &expected.create.plan;
        let wait_ms = match from {
            RolloutPlace::Stage(_) => plan.bake_ms,
            RolloutPlace::Shadow => plan.shadow_ms,
            _ => 0,
        };
        let since = self.rollouts.moved_ms.get(&(rollout.clone(), from));
        let waited_ms = since.map(|since| self.steady_ms() - since);
        if waited_ms.is_some_and(|waited_ms| waited_ms < wait_ms) {
            self.fail("bake", || format!("{name} ends {from} of {rollout} after {waited_ms:?} ms"));
        }
        let Some(gate) = plan.gates.fault_rate else { return };
        let (mut conflicts, mut faults) = (0, 0);
        for (_, record) in &records {
            let RolloutRecord::Report { rollout: about, counters } = record else { continue };
            let calls = match from {
                RolloutPlace::Shadow => counters.shadow,
                _ => counters.live,
            };
            if about == rollout {
                conflicts += calls.conflicts;
                faults += calls.faults.iter().sum::<u64>();
            }
        }
        let is_gated = from != RolloutPlace::Distributing;
        let fails = faults * 1_000_000 > conflicts * u64::from(gate.limit_ppm);
        if is_gated && (conflicts < gate.min_conflicts || fails) {
            self.fail("gate", || {
                format!("{name} goes on from {from} with {faults} faults in {conflicts} conflicts")
            });
        }
    }

    /// The region's rollouts are what its records come to, and it stamps what it said.
    pub(super) fn check_rollouts(&mut self, region: usize, beats: bool) {
        if !self.rolls_out || self.regions[region].running.is_none() {
            return;
        }
        let name = self.regions[region].id.clone();
        let reference = self.reference(region);
        let Some(running) = &self.regions[region].running else { return };
        let control = running.control.control();
        let shown: BTreeMap<_, _> = control
            .rollouts()
            .iter()
            .map(|rollout| (&rollout.id, (rollout.state, rollout.place, rollout.owner.clone())))
            .collect();
        let expected =
            |expected: &Expected| (expected.state(), expected.place, expected.owner.clone());
        let expected: BTreeMap<_, _> =
            reference.rollouts.iter().map(|(id, rollout)| (id, expected(rollout))).collect();
        if shown != expected {
            let (shown, expected) = (format!("{shown:?}"), format!("{expected:?}"));
            self.fail("rollout", || format!("{name} shows {shown}, its records say {expected}"));
            return;
        }
        let members = control.membership().members();
        let site_stamps: Vec<_> = (0..self.setup.tables.len())
            .map(crate::founding::table)
            .map(|table| (running.site.stamp(&table), table))
            .collect();
        for (stamp, table) in site_stamps {
            let at = (name.clone(), table.clone());
            let stamped = reference.stamped.get(&at);
            let said = stamped.map_or(Stamp::Lww, |id| reference.rollouts[id].create.version);
            if stamp != said && members.contains(&name) {
                self.fail("stamp", || format!("{name} stamps {table} {stamp}, and said {said}"));
                return;
            }
            if members.contains(&name) {
                self.check_promptness(&at, &reference, beats);
            }
        }
    }

    /// What a region should stamp it stamps two heartbeats later.
    fn check_promptness(&mut self, at: &(RegionId, TableName), reference: &Reference, beats: bool) {
        let (name, table) = at;
        let running = self.regions.iter().find(|region| region.id == *name);
        let Some(running) = running.and_then(|region| region.running.as_ref()) else { return };
        let rollouts = running.control.control().rollouts();
        let wanted = reference.wanted(name, table);
        let stamped = reference.stamped.get(at);
        let may = |id: &RolloutId| {
            let ready = &reference.rollouts[id].ready;
            let mine = ready.get(name);
            let counted = rollouts.get(id).map(|rollout| &rollout.regions);
            stamped.is_some_and(|stamped| stamped > id)
                || counted.is_some_and(|counted| {
                    mine.is_some() && counted.keys().all(|region| ready.get(region) == mine)
                })
        };
        if wanted == stamped || !wanted.is_none_or(may) {
            self.rollouts.late.remove(at);
        } else if beats {
            let late = self.rollouts.late.entry(at.clone()).or_default();
            *late += 1;
            if *late >= HEARTBEATS_MAX {
                let (wanted, stamped) = (wanted.cloned(), stamped.cloned());
                self.fail("promptness", || {
                    format!("{name} should stamp {table} by {wanted:?}, and does by {stamped:?}")
                });
            }
        }
    }

    /// Why a rollout is not over yet, though everything works; none: it has no reason.
    pub(super) fn open_without_reason(&self, region: usize) -> Option<String> {
        let running = self.regions[region].running.as_ref()?;
        let rollouts = running.control.control().rollouts();
        if !rollouts.stamps_as_it_should() {
            return Some("it is about to stamp another version".into());
        }
        let idle = rollouts.open().find(|rollout| {
            let plan = &rollout.plan;
            let next_is_stage = matches!(plan.next(rollout.place), RolloutPlace::Stage(_));
            let conflicts = |calls: fn(&RolloutCounters) -> u64| {
                rollouts.reports(&rollout.id).map(|(_, counters)| calls(counters)).sum::<u64>()
            };
            let counted = match rollout.place {
                RolloutPlace::Distributing => u64::MAX,
                RolloutPlace::Shadow => conflicts(|counters| counters.shadow.conflicts),
                _ => conflicts(|counters| counters.live.conflicts),
            };
            let waits = plan.gates.fault_rate.is_some_and(|gate| counted < gate.min_conflicts);
            let has_reason =
                rollout.state == RolloutState::Paused || (plan.manual && next_is_stage) || waits;
            !has_reason
        });
        idle.map(|rollout| format!("rollout {} is open: {:?}", rollout.id, rollout.state))
    }

    /// All regions show the same.
    pub(super) fn check_same_rollouts(&mut self, region: usize, first: usize) {
        let shown = |region: usize| {
            let rollouts = self.regions[region].running.as_ref()?.control.control().rollouts();
            Some(rollouts.iter().cloned().collect::<Vec<_>>())
        };
        let (mine, theirs) = (shown(region), shown(first));
        if mine != theirs {
            let name = self.regions[region].id.clone();
            let differ = mine.into_iter().flatten().zip(theirs.into_iter().flatten());
            let differ = differ.into_iter().find(|(mine, theirs)| mine != theirs);
            self.fail("rollouts", || format!("{name} shows other rollouts: {differ:?}"));
        }
    }

    /// Forgets what a region said that went with its memory.
    pub(super) fn forget_said(&mut self, region: usize) {
        let name = self.regions[region].id.clone();
        self.rollouts.late.retain(|(of, _), _| *of != name);
    }
}
