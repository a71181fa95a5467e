//! Answers that are no row, or nearly, or one that few parsers take.

use std::borrow::Cow;

use crate::guest::{Guest, answer as answer_at, data};
use crate::hostile::{Hostile, answering_boom, guest, with_harm};

type Answered = (&'static str, &'static str, &'static [u8]);

const WRONG: [Answered; 48] = [
    ("empty", "Nothing at all.", b""),
    ("white-space", "Nothing but white space.", b" \n\t\r "),
    ("truncated-object", "An object that does not end.", b"{\"a\":1"),
    ("truncated-string", "A string that does not end.", b"{\"a\":\"b"),
    ("truncated-key", "A key that does not end.", b"{\"a"),
    ("truncated-escape", "An escape that does not end.", b"{\"a\":\"\\u00"),
    ("truncated-literal", "A literal that does not end.", b"{\"a\":tru}"),
    ("trailing-garbage", "Something after the row.", b"{\"a\":1}x"),
    ("trailing-row", "A second row after the first.", b"{\"a\":1}{\"a\":2}"),
    ("trailing-nul", "A NUL after the row.", b"{\"a\":1}\0"),
    ("trailing-brace", "A brace too many.", b"{\"a\":1}}"),
    ("trailing-comma", "A comma before the end of the object.", b"{\"a\":1,}"),
    ("trailing-comma-in-array", "A comma before the end of an array.", b"{\"a\":[1,]}"),
    ("leading-comma", "A comma before the first member.", b"{,\"a\":1}"),
    ("no-colon", "A key without a colon.", b"{\"a\" 1}"),
    ("no-value", "A key without a value.", b"{\"a\":}"),
    ("bare-key", "A key without quotes.", b"{a:1}"),
    ("number-as-key", "A number for a key.", b"{1:1}"),
    ("single-quotes", "Single quotes.", b"{'a':1}"),
    ("nan", "Not a number.", b"{\"a\":NaN}"),
    ("infinity", "Infinity.", b"{\"a\":Infinity}"),
    ("minus-infinity", "Minus infinity.", b"{\"a\":-Infinity}"),
    ("undefined", "What JavaScript calls undefined.", b"{\"a\":undefined}"),
    ("line-comment", "A comment to the end of the line.", b"{\"a\":1} // no\n"),
    ("block-comment", "A comment inside.", b"{/* no */\"a\":1}"),
    ("byte-order-mark", "A byte order mark first.", b"\xef\xbb\xbf{\"a\":1}"),
    ("utf16", "UTF-16.", b"{\0\"\0a\0\"\0:\x001\x00}\0"),
    ("latin1", "Latin-1.", b"{\"a\":\"\xe9\"}"),
    ("overlong-utf8", "A NUL in two bytes.", b"{\"a\":\"\xc0\x80\"}"),
    ("surrogate-in-utf8", "A surrogate in UTF-8.", b"{\"a\":\"\xed\xa0\x80\"}"),
    ("lone-high-surrogate", "The first half of a pair.", b"{\"a\":\"\\ud800\"}"),
    ("lone-low-surrogate", "The second half of a pair.", b"{\"a\":\"\\udc00\"}"),
    (
        "surrogates-swapped",
        "The halves of a pair in the wrong order.",
        b"{\"a\":\"\\udc00\\ud800\"}",
    ),
    ("surrogate-in-a-key", "Half a pair in a key.", b"{\"\\ud83d\":1}"),
    ("control-character", "A line's end inside of a string.", b"{\"a\":\"\n\"}"),
    ("unknown-escape", "An escape that JSON does not know.", b"{\"a\":\"\\x41\"}"),
    ("duplicate-keys", "One key twice.", b"{\"a\":1,\"a\":2}"),
    ("duplicate-keys-by-escape", "One key twice, once in an escape.", b"{\"a\":1,\"\\u0061\":2}"),
    ("duplicate-keys-inside", "One key twice, further in.", b"{\"b\":[{\"a\":1,\"c\":0,\"a\":1}]}"),
    ("leading-zero", "A number with a zero in front.", b"{\"a\":01}"),
    ("leading-plus", "A number with a plus in front.", b"{\"a\":+1}"),
    ("bare-fraction", "A number that begins with its point.", b"{\"a\":.5}"),
    ("bare-point", "A number that ends with its point.", b"{\"a\":1.}"),
    ("bare-exponent", "A number that ends with its exponent's letter.", b"{\"a\":1e}"),
    ("hexadecimal", "A hexadecimal number.", b"{\"a\":0x10}"),
    ("array", "An array in place of an object.", b"[{\"a\":1}]"),
    ("string", "A string in place of an object.", b"\"{}\""),
    ("null", "Null in place of an object.", b"null"),
];

/// Odd, but rows; and their canonical form.
const RIGHT: [(&str, &str, &[u8], &str); 9] = [
    ("null-for-a-value", "Null for a value.", b"{\"a\":null}", "{\"a\":null}"),
    (
        "huge-exponent",
        "A number that no machine has room for, which stays as it is written.",
        b"{\"a\":1e999999}",
        "{\"a\":1e999999}",
    ),
    ("minus-zero", "Minus zero, which stays as it is written.", b"{\"a\":-0}", "{\"a\":-0}"),
    (
        "number-of-64-characters",
        "The longest number.",
        b"{\"a\":1234567890123456789012345678901234567890123456789012345678901234}",
        "{\"a\":1234567890123456789012345678901234567890123456789012345678901234}",
    ),
    ("empty-key", "A key of no characters.", b"{\"\":1}", "{\"\":1}"),
    ("nul-in-a-string", "A NUL in a string.", b"{\"a\":\"\\u0000\"}", "{\"a\":\"\\u0000\"}"),
    (
        "prototype",
        "A key that JavaScript takes for something else.",
        b"{\"__proto__\":{\"x\":1}}",
        "{\"__proto__\":{\"x\":1}}",
    ),
    (
        "out-of-order",
        "Keys out of order, with escapes and white space.",
        b" { \"\\u0062\" : [ 1 , 2 ] , \"a\" : \"\\/\" } ",
        "{\"a\":\"/\",\"b\":[1,2]}",
    ),
    (
        "same-key-in-other-forms",
        "One letter composed and decomposed, which are two keys.",
        "{\"e\u{301}\":2,\"\u{e9}\":1}".as_bytes(),
        "{\"e\u{301}\":2,\"\u{e9}\":1}",
    ),
];

/// An object that holds arrays in one another, `depth` levels in all.
fn nested(depth: usize) -> String {
    format!("{{\"a\":{}{}}}", "[".repeat(depth - 1), "]".repeat(depth - 1))
}

fn objects(depth: usize) -> String {
    format!("{}1{}", "{\"a\":".repeat(depth), "}".repeat(depth))
}

pub(super) fn all() -> Vec<Hostile> {
    let answer = |name: &str, tries: &'static str, bytes: Cow<'static, [u8]>| {
        guest(format!("json-{name}"), tries, move || answering_boom(&bytes))
    };
    let wrong = WRONG
        .iter()
        .map(|(name, tries, bytes)| answer(name, tries, (*bytes).into()).faults("invalid-output"));
    let right = RIGHT
        .iter()
        .map(|(name, tries, bytes, row)| answer(name, tries, (*bytes).into()).merges(*row));
    let text = |name: &str, tries, text: String| answer(name, tries, text.into_bytes().into());
    let deep = [
        text("depth-100", "Arrays, as deep as is allowed.", nested(100)).merges(nested(100)),
        text("depth-101", "Arrays, one level too deep.", nested(101)).faults("invalid-output"),
        text("objects-100", "Objects, as deep as is allowed.", objects(100)).merges(objects(100)),
        text("objects-101", "Objects, one level too deep.", objects(101)).faults("invalid-output"),
        text("number-of-65-characters", "A number that is too long.", {
            format!("{{\"a\":{}}}", "9".repeat(65))
        })
        .faults("invalid-output"),
    ];
    wrong.chain(right).chain(deep).chain(made_at_run_time()).collect()
}

/// Too large for the text of a module to hold them well.
fn made_at_run_time() -> [Hostile; 2] {
    let filled = |byte: u8| Guest {
        memory: r#"(memory (export "memory") 20)"#.into(),
        ..with_harm(
            &data(65_536, b"{\"a\":"),
            &format!(
                "(memory.fill (i32.const 65541) (i32.const {byte}) (i32.const 100000)) {}",
                answer_at(false, 65_536, 100_005)
            ),
        )
    };
    [
        guest("json-depth-100000", "Arrays, 100,000 levels deep.", move || filled(b'['))
            .faults("invalid-output"),
        guest("json-digits-100000", "A number of 100,000 digits.", move || filled(b'7'))
            .faults("invalid-output"),
    ]
}
