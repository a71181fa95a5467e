//! What control records say of rollouts, written, read and checked.

use serde::Deserialize;
use serde_json::value::RawValue;
use syncline_core::{
    CallCounters, CreateRollout, FAULT_KINDS, FUEL_BUCKETS, Gate, GateKind, GateReading,
    LATENCY_BUCKETS, PreviousRollout, REGIONS_MAX, RegionId, RolloutCommand, RolloutCounters,
    RolloutDecision, RolloutEnd, RolloutGates, RolloutId, RolloutPlace, RolloutPlan, RolloutRecord,
    RolloutStage, RolloutText, STAGES_MAX, SelfTest,
};

use super::encode::{Object, push_display, push_string};
use super::entries::{AtMost, Text};
use super::fields::{self, Reason};

/// The rest of the regions, in a stage.
const REST: &str = "*";

pub(super) fn encode(record: &RolloutRecord) -> Vec<u8> {
    let mut json = Object::open(256);
    match record {
        RolloutRecord::Create(create) => encode_create(&mut json, create),
        RolloutRecord::Ready { rollout, self_test } => {
            json.text("type", "rollout_ready");
            json.id("rollout", &rollout.0);
            json.text("self_test", &self_test.hex());
            json.number("profile", self_test.profile.into());
        }
        RolloutRecord::Unready { rollout, reason } => {
            json.text("type", "rollout_unready");
            json.id("rollout", &rollout.0);
            json.text("reason", reason.as_str());
        }
        RolloutRecord::Command { rollout, command, actor, why } => {
            json.text("type", "rollout_command");
            json.id("rollout", &rollout.0);
            encode_command(&mut json, command);
            json.text("actor", actor.as_str());
            json.text("why", why.as_str());
        }
        RolloutRecord::Decision { rollout, decision, gates, why } => {
            json.text("type", "rollout_decision");
            json.id("rollout", &rollout.0);
            match decision {
                RolloutDecision::Move { from, to } => {
                    json.text("decision", "move");
                    json.display("from", from);
                    json.display("to", to);
                }
                RolloutDecision::Abort => json.text("decision", "abort"),
            }
            json.list("gates", gates, |json, reading| {
                let mut gate = Object::open(80);
                gate.text("gate", reading.gate.as_str());
                gate.number("value_ppm", reading.value_ppm.into());
                gate.number("conflicts", reading.conflicts);
                json.extend(gate.close());
            });
            json.text("why", why.as_str());
        }
        RolloutRecord::Active { rollout } => {
            json.text("type", "rollout_active");
            json.id("rollout", &rollout.0);
        }
        RolloutRecord::Inactive { rollout } => {
            json.text("type", "rollout_inactive");
            json.id("rollout", &rollout.0);
        }
        RolloutRecord::Report { rollout, counters } => {
            json.text("type", "rollout_report");
            json.id("rollout", &rollout.0);
            json.raw("live", &calls_json(&counters.live));
            json.raw("shadow", &calls_json(&counters.shadow));
            json.number("different", counters.different);
            json.number("dropped", counters.dropped);
        }
    }
    json.close()
}

fn encode_create(json: &mut Object, create: &CreateRollout) {
    let CreateRollout { table, version, previous, plan, actor, why } = create;
    json.text("type", "rollout_create");
    json.text("table_name", table.as_str());
    json.display("version", version);
    json.id_or_null("previous", previous.as_ref().map(|previous| &previous.rollout.0));
    if let Some(previous) = previous {
        let ended = match previous.ended {
            RolloutEnd::Complete => "complete",
            RolloutEnd::Aborted => "aborted",
        };
        json.text("previous_ended", ended);
    }
    json.list("stages", &plan.stages, |json, stage| {
        let regions = stage.regions.iter().map(RegionId::as_str);
        json.push(b'[');
        for (at, name) in regions.chain(stage.rest.then_some(REST)).enumerate() {
            if at > 0 {
                json.push(b',');
            }
            push_string(json, name);
        }
        json.push(b']');
    });
    json.number("bake_ms", plan.bake_ms);
    json.number("shadow_ms", plan.shadow_ms);
    json.text("promotion", if plan.manual { "manual" } else { "automatic" });
    let mut gates = Object::open(128);
    for kind in GateKind::ALL {
        if let Some(gate) = plan.gates.get(kind) {
            let mut set = Object::open(64);
            set.number("limit_ppm", gate.limit_ppm.into());
            set.number("min_conflicts", gate.min_conflicts);
            gates.raw(kind.as_str(), &set.close());
        }
    }
    json.raw("gates", &gates.close());
    json.text("actor", actor.as_str());
    json.text("why", why.as_str());
}

fn encode_command(json: &mut Object, command: &RolloutCommand) {
    match command {
        RolloutCommand::Promote { from, to } => {
            json.text("command", "promote");
            json.display("from", from);
            json.display("to", to);
        }
        RolloutCommand::Pause => json.text("command", "pause"),
        RolloutCommand::Resume { pause } => {
            json.text("command", "resume");
            json.id("pause", pause);
        }
        RolloutCommand::Abort => json.text("command", "abort"),
        RolloutCommand::Claim { from } => {
            json.text("command", "claim");
            json.text("owner", from.as_str());
        }
    }
}

fn calls_json(calls: &CallCounters) -> Vec<u8> {
    let number = |json: &mut Vec<u8>, number: &u64| push_display(json, number);
    let mut json = Object::open(256);
    json.number("conflicts", calls.conflicts);
    json.list("faults", &calls.faults, number);
    json.list("fuel", &calls.fuel, number);
    json.list("latency", &calls.latency, number);
    json.close()
}

#[derive(Deserialize)]
struct CreateJson<'a> {
    #[serde(borrow)]
    table_name: Text<'a>,
    #[serde(borrow)]
    version: Text<'a>,
    #[serde(borrow)]
    previous: &'a RawValue,
    #[serde(borrow)]
    previous_ended: Option<Text<'a>>,
    #[serde(borrow)]
    stages: AtMost<AtMost<Text<'a>, { REGIONS_MAX + 1 }>, STAGES_MAX>,
    bake_ms: u64,
    shadow_ms: u64,
    #[serde(borrow)]
    promotion: Text<'a>,
    #[serde(borrow)]
    gates: &'a RawValue,
    #[serde(borrow)]
    actor: Text<'a>,
    #[serde(borrow)]
    why: Text<'a>,
}

/// A gate that this software does not know must not be taken for none.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct GatesJson {
    fault_rate: Option<GateJson>,
    shadow_difference_rate: Option<GateJson>,
    fuel_p99: Option<GateJson>,
}

#[derive(Deserialize)]
struct GateJson {
    limit_ppm: u32,
    min_conflicts: u64,
}

pub(super) fn create(json: &str) -> Result<RolloutRecord, Reason> {
    let json: CreateJson<'_> = fields::object(json)?;
    let previous = fields::record_id_or_null("previous", json.previous)?.map(RolloutId);
    let previous = match (previous, json.previous_ended.as_ref().map(|ended| &*ended.0)) {
        (None, None) => None,
        (Some(rollout), Some("complete")) => {
            Some(PreviousRollout { rollout, ended: RolloutEnd::Complete })
        }
        (Some(rollout), Some("aborted")) => {
            Some(PreviousRollout { rollout, ended: RolloutEnd::Aborted })
        }
        _ => return Err("previous_ended: it does not fit previous".to_owned()),
    };
    let manual = match &*json.promotion.0 {
        "manual" => true,
        "automatic" => false,
        other => return Err(unknown("promotion", other)),
    };
    let GatesJson { fault_rate, shadow_difference_rate, fuel_p99 } =
        fields::object(json.gates.get()).map_err(|reason| format!("gates: {reason}"))?;
    let gate = |gate: Option<GateJson>| {
        gate.map(|GateJson { limit_ppm, min_conflicts }| Gate { limit_ppm, min_conflicts })
    };
    let stages = json.stages.0.into_iter().map(stage).collect::<Result<_, Reason>>()?;
    Ok(RolloutRecord::Create(Box::new(CreateRollout {
        table: json.table_name.0.parse().map_err(|error| format!("table_name: {error}"))?,
        version: fields::stamp(&json.version.0)?,
        previous,
        plan: RolloutPlan {
            stages,
            bake_ms: json.bake_ms,
            shadow_ms: json.shadow_ms,
            manual,
            gates: RolloutGates {
                fault_rate: gate(fault_rate),
                shadow_difference_rate: gate(shadow_difference_rate),
                fuel_p99: gate(fuel_p99),
            },
        },
        actor: text("actor", &json.actor)?,
        why: text("why", &json.why)?,
    })))
}

fn stage(names: AtMost<Text<'_>, { REGIONS_MAX + 1 }>) -> Result<RolloutStage, Reason> {
    let mut stage = RolloutStage::default();
    for name in names.0 {
        let is_new = if name.0 == REST {
            !std::mem::replace(&mut stage.rest, true)
        } else {
            stage.regions.insert(name.0.parse().map_err(|error| format!("stages: {error}"))?)
        };
        if !is_new {
            return Err(format!("stages: {} stands twice in one stage", name.0));
        }
    }
    Ok(stage)
}

#[derive(Deserialize)]
struct ReadyJson<'a> {
    #[serde(borrow)]
    self_test: Text<'a>,
    profile: u32,
}

pub(super) fn ready(json: &str) -> Result<RolloutRecord, Reason> {
    let ReadyJson { self_test, profile } = fields::object(json)?;
    let digest = SelfTest::digest_of(&self_test.0)
        .ok_or_else(|| "self_test: it is not 64 hexadecimal digits".to_owned())?;
    let self_test = SelfTest { digest, profile };
    Ok(RolloutRecord::Ready { rollout: about(json)?, self_test })
}

#[derive(Deserialize)]
struct UnreadyJson<'a> {
    #[serde(borrow)]
    reason: Text<'a>,
}

pub(super) fn unready(json: &str) -> Result<RolloutRecord, Reason> {
    let UnreadyJson { reason } = fields::object(json)?;
    Ok(RolloutRecord::Unready { rollout: about(json)?, reason: text("reason", &reason)? })
}

#[derive(Deserialize)]
struct CommandJson<'a> {
    #[serde(borrow)]
    command: Text<'a>,
    #[serde(borrow)]
    from: Option<Text<'a>>,
    #[serde(borrow)]
    to: Option<Text<'a>>,
    #[serde(borrow)]
    pause: Option<&'a RawValue>,
    #[serde(borrow)]
    owner: Option<Text<'a>>,
    #[serde(borrow)]
    actor: Text<'a>,
    #[serde(borrow)]
    why: Text<'a>,
}

pub(super) fn command(json: &str) -> Result<RolloutRecord, Reason> {
    let rollout = about(json)?;
    let json: CommandJson<'_> = fields::object(json)?;
    let command = match (&*json.command.0, &json.from, &json.to, json.pause, &json.owner) {
        ("promote", Some(from), Some(to), None, None) => {
            RolloutCommand::Promote { from: place("from", from)?, to: place("to", to)? }
        }
        ("pause", None, None, None, None) => RolloutCommand::Pause,
        ("resume", None, None, Some(pause), None) => {
            RolloutCommand::Resume { pause: fields::record_id("pause", pause.get())? }
        }
        ("abort", None, None, None, None) => RolloutCommand::Abort,
        ("claim", None, None, None, Some(owner)) => RolloutCommand::Claim {
            from: owner.0.parse().map_err(|error| format!("owner: {error}"))?,
        },
        ("promote" | "pause" | "resume" | "abort" | "claim", ..) => {
            return Err("command: its fields are those of another one".to_owned());
        }
        (other, ..) => return Err(unknown("command", other)),
    };
    let (actor, why) = (text("actor", &json.actor)?, text("why", &json.why)?);
    Ok(RolloutRecord::Command { rollout, command, actor, why })
}

#[derive(Deserialize)]
struct DecisionJson<'a> {
    #[serde(borrow)]
    decision: Text<'a>,
    #[serde(borrow)]
    from: Option<Text<'a>>,
    #[serde(borrow)]
    to: Option<Text<'a>>,
    #[serde(borrow)]
    gates: AtMost<ReadingJson<'a>, { GateReading::COUNT_MAX }>,
    #[serde(borrow)]
    why: Text<'a>,
}

#[derive(Deserialize)]
struct ReadingJson<'a> {
    #[serde(borrow)]
    gate: Text<'a>,
    value_ppm: u32,
    conflicts: u64,
}

pub(super) fn decision(json: &str) -> Result<RolloutRecord, Reason> {
    let rollout = about(json)?;
    let json: DecisionJson<'_> = fields::object(json)?;
    let decision = match (&*json.decision.0, &json.from, &json.to) {
        ("move", Some(from), Some(to)) => {
            RolloutDecision::Move { from: place("from", from)?, to: place("to", to)? }
        }
        ("abort", None, None) => RolloutDecision::Abort,
        ("move" | "abort", ..) => {
            return Err("decision: its fields are those of another one".to_owned());
        }
        (other, ..) => return Err(unknown("decision", other)),
    };
    let reading = |json: ReadingJson<'_>| {
        let known = GateKind::ALL.into_iter().find(|kind| kind.as_str() == json.gate.0);
        let gate = known.ok_or_else(|| unknown("gate", &json.gate.0))?;
        Ok(GateReading { gate, value_ppm: json.value_ppm, conflicts: json.conflicts })
    };
    let gates = json.gates.0.into_iter().map(reading).collect::<Result<_, Reason>>()?;
    Ok(RolloutRecord::Decision { rollout, decision, gates, why: text("why", &json.why)? })
}

#[derive(Deserialize)]
struct ReportJson {
    live: CallsJson,
    shadow: CallsJson,
    different: u64,
    dropped: u64,
}

#[derive(Deserialize)]
struct CallsJson {
    conflicts: u64,
    faults: [u64; FAULT_KINDS.len()],
    fuel: [u64; FUEL_BUCKETS],
    latency: [u64; LATENCY_BUCKETS],
}

pub(super) fn report(json: &str) -> Result<RolloutRecord, Reason> {
    let rollout = about(json)?;
    let ReportJson { live, shadow, different, dropped } = fields::object(json)?;
    let calls = |CallsJson { conflicts, faults, fuel, latency }| CallCounters {
        conflicts,
        faults,
        fuel,
        latency,
    };
    let counters = RolloutCounters { live: calls(live), shadow: calls(shadow), different, dropped };
    Ok(RolloutRecord::Report { rollout, counters: Box::new(counters) })
}

#[derive(Deserialize)]
struct AboutJson<'a> {
    #[serde(borrow)]
    rollout: &'a RawValue,
}

/// The rollout that a record is about.
pub(super) fn about(json: &str) -> Result<RolloutId, Reason> {
    let AboutJson { rollout } = fields::object(json)?;
    fields::record_id("rollout", rollout.get()).map(RolloutId)
}

fn place(what: &str, text: &Text<'_>) -> Result<RolloutPlace, Reason> {
    text.0.parse().map_err(|error| format!("{what}: {error}"))
}

fn text(what: &str, text: &Text<'_>) -> Result<RolloutText, Reason> {
    text.0.parse().map_err(|error| format!("{what}: {error}"))
}

fn unknown(what: &str, found: &str) -> Reason {
    let shown: String = found.chars().take(80).collect();
    format!("{what}: this software does not know {shown:?}")
}
