//! What a component can wrongly say of itself.

use crate::guest::{Guest, custom_section};
use crate::hostile::{Hostile, answering_boom, bytes};

const SECTION: &str = "syncline:manifest";
const MANIFEST_BYTES_MAX: usize = 64 << 10;
const ANSWER: &str = r#"{"m":2}"#;

const REFUSED: [(&str, &str, &[u8]); 24] = [
    ("of-nothing", "Is empty.", b""),
    ("of-half-a-json", "Is cut short.", b"{\"v\":1"),
    ("of-more-than-json", "Goes on after its end.", b"{\"v\":1}x"),
    ("of-an-array", "Is an array.", b"[1]"),
    ("of-a-number", "Is a number.", b"1"),
    ("of-no-utf8", "Is no text.", b"{\"v\":1,\"name\":\"\xff\"}"),
    ("of-a-byte-order-mark", "Begins with a byte order mark.", b"\xef\xbb\xbf{\"v\":1}"),
    ("without-a-version", "Does not say what it follows.", b"{}"),
    ("of-version-2", "Follows a later version.", b"{\"v\":2,\"limits\":\"else\"}"),
    ("of-version-0", "Follows an earlier version.", b"{\"v\":0}"),
    ("of-a-version-in-quotes", "Has a text for a number.", b"{\"v\":\"1\"}"),
    ("of-two-versions", "Says twice what it follows.", b"{\"v\":1,\"v\":1}"),
    (
        "of-too-much-fuel",
        "Asks for more fuel than there is.",
        b"{\"v\":1,\"limits\":{\"fuel\":50000001}}",
    ),
    ("of-no-fuel", "Asks for no fuel.", b"{\"v\":1,\"limits\":{\"fuel\":0}}"),
    ("of-negative-fuel", "Asks for less than no fuel.", b"{\"v\":1,\"limits\":{\"fuel\":-1}}"),
    (
        "of-2-64-fuel",
        "Asks for more fuel than a number holds.",
        b"{\"v\":1,\"limits\":{\"fuel\":18446744073709551616}}",
    ),
    ("of-fuel-as-a-float", "Asks for fuel in an exponent.", b"{\"v\":1,\"limits\":{\"fuel\":1e3}}"),
    (
        "of-too-much-memory",
        "Asks for more memory than there is.",
        b"{\"v\":1,\"limits\":{\"memory_bytes\":67108865}}",
    ),
    (
        "of-too-much-output",
        "Asks for a larger answer than a row may be.",
        b"{\"v\":1,\"limits\":{\"output_bytes\":1048577}}",
    ),
    ("of-limits-as-a-text", "Has a text for its limits.", b"{\"v\":1,\"limits\":\"none\"}"),
    ("of-an-empty-name", "Has a name of nothing.", b"{\"v\":1,\"name\":\"\"}"),
    (
        "of-a-name-that-clears-terminals",
        "Has a name with control characters.",
        b"{\"v\":1,\"name\":\"a\\u001b[2J\"}",
    ),
    (
        "of-a-name-with-lines",
        "Has a version that forges lines of a log.",
        b"{\"v\":1,\"version\":\"1\\nlevel=error\"}",
    ),
    ("of-a-lone-surrogate", "Has half a character for a name.", b"{\"v\":1,\"name\":\"\\ud800\"}"),
];

const TAKEN: [(&str, &str, &[u8]); 3] = [
    (
        "of-later-fields",
        "Has fields that are not known yet.",
        b"{\"v\":1,\"later\":{\"fuel\":1},\"limits\":{\"later\":2}}",
    ),
    (
        "of-all-that-there-is",
        "Asks for exactly all that there is.",
        b"{\"v\":1,\"limits\":{\"fuel\":50000000,\"memory_bytes\":67108864,\
          \"output_bytes\":1048576}}",
    ),
    (
        "of-nulls",
        "Has null for everything that it may leave out.",
        b"{\"v\":1,\"name\":null,\"version\":null,\"needs_ancestor\":null}",
    ),
];

fn with(sections: &[&[u8]]) -> Vec<u8> {
    let mut component = answering_boom(ANSWER.as_bytes()).component();
    for section in sections {
        component.extend(custom_section(SECTION, section));
    }
    component
}

pub(super) fn all() -> Vec<Hostile> {
    let one = |(name, tries, section): &'static (&str, &str, &[u8])| {
        bytes(format!("manifest-{name}"), *tries, move || with(&[section]))
    };
    let refused = REFUSED.iter().map(|one_of| one(one_of).refused("invalid-manifest"));
    let taken = TAKEN.iter().map(|one_of| one(one_of).merges(ANSWER));
    refused.chain(taken).chain(others()).collect()
}

fn sized(bytes: usize) -> Vec<u8> {
    let empty = r#"{"v":1,"x":""}"#.len();
    format!(r#"{{"v":1,"x":"{}"}}"#, "x".repeat(bytes - empty)).into_bytes()
}

fn others() -> Vec<Hostile> {
    vec![
        bytes("manifest-twice", "Has two of them.", || with(&[b"{\"v\":1}", b"{\"v\":1}"]))
            .refused("invalid-manifest"),
        bytes("manifest-at-the-limit", "Is as large as it may be.", || {
            with(&[&sized(MANIFEST_BYTES_MAX)])
        })
        .merges(ANSWER),
        bytes("manifest-over-the-limit", "Is one byte larger than it may be.", || {
            with(&[&sized(MANIFEST_BYTES_MAX + 1)])
        })
        .refused("invalid-manifest"),
        bytes(
            "manifest-deep",
            "Nests arrays 30,000 levels deep in a field that is not read.",
            || {
                let (open, close) = ("[".repeat(30_000), "]".repeat(30_000));
                with(&[format!(r#"{{"v":1,"x":{open}{close}}}"#).as_bytes()])
            },
        )
        .merges(ANSWER),
        bytes("manifest-of-a-long-name", "Has a name of 129 characters.", || {
            with(&[format!(r#"{{"v":1,"name":"{}"}}"#, "é".repeat(129)).as_bytes()])
        })
        .refused("invalid-manifest"),
        bytes("manifest-of-little-memory", "Asks for less memory than it starts with.", || {
            with(&[br#"{"v":1,"limits":{"memory_bytes":262143}}"#])
        })
        .refused("memory-too-large"),
        bytes("manifest-inside-the-module", "Has one where only its module is.", || {
            let guest = answering_boom(ANSWER.as_bytes());
            let items = format!("{} (@custom \"{SECTION}\" \"{{\")", guest.items);
            Guest { items, ..guest }.component()
        })
        .merges(ANSWER),
    ]
}
