//! Rust source, as far as rules need to understand it: code apart from comments and literals, and
//! apart from tests.

/// A source file.
#[derive(Clone, Debug)]
pub struct Source<'a> {
    /// As written, line by line.
    pub lines: Vec<&'a str>,
    /// Line by line the code alone: comments are blank, and so is what stands in strings and
    /// characters.
    pub code: Vec<String>,
    /// So many lines come before the tests at the end.
    pub lines_without_tests: usize,
}

impl<'a> Source<'a> {
    /// Reads a file.
    pub fn parse(text: &'a str) -> Self {
        let lines: Vec<&str> = text.lines().collect();
        let blanked = blank(text);
        let code: Vec<String> = blanked.lines().map(str::to_owned).collect();
        let lines_without_tests = tests_start(&code).unwrap_or(lines.len());
        Self { lines, code, lines_without_tests }
    }

    /// The code without tests, with line numbers from 1.
    pub fn code_without_tests(&self) -> impl Iterator<Item = (usize, &str)> {
        self.all_code().take(self.lines_without_tests)
    }

    /// All code, with line numbers from 1.
    pub fn all_code(&self) -> impl Iterator<Item = (usize, &str)> {
        self.code.iter().enumerate().map(|(at, line)| (at + 1, line.as_str()))
    }
}

/// The words of a line of code, with what stands right before and after each.
pub fn words(code: &str) -> impl Iterator<Item = Word<'_>> {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    let mut at = 0;
    std::iter::from_fn(move || {
        let start = at + code[at..].find(is_part)?;
        let end = code[start..].find(|c| !is_part(c)).map_or(code.len(), |len| start + len);
        at = end;
        Some(Word { text: &code[start..end], before: &code[..start], after: &code[end..] })
    })
}

/// A word of a line.
#[derive(Clone, Copy, Debug)]
pub struct Word<'a> {
    /// The word.
    pub text: &'a str,
    /// The line before it.
    pub before: &'a str,
    /// The line after it.
    pub after: &'a str,
}

/// The line of an inline test module's attribute, from 0. A module of its own file is no end.
fn tests_start(code: &[String]) -> Option<usize> {
    let is_test = |line: &str| line.trim_start().starts_with("#[cfg(test)]");
    let lines = code.iter().enumerate().filter(|(_, line)| is_test(line));
    lines.map(|(at, _)| at).find(|at| {
        let item = code[at + 1..].iter().map(|line| line.trim());
        let mut item = item.filter(|line| !line.is_empty() && !line.starts_with("#["));
        item.next().is_some_and(|line| {
            let line = line.trim_start_matches("pub ").trim_start_matches("pub(crate) ");
            line.starts_with("mod ") && line.ends_with('{')
        })
    })
}

/// The same text with blanks for comments and for what stands in literals.
fn blank(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    while at < chars.len() {
        let end = match chars[at] {
            '/' if chars.get(at + 1) == Some(&'/') => line_end(&chars, at),
            '/' if chars.get(at + 1) == Some(&'*') => comment_end(&chars, at),
            '"' => string_end(&chars, at + 1),
            '\'' => char_end(&chars, at),
            'r' | 'b' | 'c' if !in_word(&chars, at) => prefixed_end(&chars, at),
            _ => at,
        };
        if end == at {
            out.push(chars[at]);
            at += 1;
            continue;
        }
        out.extend(chars[at..end].iter().map(|c| if *c == '\n' { '\n' } else { ' ' }));
        at = end;
    }
    out
}

fn in_word(chars: &[char], at: usize) -> bool {
    at > 0 && (chars[at - 1].is_alphanumeric() || chars[at - 1] == '_')
}

fn line_end(chars: &[char], at: usize) -> usize {
    chars[at..].iter().position(|c| *c == '\n').map_or(chars.len(), |len| at + len)
}

fn comment_end(chars: &[char], mut at: usize) -> usize {
    let mut depth = 0;
    while at < chars.len() {
        match (chars[at], chars.get(at + 1)) {
            ('/', Some('*')) => (depth, at) = (depth + 1, at + 2),
            ('*', Some('/')) => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            return at;
        }
    }
    chars.len()
}

/// `at` is behind the quote.
fn string_end(chars: &[char], mut at: usize) -> usize {
    while at < chars.len() {
        match chars[at] {
            '\\' => at += 2,
            '"' => return at + 1,
            _ => at += 1,
        }
    }
    chars.len()
}

/// A lifetime is no character; its name is code.
fn char_end(chars: &[char], at: usize) -> usize {
    match (chars.get(at + 1), chars.get(at + 2)) {
        (Some('\\'), _) => {
            let close = chars[(at + 3).min(chars.len())..].iter().position(|c| *c == '\'');
            close.map_or(chars.len(), |len| at + 3 + len + 1)
        }
        (Some(_), Some('\'')) => at + 3,
        _ => at,
    }
}

/// `r"…"`, `r#"…"#`, `b"…"`, `br"…"`, `c"…"`, `b'…'`; the same place where it is none of them.
fn prefixed_end(chars: &[char], at: usize) -> usize {
    let letters = chars[at..].iter().take_while(|c| matches!(c, 'r' | 'b' | 'c')).count();
    let raw = chars[at..at + letters].contains(&'r');
    let open = at + letters;
    let hashes = chars[open..].iter().take_while(|c| **c == '#').count();
    match chars.get(open + hashes) {
        Some('"') if raw => {
            let close: Vec<char> = std::iter::once('"').chain((0..hashes).map(|_| '#')).collect();
            let from = open + hashes + 1;
            let found = chars[from..].windows(close.len()).position(|at| at == close);
            found.map_or(chars.len(), |len| from + len + close.len())
        }
        Some('"') if hashes == 0 && letters == 1 => string_end(chars, open + 1),
        Some('\'') if hashes == 0 && chars[at] == 'b' && letters == 1 => char_end(chars, open),
        _ => at,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(text: &str) -> String {
        blank(text).split_whitespace().collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn comments_and_literals_are_blank() {
        assert_eq!(code("a // b\nc /* d /* e */ f */ g"), "a c g");
        assert_eq!(code(r#"a("b \" c", 'd', '\'', b'e', '\u{66}') + g"#), "a( , , , , ) + g");
        assert_eq!(code("a(r#\"b \" c\"#, br\"d\", c\"e\", b\"f\\\"\") + g"), "a( , , , ) + g");
        assert_eq!(
            code("fn a<'b>(c: &'b str) -> &'static r#type"),
            "fn a<'b>(c: &'b str) -> &'static r#type"
        );
        assert_eq!(code("\"never closed"), "");
        assert_eq!(blank("\"a\nb\"\nc"), "  \n  \nc");
    }

    #[test]
    fn tests_at_the_end_are_told_apart() {
        let text = "#[cfg(test)]\nmod arbitrary;\nfn a() {}\n\n#[cfg(test)]\nmod tests {\n}\n";
        let source = Source::parse(text);
        assert_eq!(source.lines_without_tests, 4);
        assert_eq!(Source::parse("fn a() {}\n").lines_without_tests, 1);
    }

    #[test]
    fn words_know_their_neighbours() {
        let found: Vec<&str> = words("std::fs::read(a_1)").map(|word| word.text).collect();
        assert_eq!(found, ["std", "fs", "read", "a_1"]);
        let read = words("std::fs::read(a)").nth(2).unwrap();
        assert_eq!((read.before, read.after), ("std::fs::", "(a)"));
    }
}
