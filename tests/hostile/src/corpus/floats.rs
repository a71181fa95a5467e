//! Not a number, with signs and payloads, through every operation that makes one. The bits that
//! come out are written into the answer, as they differ between processors.

use crate::guest::{Guest, answer, data};
use crate::hostile::{Hostile, guest, harm, with_harm};

/// NaNs with a sign, a payload, or both, signalling and quiet; infinities and zeros. They are read
/// from memory, so that no compiler works out the answer.
const INPUTS: &str = r#"
  (data (i32.const 1024) "\01\00\80\ff\00\00\80\7f\00\00\00\00\00\00\80\bf\23\01\c0\ff\00\00\80\ff")
  (data (i32.const 1088) "\23\01\00\00\00\00\f4\ff\00\00\00\00\00\00\f0\7f")
  (data (i32.const 1104) "\00\00\00\00\00\00\00\00\00\00\00\00\00\00\f0\bf")
  (data (i32.const 1120) "\45\00\00\00\00\00\f8\ff\00\00\00\00\00\00\f0\ff")
  (data (i32.const 1152) "\01\00\80\ff\23\01\c0\ff\01\00\80\7f\ff\ff\ff\ff")
  (data (i32.const 1168) "\23\01\00\00\00\00\f4\ff\01\00\00\00\00\00\f0\7f")
  (func $nan32 (result f32) (f32.load (i32.const 1024)))
  (func $inf32 (result f32) (f32.load (i32.const 1028)))
  (func $zero32 (result f32) (f32.load (i32.const 1032)))
  (func $minus32 (result f32) (f32.load (i32.const 1036)))
  (func $quiet32 (result f32) (f32.load (i32.const 1040)))
  (func $nan64 (result f64) (f64.load (i32.const 1088)))
  (func $inf64 (result f64) (f64.load (i32.const 1096)))
  (func $zero64 (result f64) (f64.load (i32.const 1104)))
  (func $minus64 (result f64) (f64.load (i32.const 1112)))
  (func $quiet64 (result f64) (f64.load (i32.const 1120)))
  (func $nans32 (result v128) (v128.load (i32.const 1152)))
  (func $nans64 (result v128) (v128.load (i32.const 1168)))
  (func $ones (result v128) (f32x4.splat (f32.const 1)))
  (func $ones64 (result v128) (f64x2.splat (f64.const 1)))"#;

/// Writes `$n` bytes from 512 on in hexadecimal digits to 2054, and ends the row there.
const HEX: &str = r#"
  (data (i32.const 1200) "0123456789abcdef")
  (data (i32.const 2048) "{\"h\":\"")
  (func $hex (param $n i32) (local $i i32) (local $b i32)
    (loop $l
      (local.set $b (i32.load8_u offset=512 (local.get $i)))
      (i32.store8 offset=2054 (i32.shl (local.get $i) (i32.const 1))
        (i32.load8_u offset=1200 (i32.shr_u (local.get $b) (i32.const 4))))
      (i32.store8 offset=2055 (i32.shl (local.get $i) (i32.const 1))
        (i32.load8_u offset=1200 (i32.and (local.get $b) (i32.const 15))))
      (local.set $i (i32.add (local.get $i) (i32.const 1)))
      (br_if $l (i32.lt_u (local.get $i) (local.get $n))))
    (i32.store16 offset=2054 (i32.shl (local.get $n) (i32.const 1)) (i32.const 0x7d22)))"#;

const F32: [&str; 17] = [
    "(f32.add (call $nan32) (call $minus32))",
    "(f32.sub (call $inf32) (call $inf32))",
    "(f32.mul (call $inf32) (call $zero32))",
    "(f32.div (call $zero32) (call $zero32))",
    "(f32.div (call $nan32) (call $quiet32))",
    "(f32.min (call $nan32) (call $minus32))",
    "(f32.min (call $minus32) (call $nan32))",
    "(f32.max (call $quiet32) (call $nan32))",
    "(f32.max (call $zero32) (call $quiet32))",
    "(f32.sqrt (call $minus32))",
    "(f32.sqrt (call $nan32))",
    "(f32.ceil (call $nan32))",
    "(f32.floor (call $nan32))",
    "(f32.trunc (call $quiet32))",
    "(f32.nearest (call $nan32))",
    "(f32.demote_f64 (call $nan64))",
    "(f32.demote_f64 (call $quiet64))",
];

const F64: [&str; 17] = [
    "(f64.add (call $nan64) (call $minus64))",
    "(f64.sub (call $inf64) (call $inf64))",
    "(f64.mul (call $inf64) (call $zero64))",
    "(f64.div (call $zero64) (call $zero64))",
    "(f64.div (call $nan64) (call $quiet64))",
    "(f64.min (call $nan64) (call $minus64))",
    "(f64.min (call $minus64) (call $nan64))",
    "(f64.max (call $quiet64) (call $nan64))",
    "(f64.max (call $zero64) (call $quiet64))",
    "(f64.sqrt (call $minus64))",
    "(f64.sqrt (call $nan64))",
    "(f64.ceil (call $nan64))",
    "(f64.floor (call $nan64))",
    "(f64.trunc (call $quiet64))",
    "(f64.nearest (call $nan64))",
    "(f64.promote_f32 (call $nan32))",
    "(f64.promote_f32 (call $quiet32))",
];

const F32X4: [&str; 13] = [
    "(f32x4.add (call $nans32) (call $ones))",
    "(f32x4.sub (call $ones) (call $nans32))",
    "(f32x4.mul (call $nans32) (call $nans32))",
    "(f32x4.div (call $nans32) (call $ones))",
    "(f32x4.min (call $nans32) (call $ones))",
    "(f32x4.min (call $ones) (call $nans32))",
    "(f32x4.max (call $nans32) (call $ones))",
    "(f32x4.max (call $ones) (call $nans32))",
    "(f32x4.sqrt (call $nans32))",
    "(f32x4.ceil (call $nans32))",
    "(f32x4.floor (call $nans32))",
    "(f32x4.trunc (call $nans32))",
    "(f32x4.nearest (call $nans32))",
];

const F64X2: [&str; 13] = [
    "(f64x2.add (call $nans64) (call $ones64))",
    "(f64x2.sub (call $ones64) (call $nans64))",
    "(f64x2.mul (call $nans64) (call $nans64))",
    "(f64x2.div (call $nans64) (call $ones64))",
    "(f64x2.min (call $nans64) (call $ones64))",
    "(f64x2.max (call $nans64) (call $ones64))",
    "(f64x2.max (call $ones64) (call $nans64))",
    "(f64x2.sqrt (call $nans64))",
    "(f64x2.ceil (call $nans64))",
    "(f64x2.floor (call $nans64))",
    "(f64x2.trunc (call $nans64))",
    "(f64x2.nearest (call $nans64))",
    "(f64x2.promote_low_f32x4 (call $nans32))",
];

/// Operations on bits, which keep what a NaN carries, by the standard.
const KEPT: [(&str, &str); 8] = [
    ("(f32x4.splat (f32.neg (call $nan32)))", "0100807f0100807f0100807f0100807f"),
    ("(f32x4.splat (f32.abs (call $quiet32)))", "2301c07f2301c07f2301c07f2301c07f"),
    (
        "(f32x4.splat (f32.copysign (call $nan32) (call $inf32)))",
        "0100807f0100807f0100807f0100807f",
    ),
    ("(f64x2.splat (f64.neg (call $nan64)))", "230100000000f47f230100000000f47f"),
    ("(f32x4.neg (call $nans32))", "0100807f2301c07f010080ffffffff7f"),
    ("(f32x4.pmin (call $nans32) (call $ones))", "010080ff2301c0ff0100807fffffffff"),
    ("(f32x4.pmax (call $ones) (call $nans32))", "0000803f0000803f0000803f0000803f"),
    ("(f64x2.abs (call $nans64))", "230100000000f47f010000000000f07f"),
];

/// A guest that writes all of these values, of so many bytes each, one after the other.
fn writing<'a>(store: &str, bytes: usize, values: impl IntoIterator<Item = &'a str>) -> Guest {
    let mut at = 512;
    let mut body = String::new();
    for value in values {
        body.push_str(&format!("({store} (i32.const {at}) {value})"));
        at += bytes;
    }
    let length = at - 512;
    body.push_str(&format!("(call $hex (i32.const {length}))"));
    body.push_str(&answer(false, 2048, (6 + 2 * length + 2) as u32));
    with_harm(&format!("{INPUTS} {HEX}"), &body)
}

fn row(hex: &str) -> String {
    format!(r#"{{"h":"{hex}"}}"#)
}

pub(super) fn all() -> Vec<Hostile> {
    const NAN32: &str = "0000c07f";
    const NAN64: &str = "000000000000f87f";
    vec![
        guest("nan-f32", "Shows the bits of every NaN of 32 bits that can be computed.", || {
            writing("f32.store", 4, F32)
        })
        .merges(row(&NAN32.repeat(F32.len()))),
        guest("nan-f64", "Shows the bits of every NaN of 64 bits that can be computed.", || {
            writing("f64.store", 8, F64)
        })
        .merges(row(&NAN64.repeat(F64.len()))),
        guest("nan-f32x4", "Shows the bits of NaNs in each lane of four.", || {
            writing("v128.store", 16, F32X4)
        })
        .merges(row(&NAN32.repeat(4 * F32X4.len()))),
        guest("nan-f64x2", "Shows the bits of NaNs in each lane of two.", || {
            writing("v128.store", 16, F64X2)
        })
        .merges(row(&NAN64.repeat(2 * F64X2.len()))),
        guest("nan-demoted-lanes", "Shows the bits of NaNs made shorter in their lanes.", || {
            writing("v128.store", 16, ["(f32x4.demote_f64x2_zero (call $nans64))"])
        })
        .merges(row(&format!("{}{}", NAN32.repeat(2), "00000000".repeat(2)))),
        guest("nan-kept", "Shows the bits of NaNs after operations that must keep them.", || {
            writing("v128.store", 16, KEPT.iter().map(|(value, _)| *value))
        })
        .merges(row(&KEPT.iter().map(|(_, hex)| *hex).collect::<String>())),
        guest("nan-to-integers", "Turns NaNs into integers, which saturates to zero.", || {
            writing(
                "i64.store",
                8,
                [
                    "(i64.trunc_sat_f64_s (call $nan64))",
                    "(i64.trunc_sat_f32_u (call $quiet32))",
                    "(i64.trunc_sat_f64_u (call $inf64))",
                    "(i64.trunc_sat_f32_s (call $inf32))",
                ],
            )
        })
        .merges(row("00000000000000000000000000000000ffffffffffffffffffffffffffffff7f")),
        guest(
            "nan-to-an-integer-traps",
            "Turns a NaN into an integer in the way that traps.",
            || with_harm(INPUTS, "(i32.trunc_f64_s (call $nan64))"),
        )
        .faults("trap"),
        harm(
            "integer-overflow",
            "Divides the lowest number by minus one.",
            "(i32.div_s (i32.const 0x80000000) (i32.sub (i32.const 0) (i32.const 1)))",
        )
        .faults("trap"),
        harm("division-by-zero", "Divides by zero.", "(i32.rem_u (local.get $p) (i32.const 0))")
            .faults("trap"),
        guest("nan-as-json", "Writes the bits of a NaN into its answer as they are.", || {
            with_harm(
                &format!("{INPUTS} {}", data(2048, br#"{"h":"    "}"#)),
                &format!("(f32.store (i32.const 2054) (call $nan32)) {}", answer(false, 2048, 12)),
            )
        })
        .faults("invalid-output"),
        lanes(),
    ]
}

/// Allowed vector instructions whose results have corners.
fn lanes() -> Hostile {
    const A: &str = "(v128.const i16x8 0x8000 0x7fff 1 2 3 4 5 0xffff)";
    const BYTES: &str = "(v128.const i8x16 255 16 0 1 2 3 4 5 6 7 8 9 10 11 12 128)";
    guest("vectors", "Uses vectors where engines have got it wrong before.", || {
        let values = [
            format!("(i16x8.q15mulr_sat_s {A} {A})"),
            format!("(i8x16.swizzle {BYTES} {BYTES})"),
            format!("(i32x4.dot_i16x8_s {A} {A})"),
            format!("(i8x16.popcnt {BYTES})"),
            "(i8x16.narrow_i16x8_u (v128.const i16x8 -1 300 255 0 1 -32768 256 128)
               (v128.const i16x8 -1 300 255 0 1 -32768 256 128))"
                .to_owned(),
            "(i32x4.trunc_sat_f32x4_u (v128.const f32x4 nan inf -1 3.9))".to_owned(),
        ];
        writing("v128.store", 16, values.iter().map(String::as_str))
    })
    .merges(row(&[
        "ff7ffe7f000000000000000000000000",
        "0000ff10000102030405060708090a00",
        "0100ff7f05000000190000001a000000",
        "08010001010201020203010202030201",
        "00ffff000100ff8000ffff000100ff80",
        "00000000ffffffff0000000003000000",
    ]
    .concat()))
}
