//! Records that could not be read, and what is told of them: by the API, by the command line, and to
//! monitoring; and what a region says that takes no more writes.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::ensure;
use serde_json::Value;
use syncline_bus::{Bus as _, EmbeddedBus, Envelope, Lane, Outgoing, Publisher, encode_change};
use syncline_core::{
    Change, ChangeId, ChangeRecord, Hlc, Image, Operation, PartitionCount, RowKey, Stamp,
    VersionVector,
};
use syncline_harness::{If, PATIENCE, Region, Serve, wait_for};
use syncline_integration::{Ran, run_cli};
use syncline_store::kv::quarantine;
use syncline_store::{Batch, DiskStore, Engine, Store as _};

const REST: &str = "[bus]\nkind = \"embedded\"\ndir = \"../bus\"\npartitions = 1\n[regions.a]\n\
                    [regions.b]\n[limits]\nstart_wait = \"0s\"\nunconfirmed_changes = 2\n";

/// The n-th change of region b, from 1.
fn change_of_b(n: u64) -> Envelope {
    let hlc = |n: u64| if n == 0 { Hlc::ZERO } else { Hlc::new(1_795_000_000_000 + n, 0).unwrap() };
    let image = Image::canonicalize(format!("{{\"n\":{n}}}").as_bytes()).unwrap();
    encode_change(&ChangeRecord {
        row: RowKey { table: "t".parse().unwrap(), pk: format!("k{n}").parse().unwrap() },
        change: Change {
            id: ChangeId { hlc: hlc(n), region: "b".parse().unwrap() },
            context: VersionVector::new(),
            operation: Operation::Insert,
            before: None,
            after: Some(image),
            stamp: Stamp::Lww,
        },
        prev: hlc(n - 1),
    })
}

/// A region a that runs, and the log of b, which is played.
fn start(folder: &Path) -> (Serve, Box<dyn Publisher>) {
    let bus = EmbeddedBus::open(folder.join("bus"), PartitionCount::new(1).unwrap()).unwrap();
    let log = bus.publisher(&"b".parse().unwrap()).unwrap();
    let mut a = Serve::new("a", &folder.join("a"), REST).unwrap();
    a.start().unwrap();
    (a, log)
}

fn produce(log: &mut dyn Publisher, envelope: Envelope) {
    log.produce(&[Outgoing { lane: Lane::Changes(0), envelope }]).unwrap();
}

fn get(region: &Region, path: &str) -> Value {
    region.request("GET", path, &[], None).unwrap().success().unwrap().json()
}

fn refused(region: &Region, method: &str, path: &str) -> (u16, String) {
    let answer = region.request(method, path, &[], None).unwrap();
    (answer.status, answer.code())
}

fn codes(region: &Region) -> Vec<String> {
    let alerts = get(region, "/v1/alerts");
    let items = alerts["items"].as_array().unwrap().iter();
    items.map(|item| item["code"].as_str().unwrap().to_owned()).collect()
}

/// One scrape: its series, after a check that all that must add up does.
fn scrape(region: &Region) -> BTreeMap<String, f64> {
    let answer = region.request("GET", "/metrics", &[], None).unwrap().success().unwrap();
    assert!(answer.header("content-type").unwrap().starts_with("text/plain; version=0.0.4"));
    let text = String::from_utf8(answer.body).unwrap();
    let series: BTreeMap<String, f64> = text
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| line.rsplit_once(' ').unwrap())
        .map(|(series, value)| (series.to_owned(), value.parse().unwrap()))
        .collect();
    for lane in ["changes", "control"] {
        let of_b = |name: &str| series[&records(name, lane)];
        let parts = ["applied_total", "duplicate_total", "gap_total", "waiting"];
        let parts = parts.into_iter().chain(["quarantined_total", "dropped_total"]);
        assert_eq!(of_b("consumed_total"), parts.map(of_b).sum::<f64>(), "{text}");
        let own = |name: &str| series[&format!("syncline_changes_{name}{{lane=\"{lane}\"}}")];
        assert_eq!(own("produced_total"), own("confirmed_total") + own("outstanding"), "{text}");
    }
    series
}

fn records(name: &str, lane: &str) -> String {
    format!("syncline_records_{name}{{lane=\"{lane}\",source=\"b\"}}")
}

fn quarantine_cli(region: &Region, arguments: &[&str]) -> Ran {
    let arguments: Vec<&str> =
        ["quarantine"].into_iter().chain(arguments.iter().copied()).collect();
    run_cli(&region.url, &arguments, "").unwrap()
}

/// Answers the ids of both that are kept.
fn check_listed_and_shown(region: &Region) -> (String, String) {
    // Listed: page by page, and by a filter.
    let page = get(region, "/v1/quarantine?limit=1&source=b&partition=0");
    let first = page["items"][0]["id"].as_str().unwrap().to_owned();
    let next =
        get(region, &format!("/v1/quarantine?cursor={}", page["next_cursor"].as_str().unwrap()));
    let second = next["items"][0]["id"].as_str().unwrap().to_owned();
    assert_eq!(
        (&page["items"][0]["lane"], &next["next_cursor"]),
        (&"changes".into(), &Value::Null)
    );
    assert_eq!(next["items"][0]["truncated"], true);
    for empty in ["source=a", "partition=control"] {
        let page = get(region, &format!("/v1/quarantine?{empty}"));
        assert_eq!(page["items"], Value::Array(Vec::new()));
    }
    for wrong in ["cursor=7", "partition=x", "source=%20", "limit=0", "order=1"] {
        assert_eq!(refused(region, "GET", &format!("/v1/quarantine?{wrong}")).0, 400, "{wrong}");
    }
    let listed = quarantine_cli(region, &["list", "--source", "b"]);
    assert!(listed.code == 0 && listed.stdout.contains(&first), "{listed:?}");

    // Shown: whole, and cut.
    let shown = get(region, &format!("/v1/quarantine/{first}"));
    assert_eq!(shown["record"]["payload_text"], "{\"v\":1, poison");
    assert_eq!(shown["record"]["headers"][0]["name"], "originating_region");
    let shown = get(region, &format!("/v1/quarantine/{second}"));
    assert_eq!((&shown["record"], &shown["raw_text"]), (&Value::Null, &Value::Null));
    let shown = quarantine_cli(region, &["show", &first]);
    assert!(shown.stdout.contains("{\"v\":1, poison"), "{shown:?}");
    let not_kept = (404, "quarantined-not-found".to_owned());
    assert_eq!(refused(region, "GET", "/v1/quarantine/b.1.0.1"), not_kept);
    assert_eq!(refused(region, "GET", "/v1/quarantine/b.1.0").0, 400);
    assert_eq!(codes(region), ["region-silent", "records-quarantined"]);
    let topology = region.topology().unwrap();
    assert_eq!(topology["regions"][1]["in_quarantine"], 2, "{topology}");
    (first, second)
}

#[test]
fn what_cannot_be_read_is_listed_shown_replayed_and_dropped() {
    let folder = tempfile::tempdir().unwrap();
    let (mut a, mut log) = start(folder.path());
    let region = a.region.clone();
    produce(&mut *log, change_of_b(1));
    produce(&mut *log, Envelope { payload: b"{\"v\":1, poison".to_vec(), ..change_of_b(2) });
    produce(&mut *log, Envelope { payload: vec![0xff; 70_000], ..change_of_b(2) });
    wait_for("both to be kept", PATIENCE, || {
        let listed = get(&region, "/v1/quarantine");
        ensure!(listed["items"].as_array().is_some_and(|items| items.len() == 2), "{listed}");
        Ok(())
    })
    .unwrap();

    let (first, second) = check_listed_and_shown(&region);

    // Replayed, while it still is what it was.
    let again = quarantine_cli(&region, &["replay", &first]);
    assert_eq!((again.code, again.stdout.contains("still cannot be read")), (1, true), "{again:?}");
    let (replay, drop) =
        (format!("/v1/quarantine/{second}/replay"), format!("/v1/quarantine/{second}"));
    assert_eq!(refused(&region, "POST", &replay), (409, "not-replayable".to_owned()));
    let series = scrape(&region);
    assert_eq!(series[&records("consumed_total", "changes")], 4.0);
    assert_eq!(series[&records("quarantined_total", "changes")], 3.0);
    assert_eq!(series["syncline_quarantined{lane=\"changes\",source=\"b\"}"], 2.0);
    assert_eq!(series["syncline_alerts{code=\"records-quarantined\"}"], 1.0);
    get_dropped(&region, &drop);
    let not_kept = (404, "quarantined-not-found".to_owned());
    assert_eq!(refused(&region, "DELETE", &drop), not_kept);

    // Replayed, when it can be read: as if newer software had been started since.
    assert!(a.process.stop().unwrap().success());
    make_readable(&a.data().join("store"), &first);
    a.start().unwrap();
    assert_eq!(region.get("t", "k2").unwrap(), None);
    let replayed = quarantine_cli(&region, &["replay", &first, "--output", "json"]);
    assert_eq!(
        (replayed.code, &replayed.json()["outcome"]),
        (0, &"applied".into()),
        "{replayed:?}"
    );
    assert_eq!(region.get("t", "k2").unwrap().unwrap().image, br#"{"n":2}"#);
    assert_eq!(refused(&region, "POST", &format!("/v1/quarantine/{first}/replay")), not_kept);
    // The stream goes on behind it.
    produce(&mut *log, change_of_b(2));
    produce(&mut *log, change_of_b(3));
    wait_for("what comes next", PATIENCE, || {
        ensure!(region.get("t", "k3")?.is_some(), "it is not there");
        Ok(())
    })
    .unwrap();
    let series = scrape(&region);
    let counted = ["consumed", "applied", "duplicate", "quarantined"];
    let counted = counted.map(|name| series[&records(&format!("{name}_total"), "changes")]);
    assert_eq!(counted, [7.0, 3.0, 1.0, 3.0]);
    assert_eq!(series["syncline_quarantined{lane=\"changes\",source=\"b\"}"], 0.0);
}

fn get_dropped(region: &Region, path: &str) {
    let answer = region.request("DELETE", path, &[], None).unwrap().success().unwrap();
    assert_eq!(answer.json()["kept"], false);
}

/// Puts the second change of b in the place of what is kept.
fn make_readable(store: &Path, id: &str) {
    let store = DiskStore::open(Engine::Sled, store).unwrap();
    let kept = quarantine::get(&store, &id.parse().unwrap()).unwrap().unwrap();
    let raw = change_of_b(2).to_bytes();
    let kept = quarantine::Quarantined { raw_bytes: raw.len() as u64, raw, ..kept };
    let mut batch = Batch::new();
    quarantine::put(&mut batch, &kept);
    store.commit(batch).unwrap();
    store.sync().unwrap();
}

#[test]
fn at_the_limit_a_writer_is_told_who_is_behind_and_since_when() {
    let folder = tempfile::tempdir().unwrap();
    let (mut a, _log) = start(folder.path());
    let region = a.region.clone();
    for n in 0..2 {
        region.put("t", "k", &format!("{{\"n\":{n}}}"), If::Always).unwrap().success().unwrap();
    }
    let check = |region: &Region| {
        let answer = region.put("t", "k", "{}", If::Always).unwrap();
        assert_eq!((answer.status, answer.code().as_str()), (503, "regions-behind"));
        assert!(answer.header("retry-after").is_some(), "{answer}");
        let problem = answer.json();
        assert_eq!(problem["behind"], Value::Array(vec!["b".into()]));
        assert!(problem["behind_since"].as_str().is_some_and(|since| since.ends_with('Z')));
        let alerts = get(region, "/v1/alerts");
        let alert = &alerts["items"][0];
        assert_eq!((&alert["code"], &alert["subject"]), (&"writes-refused".into(), &"b".into()));
        assert_eq!(
            (&alert["severity"], &alert["since"]),
            (&"critical".into(), &problem["behind_since"])
        );
        let series = scrape(region);
        assert_eq!(series["syncline_changes_produced_total{lane=\"changes\"}"], 2.0);
        assert_eq!(series["syncline_partition_outstanding_max"], 2.0);
        assert_eq!(series["syncline_partition_outstanding_limit"], 2.0);
    };
    check(&region);
    // Whoever comes after a kill is told the same.
    a.process.kill9().unwrap();
    a.start().unwrap();
    check(&region);
}
