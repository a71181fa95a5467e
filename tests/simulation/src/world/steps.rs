//! Steps of the product, and what comes of them.

use std::collections::BTreeMap;

use syncline_applier::{
    ControlDone, Loaded, MendDone, PartitionDone, PartitionTurn, ReadRecords, Sorted, Synced,
    WriteError, WriteRequest, portion, sync,
};
use syncline_bus::{Decoded, Envelope, Lane, decode};
use syncline_core::{
    Alarm, ControlBody, FeedStep, HostFault, PassOn, Precondition, RegionId, WriteRefused,
};
use syncline_store::StoreError;
use syncline_store::kv::{self, component};

use super::World;
use crate::founding::facts;
use crate::functions::{Function, function_of, image_of, numbers};
use crate::region::{Asked, Running, SimRegion, Unsynced, Waiting};
use crate::scenario::{Step, Verb};

impl World {
    pub(super) fn carry_out(&mut self, step: Step) {
        self.now_ms += 7;
        self.stats.events += 1;
        match step {
            Step::Write { region, table, row, verb, amount } => {
                let region = self.pick(region);
                self.write(region, table, row, verb, amount);
            }
            Step::Turn { region, lane, beats, retries } => {
                let (region, lane) = (self.pick(region), self.pick_lane(lane));
                self.turn(region, lane, beats, retries, Vec::new());
            }
            Step::Sync { region } => self.sync(self.pick(region)),
            Step::Produce { region, lane, portions, breaks_after } => {
                let (region, lane) = (self.pick(region), self.pick_lane(lane));
                self.produce(region, lane, portions.into(), breaks_after.map(usize::from));
            }
            Step::Read { region, source, lane, count, at_once } => {
                let (region, lane) = (self.pick(region), self.pick_lane(lane));
                let Some(source) = self.pick_source(source, region) else { return };
                self.read(region, source, lane, count.into());
                if at_once {
                    self.turn(region, lane, false, false, Vec::new());
                }
            }
            Step::Pump { region } => self.pump(self.pick(region)),
            Step::Pull { region } => self.pull(self.pick(region)),
            Step::Wait { ms } => self.now_ms += u64::from(ms),
            fault => self.go_wrong(fault),
        }
    }

    pub(super) fn running(&mut self, region: usize) -> Option<&mut Running> {
        self.regions[region].running.as_mut()
    }

    /// Heartbeats in all lanes, a sync, and all that is to be produced.
    pub(super) fn pump(&mut self, region: usize) {
        let Some(running) = self.running(region) else { return };
        let lanes = running.lanes();
        for lane in &lanes {
            self.turn(region, *lane, true, true, Vec::new());
        }
        self.sync(region);
        self.produce_all(region);
    }

    /// All that is to be produced.
    pub(super) fn produce_all(&mut self, region: usize) {
        let Some(running) = self.running(region) else { return };
        for lane in running.lanes() {
            self.produce(region, lane, usize::MAX, None);
        }
        self.check_forwarded(region);
    }

    /// Everything that can be read.
    pub(super) fn pull(&mut self, region: usize) {
        let Some(running) = self.running(region) else { return };
        for lane in running.lanes() {
            for source in 0..self.regions.len() {
                if source != region {
                    self.read(region, source, lane, usize::MAX);
                }
            }
            self.turn(region, lane, false, false, Vec::new());
        }
    }

    pub(super) fn write(&mut self, region: usize, table: u8, row: u8, verb: Verb, amount: u8) {
        let row = self.row_key(table, row);
        let number = self.partition_of(&row);
        let function = self.setup.tables[table as usize % self.setup.tables.len()];
        if self.regions[region].running.is_none() {
            return;
        }
        let state = kv::row::get(&*self.regions[region].store, number, &row).ok().flatten();
        let tag = state.as_ref().map(|state| state.tag()).unwrap_or_default();
        let current = state.and_then(|state| state.image);
        let mut map = numbers(current.as_ref());
        let mut adds = 0;
        let image = match (function, verb) {
            (Some(Function::Counter), _) => {
                adds = i64::from(amount);
                *map.entry("n".into()).or_default() += adds;
                Some(image_of(&map))
            }
            (_, Verb::Delete) => None,
            (Some(Function::Cart), _) => {
                *map.entry(format!("a{}", amount % 3)).or_default() += i64::from(amount);
                Some(image_of(&map))
            }
            (Some(Function::Set), _) => {
                let member = format!("m{}", amount % 3);
                if map.remove(&member).is_none() {
                    map.insert(member, 1);
                }
                Some(image_of(&map))
            }
            _ => {
                let serial = i64::try_from(self.stats.events).unwrap_or_default();
                Some(image_of(&BTreeMap::from([("w".to_owned(), serial)])))
            }
        };
        let (precondition, holds) = match verb {
            Verb::Insert => (Precondition::Absent, current.is_none()),
            Verb::IfMatch => (Precondition::Tags(vec![tag]), current.is_some()),
            Verb::IfStale => (Precondition::Tags(vec![[7; 16]]), false),
            Verb::Delete => (Precondition::None, current.is_some() || image.is_some()),
            Verb::Put => (Precondition::None, true),
        };
        // What was read and not yet applied may change the row before the write comes to it.
        let is_sure = self.running(region).is_some_and(|r| !r.inbox.contains_key(&number));
        self.expected = is_sure.then_some(holds);
        let reply = Some(Asked { row: row.clone(), adds });
        let request = WriteRequest { row, precondition, image, reply };
        self.turn(region, Lane::Changes(number), false, false, vec![request]);
        self.expected = None;
    }

    /// One turn of a partition, with what is in its inbox.
    pub(super) fn turn(
        &mut self,
        region: usize,
        lane: Lane,
        beats: bool,
        retries: bool,
        writes: Vec<WriteRequest<Option<Asked>>>,
    ) {
        let Lane::Changes(number) = lane else {
            self.control_turn(region, beats);
            return;
        };
        let Some(running) = self.running(region) else { return };
        let records = running.inbox.remove(&number).unwrap_or_default();
        let records = records.into_iter().map(|(source, items)| ReadRecords {
            source,
            partition: number,
            items,
        });
        let records = records.collect();
        let turn = PartitionTurn { records, writes, retries, beats, kept: None, mend: None };
        self.take_turn(region, number, turn);
    }

    pub(super) fn take_turn(
        &mut self,
        region: usize,
        number: u32,
        turn: PartitionTurn<Option<Asked>>,
    ) -> Option<MendDone> {
        let now = self.moment(region);
        let SimRegion { engine_fails: fails, engine_lies: lies, .. } = self.regions[region];
        let running = self.running(region)?;
        let functions = crate::functions::Loaded { here: &running.here, fails, lies };
        let applier = &mut running.partitions[number as usize];
        let done = applier.turn(&running.site, &functions, turn, now);
        let mended = match done {
            Ok(mut done) => {
                let mended = done.mended.take();
                self.turned(region, number, done);
                mended
            }
            Err(failed) => {
                self.note(2);
                for (_, error) in &failed.refused {
                    self.refused(region, error);
                }
                if failed.fatal {
                    self.tell_of(region, || format!("stops: {}", failed.error));
                    self.stop(region);
                } else {
                    self.stats.state("a full disk refused a commit");
                    self.tell_of(region, || format!("p{number}: {}", failed.error));
                }
                None
            }
        };
        self.check_partition(region, number);
        self.check_drawn(region);
        mended
    }

    fn turned(&mut self, region: usize, number: u32, done: PartitionDone<Option<Asked>>) {
        let lane = Lane::Changes(number);
        let mut unsynced = Unsynced::default();
        for record in &done.made {
            self.made(region, record);
            unsynced.made.push((record.row.clone(), record.change.id.clone()));
        }
        self.regions[region].unsynced.push(unsynced);
        let ticket = done.ticket.map(|ticket| {
            ticket.map(|(asked, written)| asked.map(|asked: Asked| (asked, written)))
        });
        if let Some(ticket) = &ticket {
            for (asked, written) in ticket.replies.iter().flatten() {
                let id = syncline_core::ChangeId {
                    hlc: written.hlc,
                    region: self.regions[region].id.clone(),
                };
                if asked.adds != 0 {
                    self.added.insert(id, asked.adds);
                }
            }
        }
        let Some(running) = self.running(region) else { return };
        running.tickets.extend(ticket);
        if let Some(after) = done.resend_after {
            running.feeds.resend_after(lane, after);
        }
        let passes_on = done.pass_on.clone();
        for what in done.pass_on.iter().cloned() {
            running.feeds.pass_on(lane, what);
        }
        running.feeds.forward(lane, done.forward);
        running.stopped.extend(done.forked.iter().cloned());
        if done.resend_after.is_some() {
            self.stats.state("changes were sent again");
        }
        self.passed_on(region, lane, &passes_on);
        for quarantined in &done.quarantined {
            self.stats.state("a record was quarantined");
            self.tell_of(region, || {
                format!(
                    "p{number}: quarantines a record of {}: {}",
                    quarantined.id.source, quarantined.reason
                )
            });
        }
        for (_, error) in &done.refused {
            self.refused(region, error);
        }
        for alarm in done.alarms {
            self.alarmed(region, number, alarm);
        }
        for conflict in done.resolved {
            self.resolved(region, conflict);
        }
        for row in done.changed {
            self.check_row(region, number, &row);
        }
    }

    fn passed_on(&mut self, region: usize, lane: Lane, what: &[PassOn]) {
        for PassOn { region: of, after, upto } in what {
            self.stats.state("records of a lost region were passed on");
            self.tell_of(region, || {
                format!("{lane}: passes on what {of} said after {after}, up to {upto}")
            });
        }
    }

    fn refused(&mut self, region: usize, error: &WriteError) {
        let of_the_row = matches!(
            error,
            WriteError::Refused(WriteRefused::Precondition { .. } | WriteRefused::NotFound)
        );
        if of_the_row && self.expected == Some(true) {
            self.fail("precondition", || format!("refused though the row is as asked: {error}"));
        }
        self.stats.state(match error {
            WriteError::Refused(WriteRefused::OutboxFull { .. }) => "a write met a full outbox",
            WriteError::Refused(WriteRefused::NotAMember) => {
                "a write met a region that may not write"
            }
            WriteError::Refused(WriteRefused::ClockBehind) => "a write met a clock that is behind",
            WriteError::Refused(_) => "a write met a row that is not as it asked",
            WriteError::NoSpace(_) => "a write met a full disk",
            WriteError::ClockAhead { .. } => "a write met a clock that is ahead",
            WriteError::ClockExhausted | WriteError::Store(_) => "a write met a broken region",
        });
        self.tell_of(region, || format!("refuses the write: {error}"));
        if let WriteError::Refused(WriteRefused::ClockBehind) = error {
            self.fail("clock", || format!("the clock is behind what the region has seen: {error}"));
        }
    }

    fn alarmed(&mut self, region: usize, number: u32, alarm: Alarm) {
        let name = self.regions[region].id.clone();
        match alarm {
            Alarm::Fork { region: of, hlc } => {
                self.stats.state("a fork was seen");
                self.fail("fork", || format!("{name} sees a fork of {of} at {hlc} in p{number}"));
            }
            Alarm::MergeWaits { row, fault: HostFault::NotHere(version) } => {
                self.check_not_deleted(region, &row, &version);
                self.stats.state("a change waited for a function");
            }
            Alarm::MergeWaits { .. } => self.stats.state("a change waited for an engine"),
            Alarm::Divergence(found) => self.diverged(region, *found),
            Alarm::BuildsOnTheLost { row, change } => {
                self.stats.state("a change was given up with a lost region");
                self.tell_of(region, || format!("gives up {change} of {row}"));
                self.given_up.insert((row, change));
            }
        }
    }

    fn control_turn(&mut self, region: usize, beats: bool) {
        let (now, steady) = (self.moment(region), self.steady_ms());
        let Some(running) = self.running(region) else { return };
        let Running { site, control, control_inbox, assembled, here, .. } = running;
        for version in std::mem::take(assembled) {
            let bytes = component::assemble(&site.store, &version);
            let (Ok(Some(bytes)), Some(function)) = (bytes, function_of(&version)) else {
                continue;
            };
            here.insert(version);
            control.loaded(Loaded { version, bytes, facts: facts(function) });
        }
        for (source, items) in std::mem::take(control_inbox) {
            control.receive(site, &source, items, now.now_ms);
        }
        let dropped = if beats { self.drop_components(region) } else { Vec::new() };
        let Some(Running { site, control, .. }) = self.running(region) else { return };
        let done = control.end(site, beats, now, steady);
        let is_done = done.is_ok();
        self.control_done(region, done, vec![]);
        if is_done {
            self.dropped(region, &dropped);
        }
        self.forget_clocks(region);
        self.check_control(region);
        self.check_rollouts(region, beats && is_done);
        if is_done {
            self.check_pauses(region);
        }
    }

    pub(super) fn control_done(
        &mut self,
        region: usize,
        done: Result<ControlDone, StoreError>,
        replies: Vec<Waiting>,
    ) {
        self.check_drawn(region);
        let mut done = match done {
            Ok(done) => done,
            Err(error @ StoreError::NoSpace { .. }) => {
                self.tell_of(region, || format!("control: {error}"));
                self.restore_control(region);
                return;
            }
            Err(error) => {
                self.tell_of(region, || format!("stops: {error}"));
                self.stop(region);
                return;
            }
        };
        self.regions[region].unsynced.push(Unsynced::default());
        for body in &done.said {
            self.said_by(region, body);
        }
        for alarm in std::mem::take(&mut done.alarms) {
            self.alarmed(region, syncline_core::CONTROL_PARTITION, alarm);
        }
        let ticket = done.ticket(replies);
        let Some(running) = self.running(region) else { return };
        running.tickets.extend(ticket);
        if let Some(after) = done.resend_after {
            running.feeds.resend_after(Lane::Control, after);
        }
        let passes_on = done.pass_on.clone();
        for what in done.pass_on {
            running.feeds.pass_on(Lane::Control, what);
        }
        running.feeds.forward(Lane::Control, done.forward);
        running.stopped.extend(done.forked);
        running.assembled.extend(done.assembled);
        for version in done.to_test {
            let tested = self.tested(region, version);
            let Some(running) = self.running(region) else { return };
            running.control.self_tested(version, tested);
        }
        self.passed_on(region, Lane::Control, &passes_on);
        if !done.quarantined.is_empty() {
            self.stats.state("a record was quarantined");
        }
    }

    fn said_by(&mut self, region: usize, body: &ControlBody) {
        if let ControlBody::Rollout(record) = body {
            self.check_rollout_said(region, record);
        }
        self.stats.state(match body {
            ControlBody::Rollout(_) => "a rollout went on",
            ControlBody::Version(_) => "a version was released",
            _ => "a membership change went on",
        });
        self.tell_of(region, || match body {
            ControlBody::Component(_) => "says a part of a component".into(),
            ControlBody::Rollout(record) => format!("says {record:?}"),
            ControlBody::Membership(record) => format!("says {record:?}"),
            ControlBody::Version(record) => format!("says {record:?}"),
        });
    }

    /// Makes durable what is committed, and acknowledges.
    pub(super) fn sync(&mut self, region: usize) {
        let Some(running) = self.regions[region].running.as_mut() else { return };
        let tickets = std::mem::take(&mut running.tickets);
        let (Synced { durable, replies }, done) = sync(&running.site.store, tickets);
        for (lane, change, heartbeat) in durable {
            running.feeds.synced(lane, change, heartbeat);
        }
        if let Err(error) = done {
            self.stats.state("a sync failed");
            self.tell_of(region, || format!("stops: {error}"));
            self.stop(region);
            return;
        }
        if self.regions[region].store.unsynced() == 0 {
            self.regions[region].unsynced.clear();
        }
        let name = self.regions[region].id.clone();
        for (asked, written) in replies.into_iter().flatten() {
            let id = syncline_core::ChangeId { hlc: written.hlc, region: name.clone() };
            self.tell_of(region, || format!("acknowledges {id}"));
            self.acknowledged.insert(id, asked.row);
        }
        self.note(3);
    }

    /// Brings to the log what is due. With `breaks_after` the log takes so many records of a
    /// portion, and the region is not told.
    pub(super) fn produce(
        &mut self,
        region: usize,
        lane: Lane,
        portions: usize,
        breaks_after: Option<usize>,
    ) {
        let name = self.regions[region].id.clone();
        for _ in 0..portions {
            let Some(running) = self.running(region) else { return };
            let step = running.feeds.next_in(lane);
            if step == FeedStep::Idle {
                return;
            }
            let due = match portion(&running.site, lane, step) {
                Ok(Some(due)) => due,
                Ok(None) => return,
                Err(error) => {
                    self.fail("outbox", || format!("{name}: {error}"));
                    return;
                }
            };
            let taken = breaks_after.unwrap_or(usize::MAX);
            for outgoing in due.records.iter().take(taken) {
                self.published(&name, lane, &outgoing.envelope);
                self.bus.log(&name, lane).append(outgoing.envelope.clone());
            }
            self.note(due.records.len() as u64);
            if breaks_after.is_some() {
                self.stats.fault("a produce that broke off");
                return;
            }
            if let Some(running) = self.running(region) {
                running.feeds.produced(&due);
            }
        }
    }

    /// Notes what a record that stands in a log says: the region may never fall behind that.
    fn published(&mut self, name: &RegionId, lane: Lane, envelope: &Envelope) {
        match decode(envelope) {
            Ok(Decoded::Heartbeat(beat)) if beat.region != *name => {
                self.check_forwarded_beat(name, lane, &beat);
            }
            Ok(Decoded::Heartbeat(beat)) => {
                let said = self.said.entry((name.clone(), lane)).or_default();
                said.watermarks.join(&beat.watermarks);
                said.taken.join(&beat.taken);
                said.highest = said.highest.max(beat.hlc);
            }
            Ok(Decoded::Change(record)) => {
                if record.change.id.region == *name {
                    let said = self.said.entry((name.clone(), lane)).or_default();
                    said.highest = said.highest.max(record.change.id.hlc);
                } else {
                    let at = (name.clone(), lane, record.change.id.region);
                    let last = self.forwarded.entry(at).or_default();
                    *last = record.change.id.hlc.max(*last);
                }
            }
            Ok(Decoded::Control(record)) => {
                if record.id.region == *name {
                    let said = self.said.entry((name.clone(), lane)).or_default();
                    said.highest = said.highest.max(record.id.hlc);
                }
            }
            Err(error) => {
                self.fail("wire", || format!("{name} produced what none can read: {error}"))
            }
        }
    }

    /// Reads records into the inbox.
    pub(super) fn read(&mut self, region: usize, source: usize, lane: Lane, count: usize) {
        let (name, from) = (self.regions[region].id.clone(), self.regions[source].id.clone());
        if self.bus.is_cut(&name, &from) || !self.topology.reads(&name, &from) {
            return;
        }
        let Some(running) = self.regions[region].running.as_mut() else { return };
        let intake = running.site.intake(&from);
        if !running.reads(&from, lane) {
            return;
        }
        let mut position = running.position(&from, lane);
        let (mut rows, mut control) = (Vec::new(), Vec::new());
        for _ in 0..count {
            let Some((item, next_position)) = self.bus.log(&from, lane).read(position) else {
                break;
            };
            let sorted = intake.sort(lane, item);
            if let Ok(sorted) = &sorted {
                self.hear_clock(region, (&from, lane, position), sorted);
            }
            match sorted {
                Ok(Sorted::Row(what)) => {
                    rows.push(syncline_applier::ReadItem { position, next_position, what });
                }
                Ok(Sorted::Control(what)) => {
                    control.push(syncline_applier::ControlItem { position, next_position, what });
                }
                Err(_) => break,
            }
            position = next_position;
        }
        let Some(running) = self.running(region) else { return };
        running.positions.insert((from.clone(), lane), position);
        match lane {
            Lane::Changes(number) if !rows.is_empty() => {
                running.inbox.entry(number).or_default().push((from, rows));
            }
            Lane::Control if !control.is_empty() => running.control_inbox.push((from, control)),
            _ => {}
        }
    }

    pub(super) fn tell_of(&mut self, region: usize, what: impl FnOnce() -> String) {
        if self.story.is_some() {
            let name = self.regions[region].id.clone();
            self.tell(|| format!("{name} {}", what()));
        }
    }
}
