//! Values of the core, for property tests.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use syncline_core::{
    Ancestor, Change, ChangeId, ChangeRecord, ConflictId, ConflictOutcome, ConflictRecord,
    ConflictSide, Cut, FunctionVersion, Held, Hlc, Image, Link, LinkCounters, LinkState, Operation,
    OwnCounters, PartitionMeta, RegionId, RowKey, RowState, Stamp, VersionVector,
};

pub(crate) fn hlc() -> impl Strategy<Value = Hlc> {
    prop_oneof![0..5u64, 0..=Hlc::MAX.bits()].prop_map(|bits| Hlc::from_bits(bits).unwrap())
}

pub(crate) fn region() -> impl Strategy<Value = RegionId> {
    prop::sample::select(vec!["a", "b", "eu-west-1", "eu-west-1#2", "us_east", "a-b"])
        .prop_map(|name| name.parse().unwrap())
}

pub(crate) fn change_id() -> impl Strategy<Value = ChangeId> {
    (hlc(), region()).prop_map(|(hlc, region)| ChangeId { hlc, region })
}

pub(crate) fn vector() -> impl Strategy<Value = VersionVector> {
    vec((region(), hlc()), 0..6).prop_map(VersionVector::from_iter)
}

pub(crate) fn row() -> impl Strategy<Value = RowKey> {
    let pk = "[ -~é日]{1,12}";
    ("[A-Za-z_][A-Za-z0-9_.-]{0,6}", pk)
        .prop_map(|(table, pk)| RowKey { table: table.parse().unwrap(), pk: pk.parse().unwrap() })
}

pub(crate) fn image() -> impl Strategy<Value = Option<Image>> {
    option::of(vec(any::<u8>(), 0..200).prop_map(Image::opaque))
}

pub(crate) fn version() -> impl Strategy<Value = FunctionVersion> {
    any::<[u8; 32]>().prop_map(FunctionVersion)
}

pub(crate) fn stamp() -> impl Strategy<Value = Stamp> {
    option::of(version()).prop_map(|version| version.map_or(Stamp::Lww, Stamp::Function))
}

pub(crate) fn operation() -> impl Strategy<Value = Operation> {
    prop::sample::select(vec![Operation::Insert, Operation::Update, Operation::Delete])
}

pub(crate) fn row_state() -> impl Strategy<Value = RowState> {
    (vector(), vec(change_id(), 0..4), image(), option::of((vector(), image()))).prop_map(
        |(vv, heads, image, floor)| {
            let (floor, floor_image) = floor.unwrap_or((vv.clone(), image.clone()));
            RowState { vv, heads, image, floor, floor_image }
        },
    )
}

pub(crate) fn held() -> impl Strategy<Value = Held> {
    (change_id(), vector(), operation(), image(), stamp())
        .prop_map(|(id, vv, operation, after, stamp)| Held { id, vv, operation, after, stamp })
}

pub(crate) fn record() -> impl Strategy<Value = ChangeRecord> {
    (row(), (change_id(), hlc()), vector(), operation(), (image(), image()), stamp()).prop_map(
        |(row, (id, prev), context, operation, (before, after), stamp)| ChangeRecord {
            row,
            change: Change { id, context, operation, before, after, stamp },
            prev,
        },
    )
}

pub(crate) fn cut() -> impl Strategy<Value = Cut> {
    (hlc(), hlc()).prop_map(|(taken, heartbeat)| Cut { taken, heartbeat })
}

fn link() -> impl Strategy<Value = Link> {
    let state = prop_oneof![
        Just(LinkState::Live),
        Just(LinkState::Fenced),
        cut().prop_map(LinkState::Cut),
        cut().prop_map(LinkState::Gone),
    ];
    (hlc(), hlc(), any::<[u64; 7]>(), state).prop_map(|(taken, heartbeat, counts, state)| {
        let [consumed, applied, duplicate, gap, quarantined, dropped, heartbeats] = counts;
        let counters =
            LinkCounters { consumed, applied, duplicate, gap, quarantined, dropped, heartbeats };
        Link { taken, heartbeat, counters, state }
    })
}

pub(crate) fn meta() -> impl Strategy<Value = PartitionMeta> {
    let counts = (any::<u64>(), any::<u64>());
    let own = (hlc(), hlc(), hlc(), counts);
    (own, vector(), vector(), vec((region(), link()), 0..4), vec((region(), any::<u64>()), 0..4))
        .prop_map(
            |(
                (own_change, own_heartbeat, confirmed, counts),
                watermarks,
                stable,
                links,
                positions,
            )| {
                PartitionMeta {
                    own_change,
                    own_heartbeat,
                    confirmed,
                    own: OwnCounters { produced: counts.0, confirmed: counts.1 },
                    watermarks,
                    stable,
                    links,
                    positions,
                }
            },
        )
}

fn ancestor() -> impl Strategy<Value = Ancestor> {
    prop_oneof![Just(Ancestor::Unknown), image().prop_map(Ancestor::Known)]
}

fn side() -> impl Strategy<Value = ConflictSide> {
    (change_id(), operation(), image(), ancestor()).prop_map(
        |(change, operation, image, ancestor)| ConflictSide { change, operation, image, ancestor },
    )
}

fn outcome() -> impl Strategy<Value = ConflictOutcome> {
    prop_oneof![
        image().prop_map(ConflictOutcome::Merged),
        (".{0,9}", ".{0,9}").prop_map(|(code, text)| ConflictOutcome::Fallback { code, text }),
        ".{0,9}".prop_map(|reason| ConflictOutcome::Waiting { reason }),
    ]
}

pub(crate) fn conflict() -> impl Strategy<Value = ConflictRecord> {
    (any::<[u8; 16]>(), row(), vec(side(), 2..4), stamp(), outcome(), any::<u64>()).prop_map(
        |(id, row, sides, stamp, outcome, resolved_at_ms)| ConflictRecord {
            id: ConflictId(id),
            row,
            sides,
            stamp,
            outcome,
            resolved_at_ms,
            has_images: true,
        },
    )
}
