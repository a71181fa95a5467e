//! Bytes that are no component, or not a whole one.

use crate::guest::{Guest, assemble, custom_section, data, leb};
use crate::hostile::{Draft, Hostile, answering_boom, bytes, guest, text, times};

/// The size limit of a component.
const COMPONENT_BYTES_MAX: usize = 16 << 20;
const HEADER_BYTES: usize = 8;
const ANSWER: &str = r#"{"b":1}"#;

pub(super) fn all() -> Vec<Hostile> {
    let mut all = no_components();
    all.extend(cut());
    all.extend(damaged());
    all.extend(invalid_code());
    all.extend(large());
    all
}

fn good() -> Vec<u8> {
    answering_boom(ANSWER.as_bytes()).component()
}

/// Where the sections of a component begin, and at last its end.
fn boundaries(component: &[u8]) -> Vec<usize> {
    let mut starts = vec![HEADER_BYTES];
    let mut at = HEADER_BYTES;
    while at < component.len() {
        let (mut size, mut shift) = (0, 0);
        loop {
            at += 1;
            size |= usize::from(component[at] & 0x7f) << shift;
            shift += 7;
            if component[at] & 0x80 == 0 {
                break;
            }
        }
        at += 1 + size;
        starts.push(at);
    }
    starts
}

fn no_components() -> Vec<Hostile> {
    let not = |name: &str, tries: &str, wrong: &'static [u8]| {
        bytes(format!("bytes-{name}"), tries, move || wrong.to_vec())
    };
    vec![
        not("none", "Has no bytes.", b"").refused("not-wasm"),
        not("zero", "Has one byte, which is zero.", b"\0").refused("not-wasm"),
        not("of-text", "Is the text of a component.", b"(component)").refused("not-wasm"),
        not("of-gzip", "Is compressed.", b"\x1f\x8b\x08\0\0\0\0\0\0\x03").refused("not-wasm"),
        not("of-elf", "Is a program of this machine.", b"\x7fELF\x02\x01\x01\0")
            .refused("not-wasm"),
        not("of-zip", "Is an archive.", b"PK\x03\x04").refused("not-wasm"),
        not("of-compiled-code", "Is compiled already.", b"\x7fELF\x02\x01\x01\xc8wasmtime")
            .refused("not-wasm"),
        not("of-a-magic-number", "Has the first four bytes only.", b"\0asm")
            .refused("malformed-component"),
        not(
            "of-another-version",
            "Is of a version that is not there yet.",
            b"\0asm\xff\xff\xff\xff",
        )
        .refused("malformed-component"),
        not("of-another-layer", "Is neither module nor component.", b"\0asm\x0d\0\x02\0")
            .refused("malformed-component"),
        not("of-an-empty-module", "Is a core module.", b"\0asm\x01\0\0\0").refused("core-module"),
        text("bytes-of-a-module", "Is a core module with everything in it.", || {
            format!("(module {})", Guest::default().module())
        })
        .refused("core-module"),
        not("of-an-empty-component", "Is an empty component.", b"\0asm\x0d\0\x01\0")
            .refused("no-merge-export"),
    ]
}

/// The same component, cut at the end of each of its sections and one byte later.
fn cut() -> Vec<Hostile> {
    let starts = boundaries(&good());
    let sections = starts.len() - 1;
    let export = sections - usize::from(ends_with_names(&good(), &starts));
    let cut_at = |at: usize| move || good()[..at].to_vec();
    let mut all = Vec::new();
    for (n, &at) in starts.iter().enumerate().take(sections) {
        let tries = format!("Ends after {n} of its sections.");
        let whole = bytes(format!("bytes-cut-after-{n}-sections"), tries, cut_at(at));
        all.push(match n {
            n if n < export => whole.refused("no-merge-export"),
            _ => whole.merges(ANSWER),
        });
        let tries = format!("Ends one byte after {n} of its sections.");
        let name = format!("bytes-cut-a-byte-after-{n}-sections");
        all.push(bytes(name, tries, cut_at(at + 1)).refused("malformed-component"));
    }
    let but_one = || {
        let mut component = good();
        component.pop();
        component
    };
    all.push(
        bytes("bytes-but-one", "Lacks its last byte.", but_one).refused("malformed-component"),
    );
    all
}

/// Whether the last section holds names for debuggers, which nobody needs.
fn ends_with_names(component: &[u8], starts: &[usize]) -> bool {
    let last = starts.len() - 2;
    component[starts[last]] == 0
}

fn damaged() -> Vec<Hostile> {
    let with = |name: &str, tries: &str, change: fn(Vec<u8>) -> Vec<u8>| {
        bytes(format!("bytes-{name}"), tries, move || change(good()))
    };
    vec![
        with("after-the-end", "Has a zero after its end.", |good| [good, vec![0]].concat())
            .refused("malformed-component"),
        with("of-an-unknown-section", "Has a section of a kind that is none.", |good| {
            [good, vec![0x7f, 1, 0]].concat()
        })
        .refused("invalid-component"),
        with(
            "of-a-section-that-is-too-long",
            "Has a section that is longer than the file.",
            |good| [good, vec![1, 0xff, 0xff, 0xff, 0xff, 0x0f]].concat(),
        )
        .refused("malformed-component"),
        with(
            "of-a-size-that-never-ends",
            "Has a size of more bytes than a number may have.",
            |good| [good, vec![0, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0]].concat(),
        )
        .refused("malformed-component"),
        with("of-a-size-over-32-bits", "Has a size of more than 32 bits.", |good| {
            [good, vec![0, 0xff, 0xff, 0xff, 0xff, 0x7f]].concat()
        })
        .refused("malformed-component"),
        with(
            "of-a-padded-size",
            "Writes a size in more bytes than it needs, which is allowed.",
            |good| [good, vec![0, 0x82, 0x80, 0x80, 0x80, 0x00, 1, b'x']].concat(),
        )
        .merges(ANSWER),
        with(
            "of-a-name-that-is-too-long",
            "Has a section whose name is longer than itself.",
            |good| [good, vec![0, 2, 0x7f, b'x']].concat(),
        )
        .refused("malformed-component"),
        with("of-a-name-of-no-utf8", "Has a section whose name is no text.", |good| {
            [good, vec![0, 3, 2, 0xff, 0xfe]].concat()
        })
        .refused("malformed-component"),
        with("of-4-billion-types", "Has a section that claims 4 billion types.", |good| {
            [good, vec![7, 5, 0xff, 0xff, 0xff, 0xff, 0x0f]].concat()
        })
        .refused("malformed-component"),
        with("of-4-billion-exports", "Has a section that claims 4 billion exports.", |good| {
            [good, vec![11, 5, 0xff, 0xff, 0xff, 0xff, 0x0f]].concat()
        })
        .refused("component-too-complex"),
        with(
            "of-4-billion-instances",
            "Has a section that claims 4 billion core instances.",
            |good| [good, vec![2, 5, 0xff, 0xff, 0xff, 0xff, 0x0f]].concat(),
        )
        .refused("component-too-complex"),
        with("of-the-last-section-twice", "Has its exports twice.", |good| {
            let starts = boundaries(&good);
            let last = starts.len() - 2 - usize::from(ends_with_names(&good, &starts));
            [&good[..], &good[starts[last]..starts[last + 1]]].concat()
        })
        .refused("invalid-component"),
        with("of-everything-twice", "Is two components, one after the other.", |good| {
            [good.clone(), good].concat()
        })
        .refused("malformed-component"),
        with("of-sections-backwards", "Has its sections in the wrong order.", |good| {
            let starts = boundaries(&good);
            let sections = starts.windows(2).rev().flat_map(|w| &good[w[0]..w[1]]);
            good[..HEADER_BYTES].iter().chain(sections).copied().collect()
        })
        .refused("component-structure"),
        with("of-a-module-cut-short", "Has a core module that is cut short inside.", |good| {
            let starts = boundaries(&good);
            let is_module = |start: &&usize| good.get(**start) == Some(&1);
            let Some(&start) = starts.iter().find(is_module) else { return good };
            let mut section = vec![1];
            section.extend(leb(12));
            section.extend(b"\0asm\x01\0\0\0\x01\x7f\x01\x60");
            [&good[..start], &section].concat()
        })
        .refused("malformed-component"),
    ]
}

/// Code that no validator lets through; the name, the sentence, and items of the module.
fn invalid_code() -> Vec<Hostile> {
    const CODE: [(&str, &str, &str); 12] = [
        (
            "of-mixed-types",
            "Adds numbers of different types.",
            "(func (result i32) (i32.add (i32.const 1) (i64.const 2)))",
        ),
        ("of-an-empty-stack", "Takes a value from an empty stack.", "(func drop)"),
        ("of-a-full-stack", "Leaves a value that nobody takes.", "(func i32.const 1)"),
        (
            "of-a-local-that-is-none",
            "Reads a local that is not there.",
            "(func (drop (local.get 4000000000)))",
        ),
        (
            "of-a-function-that-is-none",
            "Calls a function that is not there.",
            "(func (call 4000000000))",
        ),
        (
            "of-a-table-that-is-none",
            "Calls through a table that is not there.",
            "(func (call_indirect (i32.const 0)))",
        ),
        (
            "of-a-branch-to-nowhere",
            "Branches further out than there are blocks.",
            "(func (br 1000000))",
        ),
        (
            "of-an-alignment-over-the-width",
            "Aligns a byte to a page.",
            "(func (drop (i32.load8_u align=2 (i32.const 0))))",
        ),
        (
            "of-a-constant-that-calls",
            "Has a constant that calls a function.",
            "(func $f (result i32) (i32.const 1)) (global i32 (call $f))",
        ),
        (
            "of-a-global-that-is-constant",
            "Writes a constant.",
            "(global $g i32 (i32.const 1)) (func (global.set $g (i32.const 2)))",
        ),
        (
            "of-an-undeclared-reference",
            "Refers to a function that it did not declare.",
            "(func $f) (func (drop (ref.func $f)))",
        ),
        (
            "of-a-segment-that-is-none",
            "Initializes memory from a segment that is not there.",
            "(func (memory.init 7 (i32.const 0) (i32.const 0) (i32.const 0)))",
        ),
    ];
    let code = CODE.iter().map(|(name, tries, items)| {
        guest(format!("code-{name}"), *tries, move || Guest {
            items: format!("{} {items}", data(2048, b"x")),
            ..Guest::default()
        })
        .refused("invalid-component")
    });
    let start_of_wrong_type =
        guest("code-of-a-start-that-answers", "Starts with a function that answers.", || Guest {
            items: "(func $f (result i32) (i32.const 1)) (start $f)".into(),
            ..Guest::default()
        });
    let of_bytes = [
        raw_function(
            "code-of-an-unknown-operator",
            "Has an operator that is none.",
            &[0, 0xff, 0x0b],
        )
        .refused("invalid-component"),
        raw_function("code-without-an-end", "Has a function without an end.", &[0, 0x01])
            .refused("invalid-component"),
        raw_function(
            "code-of-4-billion-locals",
            "Has 4 billion locals.",
            &[1, 0xff, 0xff, 0xff, 0xff, 0x0f, 0x7f, 0x0b],
        )
        .refused("invalid-component"),
        raw_function(
            "code-of-4-billion-branches",
            "Claims a table of 4 billion branches.",
            &[0, 0x41, 0, 0x0e, 0xff, 0xff, 0xff, 0xff, 0x0f, 0, 0x0b],
        )
        .refused("invalid-component"),
        raw_function(
            "code-of-an-overlong-number",
            "Has a constant of more bytes than there may be.",
            &[0, 0x41, 0x80, 0x80, 0x80, 0x80, 0x80, 0x00, 0x1a, 0x0b],
        )
        .refused("invalid-component"),
    ];
    code.chain([start_of_wrong_type.refused("invalid-component")]).chain(of_bytes).collect()
}

/// A component that has a module more, whose only function has this body, byte by byte.
fn raw_function(name: &str, tries: &str, body: &'static [u8]) -> Draft {
    bytes(name, tries, move || {
        let mut module = b"\0asm\x01\0\0\0\x01\x04\x01\x60\0\0\x03\x02\x01\0\x0a".to_vec();
        let size = leb(body.len());
        module.extend(leb(1 + size.len() + body.len()));
        module.push(1);
        module.extend(size);
        module.extend(body);
        let mut component = good();
        component.push(1);
        component.extend(leb(module.len()));
        component.extend(module);
        component
    })
}

fn large() -> Vec<Hostile> {
    let padded = |total: usize| {
        let good = good();
        // The section's own head: its kind, four bytes of size, its name.
        let head = 1 + 4 + 4;
        let section = custom_section("pad", &vec![0x5a; total - good.len() - head]);
        [good, section].concat()
    };
    vec![
        bytes(
            "bytes-at-the-limit",
            "Is as large as a component may be, mostly of nothing.",
            move || padded(COMPONENT_BYTES_MAX),
        )
        .merges(ANSWER),
        bytes("bytes-over-the-limit", "Is one byte larger than a component may be.", move || {
            padded(COMPONENT_BYTES_MAX + 1)
        })
        .refused("component-too-large"),
        bytes("bytes-of-zeroes", "Is nothing but zeroes, too many of them.", || {
            vec![0; COMPONENT_BYTES_MAX + 1]
        })
        .refused("component-too-large"),
        bytes("bytes-of-many-sections", "Has 9,000 sections of nothing.", || {
            [good(), custom_section("", b"").repeat(9_000)].concat()
        })
        .merges(ANSWER),
        bytes("bytes-of-too-many-sections", "Has 100,000 sections of nothing.", || {
            [good(), custom_section("", b"").repeat(100_000)].concat()
        })
        .refused("component-too-complex"),
        bytes("bytes-of-long-names", "Has a name of 100,000 bytes for a function.", || {
            assemble(&answering_boom(ANSWER.as_bytes()).text().replacen(
                "(func $is_boom ",
                &format!("(func (export \"{}\")) (func $is_boom ", times(100_000, "n")),
                1,
            ))
        })
        .merges(ANSWER),
    ]
}
