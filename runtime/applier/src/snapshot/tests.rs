use syncline_core::{Hlc, PartitionMeta};
use syncline_store::MemoryStore;
use syncline_store::kv::node::{self, NodeFacts};
use syncline_store::kv::{meta, outbox};

use super::*;

fn copying() -> Copying {
    Copying {
        donor: "a".parse().unwrap(),
        joiner: "b#2".parse().unwrap(),
        partitions: PartitionCount::new(2).unwrap(),
        positions: vec![(Lane::Changes(1), 77), (Lane::Control, 78)],
    }
}

/// A donor that has a record in its outbox that is larger than a page.
fn donor() -> MemoryStore {
    let store = MemoryStore::new();
    let mut batch = Batch::new();
    let Copying { donor, partitions, .. } = copying();
    node::put(&mut batch, &NodeFacts { format: node::FORMAT, region: donor, partitions });
    for n in 1..4 {
        let hlc = Hlc::from_bits(n).unwrap();
        outbox::put(&mut batch, 0, hlc, &vec![7; 300_000 * n as usize]);
    }
    meta::put(&mut batch, 0, &PartitionMeta::default());
    store.commit(batch).unwrap();
    store
}

fn pages(attempt: u64) -> Vec<Page> {
    let mut stream = Vec::new();
    let copied = write_copy(&copying(), &donor(), &mut stream).unwrap();
    assert_eq!(copied.bytes, stream.len() as u64);
    PagesMade::new(&copying(), attempt, copied, &*stream).map(Result::unwrap).collect()
}

fn assembly() -> Assembly {
    let Copying { donor, joiner, partitions, .. } = copying();
    Assembly::new(donor, joiner, partitions)
}

#[test]
fn a_copy_arrives_as_it_was_made() {
    let (mut assembly, mut gathered, mut whole) = (assembly(), Vec::new(), None);
    let all = pages(5);
    assert!(all.len() > 4);
    for page in &all {
        let page = Page::from_bytes(&page.to_bytes()).unwrap();
        // A page that is repeated changes nothing.
        for page in [page.clone(), page] {
            match assembly.take(page) {
                PageStep::Append(bytes) => gathered.extend(bytes),
                PageStep::Whole(copied) => whole = Some(copied),
                PageStep::Begins | PageStep::Known => {}
                other => panic!("{other:?}"),
            }
        }
    }
    let whole = whole.unwrap();
    assert_eq!((whole.bytes, assembly.bytes), (gathered.len() as u64, gathered.len() as u64));
    assert_eq!(whole.sha256, <[u8; 32]>::from(Sha256::digest(&gathered)));
    let store = MemoryStore::new();
    assert_eq!(read_copy(&*gathered, &store).unwrap(), whole.pairs);
    let expected = MemoryStore::new();
    let Copying { donor: from, joiner, partitions, positions } = copying();
    join_from(&from, &donor(), &positions, &joiner, &expected, partitions).unwrap();
    let all = Scan::prefix(b"");
    assert_eq!(store.scan(&all).unwrap(), expected.scan(&all).unwrap());
    assert_eq!(node::get(&store).unwrap().unwrap().region, joiner);
    let positions = |number| meta::get(&store, number).unwrap().unwrap().positions;
    assert_eq!(positions(0), vec![]);
    assert_eq!(positions(1), vec![(from.clone(), 77)]);
    assert_eq!(positions(syncline_core::CONTROL_PARTITION), vec![(from, 78)]);
}

#[test]
fn a_later_attempt_counts_and_a_gap_is_seen() {
    let (first, second) = (pages(5), pages(6));
    let mut assembly = assembly();
    assert_eq!(assembly.take(first[2].clone()), PageStep::Lost);
    assert_eq!(assembly.take(first[0].clone()), PageStep::Begins);
    assert!(matches!(assembly.take(first[1].clone()), PageStep::Append(_)));
    assert_eq!(assembly.take(first[3].clone()), PageStep::Lost);
    assert_eq!(assembly.take(second[1].clone()), PageStep::Lost);
    assert_eq!(assembly.take(second[0].clone()), PageStep::Begins);
    assert_eq!(assembly.take(first[2].clone()), PageStep::Known);
    assert!(matches!(assembly.take(second[1].clone()), PageStep::Append(_)));
}

#[test]
fn what_is_meant_for_another_is_refused() {
    let first = pages(5).remove(0);
    let Copying { donor, joiner, partitions, .. } = copying();
    let other = PartitionCount::new(3).unwrap();
    for mut wrong in [
        Assembly::new(donor.clone(), donor.clone(), partitions),
        Assembly::new(joiner.clone(), joiner.clone(), partitions),
        Assembly::new(donor, joiner, other),
    ] {
        assert!(matches!(wrong.take(first.clone()), PageStep::Foreign(_)));
    }
}

#[test]
fn what_is_no_page_and_no_copy_is_no_panic() {
    for page in pages(5) {
        let bytes = page.to_bytes();
        for end in 0..bytes.len().min(80) {
            let cut = Page::from_bytes(&bytes[..end]);
            assert!(cut.is_none() || matches!(cut, Some(Page::Part { .. })));
        }
    }
    let mut stream = Vec::new();
    write_copy(&copying(), &donor(), &mut stream).unwrap();
    for bad in [&stream[..3], &stream[..9], &[255; 64], &stream[..stream.len() - 1]] {
        assert!(read_copy(bad, &MemoryStore::new()).is_err() || bad.len() < 4);
    }
}
