//! Clients that write in all regions while faults strike.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use syncline_harness::{Answer, If, PATIENCE, Region, Rng, wait_for};

use crate::ledger::{CARTS, Ledger, NOTES, Written, items};

/// A region that is stopped does not answer; the client goes on to its next write.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// Between two writes of a client.
const PAUSE: Duration = Duration::from_millis(10);
/// After a write that was not taken.
const PAUSE_AFTER_REFUSAL: Duration = Duration::from_millis(50);
/// Carts that clients share at a time.
const CARTS_AT_A_TIME: usize = 6;
/// Writes of a client after which it goes on to other carts, which keeps them small.
const WRITES_OF_A_CART: usize = 120;

/// One client for each region, each in a thread of its own.
pub struct Writers {
    threads: Vec<JoinHandle<Ledger>>,
    stopping: Arc<AtomicBool>,
    acknowledged: Arc<AtomicUsize>,
}

struct Writer {
    name: String,
    region: Region,
    rng: Rng,
    ledger: Ledger,
    acknowledged: Arc<AtomicUsize>,
}

/// What came of a write.
enum Outcome {
    Acknowledged,
    /// Surely nothing was written.
    Refused,
    Unclear,
}

impl Writers {
    /// Begins to write. `epoch` tells the clients' writes from those of others before them.
    pub fn start(regions: &[Region], seed: u64, epoch: &str) -> Self {
        let stopping = Arc::new(AtomicBool::new(false));
        let acknowledged = Arc::new(AtomicUsize::new(0));
        let threads = regions.iter().zip(0..).map(|(region, number)| {
            let writer = Writer {
                name: format!("{epoch}-w{number}"),
                region: Region::with_timeout(&region.name, &region.url, ANSWER_TIMEOUT),
                rng: Rng::new(seed.wrapping_mul(31).wrapping_add(number)),
                ledger: Ledger::default(),
                acknowledged: Arc::clone(&acknowledged),
            };
            let (stopping, epoch) = (Arc::clone(&stopping), epoch.to_owned());
            thread::spawn(move || writer.write(&epoch, &stopping))
        });
        Self { threads: threads.collect(), stopping, acknowledged }
    }

    /// Waits until so many more writes were acknowledged, to all clients together.
    ///
    /// # Errors
    /// They are not.
    pub fn wait_for_more(&self, writes: usize) -> Result<()> {
        let before = self.acknowledged.load(Ordering::Relaxed);
        wait_for(&format!("{writes} more writes"), PATIENCE, || {
            let now = self.acknowledged.load(Ordering::Relaxed);
            (now >= before + writes).then_some(()).with_context(|| format!("{} were", now - before))
        })
    }

    /// Ends the clients, and gives their record.
    pub(crate) fn stop(self) -> Ledger {
        self.stopping.store(true, Ordering::Relaxed);
        let mut all = Ledger::default();
        for thread in self.threads {
            match thread.join() {
                Ok(ledger) => all.merge(ledger),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        all
    }
}

impl Writer {
    fn write(mut self, epoch: &str, stopping: &AtomicBool) -> Ledger {
        for n in 0.. {
            if stopping.load(Ordering::Relaxed) {
                break;
            }
            let what = format!("{}-{n}", self.name);
            let (written, outcome) = if self.rng.one_in(2) {
                (Written::Note { pk: what.clone() }, self.note(&what))
            } else {
                let batch = n / WRITES_OF_A_CART;
                let cart = format!("{epoch}-{batch}-{}", self.rng.below(CARTS_AT_A_TIME));
                let outcome = self.add(&cart, &what);
                (Written::Item { cart, item: what }, outcome)
            };
            let pause = match outcome {
                Outcome::Acknowledged => {
                    self.ledger.acknowledged.insert(written);
                    self.acknowledged.fetch_add(1, Ordering::Relaxed);
                    PAUSE
                }
                Outcome::Unclear => {
                    self.ledger.unclear.insert(written);
                    PAUSE_AFTER_REFUSAL
                }
                Outcome::Refused => {
                    self.ledger.refused += 1;
                    PAUSE_AFTER_REFUSAL
                }
            };
            thread::sleep(pause);
        }
        self.ledger
    }

    fn note(&self, pk: &str) -> Outcome {
        let image = json!({ "note": pk }).to_string();
        came_of(self.region.put(NOTES, pk, &image, If::Absent))
    }

    /// Puts one item into a cart that others change as well.
    fn add(&self, cart: &str, item: &str) -> Outcome {
        let Ok(row) = self.region.get(CARTS, cart) else { return Outcome::Refused };
        let image = row.as_ref().map(|row| serde_json::from_slice::<Value>(&row.image));
        let held = match image {
            None => Default::default(),
            Some(image) => image.ok().and_then(|image| items(&image).ok()).unwrap_or_default(),
        };
        let all = held.iter().map(|(id, qty)| (id.as_str(), *qty)).chain([(item, 1)]);
        let all: Vec<Value> = all.map(|(id, qty)| json!({ "id": id, "qty": qty })).collect();
        let only_if = row.as_ref().map_or(If::Absent, |row| If::Match(&row.etag));
        came_of(self.region.put(CARTS, cart, &json!({ "items": all }).to_string(), only_if))
    }
}

fn came_of(answer: Result<Answer>) -> Outcome {
    let Ok(answer) = answer else { return Outcome::Unclear };
    match answer.status {
        200 | 201 => Outcome::Acknowledged,
        412 | 429 => Outcome::Refused,
        503 if ["starting", "regions-behind", "joining", "not-a-member"]
            .contains(&&*answer.code()) =>
        {
            Outcome::Refused
        }
        _ => Outcome::Unclear,
    }
}
