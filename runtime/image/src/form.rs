//! Whether bytes are an image in canonical form already: one look at each byte, and nothing built.
//!
//! It may say no to what is in form, where telling would take more than a look: a key with an escape,
//! a control character. Then [`crate::canonical`] decides.

use crate::canonical::{DEPTH_MAX, NUMBER_CHARS_MAX};
use crate::image::IMAGE_BYTES_MAX;

/// True only for what [`crate::Image::canonicalize`] would give back as it is.
pub(crate) fn is_in_form(bytes: &[u8]) -> bool {
    if bytes.len() > IMAGE_BYTES_MAX || std::str::from_utf8(bytes).is_err() {
        return false;
    }
    let mut look = Look { bytes, at: 0 };
    bytes.first() == Some(&b'{') && look.object(1).is_some() && look.at == bytes.len()
}

/// Each step is none where the bytes are not in form.
struct Look<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Look<'a> {
    fn value(&mut self, depth: usize) -> Option<()> {
        match self.peek()? {
            b'{' => self.object(depth),
            b'[' => self.array(depth),
            b'"' => self.string().map(drop),
            b't' => self.literal(b"true"),
            b'f' => self.literal(b"false"),
            b'n' => self.literal(b"null"),
            _ => self.number(),
        }
    }

    fn object(&mut self, depth: usize) -> Option<()> {
        self.open(depth)?;
        if self.take(b'}') {
            return Some(());
        }
        let mut before: Option<&[u8]> = None;
        loop {
            let key = self.key()?;
            if before.is_some_and(|before| before >= key) {
                return None;
            }
            before = Some(key);
            self.take(b':').then_some(())?;
            self.value(depth + 1)?;
            if !self.take(b',') {
                return self.take(b'}').then_some(());
            }
        }
    }

    fn array(&mut self, depth: usize) -> Option<()> {
        self.open(depth)?;
        if self.take(b']') {
            return Some(());
        }
        loop {
            self.value(depth + 1)?;
            if !self.take(b',') {
                return self.take(b']').then_some(());
            }
        }
    }

    fn open(&mut self, depth: usize) -> Option<()> {
        self.at += 1;
        (depth <= DEPTH_MAX).then_some(())
    }

    /// A key without escapes, which is its own decoded form.
    fn key(&mut self) -> Option<&'a [u8]> {
        self.take(b'"').then_some(())?;
        let start = self.at;
        self.at += plain(&self.bytes[start..]);
        let key = &self.bytes[start..self.at];
        self.take(b'"').then_some(key)
    }

    fn string(&mut self) -> Option<()> {
        self.at += 1;
        loop {
            self.at += plain(&self.bytes[self.at..]);
            if self.take(b'"') {
                return Some(());
            }
            self.take(b'\\').then_some(())?;
            matches!(self.peek()?, b'"' | b'\\' | b'b' | b't' | b'n' | b'f' | b'r').then_some(())?;
            self.at += 1;
        }
    }

    fn literal(&mut self, word: &[u8]) -> Option<()> {
        self.bytes[self.at..].starts_with(word).then(|| self.at += word.len())
    }

    fn number(&mut self) -> Option<()> {
        let start = self.at;
        self.take(b'-');
        if !self.take(b'0') {
            self.digits()?;
        }
        if self.take(b'.') {
            self.digits()?;
        }
        if self.take(b'e') || self.take(b'E') {
            let _ = self.take(b'+') || self.take(b'-');
            self.digits()?;
        }
        (self.at - start <= NUMBER_CHARS_MAX).then_some(())
    }

    fn digits(&mut self) -> Option<()> {
        let rest = &self.bytes[self.at..];
        let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        self.at += digits;
        (digits > 0).then_some(())
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn take(&mut self, byte: u8) -> bool {
        let is_next = self.peek() == Some(byte);
        self.at += usize::from(is_next);
        is_next
    }
}

/// How many bytes stand for themselves in a string.
pub(crate) fn plain(bytes: &[u8]) -> usize {
    const ONES: u64 = u64::from_le_bytes([1; 8]);
    const HIGHS: u64 = ONES << 7;
    // The high bit of each byte that is one of ours; the lowest of them is exact. Found as in "Bit
    // Twiddling Hacks" (Sean Eron Anderson), "Determine if a word has a byte less than n".
    let less = |word: u64, n: u64| word.wrapping_sub(ONES * n) & !word & HIGHS;
    let (words, rest) = bytes.as_chunks::<8>();
    for (at, word) in words.iter().enumerate() {
        let word = u64::from_le_bytes(*word);
        let quote = less(word ^ (ONES * u64::from(b'"')), 1);
        let backslash = less(word ^ (ONES * u64::from(b'\\')), 1);
        let found = less(word, 0x20) | quote | backslash;
        if found != 0 {
            return at * 8 + (found.trailing_zeros() / 8) as usize;
        }
    }
    let ends = |byte: &u8| *byte < 0x20 || *byte == b'"' || *byte == b'\\';
    let whole = bytes.len() - rest.len();
    whole + rest.iter().position(ends).unwrap_or(rest.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::canonical::canonicalize;
    use proptest::prelude::*;

    fn agrees(bytes: &[u8]) -> bool {
        !is_in_form(bytes) || canonicalize(bytes).is_ok_and(|form| form == bytes)
    }

    #[test]
    fn what_is_in_form_is_seen_at_once() {
        for json in [
            "{}",
            r#"{"":[[],{},"",true,false,null]}"#,
            r#"{"a":"\"\\\b\t\n\f\r","b":-0.50e+7,"c":{"x":0,"y":[1,2]},"é":9007199254740993}"#,
        ] {
            assert!(is_in_form(json.as_bytes()), "{json}");
            let cut = (0..json.len()).filter(|cut| is_in_form(&json.as_bytes()[..*cut]));
            assert_eq!(cut.count(), 0, "{json}");
        }
        for json in [
            "",
            "1",
            "[]",
            "{} ",
            " {}",
            "{}}",
            r#"{"a":1,"a":2}"#,
            r#"{"b":1,"a":2}"#,
            r#"{"a": 1}"#,
            r#"{"a":01}"#,
            r#"{"a":1.}"#,
            r#"{"a":-}"#,
            r#"{"a":"\/"}"#,
            r#"{"a":"\u0041"}"#,
            r#"{"a":1,}"#,
            r#"{"a":[1,]}"#,
            r#"{"a"}"#,
            r#"{"a":tru}"#,
            "{\"a\":\"\u{1}\"}",
            "{\"a\":\"",
            "{\"a\":\"\\",
        ] {
            assert!(!is_in_form(json.as_bytes()), "{json}");
        }
    }

    #[test]
    fn limits_hold() {
        let nested = |n: usize| format!("{{\"a\":{}{}}}", "[".repeat(n - 1), "]".repeat(n - 1));
        let number = |n: usize| format!("{{\"a\":{}}}", "9".repeat(n));
        let sized = |n: usize| format!("{{\"a\":\"{}\"}}", "x".repeat(n - 8));
        for (json, within) in [
            (nested(DEPTH_MAX), true),
            (nested(DEPTH_MAX + 1), false),
            (number(NUMBER_CHARS_MAX), true),
            (number(NUMBER_CHARS_MAX + 1), false),
            (sized(IMAGE_BYTES_MAX), true),
            (sized(IMAGE_BYTES_MAX + 1), false),
        ] {
            assert_eq!(is_in_form(json.as_bytes()), within, "{} bytes", json.len());
            assert!(agrees(json.as_bytes()));
        }
    }

    proptest! {
        #[test]
        fn it_never_sees_a_form_that_is_none(bytes in prop::collection::vec(prop::sample::select(
            &b"{{}}[]\"\"\"\",,::\\u0129eE+-.tfnab \n\x01\xc3\xa9"[..]), 0..40)) {
            prop_assert!(agrees(&bytes));
            let as_value = [b"{\"a\":", &bytes[..], b"}"].concat();
            let as_text = [b"{\"a\":\"", &bytes[..], b"\"}"].concat();
            prop_assert!(agrees(&as_value) && agrees(&as_text));
        }

        #[test]
        fn plain_bytes_are_counted(bytes in prop::collection::vec(any::<u8>(), 0..40),
            text in "[ -~é\u{7f}\u{80}]{0,40}") {
            for bytes in [&bytes[..], text.as_bytes()] {
                let ends = |byte: &u8| *byte < 0x20 || *byte == b'"' || *byte == b'\\';
                let counted = bytes.iter().position(ends).unwrap_or(bytes.len());
                prop_assert_eq!(plain(bytes), counted);
            }
        }
    }
}
