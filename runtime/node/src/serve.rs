//! `syncline serve`: one region a process. And what it shares with `syncline dev`: serving, and
//! stopping.

use std::io::{IsTerminal as _, Write as _};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use syncline_bus::{Bus, EmbeddedBus, KafkaBus};
use syncline_host::Compiler;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use crate::api::{Api, joining_router, router};
use crate::config::{self, BusConfig};
use crate::region::{Cuts, Joining, Region, RegionOptions, WallClock, must_join};

/// Requests under way have so long to end when the process is told to stop.
const DRAIN_TIME_MAX: Duration = Duration::from_secs(10);
/// What is still asked of another node then is given up after so long.
const LAST_ANSWERS: Duration = Duration::from_secs(1);
/// How often it is looked whether a region can go on.
const WATCH_EVERY: Duration = Duration::from_millis(200);

/// A region and where its API listens.
pub(crate) struct Served {
    pub(crate) api: Api,
    pub(crate) listener: TcpListener,
}

/// Runs one region until the process is told to stop. Merge functions are compiled by `compiler`.
pub fn run(file: &Path, compiler: Compiler) -> Result<()> {
    init_logging();
    let config = config::load(file)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let listener = runtime
        .block_on(TcpListener::bind(config.listen))
        .with_context(|| format!("listen on {}", config.listen))?;
    let bus: Arc<dyn Bus> = match config.bus {
        BusConfig::Embedded(folder) => {
            Arc::new(EmbeddedBus::open(folder, config.partitions).context("open the embedded bus")?)
        }
        BusConfig::Kafka(options) => Arc::new(KafkaBus::open(options)?),
    };
    let options = RegionOptions {
        region: config.region,
        regions: config.founders,
        routes: config.routes,
        tags: config.tags,
        data: config.data,
        engine: config.engine,
        partitions: config.partitions,
        nodes: config.nodes,
        limits: config.limits,
        cuts: Cuts::default(),
        compiler,
        profile: syncline_host::PROFILE,
        clock: WallClock::default(),
    };
    let listener = listener.into_std()?;
    if let Some(donor) = config.join_from
        && must_join(&options)?
    {
        let joining = Arc::new(Joining::new(options.region.clone(), donor));
        let joined = runtime.block_on(join(joining, &options, &bus, listener.try_clone()?))?;
        if !joined {
            return Ok(());
        }
    }
    let listener = runtime.block_on(async { TcpListener::from_std(listener) })?;
    let region = Region::start(options, bus)?;
    let text = format!("syncline: region {} on http://{}\n", region.id(), listener.local_addr()?);
    // A stdout that nobody reads is no reason to stop.
    let _ = std::io::stdout().write_all(text.as_bytes());
    let api = Api { region: Arc::new(region), dev: None };
    let served = runtime.block_on(serve_all(vec![Served { api, listener }]));
    // A thread that waits for a node that is paused would hold up the end for as long as it waits.
    runtime.shutdown_timeout(LAST_ANSWERS);
    served
}

/// Takes over another region's data. Answers false if the process is to stop before that is done.
async fn join(
    joining: Arc<Joining>,
    options: &RegionOptions,
    bus: &Arc<dyn Bus>,
    listener: std::net::TcpListener,
) -> Result<bool> {
    let listener = TcpListener::from_std(listener)?;
    let text =
        format!("syncline: region {} joins, on http://{}\n", joining.me, listener.local_addr()?);
    // A stdout that nobody reads is no reason to stop.
    let _ = std::io::stdout().write_all(text.as_bytes());
    let (stop, mut stopped) = watch::channel(false);
    let server = axum::serve(listener, joining_router(Arc::clone(&joining)));
    let server = server.with_graceful_shutdown(async move {
        // The sender is gone only when the process ends, too.
        let _ = stopped.wait_for(|stopped| *stopped).await;
    });
    let server = tokio::spawn(server.into_future());
    let (work, options, bus) = (Arc::clone(&joining), options.clone(), Arc::clone(bus));
    let mut work = tokio::task::spawn_blocking(move || work.take_over(&options, &*bus));
    let done = tokio::select! {
        done = &mut work => done,
        () = told_to_stop() => {
            tokio::spawn(end_when_told_again());
            joining.stop();
            work.await
        }
    };
    let _ = stop.send(true);
    if tokio::time::timeout(DRAIN_TIME_MAX, server).await.is_err() {
        tracing::warn!("some requests did not end in time");
    }
    Ok(done??)
}

/// Logs go to stderr, in the amount that `SYNCLINE_LOG` asks for.
pub(crate) fn init_logging() {
    let filter = tracing_subscriber::EnvFilter::try_from_env("SYNCLINE_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("warn"));
    // A second call, in a test, changes nothing.
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false)
        .try_init();
}

/// Serves until SIGINT, SIGTERM, or a region that cannot go on; then lets requests end, and stops
/// the regions.
pub(crate) async fn serve_all(served: Vec<Served>) -> Result<()> {
    let (stop, stopped) = watch::channel(false);
    let mut servers = Vec::new();
    let mut regions = Vec::new();
    for Served { api, listener } in served {
        regions.push(Arc::clone(&api.region));
        let mut stopped = stopped.clone();
        let server = axum::serve(listener, router(api)).with_graceful_shutdown(async move {
            // The sender is gone only when the process ends, too.
            let _ = stopped.wait_for(|stopped| *stopped).await;
        });
        servers.push(tokio::spawn(server.into_future()));
    }
    let fatal = tokio::select! {
        () = told_to_stop() => None,
        reason = failed(&regions) => Some(reason),
    };
    tokio::spawn(end_when_told_again());
    let _ = stop.send(true);
    let drained = async {
        for server in servers {
            let _ = server.await;
        }
    };
    if tokio::time::timeout(DRAIN_TIME_MAX, drained).await.is_err() {
        tracing::warn!("some requests did not end in time");
    }
    let stop_all = tokio::task::spawn_blocking(move || regions.iter().for_each(|r| r.stop()));
    let _ = stop_all.await;
    match fatal {
        None => Ok(()),
        Some(reason) => bail!("stopped: {reason}"),
    }
}

async fn told_to_stop() {
    let (Ok(mut interrupt), Ok(mut terminate)) =
        (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
    else {
        tracing::error!("cannot wait for signals; stop the process with SIGKILL");
        return std::future::pending().await;
    };
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
}

/// Whoever says it of a process that stops waits for nothing: all that was acknowledged is on disk.
async fn end_when_told_again() {
    told_to_stop().await;
    tracing::warn!("told to stop while it stops: the process ends at once");
    std::process::exit(1);
}

async fn failed(regions: &[Arc<Region>]) -> String {
    loop {
        for region in regions {
            if let Some(reason) = region.fatal() {
                return format!("region {}: {reason}", region.id());
            }
        }
        tokio::time::sleep(WATCH_EVERY).await;
    }
}
