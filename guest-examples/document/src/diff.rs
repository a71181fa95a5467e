//! What changed between two lists of lines.
//!
//! The shortest list of insertions and deletions, as E. W. Myers finds it ("An O(ND) difference
//! algorithm and its variations", 1986), within limits: its time grows with the square of the changes,
//! and a merge function's fuel is limited. Past a limit all between the first and the last change is
//! one change, which is coarse and never wrong.

use std::ops::Range;

/// How many lines may be inserted and deleted, taken together, to be told apart.
pub(crate) const EDITS_MAX: usize = 300;

/// How many pairs of equal lines the search may walk over: a few for each line of a long text.
pub(crate) const PAIRS_MAX: usize = 100_000;

/// Lines that were replaced: those of the text before, and those that stand there after.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Change {
    pub(crate) before: Range<usize>,
    pub(crate) after: Range<usize>,
}

/// The changes from `before` to `after` in their order, with at least one equal line between two.
pub(crate) fn changes<'t>(before: &[&'t str], after: &[&'t str]) -> Vec<Change> {
    let prefix = common_prefix(before, after);
    let suffix = common_suffix(&before[prefix..], &after[prefix..]);
    let end = (before.len() - suffix, after.len() - suffix);
    let mut numbers = Numbers::for_lines(end.0 + end.1 - 2 * prefix);
    let mut number = |lines: &[&'t str]| lines.iter().map(|line| numbers.of(line)).collect();
    let middle: (Vec<u32>, Vec<u32>) =
        (number(&before[prefix..end.0]), number(&after[prefix..end.1]));

    let mut changes = Vec::new();
    let mut at = (prefix, prefix);
    let equal = equal_runs(&middle.0, &middle.1).unwrap_or_default();
    let equal = equal.into_iter().map(|run| Run { x: run.x + prefix, y: run.y + prefix, ..run });
    for run in equal.chain([Run { x: end.0, y: end.1, len: 0 }]) {
        if at != (run.x, run.y) {
            changes.push(Change { before: at.0..run.x, after: at.1..run.y });
        }
        at = (run.x + run.len, run.y + run.len);
    }
    changes
}

/// How many lines are the same at the beginning.
pub(crate) fn common_prefix<T: PartialEq>(left: &[T], right: &[T]) -> usize {
    left.iter().zip(right).take_while(|(l, r)| l == r).count()
}

/// How many lines are the same at the end.
pub(crate) fn common_suffix<T: PartialEq>(left: &[T], right: &[T]) -> usize {
    left.iter().rev().zip(right.iter().rev()).take_while(|(l, r)| l == r).count()
}

/// A number for each line, the same for equal ones: the search compares a line many times.
struct Numbers<'t> {
    /// Open addressing, a line beside its number. The size is a power of two.
    places: Vec<Option<(&'t str, u32)>>,
    next: u32,
}

impl<'t> Numbers<'t> {
    fn for_lines(lines: usize) -> Self {
        Self { places: vec![None; (lines * 2).next_power_of_two()], next: 0 }
    }

    fn of(&mut self, line: &'t str) -> u32 {
        let last = self.places.len() - 1;
        let mut at = hash(line) & last;
        // There are twice as many places as lines, so that one is free.
        while let Some((other, number)) = self.places[at] {
            if other == line {
                return number;
            }
            at = (at + 1) & last;
        }
        let number = self.next;
        self.next += 1;
        self.places[at] = Some((line, number));
        number
    }
}

/// FNV-1a over words of eight bytes, with its high bits mixed in.
fn hash(line: &str) -> usize {
    let (words, rest) = line.as_bytes().as_chunks::<8>();
    let rest = rest.iter().fold(1, |word, byte| word << 8 | u64::from(*byte));
    let words = words.iter().map(|word| u64::from_le_bytes(*word)).chain([rest]);
    let hash = words.fold(0xcbf2_9ce4_8422_2325, |hash, word| {
        let hash = (hash ^ word).wrapping_mul(0x0000_0100_0000_01b3);
        hash ^ hash >> 32
    });
    // The low bits serve as a place, whatever the width of an address.
    hash as usize
}

/// Equal lines: `len` of them, from line `x` before and line `y` after.
#[derive(Clone, Copy)]
struct Run {
    x: usize,
    y: usize,
    len: usize,
}

/// The runs of equal lines in their order; `None` past a limit.
fn equal_runs(before: &[u32], after: &[u32]) -> Option<Vec<Run>> {
    // For each number of edits, how far before they can lead, by diagonal: at `i` the one where
    // `edits` of which `i` are deletions lead, so that y = x + edits - 2i.
    let mut reached: Vec<Vec<usize>> = Vec::new();
    let mut pairs = 0;
    for edits in 0..=EDITS_MAX {
        let mut row = Vec::with_capacity(edits + 1);
        for i in 0..=edits {
            let start = start(reached.last(), i);
            let (mut x, mut y) = (start, start + edits - 2 * i);
            while x < before.len() && y < after.len() && before[x] == after[y] {
                (x, y) = (x + 1, y + 1);
            }
            row.push(x);
            pairs += x - start;
            if (x, y) == (before.len(), after.len()) {
                reached.push(row);
                return Some(walk_back(&reached, i));
            }
        }
        if pairs > PAIRS_MAX {
            return None;
        }
        reached.push(row);
    }
    None
}

/// Where on its diagonal an edit ends: a deletion is a line further before, an insertion is not.
fn start(reached: Option<&Vec<usize>>, i: usize) -> usize {
    let Some(reached) = reached else { return 0 };
    let inserted = reached.get(i).copied().unwrap_or_default();
    if i == 0 { inserted } else { inserted.max(reached[i - 1] + 1) }
}

/// The runs on the way to the end, which was reached at `i` of the last row.
fn walk_back(reached: &[Vec<usize>], mut i: usize) -> Vec<Run> {
    let mut runs = Vec::new();
    for edits in (0..reached.len()).rev() {
        let row_before = edits.checked_sub(1).map(|edits| &reached[edits]);
        let start = start(row_before, i);
        let len = reached[edits][i] - start;
        if len > 0 {
            runs.push(Run { x: start, y: start + edits - 2 * i, len });
        }
        if row_before.is_some_and(|row| row.get(i) != Some(&start)) {
            i -= 1;
        }
    }
    runs.reverse();
    runs
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Small texts of few words, so that much is equal; the same in each run.
    fn texts() -> impl Iterator<Item = (Vec<&'static str>, Vec<&'static str>)> {
        let mut state = 7_u64;
        let mut next = move |below: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 33) % below
        };
        let mut text = move || {
            let words = ["a", "b", "c"];
            (0..next(9)).map(|_| words[usize::try_from(next(3)).unwrap()]).collect::<Vec<_>>()
        };
        (0..5_000).map(move |_| (text(), text()))
    }

    /// The length of the longest common subsequence, by the table.
    fn longest(before: &[&str], after: &[&str]) -> usize {
        let mut row = vec![0; after.len() + 1];
        for line in before {
            let mut diagonal = 0;
            for (j, other) in after.iter().enumerate() {
                let up = row[j + 1];
                row[j + 1] = if line == other { diagonal + 1 } else { up.max(row[j]) };
                diagonal = up;
            }
        }
        row[after.len()]
    }

    #[test]
    fn what_is_not_changed_is_the_longest_common_part() {
        for (before, after) in texts() {
            let (mut x, mut y, mut equal) = (0, 0, 0);
            for change in changes(&before, &after) {
                assert_eq!(change.before.start - x, change.after.start - y);
                assert_eq!(before[x..change.before.start], after[y..change.after.start]);
                assert!(x == 0 || change.before.start > x, "two changes touch");
                equal += change.before.start - x;
                (x, y) = (change.before.end, change.after.end);
            }
            assert_eq!(before[x..], after[y..]);
            assert_eq!(equal + before.len() - x, longest(&before, &after), "{before:?} {after:?}");
        }
    }

    #[test]
    fn past_the_limits_all_is_one_change() {
        let before: Vec<String> = (0..EDITS_MAX).map(|n| format!("{n}")).collect();
        let before: Vec<&str> = before.iter().flat_map(|line| ["same", line]).collect();
        let after: Vec<&str> = before.iter().filter(|line| **line == "same").copied().collect();
        assert_eq!(changes(&before, &after).len(), EDITS_MAX);
        let after = [&after[..], &["more"]].concat();
        let end = before.len();
        assert_eq!(changes(&before, &after), [Change { before: 1..end, after: 1..after.len() }]);
    }
}
