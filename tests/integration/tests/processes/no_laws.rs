//! A merge function that obeys no law: regions end equal all the same.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Result, ensure};
use syncline_harness::{Dev, If, Region, Rng, example_function};
use syncline_integration::one_outcome_each;

const REGIONS: [&str; 5] = ["r1", "r2", "r3", "r4", "r5"];
const TABLE: &str = "lawless";
const ROWS: usize = 12;
const WRITES_A_REGION: usize = 160;

#[test]
fn five_regions_end_equal_under_random_writes_cuts_and_heals() {
    let dev = Dev::start(&REGIONS).unwrap();
    dev.regions()[2].deploy(TABLE, &example_function("hash-sides").unwrap()).unwrap();
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let writers: Vec<_> = (1u64..)
            .zip(dev.regions())
            .map(|(seed, region)| scope.spawn(move || write(region, seed)))
            .collect();
        let cutter = scope.spawn(|| cut_and_heal(&dev.regions()[0], &done));
        let written: Vec<_> = writers.into_iter().map(|writer| writer.join().unwrap()).collect();
        done.store(true, Ordering::Relaxed);
        cutter.join().unwrap().unwrap();
        written.into_iter().for_each(|written| written.unwrap());
    });
    for (i, a) in REGIONS.iter().enumerate() {
        for b in &REGIONS[i + 1..] {
            dev.regions()[0].heal(a, b).unwrap();
        }
    }
    dev.wait_equal().unwrap();
    let met = one_outcome_each(dev.regions(), TABLE).unwrap();
    assert!(met > 0, "no conflict was met in two regions, so nothing was shown");
    let rows = dev.regions()[0].rows(TABLE).unwrap();
    for region in dev.regions() {
        assert_eq!(region.rows(TABLE).unwrap(), rows, "{}", region.name);
    }
}

/// Some writes upon what was read, some regardless of it, some deletions.
fn write(region: &Region, seed: u64) -> Result<()> {
    let mut rng = Rng::new(seed);
    for n in 0..WRITES_A_REGION {
        let row_pk = format!("k{}", rng.below(ROWS));
        let read = region.get(TABLE, &row_pk)?;
        let only_if = match &read {
            Some(row) if rng.one_in(2) => If::Match(&row.etag),
            _ => If::Always,
        };
        let answer = if read.is_some() && rng.one_in(8) {
            region.delete(TABLE, &row_pk, only_if)?
        } else {
            let image = format!(r#"{{"by":"{}","n":{n}}}"#, region.name);
            region.put(TABLE, &row_pk, &image, only_if)?
        };
        // A row that has changed or gone in the meantime is a part of the game.
        let expected = answer.is_success() || matches!(answer.status, 404 | 412);
        ensure!(expected, "{} answered {answer}", region.name);
    }
    Ok(())
}

fn cut_and_heal(region: &Region, done: &AtomicBool) -> Result<()> {
    let mut rng = Rng::new(99);
    while !done.load(Ordering::Relaxed) {
        let a = rng.below(REGIONS.len());
        let b = (a + 1 + rng.below(REGIONS.len() - 1)) % REGIONS.len();
        if rng.one_in(2) {
            region.cut(REGIONS[a], REGIONS[b])?;
        } else {
            region.heal(REGIONS[a], REGIONS[b])?;
        }
        // Long enough for some changes to pass, or to pile up.
        thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}
