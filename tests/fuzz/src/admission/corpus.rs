//! Components that are good, or nearly so: what the mutations begin with.

use std::fs;

use anyhow::{Context as _, Result};
use fastrand::Rng;
use syncline_guest_build::example;
use syncline_host::MANIFEST_SECTION;
use wasm_encoder::{ComponentSection as _, CustomSection};
use wasmparser::ValType;

use super::mutate::fill_in;
use crate::meter::surface::{Item, Surface, available};
use crate::smith::{self, Wanted};

/// A guest that answers with the newer image, as text with places for more.
const GUEST: &str = include_str!("guest.wat");
const PLACES: [&str; 7] = ["before", "imports", "items", "body", "post", "with", "after"];
const EXAMPLES: [&str; 3] = ["cart", "first-word", "hash-sides"];

/// Fills the places of [`GUEST`].
#[derive(Default)]
struct Parts {
    before: String,
    imports: String,
    items: String,
    body: String,
    post: String,
    with: String,
    after: String,
}

/// Components that are made once, and the recipe for more.
pub(super) struct Corpus {
    examples: Vec<Vec<u8>>,
    written: Vec<Vec<u8>>,
}

impl Corpus {
    pub(super) fn new() -> Result<Self> {
        let examples = EXAMPLES.map(|name| {
            let built = example(name).with_context(|| format!("build {name}"))?;
            fs::read(&built.path).context("read a component")
        });
        let written = written().into_iter().map(|parts| parts.component());
        Ok(Self {
            examples: examples.into_iter().collect::<Result<_>>()?,
            written: written.collect::<Result<_>>()?,
        })
    }

    /// One of them, and of what kind it is. The examples are large, and slow to compile.
    pub(super) fn pick(&self, rng: &mut Rng) -> Result<(&'static str, Vec<u8>)> {
        let (kind, mut component) = match rng.u8(..16) {
            0 => ("example", self.examples[rng.usize(..self.examples.len())].clone()),
            1..7 => ("written", self.written[rng.usize(..self.written.len())].clone()),
            _ => ("random modules", random(rng)?),
        };
        if rng.u8(..4) == 0 {
            manifest(rng, &mut component);
        }
        Ok((kind, component))
    }
}

/// Guests with what a module can have.
fn written() -> Vec<Parts> {
    let items = |items: &str, body: &str| Parts {
        items: items.into(),
        body: body.into(),
        ..Parts::default()
    };
    vec![
        Parts::default(),
        items(
            "(func $f (param i32) (result i32) (i32.add (local.get 0) (i32.const 1)))
             (elem (i32.const 0) func $f $f) (type $t (func (param i32) (result i32)))",
            "(loop $l (local.set $i (call_indirect (type $t) (local.get $i)
               (i32.and (local.get $i) (i32.const 1))))
             (br_if $l (i32.lt_u (local.get $i) (i32.const 100))))",
        ),
        items(
            "(data $d \"0123456789\") (elem $e func $g) (func $g)
             (table $other 10 20 funcref)",
            "(memory.fill (i32.const 8192) (i32.const 7) (i32.const 500))
             (memory.copy (i32.const 9000) (i32.const 8192) (i32.const 77))
             (memory.init $d (i32.const 8200) (i32.const 1) (i32.const 5)) (data.drop $d)
             (table.init $other $e (i32.const 2) (i32.const 0) (i32.const 1)) (elem.drop $e)
             (table.copy $other $other (i32.const 0) (i32.const 2) (i32.const 5))
             (table.fill $other (i32.const 1) (ref.func $g) (i32.const 3))
             (drop (table.grow $other (ref.null func) (i32.const 3)))
             (drop (memory.grow (i32.const 2)))",
        ),
        items(
            "(func $v (param v128) (result v128)
               (i8x16.add (local.get 0) (v128.const i32x4 1 2 3 4)))
             (func $two (result i32 i64) (i32.const 1) (i64.const 2))",
            "(drop (call $v (v128.const i64x2 1 2))) (call $two) (drop) (drop)
             (block $a (block $b (br_table $a $b (local.get $i))))",
        ),
        items(
            "(func $deep (param i32) (result i32) (if (result i32) (local.get 0)
               (then (call $deep (i32.sub (local.get 0) (i32.const 1))))
               (else (i32.const 0))))
             (func $go (drop (call $deep (i32.const 50)))) (start $go)
             (data (i32.const 12000) \"some text\")",
            "call $go (local.set $i (call $deep (i32.const 100)))",
        ),
        Parts {
            items: "(global $c i64 (i64.const 7)) (func $none (type $none)
                      (global.set $heap (i32.add (global.get $heap) (i32.const 8))))
                    (elem (i32.const 0) func $none)"
                .into(),
            body: "(call_indirect (type $none) (i32.const 1))".into(),
            post: "(loop (br_if 0 (i64.eqz (global.get $c))))".into(),
            after: "(core module $second
                (import \"m\" \"table\" (table 8 funcref))
                (import \"m\" \"memory\" (memory 1))
                (import \"m\" \"heap\" (global $heap (mut i32)))
                (table $own 2 4 funcref) (global $own (mut i64) (i64.const 5))
                (func $f (i64.store (i32.const 12000) (global.get $own))
                  (global.set $own (i64.extend_i32_u (global.get $heap)))
                  (drop (table.get $own (i32.const 1))))
                (elem (table 0) (i32.const 1) func $f))
              (core instance (instantiate $second (with \"m\" (instance $i))))"
                .into(),
            ..Parts::default()
        },
    ]
}

/// A guest that calls a random module, or one whose table and memory a random module gets.
fn random(rng: &mut Rng) -> Result<Vec<u8>> {
    let random = if rng.bool() { calls_random(rng)? } else { used_by_random(rng)? };
    let Some((parts, module)) = random else { return Parts::default().component() };
    fill_in(&parts.component()?, &module).context("no place for a module")
}

/// With an empty module, for the random one.
fn calls_random(rng: &mut Rng) -> Result<Option<(Parts, Vec<u8>)>> {
    let Some(module) = smith::module(rng, &Wanted::default()) else { return Ok(None) };
    let mut parts = Parts {
        before: "(core module) (core instance $ri (instantiate 0))".into(),
        with: "(with \"random\" (instance $ri))".into(),
        ..Parts::default()
    };
    for (at, (name, item)) in Surface::of(&module)?.exports.iter().enumerate() {
        let Item::Func(ty) = item else { continue };
        let words = |types: &[ValType]| types.iter().map(|ty| format!(" {ty}")).collect::<String>();
        parts.imports += &format!(
            "(import \"random\" {} (func $r{at} (param{}) (result{})))\n",
            quoted(name.as_bytes()),
            words(ty.params()),
            words(ty.results())
        );
        let args: String = ty.params().iter().map(|ty| constant(rng, *ty)).collect();
        let drops = "(drop)".repeat(ty.results().len());
        parts.body += &format!("{args} (call $r{at}) {drops}\n");
    }
    Ok(Some((parts, module)))
}

/// Likewise.
fn used_by_random(rng: &mut Rng) -> Result<Option<(Parts, Vec<u8>)>> {
    let around = wat::parse_str(
        "(module (func (export \"merge\") (param i32) (result i32) unreachable)
           (func (export \"realloc\") (param i32 i32 i32 i32) (result i32) unreachable)
           (memory (export \"memory\") 4) (table (export \"table\") 8 funcref)
           (global (export \"heap\") (mut i32) (i32.const 1)))",
    )?;
    let imports = Some(available("m", &Surface::of(&around)?)?);
    let wanted = Wanted { imports, memories_max: 1, ..Wanted::default() };
    let Some(module) = smith::module(rng, &wanted) else { return Ok(None) };
    let parts = Parts {
        after: "(core module) (core instance (instantiate 1 (with \"m\" (instance $i))))".into(),
        body: format!("(call_indirect (type $none) (i32.const {}))", rng.u8(..8)),
        ..Parts::default()
    };
    Ok(Some((parts, module)))
}

fn constant(rng: &mut Rng, ty: ValType) -> String {
    let n = rng.i32(-3..1000);
    match ty {
        ValType::I32 => format!("(i32.const {n})"),
        ValType::I64 => format!("(i64.const {n})"),
        ValType::F32 => format!("(f32.const {n}.5)"),
        ValType::F64 => format!("(f64.const {n}.5)"),
        ValType::V128 => format!("(v128.const i64x2 {n} 9)"),
        ValType::Ref(_) => "(ref.null func)".into(),
    }
}

fn manifest(rng: &mut Rng, component: &mut Vec<u8>) {
    let limit = |rng: &mut Rng| 1u64 << rng.u32(..40);
    let text = match rng.u8(..3) {
        0 => format!("{{\"v\":1,\"limits\":{{\"fuel\":{}}}}}", limit(rng)),
        1 => format!("{{\"v\":1,\"limits\":{{\"memory_bytes\":{}}}}}", limit(rng)),
        _ => format!(
            "{{\"v\":{},\"name\":\"n\",\"needs_ancestor\":false,\
             \"limits\":{{\"output_bytes\":{}}}}}",
            rng.u8(1..3),
            limit(rng)
        ),
    };
    let section = CustomSection { name: MANIFEST_SECTION.into(), data: text.into_bytes().into() };
    section.append_to_component(component);
}

/// Bytes as the text format has them.
fn quoted(bytes: &[u8]) -> String {
    let escaped: String = bytes.iter().map(|byte| format!("\\{byte:02x}")).collect();
    format!("\"{escaped}\"")
}

impl Parts {
    fn component(&self) -> Result<Vec<u8>> {
        let Self { before, imports, items, body, post, with, after } = self;
        let parts = [before, imports, items, body, post, with, after];
        let text = PLACES.into_iter().zip(parts).fold(GUEST.to_owned(), |text, (place, part)| {
            text.replace(&format!("{{{place}}}"), part)
        });
        wat::parse_str(&text).context("a guest's text")
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use syncline_host::EngineSettings;

    use super::*;
    use crate::merge::host;

    #[test]
    fn what_is_written_is_admitted() {
        let host = host(EngineSettings::Production).unwrap();
        for parts in written() {
            host.admit(&parts.component().unwrap()).unwrap();
        }
    }
}
