//! Error texts in all encodings, right and wrong. They end in logs and on terminals.

use crate::guest::{Guest, answer, data};
use crate::hostile::{Hostile, guest, harm, with_harm};

/// The name, the sentence, the encoding, the text's bytes and its length in code units.
type Text = (&'static str, &'static str, &'static str, &'static [u8], u32);

const UTF16_TAG: u32 = 1 << 31;

const RIGHT: [Text; 8] = [
    ("text-empty", "Fails without a word.", "utf8", b"", 0),
    (
        "text-of-control-characters",
        "Fails with what clears a terminal and forges lines of a log.",
        "utf8",
        b"a\n\x1b[2J\x00\x07 level=error\r",
        21,
    ),
    (
        "text-written-backwards",
        "Fails with what turns the direction of writing.",
        "utf8",
        "\u{202e}good\u{2066}\u{2029}".as_bytes(),
        13,
    ),
    (
        "text-in-latin1",
        "Fails in Latin-1, with bytes that UTF-8 does not know.",
        "latin1+utf16",
        b"\xe9\xff\x9b2J\x80",
        6,
    ),
    (
        "text-in-utf16",
        "Fails in UTF-16, with a character of two units.",
        "utf16",
        b"o\0\x3d\xd8\x00\xde",
        3,
    ),
    (
        "text-in-tagged-utf16",
        "Fails in the mixed encoding, as UTF-16.",
        "latin1+utf16",
        b"o\0\xac\x20",
        2 | UTF16_TAG,
    ),
    (
        "text-of-json",
        "Fails with a row as its error, which stays an error.",
        "utf8",
        b"{\"a\":1}",
        7,
    ),
    (
        "text-of-markup",
        "Fails with markup, for pages that show it.",
        "utf8",
        b"<script>alert(1)</script>",
        25,
    ),
];

const WRONG: [Text; 9] = [
    ("text-of-no-utf8", "Fails with bytes that are not UTF-8.", "utf8", b"\xff\xfe", 2),
    (
        "text-of-half-a-character",
        "Fails with a character that is cut short.",
        "utf8",
        b"a\xe2\x82",
        3,
    ),
    ("text-of-overlong-utf8", "Fails with a slash in two bytes.", "utf8", b"\xc0\xaf", 2),
    ("text-of-a-surrogate-in-utf8", "Fails with a surrogate in UTF-8.", "utf8", b"\xed\xa0\x80", 3),
    (
        "text-of-a-lone-high-surrogate",
        "Fails with the first half of a pair.",
        "utf16",
        b"o\0\x00\xd8",
        2,
    ),
    (
        "text-of-a-lone-low-surrogate",
        "Fails with the second half of a pair.",
        "utf16",
        b"\x00\xdco\0",
        2,
    ),
    (
        "text-of-a-lone-tagged-surrogate",
        "Fails with half a pair in the mixed encoding.",
        "latin1+utf16",
        b"\x00\xd8o\0",
        2 | UTF16_TAG,
    ),
    (
        "text-of-tagged-4-gib",
        "Fails with a length of which all bits are set.",
        "latin1+utf16",
        b"o\0",
        u32::MAX,
    ),
    (
        "text-of-utf16-beyond-the-end",
        "Fails with a length that doubles to more than 4 GiB.",
        "utf16",
        b"o\0",
        0xffff_fffe,
    ),
];

fn failing(encoding: &'static str, bytes: &[u8], at: u32, units: u32) -> Guest {
    let is_boom_in_utf16 = "
      (func $is_boom_in_utf16 (param $p i32) (result i32)
        (i32.and (i32.eq (i32.const 4) (i32.load offset=12 (local.get $p)))
          (i64.eq (i64.const 0x006d_006f_006f_0062)
            (i64.load align=1 (i32.load offset=8 (local.get $p))))))";
    let harm =
        with_harm(&format!("{is_boom_in_utf16} {}", data(2048, bytes)), &answer(true, at, units));
    let merge = match encoding {
        "utf16" => harm.merge.replace("call $is_boom", "call $is_boom_in_utf16"),
        _ => harm.merge,
    };
    Guest { encoding, merge, ..harm }
}

pub(super) fn all() -> Vec<Hostile> {
    let make = |(name, tries, encoding, bytes, units): &'static Text| {
        guest(*name, *tries, move || failing(encoding, bytes, 2048, *units))
    };
    let right = RIGHT.iter().map(|text| make(text).faults("error"));
    let wrong = WRONG.iter().map(|text| make(text).faults("invalid-output"));
    let others = [
        guest("text-of-a-mebibyte", "Fails with a text as large as an answer may be.", || Guest {
            memory: r#"(memory (export "memory") 20)"#.into(),
            ..with_harm(
                "",
                &format!(
                    "(memory.fill (i32.const 65536) (i32.const 10) (i32.const 1048576)) {}",
                    answer(true, 65_536, 1 << 20)
                ),
            )
        })
        .faults("error"),
        harm(
            "text-at-an-odd-address",
            "Fails in UTF-8 at an odd address, which is allowed.",
            answer(true, 2049, 3),
        )
        .faults("error"),
        guest("text-in-utf16-at-an-odd-address", "Fails in UTF-16 at an odd address.", || {
            failing("utf16", b"o\0o\0", 2049, 1)
        })
        .faults("invalid-output"),
    ];
    right.chain(wrong).chain(others).collect()
}
