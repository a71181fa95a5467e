//! A rollout as it is shown.

use serde_json::{Map, Value, json};
use syncline_core::{
    CallCounters, FAULT_KINDS, GateVerdict, RegionProgress, RolloutCounters, RolloutPlace,
    RolloutStage,
};

use crate::api::text_or_null;
use crate::region::{RolloutView, Sample};
use crate::text::{duration, rfc3339};

pub(in crate::api) fn shown(view: &RolloutView) -> Value {
    let rollout = &view.rollout;
    let regions: Map<String, Value> =
        rollout.regions.iter().map(|(name, at)| (name.to_string(), region(at))).collect();
    let stage = match rollout.place {
        RolloutPlace::Distributing | RolloutPlace::Shadow => None,
        RolloutPlace::Stage(stage) => Some(stage),
        RolloutPlace::Complete => Some(rollout.plan.last_stage()),
    };
    let history = rollout.history.iter().map(|line| {
        json!({
            "hlc": line.id.hlc.to_string(),
            "at": rfc3339(line.id.hlc.millis()),
            "region": line.id.region.as_str(),
            "actor": text_or_null(line.actor.as_str()),
            "what": line.what.to_string(),
            "why": text_or_null(line.why.as_str()),
        })
    });
    let created = &rollout.id.0;
    json!({
        "rollout_id": rollout.id.to_string(),
        "table": rollout.table.as_str(),
        "version": rollout.version.to_string(),
        "previous_version": rollout.previous_version.to_string(),
        "name": view.manifest.as_ref().and_then(|manifest| manifest.name.clone()),
        "state": rollout.state.as_str(),
        "place": rollout.place.to_string(),
        "stage": stage,
        "stages": rollout.plan.stages.iter().map(names).collect::<Vec<_>>(),
        "bake": duration(rollout.plan.bake_ms),
        "shadow": duration(rollout.plan.shadow_ms),
        "promotion": if rollout.plan.manual { "manual" } else { "automatic" },
        "owner_region": rollout.owner.as_str(),
        "regions": regions,
        "gates": view.gates.iter().map(gate).collect::<Vec<_>>(),
        "seen": seen(&view.seen),
        "reason": rollout.reason.as_ref().and_then(|reason| text_or_null(reason.as_str())),
        "created_at": rfc3339(created.hlc.millis()),
        "history": history.collect::<Vec<_>>(),
    })
}

/// With what only one region knows: conflicts in which the version did not answer or differed.
pub(in crate::api) fn shown_alone(view: &RolloutView, samples: &[std::sync::Arc<Sample>]) -> Value {
    let mut shown = shown(view);
    let samples = samples.iter().map(|sample| {
        json!({
            "conflict_id": sample.conflict.to_string(),
            "fault": sample.fault,
            "difference": sample.difference,
        })
    });
    shown["samples"] = samples.collect();
    shown
}

fn region(at: &RegionProgress) -> Value {
    let state = match at {
        _ if at.is_active() => "active",
        _ if at.is_ready() => "ready",
        RegionProgress { unready: Some(_), .. } => "unusable",
        _ => "fetching",
    };
    json!({
        "state": state,
        "self_test_digest": at.self_test.map(|test| test.hex()),
        "profile": at.self_test.map(|test| test.profile),
        "active": at.active.is_some(),
        "active_since": at.active.as_ref().map(|since| since.hlc.to_string()),
        "reason": at.unready.as_ref().map(|reason| reason.as_str()),
    })
}

pub(in crate::api) fn names(stage: &RolloutStage) -> Vec<&str> {
    let names = stage.regions.iter().map(|region| region.as_str());
    names.chain(stage.rest.then_some("*")).collect()
}

fn gate((gate, reading, verdict): &crate::region::GateView) -> Value {
    json!({
        "gate": reading.gate.as_str(),
        "value": share(reading.value_ppm),
        "limit": share(gate.limit_ppm),
        "conflicts": reading.conflicts,
        "min_conflicts": gate.min_conflicts,
        "verdict": match verdict {
            GateVerdict::Waits => "waits",
            GateVerdict::Passes => "passes",
            GateVerdict::Fails => "fails",
        },
    })
}

fn share(ppm: u32) -> f64 {
    f64::from(ppm) / 1e6
}

fn seen(counters: &RolloutCounters) -> Value {
    let RolloutCounters { live, shadow, different, dropped } = counters;
    let mut shadow = calls(shadow);
    shadow["different"] = json!(different);
    shadow["dropped"] = json!(dropped);
    json!({"live": calls(live), "shadow": shadow})
}

fn calls(calls: &CallCounters) -> Value {
    let faults: Map<String, Value> = FAULT_KINDS
        .iter()
        .zip(calls.faults)
        .filter(|(_, count)| *count > 0)
        .map(|(kind, count)| ((*kind).to_owned(), json!(count)))
        .collect();
    let any = calls.conflicts > 0;
    json!({
        "conflicts": calls.conflicts,
        "faults": faults,
        "fuel_p99": any.then(|| share(calls.fuel_p99_ppm())),
        "latency_p99_us": any.then(|| calls.latency_p99_us()),
    })
}
