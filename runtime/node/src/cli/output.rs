//! Results on stdout: tables for people, JSON for programs.

use std::fmt::Write as _;
use std::io::{self, Write as _};

use serde::Serialize;

use super::args::Format;
use super::failure::Failure;

/// Where a command's result goes.
pub(super) struct Output {
    format: Format,
}

impl Output {
    pub(super) fn new(format: Format) -> Self {
        Self { format }
    }

    pub(super) fn is_json(&self) -> bool {
        self.format == Format::Json
    }

    /// Writes text as it is.
    pub(super) fn text(&self, text: &str) -> Result<(), Failure> {
        self.bytes(text.as_bytes())
    }

    /// Writes bytes as they are.
    pub(super) fn bytes(&self, bytes: &[u8]) -> Result<(), Failure> {
        let mut stdout = io::stdout().lock();
        stdout.write_all(bytes).and_then(|()| stdout.flush()).map_err(|error| match error.kind() {
            io::ErrorKind::BrokenPipe => Failure::ReaderGone,
            _ => Failure::Failed(format!("cannot write the result: {error}")),
        })
    }

    /// Writes a JSON document on a line of its own.
    pub(super) fn json(&self, value: &impl Serialize) -> Result<(), Failure> {
        let mut line = serde_json::to_vec(value)
            .map_err(|error| Failure::Failed(format!("cannot write the result: {error}")))?;
        line.push(b'\n');
        self.bytes(&line)
    }

    /// Writes a region's own JSON, which is one line already.
    pub(super) fn json_as_it_came(&self, body: &[u8]) -> Result<(), Failure> {
        let mut line = body.trim_ascii().to_vec();
        line.push(b'\n');
        self.bytes(&line)
    }
}

/// Says something beside the result. Where nobody reads it, nothing is lost.
pub(super) fn note(text: &str) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// Columns under their headings, two spaces apart. The last column is not padded.
pub(super) fn table<const N: usize>(headings: [&str; N], rows: &[[String; N]]) -> String {
    let width = |column: usize| {
        let cells = rows.iter().map(|row| printable(&row[column]).chars().count());
        cells.chain([headings[column].chars().count()]).max().unwrap_or_default()
    };
    let widths: [usize; N] = std::array::from_fn(width);
    let mut text = String::new();
    line(&mut text, &widths, &headings.map(str::to_owned));
    for row in rows {
        line(&mut text, &widths, row);
    }
    text
}

fn line(text: &mut String, widths: &[usize], cells: &[String]) {
    let start = text.len();
    for (cell, width) in cells.iter().zip(widths) {
        let _ = write!(text, "{:<width$}  ", printable(cell));
    }
    text.truncate(start + text[start..].trim_end().len());
    text.push('\n');
}

/// Names and their values, one a line; those without a value are left out.
pub(super) fn fields(fields: &[(&str, String)]) -> String {
    let width = fields.iter().map(|(name, _)| name.len()).max().unwrap_or_default();
    let mut text = String::new();
    for (name, value) in fields.iter().filter(|(_, value)| !value.is_empty()) {
        let _ = writeln!(text, "{name:<width$}  {}", printable(value));
    }
    text
}

/// Text of a stranger, fit for a terminal: what would move the cursor or turn the rest of the line
/// around is escaped.
pub(super) fn printable(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() || matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}') {
            out.extend(c.escape_default());
        } else {
            out.push(c);
        }
    }
    out
}

/// The first characters of a text, with a sign where the rest is left out.
pub(super) fn cut(text: &str, chars_max: usize) -> String {
    match text.char_indices().nth(chars_max) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}…", &text[..end]),
    }
}

/// A version as it is shown in tables: enough digits to tell it from the others.
pub(super) fn short_version(version: &str) -> String {
    let digits = version.strip_prefix("sha256:").unwrap_or(version);
    digits.chars().take(12).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_by_characters() {
        let text = table(["ROW", "N"], &[["日本".into(), "1".into()], ["a".into(), "22".into()]]);
        assert_eq!(text, "ROW  N\n日本   1\na    22\n");
        assert_eq!(table(["ROW", "N"], &[]), "ROW  N\n");
    }

    #[test]
    fn a_strangers_text_cannot_drive_the_terminal() {
        let text = table(["ROW", "N"], &[["a\u{1b}[2J\n".into(), "\u{202e}".into()]]);
        assert_eq!(text, "ROW           N\na\\u{1b}[2J\\n  \\u{202e}\n");
    }

    #[test]
    fn fields_without_a_value_are_left_out() {
        let shown = fields(&[("row", "t/k".into()), ("fault", String::new()), ("id", "7".into())]);
        assert_eq!(shown, "row    t/k\nid     7\n");
    }

    #[test]
    fn long_texts_are_cut_between_characters() {
        assert_eq!(cut("日本語", 2), "日本…");
        assert_eq!(cut("日本語", 3), "日本語");
        assert_eq!(short_version("sha256:0123456789abcdef"), "0123456789ab");
    }
}
