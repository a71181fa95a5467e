//! Random conflicts, as a merge function is given them.

use anyhow::{Context as _, Result};
use fastrand::Rng;
use syncline_core::{Hlc, Image, MergeInput, MergeSide, Operation, RegionId, RowKey};

use super::json::Json;

/// 2026, and any time in the years after.
const MILLIS: std::ops::Range<u64> = 1_767_225_600_000..1_999_999_999_999;

/// A conflict that owns what it is about.
#[derive(Clone, Debug)]
pub(crate) struct Conflict {
    row: RowKey,
    regions: [RegionId; 2],
    hlcs: [Hlc; 2],
    /// The ancestor's, the older and the newer side's.
    images: [Option<Image>; 3],
}

impl Conflict {
    /// Of a cart, or of anything.
    pub(crate) fn random(rng: &mut Rng) -> Result<Self> {
        let ancestor = if rng.u8(..3) == 0 { Json::random(rng, 4) } else { Json::cart(rng) };
        let mut images = [None, None, None];
        for (at, image) in images.iter_mut().enumerate() {
            let mut json = if rng.u8(..30) == 0 { Json::random(rng, 4) } else { ancestor.clone() };
            for _ in 0..if at == 0 { 0 } else { rng.usize(..8) } {
                json.edit(rng);
            }
            if rng.u8(..8) > 0 {
                *image = Some(self::image(rng, &json));
            }
        }
        let row = RowKey {
            table: ["carts", "_t", "a.b-c"][rng.usize(..3)].parse().context("a table")?,
            pk: ["c-17", "é", "\u{1f980} 1"][rng.usize(..3)].parse().context("a key")?,
        };
        let regions = match rng.u8(..3) {
            0 => ["eu-west-1", "us-east-1#2"],
            1 => ["a", "b"],
            _ => ["us-east-1", "us-east-1"],
        };
        let [one, other] = regions.map(str::parse);
        let mut hlcs = [rng.u64(MILLIS), rng.u64(MILLIS)];
        hlcs.sort_unstable();
        let [older, newer] = hlcs.map(|millis| Hlc::new(millis, rng.u16(..)));
        Ok(Self {
            row,
            regions: [one.context("a region")?, other.context("a region")?],
            hlcs: [older.context("a time")?, newer.context("a time")?],
            images,
        })
    }

    /// The next one of the same row: what came of this one, against the newer side of another.
    pub(crate) fn follow(&self, rng: &mut Rng, merged: Option<Image>) -> Result<Self> {
        let mut next = Self::random(rng)?;
        let [_, _, newer] = next.images;
        let ancestor = self.images[rng.usize(..3)].clone();
        next.row = self.row.clone();
        next.images = [ancestor, merged, newer];
        Ok(next)
    }

    pub(crate) fn input(&self) -> MergeInput<'_> {
        let [ancestor, older, newer] = &self.images;
        let side = |at: usize, image: &'_ Option<Image>| {
            (self.hlcs[at], Operation::of(ancestor.as_ref(), image.as_ref()))
        };
        let (older_hlc, older_operation) = side(0, older);
        let (newer_hlc, newer_operation) = side(1, newer);
        MergeInput {
            row: &self.row,
            ancestor: ancestor.as_ref(),
            older: MergeSide {
                region: &self.regions[0],
                hlc: older_hlc,
                operation: older_operation,
                image: older.as_ref(),
            },
            newer: MergeSide {
                region: &self.regions[1],
                hlc: newer_hlc,
                operation: newer_operation,
                image: newer.as_ref(),
            },
        }
    }

    /// The same for a native function.
    pub(crate) fn native(&self) -> syncline_sdk::Conflict<&[u8]> {
        let MergeInput { row, older, newer, .. } = self.input();
        let bytes = |at: usize| self.images[at].as_ref().map(Image::as_bytes);
        let side = |from: MergeSide<'_>, at: usize| syncline_sdk::Side {
            region: from.region.to_string(),
            hlc: from.hlc.bits(),
            operation: match from.operation {
                Operation::Insert => syncline_sdk::Operation::Insert,
                Operation::Update => syncline_sdk::Operation::Update,
                Operation::Delete => syncline_sdk::Operation::Delete,
            },
            image: bytes(at),
        };
        syncline_sdk::Conflict {
            table: row.table.to_string(),
            row_pk: row.pk.to_string(),
            ancestor: bytes(0),
            older: side(older, 1),
            newer: side(newer, 2),
        }
    }

    /// For a file.
    pub(crate) fn text(&self) -> String {
        format!("{self:#?}\n")
    }
}

/// Most often in canonical form, as the runtime has them; else as it is, or damaged.
fn image(rng: &mut Rng, json: &Json) -> Image {
    let mut text = String::new();
    json.write(&mut text);
    let mut bytes = text.into_bytes();
    match (rng.u8(..40), Image::canonicalize(&bytes)) {
        (1.., Ok(image)) => return image,
        (0, _) if !bytes.is_empty() => {
            let at = rng.usize(..bytes.len());
            bytes[at] = rng.u8(..);
        }
        _ => {}
    }
    Image::opaque(bytes)
}
