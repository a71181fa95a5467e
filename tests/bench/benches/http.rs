//! What a write costs over HTTP, until it is durable and acknowledged.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use syncline_bus::EmbeddedBus;
use syncline_host::Compiler;
use syncline_node::api::{Api, serve};
use syncline_node::config::{LimitsConfig, default_partitions};
use syncline_node::region::{Cuts, Region, RegionOptions, WallClock};
use syncline_store::Engine;

/// Starts a region alone, with its API on a free port of the loopback; answers the address.
fn start(data: &std::path::Path) -> String {
    let bus = EmbeddedBus::open(data.join("bus"), default_partitions()).expect("open the bus");
    let region: syncline_core::RegionId = "region-0".parse().expect("a region");
    let options = RegionOptions {
        region: region.clone(),
        regions: vec![region],
        routes: syncline_core::Routes::default(),
        tags: Vec::new(),
        data: data.join("region-0"),
        engine: Engine::default(),
        partitions: default_partitions(),
        nodes: None,
        limits: LimitsConfig::default(),
        cuts: Cuts::default(),
        compiler: Compiler::InProcess,
        profile: syncline_host::PROFILE,
        clock: WallClock::default(),
    };
    let region = Region::start(options, Arc::new(bus)).expect("start the region");
    while region.starting().is_some() {
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    let api = Api { region: Arc::new(region), dev: None };
    let (told, address) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Runtime::new().expect("start tokio");
        runtime.block_on(async move {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("listen");
            told.send(listener.local_addr().expect("an address")).expect("the bench waits");
            serve(api, listener).await.expect("serve");
        });
    });
    format!("http://{}", address.recv().expect("the server starts"))
}

/// `count` writes, spread over as many clients as asked for, each with a connection of its own.
fn write(url: &str, clients: u64, count: u64, row: &AtomicU64, body: &str) -> Duration {
    let agents: Vec<ureq::Agent> = (0..clients).map(|_| ureq::agent()).collect();
    let left = AtomicU64::new(count);
    let start = Instant::now();
    std::thread::scope(|scope| {
        for agent in &agents {
            scope.spawn(|| {
                let take = |left: u64| left.checked_sub(1);
                while left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, take).is_ok() {
                    let row = row.fetch_add(1, Ordering::SeqCst) % 10_000;
                    let put = agent.put(format!("{url}/v1/tables/rows/rows/row-{row}"));
                    put.content_type("application/json").send(body).expect("the write is taken");
                }
            });
        }
    });
    start.elapsed()
}

fn http_write(c: &mut Criterion) {
    let data = tempfile::tempdir().expect("make a folder");
    let url = start(data.path());
    let body = format!("{{\"text\":\"{}\"}}", "x".repeat(1000));
    let row = AtomicU64::new(0);
    let mut group = c.benchmark_group("http_write");
    group.throughput(Throughput::Elements(1)).measurement_time(Duration::from_secs(8));
    for clients in [1, 16] {
        group.bench_function(BenchmarkId::new("put_1kb_clients", clients), |b| {
            b.iter_custom(|count| write(&url, clients, count, &row, &body));
        });
    }
    group.finish();
}

criterion_group!(benches, http_write);
criterion_main!(benches);
