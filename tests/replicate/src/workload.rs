//! What is written: rows of about 1 KB, and in which order.

use std::fmt::Write as _;

use syncline_harness::Rng;

/// How an image begins is a cart that the merge function knows; the rest fills it up to this.
const IMAGE_BYTES: usize = 1000;
/// Products of a cart.
const PRODUCTS: usize = 12;
/// Of Zipf's law: the row of rank `k` is written `1 / k^EXPONENT` times as often as the first.
const EXPONENT: f64 = 0.99;

/// How writes are spread over the rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keys {
    /// Each row as often as any other.
    Uniform,
    /// By Zipf's law.
    Skewed,
}

/// What decides a conflict.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resolver {
    /// The newest change.
    Lww,
    /// The example `cart`, a component.
    Cart,
}

/// One workload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Workload {
    /// Which rows are written.
    pub keys: Keys,
    /// Of a hundred rows so many were written by the receiver, unseen by the origin.
    pub conflicts: usize,
    /// What decides.
    pub resolver: Resolver,
}

impl Workload {
    /// All that there are.
    pub fn all() -> Vec<Self> {
        let mut all = Vec::new();
        for keys in [Keys::Uniform, Keys::Skewed] {
            all.push(Self { keys, conflicts: 0, resolver: Resolver::Lww });
            for resolver in [Resolver::Lww, Resolver::Cart] {
                for conflicts in [10, 100] {
                    all.push(Self { keys, conflicts, resolver });
                }
            }
        }
        all
    }

    /// Such as `uniform-cart-10`.
    pub fn name(&self) -> String {
        let keys = match self.keys {
            Keys::Uniform => "uniform",
            Keys::Skewed => "skewed",
        };
        match (self.conflicts, self.resolver) {
            (0, _) => keys.to_owned(),
            (share, Resolver::Lww) => format!("{keys}-lww-{share}"),
            (share, Resolver::Cart) => format!("{keys}-cart-{share}"),
        }
    }

    /// True if the receiver has written the row. The few that skewed keys prefer are not all alike.
    pub fn is_contested(&self, row: usize) -> bool {
        (row % 100 * 7 + 50) % 100 < self.conflicts
    }
}

/// Draws rows.
pub struct Rows {
    rng: Rng,
    rows: usize,
    /// For skewed keys: for each rank how often it or one before it is drawn.
    cumulated: Vec<f64>,
}

impl Rows {
    /// Of so many rows, as a seed has it.
    pub fn new(keys: Keys, rows: usize, seed: u64) -> Self {
        let mut sum = 0.0;
        let mut weight = |rank: usize| {
            sum += (rank as f64).powf(-EXPONENT);
            sum
        };
        let cumulated = match keys {
            Keys::Uniform => Vec::new(),
            Keys::Skewed => (1..=rows).map(&mut weight).collect(),
        };
        Self { rng: Rng::new(seed), rows, cumulated }
    }

    /// The next row to write.
    pub fn draw(&mut self) -> usize {
        let Some(total) = self.cumulated.last() else { return self.rng.below(self.rows) };
        let at = (self.rng.next_u64() >> 11) as f64 / (1_u64 << 53) as f64 * total;
        self.cumulated.partition_point(|sum| *sum <= at).min(self.rows - 1)
    }

    /// The next image of a row: a cart whose text does not compress well.
    pub fn image(&mut self) -> String {
        let mut image = String::with_capacity(IMAGE_BYTES + 32);
        image.push_str("{\"items\":[");
        for product in 0..PRODUCTS {
            let comma = if product > 0 { "," } else { "" };
            let quantity = 1 + self.rng.below(9);
            // Writing into memory cannot fail.
            let _ = write!(image, "{comma}{{\"id\":\"sku-{product:05}\",\"qty\":{quantity}}}");
        }
        image.push_str("],\"note\":\"");
        while image.len() < IMAGE_BYTES {
            let _ = write!(image, "{:016x}", self.rng.next_u64());
        }
        image.push_str("\"}");
        image
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workloads_have_names_of_their_own() {
        let names: Vec<String> = Workload::all().iter().map(Workload::name).collect();
        assert_eq!(names[..3], ["uniform", "uniform-lww-10", "uniform-lww-100"]);
        let mut distinct = names.clone();
        distinct.sort();
        distinct.dedup();
        assert_eq!((distinct.len(), names.len()), (10, 10));
    }

    #[test]
    fn rows_are_contested_in_their_share() {
        for workload in Workload::all() {
            let contested = (0..1000).filter(|row| workload.is_contested(*row)).count();
            assert_eq!(contested, workload.conflicts * 10);
        }
    }

    #[test]
    fn skewed_keys_prefer_few_rows() {
        let often = |keys| {
            let mut rows = Rows::new(keys, 1000, 1);
            (0..10_000).filter(|_| rows.draw() < 10).count()
        };
        assert!((50..200).contains(&often(Keys::Uniform)), "{}", often(Keys::Uniform));
        assert!((3000..5000).contains(&often(Keys::Skewed)), "{}", often(Keys::Skewed));
    }

    #[test]
    fn images_are_rows_of_a_kilobyte() {
        let image = Rows::new(Keys::Uniform, 9, 1).image();
        assert!((1000..1040).contains(&image.len()), "{}", image.len());
        assert!(syncline_core::Image::from_canonical(image.as_bytes()).is_ok(), "{image}");
    }
}
