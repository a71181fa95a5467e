//! The hostile corpus, uploaded to three regions in one process: each guest is refused or has its
//! one outcome, the same in every region, and nobody else notices.
//!
//! Left out are guests that are larger than an upload may be: a region answers them while they are
//! still on their way, which `bad_input` looks at.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use syncline_harness::{Answer, Dev, If, Region, example_function, wait_for};
use syncline_hostile::{BOOM, Expected, Hostile, MET_BY_REGION, Rows, corpus};
use syncline_integration::{peak_bytes, with_children_bytes};

const REGIONS: [&str; 3] = ["a", "b", "c"];
const NEIGHBOUR: &str = "carts";
/// A row on which most guests do no harm.
const CALM: &str = "calm";
/// Whoever uploads waits no longer.
const UPLOAD_TIME_MAX: Duration = Duration::from_secs(20);
/// For all rollouts together, and for all conflicts together.
const ALL_TIME_MAX: Duration = Duration::from_secs(300);
/// Leaves the processors to what is tested, between two looks or writes.
const PAUSE: Duration = Duration::from_millis(20);
/// What the process and its children may take at a time.
const MEMORY_BYTES_MAX: u64 = 3 << 29;
/// An upload may be no larger.
const COMPONENT_BYTES_MAX: usize = 16 << 20;

/// What is wrong with one guest.
struct Wrong<'a> {
    guest: &'a Hostile,
    came: String,
}

#[test]
fn no_hostile_guest_hurts_a_region_or_its_neighbours() {
    let mut dev = Dev::start(&REGIONS).unwrap();
    dev.regions()[0].deploy(NEIGHBOUR, &example_function("cart").unwrap()).unwrap();
    let process_id = dev.process_id().unwrap();
    let guests: Vec<Hostile> =
        corpus().into_iter().filter(|guest| MET_BY_REGION.contains(&guest.needs)).collect();
    let done = AtomicBool::new(false);
    let most = AtomicU64::new(0);
    let (uploaded, written) = thread::scope(|scope| {
        let neighbour = scope.spawn(|| write_neighbour(&dev.regions()[1], &done));
        scope.spawn(|| watch_memory(process_id, &done, &most));
        let uploaded = upload_and_conflict(&dev, &guests);
        done.store(true, Ordering::Relaxed);
        (uploaded, neighbour.join().unwrap())
    });
    let (written, (admitted, mut wrong)) = (written.unwrap(), uploaded.unwrap());
    dev.wait_equal().unwrap();
    for region in dev.regions() {
        wrong.extend(outcomes(region, &admitted).unwrap());
    }
    let mut table = String::new();
    for Wrong { guest, came } in &wrong {
        let expected = shortened(&format!("{:?}", guest.expected));
        writeln!(table, "{:40} | expected {expected} | {}", guest.name, shortened(came)).unwrap();
    }
    assert!(wrong.is_empty(), "{} of {} are wrong:\n{table}", wrong.len(), guests.len());
    let held = dev.regions()[2].get(NEIGHBOUR, "one").unwrap().unwrap();
    let held: Value = serde_json::from_slice(&held.image).unwrap();
    assert_eq!(held["items"][0]["qty"], written, "{held}");
    let (own, all) = (peak_bytes(process_id).unwrap(), most.load(Ordering::Relaxed));
    assert!(own.max(all) < MEMORY_BYTES_MAX, "{} MiB, {} with children", own >> 20, all >> 20);
    assert!(dev.stop().unwrap().success());
}

fn shortened(text: &str) -> String {
    text.chars().take(160).collect()
}

/// Writes again and again into a table with a good function, and reads what it wrote. Each write
/// and each read must be answered. Gives how many there were.
fn write_neighbour(region: &Region, done: &AtomicBool) -> Result<u64> {
    let mut written = 0;
    while !done.load(Ordering::Relaxed) || written == 0 {
        let cart = json!({"items": [{"id": "a", "qty": written + 1}]});
        region.put(NEIGHBOUR, "one", &cart.to_string(), If::Always)?.success()?;
        let row = region.get(NEIGHBOUR, "one")?.context("the row that was just written")?;
        ensure!(serde_json::from_slice::<Value>(&row.image)? == cart, "another row than written");
        written += 1;
        thread::sleep(PAUSE);
    }
    Ok(written)
}

/// Keeps the most that the process and its children were seen to have at a time.
fn watch_memory(process_id: u32, done: &AtomicBool, most: &AtomicU64) {
    while !done.load(Ordering::Relaxed) {
        most.fetch_max(with_children_bytes(process_id).unwrap_or_default(), Ordering::Relaxed);
        thread::sleep(PAUSE);
    }
}

/// Gives the guests that are in use, and what is wrong with the others.
fn upload_and_conflict<'a>(
    dev: &Dev,
    guests: &'a [Hostile],
) -> Result<(Vec<&'a Hostile>, Vec<Wrong<'a>>)> {
    let (mut wrong, mut admitted) = (Vec::new(), Vec::new());
    let first = &dev.regions()[0];
    let uploader = Region::with_timeout(&first.name, &first.url, UPLOAD_TIME_MAX);
    for guest in guests {
        let component = guest.component();
        if component.len() > COMPONENT_BYTES_MAX {
            continue;
        }
        let came = match uploader.upload(&guest.name, &component) {
            Ok(answer) => answered(guest, &answer),
            Err(error) => Some(format!("no answer: {error:#}")),
        };
        match came {
            Some(came) => wrong.push(Wrong { guest, came }),
            None if matches!(guest.expected, Expected::Refused(_)) => {}
            None => admitted.push(guest),
        }
    }
    wait_complete(first, admitted.len() + 1)?;
    make_conflicts(dev, &admitted)?;
    for region in dev.regions() {
        wait_met(region, 2 * admitted.len())?;
    }
    Ok((admitted, wrong))
}

/// What is wrong with the answer to an upload.
fn answered(guest: &Hostile, answer: &Answer) -> Option<String> {
    let right = match guest.expected {
        Expected::Refused(code) => {
            answer.status == 422
                && answer.code() == "component-refused"
                && answer.json()["reason"] == code
        }
        Expected::Fault(_) | Expected::Merged(_) => answer.status == 201,
    };
    (!right).then(|| answer.to_string())
}

fn wait_complete(region: &Region, count: usize) -> Result<()> {
    wait_for("all rollouts to be complete", ALL_TIME_MAX, || {
        let rollouts = region.request("GET", "/v1/rollouts", &[], None)?.success()?.json();
        let rollouts = rollouts["items"].as_array().context("a list of rollouts")?;
        let complete = rollouts.iter().filter(|rollout| rollout["state"] == "complete").count();
        ensure!(complete == count, "{complete} of {count} are");
        Ok(())
    })
}

/// Writes two rows of each table in all regions, none of which sees the others.
fn make_conflicts(dev: &Dev, guests: &[&Hostile]) -> Result<()> {
    for region in REGIONS {
        dev.cut_off(region)?;
    }
    for region in dev.regions() {
        for guest in guests {
            for row_pk in [BOOM, CALM] {
                let image = json!({"by": region.name, "row": row_pk}).to_string();
                region.put(&guest.name, row_pk, &image, If::Always)?.success()?;
            }
        }
    }
    REGIONS.iter().try_for_each(|region| dev.heal(region))
}

/// Waits until a region has met so many conflicts of changes from all regions, and none waits.
fn wait_met(region: &Region, count: usize) -> Result<()> {
    wait_for("all conflicts to be met", ALL_TIME_MAX, || {
        let mut met = 0;
        for conflict in region.conflicts("")? {
            ensure!(conflict["outcome"] != "waiting", "{conflict} waits");
            let of_all = conflict["heads"].as_array().is_some_and(|heads| heads.len() == 3);
            met += usize::from(of_all && conflict["table_name"] != NEIGHBOUR);
        }
        ensure!(met == count, "{} has met {met} of {count}", region.name);
        Ok(())
    })
}

/// What is wrong with how conflicts ended in a region.
fn outcomes<'a>(region: &Region, guests: &[&'a Hostile]) -> Result<Vec<Wrong<'a>>> {
    let mut conflicts: BTreeMap<(String, String), Vec<Value>> = BTreeMap::new();
    for conflict in region.conflicts("")? {
        let text = |field: &str| conflict[field].as_str().unwrap_or_default().to_owned();
        conflicts.entry((text("table_name"), text("row_pk"))).or_default().push(conflict);
    }
    let mut wrong = Vec::new();
    for guest in guests {
        for row_pk in [BOOM, CALM] {
            let of_row = conflicts.remove(&(guest.name.clone(), row_pk.into())).unwrap_or_default();
            if let Err(came) = outcome(region, guest, row_pk, &of_row) {
                wrong.push(Wrong { guest, came: format!("{} {row_pk}: {came:#}", region.name) });
            }
        }
    }
    Ok(wrong)
}

fn outcome(region: &Region, guest: &Hostile, row_pk: &str, conflicts: &[Value]) -> Result<()> {
    ensure!(!conflicts.is_empty(), "no conflict");
    let as_expected = row_pk == BOOM || guest.rows == Rows::Every;
    for conflict in conflicts {
        let id = conflict["conflict_id"].as_str().context("an id")?;
        match &guest.expected {
            Expected::Fault(code) if as_expected => {
                ensure!(conflict["outcome"] == "fallback", "{conflict}");
                let conflict = region.conflict(id)?;
                ensure!(conflict["fault"]["code"] == *code, "{conflict}");
            }
            _ => ensure!(conflict["outcome"] == "merged", "{}", region.conflict(id)?),
        }
    }
    // Region c wrote last, so its clock is ahead of the others'.
    let newest = json!({"by": REGIONS[2], "row": row_pk}).to_string();
    let expected = match &guest.expected {
        Expected::Merged(json) if as_expected => json,
        _ => &newest,
    };
    let row = region.get(&guest.name, row_pk)?.context("no row")?;
    ensure!(row.image == expected.as_bytes(), "row {}", String::from_utf8_lossy(&row.image));
    Ok(())
}
