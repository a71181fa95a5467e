//! The region that is measured: a process of `syncline serve`.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use syncline_core::{Hlc, RegionId};
use syncline_harness::{If, PATIENCE, Region, Serve, example_function, wait_for};

use crate::origin::{Acknowledged, now_ms, row_pk};
use crate::process;
use crate::report::Moved;
use crate::workload::{Keys, Resolver, Rows, Workload};

/// The table that is written.
pub const TABLE: &str = "carts";
/// Clients that write at the receiver: their writes share syncs.
const CLIENTS: usize = 64;
/// How often it is looked how far the receiver is.
const LOOK: Duration = Duration::from_millis(10);
/// The same, where it is the lag that counts.
const LAG_LOOK: Duration = Duration::from_millis(2);

/// A region in a process of its own.
pub struct Receiver {
    serve: Serve,
    origin: RegionId,
}

impl Receiver {
    /// Starts it.
    ///
    /// # Errors
    /// It does not start.
    pub fn start(name: &str, folder: &Path, config: &str, origin: RegionId) -> Result<Self> {
        let mut serve = Serve::new(name, folder, config)?;
        serve.start()?;
        Ok(Self { serve, origin })
    }

    /// Has the table's conflicts resolved as the workload says.
    ///
    /// # Errors
    /// The function does not become active.
    pub fn deploy(&self, resolver: Resolver) -> Result<()> {
        if resolver == Resolver::Cart {
            self.serve.region.deploy(TABLE, &example_function("cart")?)?;
        }
        Ok(())
    }

    /// Writes the rows that are to be contested.
    ///
    /// # Errors
    /// A write is not taken.
    pub fn contest(&self, workload: &Workload, rows: usize) -> Result<()> {
        let (next, failed) = (AtomicUsize::new(0), AtomicBool::new(false));
        let write = |client: usize| -> Result<()> {
            let region = Region::new(&self.serve.region.name, &self.serve.region.url);
            let mut images = Rows::new(Keys::Uniform, rows, client as u64);
            while !failed.load(Ordering::Relaxed) {
                let row = next.fetch_add(1, Ordering::Relaxed);
                if row >= rows {
                    break;
                }
                if workload.is_contested(row) {
                    let written = put(&region, row, &images.image());
                    written.inspect_err(|_| failed.store(true, Ordering::Relaxed))?;
                }
            }
            Ok(())
        };
        let write = &write;
        thread::scope(|scope| {
            let clients: Vec<_> =
                (0..CLIENTS).map(|client| scope.spawn(move || write(client))).collect();
            clients.into_iter().try_for_each(|client| match client.join() {
                Ok(written) => written,
                Err(panic) => std::panic::resume_unwind(panic),
            })
        })
    }

    /// Stops it where it is.
    ///
    /// # Errors
    /// It does not run.
    pub fn pause(&self) -> Result<()> {
        self.serve.process.pause()
    }

    /// Has it go on.
    ///
    /// # Errors
    /// It does not run.
    pub fn resume(&self) -> Result<()> {
        self.serve.process.resume()
    }

    /// Has it go on until it has applied all of these.
    ///
    /// # Errors
    /// It does not come to the end.
    pub fn measure(&self, records: u64, lasts: &[Hlc], deadline: Duration) -> Result<Moved> {
        let pid = self.pid()?;
        let cpu = process::cpu(pid)?;
        let started = Instant::now();
        self.resume()?;
        while !self.has_applied(lasts)? {
            let log = || self.serve.process.log();
            ensure!(started.elapsed() < deadline, "it takes too long:\n{}", log());
            thread::sleep(LOOK);
        }
        let elapsed = started.elapsed();
        Ok(Moved {
            records,
            elapsed,
            cpu: process::cpu(pid)?.saturating_sub(cpu),
            brokers_cpu: Duration::ZERO,
            resident_mib: process::resident_mib(pid)?,
        })
    }

    /// How long after it was acknowledged each change is applied, in milliseconds, while `written`
    /// comes in. Ends once all is applied and no more comes.
    ///
    /// # Errors
    /// It does not come to the end.
    pub fn lags(
        &self,
        written: &std::sync::mpsc::Receiver<Acknowledged>,
        partitions: usize,
        deadline: Duration,
    ) -> Result<Vec<u64>> {
        let mut waiting: Vec<VecDeque<Acknowledged>> = vec![VecDeque::new(); partitions];
        let (mut lags, started, mut open) = (Vec::new(), Instant::now(), true);
        while open || waiting.iter().any(|waiting| !waiting.is_empty()) {
            ensure!(started.elapsed() < deadline, "the receiver does not keep up");
            let applied = self.applied(partitions)?;
            let now = now_ms();
            loop {
                match written.try_recv() {
                    Ok(change) => waiting[change.partition as usize].push_back(change),
                    Err(std::sync::mpsc::TryRecvError::Empty) => break,
                    Err(std::sync::mpsc::TryRecvError::Disconnected) => {
                        open = false;
                        break;
                    }
                }
            }
            for (waiting, applied) in waiting.iter_mut().zip(&applied) {
                // Acknowledgements come in nearly the order of the changes, which is good enough.
                while let Some(change) = waiting.pop_front_if(|change| change.hlc <= *applied) {
                    lags.push(now.saturating_sub(change.at_ms));
                }
            }
            thread::sleep(LAG_LOOK);
        }
        Ok(lags)
    }

    /// Waits until it has applied a change.
    ///
    /// # Errors
    /// It does not.
    pub fn wait_for(&self, change: Acknowledged) -> Result<()> {
        wait_for("the receiver to apply a change", PATIENCE, || {
            let partition = change.partition as usize;
            let applied = self.applied(partition + 1)?[partition];
            ensure!(applied >= change.hlc, "it has applied {applied}, not {}", change.hlc);
            Ok(())
        })
    }

    /// The number of its process.
    ///
    /// # Errors
    /// It has ended.
    fn pid(&self) -> Result<u32> {
        self.serve.process.id().context("the receiver has ended")
    }

    fn has_applied(&self, lasts: &[Hlc]) -> Result<bool> {
        let applied = self.applied(lasts.len())?;
        Ok(applied.iter().zip(lasts).all(|(applied, last)| applied >= last))
    }

    fn applied(&self, partitions: usize) -> Result<Vec<Hlc>> {
        let digests = self.serve.region.digests()?;
        let mut applied = vec![Hlc::ZERO; partitions];
        let told = digests.applied.get(self.origin.as_str());
        for (hlc, text) in applied.iter_mut().zip(told.into_iter().flatten()) {
            *hlc = text.parse().context("read an HLC")?;
        }
        Ok(applied)
    }
}

fn put(region: &Region, row: usize, image: &str) -> Result<()> {
    loop {
        let answer = region.put(TABLE, &row_pk(row), image, If::Always)?;
        match answer.status {
            200 | 201 => return Ok(()),
            429 | 503 => thread::sleep(LOOK),
            status => anyhow::bail!("a write at the receiver is answered with {status}"),
        }
    }
}
