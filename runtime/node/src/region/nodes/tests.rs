//! A node beside one that is played.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Bytes;
use axum::http::StatusCode;
use axum::routing::{get, post};
use syncline_applier::{KeptAction, KeptDone, KeptWork};
use syncline_bus::{Bus, BusError, EmbeddedBus, Publisher, Reader, SnapshotReader, SnapshotWriter};
use syncline_core::{CONTROL_PARTITION, Evidence, FunctionVersion, Routes, VersionVector};
use syncline_host::Compiler;
use syncline_store::Engine;
use syncline_store::kv::quarantine::QuarantineId;

use super::form::{Directives, texts};
use super::*;
use crate::config::{HumanDuration, LimitsConfig, Node};
use crate::region::{Cuts, Region, RegionOptions, WallClock};

fn eu() -> RegionId {
    "eu".parse().unwrap()
}

fn partitions() -> PartitionCount {
    PartitionCount::new(4).unwrap()
}

/// A bus on which, while that is so, the end of no log can be read.
struct Shaded {
    bus: EmbeddedBus,
    is_dark: AtomicBool,
}

impl Shaded {
    fn open(data: &Path, is_dark: bool) -> Arc<Self> {
        let bus = EmbeddedBus::open(data.join("bus"), partitions()).unwrap();
        Arc::new(Self { bus, is_dark: AtomicBool::new(is_dark) })
    }

    fn lights_up(&self) {
        self.is_dark.store(false, Ordering::SeqCst);
    }
}

impl Bus for Shaded {
    fn publisher(&self, region: &RegionId) -> Result<Box<dyn Publisher>, BusError> {
        self.bus.publisher(region)
    }

    fn reader(&self, source: &RegionId, from: &[(Lane, u64)]) -> Result<Box<dyn Reader>, BusError> {
        self.bus.reader(source, from)
    }

    fn ends(&self, source: &RegionId) -> Result<Vec<(Lane, u64)>, BusError> {
        self.bus.ends(source)
    }

    fn tails(&self, source: &RegionId) -> Result<Vec<(Lane, u64)>, BusError> {
        match self.is_dark.load(Ordering::SeqCst) {
            true => Err(BusError::NoCluster { region: source.clone() }),
            false => self.bus.tails(source),
        }
    }

    fn snapshot_writer(
        &self,
        donor: &RegionId,
        joiner: &RegionId,
    ) -> Result<Box<dyn SnapshotWriter>, BusError> {
        self.bus.snapshot_writer(donor, joiner)
    }

    fn snapshot_reader(
        &self,
        donor: &RegionId,
        joiner: &RegionId,
        from: u64,
    ) -> Result<Box<dyn SnapshotReader>, BusError> {
        self.bus.snapshot_reader(donor, joiner, from)
    }

    fn drop_snapshot(&self, donor: &RegionId, joiner: &RegionId) -> Result<(), BusError> {
        self.bus.drop_snapshot(donor, joiner)
    }
}

/// Node `a`, at this port, leads; of node `b` nobody knows where it is.
fn nodes(me: &str, port: u16) -> Nodes {
    let node = |port: u16, partitions: [u32; 2]| Node {
        url: format!("http://127.0.0.1:{port}"),
        partitions: partitions.into(),
    };
    Nodes::new(me, [("a".to_owned(), node(port, [0, 1])), ("b".to_owned(), node(1, [2, 3]))].into())
}

fn start(data: &Path, bus: &Arc<Shaded>, nodes: Nodes) -> Region {
    let options = RegionOptions {
        region: eu(),
        regions: vec![eu()],
        routes: Routes::default(),
        tags: Vec::new(),
        data: data.join(nodes.me()),
        engine: Engine::default(),
        partitions: partitions(),
        nodes: Some(nodes),
        limits: LimitsConfig {
            start_wait: HumanDuration(Duration::ZERO),
            ..LimitsConfig::default()
        },
        cuts: Cuts::default(),
        compiler: Compiler::InProcess,
        profile: syncline_host::PROFILE,
        clock: WallClock::default(),
    };
    Region::start(options, Arc::clone(bus) as Arc<dyn Bus>).unwrap()
}

fn wait_for<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        if let Some(value) = condition() {
            return value;
        }
        assert!(Instant::now() < deadline, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
}

#[test]
fn the_lead_tells_nothing_before_it_knows_its_disk() {
    let data = tempfile::tempdir().unwrap();
    let bus = Shaded::open(data.path(), true);
    let lead = start(data.path(), &bus, nodes("a", 2));
    let runtime = runtime();
    let node = shown(Some(&nodes("b", 2)), &eu(), partitions());
    let tell = || {
        let report = Report {
            node: node.clone(),
            applied: None,
            stamped_until: Text(Hlc::ZERO),
            standings: BTreeMap::new(),
            tested: BTreeMap::new(),
            tables: Vec::new(),
            sequence: 1,
            counts: Vec::new(),
            divergences: Vec::new(),
        };
        runtime.block_on(lead.exchange(report))
    };
    assert_eq!(tell().map(|answer| answer.directives), Err(ExchangeRefused::Starting));
    bus.lights_up();
    let answer = wait_for("the lead to begin", || match tell() {
        Err(ExchangeRefused::Starting) => None,
        answer => Some(answer.unwrap()),
    });
    assert!(answer.told.is_some());
    wait_for("the lead to show what it tells", || {
        let told = tell().unwrap().directives;
        (lead.peers().unwrap().goes_by() == Some(told)).then_some(())
    });
    lead.stop();
}

/// What the node that leads answers a report, if that is played: a status and what it says.
type Said = (u16, String);

#[derive(Default)]
struct Played {
    reports: Mutex<Vec<Report>>,
    says: Mutex<Option<Said>>,
    fetched: Mutex<usize>,
}

impl Played {
    /// Its port. A component it never sends.
    fn serve(self: &Arc<Self>, runtime: &tokio::runtime::Runtime) -> u16 {
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let port = listener.local_addr().unwrap().port();
        let me = shown(Some(&nodes("a", port)), &eu(), partitions());
        let (told, asked) = (Arc::clone(self), Arc::clone(self));
        let router = Router::new()
            .route("/v1/node", get(move || async move { axum::Json(me.clone()) }))
            .route("/v1/node/exchange", post(move |body: Bytes| async move { told.answer(&body) }))
            .route(
                "/v1/merge-functions/{version}/component",
                get(move || async move {
                    *asked.fetched.lock().unwrap() += 1;
                    std::future::pending::<()>().await;
                }),
            );
        runtime.spawn(async move { axum::serve(listener, router).await });
        port
    }

    fn answer(&self, report: &[u8]) -> (StatusCode, String) {
        let report = Report::read(report).unwrap();
        let says = self.says.lock().unwrap().clone();
        self.reports.lock().unwrap_or_else(PoisonError::into_inner).push(report);
        let (status, text) = says.unwrap_or((503, String::new()));
        (StatusCode::from_u16(status).unwrap(), text)
    }

    fn says(&self, status: u16, text: impl Into<String>) {
        *self.says.lock().unwrap() = Some((status, text.into()));
    }

    fn tells(&self, directives: Directives) {
        let (run, directives, told) = ("1".to_owned(), "x".to_owned(), Some(directives));
        let answer = Answer { run, directives, told, tables: Vec::new() };
        self.says(200, serde_json::to_string(&answer).unwrap());
    }

    /// The reports that come from now on, so many.
    fn next(&self, count: usize) -> Vec<Report> {
        let from = self.reports.lock().unwrap().len();
        wait_for("reports", || {
            let reports = self.reports.lock().unwrap();
            // The first one may have been on its way.
            (reports.len() > from + count).then(|| reports[from + 1..].to_vec())
        })
    }
}

fn of_all() -> Directives {
    Directives {
        counted: texts([eu()]),
        members: texts([eu()]),
        may_write: true,
        watched: true,
        ..Directives::default()
    }
}

#[test]
fn no_answer_but_a_refusal_stops_a_node_and_that_only_before_it_has_begun() {
    let data = tempfile::tempdir().unwrap();
    let (bus, runtime) = (Shaded::open(data.path(), false), runtime());
    let lead = Arc::new(Played::default());
    let port = lead.serve(&runtime);
    lead.tells(of_all());
    let node = start(data.path(), &bus, nodes("b", port));
    wait_for("the node to begin", || node.starting().is_none().then_some(()));
    assert_eq!(node.peers().unwrap().goes_by().as_deref(), Some("x"));
    for (status, text) in [
        (404, "<html>"),
        (500, ""),
        (200, "{}"),
        (409, r#"{"code":"node-refused","detail":"another process is node b"}"#),
    ] {
        lead.says(status, text);
        lead.next(2);
        assert_eq!(node.fatal(), None, "{status}");
    }
    node.stop();
    drop(node);
    lead.says(409, r#"{"code":"node-refused","detail":"another process is node b"}"#);
    let node = start(data.path(), &bus, nodes("b", port));
    // It was told that before.
    wait_for("it to show what it goes by", || {
        (node.peers().unwrap().goes_by().as_deref() == Some("x")).then_some(())
    });
    let why = wait_for("the node to stop", || node.fatal());
    assert!(why.contains("refuses this one: another process is node b"), "{why}");
    node.stop();
}

#[test]
fn a_node_does_not_say_how_it_stands_before_it_knows_its_disk() {
    let data = tempfile::tempdir().unwrap();
    let (bus, runtime) = (Shaded::open(data.path(), true), runtime());
    let lead = Arc::new(Played::default());
    let port = lead.serve(&runtime);
    lead.tells(of_all());
    let node = start(data.path(), &bus, nodes("b", port));
    // It takes writes though its own log was not read.
    wait_for("the node to begin", || node.starting().is_none().then_some(()));
    let of_partition = |number| node.shared.site.standings().contains_key(&number);
    wait_for("it to have something to say", || (of_partition(2) && of_partition(3)).then_some(()));
    assert!(lead.next(2).iter().all(|report| report.standings.is_empty()));
    bus.lights_up();
    wait_for("it to say how it stands", || {
        let reports = lead.reports.lock().unwrap();
        let stand: BTreeSet<u32> = reports.last()?.standings.keys().copied().collect();
        (stand == [2, 3].into()).then_some(())
    });
    node.stop();
}

#[test]
fn what_only_the_lead_has_is_not_kept_elsewhere() {
    let data = tempfile::tempdir().unwrap();
    let (bus, runtime) = (Shaded::open(data.path(), false), runtime());
    let node = start(data.path(), &bus, nodes("b", 2));
    for partition in [CONTROL_PARTITION, 0] {
        let id = QuarantineId { source: eu(), partition, position: 7 };
        let done = runtime.block_on(node.handle_kept(KeptWork { id, action: KeptAction::Replay }));
        assert_eq!(done, Ok(KeptDone::NotKept));
    }
    node.stop();
}

#[test]
fn a_component_that_does_not_come_holds_up_nothing() {
    let data = tempfile::tempdir().unwrap();
    let (bus, runtime) = (Shaded::open(data.path(), false), runtime());
    let lead = Arc::new(Played::default());
    let port = lead.serve(&runtime);
    let directives = Directives { have: texts([FunctionVersion([7; 32])]), ..of_all() };
    lead.tells(directives);
    let node = start(data.path(), &bus, nodes("b", port));
    wait_for("the node to fetch", || (*lead.fetched.lock().unwrap() > 0).then_some(()));
    lead.next(3);
    node.stop();
    assert_eq!(*lead.fetched.lock().unwrap(), 1);
}

#[test]
fn a_change_that_nobody_here_made_is_noticed() {
    let hlc = |n| Hlc::from_bits(n).unwrap();
    let me: RegionId = "me".parse().unwrap();
    let beat = |taken| Heartbeat {
        region: "a".parse().unwrap(),
        hlc: hlc(99),
        prev: Hlc::ZERO,
        watermarks: VersionVector::new(),
        taken: VersionVector::from_iter([(me.clone(), hlc(taken))]),
        evidence: Evidence::default(),
        wall_ms: 0,
    };
    let lane = Lane::Changes(1);
    let last = LastOwn::new([(lane, hlc(5))]);
    assert_eq!(last.surpassed_by(&me, lane, &beat(5)), None);
    assert_eq!(last.surpassed_by(&me, lane, &beat(6)), Some((hlc(5), hlc(6))));
    assert_eq!(last.surpassed_by(&me, Lane::Changes(2), &beat(6)), None);
    last.committed(lane, hlc(6));
    last.committed(lane, hlc(4));
    assert_eq!(last.surpassed_by(&me, lane, &beat(6)), None);
}
