//! What the calls of a function had to say, the newest of it, in memory.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use syncline_core::RowKey;

/// Of one function, the text of its entries: some hundred calls that failed, or a few that print much.
const LOG_BYTES_MAX: usize = 64 << 10;

/// What one call wrote, and where it was if it failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogEntry {
    /// The row whose conflict it was called for.
    pub row: RowKey,
    /// Lines that each end in a line feed: text of a stranger, escaped and bounded.
    pub text: String,
}

/// The newest entries of a function, the oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FunctionLog {
    /// What is kept.
    pub entries: Vec<LogEntry>,
    /// How many there were before them.
    pub dropped: u64,
}

#[derive(Default)]
pub(crate) struct Log(Mutex<Kept>);

#[derive(Default)]
struct Kept {
    entries: VecDeque<LogEntry>,
    bytes: usize,
    dropped: u64,
}

impl Log {
    /// Notes what a call had to say, if anything.
    pub(crate) fn note(&self, row: &RowKey, text: String) {
        if text.is_empty() {
            return;
        }
        // A log stays one whoever panicked with the lock held.
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.bytes += text.len();
        kept.entries.push_back(LogEntry { row: row.clone(), text });
        while kept.bytes > LOG_BYTES_MAX {
            let Some(oldest) = kept.entries.pop_front() else { break };
            kept.bytes -= oldest.text.len();
            kept.dropped += 1;
        }
    }

    pub(crate) fn read(&self) -> FunctionLog {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        FunctionLog { entries: kept.entries.iter().cloned().collect(), dropped: kept.dropped }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_entries_are_kept() {
        let row = RowKey { table: "carts".parse().unwrap(), pk: "c-1".parse().unwrap() };
        let log = Log::default();
        log.note(&row, String::new());
        assert_eq!(log.read(), FunctionLog::default());
        for n in 0..100 {
            log.note(&row, format!("{n} {}\n", "x".repeat(1000)));
        }
        let read = log.read();
        assert_eq!(read.entries.len() as u64 + read.dropped, 100);
        assert!(read.entries.len() > 60 && read.entries.len() < 66);
        assert!(read.entries.last().unwrap().text.starts_with("99 "));
        log.note(&row, "x".repeat(LOG_BYTES_MAX + 1));
        assert!(log.read().entries.is_empty());
    }
}
