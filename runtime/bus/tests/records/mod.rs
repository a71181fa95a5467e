//! Records for the tests of the wire format.
#![allow(dead_code, reason = "each test binary uses its part")]

use proptest::prelude::*;
use syncline_core::{
    CallCounters, Change, ChangeId, ChangeRecord, ComponentChunk, ConflictId, ControlBody,
    ControlRecord, CreateRollout, Cut, Evidence, FunctionVersion, Gate, GateKind, GateReading,
    Heartbeat, Hlc, Image, MembershipAnswer, MembershipChange, MembershipId, MembershipRecord,
    Operation, Outcome, PreviousRollout, RegionId, RolloutCommand, RolloutCounters,
    RolloutDecision, RolloutEnd, RolloutGates, RolloutId, RolloutPlace, RolloutPlan, RolloutRecord,
    RolloutStage, RolloutText, RowKey, STATE_TABLES_MAX, SelfTest, ShortDigest, Stamp, StateDigest,
    TableName, VersionRecord, VersionVector,
};

pub fn region(name: &str) -> RegionId {
    name.parse().unwrap()
}

pub fn hlc(millis: u64, counter: u16) -> Hlc {
    Hlc::new(millis, counter).unwrap()
}

pub fn image(json: &str) -> Option<Image> {
    Some(Image::from_canonical(json.as_bytes()).unwrap())
}

pub fn vector(entries: &[(&str, Hlc)]) -> VersionVector {
    entries.iter().map(|(name, hlc)| (region(name), *hlc)).collect()
}

/// The record of the contract's page.
pub fn update() -> ChangeRecord {
    ChangeRecord {
        row: RowKey { table: "carts".parse().unwrap(), pk: "c-17".parse().unwrap() },
        change: Change {
            id: ChangeId { hlc: hlc(1_795_203_212_955, 0), region: region("us-east-1") },
            context: vector(&[
                ("eu-west-1", hlc(1_795_203_200_000, 0)),
                ("us-east-1", hlc(1_795_203_211_020, 2)),
            ]),
            operation: Operation::Update,
            before: image(r#"{"items":[]}"#),
            after: image(r#"{"items":["sku-1"],"total":12.50,"version":9007199254740993}"#),
            stamp: Stamp::Function(FunctionVersion([0xab; 32])),
        },
        prev: hlc(1_795_203_211_020, 2),
    }
}

pub fn insert() -> ChangeRecord {
    let mut record = update();
    record.change.context = VersionVector::new();
    record.change.operation = Operation::Insert;
    record.change.before = None;
    record.change.stamp = Stamp::Lww;
    record.prev = Hlc::ZERO;
    record
}

pub fn delete() -> ChangeRecord {
    let mut record = update();
    record.change.operation = Operation::Delete;
    record.change.after = None;
    record
}

/// A delete of a row that was not there.
pub fn delete_of_nothing() -> ChangeRecord {
    let mut record = delete();
    record.change.before = None;
    record
}

pub fn second_incarnation() -> ChangeRecord {
    let mut record = insert();
    record.change.id =
        ChangeId { hlc: hlc(1_795_203_212_955, 65_535), region: region("eu-west-1#2") };
    record.change.context =
        vector(&[("eu-west-1", hlc(5, 1)), ("eu-west-1#2", hlc(1_795_203_212_955, 65_534))]);
    record
}

/// What must be escaped in JSON, and what must not.
pub fn escapes() -> ChangeRecord {
    let mut record = insert();
    record.row.pk = "a \"quoted\" \\ path/é/日本/\u{1f600}/\u{2028}".parse().unwrap();
    record.change.after = image("{\"\\\"\\\\\":\"\\n\\u001f/é\u{1f600}\u{2028}\",\"z\":-0}");
    record
}

pub fn heartbeat() -> Heartbeat {
    Heartbeat {
        region: region("us-east-1"),
        hlc: hlc(1_795_203_213_000, 0),
        prev: hlc(1_795_203_212_955, 0),
        watermarks: vector(&[
            ("eu-west-1#2", hlc(1_795_203_200_000, 0)),
            ("us-east-1", hlc(1_795_203_213_000, 0)),
        ]),
        taken: vector(&[("eu-west-1#2", hlc(1_795_203_199_000, 7))]),
        evidence: Evidence::default(),
        wall_ms: 1_795_203_213_000,
    }
}

/// Of a region whose wall clock is an hour ahead.
pub fn heartbeat_ahead() -> Heartbeat {
    Heartbeat { wall_ms: 1_795_206_813_000, ..heartbeat() }
}

/// With all that others can compare.
pub fn heartbeat_with_evidence() -> Heartbeat {
    let digest = |byte| ShortDigest([byte; 16]);
    let of = |stamp, byte| Outcome { stamp, result: digest(byte) };
    let function = Stamp::Function(FunctionVersion([0xab; 32]));
    let outcomes = [(1, of(function, 2)), (3, of(Stamp::Lww, 4)), (5, of(function, 6))];
    let outcomes = outcomes.map(|(byte, outcome)| (ConflictId([byte; 16]), outcome));
    let tables = [("carts", 8), ("users", 9)];
    let tables = tables.map(|(table, byte)| (table.parse().unwrap(), digest(byte)));
    let evidence = Evidence {
        engine: Some("wasmtime 48.0.8, x86_64-linux".parse().unwrap()),
        outcomes: outcomes.into_iter().collect(),
        state: Some(StateDigest { all: digest(7), tables: tables.into_iter().collect() }),
    };
    Heartbeat { evidence, ..heartbeat() }
}

pub fn control(body: ControlBody) -> ControlRecord {
    ControlRecord {
        id: ChangeId { hlc: hlc(1_795_203_212_955, 0), region: region("us-east-1") },
        prev: hlc(1_795_203_211_020, 2),
        body,
    }
}

pub fn chunk() -> ControlRecord {
    let bytes: Vec<u8> = (0..=255).collect();
    control(ControlBody::Component(ComponentChunk {
        version: FunctionVersion([0xab; 32]),
        index: 1,
        count: 3,
        bytes: bytes.into(),
    }))
}

pub fn rollout(record: RolloutRecord) -> ControlRecord {
    control(ControlBody::Rollout(record))
}

pub fn rollout_id() -> RolloutId {
    RolloutId(ChangeId { hlc: hlc(1_795_203_212_000, 4), region: region("eu-west-1#2") })
}

pub fn text(text: &str) -> RolloutText {
    text.parse().unwrap()
}

/// The shortest there is, or one with everything.
pub fn create(previous: Option<RolloutId>) -> ControlRecord {
    let is_first = previous.is_none();
    let previous = previous.map(|rollout| PreviousRollout { rollout, ended: RolloutEnd::Complete });
    let gate = |limit_ppm| Some(Gate { limit_ppm, min_conflicts: 500 });
    let stage = |names: &[&str], rest| RolloutStage {
        regions: names.iter().map(|name| region(name)).collect(),
        rest,
    };
    let plan = RolloutPlan {
        stages: vec![stage(&["us-east-1"], false), stage(&["ap-south-1"], true)],
        bake_ms: 600_000,
        shadow_ms: 300_000,
        manual: true,
        gates: RolloutGates {
            fault_rate: gate(10_000),
            shadow_difference_rate: gate(500_000),
            fuel_p99: gate(800_000),
        },
    };
    rollout(RolloutRecord::Create(Box::new(CreateRollout {
        table: "carts".parse().unwrap(),
        version: FunctionVersion([0xab; 32]).into(),
        previous,
        plan: if is_first { RolloutPlan::default() } else { plan },
        actor: text("ana"),
        why: text(if is_first { "" } else { "carts keep \"gifts\"" }),
    })))
}

/// A record of each kind but creations, with a name.
pub fn rollout_records() -> Vec<(&'static str, ControlRecord)> {
    let command = |command| RolloutRecord::Command {
        rollout: rollout_id(),
        command,
        actor: text("ana"),
        why: text("as agreed"),
    };
    let (from, to) = (RolloutPlace::Stage(1), RolloutPlace::Stage(2));
    let decision = |decision| RolloutRecord::Decision {
        rollout: rollout_id(),
        decision,
        gates: vec![GateReading { gate: GateKind::FaultRate, value_ppm: 50_000, conflicts: 520 }],
        why: text("fault_rate is 5 % of 520 conflicts, the gate is at 1 %"),
    };
    let mut calls = CallCounters { conflicts: 520, ..Default::default() };
    (calls.faults[0], calls.fuel[3], calls.latency[9]) = (26, 520, 520);
    let shadow = CallCounters::default();
    let counters = RolloutCounters { live: calls, shadow, different: 3, dropped: 1 };
    let self_test = SelfTest { digest: [0xcd; 32], profile: 1 };
    let at = rollout_id;
    let records = [
        ("control-rollout-ready", RolloutRecord::Ready { rollout: at(), self_test }),
        (
            "control-rollout-unready",
            RolloutRecord::Unready { rollout: at(), reason: text("it does not compile here") },
        ),
        ("control-rollout-promote", command(RolloutCommand::Promote { from, to })),
        ("control-rollout-pause", command(RolloutCommand::Pause)),
        ("control-rollout-resume", command(RolloutCommand::Resume { pause: at().0 })),
        ("control-rollout-abort", command(RolloutCommand::Abort)),
        ("control-rollout-claim", command(RolloutCommand::Claim { from: region("us-east-1#2") })),
        (
            "control-rollout-decision-move",
            decision(RolloutDecision::Move { from, to: RolloutPlace::Complete }),
        ),
        ("control-rollout-decision-abort", decision(RolloutDecision::Abort)),
        ("control-rollout-active", RolloutRecord::Active { rollout: at() }),
        ("control-rollout-inactive", RolloutRecord::Inactive { rollout: at() }),
        (
            "control-rollout-report",
            RolloutRecord::Report { rollout: at(), counters: Box::new(counters) },
        ),
    ];
    records.map(|(name, record)| (name, rollout(record))).to_vec()
}

/// Each record of a version, with the name of its file.
pub fn version_records() -> Vec<(&'static str, ControlRecord)> {
    let version = FunctionVersion([7; 32]);
    let (actor, why) = (RolloutText::cut("ann"), RolloutText::cut("it loses \"prices\""));
    let said = || (actor.clone(), why.clone());
    let records = [
        ("control-version-retire", {
            let (actor, why) = said();
            VersionRecord::Retire { version, actor, why }
        }),
        ("control-version-reinstate", {
            let (actor, why) = said();
            VersionRecord::Reinstate { version, actor, why }
        }),
        ("control-version-delete", {
            let (actor, why) = said();
            VersionRecord::Delete { version, actor, why }
        }),
        ("control-version-upload", VersionRecord::Upload { version, actor: said().0 }),
        ("control-version-released", VersionRecord::Released { version, deletion: rollout_id().0 }),
    ];
    records.map(|(name, record)| (name, control(ControlBody::Version(record)))).to_vec()
}

pub fn membership(record: MembershipRecord) -> ControlRecord {
    control(ControlBody::Membership(record))
}

pub fn membership_id() -> MembershipId {
    MembershipId(ChangeId { hlc: hlc(1_795_203_212_000, 5), region: region("us-east-1#2") })
}

pub fn join(previous: Option<MembershipId>) -> ControlRecord {
    let change = MembershipChange::Join { region: region("eu-west-1#2") };
    membership(MembershipRecord::Propose { previous, change })
}

pub fn evict() -> ControlRecord {
    let gone = [region("ap-south-1"), region("eu-west-1#2")].into();
    let change = MembershipChange::Evict { gone };
    membership(MembershipRecord::Propose { previous: Some(membership_id()), change })
}

pub fn accept(answer: MembershipAnswer) -> ControlRecord {
    membership(MembershipRecord::Accept { change: membership_id(), answer })
}

/// Of two row partitions; nothing is stable in the second.
pub fn counted() -> ControlRecord {
    let stable = vector(&[
        ("eu-west-1", hlc(1_795_203_200_000, 0)),
        ("us-east-1#2", hlc(1_795_203_211_020, 2)),
    ]);
    accept(MembershipAnswer::Counted { stable: vec![stable, VersionVector::new()] })
}

/// Of a row partition and the control partition; in the latter nothing was taken.
pub fn fenced() -> ControlRecord {
    let cut = |taken, heartbeat| Cut { taken, heartbeat };
    let rows = cut(hlc(1_795_203_200_000, 0), hlc(1_795_203_211_020, 2));
    let control = cut(Hlc::ZERO, hlc(1_795_203_211_021, 0));
    let last = [
        (region("ap-south-1"), vec![rows, control]),
        (region("eu-west-1#2"), vec![Cut::default(); 2]),
    ];
    accept(MembershipAnswer::Fenced { last: last.into() })
}

pub fn refuse() -> ControlRecord {
    let bound_to = MembershipId(rollout_id().0);
    membership(MembershipRecord::Refuse { change: membership_id(), bound_to })
}

pub fn done() -> ControlRecord {
    membership(MembershipRecord::Done { change: membership_id() })
}

fn any_region() -> impl Strategy<Value = RegionId> {
    ("[a-zA-Z0-9_-]{1,64}", prop_oneof![3 => Just(1u32), 1 => 2u32..])
        .prop_map(|(name, incarnation)| RegionId::with_incarnation(&name, incarnation).unwrap())
}

fn any_table() -> impl Strategy<Value = TableName> {
    "[A-Za-z_][A-Za-z0-9_.-]{0,127}".prop_map(|name| name.parse().unwrap())
}

fn any_row() -> impl Strategy<Value = RowKey> {
    (any_table(), "[^\\p{Cc}]{1,60}")
        .prop_map(|(table, pk)| RowKey { table, pk: pk.parse().unwrap() })
}

/// An HLC and an earlier one.
fn any_chain() -> impl Strategy<Value = (Hlc, Hlc)> {
    (1..=Hlc::MAX.bits())
        .prop_flat_map(|bits| (Just(bits), prop_oneof![Just(0), 0..bits]))
        .prop_map(|(hlc, prev)| (Hlc::from_bits(hlc).unwrap(), Hlc::from_bits(prev).unwrap()))
}

fn any_vector(below: Hlc) -> impl Strategy<Value = VersionVector> {
    prop::collection::vec((any_region(), 0..below.bits()), 0..8).prop_map(|entries| {
        entries.into_iter().map(|(r, bits)| (r, Hlc::from_bits(bits).unwrap())).collect()
    })
}

fn any_json() -> impl Strategy<Value = String> {
    let number = prop_oneof![any::<i64>().prop_map(|n| n.to_string()), Just("1.50e+07".to_owned())];
    let string = any::<String>().prop_map(|text| serde_json::to_string(&text).unwrap());
    let leaf = prop_oneof![Just("null".to_owned()), Just("true".to_owned()), number, string];
    leaf.prop_recursive(4, 20, 4, |inner| {
        let list = prop::collection::vec(inner.clone(), 0..4);
        let members = prop::collection::btree_map(any::<String>(), inner, 0..4);
        prop_oneof![
            list.prop_map(|items| format!("[{}]", items.join(","))),
            members.prop_map(object),
        ]
    })
}

fn object(members: std::collections::BTreeMap<String, String>) -> String {
    let members = members.into_iter();
    let members: Vec<_> = members
        .map(|(key, value)| format!("{}:{value}", serde_json::to_string(&key).unwrap()))
        .collect();
    format!("{{{}}}", members.join(","))
}

fn any_image() -> impl Strategy<Value = Option<Image>> {
    let members = prop::collection::btree_map(any::<String>(), any_json(), 0..4);
    let image =
        members.prop_map(|members| Image::canonicalize(object(members).as_bytes()).unwrap());
    prop::option::weighted(0.7, image)
}

fn any_version() -> impl Strategy<Value = FunctionVersion> {
    any::<[u8; 32]>().prop_map(FunctionVersion)
}

fn any_stamp() -> impl Strategy<Value = Stamp> {
    prop_oneof![Just(Stamp::Lww), any_version().prop_map(Stamp::Function)]
}

pub fn any_change() -> impl Strategy<Value = ChangeRecord> {
    let images = (any_image(), any_image());
    let id = (any_region(), any_chain());
    (any_row(), id, images, any_stamp()).prop_flat_map(
        |(row, (region, (hlc, prev)), images, stamp)| {
            let (before, after) = images;
            any_vector(hlc).prop_map(move |context| ChangeRecord {
                row: row.clone(),
                change: Change {
                    id: ChangeId { hlc, region: region.clone() },
                    context,
                    operation: Operation::of(before.as_ref(), after.as_ref()),
                    before: before.clone(),
                    after: after.clone(),
                    stamp,
                },
                prev,
            })
        },
    )
}

pub fn any_heartbeat() -> impl Strategy<Value = Heartbeat> {
    let vectors = (any_vector(Hlc::MAX), any_vector(Hlc::MAX));
    let wall = prop_oneof![Just(None), any::<Option<u64>>()];
    (any_region(), any_chain(), vectors, any_evidence(), wall).prop_map(
        |(region, (hlc, prev), (watermarks, taken), evidence, wall_ms)| Heartbeat {
            region,
            hlc,
            prev,
            watermarks,
            taken,
            evidence,
            wall_ms: wall_ms.unwrap_or(hlc.millis()),
        },
    )
}

fn any_evidence() -> impl Strategy<Value = Evidence> {
    let digest = || any::<[u8; 16]>().prop_map(ShortDigest);
    let stamp = proptest::option::of(any::<[u8; 32]>()).prop_map(|version| match version {
        Some(version) => Stamp::Function(FunctionVersion(version)),
        None => Stamp::Lww,
    });
    let outcome = (stamp, digest()).prop_map(|(stamp, result)| Outcome { stamp, result });
    let conflict = any::<[u8; 16]>().prop_map(ConflictId);
    let tables = prop::collection::btree_map("[a-z]{1,9}", digest(), 0..STATE_TABLES_MAX);
    let state = (digest(), tables).prop_map(|(all, tables)| {
        let tables = tables.into_iter().map(|(table, of)| (table.parse().unwrap(), of));
        StateDigest { all, tables: tables.collect() }
    });
    let engine = proptest::option::of("[ -~]{1,64}");
    let outcomes = prop::collection::btree_map(conflict, outcome, 0..9);
    (engine, outcomes, proptest::option::of(state)).prop_map(|(engine, outcomes, state)| Evidence {
        engine: engine.map(|engine| engine.parse().unwrap()),
        outcomes,
        state,
    })
}

fn any_record_id() -> impl Strategy<Value = ChangeId> {
    (any_region(), any_chain()).prop_map(|(region, (hlc, _))| ChangeId { hlc, region })
}

fn any_membership_answer() -> impl Strategy<Value = MembershipAnswer> {
    let any_hlc =
        || prop_oneof![Just(0), 0..=Hlc::MAX.bits()].prop_map(|bits| Hlc::from_bits(bits).unwrap());
    let cut = (any_hlc(), any_hlc()).prop_map(|(taken, heartbeat)| Cut { taken, heartbeat });
    let cuts = prop::collection::vec(cut, 0..5);
    prop_oneof![
        prop::collection::vec(any_vector(Hlc::MAX), 0..5)
            .prop_map(|stable| MembershipAnswer::Counted { stable }),
        prop::collection::btree_map(any_region(), cuts, 0..4)
            .prop_map(|last| MembershipAnswer::Fenced { last }),
    ]
}

fn any_membership() -> impl Strategy<Value = MembershipRecord> {
    let id = || any_record_id().prop_map(MembershipId);
    let change = prop_oneof![
        any_region().prop_map(|region| MembershipChange::Join { region }),
        prop::collection::btree_set(any_region(), 0..5)
            .prop_map(|gone| MembershipChange::Evict { gone }),
    ];
    prop_oneof![
        (prop::option::of(id()), change)
            .prop_map(|(previous, change)| MembershipRecord::Propose { previous, change }),
        (id(), any_membership_answer())
            .prop_map(|(change, answer)| MembershipRecord::Accept { change, answer }),
        (id(), id()).prop_map(|(change, bound_to)| MembershipRecord::Refuse { change, bound_to }),
        id().prop_map(|change| MembershipRecord::Done { change }),
    ]
}

pub fn any_control() -> impl Strategy<Value = ControlRecord> {
    let id = || any_record_id().prop_map(RolloutId);
    let chunk = (any_version(), 1..=32u32, 0..32u32, prop::collection::vec(any::<u8>(), 0..400))
        .prop_map(|(version, count, index, bytes)| {
            let (index, bytes) = (index % count, bytes.into());
            ControlBody::Component(ComponentChunk { version, index, count, bytes })
        });
    let create = (any_table(), any_stamp(), prop::option::of(id())).prop_map(
        |(table, version, previous)| {
            let ControlBody::Rollout(RolloutRecord::Create(like)) = create(previous).body else {
                panic!("a creation")
            };
            RolloutRecord::Create(Box::new(CreateRollout { table, version, ..*like }))
        },
    );
    let others = rollout_records().into_iter().map(|(_, record)| match record.body {
        ControlBody::Rollout(record) => record,
        body => panic!("{body:?}"),
    });
    let ready = (id(), any::<[u8; 32]>(), any::<u32>()).prop_map(|(rollout, digest, profile)| {
        RolloutRecord::Ready { rollout, self_test: SelfTest { digest, profile } }
    });
    let rollout = prop_oneof![create, ready, prop::sample::select(others.collect::<Vec<_>>()),];
    let versions = version_records().into_iter().map(|(_, record)| record.body);
    let body = prop_oneof![
        chunk,
        prop::sample::select(versions.collect::<Vec<_>>()),
        rollout.prop_map(ControlBody::Rollout),
        any_membership().prop_map(ControlBody::Membership),
    ];
    (any_region(), any_chain(), body).prop_map(|(region, (hlc, prev), body)| ControlRecord {
        id: ChangeId { hlc, region },
        prev,
        body,
    })
}
