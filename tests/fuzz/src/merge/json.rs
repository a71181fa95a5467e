//! Random JSON, and random edits of it.

use fastrand::Rng;

/// Deeper than what functions are asked to take, now and then.
const DEPTH_MAX: u32 = 200;

#[derive(Clone, Debug)]
pub(crate) enum Json {
    /// Null, a truth value or a number, as it is written. A number need not be one.
    Plain(String),
    Text(String),
    List(Vec<Json>),
    Object(Vec<(String, Json)>),
}

const PLAIN: [&str; 20] = [
    "null",
    "true",
    "false",
    "0",
    "-0",
    "1",
    "-1",
    "2",
    "0.1",
    "1e2",
    "1E400",
    "-1.5e-300",
    "9223372036854775807",
    "9223372036854775808",
    "-9223372036854775808",
    "18446744073709551615",
    "18446744073709551616",
    "123456789012345678901234567890.123456789012345678901234567890",
    "01",
    "1.",
];
const TEXTS: [&str; 14] = [
    "",
    "a",
    "fig",
    "pear",
    "é",
    "\u{1f980}",
    "\u{0}",
    "\n\t\"\\/",
    "\u{7f}",
    "\u{2028}",
    "\u{feff}",
    "\u{ffff}",
    "id",
    "qty",
];
const KEYS: [&str; 7] = ["note", "a", "z", "é", "\u{10ffff}", "currency", ""];
/// These a cart has anyway, and twice makes no row.
const KEYS_OF_CARTS: [&str; 3] = ["items", "id", "qty"];

impl Json {
    /// A value of any kind, of `depth` levels at most.
    pub(crate) fn random(rng: &mut Rng, depth: u32) -> Self {
        match rng.u8(..if depth == 0 { 6 } else { 9 }) {
            0..3 => Self::Plain(number(rng)),
            3..6 => Self::Text(text(rng)),
            6 => Self::List((0..rng.usize(..5)).map(|_| Self::random(rng, depth - 1)).collect()),
            7 if rng.u8(..20) == 0 => Self::deep(rng),
            _ => Self::object(rng, depth - 1),
        }
    }

    fn object(rng: &mut Rng, depth: u32) -> Self {
        let fields = rng.usize(..5);
        Self::Object((0..fields).map(|_| (key(rng), Self::random(rng, depth))).collect())
    }

    fn deep(rng: &mut Rng) -> Self {
        let list = rng.bool();
        (0..rng.u32(..DEPTH_MAX)).fold(Self::Plain("1".into()), |inner, _| {
            if list { Self::List(vec![inner]) } else { Self::Object(vec![("a".into(), inner)]) }
        })
    }

    /// What a cart looks like, most of the time.
    pub(crate) fn cart(rng: &mut Rng) -> Self {
        let count = if rng.u8(..10) == 0 { rng.usize(..300) } else { rng.usize(..8) };
        let items = (0..count).map(|n| Self::product(rng, n)).collect();
        let mut fields = vec![("items".to_owned(), Self::List(items))];
        for _ in 0..rng.usize(..3) {
            fields.push((key(rng), Self::random(rng, 2)));
        }
        Self::Object(fields)
    }

    fn product(rng: &mut Rng, n: usize) -> Self {
        let id = if rng.u8(..100) == 0 { text(rng) } else { format!("sku-{n:03}") };
        let qty = match rng.u8(..200) {
            0 => Self::random(rng, 1),
            1 => Self::Plain((i64::MAX as u64 - rng.u64(..3)).to_string()),
            _ => Self::Plain(rng.u32(..20).to_string()),
        };
        let mut fields = vec![("id".to_owned(), Self::Text(id)), ("qty".to_owned(), qty)];
        if rng.u8(..3) == 0 {
            fields.push((key(rng), Self::random(rng, 1)));
        }
        Self::Object(fields)
    }

    /// Changes something somewhere in it.
    pub(crate) fn edit(&mut self, rng: &mut Rng) {
        match self {
            Self::List(items) => edit_some(rng, items, Self::edit, |rng| match rng.bool() {
                true => Self::random(rng, 2),
                false => {
                    let n = rng.usize(..12);
                    Self::product(rng, n)
                }
            }),
            Self::Object(fields) => {
                let edit = |field: &mut (String, Self), rng: &mut Rng| field.1.edit(rng);
                edit_some(rng, fields, edit, |rng| (key(rng), Self::random(rng, 2)));
            }
            Self::Plain(text) if text.parse::<u32>().is_ok() => *text = rng.u32(..20).to_string(),
            other => *other = Self::random(rng, 2),
        }
    }

    pub(crate) fn write(&self, out: &mut String) {
        match self {
            Self::Plain(text) => out.push_str(text),
            Self::Text(text) => quote(text, out),
            Self::List(items) => {
                out.push('[');
                for (at, item) in items.iter().enumerate() {
                    out.push_str(if at > 0 { "," } else { "" });
                    item.write(out);
                }
                out.push(']');
            }
            Self::Object(fields) => {
                out.push('{');
                for (at, (key, value)) in fields.iter().enumerate() {
                    out.push_str(if at > 0 { "," } else { "" });
                    quote(key, out);
                    out.push(':');
                    value.write(out);
                }
                out.push('}');
            }
        }
    }
}

fn edit_some<T>(
    rng: &mut Rng,
    items: &mut Vec<T>,
    edit: impl Fn(&mut T, &mut Rng),
    make: impl Fn(&mut Rng) -> T,
) {
    match (rng.u8(..8), items.len()) {
        (0, 1..) => {
            items.remove(rng.usize(..items.len()));
        }
        (1, _) | (_, 0) => {
            let at = rng.usize(..=items.len());
            items.insert(at, make(rng));
        }
        (2, count) => {
            let at = rng.usize(..count);
            items.swap(0, at);
        }
        (_, count) => edit(&mut items[rng.usize(..count)], rng),
    }
}

fn number(rng: &mut Rng) -> String {
    match rng.u8(..3) {
        0 => PLAIN[rng.usize(..PLAIN.len())].to_owned(),
        1 => rng.i64(..).to_string(),
        _ => rng.u32(..100).to_string(),
    }
}

fn text(rng: &mut Rng) -> String {
    match rng.u8(..4) {
        0 => (0..rng.usize(..12)).map(|_| rng.char(..)).collect(),
        1 => "x".repeat(rng.usize(..2000)),
        _ => TEXTS[rng.usize(..TEXTS.len())].to_owned(),
    }
}

fn key(rng: &mut Rng) -> String {
    match rng.u8(..40) {
        0 => KEYS_OF_CARTS[rng.usize(..KEYS_OF_CARTS.len())].to_owned(),
        1..6 => text(rng),
        _ => KEYS[rng.usize(..KEYS.len())].to_owned(),
    }
}

fn quote(text: &str, out: &mut String) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if c.is_control() => out.push_str(&format!("\\u{:04x}", c as u32)),
            c => out.push(c),
        }
    }
    out.push('"');
}
