//! Two more versions of the cart while clients write: one goes from stage to stage, and one is wrong.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde::Serialize;
use serde_json::{Value, json};
use syncline_harness::{Dev, PATIENCE, Region, later_cart, wait_for};

use crate::check::Conflicts;
use crate::clients::Market;
use crate::say;
use crate::scenario::{REGIONS, TABLE};

/// So many conflicts that the second version resolved are waited for before it goes on.
const CONFLICTS_IN_STAGE: u64 = 30;
/// So many conflicts the third version is tried on before the gate looks at it.
const CONFLICTS_IN_SHADOW: u64 = 30;
/// Conflicts come from what the clients happen to do.
const CONFLICTS_WAIT: Duration = PATIENCE.saturating_mul(3);

/// What became of the two versions.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Rollouts {
    pub(crate) second: Staged,
    pub(crate) third: Stopped,
}

/// A version that went from the first stage to all regions.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Staged {
    pub(crate) version: String,
    pub(crate) stages: Vec<Vec<String>>,
    /// The conflicts of which a change was made while only the first stage stamped the version.
    pub(crate) in_first_stage: ByVersion,
    pub(crate) state: String,
    /// From the first change that may be stamped with it to the last that may not.
    #[serde(skip)]
    window: (String, String),
}

/// How many conflicts each version resolved, and one of each.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct ByVersion {
    pub(crate) former: usize,
    pub(crate) new: usize,
}

/// A version that its gate stopped in the shadow.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Stopped {
    pub(crate) version: String,
    pub(crate) state: String,
    /// Which gate, and its figures.
    pub(crate) reason: String,
    /// Conflicts that it was tried on, in all regions together.
    pub(crate) tried_on: u64,
    /// Those in which it did not answer, by kind.
    pub(crate) faults: BTreeMap<String, u64>,
    /// What it said of one of them.
    pub(crate) sample: Option<String>,
    /// Conflicts that it resolved.
    pub(crate) resolved: usize,
}

/// The second version and the third.
pub(crate) struct Versions {
    second: Vec<u8>,
    third: Vec<u8>,
}

impl Versions {
    /// Builds them from source, if they are not built yet.
    pub(crate) fn build() -> Result<Self> {
        Ok(Self { second: later_cart("cart-with-total")?, third: later_cart("cart-in-16-bits")? })
    }
}

/// Rolls out both, while the clients write.
pub(crate) fn roll_out(dev: &Dev, versions: &Versions, market: &Market) -> Result<Rollouts> {
    let second = staged(dev.regions(), &versions.second)?;
    let third = stopped(dev.regions(), &versions.third, market)?;
    Ok(Rollouts { second, third })
}

fn staged(regions: &[Region], component: &[u8]) -> Result<Staged> {
    let [first, second, _] = regions else { anyhow::bail!("three regions take part") };
    let stages = vec![vec![first.name.clone()], vec!["*".to_owned()]];
    let plan = json!({
        "stages": stages, "promotion": "manual", "actor": "demo",
        "why": "carts say how many pieces they hold",
    });
    let (id, version) = uploaded(first, component, &plan)?;
    say(&format!("a second version is uploaded: {version}"));
    wait(second, &id, "every region to have the second version", PATIENCE, |rollout| {
        states(rollout).iter().all(|state| *state == "ready")
    })?;
    steer(first, &id, "promote")?;
    wait(second, &id, "the first stage", PATIENCE, |rollout| states(rollout)[0] == "active")?;
    say(&format!("{} stamps its changes with it, the others with the first", first.name));
    wait(second, &id, "conflicts that it resolves", CONFLICTS_WAIT, |rollout| {
        rollout["seen"]["live"]["conflicts"].as_u64() >= Some(CONFLICTS_IN_STAGE)
    })?;
    // From another region than it was created in.
    steer(second, &id, "promote")?;
    let done = wait(first, &id, "all regions to stamp it", PATIENCE, |rollout| {
        rollout["state"] == "complete" && states(rollout).iter().all(|state| *state == "active")
    })?;
    say("all regions stamp their changes with the second version");
    let at = |what: &str| {
        let history = done["history"].as_array().into_iter().flatten();
        let line = history.into_iter().find(|line| line["what"] == what);
        line.map(|line| text(&line["hlc"])).with_context(|| format!("{what} is not in {done:#}"))
    };
    Ok(Staged {
        version,
        stages,
        in_first_stage: ByVersion::default(),
        state: text(&done["state"]),
        window: (at("distributing -> stage 1")?, at("stage 1 -> stage 2")?),
    })
}

fn stopped(regions: &[Region], component: &[u8], market: &Market) -> Result<Stopped> {
    let [first, second, _] = regions else { anyhow::bail!("three regions take part") };
    let gates = json!({"fault_rate": 0.01, "min_conflicts": CONFLICTS_IN_SHADOW});
    let plan = json!({"shadow": "1h", "gates": gates, "actor": "demo", "why": "less memory"});
    let (id, version) = uploaded(second, component, &plan)?;
    say(&format!("a third version is uploaded, with a mistake: {version}"));
    wait(first, &id, "the shadow", PATIENCE, |rollout| rollout["state"] == "shadow")?;
    say("it runs in the shadow; then wholesalers come");
    market.let_wholesalers_in();
    let ended = wait(first, &id, "the gate to stop it", CONFLICTS_WAIT, |rollout| {
        rollout["state"] == "aborted"
    })?;
    let reason = text(&ended["reason"]);
    say(&format!("it is stopped: {reason}"));
    let shadow = &ended["seen"]["shadow"];
    let kinds = shadow["faults"].as_object().into_iter().flatten();
    let faults = kinds.filter_map(|(kind, count)| Some((kind.clone(), count.as_u64()?)));
    Ok(Stopped {
        version,
        state: text(&ended["state"]),
        reason,
        tried_on: shadow["conflicts"].as_u64().unwrap_or_default(),
        faults: faults.collect(),
        sample: sample(regions, &id)?,
        resolved: 0,
    })
}

/// What the version said of a conflict in which it did not answer.
fn sample(regions: &[Region], id: &str) -> Result<Option<String>> {
    for region in regions {
        let rollout = region.get_json(&format!("/v1/rollouts/{id}"))?;
        let samples = rollout["samples"].as_array().into_iter().flatten();
        if let Some(fault) = samples.into_iter().find_map(|sample| sample["fault"].as_str()) {
            return Ok(Some(fault.to_owned()));
        }
    }
    Ok(None)
}

impl Rollouts {
    /// Counts who resolved what, once all is quiet, and gives what is not as promised.
    pub(crate) fn judge(&mut self, conflicts: &Conflicts) -> Vec<String> {
        let (from, to) = (hlc(&self.second.window.0), hlc(&self.second.window.1));
        for conflict in conflicts.all.values() {
            let heads = conflict["heads"].as_array().into_iter().flatten();
            let newest = heads.map(|head| hlc(&text(&head["hlc"]))).max().unwrap_or_default();
            let by = text(&conflict["merge_function"]);
            let of_stage = &mut self.second.in_first_stage;
            if by == self.third.version {
                self.third.resolved += 1;
            } else if newest > from && newest < to {
                let is_new = by == self.second.version;
                *(if is_new { &mut of_stage.new } else { &mut of_stage.former }) += 1;
            }
        }
        let ByVersion { former, new } = self.second.in_first_stage;
        let rules = [
            (former == 0 || new == 0, "in the first stage one version resolved no conflict"),
            (self.second.state != "complete", "the second version is not complete"),
            (self.third.resolved > 0, "the third version resolved conflicts"),
        ];
        let broken = rules.into_iter().filter(|(is_broken, _)| *is_broken);
        broken.map(|(_, what)| what.to_owned()).collect()
    }
}

/// An HLC as it is written, in an order.
fn hlc(text: &str) -> (u64, u32) {
    let (millis, counter) = text.split_once('.').unwrap_or((text, "0"));
    (millis.parse().unwrap_or_default(), counter.parse().unwrap_or_default())
}

/// The rollout's id, and the version.
fn uploaded(region: &Region, component: &[u8], plan: &Value) -> Result<(String, String)> {
    let answer = region.upload_with(TABLE, component, plan)?.success()?.json();
    Ok((text(&answer["rollout_id"]), text(&answer["version"])))
}

fn steer(region: &Region, id: &str, verb: &str) -> Result<()> {
    let path = format!("/v1/rollouts/{id}/{verb}");
    let body = json!({"actor": "demo"}).to_string();
    region.request("POST", &path, &[], Some(body.as_bytes()))?.success()?;
    Ok(())
}

fn wait(
    region: &Region,
    id: &str,
    what: &str,
    patience: Duration,
    holds: impl Fn(&Value) -> bool,
) -> Result<Value> {
    wait_for(what, patience, || {
        let rollout = region.get_json(&format!("/v1/rollouts/{id}"))?;
        ensure!(holds(&rollout), "{rollout:#}");
        Ok(rollout)
    })
}

fn states(rollout: &Value) -> [&str; REGIONS.len()] {
    REGIONS.map(|name| rollout["regions"][name]["state"].as_str().unwrap_or("?"))
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::ConflictsSummary;

    fn rollouts() -> Rollouts {
        Rollouts {
            second: Staged {
                version: "two".into(),
                stages: Vec::new(),
                in_first_stage: ByVersion::default(),
                state: "complete".into(),
                window: ("9.00002".into(), "20.00000".into()),
            },
            third: Stopped {
                version: "three".into(),
                state: "aborted".into(),
                reason: String::new(),
                tried_on: 50,
                faults: BTreeMap::new(),
                sample: None,
                resolved: 0,
            },
        }
    }

    fn conflicts(of: &[(&str, &str)]) -> Conflicts {
        let conflict = |(hlc, by): &(&str, &str)| {
            let heads = json!([{"hlc": "1.00000"}, {"hlc": hlc}]);
            (format!("{hlc} {by}"), json!({"heads": heads, "merge_function": by}))
        };
        let all = of.iter().map(conflict).collect();
        Conflicts { all, summary: ConflictsSummary::default(), failures: Vec::new() }
    }

    #[test]
    fn what_was_written_in_the_first_stage_is_counted_by_version() {
        let mut rollouts = rollouts();
        let met = [
            ("9.00002", "one"),
            ("9.00003", "one"),
            ("10.00000", "two"),
            ("19.00000", "two"),
            ("20.00000", "two"),
        ];
        assert!(rollouts.judge(&conflicts(&met)).is_empty());
        let ByVersion { former, new } = rollouts.second.in_first_stage;
        assert_eq!((former, new), (1, 2));
    }

    #[test]
    fn a_bad_version_that_resolved_a_conflict_is_found() {
        let met = [("10.00000", "one"), ("10.00000", "two"), ("30.00000", "three")];
        let wrong = rollouts().judge(&conflicts(&met));
        assert_eq!(wrong, ["the third version resolved conflicts"]);
        let one_sided = rollouts().judge(&conflicts(&met[..1]));
        assert_eq!(one_sided, ["in the first stage one version resolved no conflict"]);
    }
}
