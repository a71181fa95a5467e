//! An image as a tree that can be changed. Numbers are kept as they were written.

use std::collections::BTreeMap;

use serde_json::value::RawValue;
use syncline_image::{Image, NotCanonical};

/// A JSON value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Value {
    Null,
    Bool(bool),
    /// As it was written.
    Number(String),
    Text(String),
    List(Vec<Value>),
    Object(BTreeMap<String, Value>),
}

impl Value {
    pub(crate) fn of(image: &Image) -> Self {
        // An image is JSON, or it would be none; bytes that only claim to be one are an empty row.
        let parsed: Option<&RawValue> = serde_json::from_slice(image.as_bytes()).ok();
        parsed.and_then(Self::read).unwrap_or_else(|| Self::Object(BTreeMap::new()))
    }

    fn read(raw: &RawValue) -> Option<Self> {
        let text = raw.get();
        Some(match text.as_bytes().first()? {
            b'n' => Self::Null,
            b't' => Self::Bool(true),
            b'f' => Self::Bool(false),
            b'"' => Self::Text(serde_json::from_str(text).ok()?),
            b'[' => {
                let items: Vec<&RawValue> = serde_json::from_str(text).ok()?;
                Self::List(items.into_iter().map(Self::read).collect::<Option<_>>()?)
            }
            b'{' => {
                let members: BTreeMap<String, &RawValue> = serde_json::from_str(text).ok()?;
                let members = members.into_iter();
                let read = members.map(|(name, value)| Some((name, Self::read(value)?)));
                Self::Object(read.collect::<Option<_>>()?)
            }
            _ => Self::Number(text.to_owned()),
        })
    }

    /// The image of an object. Fails for what can be no row, such as one that is too large.
    pub(crate) fn image(&self) -> Result<Image, NotCanonical> {
        let mut text = String::new();
        self.write(&mut text);
        Image::canonicalize(text.as_bytes())
    }

    fn write(&self, out: &mut String) {
        match self {
            Self::Null => out.push_str("null"),
            Self::Bool(true) => out.push_str("true"),
            Self::Bool(false) => out.push_str("false"),
            Self::Number(number) => out.push_str(number),
            Self::Text(text) => write_text(text, out),
            Self::List(items) => {
                out.push('[');
                for (n, item) in items.iter().enumerate() {
                    if n > 0 {
                        out.push(',');
                    }
                    item.write(out);
                }
                out.push(']');
            }
            Self::Object(members) => {
                out.push('{');
                for (n, (name, value)) in members.iter().enumerate() {
                    if n > 0 {
                        out.push(',');
                    }
                    write_text(name, out);
                    out.push(':');
                    value.write(out);
                }
                out.push('}');
            }
        }
    }

    /// The text over several lines, each with its end, so that a difference is found.
    pub(crate) fn pretty(&self) -> String {
        let mut text = String::new();
        self.write_pretty(0, &mut text);
        text.push('\n');
        text
    }

    fn write_pretty(&self, depth: usize, out: &mut String) {
        let line = |depth: usize, out: &mut String| {
            out.push('\n');
            out.push_str(&"  ".repeat(depth));
        };
        match self {
            Self::List(items) if !items.is_empty() => {
                out.push('[');
                for (n, item) in items.iter().enumerate() {
                    out.push_str(if n > 0 { "," } else { "" });
                    line(depth + 1, out);
                    item.write_pretty(depth + 1, out);
                }
                line(depth, out);
                out.push(']');
            }
            Self::Object(members) if !members.is_empty() => {
                out.push('{');
                for (n, (name, value)) in members.iter().enumerate() {
                    out.push_str(if n > 0 { "," } else { "" });
                    line(depth + 1, out);
                    write_text(name, out);
                    out.push_str(": ");
                    value.write_pretty(depth + 1, out);
                }
                line(depth, out);
                out.push('}');
            }
            simple => simple.write(out),
        }
    }

    /// How many values there are in it, itself among them.
    pub(crate) fn count(&self) -> usize {
        1 + match self {
            Self::List(items) => items.iter().map(Self::count).sum(),
            Self::Object(members) => members.values().map(Self::count).sum(),
            _ => 0,
        }
    }

    /// The `n`th value in it, in the order of the text; the 0th is itself.
    pub(crate) fn nth_mut(&mut self, mut n: usize) -> Option<&mut Self> {
        if n == 0 {
            return Some(self);
        }
        n -= 1;
        let children: Box<dyn Iterator<Item = &mut Self>> = match self {
            Self::List(items) => Box::new(items.iter_mut()),
            Self::Object(members) => Box::new(members.values_mut()),
            _ => return None,
        };
        for child in children {
            let count = child.count();
            if n < count {
                return child.nth_mut(n);
            }
            n -= count;
        }
        None
    }
}

fn write_text(text: &str, out: &mut String) {
    out.push('"');
    for char in text.chars() {
        match char {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            char if char < ' ' => out.push_str(&format!("\\u{:04x}", u32::from(char))),
            char => out.push(char),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(json: &str) -> Image {
        Image::canonicalize(json.as_bytes()).unwrap()
    }

    #[test]
    fn an_image_comes_back_as_it_was() {
        for json in [
            "{}",
            r#"{"a":[1.50,-0,1e400,9223372036854775808],"b":{"c":null,"d":[true,false]}}"#,
            r#"{"é\n\u0000\"\\":"\u0001 /\/ 😀"}"#,
        ] {
            let image = image(json);
            assert_eq!(Value::of(&image).image().unwrap(), image);
        }
    }

    #[test]
    fn values_are_counted_and_found_in_the_order_of_the_text() {
        let mut value = Value::of(&image(r#"{"a":[1,[2]],"b":{"c":3},"d":4}"#));
        assert_eq!(value.count(), 8);
        let number = |value: Option<&mut Value>| match value {
            Some(Value::Number(number)) => number.clone(),
            other => format!("{other:?}"),
        };
        let found: Vec<String> = [2, 4, 6, 7].map(|n| number(value.nth_mut(n))).into();
        assert_eq!(found, ["1", "2", "3", "4"]);
        assert_eq!(value.nth_mut(8), None);
    }
}
