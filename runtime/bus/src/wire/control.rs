//! What control records say, read and checked.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::Deserialize;
use syncline_core::{CHUNK_BYTES_MAX, ComponentChunk, ControlBody, RolloutRecord};

use super::entries::Text;
use super::fields::{self, Reason};
use super::{membership, rollout, version};

#[derive(Deserialize)]
struct TypeAlone<'a> {
    #[serde(borrow, rename = "type")]
    of: Text<'a>,
}

pub(super) fn body(json: &str) -> Result<ControlBody, Reason> {
    // The type is read first, by itself: serde's own tagged enums would copy the whole body.
    let TypeAlone { of } = fields::object(json)?;
    match &*of.0 {
        "component" => component(json).map(ControlBody::Component),
        "rollout_create" => rollout::create(json).map(ControlBody::Rollout),
        "rollout_ready" => rollout::ready(json).map(ControlBody::Rollout),
        "rollout_unready" => rollout::unready(json).map(ControlBody::Rollout),
        "rollout_command" => rollout::command(json).map(ControlBody::Rollout),
        "rollout_decision" => rollout::decision(json).map(ControlBody::Rollout),
        "rollout_active" => {
            let active = |rollout| RolloutRecord::Active { rollout };
            rollout::about(json).map(active).map(ControlBody::Rollout)
        }
        "rollout_inactive" => {
            let inactive = |rollout| RolloutRecord::Inactive { rollout };
            rollout::about(json).map(inactive).map(ControlBody::Rollout)
        }
        "rollout_report" => rollout::report(json).map(ControlBody::Rollout),
        "membership_propose" => membership::propose(json).map(ControlBody::Membership),
        "membership_accept" => membership::accept(json).map(ControlBody::Membership),
        "membership_refuse" => membership::refuse(json).map(ControlBody::Membership),
        "membership_done" => membership::done(json).map(ControlBody::Membership),
        "version_retire" => version::retire(json).map(ControlBody::Version),
        "version_reinstate" => version::reinstate(json).map(ControlBody::Version),
        "version_delete" => version::delete(json).map(ControlBody::Version),
        "version_upload" => version::upload(json).map(ControlBody::Version),
        "version_released" => version::released(json).map(ControlBody::Version),
        other => {
            let shown: String = other.chars().take(80).collect();
            Err(format!("this software does not know the type {shown:?} of a control record"))
        }
    }
}

#[derive(Deserialize)]
struct ComponentJson<'a> {
    #[serde(borrow)]
    version: Text<'a>,
    index: u32,
    count: u32,
    #[serde(borrow)]
    bytes: Text<'a>,
}

fn component(json: &str) -> Result<ComponentChunk, Reason> {
    let json: ComponentJson<'_> = fields::object(json)?;
    if json.bytes.0.len() > CHUNK_BYTES_MAX.div_ceil(3) * 4 {
        return Err(format!("a part of a component is over its limit of {CHUNK_BYTES_MAX} bytes"));
    }
    let bytes =
        BASE64.decode(json.bytes.0.as_bytes()).map_err(|error| format!("bytes: {error}"))?;
    Ok(ComponentChunk {
        version: fields::version(&json.version.0)?,
        index: json.index,
        count: json.count,
        bytes: bytes.into(),
    })
}
