//! Breaches of the canonical ABI that the engine reports in words: that they are still its words, and
//! the guest's fault. Those of calls of WASI stand with the other tests of it.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod guest;

use guest::wasi::using_with_parts;
use guest::{case, host};
use syncline_core::{FunctionVersion, GuestFault};

fn trap_text(component: &[u8]) -> String {
    let host = host();
    let version = FunctionVersion::of(component);
    host.load(version, component).unwrap();
    match host.run(&version, &case().input()).unwrap().outcome {
        Err(GuestFault::Trap(text)) => text,
        other => panic!("{other:?}"),
    }
}

const RESOURCE: &str = "(type $r (resource (rep i32))) (core func $new (canon resource.new $r))";
const NEW: &str = "(export \"new\" (func $new))";
const IMPORT_NEW: &str = "(import \"wasi\" \"new\" (func $new (param i32) (result i32)))";

#[test]
fn resources_of_its_own_are_bounded() {
    let flood = "(loop $l (drop (call $new (i32.const 1))) (br $l))";
    let component = using_with_parts(flood, IMPORT_NEW, RESOURCE, NEW);
    assert_eq!(trap_text(&component), "it holds or lends too many handles");
    // What is lent to a call of the host counts too.
    let lend = "(local.set $n (i32.const 16000))
        (loop $l (drop (call $new (i32.const 1)))
          (br_if $l (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
        (local.set $h (call $subscribe-output (call $get-stdout)))
        (loop $m (i32.store (i32.add (i32.const 4096) (local.get $n)) (local.get $h))
          (local.set $n (i32.add (local.get $n) (i32.const 4)))
          (br_if $m (i32.lt_u (local.get $n) (i32.const 4000))))
        (call $poll (i32.const 4096) (i32.const 1000) (i32.const 512))";
    let component = using_with_parts(lend, IMPORT_NEW, RESOURCE, NEW);
    assert_eq!(trap_text(&component), "it holds or lends too many handles");
}
