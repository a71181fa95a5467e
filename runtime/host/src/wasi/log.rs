//! What a guest writes to its standard output and standard error.

use crate::fault::shown;

/// What is kept of one call; the rest is counted.
const KEPT_BYTES_MAX: usize = 4 << 10;
/// Of one line, after what is no plain text has been escaped.
const LINE_BYTES_MAX: usize = 1 << 10;
/// Of all lines: escaping makes up to ten bytes of one.
const TEXT_BYTES_MAX: usize = 8 << 10;

#[derive(Default)]
pub(super) struct Log {
    kept: Vec<u8>,
    lost: u64,
}

impl Log {
    pub(super) fn write(&mut self, bytes: &[u8]) {
        let room = KEPT_BYTES_MAX - self.kept.len();
        let (kept, lost) = bytes.split_at(room.min(bytes.len()));
        self.kept.extend_from_slice(kept);
        self.lost = self.lost.saturating_add(lost.len() as u64);
    }

    /// Lines, each ending in a line feed, escaped and bounded.
    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        let mut cut = false;
        for line in String::from_utf8_lossy(&self.kept).lines() {
            let line = shown(line, LINE_BYTES_MAX);
            if text.len() + line.len() >= TEXT_BYTES_MAX {
                cut = true;
                break;
            }
            text.push_str(&line);
            text.push('\n');
        }
        if self.lost > 0 {
            text.push_str(&format!("(and {} bytes more)\n", self.lost));
        } else if cut {
            text.push_str("(and more)\n");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(writes: &[&[u8]]) -> Log {
        let mut log = Log::default();
        writes.iter().for_each(|bytes| log.write(bytes));
        log
    }

    #[test]
    fn lines_are_escaped_one_by_one() {
        assert_eq!(log(&[]).text(), "");
        assert_eq!(log(&[b"a\x1b[2J\tb\n\n", b"c\xff"]).text(), "a\\u{1b}[2J\\tb\n\nc\u{fffd}\n");
        let cut_in_a_character = "é\n".as_bytes().split_at(1);
        assert_eq!(log(&[cut_in_a_character.0, cut_in_a_character.1]).text(), "é\n");
    }

    #[test]
    fn what_does_not_fit_is_counted() {
        let full = vec![b'x'; KEPT_BYTES_MAX - 2];
        let log = log(&[&full, b"yyyy", b"z"]);
        assert_eq!(log.kept.len(), KEPT_BYTES_MAX);
        let text = log.text();
        assert_eq!(text, format!("{}\n(and 3 bytes more)\n", "x".repeat(LINE_BYTES_MAX)));
    }

    #[test]
    fn escaping_does_not_make_it_endless() {
        let lines = "\u{1}\u{1}\u{1}\n".repeat(KEPT_BYTES_MAX / 4);
        let text = log(&[lines.as_bytes()]).text();
        assert!(text.len() <= TEXT_BYTES_MAX + 64, "{}", text.len());
        assert!(text.ends_with("\\u{1}\n(and more)\n"), "{text}");
    }
}
