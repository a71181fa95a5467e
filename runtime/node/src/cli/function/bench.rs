//! `syncline function bench`.

use std::time::{Duration, Instant};

use serde_json::json;
use syncline_host::CALL_STACK_BYTES;
use syncline_verifier::{Case, Failure as CallFailure, Subject, Usage};

use super::args::BenchArgs;
use super::{engines, failed};
use crate::cli::failure::Failure;
use crate::cli::output::{self, Output, printable};
use crate::component::Component;

/// So many calls are made before the clock starts.
const WARMING_CALLS: u32 = 20;
/// The clock is looked at after so many calls.
const BATCH_CALLS: u32 = 10;

/// What was measured of one case.
struct Measured {
    name: String,
    calls: u64,
    /// Of a batch, a call: the median and the least, in microseconds.
    median_us: f64,
    least_us: f64,
    usage: Usage,
}

pub(super) fn run(args: &BenchArgs, out: &Output) -> Result<(), Failure> {
    let cases = args.cases.read(&args.source)?;
    let loaded = args.source.load()?;
    let component = engines::production(&loaded)?;
    let time = Duration::from_secs(args.seconds.into());
    // As in a region: a thread with room for the guest's stack, or each call would make one.
    let work = || cases.iter().map(|case| measure(&component, case, time)).collect();
    let measured: Result<Vec<Measured>, CallFailure> = std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().stack_size(2 * CALL_STACK_BYTES);
        let thread = thread.spawn_scoped(scope, work);
        let thread =
            thread.map_err(|error| CallFailure::NotCalled(format!("start a thread: {error}")))?;
        thread
            .join()
            .unwrap_or_else(|_| Err(CallFailure::NotCalled("the measuring thread panicked".into())))
    });
    let measured = measured.map_err(|failure| failed(&failure))?;
    let manifest = component.host.manifest(&loaded.version);
    let limits = manifest.map(|manifest| manifest.limits).unwrap_or_default();
    if out.is_json() {
        let cases = measured.iter().map(|case| {
            json!({
                "name": case.name,
                "calls": case.calls,
                "median_us": case.median_us,
                "least_us": case.least_us,
                "fuel": case.usage.fuel,
                "stack_bytes": case.usage.stack_bytes,
                "memory_bytes": case.usage.memory_bytes,
            })
        });
        return out.json(&json!({
            "cases": cases.collect::<Vec<_>>(),
            "limits": { "fuel": limits.fuel, "memory_bytes": limits.memory_bytes },
        }));
    }
    let of = |part: u64, whole: u64| format!("{:.1}%", part as f64 * 100.0 / whole.max(1) as f64);
    let rows: Vec<[String; 7]> = measured
        .iter()
        .map(|case| {
            [
                printable(&case.name),
                format!("{:.1}", case.median_us),
                format!("{:.1}", case.least_us),
                format!("{:.0}", 1e6 / case.median_us),
                case.usage.fuel.to_string(),
                of(case.usage.fuel, limits.fuel),
                of(case.usage.memory_bytes, limits.memory_bytes),
            ]
        })
        .collect();
    let headings = ["CASE", "US", "LEAST US", "A SECOND", "FUEL", "OF LIMIT", "MEMORY OF LIMIT"];
    out.text(&output::table(headings, &rows))
}

fn measure(component: &Component, case: &Case, time: Duration) -> Result<Measured, CallFailure> {
    let mut usage = Usage::default();
    for _ in 0..WARMING_CALLS {
        usage = component.call(&case.conflict)?.usage.unwrap_or_default();
    }
    let (start, mut batches) = (Instant::now(), Vec::new());
    while start.elapsed() < time {
        let batch = Instant::now();
        for _ in 0..BATCH_CALLS {
            component.call(&case.conflict)?;
        }
        batches.push(batch.elapsed().as_secs_f64() * 1e6 / f64::from(BATCH_CALLS));
    }
    batches.sort_by(f64::total_cmp);
    Ok(Measured {
        name: case.name.clone(),
        calls: batches.len() as u64 * u64::from(BATCH_CALLS),
        median_us: batches.get(batches.len() / 2).copied().unwrap_or_default(),
        least_us: batches.first().copied().unwrap_or_default(),
        usage,
    })
}
