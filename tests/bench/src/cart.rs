//! Conflicts over carts, of a chosen size.

use syncline_core::{Hlc, Image, MergeInput, MergeSide, Operation, RegionId, RowKey};
use syncline_sdk::{Conflict, Side};

/// A conflict over one cart: each side has changed some quantities, and added a product.
pub struct CartConflict {
    row: RowKey,
    regions: [RegionId; 2],
    images: [Image; 3],
}

impl CartConflict {
    /// Of images of about so many bytes.
    ///
    /// # Panics
    /// Never: what it makes is a row.
    pub fn new(bytes: usize) -> Self {
        let cart = |side: usize| {
            let mut cart = String::from("{\"currency\":\"EUR\",\"items\":[");
            let mut n = 0;
            while cart.len() < bytes {
                let quantity = 1 + (n * 7) % 5 + if n % 3 == side { side } else { 0 };
                let comma = if n > 0 { "," } else { "" };
                cart += &format!(
                    "{comma}{{\"id\":\"sku-{n:05}\",\"price\":\"{}.50\",\"qty\":{quantity}}}",
                    n * 3 % 97
                );
                n += 1;
            }
            if side > 0 {
                cart += &format!(",{{\"id\":\"sku-z{side}\",\"qty\":{side}}}");
            }
            Image::canonicalize((cart + "]}").as_bytes()).expect("a cart is a row")
        };
        Self {
            row: RowKey {
                table: "carts".parse().expect("a table's name"),
                pk: "c-17".parse().expect("a key"),
            },
            regions: ["eu-west-1", "us-east-1"].map(|name| name.parse().expect("a region")),
            images: [cart(0), cart(1), cart(2)],
        }
    }

    fn hlc(n: u16) -> Hlc {
        Hlc::new(1_795_203_212_955, n).expect("a time before 2200")
    }

    /// As the host takes it.
    pub fn input(&self) -> MergeInput<'_> {
        let side = |n: usize| MergeSide {
            region: &self.regions[n],
            hlc: Self::hlc(n as u16),
            operation: Operation::Update,
            image: Some(&self.images[n + 1]),
        };
        MergeInput {
            row: &self.row,
            ancestor: Some(&self.images[0]),
            older: side(0),
            newer: side(1),
        }
    }

    /// What the SDK's glue makes of the arguments, made anew for each call as it does.
    pub fn native(&self) -> Conflict<&[u8]> {
        let side = |n: usize| Side {
            region: self.regions[n].to_string(),
            hlc: Self::hlc(n as u16).bits(),
            operation: syncline_sdk::Operation::Update,
            image: Some(self.images[n + 1].as_bytes()),
        };
        Conflict {
            table: self.row.table.to_string(),
            row_pk: self.row.pk.to_string(),
            ancestor: Some(self.images[0].as_bytes()),
            older: side(0),
            newer: side(1),
        }
    }
}
