//! A disk that gives back another row than it was given: what is told of it, and how it is cured.

use std::path::Path;

use anyhow::ensure;
use serde_json::{Value, json};
use syncline_core::{Image, PartitionCount, RowKey, partition_of};
use syncline_harness::{Dev, If, PATIENCE, Region, wait_for};
use syncline_integration::{Ran, run_cli};
use syncline_store::kv::{digest, row};
use syncline_store::{Batch, DiskStore, Engine, Store as _};

fn run(region: &Region, arguments: &[&str]) -> Ran {
    run_cli(&region.url, arguments, "").unwrap()
}

fn items(region: &Region, path: &str) -> Vec<Value> {
    region.get_json(path).unwrap()["items"].as_array().unwrap().clone()
}

fn post(region: &Region, path: &str, body: &Value) -> (u16, Value) {
    let json = ("content-type", "application/json");
    let body = body.to_string();
    let answer = region.request("POST", path, &[json], Some(body.as_bytes())).unwrap();
    (answer.status, answer.json())
}

/// As if the region had always held another row.
fn spoil(store: &Path, partitions: u64, key: &RowKey) {
    let partitions = PartitionCount::new(u32::try_from(partitions).unwrap()).unwrap();
    let number = partition_of(key, partitions);
    let store = DiskStore::open(Engine::default(), store).unwrap();
    let mut state = row::get(&store, number, key).unwrap().unwrap();
    let before = state.image.replace(Image::canonicalize(b"{\"n\":666}").unwrap());
    state.floor_image = state.image.clone();
    let mut batch = Batch::new();
    row::put(&mut batch, number, key, &state);
    let digests = digest::of_partition(&store, number).unwrap();
    let of_table = digests.into_iter().find(|(table, _)| *table == key.table);
    let (table, mut sum) = of_table.unwrap();
    sum.replace(key, before.as_ref(), state.image.as_ref());
    digest::put(&mut batch, number, &table, &sum);
    store.commit(batch).unwrap();
    store.sync().unwrap();
}

#[test]
fn a_region_that_holds_something_else_is_told_of_and_repaired() {
    let mut dev = Dev::start(&["a", "b"]).unwrap();
    let [a, b] = [0, 1].map(|n| dev.regions()[n].clone());
    dev.cut_off("a").unwrap();
    a.put("t", "met", r#"{"n":1}"#, If::Always).unwrap().success().unwrap();
    b.put("t", "met", r#"{"n":2}"#, If::Always).unwrap().success().unwrap();
    dev.heal("a").unwrap();
    dev.wait_equal().unwrap();
    wait_for("all is settled", PATIENCE, || {
        for region in [&a, &b] {
            let topology = region.topology()?;
            ensure!(topology["rows_with_history"] == 0 && topology["outbox"] == 0, "{topology}");
        }
        Ok(())
    })
    .unwrap();
    let right = a.get("t", "met").unwrap().unwrap().image;
    assert_eq!(items(&a, "/v1/divergences"), Vec::<Value>::new());

    let partitions = b.topology().unwrap()["partitions"].as_u64().unwrap();
    dev.stop().unwrap();
    let key = RowKey { table: "t".parse().unwrap(), pk: "met".parse().unwrap() };
    spoil(&dev.data().join("b/store"), partitions, &key);
    dev.restart().unwrap();
    let [a, b] = [0, 1].map(|n| dev.regions()[n].clone());

    // Both say so, in every way there is.
    for (here, there) in [(&a, "b"), (&b, "a")] {
        let found = wait_for("it is noticed", PATIENCE, || {
            let found = items(here, "/v1/divergences");
            ensure!(found.len() == 1, "{found:?}");
            Ok(found[0].clone())
        });
        let found = found.unwrap();
        assert_eq!((&found["kind"], &found["tables"]), (&json!("state"), &json!(["t"])), "{found}");
        assert_eq!(found["there"]["region"], there, "{found}");
        let engine = found["there"]["engine"].as_str().unwrap();
        assert!(engine.starts_with("wasmtime "), "{found}");
        let alerts = items(here, "/v1/alerts");
        let alert = alerts.iter().find(|alert| alert["code"] == "divergence").unwrap();
        assert_eq!(alert["subject"], there, "{alert}");
        let listed = run(here, &["divergences", "list"]);
        assert!(listed.stdout.contains(found["id"].as_str().unwrap()), "{listed:?}");
    }
    assert_eq!(run(&a, &["digests", "--compare", &b.url]).code, 4);

    // What is asked for wrongly changes nothing.
    let from = post(&b, "/v1/repair", &json!({"table": "t", "from": "a"}));
    assert_eq!((from.0, &from.1["code"]), (422, &json!("repair-not-offered")), "{from:?}");
    assert!(from.1["detail"].as_str().unwrap().contains("Ask the same of a"), "{from:?}");
    for body in [json!({}), json!({"table": "t", "partition": 9999}), json!({"table": "-"})] {
        assert_eq!(post(&b, "/v1/repair", &body).0, 400, "{body}");
    }
    let cursor = post(&b, "/v1/repair", &json!({"table": "t", "cursor": "x"}));
    assert_eq!(cursor.1["code"], "invalid-cursor", "{cursor:?}");
    let unknown = format!("/v1/divergences/{}", "0".repeat(32));
    let unknown = b.request("DELETE", &unknown, &[], None).unwrap();
    assert_eq!(unknown.code(), "divergence-not-found");

    let planned = run(&b, &["repair", "t", "--plan"]);
    assert_eq!(planned.code, 0, "{planned:?}");
    assert!(planned.stdout.starts_with("1 rows looked at, 1 would change\n  met\n"), "{planned:?}");
    assert_ne!(b.get("t", "met").unwrap().unwrap().image, right);
    let repaired = run(&b, &["repair", "t", "--output", "json"]);
    assert_eq!(repaired.json()["changed"], json!(["met"]), "{repaired:?}");
    assert_eq!(b.get("t", "met").unwrap().unwrap().image, right);
    wait_for("they agree again", PATIENCE, || {
        for region in [&a, &b] {
            let found = items(region, "/v1/divergences");
            ensure!(found.is_empty(), "{found:?}");
        }
        Ok(())
    })
    .unwrap();
    dev.wait_equal().unwrap();
}

#[test]
fn a_region_that_has_it_right_writes_its_rows_again() {
    const ROWS: usize = 40;
    let mut dev = Dev::start(&["a", "b"]).unwrap();
    let a = dev.regions()[0].clone();
    // One writer alone: the log of conflicts has nothing that a row could be folded from.
    for n in 0..ROWS {
        let row = format!("{{\"n\":{n}}}");
        a.put("t", &format!("row-{n}"), &row, If::Always).unwrap().success().unwrap();
    }
    dev.wait_equal().unwrap();
    wait_for("all is settled", PATIENCE, || {
        for region in dev.regions() {
            let topology = region.topology()?;
            ensure!(topology["rows_with_history"] == 0 && topology["outbox"] == 0, "{topology}");
        }
        Ok(())
    })
    .unwrap();
    let partitions = a.topology().unwrap()["partitions"].as_u64().unwrap();
    let count = PartitionCount::new(u32::try_from(partitions).unwrap()).unwrap();
    let key =
        |n: usize| RowKey { table: "t".parse().unwrap(), pk: format!("row-{n}").parse().unwrap() };
    let wrong = [key(3), key(4)];
    let spoiled: Vec<u32> = wrong.iter().map(|key| partition_of(key, count)).collect();
    let mut expected: Vec<String> = (0..ROWS)
        .map(key)
        .filter(|key| spoiled.contains(&partition_of(key, count)))
        .map(|key| key.pk.to_string())
        .collect();
    expected.sort();
    assert!((2..ROWS).contains(&expected.len()), "not all partitions differ");

    dev.stop().unwrap();
    wrong.iter().for_each(|key| spoil(&dev.data().join("b/store"), partitions, key));
    dev.restart().unwrap();
    let [a, b] = [0, 1].map(|n| dev.regions()[n].clone());
    let kinds = |region: &Region, kind: &str| {
        items(region, "/v1/divergences").iter().filter(|found| found["kind"] == kind).count()
    };
    let differ = spoiled.iter().collect::<std::collections::BTreeSet<_>>().len();
    wait_for("both notice", PATIENCE, || {
        let found = [&a, &b].map(|region| kinds(region, "state"));
        ensure!(found == [differ; 2], "{found:?}");
        Ok(())
    })
    .unwrap();

    // It cannot be told where it is wrong, and the other one says what it would write.
    let cannot = run(&b, &["repair", "t"]);
    assert!(cannot.stdout.contains("0 changed"), "{cannot:?}");
    let planned = run(&a, &["repair", "t", "--from", "a", "--plan", "--output", "json"]);
    let mut changed: Vec<String> =
        serde_json::from_value(planned.json()["changed"].clone()).unwrap();
    changed.sort();
    assert_eq!(changed, expected);
    assert_eq!(b.get("t", "row-3").unwrap().unwrap().image, b"{\"n\":666}");

    let repaired = run(&a, &["repair", "t", "--from", "a"]);
    assert_eq!(repaired.code, 0, "{repaired:?}");
    let many = expected.len();
    assert!(repaired.stdout.starts_with(&format!("{many} rows looked at, {many} changed\n")));
    wait_for("they agree again", PATIENCE, || {
        let found = [&a, &b].map(|region| kinds(region, "state"));
        ensure!(found == [0; 2], "{found:?}");
        Ok(())
    })
    .unwrap();
    for n in [3, 4] {
        let row = b.get("t", &format!("row-{n}")).unwrap().unwrap();
        assert_eq!(row.image, format!("{{\"n\":{n}}}").into_bytes());
    }
    dev.wait_equal().unwrap();
    // Nothing is left to be written again.
    let again = run(&a, &["repair", "t", "--from", "a"]);
    assert!(again.stdout.starts_with("0 rows looked at"), "{again:?}");
}
