//! Tables: which version resolves their conflicts, where, and since when.

use std::collections::{BTreeMap, BTreeSet};

use axum::Json;
use axum::extract::State;
use serde_json::{Map, Value, json};
use syncline_core::{
    Rollout, RolloutEvent, RolloutPlace, RolloutState, Stamp, TableDigest, TableName,
};

use super::params::{self, PathOf};
use super::state::inspect;
use super::{Api, text_or_null};
use crate::problem::{Code, Problem};
use crate::region::RolloutView;
use crate::text::rfc3339;

/// What is known of all tables, as of one moment each.
struct Registry {
    /// Of each table that had a rollout, in the order of creation.
    rollouts: BTreeMap<TableName, Vec<RolloutView>>,
    /// Of each table that has, or had, rows here.
    digests: BTreeMap<TableName, TableDigest>,
    regions: BTreeSet<String>,
}

/// `GET /v1/tables`
pub(super) async fn list(State(api): State<Api>) -> Result<Json<Value>, Problem> {
    let registry = Registry::of(&api).await?;
    let items = registry.names().into_iter().map(|table| registry.shown(table));
    Ok(Json(json!({"items": items.collect::<Vec<_>>()})))
}

/// `GET /v1/tables/{table}`
pub(super) async fn show(
    State(api): State<Api>,
    table: PathOf<String>,
) -> Result<Json<Value>, Problem> {
    let table = params::table(&params::path(table)?)?;
    let registry = Registry::of(&api).await?;
    registry.check(&table)?;
    Ok(Json(registry.shown(&table)))
}

/// `GET /v1/tables/{table}/history`
pub(super) async fn history(
    State(api): State<Api>,
    table: PathOf<String>,
) -> Result<Json<Value>, Problem> {
    let table = params::table(&params::path(table)?)?;
    let registry = Registry::of(&api).await?;
    registry.check(&table)?;
    let in_force = registry.in_force(&table).map(|view| &view.rollout.id);
    let line = |view: &RolloutView| line(view, in_force == Some(&view.rollout.id));
    let items = registry.of_table(&table).iter().rev().map(line);
    Ok(Json(json!({"table": table.as_str(), "items": items.collect::<Vec<_>>()})))
}

impl Registry {
    async fn of(api: &Api) -> Result<Self, Problem> {
        let mut digests: BTreeMap<TableName, TableDigest> = BTreeMap::new();
        for view in inspect(api).await? {
            for (table, digest) in &view.digests {
                digests.entry(table.clone()).or_default().merge(digest);
            }
        }
        let mut rollouts: BTreeMap<TableName, Vec<RolloutView>> = BTreeMap::new();
        for view in api.region.rollouts().await {
            rollouts.entry(view.rollout.table.clone()).or_default().push(view);
        }
        let members = api.region.members();
        let regions = members.members.iter().map(ToString::to_string).collect();
        Ok(Self { rollouts, digests, regions })
    }

    /// Those with rows in this region, and those that had a rollout anywhere.
    fn names(&self) -> BTreeSet<&TableName> {
        let with_rows = self.digests.iter().filter(|(_, digest)| digest.rows > 0);
        with_rows.map(|(table, _)| table).chain(self.rollouts.keys()).collect()
    }

    fn check(&self, table: &TableName) -> Result<(), Problem> {
        if self.names().contains(table) {
            return Ok(());
        }
        let detail = format!("this region has no rows of {table}, and knows of no rollout of it");
        Err(Problem::new(Code::TableNotFound, detail))
    }

    fn of_table(&self, table: &TableName) -> &[RolloutView] {
        self.rollouts.get(table).map_or(&[], Vec::as_slice)
    }

    /// The rollout that brought the version in force.
    fn in_force(&self, table: &TableName) -> Option<&RolloutView> {
        let complete = |view: &&RolloutView| view.rollout.state == RolloutState::Complete;
        self.of_table(table).iter().rfind(complete)
    }

    fn shown(&self, table: &TableName) -> Value {
        let in_force = self.in_force(table);
        let open = self.of_table(table).iter().find(|view| view.rollout.state.is_open());
        let digest = self.digests.get(table).copied().unwrap_or_default();
        json!({
            "table": table.as_str(),
            "version": in_force.map_or(Stamp::Lww, |view| view.rollout.version).to_string(),
            "name": in_force.and_then(name),
            "rollout_id": in_force.map(|view| view.rollout.id.to_string()),
            "since": in_force.and_then(|view| ended_at(&view.rollout)),
            "open_rollout": open.map(|view| json!({
                "rollout_id": view.rollout.id.to_string(),
                "version": view.rollout.version.to_string(),
                "name": name(view),
                "state": view.rollout.state.as_str(),
                "place": view.rollout.place.to_string(),
            })),
            "active": self.active(table),
            "rows": digest.rows,
            "digest": digest.hex(),
        })
    }

    /// What each region stamps its changes with.
    fn active(&self, table: &TableName) -> Map<String, Value> {
        let mut active: Map<String, Value> = self
            .regions
            .iter()
            .map(|region| (region.clone(), json!(Stamp::Lww.to_string())))
            .collect();
        for view in self.of_table(table) {
            let at = view.rollout.regions.iter().filter(|(_, progress)| progress.is_active());
            for (region, _) in at {
                active.insert(region.to_string(), json!(view.rollout.version.to_string()));
            }
        }
        active
    }
}

fn line(view: &RolloutView, in_force: bool) -> Value {
    let rollout = &view.rollout;
    let created = rollout.history.iter().find(|line| line.what == RolloutEvent::Created);
    let said =
        |text: fn(&syncline_core::RolloutHistory) -> &str| created.map(text).and_then(text_or_null);
    json!({
        "version": rollout.version.to_string(),
        "name": name(view),
        "previous_version": rollout.previous_version.to_string(),
        "rollout_id": rollout.id.to_string(),
        "state": rollout.state.as_str(),
        "in_force": in_force,
        "region": rollout.id.0.region.as_str(),
        "actor": said(|line| line.actor.as_str()),
        "why": said(|line| line.why.as_str()),
        "reason": rollout.reason.as_ref().and_then(|reason| text_or_null(reason.as_str())),
        "created_at": rfc3339(rollout.id.0.hlc.millis()),
        "ended_at": ended_at(rollout),
    })
}

/// When it was complete, aborted or superseded; none while it is open.
fn ended_at(rollout: &Rollout) -> Option<String> {
    let ends = |what: RolloutEvent| {
        matches!(
            what,
            RolloutEvent::Moved { to: RolloutPlace::Complete, .. }
                | RolloutEvent::Ended(_)
                | RolloutEvent::Aborted
                | RolloutEvent::Superseded
        )
    };
    let last = rollout.history.iter().rfind(|line| ends(line.what));
    last.filter(|_| !rollout.state.is_open()).map(|line| rfc3339(line.id.hlc.millis()))
}

fn name(view: &RolloutView) -> Option<String> {
    view.manifest.as_ref().and_then(|manifest| manifest.name.clone())
}
