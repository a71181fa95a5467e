//! Merges two texts line by line by what each changed since a third.
//!
//! As diff3 does: where one side alone changed lines of the ancestor, its lines are taken. Changes of
//! both sides that overlap or touch are one place, and a conflict unless both sides say the same there.

use crate::OnConflict;
use crate::diff::{Change, changes, common_prefix, common_suffix};

/// The merged text; `on_conflict` says what becomes of lines that both sides changed.
pub(crate) fn merge(ancestor: &str, older: &str, newer: &str, on_conflict: OnConflict) -> String {
    if older == newer || ancestor == older {
        return newer.to_owned();
    }
    if ancestor == newer {
        return older.to_owned();
    }
    let before = lines(ancestor);
    let (mut older, mut newer) = (Side::new(&before, older), Side::new(&before, newer));
    let mut merged = String::with_capacity(ancestor.len());
    let mut done = 0;
    while let Some(start) = older.next().into_iter().chain(newer.next()).min() {
        let mut end = start;
        while let Some(reached) = older.take(end).or_else(|| newer.take(end)) {
            end = end.max(reached);
        }
        merged.extend(before[done..start].iter().copied());
        let (a, o, n) =
            (&before[start..end], older.lines(done, start, end), newer.lines(done, start, end));
        done = end;
        if n == a {
            merged.extend(o.iter().copied());
        } else if o == a || o == n || on_conflict == OnConflict::Newest {
            merged.extend(n.iter().copied());
        } else {
            mark(&mut merged, o, n);
        }
    }
    merged.extend(before[done..].iter().copied());
    merged
}

/// Each line with the end that it has.
fn lines(text: &str) -> Vec<&str> {
    text.split_inclusive('\n').collect()
}

/// A side's text, and how far it has been merged.
struct Side<'t> {
    lines: Vec<&'t str>,
    /// What it changed in the ancestor.
    changes: Vec<Change>,
    /// How many of the changes are merged, or in the place at hand.
    taken: usize,
    /// Up to which of its lines it is merged.
    done: usize,
}

impl<'t> Side<'t> {
    fn new(before: &[&str], text: &'t str) -> Self {
        let lines = lines(text);
        let changes = changes(before, &lines);
        Self { lines, changes, taken: 0, done: 0 }
    }

    /// Where the next change begins in the ancestor.
    fn next(&self) -> Option<usize> {
        self.changes.get(self.taken).map(|change| change.before.start)
    }

    /// Takes the next change into a place of the ancestor that ends at `end` so far, if it overlaps or
    /// touches it; where it ends itself.
    fn take(&mut self, end: usize) -> Option<usize> {
        let change = self.changes.get(self.taken).filter(|change| change.before.start <= end)?;
        self.taken += 1;
        Some(change.before.end)
    }

    /// The side's lines for the ancestor's from `start` to `end`, where all is merged up to the
    /// ancestor's line `done`.
    fn lines(&mut self, done: usize, start: usize, end: usize) -> &[&'t str] {
        // Outside its changes a side's lines are the ancestor's.
        let first = self.done + (start - done);
        self.done = match self.changes[..self.taken].last() {
            Some(last) => last.after.end + (end - last.before.end),
            None => end,
        };
        &self.lines[first..self.done]
    }
}

/// Both sides' lines between markers, without what they have in common at either end.
fn mark(merged: &mut String, older: &[&str], newer: &[&str]) {
    let prefix = common_prefix(older, newer);
    let (common, older) = older.split_at(prefix);
    let newer = &newer[prefix..];
    let suffix = common_suffix(older, newer);
    let (older, tail) = older.split_at(older.len() - suffix);
    let newer = &newer[..newer.len() - suffix];

    merged.extend(common.iter().copied());
    push_line(merged, "<<<<<<< older");
    older.iter().for_each(|line| push_line(merged, line));
    push_line(merged, "=======");
    newer.iter().for_each(|line| push_line(merged, line));
    push_line(merged, ">>>>>>> newer");
    merged.extend(tail.iter().copied());
}

/// A text's last line may lack its end, and a marker stands on a line of its own.
fn push_line(text: &mut String, line: &str) {
    text.push_str(line);
    if !line.ends_with('\n') {
        text.push('\n');
    }
}
