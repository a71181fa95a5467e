//! kill -9 and restarts: what was acknowledged is there.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Value, json};
use syncline_harness::{Dev, If, PATIENCE, Region, example_function, wait_for};
use syncline_integration::one_outcome_each;

const ONCE: &str = "once";
const COUNTERS: &str = "counters";
const ROUNDS: usize = 4;
const WRITES_BEFORE_THE_KILL: usize = 120;

/// What one region's clients were told.
#[derive(Default)]
struct Told {
    /// Keys that were acknowledged, each written once.
    once: Vec<String>,
    /// The last value of the region's counter that was acknowledged.
    counter: u64,
    /// The last value that was sent.
    counter_sent: u64,
}

#[test]
fn every_acknowledged_write_survives_a_kill() {
    let mut dev = Dev::start(&["a", "b", "c"]).unwrap();
    let mut told: BTreeMap<String, Told> = BTreeMap::new();
    for round in 0..ROUNDS {
        let acknowledged = AtomicUsize::new(0);
        thread::scope(|scope| {
            let mut clients = Vec::new();
            for region in dev.regions().iter().cloned() {
                let mut of_region = told.remove(&region.name).unwrap_or_default();
                let acknowledged = &acknowledged;
                clients.push(scope.spawn(move || {
                    let refused = until_killed(&region, round, &mut of_region, acknowledged);
                    (region.name, of_region, refused)
                }));
            }
            let enough = wait_for("enough writes", PATIENCE, || {
                let written = acknowledged.load(Ordering::Relaxed);
                ensure!(written >= WRITES_BEFORE_THE_KILL, "{written} are acknowledged");
                Ok(())
            });
            // Killed in any case, or the clients would never end.
            dev.kill9().unwrap();
            for client in clients {
                let (name, of_region, refused) = client.join().unwrap();
                assert!(refused.is_none(), "{name} refused a write: {refused:?}");
                told.insert(name, of_region);
            }
            enough.unwrap();
        });
        dev.restart().unwrap();
        for region in dev.regions() {
            check(region, told.get_mut(&region.name).unwrap()).unwrap();
        }
    }
    let digests = dev.wait_equal().unwrap();
    let written: usize = told.values().map(|told| told.once.len()).sum();
    // Unacknowledged writes may be there as well: one for each client and round at most.
    let rows = digests[0].tables[ONCE].rows as usize;
    assert!(
        (written..=written + 3 * ROUNDS).contains(&rows),
        "{rows} rows, {written} acknowledged"
    );
    assert!(dev.stop().unwrap().success());
}

/// Writes until no answer comes any more; gives a refusal if there is one.
fn until_killed(
    region: &Region,
    round: usize,
    told: &mut Told,
    acknowledged: &AtomicUsize,
) -> Option<String> {
    for n in 0.. {
        let key = format!("{}-{round}-{n}", region.name);
        let written = region.put(ONCE, &key, &json!({ "key": key }).to_string(), If::Absent);
        match written {
            Ok(answer) if answer.is_success() => told.once.push(key),
            Ok(answer) => return Some(answer.to_string()),
            Err(_) => return None,
        }
        match count_up(region, told) {
            Some(Ok(())) => {}
            Some(Err(refusal)) => return Some(refusal.to_string()),
            None => return None,
        }
        acknowledged.fetch_add(2, Ordering::Relaxed);
    }
    None
}

/// Adds one to the region's own counter, as only this client does. None: no answer came.
fn count_up(region: &Region, told: &mut Told) -> Option<Result<()>> {
    let row = region.get(COUNTERS, &region.name).ok()?;
    let value = row.as_ref().map_or(0, |row| counter(&row.image));
    let only_if = row.as_ref().map_or(If::Absent, |row| If::Match(&row.etag));
    told.counter_sent = value + 1;
    let image = json!({ "value": value + 1 }).to_string();
    let answer = region.put(COUNTERS, &region.name, &image, only_if).ok()?;
    Some(answer.success().map(|_| told.counter = value + 1))
}

fn counter(image: &[u8]) -> u64 {
    serde_json::from_slice::<Value>(image).unwrap_or_default()["value"].as_u64().unwrap_or_default()
}

/// Each acknowledged write is there, right after the start, in the region that acknowledged it.
fn check(region: &Region, told: &mut Told) -> Result<()> {
    for key in &told.once {
        let row = region.get(ONCE, key)?.with_context(|| format!("{key} is lost"))?;
        ensure!(row.image == json!({ "key": key }).to_string().as_bytes(), "{key} is another row");
    }
    let row = region.get(COUNTERS, &region.name)?.context("the counter is lost")?;
    let value = counter(&row.image);
    if value < told.counter || value > told.counter_sent {
        let Told { counter, counter_sent, .. } = told;
        bail!("{}: {value}, acknowledged {counter}, sent {counter_sent}", region.name);
    }
    told.counter = value;
    Ok(())
}

#[test]
fn a_restart_in_the_middle_of_a_cut_keeps_everything() {
    let mut dev = Dev::start(&["a", "b", "c"]).unwrap();
    dev.regions()[0].deploy("carts", &example_function("cart").unwrap()).unwrap();
    let cart = |fig: u64| json!({"items": [{"id": "fig", "qty": fig}]}).to_string();
    for n in 0..10 {
        let key = format!("c{n}");
        dev.regions()[0].put("carts", &key, &cart(1), If::Absent).unwrap().success().unwrap();
    }
    dev.wait_equal().unwrap();
    dev.cut_off("c").unwrap();
    for region in dev.regions() {
        for n in 0..10 {
            let key = format!("c{n}");
            let added = wait_for("a write upon what was read", PATIENCE, || {
                let row = region.get("carts", &key)?.context("it was written")?;
                let image: Value = serde_json::from_slice(&row.image)?;
                let fig = image["items"][0]["qty"].as_u64().context("a cart")?;
                region.put("carts", &key, &cart(fig + 10), If::Match(&row.etag))?.success()
            });
            added.unwrap();
        }
    }
    let rows = |dev: &Dev, region: usize| dev.regions()[region].rows("carts").unwrap();
    // The region on its own; the other two may still exchange what they wrote.
    let alone = rows(&dev, 2);
    assert!(dev.stop().unwrap().success());
    dev.restart().unwrap();
    assert_eq!(rows(&dev, 2), alone);
    dev.kill9().unwrap();
    dev.restart().unwrap();
    assert_eq!(rows(&dev, 2), alone, "the cut outlives a restart, so nothing came in");
    let links = dev.regions()[2].topology().unwrap()["regions"].clone();
    let cut = links.as_array().unwrap().iter().filter(|link| link["link"] == "cut").count();
    assert_eq!(cut, 2, "{links}");

    dev.heal("c").unwrap();
    dev.wait_equal().unwrap();
    for region in dev.regions() {
        for (key, image) in region.rows("carts").unwrap() {
            assert_eq!(image.to_string(), cart(31), "{key} in {}", region.name);
        }
    }
    assert!(one_outcome_each(dev.regions(), "carts").unwrap() >= 10);
}
