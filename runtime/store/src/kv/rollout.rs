//! Rollout records: (HLC, region) -> what a region said of a rollout. And reports: (HLC and region of
//! the rollout, region that reports) -> the last one of that region, since only that one counts.

use serde::{Deserialize, Serialize};
use syncline_core::{
    CallCounters, ChangeId, CreateRollout, Gate, GateKind, GateReading, PreviousRollout, RegionId,
    RolloutCommand, RolloutCounters, RolloutDecision, RolloutEnd, RolloutGates, RolloutId,
    RolloutPlace, RolloutPlan, RolloutRecord, RolloutStage, RolloutText, SelfTest, TableName,
};

use super::codec::{self, decode};
use super::dto::{ChangeIdV1, Made, StampV1, hlc_of, region_of};
use super::key::{Family, Key, KeyReader};
use crate::{Batch, Scan, Store, StoreError};

/// The first form had one stage, no plan and no commands; the second knew versions of functions only.
const VERSION: u8 = 3;

const REPORT_VERSION: u8 = 1;

/// Of this enum and those below, postcard writes a variant by its place: a new one comes last, and
/// none is ever taken out.
#[derive(Serialize, Deserialize)]
enum RolloutV3<'a> {
    Create {
        #[serde(borrow)]
        table: &'a str,
        version: StampV1,
        previous: Option<(ChangeIdV1<'a>, EndV3)>,
        plan: PlanV3<'a>,
        actor: &'a str,
        why: &'a str,
    },
    Ready {
        rollout: ChangeIdV1<'a>,
        digest: [u8; 32],
        profile: u32,
    },
    Unready {
        rollout: ChangeIdV1<'a>,
        reason: &'a str,
    },
    Command {
        rollout: ChangeIdV1<'a>,
        command: CommandV3<'a>,
        actor: &'a str,
        why: &'a str,
    },
    Decision {
        rollout: ChangeIdV1<'a>,
        decision: DecisionV3,
        /// (gate, value in parts per million, conflicts)
        gates: Vec<(GateV3, u32, u64)>,
        why: &'a str,
    },
    Active(ChangeIdV1<'a>),
    Inactive(ChangeIdV1<'a>),
}

#[derive(Serialize, Deserialize)]
struct PlanV3<'a> {
    /// (regions, and the rest)
    #[serde(borrow)]
    stages: Vec<(Vec<&'a str>, bool)>,
    bake_ms: u64,
    shadow_ms: u64,
    manual: bool,
    /// (limit in parts per million, conflicts at the least)
    fault_rate: Option<(u32, u64)>,
    shadow_difference_rate: Option<(u32, u64)>,
    fuel_p99: Option<(u32, u64)>,
}

#[derive(Serialize, Deserialize)]
enum CommandV3<'a> {
    Promote(PlaceV3, PlaceV3),
    Pause,
    Resume(#[serde(borrow)] ChangeIdV1<'a>),
    Abort,
    Claim(&'a str),
}

#[derive(Serialize, Deserialize)]
enum DecisionV3 {
    Move(PlaceV3, PlaceV3),
    Abort,
}

#[derive(Serialize, Deserialize)]
enum PlaceV3 {
    Distributing,
    Shadow,
    Stage(u8),
    Complete,
}

#[derive(Serialize, Deserialize)]
enum EndV3 {
    Complete,
    Aborted,
}

#[derive(Serialize, Deserialize)]
enum GateV3 {
    FaultRate,
    ShadowDifferenceRate,
    FuelP99,
}

#[derive(Serialize, Deserialize)]
struct ReportV1 {
    hlc: u64,
    live: CallsV1,
    shadow: CallsV1,
    different: u64,
    dropped: u64,
}

#[derive(Serialize, Deserialize)]
struct CallsV1 {
    conflicts: u64,
    faults: [u64; 7],
    fuel: [u64; 20],
    latency: [u64; 24],
}

/// Keeps a record; a report takes the place of its region's last one.
pub fn put(batch: &mut Batch, id: &ChangeId, record: &RolloutRecord) {
    if let RolloutRecord::Report { rollout: RolloutId(rollout), counters } = record {
        let key = Key::of(Family::RolloutReport).hlc(rollout.hlc).text(rollout.region.as_str());
        let key = key.text(id.region.as_str()).done();
        return codec::put(batch, &key, REPORT_VERSION, &report_form(id, counters));
    }
    let key = Key::of(Family::Rollout).hlc(id.hlc).text(id.region.as_str()).done();
    if let Some(form) = form_of(record) {
        codec::put(batch, &key, VERSION, &form);
    }
}

/// All records, in the order of (HLC, region), and then the reports.
pub fn all(store: &(impl Store + ?Sized)) -> Result<Vec<(ChangeId, RolloutRecord)>, StoreError> {
    let records = store.scan(&Scan::prefix(&Key::of(Family::Rollout).done()))?;
    let reports = store.scan(&Scan::prefix(&Key::of(Family::RolloutReport).done()))?;
    let records = records.iter().map(|(key, value)| decode_record(key, value));
    records.chain(reports.iter().map(|(key, value)| decode_report(key, value))).collect()
}

/// None of a report, which has a family of its own.
fn form_of(record: &RolloutRecord) -> Option<RolloutV3<'_>> {
    Some(match record {
        RolloutRecord::Create(create) => {
            let CreateRollout { table, version, previous, plan, actor, why } = &**create;
            let end = |end: RolloutEnd| match end {
                RolloutEnd::Complete => EndV3::Complete,
                RolloutEnd::Aborted => EndV3::Aborted,
            };
            let previous = previous.as_ref();
            RolloutV3::Create {
                table: table.as_str(),
                version: StampV1::of(*version),
                previous: previous.map(|before| (id_form(&before.rollout), end(before.ended))),
                plan: plan_form(plan),
                actor: actor.as_str(),
                why: why.as_str(),
            }
        }
        RolloutRecord::Ready { rollout, self_test: SelfTest { digest, profile } } => {
            RolloutV3::Ready { rollout: id_form(rollout), digest: *digest, profile: *profile }
        }
        RolloutRecord::Unready { rollout, reason } => {
            RolloutV3::Unready { rollout: id_form(rollout), reason: reason.as_str() }
        }
        RolloutRecord::Command { rollout, command, actor, why } => RolloutV3::Command {
            rollout: id_form(rollout),
            command: command_form(command),
            actor: actor.as_str(),
            why: why.as_str(),
        },
        RolloutRecord::Decision { rollout, decision, gates, why } => RolloutV3::Decision {
            rollout: id_form(rollout),
            decision: match decision {
                RolloutDecision::Move { from, to } => {
                    DecisionV3::Move(PlaceV3::of(*from), PlaceV3::of(*to))
                }
                RolloutDecision::Abort => DecisionV3::Abort,
            },
            gates: gates.iter().map(gate_form).collect(),
            why: why.as_str(),
        },
        RolloutRecord::Active { rollout } => RolloutV3::Active(id_form(rollout)),
        RolloutRecord::Inactive { rollout } => RolloutV3::Inactive(id_form(rollout)),
        RolloutRecord::Report { .. } => return None,
    })
}

fn id_form(RolloutId(id): &RolloutId) -> ChangeIdV1<'_> {
    ChangeIdV1::of(id)
}

fn plan_form(plan: &RolloutPlan) -> PlanV3<'_> {
    let RolloutPlan { stages, bake_ms, shadow_ms, manual, gates } = plan;
    fn stage(stage: &RolloutStage) -> (Vec<&str>, bool) {
        (stage.regions.iter().map(RegionId::as_str).collect(), stage.rest)
    }
    let gate = |gate: Option<Gate>| gate.map(|gate| (gate.limit_ppm, gate.min_conflicts));
    PlanV3 {
        stages: stages.iter().map(stage).collect(),
        bake_ms: *bake_ms,
        shadow_ms: *shadow_ms,
        manual: *manual,
        fault_rate: gate(gates.fault_rate),
        shadow_difference_rate: gate(gates.shadow_difference_rate),
        fuel_p99: gate(gates.fuel_p99),
    }
}

fn command_form(command: &RolloutCommand) -> CommandV3<'_> {
    match command {
        RolloutCommand::Promote { from, to } => {
            CommandV3::Promote(PlaceV3::of(*from), PlaceV3::of(*to))
        }
        RolloutCommand::Pause => CommandV3::Pause,
        RolloutCommand::Resume { pause } => CommandV3::Resume(ChangeIdV1::of(pause)),
        RolloutCommand::Abort => CommandV3::Abort,
        RolloutCommand::Claim { from } => CommandV3::Claim(from.as_str()),
    }
}

fn gate_form(reading: &GateReading) -> (GateV3, u32, u64) {
    let gate = match reading.gate {
        GateKind::FaultRate => GateV3::FaultRate,
        GateKind::ShadowDifferenceRate => GateV3::ShadowDifferenceRate,
        GateKind::FuelP99 => GateV3::FuelP99,
    };
    (gate, reading.value_ppm, reading.conflicts)
}

fn report_form(id: &ChangeId, counters: &RolloutCounters) -> ReportV1 {
    let RolloutCounters { live, shadow, different, dropped } = counters;
    ReportV1 {
        hlc: id.hlc.bits(),
        live: CallsV1::of(live),
        shadow: CallsV1::of(shadow),
        different: *different,
        dropped: *dropped,
    }
}

impl CallsV1 {
    fn of(calls: &CallCounters) -> Self {
        let CallCounters { conflicts, faults, fuel, latency } = *calls;
        Self { conflicts, faults, fuel, latency }
    }

    fn make(self) -> CallCounters {
        let Self { conflicts, faults, fuel, latency } = self;
        CallCounters { conflicts, faults, fuel, latency }
    }
}

impl PlaceV3 {
    fn of(place: RolloutPlace) -> Self {
        match place {
            RolloutPlace::Distributing => Self::Distributing,
            RolloutPlace::Shadow => Self::Shadow,
            RolloutPlace::Stage(number) => Self::Stage(number),
            RolloutPlace::Complete => Self::Complete,
        }
    }

    fn make(self) -> RolloutPlace {
        match self {
            Self::Distributing => RolloutPlace::Distributing,
            Self::Shadow => RolloutPlace::Shadow,
            Self::Stage(number) => RolloutPlace::Stage(number),
            Self::Complete => RolloutPlace::Complete,
        }
    }
}

fn decode_record(key: &[u8], value: &[u8]) -> Result<(ChangeId, RolloutRecord), StoreError> {
    let mut reader = KeyReader::new(key);
    let id = reader.change()?;
    reader.end()?;
    Ok((id, decode(key, VERSION, value, make)?))
}

fn decode_report(key: &[u8], value: &[u8]) -> Result<(ChangeId, RolloutRecord), StoreError> {
    let mut reader = KeyReader::new(key);
    let rollout = RolloutId(reader.change()?);
    let region = reader.region()?;
    reader.end()?;
    decode(key, REPORT_VERSION, value, |form: ReportV1| {
        let ReportV1 { hlc, live, shadow, different, dropped } = form;
        let counters =
            RolloutCounters { live: live.make(), shadow: shadow.make(), different, dropped };
        let report = RolloutRecord::Report { rollout, counters: Box::new(counters) };
        Ok((ChangeId { hlc: hlc_of(hlc)?, region }, report))
    })
}

fn make(form: RolloutV3<'_>) -> Made<RolloutRecord> {
    let record = match form {
        RolloutV3::Create { table, version, previous, plan, actor, why } => {
            let previous = previous.map(|(rollout, ended)| {
                let ended = match ended {
                    EndV3::Complete => RolloutEnd::Complete,
                    EndV3::Aborted => RolloutEnd::Aborted,
                };
                Made::Ok(PreviousRollout { rollout: id_of(rollout)?, ended })
            });
            RolloutRecord::Create(Box::new(CreateRollout {
                table: table.parse::<TableName>().map_err(|error| error.to_string())?,
                version: version.make(),
                previous: previous.transpose()?,
                plan: plan_of(plan)?,
                actor: text(actor)?,
                why: text(why)?,
            }))
        }
        RolloutV3::Ready { rollout, digest, profile } => RolloutRecord::Ready {
            rollout: id_of(rollout)?,
            self_test: SelfTest { digest, profile },
        },
        RolloutV3::Unready { rollout, reason } => {
            RolloutRecord::Unready { rollout: id_of(rollout)?, reason: text(reason)? }
        }
        RolloutV3::Command { rollout, command, actor, why } => RolloutRecord::Command {
            rollout: id_of(rollout)?,
            command: command_of(command)?,
            actor: text(actor)?,
            why: text(why)?,
        },
        RolloutV3::Decision { rollout, decision, gates, why } => RolloutRecord::Decision {
            rollout: id_of(rollout)?,
            decision: match decision {
                DecisionV3::Move(from, to) => {
                    RolloutDecision::Move { from: from.make(), to: to.make() }
                }
                DecisionV3::Abort => RolloutDecision::Abort,
            },
            gates: gates.into_iter().map(reading_of).collect(),
            why: text(why)?,
        },
        RolloutV3::Active(rollout) => RolloutRecord::Active { rollout: id_of(rollout)? },
        RolloutV3::Inactive(rollout) => RolloutRecord::Inactive { rollout: id_of(rollout)? },
    };
    record.check().map_err(|error| error.to_string())?;
    Ok(record)
}

fn id_of(id: ChangeIdV1<'_>) -> Made<RolloutId> {
    id.make().map(RolloutId)
}

fn text(text: &str) -> Made<RolloutText> {
    text.parse().map_err(|error: syncline_core::InvalidText| error.to_string())
}

fn plan_of(form: PlanV3<'_>) -> Made<RolloutPlan> {
    let gate = |gate: Option<(u32, u64)>| {
        gate.map(|(limit_ppm, min_conflicts)| Gate { limit_ppm, min_conflicts })
    };
    let stage = |(regions, rest): (Vec<&str>, bool)| {
        let regions = regions.into_iter().map(region_of).collect::<Made<_>>()?;
        Made::Ok(RolloutStage { regions, rest })
    };
    Ok(RolloutPlan {
        stages: form.stages.into_iter().map(stage).collect::<Made<_>>()?,
        bake_ms: form.bake_ms,
        shadow_ms: form.shadow_ms,
        manual: form.manual,
        gates: RolloutGates {
            fault_rate: gate(form.fault_rate),
            shadow_difference_rate: gate(form.shadow_difference_rate),
            fuel_p99: gate(form.fuel_p99),
        },
    })
}

fn command_of(form: CommandV3<'_>) -> Made<RolloutCommand> {
    Ok(match form {
        CommandV3::Promote(from, to) => {
            RolloutCommand::Promote { from: from.make(), to: to.make() }
        }
        CommandV3::Pause => RolloutCommand::Pause,
        CommandV3::Resume(pause) => RolloutCommand::Resume { pause: pause.make()? },
        CommandV3::Abort => RolloutCommand::Abort,
        CommandV3::Claim(from) => RolloutCommand::Claim { from: region_of(from)? },
    })
}

fn reading_of((gate, value_ppm, conflicts): (GateV3, u32, u64)) -> GateReading {
    let gate = match gate {
        GateV3::FaultRate => GateKind::FaultRate,
        GateV3::ShadowDifferenceRate => GateKind::ShadowDifferenceRate,
        GateV3::FuelP99 => GateKind::FuelP99,
    };
    GateReading { gate, value_ppm, conflicts }
}

#[cfg(test)]
mod tests;
