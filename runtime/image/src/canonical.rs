//! The canonical form of a JSON object: one pass over the text, which keeps numbers as written.

use std::borrow::Cow;

use thiserror::Error;

use crate::form::plain;
use crate::image::IMAGE_BYTES_MAX;

/// Objects and arrays nested deeper are refused.
pub(crate) const DEPTH_MAX: usize = 100;
/// A number of more characters is refused.
pub(crate) const NUMBER_CHARS_MAX: usize = 64;

/// Why a text cannot be an image. `at` is the offset in bytes.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[allow(missing_docs, reason = "each variant's message says what it is")]
pub enum NotCanonical {
    #[error("not UTF-8 at byte {at}")]
    NotUtf8 { at: usize },
    #[error("not JSON at byte {at}: expected {expected}")]
    Syntax { at: usize, expected: &'static str },
    #[error("a row is a JSON object, this is something else")]
    NotAnObject,
    #[error("the key at byte {at} stands twice in one object")]
    DuplicateKey { at: usize },
    #[error("a lone surrogate at byte {at}: no UTF-8 text can hold it")]
    LoneSurrogate { at: usize },
    #[error("nested deeper than {DEPTH_MAX} levels at byte {at}")]
    TooDeep { at: usize },
    #[error("a number of more than {NUMBER_CHARS_MAX} characters at byte {at}")]
    NumberTooLong { at: usize },
    #[error("a row of {bytes} bytes, the limit is {IMAGE_BYTES_MAX}")]
    TooLarge { bytes: usize },
    #[error("JSON, but not in canonical form at byte {at}")]
    NotInForm { at: usize },
}

pub(crate) fn canonicalize(json: &[u8]) -> Result<Vec<u8>, NotCanonical> {
    let text = std::str::from_utf8(json)
        .map_err(|error| NotCanonical::NotUtf8 { at: error.valid_up_to() })?;
    let mut writer =
        Writer { text, at: 0, out: Vec::with_capacity(text.len().min(IMAGE_BYTES_MAX)) };
    writer.skip_white_space();
    match writer.peek() {
        Some(b'{') => writer.object(1)?,
        _ => {
            writer.value(1)?; // a syntax error inside is the better message
            return Err(NotCanonical::NotAnObject);
        }
    }
    writer.skip_white_space();
    if writer.at < text.len() {
        return Err(writer.expected("the end of the text"));
    }
    if writer.out.len() > IMAGE_BYTES_MAX {
        return Err(NotCanonical::TooLarge { bytes: writer.out.len() });
    }
    Ok(writer.out)
}

/// A member of the object that is being written.
struct Member<'a> {
    key: Cow<'a, str>,
    read_at: usize,
    /// Where key and value stand in the output.
    written: std::ops::Range<usize>,
}

struct Writer<'a> {
    text: &'a str,
    at: usize,
    out: Vec<u8>,
}

impl<'a> Writer<'a> {
    fn value(&mut self, depth: usize) -> Result<(), NotCanonical> {
        match self.peek() {
            Some(b'{') => self.object(depth),
            Some(b'[') => self.array(depth),
            Some(b'"') => {
                let text = self.string()?;
                self.write_string(&text);
                Ok(())
            }
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(b't') => self.literal("true"),
            Some(b'f') => self.literal("false"),
            Some(b'n') => self.literal("null"),
            _ => Err(self.expected("a value")),
        }
    }

    fn object(&mut self, depth: usize) -> Result<(), NotCanonical> {
        if depth > DEPTH_MAX {
            return Err(NotCanonical::TooDeep { at: self.at });
        }
        let opened = self.out.len();
        let mut members: Vec<Member<'a>> = Vec::new();
        self.copy_byte();
        self.skip_white_space();
        while self.peek() != Some(b'}') {
            if !members.is_empty() {
                self.byte(b',', ", or }")?;
                self.out.push(b',');
                self.skip_white_space();
            }
            let read_at = self.at;
            if self.peek() != Some(b'"') {
                return Err(self.expected("a key"));
            }
            let key = self.string()?;
            let start = self.out.len();
            self.write_string(&key);
            self.skip_white_space();
            self.byte(b':', ":")?;
            self.out.push(b':');
            self.skip_white_space();
            self.value(depth + 1)?;
            self.skip_white_space();
            members.push(Member { key, read_at, written: start..self.out.len() });
        }
        self.sort(opened + 1, members)?;
        self.copy_byte();
        Ok(())
    }

    /// Brings the members into order; they stand in the output from `first` on, as they were read.
    fn sort(&mut self, first: usize, mut members: Vec<Member<'a>>) -> Result<(), NotCanonical> {
        if members.windows(2).all(|pair| pair[0].key.as_bytes() < pair[1].key.as_bytes()) {
            return Ok(());
        }
        members.sort_by(|a, b| a.key.as_bytes().cmp(b.key.as_bytes()));
        if let Some(pair) = members.windows(2).find(|pair| pair[0].key == pair[1].key) {
            return Err(NotCanonical::DuplicateKey { at: pair[1].read_at });
        }
        let unsorted = self.out.split_off(first);
        for (i, member) in members.iter().enumerate() {
            if i > 0 {
                self.out.push(b',');
            }
            let range = member.written.start - first..member.written.end - first;
            self.out.extend_from_slice(&unsorted[range]);
        }
        Ok(())
    }

    fn array(&mut self, depth: usize) -> Result<(), NotCanonical> {
        if depth > DEPTH_MAX {
            return Err(NotCanonical::TooDeep { at: self.at });
        }
        self.copy_byte();
        self.skip_white_space();
        let mut first = true;
        while self.peek() != Some(b']') {
            if !first {
                self.byte(b',', ", or ]")?;
                self.out.push(b',');
                self.skip_white_space();
            }
            first = false;
            self.value(depth + 1)?;
            self.skip_white_space();
        }
        self.copy_byte();
        Ok(())
    }

    fn literal(&mut self, word: &'static str) -> Result<(), NotCanonical> {
        if !self.text.as_bytes()[self.at..].starts_with(word.as_bytes()) {
            return Err(self.expected("a value"));
        }
        self.at += word.len();
        self.out.extend_from_slice(word.as_bytes());
        Ok(())
    }

    fn number(&mut self) -> Result<(), NotCanonical> {
        let start = self.at;
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        if self.peek() == Some(b'0') {
            self.at += 1;
        } else {
            self.digits()?;
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.digits()?;
        }
        if self.at - start > NUMBER_CHARS_MAX {
            return Err(NotCanonical::NumberTooLong { at: start });
        }
        self.out.extend_from_slice(&self.text.as_bytes()[start..self.at]);
        Ok(())
    }

    fn digits(&mut self) -> Result<(), NotCanonical> {
        let start = self.at;
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        if self.at == start { Err(self.expected("a digit")) } else { Ok(()) }
    }

    /// Reads a string, decoded; the input stands at its first quote.
    fn string(&mut self) -> Result<Cow<'a, str>, NotCanonical> {
        self.at += 1;
        let start = self.at;
        self.skip_plain();
        if self.peek() == Some(b'"') {
            self.at += 1;
            return Ok(Cow::Borrowed(&self.text[start..self.at - 1]));
        }
        let mut decoded = self.text[start..self.at].to_owned();
        loop {
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(Cow::Owned(decoded));
                }
                Some(b'\\') => decoded.push(self.escape()?),
                _ => return Err(self.expected("the string to go on without control characters")),
            }
            let start = self.at;
            self.skip_plain();
            decoded.push_str(&self.text[start..self.at]);
        }
    }

    /// Skips what stands for itself in a string.
    fn skip_plain(&mut self) {
        self.at += plain(&self.text.as_bytes()[self.at..]);
    }

    fn escape(&mut self) -> Result<char, NotCanonical> {
        let start = self.at;
        self.at += 1;
        let decoded = match self.peek() {
            Some(b'"') => '"',
            Some(b'\\') => '\\',
            Some(b'/') => '/',
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => return self.unicode_escape(start),
            _ => return Err(self.expected("an escape such as \\n or \\u00e9")),
        };
        self.at += 1;
        Ok(decoded)
    }

    /// `\uXXXX`, or two of them for a character beyond the basic plane; the input stands at the u.
    fn unicode_escape(&mut self, start: usize) -> Result<char, NotCanonical> {
        let lone = NotCanonical::LoneSurrogate { at: start };
        self.at += 1;
        let first = self.four_hex_digits()?;
        if !(0xd800..0xe000).contains(&first) {
            return char::from_u32(first).ok_or(lone);
        }
        if first >= 0xdc00 || !self.text.as_bytes()[self.at..].starts_with(b"\\u") {
            return Err(lone);
        }
        self.at += 2;
        let second = self.four_hex_digits()?;
        if !(0xdc00..0xe000).contains(&second) {
            return Err(lone);
        }
        char::from_u32(0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00)).ok_or(lone)
    }

    fn four_hex_digits(&mut self) -> Result<u32, NotCanonical> {
        let mut value = 0;
        for _ in 0..4 {
            let digit = self.peek().and_then(|b| char::from(b).to_digit(16));
            value = value << 4 | digit.ok_or_else(|| self.expected("four hexadecimal digits"))?;
            self.at += 1;
        }
        Ok(value)
    }

    /// With the escapes of RFC 8785, section 3.2.2.2, and no others.
    fn write_string(&mut self, text: &str) {
        self.out.push(b'"');
        let mut plain = 0;
        for (i, byte) in text.bytes().enumerate() {
            let escape: &[u8] = match byte {
                b'"' => b"\\\"",
                b'\\' => b"\\\\",
                0x08 => b"\\b",
                b'\t' => b"\\t",
                b'\n' => b"\\n",
                0x0c => b"\\f",
                b'\r' => b"\\r",
                0..0x20 => b"",
                _ => continue,
            };
            self.out.extend_from_slice(&text.as_bytes()[plain..i]);
            plain = i + 1;
            if escape.is_empty() {
                let hex = b"0123456789abcdef";
                self.out.extend_from_slice(b"\\u00");
                self.out.push(hex[usize::from(byte >> 4)]);
                self.out.push(hex[usize::from(byte & 15)]);
            } else {
                self.out.extend_from_slice(escape);
            }
        }
        self.out.extend_from_slice(&text.as_bytes()[plain..]);
        self.out.push(b'"');
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn byte(&mut self, byte: u8, expected: &'static str) -> Result<(), NotCanonical> {
        if self.peek() != Some(byte) {
            return Err(self.expected(expected));
        }
        self.at += 1;
        Ok(())
    }

    /// Copies the byte that the caller has seen.
    fn copy_byte(&mut self) {
        self.out.push(self.text.as_bytes()[self.at]);
        self.at += 1;
    }

    fn skip_white_space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn expected(&self, expected: &'static str) -> NotCanonical {
        NotCanonical::Syntax { at: self.at, expected }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Image;
    use super::*;
    use proptest::prelude::*;
    use serde_json::Value;

    fn canonical(json: &str) -> Result<String, NotCanonical> {
        Image::canonicalize(json.as_bytes())
            .map(|image| String::from_utf8(image.as_bytes().to_vec()).unwrap())
    }

    #[test]
    fn brings_into_form() {
        for (given, expected) in [
            ("{}", "{}"),
            (" { } \n", "{}"),
            (r#"{"b":1,"a":2}"#, r#"{"a":2,"b":1}"#),
            (r#"{"é":1,"z":{"y":[ 1 , 2 ],"x":null}}"#, r#"{"z":{"x":null,"y":[1,2]},"é":1}"#),
            // Members go by UTF-8 bytes: U+FFFD before U+1F600, which UTF-16 would turn around.
            (r#"{"\ud83d\ude00":1,"\ufffd":2}"#, "{\"\u{fffd}\":2,\"\u{1f600}\":1}"),
            (
                r#"{"a":9007199254740993,"b":1.50,"c":-0,"d":1E+02}"#,
                r#"{"a":9007199254740993,"b":1.50,"c":-0,"d":1E+02}"#,
            ),
            (
                r#"{"s":"\/\u0041\u000a\u001F\u007f\u2028\"\\"}"#,
                "{\"s\":\"/A\\n\\u001f\u{7f}\u{2028}\\\"\\\\\"}",
            ),
            (r#"{"":[[],{},"",true,false,null]}"#, r#"{"":[[],{},"",true,false,null]}"#),
        ] {
            assert_eq!(canonical(given).as_deref(), Ok(expected), "{given}");
        }
    }

    #[test]
    fn refuses_what_is_no_row() {
        for given in ["1", "null", "[]", "\"x\"", " true "] {
            assert_eq!(canonical(given), Err(NotCanonical::NotAnObject), "{given}");
        }
        for given in [
            "",
            "{",
            "}",
            "{]",
            "{\"a\"}",
            "{\"a\":}",
            "{\"a\":1,}",
            "{,}",
            "{\"a\":1 \"b\":2}",
            "{a:1}",
            "{\"a\":01}",
            "{\"a\":+1}",
            "{\"a\":.5}",
            "{\"a\":1.}",
            "{\"a\":1e}",
            "{\"a\":-}",
            "{\"a\":NaN}",
            "{\"a\":tru}",
            "{\"a\":\"\\x\"}",
            "{\"a\":\"\\u12\"}",
            "{\"a\":\"\n\"}",
            "{\"a\":\"",
            "{} {}",
            "{\"a\":[1,]}",
            "{\"a\":[,]}",
            "\u{feff}{}",
            "{\"a\":1}x",
            "{/**/}",
        ] {
            assert!(matches!(canonical(given), Err(NotCanonical::Syntax { .. })), "{given}");
        }
        assert_eq!(
            canonical(r#"{"a":1,"b":2,"\u0061":3}"#),
            Err(NotCanonical::DuplicateKey { at: 13 })
        );
        for given in [
            r#"{"a":"\ud800"}"#,
            r#"{"a":"\udc00"}"#,
            r#"{"a":"\ud800\u0041"}"#,
            r#"{"a":"\ud800x"}"#,
        ] {
            assert_eq!(canonical(given), Err(NotCanonical::LoneSurrogate { at: 6 }), "{given}");
        }
        assert_eq!(Image::canonicalize(b"{\"a\":\"\xff\"}"), Err(NotCanonical::NotUtf8 { at: 6 }));
    }

    #[test]
    fn limits_hold_to_the_last_unit() {
        let nested = |n: usize| format!("{{\"a\":{}{}}}", "[".repeat(n - 1), "]".repeat(n - 1));
        assert!(canonical(&nested(100)).is_ok());
        assert!(matches!(canonical(&nested(101)), Err(NotCanonical::TooDeep { .. })));
        assert!(matches!(canonical(&nested(1_000_000)), Err(NotCanonical::TooDeep { .. })));
        let number = |n: usize| format!("{{\"a\":{}}}", "9".repeat(n));
        assert!(canonical(&number(64)).is_ok());
        assert_eq!(canonical(&number(65)), Err(NotCanonical::NumberTooLong { at: 5 }));
        let sized = |n: usize| format!("{{\"a\":\"{}\"}}", "x".repeat(n - 8));
        assert_eq!(canonical(&sized(IMAGE_BYTES_MAX)).unwrap().len(), IMAGE_BYTES_MAX);
        let over = IMAGE_BYTES_MAX + 1;
        assert_eq!(canonical(&sized(over)), Err(NotCanonical::TooLarge { bytes: over }));
    }

    #[test]
    fn records_must_hold_the_form_itself() {
        assert!(Image::from_canonical(br#"{"a":1,"b":2}"#).is_ok());
        for (given, at) in
            [(r#"{"b":1,"a":2}"#, 2), (r#"{"a": 1}"#, 5), ("{} ", 2), (r#"{"a":"\/"}"#, 6)]
        {
            assert_eq!(
                Image::from_canonical(given.as_bytes()),
                Err(NotCanonical::NotInForm { at }),
                "{given}"
            );
        }
    }

    fn json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<String>().prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 40, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
                prop::collection::btree_map(any::<String>(), inner, 0..6)
                    .prop_map(Value::from_iter),
            ]
        })
    }

    proptest! {
        #[test]
        fn keeps_the_value_and_is_idempotent(members in prop::collection::btree_map(any::<String>(), json(), 0..6)) {
            let value = Value::from_iter(members);
            let pretty = serde_json::to_string_pretty(&value).unwrap();
            let once = canonical(&pretty).unwrap();
            prop_assert_eq!(serde_json::from_str::<Value>(&once).unwrap(), value);
            prop_assert_eq!(canonical(&once).unwrap(), once.clone());
            prop_assert!(Image::from_canonical(once.as_bytes()).is_ok());
        }

        #[test]
        fn never_takes_what_serde_refuses(bytes in prop::collection::vec(prop::sample::select(
            &b"{}[]\",:\\u0123eE+-.tfn \n\xc3\xa9"[..]), 0..30)) {
            if Image::canonicalize(&bytes).is_ok() {
                prop_assert!(serde_json::from_slice::<Box<serde_json::value::RawValue>>(&bytes).is_ok());
            }
        }
    }
}
