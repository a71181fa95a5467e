//! What control records say of versions, written, read and checked.

use serde::Deserialize;
use serde_json::value::RawValue;
use syncline_core::{FunctionVersion, RolloutText, VersionRecord};

use super::encode::Object;
use super::entries::Text;
use super::fields::{self, Reason};

pub(super) fn encode(record: &VersionRecord) -> Vec<u8> {
    let mut json = Object::open(256);
    let (kind, said) = match record {
        VersionRecord::Retire { actor, why, .. } => ("version_retire", Some((actor, Some(why)))),
        VersionRecord::Reinstate { actor, why, .. } => {
            ("version_reinstate", Some((actor, Some(why))))
        }
        VersionRecord::Delete { actor, why, .. } => ("version_delete", Some((actor, Some(why)))),
        VersionRecord::Upload { actor, .. } => ("version_upload", Some((actor, None))),
        VersionRecord::Released { .. } => ("version_released", None),
    };
    json.text("type", kind);
    json.display("version", record.version());
    if let VersionRecord::Released { deletion, .. } = record {
        json.id("deletion", deletion);
    }
    if let Some((actor, why)) = said {
        json.text("actor", actor.as_str());
        if let Some(why) = why {
            json.text("why", why.as_str());
        }
    }
    json.close()
}

#[derive(Deserialize)]
struct AskedJson<'a> {
    #[serde(borrow)]
    version: Text<'a>,
    #[serde(borrow)]
    actor: Text<'a>,
    #[serde(borrow)]
    why: Text<'a>,
}

/// What people ask for: version, who, why.
type Asked = (FunctionVersion, RolloutText, RolloutText);

fn asked(json: &str) -> Result<Asked, Reason> {
    let json: AskedJson<'_> = fields::object(json)?;
    let version = fields::version(&json.version.0)?;
    Ok((version, text("actor", &json.actor)?, text("why", &json.why)?))
}

pub(super) fn retire(json: &str) -> Result<VersionRecord, Reason> {
    let (version, actor, why) = asked(json)?;
    Ok(VersionRecord::Retire { version, actor, why })
}

pub(super) fn reinstate(json: &str) -> Result<VersionRecord, Reason> {
    let (version, actor, why) = asked(json)?;
    Ok(VersionRecord::Reinstate { version, actor, why })
}

pub(super) fn delete(json: &str) -> Result<VersionRecord, Reason> {
    let (version, actor, why) = asked(json)?;
    Ok(VersionRecord::Delete { version, actor, why })
}

#[derive(Deserialize)]
struct UploadJson<'a> {
    #[serde(borrow)]
    version: Text<'a>,
    #[serde(borrow)]
    actor: Text<'a>,
}

pub(super) fn upload(json: &str) -> Result<VersionRecord, Reason> {
    let json: UploadJson<'_> = fields::object(json)?;
    let version = fields::version(&json.version.0)?;
    Ok(VersionRecord::Upload { version, actor: text("actor", &json.actor)? })
}

#[derive(Deserialize)]
struct ReleasedJson<'a> {
    #[serde(borrow)]
    version: Text<'a>,
    #[serde(borrow)]
    deletion: &'a RawValue,
}

pub(super) fn released(json: &str) -> Result<VersionRecord, Reason> {
    let json: ReleasedJson<'_> = fields::object(json)?;
    Ok(VersionRecord::Released {
        version: fields::version(&json.version.0)?,
        deletion: fields::record_id("deletion", json.deletion.get())?,
    })
}

fn text(what: &str, text: &Text<'_>) -> Result<RolloutText, Reason> {
    text.0.parse().map_err(|error| format!("{what}: {error}"))
}
