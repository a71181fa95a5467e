//! A client of the shop: reads a cart, changes it, writes it back if nobody else was faster.

use std::thread;
use std::time::Duration;

use anyhow::{Result, bail};
use syncline_harness::{Answer, If, Region, Rng, Row};

use crate::cart::Cart;
use crate::clients::Market;
use crate::ledger::{Ledger, Place};
use crate::scenario::TABLE;

/// All carts that there are.
pub(crate) const CARTS: usize = 60;
const PRODUCTS: [&str; 8] =
    ["apple", "bread", "cheese", "fig", "kiwi", "olives", "tea", "gift wrap"];
/// Only this product is taken out of carts again, so that what the others come to can be checked.
const REMOVABLE: &str = "gift wrap";
/// Where wholesalers shop, one addition in so many is theirs, of so many pieces at a time.
const WHOLESALE_EVERY: usize = 3;
const WHOLESALE: u64 = 100_000;
/// Only one cart in so many is ever deleted, for the same reason.
const DELETABLE_EVERY: usize = 10;
/// A write that meets a newer cart so often in a row has met something else.
const TRIES_MAX: usize = 500;
const PUT_OFF_FOR: Duration = Duration::from_millis(50);

/// One client, in one region.
pub(crate) struct Shopper<'a> {
    region: Region,
    rng: Rng,
    ledger: Ledger,
    market: &'a Market,
    carts: usize,
}

/// What a client wants to do to a cart.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Intent {
    Add { cart: String, product: &'static str, quantity: u64 },
    Remove { cart: String },
    Delete { cart: String },
}

/// What came of one try.
enum Tried {
    Acknowledged,
    /// There was nothing to do, as what was to be taken away is gone.
    Nothing,
    /// Nothing was written; the write can be tried again.
    Again,
    /// Whether it was written is not known.
    Unclear,
}

impl<'a> Shopper<'a> {
    /// Of somebody who shops in the first so many carts.
    pub(crate) fn new(region: Region, seed: u64, market: &'a Market, carts: usize) -> Self {
        Self { region, rng: Rng::new(seed), ledger: Ledger::default(), market, carts }
    }

    /// Shops until the number of writes is enough, with a pause before each, and gives the record of
    /// them.
    pub(crate) fn shop(
        mut self,
        pause: Duration,
        is_enough: impl Fn(usize) -> bool,
    ) -> Result<Ledger> {
        while !is_enough(self.ledger.counts.writes() + self.ledger.counts.unclear) {
            thread::sleep(pause);
            let intent = self.intent();
            self.carry_out(&intent)?;
        }
        Ok(self.ledger)
    }

    fn intent(&mut self) -> Intent {
        let number = self.rng.skewed_below(self.carts);
        let cart = format!("cart-{number:02}");
        let (delete, remove) = (self.rng.one_in(6), self.rng.one_in(12));
        let (product, mut quantity) = (*self.rng.choose(&PRODUCTS), 1 + self.rng.below(4) as u64);
        if self.market.has_wholesalers() && self.rng.one_in(WHOLESALE_EVERY) {
            quantity *= WHOLESALE;
        }
        if delete && number % DELETABLE_EVERY == DELETABLE_EVERY - 1 {
            Intent::Delete { cart }
        } else if remove {
            Intent::Remove { cart }
        } else {
            Intent::Add { cart, product, quantity }
        }
    }

    fn carry_out(&mut self, intent: &Intent) -> Result<()> {
        for _ in 0..TRIES_MAX {
            match self.try_once(intent)? {
                Tried::Acknowledged => {
                    self.market.count();
                    self.record(intent);
                    return Ok(());
                }
                Tried::Unclear => {
                    self.record_unclear(intent);
                    return Ok(());
                }
                Tried::Nothing => return Ok(()),
                Tried::Again => {}
            }
        }
        bail!("{}: {intent:?} met a newer cart {TRIES_MAX} times", self.region.name)
    }

    fn try_once(&mut self, intent: &Intent) -> Result<Tried> {
        let row = self.region.get(TABLE, intent.cart())?;
        let cart =
            row.as_ref().map_or_else(|| Ok(Cart::default()), |row| Cart::read(&row.image))?;
        let answer = match (intent, &row) {
            (Intent::Delete { .. } | Intent::Remove { .. }, None) => return Ok(Tried::Nothing),
            (Intent::Delete { cart }, Some(row)) => {
                self.region.delete(TABLE, cart, If::Match(&row.etag))
            }
            (Intent::Remove { .. }, Some(row)) => {
                let mut cart = cart;
                if cart.0.remove(REMOVABLE).is_none() {
                    return Ok(Tried::Nothing);
                }
                self.write(intent, &cart, Some(row))
            }
            (Intent::Add { product, quantity, .. }, row) => {
                let mut cart = cart;
                *cart.0.entry((*product).to_owned()).or_default() += quantity;
                self.write(intent, &cart, row.as_ref())
            }
        };
        let Ok(answer) = answer else { return Ok(Tried::Unclear) };
        self.came_of(&answer)
    }

    fn write(&self, intent: &Intent, cart: &Cart, over: Option<&Row>) -> Result<Answer> {
        let only_if = over.map_or(If::Absent, |row| If::Match(&row.etag));
        self.region.put(TABLE, intent.cart(), &cart.image(), only_if)
    }

    fn came_of(&mut self, answer: &Answer) -> Result<Tried> {
        match (answer.status, answer.code().as_str()) {
            (200 | 201, _) => Ok(Tried::Acknowledged),
            (412, _) => {
                self.ledger.counts.retries += 1;
                Ok(Tried::Again)
            }
            (429, _) | (503, "regions-behind") => {
                self.ledger.counts.put_off += 1;
                thread::sleep(PUT_OFF_FOR);
                Ok(Tried::Again)
            }
            (500.., _) => Ok(Tried::Unclear),
            _ => bail!("{} refused a write with {answer}", self.region.name),
        }
    }

    fn record(&mut self, intent: &Intent) {
        let ledger = &mut self.ledger;
        match intent {
            Intent::Add { quantity, .. } => {
                *ledger.added.entry(intent.place()).or_default() += quantity;
                ledger.counts.additions += 1;
            }
            Intent::Remove { .. } => {
                ledger.removed.insert(intent.place());
                ledger.counts.removals += 1;
            }
            Intent::Delete { cart } => {
                ledger.deleted.insert(cart.clone());
                ledger.counts.deletions += 1;
            }
        }
    }

    fn record_unclear(&mut self, intent: &Intent) {
        self.ledger.counts.unclear += 1;
        match intent {
            Intent::Add { .. } => self.ledger.unclear.insert(intent.place()),
            Intent::Remove { .. } => self.ledger.removed.insert(intent.place()),
            Intent::Delete { cart } => self.ledger.deleted.insert(cart.clone()),
        };
    }
}

impl Intent {
    fn cart(&self) -> &str {
        match self {
            Self::Add { cart, .. } | Self::Remove { cart } | Self::Delete { cart } => cart,
        }
    }

    fn place(&self) -> Place {
        let product = match self {
            Self::Add { product, .. } => product,
            Self::Remove { .. } | Self::Delete { .. } => REMOVABLE,
        };
        (self.cart().to_owned(), product.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn intents(seed: u64) -> Vec<Intent> {
        let market = Market::default();
        let region = Region::new("a", "http://127.0.0.1:1");
        let mut shopper = Shopper::new(region, seed, &market, CARTS);
        (0..2000).map(|_| shopper.intent()).collect()
    }

    #[test]
    fn a_seed_repeats_what_a_client_wants() {
        assert_eq!(intents(3), intents(3));
        assert_ne!(intents(3), intents(4));
    }

    #[test]
    fn a_client_does_a_bit_of_everything_and_leaves_much_to_check() {
        let intents = intents(1);
        let count = |is: fn(&Intent) -> bool| intents.iter().filter(|intent| is(intent)).count();
        let deletions = count(|intent| matches!(intent, Intent::Delete { .. }));
        let removals = count(|intent| matches!(intent, Intent::Remove { .. }));
        assert!(deletions > 10 && removals > 100, "{deletions} {removals}");
        assert!(count(|intent| matches!(intent, Intent::Add { .. })) > 1500);
        let deletable = |intent: &Intent| intent.cart().ends_with('9');
        assert!(intents.iter().all(|i| !matches!(i, Intent::Delete { .. }) || deletable(i)));
    }
}
