//! The conflict log.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use serde_json::value::RawValue;
use syncline_core::{
    Ancestor, ChangeId, ConflictId, ConflictOutcome, ConflictRecord, ConflictSide, Image,
    Operation, Stamp,
};
use syncline_store::kv::conflict::{self, ConflictCursor, ConflictFilter, Outcome, Strategy};

use super::params::{self, Params, PathOf, QueryOf};
use super::rows::raw;
use super::{Api, blocking};
use crate::problem::{Code, Problem};
use crate::text::{parse_rfc3339, rfc3339};

#[derive(Serialize)]
struct Head {
    region: String,
    hlc: String,
    event_id: String,
}

#[derive(Serialize)]
struct Item {
    conflict_id: String,
    table_name: String,
    row_pk: String,
    heads: Vec<Head>,
    resolution_strategy: &'static str,
    outcome: &'static str,
    merge_function: Option<String>,
    winner_event_id: Option<String>,
    resolved_at: String,
    images_kept: bool,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Listed {
    Item(Item),
    Whole(Box<Whole>),
}

#[derive(Serialize)]
pub(super) struct Page {
    items: Vec<Listed>,
    next_cursor: Option<String>,
}

#[derive(Serialize)]
struct Side {
    region: String,
    hlc: String,
    operation: &'static str,
    image: Option<Box<RawValue>>,
    ancestor: Option<Box<RawValue>>,
    /// False: `ancestor` is null because nobody looked it up.
    ancestor_known: bool,
}

#[derive(Serialize)]
struct Fault {
    code: String,
    text: String,
}

#[derive(Serialize)]
pub(super) struct Whole {
    #[serde(flatten)]
    item: Item,
    ancestor: Option<Box<RawValue>>,
    sides: Vec<Side>,
    result: Option<Box<RawValue>>,
    fault: Option<Fault>,
}

const PARAMS: [&str; 9] = [
    "table",
    "row_pk",
    "from",
    "to",
    "resolution_strategy",
    "outcome",
    "images",
    "limit",
    "cursor",
];

/// `GET /v1/conflicts`
pub(super) async fn list(State(api): State<Api>, query: QueryOf) -> Result<Json<Page>, Problem> {
    let params = Params::of(query, &PARAMS)?;
    let filter = filter(&params)?;
    let limit = params.limit(100, 1000)?;
    let images = params.flag("images")?;
    let after: Option<ConflictCursor> = params.cursor()?;
    let region = api.region;
    let read = move || {
        let (store, partitions) = (region.store(), region.partitions());
        Ok(conflict::query(store, partitions, &filter, after.as_ref(), limit)?)
    };
    let page = blocking(read).await?;
    let listed = |record: &ConflictRecord| match images {
        true => whole(record).map(|whole| Listed::Whole(Box::new(whole))),
        false => Ok(Listed::Item(item(record))),
    };
    Ok(Json(Page {
        items: page.conflicts.iter().map(listed).collect::<Result<_, _>>()?,
        next_cursor: page.next.map(|cursor| cursor.to_string()),
    }))
}

fn filter(params: &Params) -> Result<ConflictFilter, Problem> {
    let wrong = |what: String| Problem::new(Code::InvalidRequest, what);
    let moment = |name: &str| {
        let Some(text) = params.text(name) else { return Ok(None) };
        parse_rfc3339(text).map(Some).ok_or_else(|| {
            wrong(format!("{name} is a moment such as 2026-11-20T19:33:32Z, not {text:?}"))
        })
    };
    let strategy = match params.text("resolution_strategy") {
        None => None,
        Some("lww") => Some(Strategy::Lww),
        Some("merge-function") => Some(Strategy::MergeFunction),
        Some(other) => {
            return Err(wrong(format!(
                "resolution_strategy is lww or merge-function, not {other:?}"
            )));
        }
    };
    let outcome = match params.text("outcome") {
        None => None,
        Some("merged") => Some(Outcome::Merged),
        Some("fallback") => Some(Outcome::Fallback),
        Some("waiting") => Some(Outcome::Waiting),
        Some(other) => {
            return Err(wrong(format!("outcome is merged, fallback or waiting, not {other:?}")));
        }
    };
    Ok(ConflictFilter {
        table: params.text("table").map(params::table).transpose()?,
        row_pk: params.text("row_pk").map(params::row_pk).transpose()?,
        from_ms: moment("from")?,
        to_ms: moment("to")?,
        strategy,
        outcome,
    })
}

/// `GET /v1/conflicts/{id}`
pub(super) async fn show(
    State(api): State<Api>,
    id: PathOf<String>,
) -> Result<Json<Whole>, Problem> {
    let text = params::path(id)?;
    let id: ConflictId = text.parse().map_err(|error| Problem::new(Code::InvalidRequest, error))?;
    let region = api.region;
    let record = blocking(move || Ok(conflict::get(region.store(), &id)?)).await?;
    let record = record.ok_or_else(|| {
        Problem::new(
            Code::ConflictNotFound,
            format!("conflict {id} was not met here, or is long gone"),
        )
    })?;
    whole(&record).map(Json)
}

fn item(record: &ConflictRecord) -> Item {
    let head = |change: &ChangeId| Head {
        region: change.region.to_string(),
        hlc: change.hlc.to_string(),
        event_id: change.event_id(),
    };
    let (strategy, function) = match record.stamp {
        Stamp::Lww => ("lww", None),
        Stamp::Function(version) => ("merge-function", Some(version.to_string())),
    };
    let newest = record.sides.last();
    let (outcome, winner) = match &record.outcome {
        ConflictOutcome::Merged(_) if record.stamp == Stamp::Lww => ("merged", newest),
        ConflictOutcome::Merged(_) if !record.has_images => ("merged", None),
        ConflictOutcome::Merged(image) => {
            // A function that answers with one side's image has let that side win.
            ("merged", record.sides.iter().rev().find(|side| side.image == *image))
        }
        ConflictOutcome::Fallback { .. } => ("fallback", newest),
        ConflictOutcome::Waiting { .. } => ("waiting", None),
    };
    Item {
        conflict_id: record.id.to_string(),
        table_name: record.row.table.to_string(),
        row_pk: record.row.pk.to_string(),
        heads: record.sides.iter().map(|side| head(&side.change)).collect(),
        resolution_strategy: strategy,
        outcome,
        merge_function: function,
        winner_event_id: winner.map(|side| side.change.event_id()),
        resolved_at: rfc3339(record.resolved_at_ms),
        images_kept: record.has_images,
    }
}

fn whole(record: &ConflictRecord) -> Result<Whole, Problem> {
    let image = |image: Option<&Image>| image.map(raw).transpose();
    let side = |side: &ConflictSide| -> Result<Side, Problem> {
        Ok(Side {
            region: side.change.region.to_string(),
            hlc: side.change.hlc.to_string(),
            operation: match side.operation {
                Operation::Insert => "insert",
                Operation::Update => "update",
                Operation::Delete => "delete",
            },
            image: image(side.image.as_ref())?,
            ancestor: image(side.ancestor.image())?,
            ancestor_known: matches!(side.ancestor, Ancestor::Known(_)),
        })
    };
    let fault = match &record.outcome {
        ConflictOutcome::Merged(_) => None,
        ConflictOutcome::Fallback { code, text } => {
            Some(Fault { code: code.clone(), text: text.clone() })
        }
        ConflictOutcome::Waiting { reason } => {
            Some(Fault { code: "host-fault".into(), text: reason.clone() })
        }
    };
    // Of two heads there is one ancestor; of more, each stands beside the head it was used for.
    let ancestor = record.sides.get(1).and_then(|side| side.ancestor.image());
    Ok(Whole {
        item: item(record),
        ancestor: image(ancestor)?,
        sides: record.sides.iter().map(side).collect::<Result<_, _>>()?,
        result: image(record.result())?,
        fault,
    })
}
