//! What a merge costs: in the sandbox, with a fresh instance each time as always, and natively beside
//! it. Read the ratios within one run; the times are the machine's.
//!
//! There is no figure for an instance that is used again, as the host offers none.

use std::fs;
use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use syncline_bench::CartConflict;
use syncline_core::{FunctionVersion, Image, MergeFunctions};
use syncline_guest_build::{Language, example_in};
use syncline_host::{Host, HostConfig};
use syncline_sdk::resolve;

fn load(host: &Host, name: &str, language: Language) -> FunctionVersion {
    let built = example_in(name, language).expect("the example builds");
    let component = fs::read(&built.path).expect("the example is there");
    let version = FunctionVersion::of(&component);
    host.load(version, &component).expect("the example is admitted");
    version
}

fn host_merge(criterion: &mut Criterion) {
    let host = Host::new(HostConfig::default()).expect("the host starts");
    let first_word = load(&host, "first-word", Language::Rust);
    let cart = load(&host, "cart", Language::Rust);
    let cart_assemblyscript = load(&host, "cart", Language::AssemblyScript);
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
        group.bench_function(BenchmarkId::new("cart-assemblyscript", size), |b| {
            b.iter(|| merge(&cart_assemblyscript, conflict))
        });
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
