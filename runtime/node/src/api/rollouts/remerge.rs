//! Rows that a version has merged, folded again by the one that came after it.

use std::borrow::Cow;

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use syncline_core::{Image, RolloutState, Stamp};

use super::super::params::{self, Params, PathOf, QueryOf};
use super::super::{Api, blocking, pass, routes, rows};
use crate::problem::{Code, Problem};
use crate::region::{Remerge, RolloutView, Text};

/// What was, or would be, folded again.
#[derive(Serialize, Deserialize)]
pub(in crate::api) struct Answer {
    table: String,
    from: String,
    to: String,
    rows: Vec<Item>,
    same: u64,
    written_since: u64,
    unknown: u64,
    more: bool,
}

#[derive(Serialize, Deserialize)]
struct Item {
    row_pk: String,
    conflict_id: String,
    /// planned, written, or written-since.
    state: Cow<'static, str>,
    /// As it is stored, as in all rows; null where there is no row.
    before: Option<Box<RawValue>>,
    after: Option<Box<RawValue>>,
    fault: Option<String>,
}

/// `POST /v1/rollouts/{id}/remerge[?plan=true]`
pub(in crate::api) async fn remerge(
    State(api): State<Api>,
    id: PathOf<String>,
    query: QueryOf,
) -> Result<Json<Answer>, Problem> {
    let plans = Params::of(query, &["plan"])?.flag("plan")?;
    let id = params::path(id)?;
    let view = super::found(&api, &id).await?;
    let (table, bad) = (view.rollout.table.clone(), view.rollout.version);
    let rollouts = api.region.rollouts().await;
    let complete = |view: &&RolloutView| {
        view.rollout.table == table && view.rollout.state == RolloutState::Complete
    };
    let in_force = rollouts.iter().rfind(complete);
    let good = in_force.map_or(Stamp::Lww, |view| view.rollout.version);
    if view.rollout.state.is_open() || good == bad {
        let detail = "the table has the rollout's version, or is about to get it: abort it, or roll \
                      out another one, first";
        return Err(Problem::new(Code::RolloutNotThere, detail));
    }
    let ask = Ask { table: table.to_string(), bad: Text(bad), good: Text(good), plans };
    let mut answer = in_this_node(&api, &ask).await?;
    let others = pass::tell_others(&api, routes::NODE_REMERGE, &ask).await?;
    for other in others {
        answer.add(other.json()?);
    }
    Ok(Json(answer))
}

/// What the node that leads asks of the others.
#[derive(Serialize, Deserialize)]
pub(in crate::api) struct Ask {
    table: String,
    bad: Text<Stamp>,
    good: Text<Stamp>,
    plans: bool,
}

/// `POST /v1/node/remerge`
pub(in crate::api) async fn of_node(
    State(api): State<Api>,
    Json(ask): Json<Ask>,
) -> Result<Json<Answer>, Problem> {
    in_this_node(&api, &ask).await.map(Json)
}

async fn in_this_node(api: &Api, ask: &Ask) -> Result<Answer, Problem> {
    let (Text(bad), Text(good), plans) = (ask.bad, ask.good, ask.plans);
    let table = params::table(&ask.table)?;
    let region = api.region.clone();
    let of_table = table.clone();
    let plan = blocking(move || Ok(region.plan_remerge(&of_table, bad, good)?)).await?;
    let mut items = Vec::new();
    for remerge in &plan.rows {
        let state = if plans {
            "planned"
        } else if api
            .region
            .remerge(remerge)
            .await
            .map_err(|error| rows::refused(&api.region, error))?
        {
            "written"
        } else {
            "written-since"
        };
        items.push(item(remerge, state));
    }
    Ok(Answer {
        table: table.to_string(),
        from: bad.to_string(),
        to: good.to_string(),
        rows: items,
        same: plan.same,
        written_since: plan.written_since,
        unknown: plan.unknown,
        more: plan.more,
    })
}

impl Answer {
    /// What another node has found, too.
    fn add(&mut self, other: Self) {
        self.rows.extend(other.rows);
        self.same += other.same;
        self.written_since += other.written_since;
        self.unknown += other.unknown;
        self.more |= other.more;
    }
}

fn item(remerge: &Remerge, state: &'static str) -> Item {
    let image = |image: &Option<Image>| {
        let text = String::from_utf8(image.as_ref()?.as_bytes().to_vec()).ok()?;
        RawValue::from_string(text).ok()
    };
    Item {
        row_pk: remerge.row.pk.to_string(),
        conflict_id: remerge.conflict.to_string(),
        state: Cow::Borrowed(state),
        before: image(&remerge.before),
        after: image(&remerge.after),
        fault: remerge.fault.clone(),
    }
}
