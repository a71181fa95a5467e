//! Makes conflicts of conflicts: changed where rows change, and where they should not.

use fastrand::Rng;
use syncline_image::Image;
use syncline_sdk::Side;

use crate::case::REGIONS;
use crate::json::Value;
use crate::law::{Trial, trees, with_trees};
use crate::subject::Conflict;

/// So many values are kept to be put elsewhere.
const POOL_MAX: usize = 1_000;

/// Numbers at the borders of what programs take numbers for.
const NUMBERS: [&str; 12] = [
    "0",
    "1",
    "-1",
    "2",
    "7",
    "100",
    "9007199254740993",
    "9223372036854775807",
    "18446744073709551616",
    "1.50",
    "-0",
    "1e400",
];
const TEXTS: [&str; 5] = ["", "a", "z", "\u{0}", "é😀\"\\"];
/// Names that are put into objects.
const NAMES: [&str; 4] = ["a", "extra", "", "é"];

/// Of images, as [`trees`] orders them.
const NEWER: usize = 2;
const THIRD: usize = 3;

/// A source of conflicts, the same from the same seed and cases.
pub(crate) struct Mutator {
    rng: Rng,
    /// Values that were seen somewhere.
    pool: Vec<Value>,
    /// Whole rows that were seen.
    rows: Vec<Option<Value>>,
}

impl Mutator {
    pub(crate) fn new(seed: u64, conflicts: &[&Conflict]) -> Self {
        let (mut pool, mut rows) = (Vec::new(), Vec::new());
        for conflict in conflicts {
            for image in [&conflict.ancestor, &conflict.older.image, &conflict.newer.image] {
                let row = image.as_ref().map(Value::of);
                if let Some(row) = &row {
                    gather(row, &mut pool);
                }
                if rows.len() < POOL_MAX && !rows.contains(&row) {
                    rows.push(row);
                }
            }
        }
        Self { rng: Rng::with_seed(seed), pool, rows }
    }

    /// The conflict as it is, with a third side: the newer one's or the ancestor's row, changed.
    pub(crate) fn trial(&mut self, conflict: &Conflict) -> Trial {
        let newer = &conflict.newer;
        let third = Side {
            region: REGIONS[2].to_owned(),
            hlc: newer.hlc.saturating_add(1 << 16),
            operation: newer.operation,
            image: newer.image.clone(),
        };
        let trial = Trial { conflict: conflict.clone(), third };
        let mut images = trees(&trial);
        let like = if self.rng.bool() { 0 } else { NEWER };
        images[THIRD] = images[like].clone().or_else(|| images[NEWER].clone());
        for _ in 0..self.rng.u32(1..=3) {
            self.edit_image(&mut images, THIRD);
        }
        with_trees(&trial, &images).unwrap_or(trial)
    }

    /// A conflict like this one. None: what came out can be no conflict.
    pub(crate) fn mutated(&mut self, conflict: &Conflict) -> Option<Trial> {
        let trial = self.trial(conflict);
        let mut images = trees(&trial);
        for _ in 0..self.rng.u32(1..=3) {
            match self.rng.u32(0..20) {
                // A side, or the ancestor, that is not there.
                0 => images[self.rng.usize(0..4)] = None,
                // One side did nothing, or both did the same.
                1 => images[self.rng.usize(1..4)] = images[self.rng.usize(0..4)].clone(),
                2 => images[self.rng.usize(0..4)] = self.row(),
                _ => {
                    let which = self.rng.usize(0..4);
                    self.edit_image(&mut images, which);
                }
            }
        }
        // Where there was a row, at least one side has changed it, or there would be no conflict.
        with_trees(&trial, &images)
    }

    fn row(&mut self) -> Option<Value> {
        self.rng.choice(&self.rows).cloned().flatten()
    }

    fn edit_image(&mut self, images: &mut [Option<Value>; 4], which: usize) {
        let Some(image) = &mut images[which] else { return };
        let n = self.rng.usize(0..image.count());
        // The root stays an object, or it would be no row.
        let root = n == 0;
        if let Some(value) = image.nth_mut(n) {
            self.edit(value, root);
        }
    }

    fn edit(&mut self, value: &mut Value, root: bool) {
        if !root && self.rng.u32(0..12) == 0 {
            *value = self.any();
            return;
        }
        match value {
            Value::Null => *value = self.any(),
            Value::Bool(bool) => *bool = !*bool,
            Value::Number(number) => *number = self.number(number),
            Value::Text(text) => *text = self.text(text),
            Value::List(items) => self.edit_list(items),
            Value::Object(members) => {
                let name = self.rng.choice(members.keys().cloned().collect::<Vec<_>>());
                match (name, self.rng.u32(0..4)) {
                    (Some(name), 0) => {
                        members.remove(&name);
                    }
                    (Some(name), 1) => {
                        members.insert(name, self.any());
                    }
                    (Some(name), 2) => {
                        if let Some(member) = members.get_mut(&name) {
                            self.edit(member, false);
                        }
                    }
                    _ => {
                        let name = NAMES[self.rng.usize(0..NAMES.len())];
                        members.insert(name.to_owned(), self.any());
                    }
                }
            }
        }
    }

    fn edit_list(&mut self, items: &mut Vec<Value>) {
        let at = self.rng.usize(0..=items.len());
        let has_item = at < items.len();
        match self.rng.u32(0..6) {
            0 if has_item => {
                items.remove(at);
            }
            1 if has_item => {
                let item = items[at].clone();
                items.push(item);
            }
            2 if has_item => {
                let last = items.len() - 1;
                items.swap(at, last);
            }
            // Like the others, and still another: what a list of records has most often.
            3 if has_item => {
                let mut item = items[at].clone();
                let n = self.rng.usize(0..item.count());
                if let Some(inside) = item.nth_mut(n) {
                    self.edit(inside, n == 0);
                }
                items.insert(at, item);
            }
            4 => items.clear(),
            _ => items.insert(at, self.any()),
        }
    }

    fn number(&mut self, number: &str) -> String {
        match (number.parse::<i64>(), self.rng.u32(0..4)) {
            (Ok(number), 0) => number.saturating_add(1).to_string(),
            (Ok(number), 1) => number.saturating_sub(1).to_string(),
            (Ok(number), 2) => number.saturating_add(self.rng.i64(-100..=100)).to_string(),
            _ => NUMBERS[self.rng.usize(0..NUMBERS.len())].to_owned(),
        }
    }

    fn text(&mut self, text: &str) -> String {
        match self.rng.u32(0..4) {
            0 => format!("{text}a"),
            1 => text.chars().skip(1).collect(),
            2 => TEXTS[self.rng.usize(0..TEXTS.len())].to_owned(),
            _ => {
                let seen = self.pool.iter().filter_map(|value| match value {
                    Value::Text(text) => Some(text.clone()),
                    _ => None,
                });
                self.rng.choice(seen.collect::<Vec<_>>()).unwrap_or_default()
            }
        }
    }

    fn any(&mut self) -> Value {
        match self.rng.u32(0..8) {
            0 => Value::Null,
            1 => Value::Bool(self.rng.bool()),
            2 => Value::Number(NUMBERS[self.rng.usize(0..NUMBERS.len())].to_owned()),
            3 => Value::Text(TEXTS[self.rng.usize(0..TEXTS.len())].to_owned()),
            _ => self.rng.choice(&self.pool).cloned().unwrap_or(Value::Null),
        }
    }
}

/// Keeps what is inside a row, each value once.
fn gather(value: &Value, pool: &mut Vec<Value>) {
    let children: Vec<&Value> = match value {
        Value::List(items) => items.iter().collect(),
        Value::Object(members) => members.values().collect(),
        _ => return,
    };
    for child in children {
        if pool.len() == POOL_MAX {
            return;
        }
        if !pool.contains(child) {
            pool.push(child.clone());
        }
        gather(child, pool);
    }
}

/// A conflict to begin with, where nobody has given one: two sides that changed a row of one field.
pub(crate) fn plain() -> Conflict {
    let image = |json: &str| Image::canonicalize(json.as_bytes()).ok();
    let side = |region: &str, hlc: u64, json| Side {
        region: region.to_owned(),
        hlc: hlc << 16,
        operation: syncline_sdk::Operation::Update,
        image: image(json),
    };
    Conflict {
        table: "table".into(),
        row_pk: "row".into(),
        ancestor: image(r#"{"n":1}"#),
        older: side("eu-west-1", 1_795_203_212_000, r#"{"n":2}"#),
        newer: side("us-east-1", 1_795_203_213_000, r#"{"n":3}"#),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_makes_the_same_conflicts_and_another_others() {
        let conflict = plain();
        let made = |seed| {
            let mut mutator = Mutator::new(seed, &[&conflict]);
            (0..50).map(|_| mutator.mutated(&conflict)).collect::<Vec<_>>()
        };
        assert_eq!(made(1), made(1));
        assert_ne!(made(1), made(2));
    }

    #[test]
    fn what_is_made_is_varied_and_holds_together() {
        let conflict = plain();
        let mut mutator = Mutator::new(1, &[&conflict]);
        let trials: Vec<Trial> = (0..2_000).filter_map(|_| mutator.mutated(&conflict)).collect();
        let count = |wanted: fn(&Trial) -> bool| trials.iter().filter(|t| wanted(t)).count();
        assert!(count(|t| t.conflict.newer.image.is_none()) > 20);
        assert!(count(|t| t.conflict.ancestor.is_none()) > 20);
        assert!(count(|t| t.conflict.older.image == t.conflict.newer.image) > 20);
        assert!(count(|t| t.third.image != t.conflict.newer.image) > 500);
        for trial in &trials {
            for side in [&trial.conflict.older, &trial.conflict.newer, &trial.third] {
                let deleted = side.operation == syncline_sdk::Operation::Delete;
                assert_eq!(deleted, side.image.is_none());
            }
        }
    }
}
