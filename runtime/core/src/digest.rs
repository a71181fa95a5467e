//! A digest of a table that can be kept up to date row by row.

use sha2::{Digest as _, Sha256};

use crate::{Image, RowKey};

/// The number of rows of a table that are there, and the sum, modulo 2^256, of the SHA-256 of each
/// (table, key, image). The order of rows does not matter, so partitions and regions add up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct TableDigest {
    /// Rows that are there.
    pub rows: u64,
    /// Little-endian limbs of the sum.
    pub sum: [u64; 4],
}

impl TableDigest {
    /// Accounts for a row that went from one image to another.
    pub fn replace(&mut self, row: &RowKey, old: Option<&Image>, new: Option<&Image>) {
        if let Some(old) = old {
            self.rows = self.rows.wrapping_sub(1);
            self.subtract(hash(row, old));
        }
        if let Some(new) = new {
            self.rows = self.rows.wrapping_add(1);
            self.add(hash(row, new));
        }
    }

    /// Adds the digest of other rows of the same table.
    pub fn merge(&mut self, other: &Self) {
        self.rows = self.rows.wrapping_add(other.rows);
        self.add(other.sum);
    }

    /// 64 hexadecimal digits, the highest first.
    pub fn hex(&self) -> String {
        self.sum.iter().rev().map(|limb| format!("{limb:016x}")).collect()
    }

    fn add(&mut self, limbs: [u64; 4]) {
        let mut carry = false;
        for (mine, theirs) in self.sum.iter_mut().zip(limbs) {
            let (sum, over) = mine.overflowing_add(theirs);
            let (sum, over_by_carry) = sum.overflowing_add(u64::from(carry));
            (*mine, carry) = (sum, over || over_by_carry);
        }
    }

    fn subtract(&mut self, limbs: [u64; 4]) {
        let mut borrow = false;
        for (mine, theirs) in self.sum.iter_mut().zip(limbs) {
            let (rest, under) = mine.overflowing_sub(theirs);
            let (rest, under_by_borrow) = rest.overflowing_sub(u64::from(borrow));
            (*mine, borrow) = (rest, under || under_by_borrow);
        }
    }
}

fn hash(row: &RowKey, image: &Image) -> [u64; 4] {
    let mut hash = Sha256::new();
    for part in [row.table.as_str().as_bytes(), row.pk.as_str().as_bytes(), image.as_bytes()] {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    let bytes: [u8; 32] = hash.finalize().into();
    std::array::from_fn(|i| u64::from_le_bytes(std::array::from_fn(|j| bytes[8 * i + j])))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn row(n: u8) -> (RowKey, Image) {
        let key = RowKey { table: "t".parse().unwrap(), pk: format!("{}", n / 8).parse().unwrap() };
        (key, Image::opaque(vec![n]))
    }

    proptest! {
        #[test]
        fn order_and_detours_leave_no_trace(rows in prop::collection::vec(any::<u8>(), 0..40)) {
            let mut forth = TableDigest::default();
            let mut back = TableDigest::default();
            for n in &rows {
                let (key, image) = row(*n);
                forth.replace(&key, None, Some(&image));
            }
            for n in rows.iter().rev() {
                let ((key, image), (_, detour)) = (row(*n), row(n ^ 1));
                back.replace(&key, None, Some(&detour));
                back.replace(&key, Some(&detour), Some(&image));
            }
            prop_assert_eq!(forth, back);
            prop_assert_eq!(forth.rows, rows.len() as u64);
            for n in &rows {
                let (key, image) = row(*n);
                forth.replace(&key, Some(&image), None);
            }
            prop_assert_eq!(forth, TableDigest::default());
        }

        #[test]
        fn parts_add_up(a in prop::collection::vec(any::<u8>(), 0..20), b in prop::collection::vec(any::<u8>(), 0..20)) {
            let digest = |rows: &[u8]| {
                let mut digest = TableDigest::default();
                for n in rows {
                    let (key, image) = row(*n);
                    digest.replace(&key, None, Some(&image));
                }
                digest
            };
            let mut sum = digest(&a);
            sum.merge(&digest(&b));
            prop_assert_eq!(sum, digest(&[a, b].concat()));
        }
    }

    #[test]
    fn one_byte_makes_a_difference() {
        let digest = |n| {
            let (key, image) = row(n);
            let mut digest = TableDigest::default();
            digest.replace(&key, None, Some(&image));
            digest.hex()
        };
        assert_eq!(digest(1).len(), 64);
        assert_ne!(digest(1), digest(2));
    }
}
