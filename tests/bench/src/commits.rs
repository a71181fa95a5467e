//! Commits as a partition's thread hands them over.

use std::sync::Arc;

use syncline_core::{
    Change, ChangeId, ChangeRecord, Commit, ConflictId, ConflictOutcome, ConflictRecord,
    ConflictSide, ConflictWrite, FunctionVersion, Held, HistoryWrite, Hlc, Image, Operation,
    PartitionMeta, RegionId, RowKey, RowState, RowWrite, Stamp, TableDigest, VersionVector,
};

/// Changes of a commit.
pub const CHANGES: u64 = 256;
/// The partition that all commits are of.
pub const PARTITION: u32 = 3;

fn hlc(n: u64) -> Hlc {
    Hlc::new(1_795_203_212_955 + n, 0).expect("within the bound")
}

fn region(name: &str) -> RegionId {
    name.parse().expect("a region's name")
}

/// An image of about 1 KB.
fn image(n: u64) -> Image {
    let items: Vec<String> =
        (0..24).map(|i| format!("{{\"n\":{n},\"sku\":\"sku-{i:020}\"}}")).collect();
    let json = format!("{{\"items\":[{}],\"owner\":\"customer {n}\"}}", items.join(","));
    Image::canonicalize(json.as_bytes()).expect("an object")
}

/// The row that a change is of: each has one of its own.
pub fn row(change: u64) -> RowKey {
    RowKey {
        table: "carts".parse().expect("a table's name"),
        pk: format!("customer-{change:012}").parse().expect("a row's key"),
    }
}

/// What a partition's thread hands over after 256 changes: half of them written here, half from two
/// other regions, some in conflict.
pub fn commit(number: u64) -> Commit {
    let (me, others) = (region("eu-west-1"), [region("us-east-1"), region("ap-south-1")]);
    let stamp = Stamp::Function(FunctionVersion([7; 32]));
    let mut commit = Commit { partition: PARTITION, ..Commit::default() };
    for n in number * CHANGES..(number + 1) * CHANGES {
        let author = if n % 2 == 0 { &me } else { &others[(n / 2 % 2) as usize] };
        let id = ChangeId { hlc: hlc(n), region: author.clone() };
        let row = row(n);
        let (before, after) = (image(n), image(n + 1));
        let floor: VersionVector = [(others[0].clone(), hlc(0))].into_iter().collect();
        let mut vv = floor.clone();
        vv.set(&id.region, id.hlc);
        let state = RowState {
            vv: vv.clone(),
            heads: vec![id.clone()],
            image: Some(after.clone()),
            floor,
            floor_image: Some(before.clone()),
        };
        let held = Held {
            id: id.clone(),
            vv: vv.clone(),
            operation: Operation::Update,
            after: Some(after.clone()),
            stamp,
        };
        commit.rows.push((row.clone(), RowWrite::Put(state)));
        commit.history.push((row.clone(), HistoryWrite::Put(Arc::new(held))));
        if n % 16 == 0 {
            commit.conflicts.push(ConflictWrite::Resolved(conflict(&row, &id, stamp, &after)));
        }
        if n % 2 == 0 {
            let (before, after) = (Some(before), Some(after));
            let operation = Operation::Update;
            let change = Change { id, context: vv, operation, before, after, stamp };
            commit.outbox.push(ChangeRecord { row, change, prev: hlc(n.saturating_sub(2)) });
        }
    }
    commit.digests.push(("carts".parse().expect("a name"), TableDigest { rows: 9, sum: [3; 4] }));
    let watermarks: VersionVector = others.iter().map(|r| (r.clone(), hlc(number))).collect();
    let positions = others.iter().map(|region| (region.clone(), number * 4096)).collect();
    let stable = watermarks.clone();
    commit.meta = PartitionMeta { watermarks, stable, positions, ..PartitionMeta::default() };
    commit
}

/// The rows alone of such a commit, whose changes came from other regions and met no other.
pub struct Arrived {
    /// Each with its history, and on top of a floor.
    pub kept: Commit,
    /// What follows once every region has the changes.
    pub settled: Commit,
    /// The same rows where no history was kept.
    pub plain: Commit,
}

impl Arrived {
    /// Of [`commit`] with this number.
    pub fn of(number: u64) -> Self {
        let Commit { rows, history, .. } = commit(number);
        let only =
            |rows, history| Commit { partition: PARTITION, rows, history, ..Commit::default() };
        let at_floor = |write: &RowWrite| match write {
            RowWrite::Put(state) => RowWrite::Put(RowState {
                floor: state.vv.clone(),
                floor_image: None,
                ..state.clone()
            }),
            RowWrite::Forget => RowWrite::Forget,
        };
        let settled: Vec<_> =
            rows.iter().map(|(row, write)| (row.clone(), at_floor(write))).collect();
        let drops = history.iter().map(|(row, write)| match write {
            HistoryWrite::Put(held) => (row.clone(), HistoryWrite::Drop(held.id.clone())),
            HistoryWrite::Drop(id) => (row.clone(), HistoryWrite::Drop(id.clone())),
        });
        let drops = drops.collect();
        Self {
            plain: only(settled.clone(), Vec::new()),
            settled: only(settled, drops),
            kept: only(rows, history),
        }
    }
}

fn conflict(row: &RowKey, id: &ChangeId, stamp: Stamp, image: &Image) -> ConflictRecord {
    let other = ChangeId { hlc: id.hlc.before(), region: region("ap-south-1") };
    let side = |change: &ChangeId| ConflictSide {
        change: change.clone(),
        operation: Operation::Update,
        image: Some(image.clone()),
        ancestor: syncline_core::Ancestor::Unknown,
    };
    ConflictRecord {
        id: ConflictId::of(row, &[other.clone(), id.clone()]),
        row: row.clone(),
        sides: vec![side(&other), side(id)],
        stamp,
        outcome: ConflictOutcome::Merged(Some(image.clone())),
        resolved_at_ms: id.hlc.millis(),
        has_images: true,
    }
}

/// Stands for the wire form, which belongs to the bus: bytes of the same size, for a copy.
pub fn outbox_form(record: &ChangeRecord) -> Vec<u8> {
    let images = [&record.change.before, &record.change.after].into_iter().flatten();
    let mut bytes = Vec::with_capacity(4096);
    bytes.resize(700, b' ');
    images.for_each(|image| bytes.extend_from_slice(image.as_bytes()));
    bytes
}
