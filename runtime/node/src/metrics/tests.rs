use std::collections::{BTreeMap, BTreeSet};

use syncline_core::{
    Behind, CallCounters, ChangeId, FunctionVersion, Hlc, MembershipChange, MembershipId,
    MembershipState, MembershipView, TableDigest, VersionVector,
};

use syncline_bus::Lane;

use super::*;
use crate::alerts::{Standing, alerts};
use crate::region::{Counted, Members, MovedView};

fn region(name: &str) -> RegionId {
    name.parse().unwrap()
}

fn counters(applied: u64) -> LinkCounters {
    LinkCounters {
        consumed: applied + 20,
        applied,
        duplicate: 5,
        gap: 4,
        quarantined: 3,
        dropped: 2,
        heartbeats: 9,
    }
}

/// Six changes wait: what `counters` says adds up with them.
fn view(partition: u32, outstanding: usize) -> PartitionView {
    let since = Hlc::new(1_795_203_212_955, 0).unwrap();
    PartitionView {
        partition,
        taken: VersionVector::new(),
        watermarks: VersionVector::new(),
        stable: VersionVector::new(),
        waiting: BTreeMap::from([(region("b"), 6)]),
        counters: BTreeMap::from([(region("b"), counters(100))]),
        outstanding,
        own: OwnCounters { produced: 40, confirmed: 40 - outstanding as u64 },
        behind: vec![Behind { region: region("b"), since }],
        confirmed: Hlc::ZERO,
        rows_with_history: 11,
        digests: BTreeMap::from([("t".parse().unwrap(), TableDigest::default())]),
        divergences: Vec::new(),
        outcomes_left_out: 3,
    }
}

fn link(name: &str, state: &'static str) -> LinkView {
    LinkView {
        region: region(name),
        own: name == "a",
        via: None,
        tags: Vec::new(),
        state,
        lag_ms: (state == "up").then_some(1_500),
        reason: (state == "stopped").then(|| "it contradicts itself".to_owned()),
        since_ms: (state != "up").then_some(5_000),
        full_since_ms: None,
        silent_in: Default::default(),
        lacks_in: Default::default(),
        lacks_since_ms: None,
        moved: None,
    }
}

/// By two versions, of which one is in the shadow, and by none.
fn merges() -> Vec<(TableName, Stamp, VersionCounts)> {
    let calls = |faults: u64| {
        let mut calls = CallCounters::default();
        (0..6).for_each(|n| calls.count((n < faults).then_some("out-of-fuel"), 40_000, 900));
        calls
    };
    let counted = |faults| Counted { calls: calls(faults), fuel: 7_000, micros: 5_400 };
    let live = VersionCounts { live: counted(0), ..VersionCounts::default() };
    let shadow =
        VersionCounts { shadow: counted(2), different: 3, dropped: 1, ..VersionCounts::default() };
    let version = |n| Stamp::Function(syncline_core::FunctionVersion([n; 32]));
    let table: TableName = "carts".parse().unwrap();
    vec![
        (table.clone(), Stamp::Lww, live),
        (table.clone(), version(0xab), VersionCounts { live: counted(1), ..shadow }),
        (table, version(0xcd), shadow),
    ]
}

struct World {
    views: Vec<PartitionView>,
    control: ControlView,
    links: Vec<LinkView>,
    quarantine: Vec<QuarantineCount>,
    limits: LimitsConfig,
    members: Members,
    other_profiles: BTreeMap<FunctionVersion, u32>,
    clock: ClockView,
    disk_full: Option<(String, u64)>,
    own_log: Option<(String, u64)>,
}

impl World {
    fn new() -> Self {
        let kept = |partition, kept, since_ms| QuarantineCount {
            source: region("b"),
            partition,
            kept,
            since_ms,
        };
        let mut control = counters(7);
        control.consumed -= 6;
        Self {
            views: vec![view(0, 3), view(1, 4)],
            control: ControlView {
                counters: BTreeMap::from([(region("b"), control)]),
                outstanding: 2,
                own: OwnCounters { produced: 12, confirmed: 10 },
            },
            links: vec![link("a", "up"), link("b", "up"), link("c", "silent")],
            quarantine: vec![kept(0, 2, 900), kept(1, 5, 800), kept(CONTROL_PARTITION, 1, 950)],
            limits: LimitsConfig { unconfirmed_changes: 4, ..LimitsConfig::default() },
            members: Members { may_write: true, ..Members::default() },
            other_profiles: BTreeMap::new(),
            clock: ClockView { ahead_ms: Some(120), refused_since_ms: None },
            disk_full: None,
            own_log: None,
        }
    }

    fn alerts(&self, fatal: Option<(String, u64)>) -> Vec<Alert> {
        alerts(&Standing {
            region: &region("a"),
            members: &self.members,
            now_ms: 100_000,
            fatal,
            disk_full: self.disk_full.clone(),
            own_log: self.own_log.clone(),
            views: &self.views,
            links: &self.links,
            quarantine: &self.quarantine,
            profile: 2,
            other_profiles: &self.other_profiles,
            dark: &[],
            limits: &self.limits,
            clock: self.clock,
        })
    }

    fn text(&self) -> String {
        text(&Figures {
            region: &region("a"),
            views: &self.views,
            control: &self.control,
            links: &self.links,
            quarantine: &self.quarantine,
            alerts: &self.alerts(None),
            limits: &self.limits,
            clock: self.clock,
            images: ConflictImages { bytes: 70_000, dropped: 12 },
            merges: &merges(),
        })
        .unwrap()
    }
}

#[test]
fn the_page_is_as_monitoring_reads_it() {
    let page = World::new().text();
    let version = env!("CARGO_PKG_VERSION");
    insta::assert_snapshot!(page.replace(version, "VERSION"));
}

#[test]
fn each_figure_is_there_with_its_help_and_the_sums_are_exact() {
    let page = World::new().text();
    for metric in METRICS {
        let kind = if metric.kind == Kind::Counter { "counter" } else { "gauge" };
        let head = format!("# HELP {0} {1}\n# TYPE {0} {kind}\n", metric.name, metric.help);
        assert!(page.contains(&head), "{}", metric.name);
        assert_eq!(metric.kind == Kind::Counter, metric.name.ends_with("_total"));
    }
    let value = |series: &str| -> f64 {
        let line = page.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("no {series}")).parse().unwrap()
    };
    for lane in LANES {
        let of =
            |name: &str| value(&format!("syncline_records_{name}{{lane=\"{lane}\",source=\"b\"}}"));
        let parts = ["applied", "duplicate", "gap", "quarantined", "dropped"];
        let sum: f64 = parts.iter().map(|part| of(&format!("{part}_total"))).sum();
        assert_eq!(of("consumed_total"), sum + of("waiting"), "{lane}");
        let own = |name: &str| value(&format!("syncline_changes_{name}{{lane=\"{lane}\"}}"));
        assert_eq!(own("produced_total"), own("confirmed_total") + own("outstanding"), "{lane}");
    }
}

#[test]
fn alerts_say_what_whom_and_since_when() {
    let mut world = World::new();
    world.links.push(link("d", "stopped"));
    world.links.push(link("e", "unreadable"));
    world.limits.waiting_changes = 6;
    world.clock = ClockView { ahead_ms: Some(9_000), refused_since_ms: Some(66) };
    world.links[1].full_since_ms = Some(77);
    let version = FunctionVersion::of(b"f");
    world.other_profiles.insert(version, 1);
    let version = version.to_string();
    let said: Vec<(&str, String, Option<u64>)> = world
        .alerts(Some(("the disk is gone".into(), 42)))
        .into_iter()
        .map(|alert| (alert.code.parts().0, alert.subject, alert.since_ms))
        .collect();
    let expected = [
        ("region-stopped", "a", Some(42)),
        ("writes-refused", "b", Some(1_795_203_212_955)),
        ("clock-ahead", "a", Some(66)),
        ("link-stopped", "d", Some(5_000)),
        ("link-unreadable", "e", Some(5_000)),
        ("link-full", "b", Some(77)),
        ("profile-missing", &*version, None),
        ("region-silent", "c", Some(5_000)),
        ("records-quarantined", "b", Some(800)),
    ];
    assert_eq!(said, expected.map(|(code, subject, since)| (code, subject.to_owned(), since)));
    let calm = World {
        views: vec![view(0, 3)],
        links: vec![link("a", "up"), link("b", "cut")],
        quarantine: Vec::new(),
        ..World::new()
    };
    assert_eq!(calm.alerts(None), vec![]);
}

#[test]
fn what_is_wrong_with_this_region_is_said_of_it_and_of_no_other() {
    let world = World {
        links: vec![link("a", "unwritable"), link("b", "up")],
        quarantine: Vec::new(),
        disk_full: Some(("no space in /data".into(), 44)),
        own_log: Some(("no right to write".into(), 55)),
        ..World::new()
    };
    let said: Vec<_> = world
        .alerts(None)
        .into_iter()
        .map(|alert| (alert.code.parts().0, alert.subject, alert.detail, alert.since_ms))
        .collect();
    let refused = "4 changes, the limit unconfirmed_changes, are not confirmed in 1 of 2 partitions, \
                   and cannot be while this region's own log cannot be written";
    let expected = [
        ("disk-full", "no space in /data", 44),
        ("log-unwritable", "no right to write", 55),
        ("writes-refused", refused, 55),
    ];
    let expected = expected
        .map(|(code, detail, since)| (code, "a".to_owned(), detail.to_owned(), Some(since)));
    assert_eq!(said, expected);
    // Nothing is refused yet.
    let calm = World { views: vec![view(0, 3)], disk_full: None, ..world };
    assert_eq!(calm.alerts(None).len(), 1);
}

#[test]
fn what_is_missing_is_told_where_it_is_not_left_out_for_later() {
    let moved = MovedView {
        lane: Lane::Changes(1),
        reason: "the topic was deleted and made again".into(),
        at_ms: 1_795_203_212_955,
    };
    let lacks_in = [Lane::Changes(0), Lane::Changes(1), Lane::Control].into();
    let lacks = LinkView { lacks_in, lacks_since_ms: Some(88), ..link("b", "up") };
    let mut world = World {
        views: vec![view(0, 3), view(1, 3)],
        links: vec![link("a", "up"), lacks],
        quarantine: Vec::new(),
        ..World::new()
    };
    let told = |world: &World| {
        let gap = world.alerts(None).into_iter().find(|alert| alert.code == AlertCode::LinkGap);
        let gap = gap.unwrap();
        assert_eq!((gap.subject.as_str(), gap.since_ms), ("b", Some(88)));
        gap.detail
    };
    let missing = "are missing, and were not sent again for more than a minute";
    assert_eq!(
        told(&world),
        format!("changes in the partitions 0-1 and control records {missing}")
    );
    world.links[1].moved = Some(moved);
    world.views[0].waiting.clear();
    world.limits.waiting_changes = 6;
    let of_log = "Of its log, in changes/1, at 2026-11-20T19:33:32.955Z: the topic was deleted";
    let detail = told(&world);
    let of_0 = format!("changes in the partitions 0 and control records {missing}. {of_log}");
    assert!(detail.starts_with(&of_0), "{detail}");
}

#[test]
fn who_is_evicted_and_who_holds_up_a_change_is_told() {
    let id = |region_name: &str, ms: u64| {
        MembershipId(ChangeId { hlc: Hlc::new(ms, 0).unwrap(), region: region(region_name) })
    };
    let change = |id: MembershipId, gone: &str| MembershipView {
        id,
        previous: None,
        change: MembershipChange::Evict { gone: [region(gone)].into() },
        state: MembershipState::Open,
        participants: ["b", "c"].map(region).into(),
        accepted: [region("b")].into(),
        refused: BTreeMap::new(),
        done: BTreeSet::new(),
    };
    let changes = vec![change(id("b", 30_000), "a"), change(id("b", 50_000), "d")];
    let world = World {
        views: vec![view(0, 3)],
        links: vec![link("a", "up")],
        quarantine: Vec::new(),
        members: Members { me_gone: true, changes, ..Members::default() },
        ..World::new()
    };
    let said = world.alerts(None);
    let said: Vec<_> =
        said.iter().map(|a| (a.code.parts().0, a.subject.as_str(), a.since_ms)).collect();
    // The second has not waited for long.
    let expected = [("region-evicted", "a", Some(30_000)), ("membership-waits", "c", Some(30_000))];
    assert_eq!(said, expected);
}

/// The tables of the reference are made of what is here; with `UPDATE_DOCS=1` they are written.
#[test]
fn the_reference_has_every_figure_and_every_alert() {
    let figures = METRICS.iter().map(|metric| {
        let kind = if metric.kind == Kind::Counter { "counter" } else { "gauge" };
        let labels: Vec<String> = metric.labels.iter().map(|label| format!("`{label}`")).collect();
        format!("| `{}` | {kind} | {} | {} |\n", metric.name, labels.join(", "), metric.help)
    });
    let figures = format!(
        "| figure | kind | labels | what it is |\n|---|---|---|---|\n{}",
        figures.collect::<String>()
    );
    let alerts = AlertCode::ALL.iter().map(|code| {
        let (code, severity, meaning) = code.parts();
        format!("| `{code}` | {severity} | {meaning} |\n")
    });
    let alerts =
        format!("| `code` | `severity` | |\n|---|---|---|\n{}", alerts.collect::<String>());
    let docs = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/src/reference");
    for (file, table) in [("metrics.md", figures), ("http.md", alerts)] {
        let path = docs.join(file);
        let page = std::fs::read_to_string(&path).unwrap();
        let head = table.lines().next().unwrap();
        let from = page.find(head).unwrap_or_else(|| panic!("{file} has no table {head}"));
        let len: usize = page[from..]
            .split_inclusive('\n')
            .take_while(|line| line.starts_with('|'))
            .map(str::len)
            .sum();
        if std::env::var_os("UPDATE_DOCS").is_some() {
            let new = format!("{}{table}{}", &page[..from], &page[from + len..]);
            std::fs::write(&path, new).unwrap();
            continue;
        }
        let update = "Run `UPDATE_DOCS=1 cargo test -p syncline-node metrics` and commit the page.";
        assert_eq!(&page[from..from + len], table, "{file}: {update}");
    }
}

#[test]
fn the_runbook_says_what_to_do_about_every_alert() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = std::fs::read_to_string(path.join("../../docs/src/guides/runbook.md")).unwrap();
    let told: Vec<&str> = page.lines().filter_map(|line| line.strip_prefix("## ")).collect();
    let codes: Vec<&str> = AlertCode::ALL.iter().map(|code| code.parts().0).collect();
    assert_eq!(told, codes);
}
