//! The thread of a node that does not lead: it has no control partition, and goes by what the lead
//! tells.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use syncline_core::{ChangeId, FunctionVersion, Hlc, RolloutId, RolloutText, SelfTest, TableName};
use syncline_store::kv::component::{self, ComponentFacts};
use syncline_store::kv::share;
use syncline_store::{Batch, Search, Store, StoreError, find_stamped};

use super::client::Unanswered;
use super::form::{Answer, CountsForm, Directives, NotedForm, Report, StandingForm, TestedForm};
use super::form::{Text, texts};
use super::peers::Peers;
use crate::api::NODE_EXCHANGE;
use crate::region::controller::{ControlWork, self_tested};
use crate::region::queue::ShardQueue;
use crate::region::readers::Readers;
use crate::region::shard::ShardWork;
use crate::region::status::ControlView;
use crate::region::{Shared, now_ms, threads};

/// How often the lead is told how this node stands, and asked what holds.
const EXCHANGE_EVERY: Duration = Duration::from_millis(250);
/// How often what failed is tried again: a log that could not be opened, a component that could not
/// be fetched, a search that has found something.
const AGAIN_EVERY: Duration = Duration::from_secs(1);
/// A node that starts, and that the lead has refused for so long, stops. A process that was just
/// killed is still heard for a moment.
const REFUSED_FOR: Duration = Duration::from_secs(8);
/// After a search that has found something the next one waits so long.
const SEARCH_AGAIN: Duration = Duration::from_secs(5);
/// After a disk had no room for a component the next try waits so long.
const ROOM_AGAIN: Duration = Duration::from_secs(5);

/// What the lead told last, as it is kept.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(in crate::region) struct Kept {
    id: String,
    directives: Directives,
}

/// What is sent until the lead has answered it.
#[derive(Default)]
struct Pending {
    sequence: u64,
    counts: Vec<CountsForm>,
    divergences: Vec<NotedForm>,
    tables: Vec<TableName>,
    is_sent: bool,
}

pub(in crate::region) struct Follower {
    pub(in crate::region) shared: Arc<Shared>,
    pub(in crate::region) peers: Arc<Peers>,
    pub(in crate::region) shards: Vec<ShardQueue>,
    /// For those who load, test and search, to say how it went.
    pub(in crate::region) own: SyncSender<ControlWork>,
    pub(in crate::region) readers: Readers,
    /// What this node goes by; none before it was ever told.
    kept: Option<Kept>,
    /// The clock when the stamps had become what they are.
    stamped_until: Hlc,
    /// The run of the lead that has answered last.
    lead_run: String,
    /// Components that are in the store and can be called.
    here: BTreeSet<FunctionVersion>,
    tested: BTreeMap<FunctionVersion, Result<SelfTest, RolloutText>>,
    /// Versions that a thread fetches, loads, tests or searches for.
    busy: BTreeSet<FunctionVersion>,
    /// One of them is on its way here.
    fetches: bool,
    /// Nothing is fetched before.
    fetch_at: Instant,
    search_at: BTreeMap<FunctionVersion, Instant>,
    pending: Pending,
    /// What the lead knows of tables.
    told: BTreeSet<TableName>,
    /// Since when the lead refuses this node, and when it last did.
    refused: Option<(Instant, Instant)>,
    /// Why this node does not go by what holds.
    trouble: Option<String>,
    /// Why a component is not here.
    lacks: Option<String>,
}

impl Kept {
    /// What a node was told in an earlier run; none if that was nothing, or cannot be read any more.
    pub(in crate::region) fn read(
        shared: &syncline_applier::Site<syncline_store::DiskStore>,
    ) -> Result<Option<Self>, StoreError> {
        let Some(text) = share::directives(&shared.store)? else { return Ok(None) };
        match serde_json::from_str(&text) {
            Ok(kept) => Ok(Some(kept)),
            Err(error) => {
                let region = &shared.region;
                tracing::warn!(%region, %error, "what the lead told before cannot be read");
                Ok(None)
            }
        }
    }

    pub(in crate::region) fn directives(&self) -> &Directives {
        &self.directives
    }
}

impl Follower {
    /// A node that goes by what it kept, whose row partitions were restored and told that already.
    pub(in crate::region) fn new(
        (shared, peers): (Arc<Shared>, Arc<Peers>),
        shards: Vec<ShardQueue>,
        own: SyncSender<ControlWork>,
        readers: Readers,
        (kept, here): (Option<Kept>, BTreeSet<FunctionVersion>),
    ) -> Self {
        let stamped_until = shared.site.clock.last();
        kept.iter().for_each(|kept| peers.now_goes_by(&kept.id));
        Self {
            shared,
            peers,
            shards,
            own,
            readers,
            kept,
            stamped_until,
            lead_run: String::new(),
            here,
            tested: BTreeMap::new(),
            busy: BTreeSet::new(),
            fetches: false,
            fetch_at: Instant::now(),
            search_at: BTreeMap::new(),
            pending: Pending::default(),
            told: BTreeSet::new(),
            refused: None,
            trouble: None,
            lacks: None,
        }
    }

    /// Works until it is told to stop, or the region fails.
    pub(in crate::region) fn run(mut self, work: &Receiver<ControlWork>) {
        let (mut exchange_at, mut again_at) = (Instant::now(), Instant::now());
        while !self.shared.is_stopping() {
            match work.recv_timeout(exchange_at.saturating_duration_since(Instant::now())) {
                Ok(work) => {
                    if self.take(work) {
                        return;
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            if Instant::now() < exchange_at {
                continue;
            }
            exchange_at = Instant::now() + EXCHANGE_EVERY;
            if let Err(error) = self.exchange() {
                self.shared.fail_in_store(format!("keep what the lead tells: {error}"), &error);
                return;
            }
            if Instant::now() >= again_at {
                again_at = Instant::now() + AGAIN_EVERY;
                self.readers.retry();
                self.fetch();
                self.search();
            }
            self.test();
        }
    }

    /// Answers true if the thread is to end. What clients ask of the control partition is passed on
    /// to the lead before it gets here.
    fn take(&mut self, work: ControlWork) -> bool {
        let done = match work {
            ControlWork::Fetched { version, fetched } => {
                self.fetched(version, fetched);
                Ok(())
            }
            ControlWork::Loaded { version, loaded } => self.loaded(version, loaded),
            ControlWork::Tested { version, result } => {
                self.busy.remove(&version);
                self.tested.insert(version, result);
                Ok(())
            }
            ControlWork::Searched { version, deletion, found } => {
                self.searched(version, &deletion, found)
            }
            ControlWork::Exchange { reply, .. } => {
                let _ = reply.send(Err(super::ExchangeRefused::NotTheLead));
                Ok(())
            }
            ControlWork::InspectPartition(reply) => {
                let _ = reply.send(ControlView::default());
                Ok(())
            }
            ControlWork::Stop => return true,
            _ => Ok(()),
        };
        if let Err(error) = done {
            self.shared.fail_in_store(format!("keep a component: {error}"), &error);
        }
        false
    }

    /// Tells the lead, and goes by what it answers.
    fn exchange(&mut self) -> Result<(), StoreError> {
        let report = self.report()?;
        let told = self.peers.client.tell(self.peers.lead_url(), NODE_EXCHANGE, &report);
        match told {
            Ok(answer) => self.go_by(answer),
            Err(Unanswered::Unreached(reason) | Unanswered::Dark(reason)) => {
                self.note_trouble(reason);
                Ok(())
            }
            Err(Unanswered::Refused(reason)) => {
                self.shared.startup.lead_refuses();
                let now = Instant::now();
                let before = self.refused.filter(|(_, last)| last.elapsed() < REFUSED_FOR);
                let since = before.map_or(now, |(since, _)| since);
                self.refused = Some((since, now));
                // One that has begun stops where it meets the other that claims the same, if that
                // was started before.
                let has_begun = self.shared.awaited().is_none();
                if !has_begun && since.elapsed() >= REFUSED_FOR {
                    let lead = self.peers.nodes().lead();
                    self.shared.fail(format!("node {lead} leads, and refuses this one: {reason}"));
                }
                self.note_trouble(reason);
                Ok(())
            }
        }
    }

    fn note_trouble(&mut self, reason: String) {
        if self.trouble.as_ref() != Some(&reason) {
            let (region, lead) = (&self.shared.site.region, self.peers.nodes().lead());
            tracing::warn!(%region, lead, reason,
                "this node goes by what the node that leads told before");
            self.trouble = Some(reason);
        }
    }

    fn report(&mut self) -> Result<Report, StoreError> {
        self.gather();
        let site = &self.shared.site;
        let watched = self.kept.as_ref().is_some_and(|kept| kept.directives.watched);
        // An old disk knows of confirmations that never were.
        let counts = watched && self.shared.startup.is_over(&self.shared);
        let standings = if counts { site.standings() } else { BTreeMap::new() };
        if !standings.is_empty() {
            // What the region says of them to others must outlast a loss of power.
            site.store.sync()?;
        }
        let standings = standings.iter();
        let tested = self.tested.iter();
        Ok(Report {
            node: self.peers.me().clone(),
            applied: self.kept.as_ref().map(|kept| kept.id.clone()),
            stamped_until: Text(self.stamped_until),
            standings: standings.map(|(number, s)| (*number, StandingForm::of(s))).collect(),
            tested: tested.map(|(version, r)| (Text(*version), TestedForm::of(r))).collect(),
            tables: texts(self.pending.tables.iter().cloned()),
            sequence: self.pending.sequence,
            counts: self.pending.counts.clone(),
            divergences: self.pending.divergences.clone(),
        })
    }

    /// What the lead has not heard, unless something is on its way already.
    fn gather(&mut self) {
        if std::mem::replace(&mut self.pending.is_sent, true) {
            return;
        }
        let watch = self.kept.iter().flat_map(|kept| &kept.directives.watch);
        let ids = watch.map(|watched| RolloutId(watched.rollout.clone().make()));
        let ids: BTreeSet<RolloutId> = ids.collect();
        let observer = &self.shared.observer;
        let counts = ids.iter().filter_map(|id| Some((id, observer.take(id)?)));
        self.pending.counts = counts.map(|(id, counts)| CountsForm::of(id, &counts)).collect();
        let site = &self.shared.site;
        self.pending.divergences = site.take_divergences().iter().map(NotedForm::of).collect();
        self.pending.tables = site.tables().difference(&self.told).cloned().collect();
        self.pending.sequence += 1;
    }

    fn go_by(&mut self, answer: Answer) -> Result<(), StoreError> {
        self.refused = None;
        self.told.extend(std::mem::take(&mut self.pending.tables));
        self.pending.is_sent = false;
        if self.lead_run != answer.run {
            // It knows what its own rows have, and no more.
            self.told.clear();
            self.lead_run = answer.run;
        }
        for Text(table) in answer.tables {
            self.shared.site.note_table(&table);
            self.told.insert(table);
        }
        if let Some(directives) = answer.told
            && let Some(full) = self.apply(Kept { id: answer.directives, directives })?
        {
            // The lead tells it again, as this node does not say that it goes by it.
            self.shared.startup.lead_admits();
            self.note_trouble(format!("keep what it tells: {full}"));
            return Ok(());
        }
        if self.trouble.take().is_some() {
            let (region, lead) = (&self.shared.site.region, self.peers.nodes().lead());
            tracing::warn!(%region, lead, "this node goes by what the node that leads tells again");
        }
        self.shared.startup.lead_was_heard();
        Ok(())
    }

    /// Kept before it is gone by: the lead builds on that. Where there is no room for it the node goes
    /// by what it has.
    fn apply(&mut self, kept: Kept) -> Result<Option<Full>, StoreError> {
        let shared = Arc::clone(&self.shared);
        let mut batch = Batch::new();
        share::put_directives(&mut batch, &serde_json::to_string(&kept).unwrap_or_default());
        if let Some(full) = keep(&shared.site.store, batch)? {
            return Ok(Some(full));
        }
        go_by(&shared, &kept);
        if shared.site.direct(kept.directives.directed(shared.site.partitions.get())) {
            self.stamped_until = shared.site.clock.last();
        }
        self.peers.now_goes_by(&kept.id);
        self.readers.align(&kept.directives.read());
        self.kept = Some(kept);
        self.fetch();
        Ok(None)
    }

    /// Fetches a component that the region has and this node lacks, aside: one after the other.
    fn fetch(&mut self) {
        let Some(kept) = &self.kept else { return };
        let next = kept.directives.missing(&self.here).find(|version| !self.busy.contains(version));
        let Some(version) = next else { return };
        if self.fetches || Instant::now() < self.fetch_at {
            return;
        }
        self.fetches = true;
        self.busy.insert(version);
        let (peers, own) = (Arc::clone(&self.peers), self.own.clone());
        threads::aside(&self.shared, "fetch", move || {
            let path = format!("/v1/merge-functions/{version}/component");
            let fetched = match peers.client.component(peers.lead_url(), &path) {
                Ok(bytes) if FunctionVersion::of(&bytes) == version => Ok(bytes),
                Ok(_) => Err("what the node that leads sends is something else".to_owned()),
                Err(error) => Err(error.to_string()),
            };
            // The thread is gone when the region stops; the next start fetches again.
            let _ = own.send(ControlWork::Fetched { version, fetched });
        });
    }

    /// Has a component loaded, aside.
    fn fetched(&mut self, version: FunctionVersion, fetched: Result<Vec<u8>, String>) {
        self.fetches = false;
        match fetched {
            Ok(bytes) => {
                let (shared, own) = (Arc::clone(&self.shared), self.own.clone());
                threads::aside(&self.shared, "compile", move || {
                    let loaded = shared.host.load(version, &bytes);
                    let loaded = loaded.map_err(|error| error.to_string()).map(|_| bytes);
                    // The thread is gone when the region stops; the next start fetches again.
                    let _ = own.send(ControlWork::Loaded { version, loaded });
                });
                self.fetch();
            }
            Err(reason) => {
                self.busy.remove(&version);
                self.fetch_at = Instant::now() + AGAIN_EVERY;
                self.note_lack(format!("fetch {version}: {reason}"));
            }
        }
    }

    fn note_lack(&mut self, reason: String) {
        if self.lacks.as_ref() != Some(&reason) {
            let region = &self.shared.site.region;
            tracing::warn!(%region, reason, "this node lacks a component that the region has");
            self.lacks = Some(reason);
        }
    }

    fn loaded(
        &mut self,
        version: FunctionVersion,
        loaded: Result<Vec<u8>, String>,
    ) -> Result<(), StoreError> {
        let shared = &self.shared;
        let bytes = match loaded {
            Ok(bytes) => bytes,
            Err(reason) => {
                // It stays busy: it is not fetched again before the next start.
                tracing::error!(region = %shared.site.region, %version, %reason,
                    "a component cannot be used here: its rollout cannot go on");
                self.tested.insert(version, Err(RolloutText::cut(&reason)));
                return Ok(());
            }
        };
        self.busy.remove(&version);
        let manifest = shared.host.manifest(&version).unwrap_or_default();
        let facts = ComponentFacts {
            bytes: bytes.len() as u64,
            name: manifest.name.unwrap_or_default(),
            uploaded_by: shared.site.region.to_string(),
            uploaded_at_ms: now_ms(),
        };
        let mut batch = Batch::new();
        component::put_whole(&mut batch, &shared.site.store, &version, &bytes, &facts)?;
        if let Some(full) = keep(&shared.site.store, batch)? {
            self.fetch_at = Instant::now() + ROOM_AGAIN;
            self.note_lack(format!("keep {version}: {full}"));
            return Ok(());
        }
        self.here.insert(version);
        self.lacks = None;
        for shard in &self.shards {
            // A shard that is gone needs no news.
            let _ = shard.send(ShardWork::FunctionArrived);
        }
        Ok(())
    }

    /// Tests what is to be tested, aside.
    fn test(&mut self) {
        let Some(kept) = &self.kept else { return };
        for Text(version) in &kept.directives.test {
            let due = self.here.contains(version) && !self.tested.contains_key(version);
            if due && self.busy.insert(*version) {
                let (shared, own, version) = (Arc::clone(&self.shared), self.own.clone(), *version);
                threads::aside(&self.shared, "self-test", move || {
                    let result = self_tested(&shared, version);
                    // The thread is gone when the region stops; the next start tests again.
                    let _ = own.send(ControlWork::Tested { version, result });
                });
            }
        }
    }

    /// Looks, aside, whether anything here still needs what every region is done with.
    fn search(&mut self) {
        let Some(kept) = &self.kept else { return };
        for (Text(version), deletion) in &kept.directives.released {
            let waits = self.search_at.get(version).is_some_and(|at| *at > Instant::now());
            if waits || !self.here.contains(version) || !self.busy.insert(*version) {
                continue;
            }
            let (shared, own, version) = (Arc::clone(&self.shared), self.own.clone(), *version);
            let deletion = deletion.clone().make();
            threads::aside(&self.shared, "search", move || {
                let (store, partitions) = (&shared.site.store, shared.site.partitions);
                let found = find_stamped(store, partitions, &version, || !shared.is_stopping());
                // The thread is gone when the region stops; the next start searches again.
                let _ = own.send(ControlWork::Searched { version, deletion, found });
            });
        }
    }

    fn searched(
        &mut self,
        version: FunctionVersion,
        deletion: &ChangeId,
        found: Result<Search, StoreError>,
    ) -> Result<(), StoreError> {
        self.busy.remove(&version);
        self.search_at.insert(version, Instant::now() + SEARCH_AGAIN);
        let released = self.kept.iter().flat_map(|kept| &kept.directives.released);
        let mut released = released.map(|(Text(of), by)| (*of, by.clone().make()));
        let still = released.any(|(of, by)| of == version && by == *deletion);
        if !still || !matches!(found?, Search::Nothing) {
            return Ok(());
        }
        let site = &self.shared.site;
        let mut batch = Batch::new();
        component::drop_whole(&mut batch, &site.store, &version)?;
        if let Some(full) = keep(&site.store, batch)? {
            tracing::warn!(region = %site.region, %version, %full, "a version cannot be deleted yet");
            return Ok(());
        }
        tracing::info!(region = %site.region, %version, "a version is deleted");
        self.shared.host.remove(&version);
        self.here.remove(&version);
        self.tested.remove(&version);
        self.search_at.remove(&version);
        Ok(())
    }
}

/// The disk has no room.
type Full = StoreError;

/// Has a batch durable. Of a full disk it says so, and nothing is changed: it can be tried again.
fn keep(store: &impl Store, batch: Batch) -> Result<Option<Full>, StoreError> {
    match store.commit(batch) {
        Ok(()) => store.sync().map(|()| None),
        Err(full @ StoreError::NoSpace { .. }) => Ok(Some(full)),
        Err(error) => Err(error),
    }
}

/// What the lead tells apart from what the row partitions are told.
pub(in crate::region) fn go_by(shared: &Shared, kept: &Kept) {
    let directives = &kept.directives;
    let profiles = directives.profiles.iter().map(|(version, profile)| (version.0, *profile));
    shared.set_profiles(profiles.collect());
    shared.observer.watch_told(&directives.watch);
    shared.set_members(directives.members());
}

#[cfg(test)]
mod tests {
    use super::*;
    use syncline_store::MemoryStore;

    #[test]
    fn a_full_disk_is_no_reason_to_stop() {
        let told = |text: &str| {
            let mut batch = Batch::new();
            share::put_directives(&mut batch, text);
            batch
        };
        let store = MemoryStore::new();
        assert_eq!(keep(&store, told("first")), Ok(None));
        store.set_full(true);
        assert!(matches!(keep(&store, told("second")), Ok(Some(StoreError::NoSpace { .. }))));
        assert_eq!(share::directives(&store).unwrap().as_deref(), Some("first"));
        store.set_full(false);
        assert_eq!(keep(&store, told("second")), Ok(None));
        store.fail_next_sync();
        assert!(keep(&store, told("third")).is_err());
        store.crash();
        assert_eq!(share::directives(&store).unwrap().as_deref(), Some("second"));
    }
}
