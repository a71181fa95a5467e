//! Records into envelopes.

use std::io::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use syncline_core::{
    ChangeId, ChangeRecord, ControlBody, ControlRecord, Cut, Heartbeat, Hlc, Image,
    MembershipAnswer, MembershipChange, MembershipRecord, Operation, RegionId, TableName,
    VersionVector,
};

use super::civil::rfc3339;
use super::{CONTENT_TYPE, CONTROL_KEY, HEARTBEAT_KEY, WIRE_VERSION};
use super::{evidence, rollout, version};
use crate::Envelope;

/// A change, for the lane of its partition. Its images are copied as they are: what is not
/// canonical here is refused by every reader.
pub fn encode_change(record: &ChangeRecord) -> Envelope {
    encode_tagged_change(record, &[])
}

/// The same, with further tags of its region: its own name is always the first.
pub fn encode_tagged_change(record: &ChangeRecord, tags: &[RegionId]) -> Envelope {
    let ChangeRecord { row, change, prev } = record;
    let images = [&change.before, &change.after].into_iter().flatten();
    let mut json = Object::open(1024 + images.map(|image| image.as_bytes().len()).sum::<usize>());
    let event_id = change.id.event_id();
    json.said_by(Some(&event_id), &change.id.region);
    json.text("table_name", row.table.as_str());
    json.text("row_pk", row.pk.as_str());
    json.text("operation", operation_word(change.operation));
    json.chain(change.id.hlc, *prev);
    json.text("committed_at", &rfc3339(change.id.hlc.millis()));
    json.vector("context", &change.context);
    json.image("before_image", change.before.as_ref());
    json.image("after_image", change.after.as_ref());
    json.display("merge_function", change.stamp);
    json.number("schema_version", 1);
    json.tags(&change.id.region, tags);
    Envelope {
        key: row.to_string(),
        headers: headers(&change.id.region, event_id, Some(&row.table), "change"),
        payload: json.close(),
    }
}

/// A heartbeat, for the lane whose partition it speaks of.
pub fn encode_heartbeat(beat: &Heartbeat) -> Envelope {
    encode_tagged_heartbeat(beat, &[])
}

/// As [`encode_tagged_change`].
pub fn encode_tagged_heartbeat(beat: &Heartbeat, tags: &[RegionId]) -> Envelope {
    let mut json = Object::open(512);
    json.said_by(None, &beat.region);
    json.chain(beat.hlc, beat.prev);
    json.vector("watermarks", &beat.watermarks);
    json.vector("taken", &beat.taken);
    evidence::encode(&mut json, &beat.evidence);
    if beat.wall_ms != beat.hlc.millis() {
        json.number("wall_ms", beat.wall_ms);
    }
    json.tags(&beat.region, tags);
    let event_id = ChangeId { hlc: beat.hlc, region: beat.region.clone() }.event_id();
    Envelope {
        key: HEARTBEAT_KEY.to_owned(),
        headers: headers(&beat.region, event_id, None, "heartbeat"),
        payload: json.close(),
    }
}

/// A control record, for the control lane.
pub fn encode_control(record: &ControlRecord) -> Envelope {
    let ControlRecord { id, prev, body } = record;
    let body = body_json(body);
    let mut json = Object::open(512 + body.len());
    let event_id = id.event_id();
    json.said_by(Some(&event_id), &id.region);
    json.chain(id.hlc, *prev);
    json.raw("body", &body);
    Envelope {
        key: CONTROL_KEY.to_owned(),
        headers: headers(&id.region, event_id, None, "control"),
        payload: json.close(),
    }
}

pub(super) fn operation_word(operation: Operation) -> &'static str {
    match operation {
        Operation::Insert => "insert",
        Operation::Update => "update",
        Operation::Delete => "delete",
    }
}

fn headers(
    region: &RegionId,
    event_id: String,
    table: Option<&TableName>,
    kind: &str,
) -> Vec<(String, String)> {
    let mut headers = vec![
        ("originating_region".to_owned(), region.as_str().to_owned()),
        ("event_id".to_owned(), event_id),
        ("kind".to_owned(), kind.to_owned()),
        ("content-type".to_owned(), CONTENT_TYPE.to_owned()),
    ];
    if let Some(table) = table {
        headers.insert(2, ("table_name".to_owned(), table.as_str().to_owned()));
    }
    headers
}

fn body_json(body: &ControlBody) -> Vec<u8> {
    match body {
        ControlBody::Component(chunk) => {
            let mut json = Object::open(256 + chunk.bytes.len() / 3 * 4);
            json.text("type", "component");
            json.display("version", chunk.version);
            json.number("index", chunk.index.into());
            json.number("count", chunk.count.into());
            json.text("bytes", &BASE64.encode(&chunk.bytes));
            json.close()
        }
        ControlBody::Rollout(record) => rollout::encode(record),
        ControlBody::Membership(record) => membership_json(record),
        ControlBody::Version(record) => version::encode(record),
    }
}

fn membership_json(record: &MembershipRecord) -> Vec<u8> {
    let mut json = Object::open(256);
    match record {
        MembershipRecord::Propose { previous, change } => {
            json.text("type", "membership_propose");
            json.id_or_null("previous", previous.as_ref().map(|previous| &previous.0));
            json.raw("change", &membership_change_json(change));
        }
        MembershipRecord::Accept { change, answer } => {
            json.text("type", "membership_accept");
            json.id("membership", &change.0);
            json.raw("answer", &membership_answer_json(answer));
        }
        MembershipRecord::Refuse { change, bound_to } => {
            json.text("type", "membership_refuse");
            json.id("membership", &change.0);
            json.id("bound_to", &bound_to.0);
        }
        MembershipRecord::Done { change } => {
            json.text("type", "membership_done");
            json.id("membership", &change.0);
        }
    }
    json.close()
}

fn membership_change_json(change: &MembershipChange) -> Vec<u8> {
    let mut json = Object::open(128);
    match change {
        MembershipChange::Join { region } => json.text("join", region.as_str()),
        MembershipChange::Evict { gone } => {
            json.list("evict", gone, |json, region| push_string(json, region.as_str()));
        }
    }
    json.close()
}

fn membership_answer_json(answer: &MembershipAnswer) -> Vec<u8> {
    let mut json = Object::open(1024);
    match answer {
        MembershipAnswer::Counted { stable } => {
            json.list("counted", stable, |json, vector| json.extend(vector_json(vector)));
        }
        MembershipAnswer::Fenced { last } => {
            let mut of_regions = Object::open(1024);
            for (region, cuts) in last {
                of_regions.list(region.as_str(), cuts, |json, Cut { taken, heartbeat }| {
                    push_display(json, format_args!("[\"{taken}\",\"{heartbeat}\"]"));
                });
            }
            json.raw("fenced", &of_regions.close());
        }
    }
    json.close()
}

fn vector_json(vector: &VersionVector) -> Vec<u8> {
    let mut json = Object::open(vector.len() * 48);
    for (region, hlc) in vector.iter() {
        json.display(region.as_str(), hlc);
    }
    json.close()
}

/// A JSON object that is being written, member by member, in the order of the calls.
pub(super) struct Object(Vec<u8>);

impl Object {
    pub(super) fn open(capacity: usize) -> Self {
        let mut json = Vec::with_capacity(capacity);
        json.push(b'{');
        Self(json)
    }

    pub(super) fn close(mut self) -> Vec<u8> {
        self.0.push(b'}');
        self.0
    }

    /// Who says it: what every record begins with.
    fn said_by(&mut self, event_id: Option<&str>, region: &RegionId) {
        self.number("v", WIRE_VERSION);
        if let Some(event_id) = event_id {
            self.text("event_id", event_id);
        }
        self.text("region_id", region.name());
        self.number("incarnation", region.incarnation().into());
    }

    /// When, and after what.
    fn chain(&mut self, hlc: Hlc, prev: Hlc) {
        self.display("hlc_timestamp", hlc);
        self.display("prev", prev);
    }

    fn name(&mut self, name: &str) {
        if self.0.len() > 1 {
            self.0.push(b',');
        }
        push_string(&mut self.0, name);
        self.0.push(b':');
    }

    pub(super) fn raw(&mut self, name: &str, json: &[u8]) {
        self.name(name);
        self.0.extend_from_slice(json);
    }

    pub(super) fn text(&mut self, name: &str, text: &str) {
        self.name(name);
        push_string(&mut self.0, text);
    }

    pub(super) fn number(&mut self, name: &str, number: u64) {
        self.name(name);
        push_display(&mut self.0, number);
    }

    /// A string whose text never needs an escape.
    pub(super) fn display(&mut self, name: &str, value: impl std::fmt::Display) {
        self.name(name);
        self.0.push(b'"');
        push_display(&mut self.0, value);
        self.0.push(b'"');
    }

    fn image(&mut self, name: &str, image: Option<&Image>) {
        self.raw(name, image.map_or(b"null", Image::as_bytes));
    }

    fn vector(&mut self, name: &str, vector: &VersionVector) {
        self.raw(name, &vector_json(vector));
    }

    pub(super) fn list<T>(
        &mut self,
        name: &str,
        items: impl IntoIterator<Item = T>,
        push: impl Fn(&mut Vec<u8>, T),
    ) {
        self.name(name);
        self.0.push(b'[');
        for (at, item) in items.into_iter().enumerate() {
            if at > 0 {
                self.0.push(b',');
            }
            push(&mut self.0, item);
        }
        self.0.push(b']');
    }

    /// The identity of a record that this one speaks of.
    pub(super) fn id(&mut self, name: &str, id: &ChangeId) {
        let mut json = Self::open(128);
        json.text("region", id.region.as_str());
        json.display("hlc", id.hlc);
        self.raw(name, &json.close());
    }

    pub(super) fn id_or_null(&mut self, name: &str, id: Option<&ChangeId>) {
        match id {
            Some(id) => self.id(name, id),
            None => self.raw(name, b"null"),
        }
    }

    /// What its region is called by those who ask for some regions only: its name, and its tags.
    fn tags(&mut self, region: &RegionId, more: &[RegionId]) {
        let more = more.iter().filter(|tag| *tag != region);
        self.list("region_tags", std::iter::once(region).chain(more), |json, region| {
            push_string(json, region.as_str())
        });
    }
}

pub(super) fn push_display(json: &mut Vec<u8>, value: impl std::fmt::Display) {
    // Writing into memory cannot fail.
    let _ = write!(json, "{value}");
}

/// With the escapes that JSON demands and no others.
pub(super) fn push_string(json: &mut Vec<u8>, text: &str) {
    json.push(b'"');
    let mut plain = 0;
    for (at, byte) in text.bytes().enumerate() {
        if byte >= 0x20 && byte != b'"' && byte != b'\\' {
            continue;
        }
        json.extend_from_slice(&text.as_bytes()[plain..at]);
        plain = at + 1;
        if byte < 0x20 {
            push_display(json, format_args!("\\u{byte:04x}"));
        } else {
            json.extend_from_slice(&[b'\\', byte]);
        }
    }
    json.extend_from_slice(&text.as_bytes()[plain..]);
    json.push(b'"');
}
