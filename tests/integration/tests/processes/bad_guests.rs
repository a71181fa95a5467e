//! Functions that trap, loop, eat memory or answer rubbish: their conflicts fall back, in the same
//! way everywhere, and their neighbours don't notice.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use anyhow::Result;
use serde_json::{Value, json};
use syncline_harness::{Dev, If, PATIENCE, Region, example_function, wait_for};
use syncline_integration::{BadGuest, one_outcome_each};

const NEIGHBOUR: &str = "carts";
const CONFLICTS_A_TABLE: usize = 4;

#[test]
fn a_bad_function_hurts_only_its_own_table() {
    let mut dev = Dev::start(&["a", "b"]).unwrap();
    let [a, b] = dev.regions() else { panic!("two regions") };
    a.deploy(NEIGHBOUR, &example_function("cart").unwrap()).unwrap();
    for guest in BadGuest::ALL {
        a.deploy(&guest.table(), &guest.component()).unwrap();
    }
    a.cut("a", "b").unwrap();
    for region in [a, b] {
        for guest in BadGuest::ALL {
            for n in 0..CONFLICTS_A_TABLE {
                let image = json!({"by": region.name, "n": n}).to_string();
                let key = format!("k{n}");
                let put = region.put(&guest.table(), &key, &image, If::Always).unwrap();
                put.success().unwrap();
            }
        }
    }
    let done = AtomicBool::new(false);
    let written = thread::scope(|scope| {
        let neighbours =
            [a, b].map(|region| scope.spawn(|| write_neighbour(region, &done).unwrap()));
        a.heal("a", "b").unwrap();
        let fell_back = wait_for("all bad conflicts to be resolved", PATIENCE, || {
            for region in [a, b] {
                for guest in BadGuest::ALL {
                    check_fallbacks(region, guest)?;
                }
            }
            Ok(())
        });
        done.store(true, Ordering::Relaxed);
        let written = neighbours.map(|neighbour| neighbour.join().unwrap());
        fell_back.unwrap();
        written
    });
    dev.wait_equal().unwrap();
    for (region, written) in [a, b].into_iter().zip(written) {
        let held = region.get(NEIGHBOUR, "both").unwrap().unwrap();
        let held: Value = serde_json::from_slice(&held.image).unwrap();
        let items = held["items"].as_array().unwrap();
        let own = items.iter().find(|item| item["id"] == region.name.as_str()).unwrap();
        assert_eq!(own["qty"], written, "{held}");
    }
    for guest in BadGuest::ALL {
        let met = one_outcome_each(dev.regions(), &guest.table()).unwrap();
        assert_eq!(met, CONFLICTS_A_TABLE, "{guest:?}");
    }
    assert!(dev.stop().unwrap().success());
}

/// Adds to a cart that the other region adds to as well; each addition must be taken. At least one.
fn write_neighbour(region: &Region, done: &AtomicBool) -> Result<u64> {
    let mut written = 0;
    loop {
        let row = region.get(NEIGHBOUR, "both")?;
        let only_if = row.as_ref().map_or(If::Absent, |row| If::Match(&row.etag));
        let mut cart: Value = match &row {
            Some(row) => serde_json::from_slice(&row.image)?,
            None => json!({"items": []}),
        };
        let empty = Vec::new();
        let mut items = cart["items"].as_array().unwrap_or(&empty).clone();
        items.retain(|item| item["id"] != region.name.as_str());
        items.push(json!({"id": region.name, "qty": written + 1}));
        cart["items"] = items.into();
        let answer = region.put(NEIGHBOUR, "both", &cart.to_string(), only_if)?;
        if answer.status == 412 {
            continue; // the other region's addition came in between
        }
        answer.success()?;
        written += 1;
        if done.load(Ordering::Relaxed) {
            return Ok(written);
        }
    }
}

/// Each conflict of the table is resolved as its newest change, with the right reason.
fn check_fallbacks(region: &Region, guest: BadGuest) -> Result<()> {
    let conflicts = region.conflicts(&format!("table={}&outcome=fallback", guest.table()))?;
    anyhow::ensure!(
        conflicts.len() == CONFLICTS_A_TABLE,
        "{} has {} conflicts of {}",
        region.name,
        conflicts.len(),
        guest.table()
    );
    for conflict in conflicts {
        let conflict = region.conflict(conflict["conflict_id"].as_str().unwrap_or_default())?;
        assert_eq!(conflict["fault"]["code"], guest.fault_code(), "{conflict}");
        assert_eq!(conflict["resolution_strategy"], "merge-function");
        let newest = conflict["sides"].as_array().unwrap().last().unwrap();
        assert_eq!(conflict["result"], newest["image"], "{conflict}");
        let row = region.get(&guest.table(), conflict["row_pk"].as_str().unwrap())?.unwrap();
        let row: Value = serde_json::from_slice(&row.image)?;
        assert_eq!(row, newest["image"], "{conflict}");
    }
    Ok(())
}
