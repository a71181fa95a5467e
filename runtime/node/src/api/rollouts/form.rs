//! A rollout as it is asked for.

use std::time::Duration;

use serde::Deserialize;
use syncline_core::{
    Gate, NewRollout, RegionId, RolloutGates, RolloutPlan, RolloutStage, RolloutText, Stamp,
    TableName,
};

use crate::config::HumanDuration;
use crate::problem::{Code, Problem};

/// With fewer conflicts a gate waits, unless the rollout says otherwise: a share of less says little.
pub const GATE_CONFLICTS: u64 = 500;

/// The regions that no stage names.
const REST: &str = "*";

/// What the body of a request says; all of it may be absent.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::api) struct RolloutForm {
    table: Option<String>,
    version: Option<String>,
    stages: Option<Vec<Vec<String>>>,
    bake: Option<HumanDuration>,
    shadow: Option<HumanDuration>,
    promotion: Option<Promotion>,
    #[serde(default)]
    gates: GatesForm,
    actor: Option<String>,
    why: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Promotion {
    Automatic,
    Manual,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct GatesForm {
    fault_rate: Option<GateForm>,
    shadow_difference_rate: Option<GateForm>,
    fuel_p99: Option<GateForm>,
    /// Of all gates that do not say their own.
    min_conflicts: Option<u64>,
}

/// `0.01`, or `{"limit":0.01,"min_conflicts":100}`.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum GateForm {
    Limit(f64),
    Whole { limit: f64, min_conflicts: Option<u64> },
}

impl RolloutForm {
    pub(in crate::api) fn read(json: &[u8]) -> Result<Self, Problem> {
        serde_json::from_slice(json)
            .map_err(|error| Problem::new(Code::InvalidRequest, format!("the rollout: {error}")))
    }

    /// What it names itself, where it stands alone.
    pub(in crate::api) fn subject(&self) -> Result<(TableName, Stamp), Problem> {
        let missing = |what: &str| {
            let detail = format!(
                "the rollout lacks {what}; send at least {{\"table\":\"carts\",\"version\":\"sha256:…\"}}"
            );
            Problem::new(Code::InvalidRequest, detail)
        };
        let table = self.table.as_deref().ok_or_else(|| missing("table"))?;
        let table = super::super::params::table(table)?;
        let version = self.version.as_deref().ok_or_else(|| missing("version"))?;
        let version = version.parse().map_err(|e| Problem::new(Code::InvalidRequest, e))?;
        Ok((table, version))
    }

    /// Refuses what the upload beside it says already.
    pub(in crate::api) fn check_beside_upload(&self) -> Result<(), Problem> {
        if self.table.is_none() && self.version.is_none() {
            return Ok(());
        }
        let detail = "beside an upload the rollout has no table and no version: the form says both";
        Err(Problem::new(Code::InvalidRequest, detail))
    }

    pub(in crate::api) fn rollout(
        &self,
        table: TableName,
        version: Stamp,
    ) -> Result<NewRollout, Problem> {
        let text = |text: &Option<String>| RolloutText::cut(text.as_deref().unwrap_or_default());
        let (actor, why) = (text(&self.actor), text(&self.why));
        Ok(NewRollout { table, version, plan: self.plan()?, actor, why })
    }

    fn plan(&self) -> Result<RolloutPlan, Problem> {
        let default = RolloutPlan::default();
        let stages = match &self.stages {
            None => default.stages,
            Some(stages) => stages.iter().map(|names| stage(names)).collect::<Result<_, _>>()?,
        };
        let millis = |wait: Option<HumanDuration>| {
            let HumanDuration(wait) = wait.unwrap_or(HumanDuration(Duration::ZERO));
            u64::try_from(wait.as_millis()).unwrap_or(u64::MAX)
        };
        Ok(RolloutPlan {
            stages,
            bake_ms: millis(self.bake),
            shadow_ms: millis(self.shadow),
            manual: matches!(self.promotion, Some(Promotion::Manual)),
            gates: self.gates.gates()?,
        })
    }
}

fn stage(names: &[String]) -> Result<RolloutStage, Problem> {
    let mut stage = RolloutStage::default();
    for name in names {
        if name == REST {
            stage.rest = true;
            continue;
        }
        let region: RegionId = name.parse().map_err(|error| {
            Problem::new(Code::InvalidRequest, format!("a stage names {name:?}: {error}"))
        })?;
        if !stage.regions.insert(region) {
            let detail = format!("a stage names {name} twice");
            return Err(Problem::new(Code::InvalidRequest, detail));
        }
    }
    Ok(stage)
}

impl GatesForm {
    fn gates(&self) -> Result<RolloutGates, Problem> {
        let gate = |name: &str, form: &Option<GateForm>| {
            let (limit, own) = match form {
                None => return Ok(None),
                Some(GateForm::Limit(limit)) => (*limit, None),
                Some(GateForm::Whole { limit, min_conflicts }) => (*limit, *min_conflicts),
            };
            if !(0.0..=1.0).contains(&limit) {
                let detail = format!("the gate {name} is a share from 0 to 1, not {limit}");
                return Err(Problem::new(Code::InvalidRequest, detail));
            }
            // Within 0 and 1,000,000 by the check.
            let limit_ppm = (limit * 1e6).round() as u32;
            let min_conflicts = own.or(self.min_conflicts).unwrap_or(GATE_CONFLICTS);
            Ok(Some(Gate { limit_ppm, min_conflicts }))
        };
        Ok(RolloutGates {
            fault_rate: gate("fault_rate", &self.fault_rate)?,
            shadow_difference_rate: gate("shadow_difference_rate", &self.shadow_difference_rate)?,
            fuel_p99: gate("fuel_p99", &self.fuel_p99)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(json: &str) -> Result<RolloutPlan, Problem> {
        RolloutForm::read(json.as_bytes())?.plan()
    }

    #[test]
    fn nothing_said_is_one_stage_with_all_regions() {
        assert_eq!(plan("{}").unwrap(), RolloutPlan::default());
    }

    #[test]
    fn what_is_said_is_taken() {
        let plan = plan(
            r#"{"stages":[["us-east-1"],["eu-west-1","*"]],"bake":"10m","shadow":"90s",
                "promotion":"manual","gates":{"fault_rate":0.01,"min_conflicts":7,
                "fuel_p99":{"limit":0.8,"min_conflicts":9},
                "shadow_difference_rate":{"limit":1}}}"#,
        )
        .unwrap();
        assert_eq!((plan.bake_ms, plan.shadow_ms, plan.manual), (600_000, 90_000, true));
        assert_eq!(plan.stages.len(), 2);
        assert!(plan.stages[1].rest && plan.stages[1].regions.len() == 1);
        let gate = |limit_ppm, min_conflicts| Some(Gate { limit_ppm, min_conflicts });
        assert_eq!(plan.gates.fault_rate, gate(10_000, 7));
        assert_eq!(plan.gates.fuel_p99, gate(800_000, 9));
        assert_eq!(plan.gates.shadow_difference_rate, gate(1_000_000, 7));
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for json in [
            "[]",
            r#"{"stage":[]}"#,
            r#"{"stages":[["a","a"]]}"#,
            r#"{"stages":[["no region"]]}"#,
            r#"{"bake":"10"}"#,
            r#"{"promotion":"never"}"#,
            r#"{"gates":{"fault_rate":1.1}}"#,
            r#"{"gates":{"fault_rate":-0.1}}"#,
            r#"{"gates":{"faults":0.1}}"#,
        ] {
            assert!(plan(json).is_err(), "{json}");
        }
    }
}
