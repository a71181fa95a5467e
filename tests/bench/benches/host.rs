//! What a merge costs: in the sandbox, with a fresh instance each time as always, and natively beside
//! it. Read the ratios within one run; the times are the machine's.
//!
//! There is no figure for an instance that is used again, as the host offers none.

use std::fs;
use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use syncline_core::{
    FunctionVersion, Hlc, Image, MergeFunctions, MergeInput, MergeSide, Operation, RegionId, RowKey,
};
use syncline_guest_build::example;
use syncline_host::{Host, HostConfig};
use syncline_sdk::{Conflict, Side, resolve};

/// A conflict over one cart: each side has changed some quantities, and added a product.
struct CartConflict {
    row: RowKey,
    regions: [RegionId; 2],
    images: [Image; 3],
}

impl CartConflict {
    /// Of images of about so many bytes.
    fn new(bytes: usize) -> Self {
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

    fn input(&self) -> MergeInput<'_> {
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
    fn native(&self) -> Conflict<&[u8]> {
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

fn load(host: &Host, name: &str) -> FunctionVersion {
    let built = example(name).expect("the example builds");
    let component = fs::read(&built.path).expect("the example is there");
    let version = FunctionVersion::of(&component);
    host.load(version, &component).expect("the example is admitted");
    version
}

fn host_merge(criterion: &mut Criterion) {
    let host = Host::new(HostConfig::default()).expect("the host starts");
    let (first_word, cart) = (load(&host, "first-word"), load(&host, "cart"));
    let small = CartConflict::new(60);
    let conflicts = [("1KB", CartConflict::new(1_000)), ("16KB", CartConflict::new(16_000))];

    let mut group = criterion.benchmark_group("host_merge");
    let merge = |version, conflict: &CartConflict| {
        let answer = host.merge(version, black_box(&conflict.input()));
        black_box(answer.expect("the host answers").expect("the guest answers"))
    };
    group.bench_function("first-word", |b| b.iter(|| merge(&first_word, &small)));
    for (size, conflict) in &conflicts {
        group.bench_function(BenchmarkId::new("cart", size), |b| b.iter(|| merge(&cart, conflict)));
        // With the host's own part after the guest's: the answer is brought into canonical form.
        group.bench_function(BenchmarkId::new("cart-native", size), |b| {
            b.iter(|| {
                let answer = resolve(cart::merge, black_box(conflict.native()));
                let json = answer.expect("the function answers").expect("a row is left");
                black_box(Image::canonicalize(&json).expect("the answer is a row"))
            })
        });
    }
    group.finish();
}

criterion_group!(benches, host_merge);
criterion_main!(benches);
