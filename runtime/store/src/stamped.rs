//! Whether anything that is kept still needs a version.

use syncline_core::{ChangeId, FunctionVersion, PartitionCount, RowKey, Stamp};

use crate::kv::{history, waiting};
use crate::{Scan, Store, StoreError};

/// One page of a search: a store is not held up by it for long.
const PAGE: usize = 512;
/// A page ends after values of so many bytes.
const PAGE_BYTES: usize = 1 << 20;

/// A change that is kept and has the stamp that was searched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stamped {
    /// Its row.
    pub row: RowKey,
    /// The change.
    pub change: ChangeId,
    /// It waits; else it is history, or a head that others may still meet.
    pub waits: bool,
}

/// Searches all that waits, and then all history, for a change that is stamped with the version.
/// Others may commit meanwhile: a change goes from what waits into history and from there away, so
/// where no change with the stamp comes in any more, none is overlooked. `goes_on` is asked between
/// two pages; the search ends without an answer where it says no.
///
/// Errors: those of the store.
pub fn find_stamped(
    store: &(impl Store + ?Sized),
    partitions: PartitionCount,
    version: &FunctionVersion,
    mut goes_on: impl FnMut() -> bool,
) -> Result<Search, StoreError> {
    for waits in [true, false] {
        for partition in 0..partitions.get() {
            let prefix =
                if waits { waiting::prefix(partition) } else { history::prefix(partition) };
            let mut rest = Scan::prefix(&prefix).limit(PAGE).bytes(PAGE_BYTES);
            loop {
                if !goes_on() {
                    return Ok(Search::GivenUp);
                }
                let pairs = store.scan(&rest)?;
                let Some((last, _)) = pairs.last() else { break };
                rest = rest.after(last);
                for (key, value) in &pairs {
                    let (row, change, stamp) = if waits {
                        waiting::stamp_of(key, value)?
                    } else {
                        history::stamp_of(key, value)?
                    };
                    if stamp == Stamp::Function(*version) {
                        return Ok(Search::Found(Stamped { row, change, waits }));
                    }
                }
            }
        }
    }
    Ok(Search::Nothing)
}

/// What a search came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Search {
    /// The first that was found; there may be more.
    Found(Stamped),
    /// There is none.
    Nothing,
    /// It did not come to its end.
    GivenUp,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kv::golden;
    use crate::{Batch, MemoryStore};

    const SEARCHED: FunctionVersion = FunctionVersion([7; 32]);
    const OTHER: FunctionVersion = FunctionVersion([8; 32]);

    fn store(history_with: Option<usize>, waits: bool) -> MemoryStore {
        let store = MemoryStore::new();
        let mut batch = Batch::new();
        for n in 0..PAGE + 20 {
            let mut held = golden::held();
            let found = history_with == Some(n);
            held.stamp = Stamp::Function(if found { SEARCHED } else { OTHER });
            history::put(&mut batch, 1, &golden::row(&format!("k-{n:05}")), &held);
        }
        if waits {
            let mut record = golden::record();
            record.change.stamp = Stamp::Function(SEARCHED);
            waiting::put(&mut batch, 1, &record);
        }
        store.commit(batch).unwrap();
        store
    }

    fn found(store: &MemoryStore) -> Search {
        let partitions = PartitionCount::new(2).unwrap();
        find_stamped(store, partitions, &SEARCHED, || true).unwrap()
    }

    #[test]
    fn a_change_with_the_stamp_is_found_wherever_it_is() {
        assert_eq!(found(&store(None, false)), Search::Nothing);
        for n in [0, PAGE - 1, PAGE, PAGE + 19] {
            let Search::Found(stamped) = found(&store(Some(n), false)) else { panic!("{n}") };
            assert_eq!((stamped.row, stamped.waits), (golden::row(&format!("k-{n:05}")), false));
        }
        let Search::Found(stamped) = found(&store(Some(3), true)) else { panic!("it waits") };
        assert!(stamped.waits);
    }

    #[test]
    fn a_search_can_be_given_up() {
        let partitions = PartitionCount::new(2).unwrap();
        let mut pages = 0;
        let searched = find_stamped(&store(None, false), partitions, &SEARCHED, || {
            pages += 1;
            pages < 5
        });
        assert_eq!(searched, Ok(Search::GivenUp));
    }
}
