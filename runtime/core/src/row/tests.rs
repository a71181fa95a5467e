//! A row beside the model, written down as plainly as it can be: all changes are kept and every image
//! is folded from scratch.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::{
    FunctionVersion, GuestFault, HostFault, MergeInput, Merged, Operation, RegionId, RowKey, Stamp,
};

const V1: FunctionVersion = FunctionVersion([1; 32]);
const FAULTING: FunctionVersion = FunctionVersion([2; 32]);

fn merge(
    version: &FunctionVersion,
    input: &MergeInput<'_>,
) -> Result<Result<Merged, GuestFault>, HostFault> {
    let asked = (version, input.ancestor, input.older.image, input.newer.image);
    let hash = FunctionVersion::of(format!("{asked:?}").as_bytes()).0;
    if *version == FAULTING && hash[1] < 90 {
        return Ok(Err(GuestFault::DepthLimit));
    }
    Ok(Ok((hash[0] > 60).then(|| Image::opaque(hash[..4].to_vec()))))
}

/// The rules of DESIGN, section 4, without any cost in mind.
fn fold_naively(changes: &[(Change, VersionVector)], within: &VersionVector) -> Option<Image> {
    let known: Vec<_> = changes.iter().filter(|(c, _)| within.has(&c.id)).collect();
    let seen = |c: &Change| known.iter().any(|(o, vv)| o.id != c.id && vv.has(&c.id));
    let mut heads: Vec<_> = known.iter().filter(|(c, _)| !seen(c)).collect();
    heads.sort_by(|a, b| a.0.id.cmp(&b.0.id));
    let newest = &heads.last()?.0;
    let (mut image, mut vv) = (heads[0].0.after.clone(), heads[0].1.clone());
    for (head, head_vv) in &heads[1..] {
        let Stamp::Function(version) = newest.stamp else { return newest.after.clone() };
        let ancestor = fold_naively(changes, &vv.meet(head_vv));
        let row = key();
        let side = |image| crate::MergeSide {
            region: &head.id.region,
            hlc: head.id.hlc,
            operation: Operation::Update,
            image,
        };
        let input = MergeInput {
            row: &row,
            ancestor: ancestor.as_ref(),
            older: side(image.as_ref()),
            newer: side(head.after.as_ref()),
        };
        match merge(&version, &input).unwrap() {
            Ok(merged) => image = merged,
            Err(_) => return newest.after.clone(),
        }
        vv.join(head_vv);
    }
    image
}

fn key() -> RowKey {
    RowKey { table: "t".parse().unwrap(), pk: "k".parse().unwrap() }
}

/// One write after the other: who writes, which writes of others it has read by then, and how.
fn history() -> impl Strategy<Value = Vec<(usize, [usize; 4], u8)>> {
    prop::collection::vec((0..4usize, prop::array::uniform4(0..4usize), any::<u8>()), 1..28)
}

fn changes_of(writes: &[(usize, [usize; 4], u8)]) -> Vec<(Change, VersionVector)> {
    let mut made: Vec<(Change, VersionVector)> = Vec::new();
    let mut seen: BTreeMap<usize, VersionVector> = BTreeMap::new();
    for (n, (writer, reads, kind)) in writes.iter().enumerate() {
        let region: RegionId = format!("r{writer}").parse().unwrap();
        let mut context = seen.get(writer).cloned().unwrap_or_default();
        // Whoever reads a region reads all that the region had seen.
        for (other, recent) in reads.iter().enumerate().filter(|(other, _)| other != writer) {
            let name: RegionId = format!("r{other}").parse().unwrap();
            let of_other: Vec<_> = made.iter().filter(|(c, _)| c.id.region == name).collect();
            if *recent > 0
                && let Some((_, vv)) = of_other.iter().rev().nth(recent - 1)
            {
                context.join(vv);
            }
        }
        let id = ChangeId { hlc: Hlc::from_bits(10 + n as u64).unwrap(), region };
        let mut vv = context.clone();
        vv.raise(&id.region, id.hlc);
        seen.insert(*writer, vv.clone());
        let after = (kind % 5 != 0).then(|| Image::opaque(vec![n as u8]));
        let stamp = match kind % 7 {
            0 => Stamp::Lww,
            1 | 2 => Stamp::Function(FAULTING),
            _ => Stamp::Function(V1),
        };
        let operation = Operation::of(None, after.as_ref());
        made.push((Change { id, context, operation, before: None, after, stamp }, vv));
    }
    made
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_row_is_what_the_plain_rules_say(writes in history(), order in any::<u64>()) {
        let changes = changes_of(&writes);
        let mut row = Row::default();
        let mut left: Vec<&Change> = changes.iter().map(|(change, _)| change).collect();
        let mut seen = VersionVector::new();
        let mut random = order;
        while !left.is_empty() {
            random = random.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            let at = (random >> 33) as usize % left.len();
            match row.absorb(left[at], &VersionVector::new()) {
                Absorbed::Yes { .. } => {
                    seen.join(&row.held(&left[at].id).unwrap().vv);
                    prop_assert_eq!(row.absorb(left[at], &VersionVector::new()), Absorbed::Duplicate);
                    left.swap_remove(at);
                    row.fold(&key(), &merge).unwrap();
                    prop_assert_eq!(&row.state().vv, &seen);
                    prop_assert_eq!(row.image().cloned(), fold_naively(&changes, &seen));
                }
                Absorbed::Early => {}
                Absorbed::Duplicate => prop_assert!(false, "{} was not shown before", left[at].id),
            }
        }
    }

    #[test]
    fn settling_and_rolling_back_leave_no_trace(writes in history(), cut in 0..28usize) {
        let changes = changes_of(&writes);
        let (mut plain, mut settled) = (Row::default(), Row::default());
        let none = VersionVector::new();
        for (n, (change, _)) in changes.iter().enumerate() {
            let mark = settled.mark();
            let before = settled.state().clone();
            let mut mark = mark;
            if let Absorbed::Yes { .. } = settled.absorb(change, &none) {
                mark.note(change.id.clone());
            }
            settled.fold(&key(), &merge).unwrap();
            settled.roll_back(mark);
            prop_assert_eq!(settled.state(), &before);

            for row in [&mut plain, &mut settled] {
                row.absorb(change, &none);
                row.fold(&key(), &merge).unwrap();
            }
            prop_assert_eq!(plain.image(), settled.image());
            if n == cut {
                // What all that are still to come build on is stable.
                let later = changes[n + 1..].iter().map(|(change, _)| &change.context);
                let stable = later.fold(settled.state().vv.clone(), |low, context| low.meet(context));
                let upto = settled.settle(&stable, std::iter::empty(), &key(), &merge).unwrap();
                prop_assert!(settled.state().vv.covers(&settled.state().floor));
                prop_assert!(upto.dropped.iter().all(|id| settled.state().floor.has(id)));
            }
        }
        prop_assert_eq!(&plain.state().heads, &settled.state().heads);
    }
}

#[test]
fn a_chain_of_conflicts_that_nobody_saw_is_folded_without_recursion() {
    // Two regions that write at once, each time on the conflict before: every ancestor is a fold.
    let rounds = 20_000;
    let mut row = Row::default();
    let (a, b): (RegionId, RegionId) = ("a".parse().unwrap(), "b".parse().unwrap());
    let mut context = VersionVector::new();
    let mut made = Vec::new();
    for round in 1..=rounds {
        let hlc = Hlc::from_bits(round * 10).unwrap();
        for region in [&a, &b] {
            made.push(Change {
                id: ChangeId { hlc, region: region.clone() },
                context: context.clone(),
                operation: Operation::Update,
                before: None,
                after: Some(Image::opaque(vec![1])),
                stamp: Stamp::Function(V1),
            });
        }
        context.set(&a, hlc);
        context.set(&b, hlc);
    }
    for change in &made {
        row.absorb(change, &VersionVector::new());
    }
    let fold = row.fold(&key(), &merge).unwrap();
    assert_eq!(u64::from(fold.calls), rounds);
}
