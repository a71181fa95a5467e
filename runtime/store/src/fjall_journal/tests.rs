use super::*;
use crate::{FjallStore, Store as _};
use tempfile::TempDir;

/// The bytes of a journal that fjall wrote, commit by commit.
fn written(commits: u8) -> Vec<Vec<u8>> {
    let dir = TempDir::new().unwrap();
    let store = FjallStore::open(dir.path()).unwrap();
    let journal = dir.path().join("fjall/0.jnl");
    let mut parts = Vec::new();
    let mut at = 0;
    for n in 0..commits {
        let mut batch = crate::Batch::new();
        (0..n).for_each(|key| batch.put([b'k', key], vec![n; 99 * usize::from(key)]));
        batch.delete([b'k', n]);
        store.commit(batch).unwrap();
        let bytes = fs::read(&journal).unwrap();
        let end = bytes.iter().rposition(|byte| *byte != 0).unwrap() + 1;
        parts.push(bytes[at..end].to_vec());
        at = end;
    }
    parts
}

fn folder(journals: &[Vec<u8>]) -> TempDir {
    let dir = TempDir::new().unwrap();
    for (n, bytes) in (8..).zip(journals) {
        fs::write(dir.path().join(format!("{n}.jnl")), bytes).unwrap();
    }
    dir
}

/// What is left of each journal after the check.
fn checked(journals: &[Vec<u8>], synced: u64) -> Result<Vec<usize>, StoreError> {
    checked_with(journals, InTables::default(), synced)
}

/// As above, with something in tables.
fn checked_with(
    journals: &[Vec<u8>],
    tables: InTables,
    synced: u64,
) -> Result<Vec<usize>, StoreError> {
    let dir = folder(journals);
    check(dir.path(), tables, synced)?;
    let left = list(dir.path())?.into_iter().map(|path| fs::read(path).unwrap().len()).collect();
    Ok(left)
}

#[test]
fn every_commit_is_found_in_what_fjall_writes() {
    let parts = written(6);
    let zeros = vec![0; 70_000];
    let dir = folder(&[[parts.concat(), zeros].concat()]);
    let mut last = None;
    let end = walk(&dir.path().join("8.jnl"), InTables::default(), &mut last).unwrap();
    assert_eq!(last.and_then(|last| last.commit), Some(6));
    assert_eq!((end.at, end.has_rest), (parts.concat().len() as u64, false));
}

#[test]
fn journals_are_read_in_the_order_of_their_numbers() {
    let parts = written(4);
    // 8, 9, 10, 11: not the order of their names.
    let lens: Vec<usize> = parts.iter().map(Vec::len).collect();
    assert_eq!(checked(&parts, 4), Ok(lens));
    assert!(matches!(checked(&[], 0), Err(StoreError::Corrupt { .. })));
}

#[test]
fn only_the_end_of_all_may_be_torn() {
    let parts = written(4);
    let (whole, torn) = (parts[..2].concat(), [&parts[2][..], &parts[3][..30]].concat());
    let left = vec![whole.len(), parts[2].len()];
    assert_eq!(checked(&[whole.clone(), torn.clone()], 3), Ok(left.clone()));
    // fjall went on to a journal that has nothing yet.
    let empty = vec![0; 500];
    let with_empty = [left.clone(), vec![500]].concat();
    assert_eq!(checked(&[whole.clone(), torn.clone(), empty.clone()], 3), Ok(with_empty));
    for (journals, synced) in [
        (vec![whole.clone(), torn.clone()], 4),
        (vec![whole[..whole.len() - 1].to_vec(), parts[2].clone()], 0),
        (vec![whole[..whole.len() - 1].to_vec(), torn.clone()], 0),
        (vec![whole[..whole.len() - 1].to_vec(), torn[..50].to_vec()], 0),
        (vec![parts[0].clone(), parts[2].clone()], 0),
        (vec![parts[1].clone(), parts[0].clone()], 0),
    ] {
        let checked = checked(&journals, synced);
        assert!(matches!(checked, Err(StoreError::Corrupt { .. })), "{checked:?}");
    }
}

fn seqno_of(batch: &[u8]) -> u64 {
    u64::from_le_bytes(batch[5..START_BYTES].try_into().unwrap())
}

/// Tables with the first commits.
fn tables_with(parts: &[Vec<u8>], commits: usize) -> InTables {
    let seqno = parts[..commits].last().map(|batch| seqno_of(batch));
    InTables { commits: commits as u64, seqno }
}

#[test]
fn journals_may_miss_only_what_is_in_tables() {
    let parts = written(6);
    for (journals, missing) in [
        (&[&parts[2][..], &parts[3][..]][..], 2),
        (&[&parts[0][..], &parts[4][..]], 4),
        (&[&parts[1][..], &parts[5][..9]], 1),
        (&[&parts[3][..7]], 3),
    ] {
        let journals: Vec<Vec<u8>> = journals.iter().map(|part| part.to_vec()).collect();
        let checked = |commits| {
            checked_with(&journals, tables_with(&parts, commits), missing as u64).map(|_| ())
        };
        assert_eq!(checked(missing), Ok(()));
        let less = checked(missing - 1);
        assert!(matches!(less, Err(StoreError::Corrupt { .. })), "{missing}: {less:?}");
    }
}

#[test]
fn a_batch_with_another_number_is_told() {
    let parts = written(5);
    let tables = tables_with(&parts, 2);
    assert!(checked_with(&[parts.concat()], tables, 5).is_ok());
    for changed in 0..5 {
        for seqno in [0, seqno_of(&parts[1]), seqno_of(&parts[2]), 1 << 40] {
            let mut parts = parts.clone();
            // What is in tables is passed over, and the last may have any number above.
            let no_harm = seqno == seqno_of(&parts[changed])
                || (changed, seqno) == (0, 0)
                || (changed, seqno) == (4, 1 << 40);
            parts[changed][5..START_BYTES].copy_from_slice(&seqno.to_le_bytes());
            let checked = checked_with(&[parts.concat()], tables, 5);
            assert_eq!(checked.is_ok(), no_harm, "{changed}: {seqno}: {checked:?}");
        }
    }
}

#[test]
fn a_file_that_is_no_journal_is_told() {
    let dir = folder(&[Vec::new()]);
    fs::write(dir.path().join("lock"), b"").unwrap();
    check(dir.path(), InTables::default(), 0).unwrap();
    fs::write(dir.path().join("x.jnl"), b"").unwrap();
    assert!(matches!(check(dir.path(), InTables::default(), 0), Err(StoreError::Corrupt { .. })));
}

#[test]
fn a_length_that_is_too_large_asks_for_no_memory() {
    let mut bytes = written(3).concat();
    let item = START_BYTES;
    bytes[item + 17..item + 21].fill(0xff);
    assert_eq!(checked(&[bytes], 0), Ok(vec![0]));
}

proptest::proptest! {
    #[test]
    fn any_bytes_are_read_without_a_panic(
        bytes in proptest::collection::vec(proptest::arbitrary::any::<u8>(), 0..80),
        begins in 0usize..3,
    ) {
        let begin: &[u8] = [&[][..], &[1, 1, 0, 0, 0], &[1, 0, 0, 0, 0]][begins];
        let _ = checked(&[[begin, &bytes].concat()], 0);
    }
}
