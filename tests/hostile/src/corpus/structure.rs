//! Components that are built in ways that multiply, hide, or go deep.

use crate::guest::{answer, data, leb};
use crate::hostile::{Draft, Hostile, answering_boom, bytes, text, times, with_harm};

const COMPONENT_SECTION: u8 = 4;
const CANONICAL_SECTION: u8 = 8;
const ANSWERED: &str = r#"{"s":1}"#;

/// A good guest with more in it.
fn with(name: &str, tries: &str, parts: impl Fn() -> String + Send + Sync + 'static) -> Draft {
    text(name, tries, move || {
        let guest = answering_boom(ANSWERED.as_bytes()).text();
        let open = guest.trim_end().strip_suffix(')').unwrap_or_default();
        format!("{open} {})", parts())
    })
}

pub(super) fn all() -> Vec<Hostile> {
    let mut all = too_much();
    all.extend(from_elsewhere());
    all.extend(instances());
    all
}

fn too_much() -> Vec<Hostile> {
    let complex = |name, tries, parts: fn() -> String| {
        with(name, tries, parts).refused("component-too-complex")
    };
    vec![
        complex("structure-too-deep", "Nests components in components.", || {
            format!("{}{}", "(component ".repeat(5), ")".repeat(5))
        }),
        bytes("structure-1000-deep", "Nests components a thousand deep.", || {
            let nested =
                |inner: Vec<u8>| [&[COMPONENT_SECTION][..], &leb(inner.len()), &inner].concat();
            let empty = b"\0asm\x0d\0\x01\0";
            let deep =
                (0..1_000).fold(Vec::new(), |inner, _| nested([&empty[..], &inner].concat()));
            [answering_boom(ANSWERED.as_bytes()).component(), deep].concat()
        })
        .refused("component-too-complex"),
        complex("structure-multiplies", "Makes two instances of each level in the next.", || {
            (0..6).fold("(component $c (core module $m) (core instance (instantiate $m)))".into(),
                |inner, _| format!(
                    "(component $c {inner} (instance (instantiate $c)) (instance (instantiate $c)))"
                ))
        }),
        complex(
            "structure-multiplies-nothing",
            "Makes many instances of an empty component.",
            || format!("(component $x) {}", times(17, "(instance (instantiate $x))")),
        ),
        complex("structure-of-many-components", "Has 16 components inside.", || {
            times(16, "(component)")
        }),
        complex("structure-of-many-modules", "Has 9 core modules.", || times(8, "(core module)")),
        complex("structure-of-many-core-instances", "Has 9 core instances.", || {
            times(8, "(core module $x#) (core instance (instantiate $x#))")
        }),
        bytes("structure-of-many-functions", "Lowers a function 20,001 times.", || {
            let body = [leb(20_001), [1, 0, 0, 0].repeat(20_001)].concat();
            let good = answering_boom(ANSWERED.as_bytes()).component();
            [good, vec![CANONICAL_SECTION], leb(body.len()), body].concat()
        })
        .refused("component-too-complex"),
        complex("structure-of-many-aliases", "Gives one function 10,001 names.", || {
            times(10_001, "(alias core export $i \"merge\" (core func))")
        }),
        complex("structure-of-many-exports", "Exports one function 10,001 times.", || {
            times(10_001, "(export \"m#\" (func $merge))")
        }),
        complex("structure-of-much-type", "Has a mebibyte of types.", || {
            times(40_000, "(type (func (param \"a-long-name-for-a-number\" u8)))")
        }),
        with(
            "structure-of-a-type-that-doubles",
            "Has a type that is twice the one before.",
            || {
                let doubled: String =
                    (1..40).map(|n| format!("(type $t{n} (tuple $t{0} $t{0}))", n - 1)).collect();
                format!("(type $t0 (tuple u8 u8)) {doubled}")
            },
        )
        .refused("invalid-component"),
        with("structure-of-a-deep-type", "Has a list of lists of lists, a thousand deep.", || {
            let deep: String =
                (1..1_000).map(|n| format!("(type $t{n} (list $t{}))", n - 1)).collect();
            format!("(type $t0 (list u8)) {deep}")
        })
        .refused("invalid-component"),
        with("structure-of-a-resource", "Defines a resource whose end never ends.", || {
            "(core module $d (func (export \"end\") (param i32) (loop $l (br $l))))
             (core instance $d (instantiate $d))
             (type $r (resource (rep i32) (dtor (core func $d \"end\"))))
             (core func (canon resource.new $r))"
                .into()
        })
        .merges(ANSWERED),
    ]
}

fn from_elsewhere() -> Vec<Hostile> {
    let refused = |name, tries, parts: &'static str| {
        with(name, tries, move || parts.into()).refused("component-structure")
    };
    vec![
        refused(
            "structure-module-from-outside",
            "Has a component take a module from around it.",
            "(core module $x) (component (alias outer 1 $x (core module)))",
        ),
        refused(
            "structure-component-from-outside",
            "Has a component take one from around it.",
            "(component $x) (component (alias outer 1 $x (component)))",
        ),
        refused(
            "structure-module-exported",
            "Exports a core module.",
            r#"(core module $x) (export "x" (core module $x))"#,
        ),
        refused(
            "structure-component-exported",
            "Has a component export a component.",
            r#"(component (component $x) (export "x" (component $x)))"#,
        ),
        with("structure-module-inside", "Hides code in a component inside.", || {
            "(component $c (core module $m (func $f (loop $l (br $l))) (start $f))
               (core instance (instantiate $m))) (instance (instantiate $c))"
                .into()
        })
        .refused("component-structure"),
        with("structure-module-twice", "Makes two instances of one module.", || {
            "(core module $x) (core instance (instantiate $x)) (core instance (instantiate $x))"
                .into()
        })
        .refused("component-structure"),
        with("structure-of-the-meters-export", "Exports what counts its fuel.", || {
            r#"(core module $x (func (export "left") (result i64) (i64.const -1)))
               (core instance $x (instantiate $x))
               (func $x (result u64) (canon lift (core func $x "left")))
               (export "syncline-meter" (func $x))"#
                .into()
        })
        .refused("component-structure"),
        with("structure-of-the-meters-imports", "Gives a module what the meter gives.", || {
            r#"(core module $y (global (export "syncline:meter") (mut i64) (i64.const -1)))
               (core instance $y (instantiate $y))
               (core module $x (import "y" "syncline:meter" (global (mut i64))))
               (core instance (instantiate $x (with "y" (instance $y))))"#
                .into()
        })
        .refused("component-structure"),
        text(
            "structure-of-the-meters-mark",
            "Grows a table as the meter does to say: too deep.",
            || {
                with_harm(
                    "(table $t 0 funcref)",
                    "(drop (table.grow $t (ref.null func) (i32.const 0x73796e02))) unreachable",
                )
                .text()
            },
        )
        .faults("out-of-fuel"),
    ]
}

fn instances() -> Vec<Hostile> {
    let start = |name: &str, body: &str| {
        format!(
            "(core module ${name} (func $f (local $n i32) {body}) (start $f))
             (core instance (instantiate ${name}))"
        )
    };
    let counting = "(loop $l (br_if $l (i32.ne (i32.const 3000000)
        (local.tee $n (i32.add (local.get $n) (i32.const 1))))))";
    vec![
        with(
            "structure-of-many-starts",
            "Has 7 start functions that take long together.",
            move || (0..7).map(|n| start(&format!("x{n}"), counting)).collect(),
        )
        .faults("out-of-fuel")
        .on_every_row(),
        with(
            "structure-of-a-late-start",
            "Has a start function in its last instance that loops.",
            move || start("x", "(loop $l (br $l))"),
        )
        .faults("out-of-fuel")
        .on_every_row(),
        with(
            "structure-of-a-late-trap",
            "Has a start function in its last instance that traps.",
            move || start("x", "unreachable"),
        )
        .faults("trap")
        .on_every_row(),
        with("structure-of-a-second-memory", "Has a second instance with a memory.", || {
            "(core module $x (memory 1)) (core instance (instantiate $x))".into()
        })
        .refused("component-too-complex"),
        with("structure-of-tables", "Has tables in several instances, together too many.", || {
            times(5, "(core module $x# (table 1 funcref)) (core instance (instantiate $x#))")
        })
        .refused("component-too-complex"),
        text(
            "structure-over-anothers-memory",
            "Has another instance's start function write over the answer.",
            || {
                let guest = with_harm(&data(2048, br#"{"s":7}"#), &answer(false, 2048, 7));
                guest.text().replacen(
                    "(core instance $i (instantiate $m))",
                    r#"(core instance $i (instantiate $m))
                       (core module $x (import "i" "memory" (memory 1))
                         (func $f (i32.store8 (i32.const 2053) (i32.const 0x31))) (start $f))
                       (core instance (instantiate $x (with "i" (instance $i))))"#,
                    1,
                )
            },
        )
        .merges(ANSWERED),
        text("structure-calls-the-other", "Has one instance call into the other for ever.", || {
            let guest = with_harm(
                r#"(type $t (func)) (table $t (export "t") 1 funcref)"#,
                "(loop $l (call_indirect (type $t) (i32.const 0)) (br $l)) unreachable",
            );
            guest.text().replacen(
                "(core instance $i (instantiate $m))",
                r#"(core instance $i (instantiate $m))
                   (core module $x (import "i" "t" (table 1 funcref)) (func $f)
                     (elem (i32.const 0) func $f))
                   (core instance (instantiate $x (with "i" (instance $i))))"#,
                1,
            )
        })
        .faults("out-of-fuel"),
    ]
}
