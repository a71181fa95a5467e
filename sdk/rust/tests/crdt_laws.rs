//! Laws of the replicated types: over any states that can be read, and over any writes.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;

use proptest::collection::{btree_map, btree_set, vec};
use proptest::prelude::*;
use serde::Serialize;
use serde::de::DeserializeOwned;
use syncline_sdk::crdt::{
    Error, GCounter, GSet, LwwRegister, Merge, MvRegister, OrMap, OrSet, PnCounter, REPLICAS_MAX,
};
use syncline_sdk::{Fields, Json, Open};

const REPLICAS: [&str; 3] = ["ap", "eu", "us"];

trait State: Merge + Clone + PartialEq + Debug + Serialize + DeserializeOwned {}
impl<T: Merge + Clone + PartialEq + Debug + Serialize + DeserializeOwned> State for T {}

fn joined<T: Merge + Clone>(left: &T, right: &T) -> T {
    let mut joined = left.clone();
    joined.merge(right.clone()).unwrap();
    joined
}

fn text<T: Serialize>(state: &T) -> String {
    serde_json::to_string(state).unwrap()
}

/// The three laws, and that states go through JSON unchanged, with equal bytes where they are equal.
fn check<T: State>(a: &T, b: &T, c: &T) -> Result<(), TestCaseError> {
    prop_assert_eq!(&joined(a, b), &joined(b, a));
    prop_assert_eq!(text(&joined(a, b)), text(&joined(b, a)));
    prop_assert_eq!(&joined(&joined(a, b), c), &joined(a, &joined(b, c)));
    prop_assert_eq!(&joined(a, a), a);
    let again = joined(&joined(a, b), b);
    prop_assert_eq!(&again, &joined(a, b));
    prop_assert_eq!(&serde_json::from_str::<T>(&text(&again)).unwrap(), &again);
    let canonical: serde_json::Value = serde_json::from_str(&text(&again)).unwrap();
    prop_assert_eq!(canonical.to_string(), text(&again), "sorted keys");
    Ok(())
}

fn replica() -> impl Strategy<Value = String> {
    prop::sample::select(REPLICAS.to_vec()).prop_map(str::to_owned)
}

fn numbers(max: u64) -> impl Strategy<Value = BTreeMap<String, u64>> {
    btree_map(replica(), 0..=max, 0..=3)
}

fn read<T: DeserializeOwned>(value: serde_json::Value) -> T {
    serde_json::from_str(&value.to_string()).unwrap()
}

fn g_counter() -> impl Strategy<Value = GCounter> {
    numbers(4).prop_map(|numbers| read(serde_json::json!(numbers)))
}

fn pn_counter() -> impl Strategy<Value = PnCounter> {
    (numbers(4), numbers(4))
        .prop_map(|(added, taken)| read(serde_json::json!({"added": added, "taken": taken})))
}

fn lww_register() -> impl Strategy<Value = LwwRegister<Json>> {
    (0..3_u64, replica(), 0..3_u8).prop_map(|(at, by, value)| LwwRegister {
        at,
        by,
        value: Json::new(&value).unwrap(),
    })
}

fn g_set() -> impl Strategy<Value = GSet<u8>> {
    btree_set(0..6_u8, 0..5).prop_map(|set| read(serde_json::json!(set)))
}

/// Some of the dots that `seen` covers; also such that no writes lead to.
fn dots(seen: &BTreeMap<String, u64>) -> impl Strategy<Value = BTreeMap<String, u64>> + use<> {
    let each: Vec<_> =
        seen.iter().map(|(replica, number)| (Just(replica.clone()), 0..=*number)).collect();
    each.prop_map(|dots| dots.into_iter().filter(|(_, number)| *number > 0).collect())
}

fn or_set() -> impl Strategy<Value = OrSet<String>> {
    let with_dots = |seen: BTreeMap<String, u64>| {
        let elements = btree_map("[a-c]", dots(&seen), 0..=3);
        (elements, Just(seen))
    };
    numbers(3).prop_flat_map(with_dots).prop_map(|(elements, seen)| {
        let elements: Vec<_> = elements
            .iter()
            .filter(|(_, dots)| !dots.is_empty())
            .map(|(value, dots)| serde_json::json!({"dots": dots, "value": value}))
            .collect();
        read(serde_json::json!({"elements": elements, "seen": seen}))
    })
}

/// Dots with a value each.
fn values(dots: &BTreeMap<String, u64>, value: u8) -> serde_json::Value {
    let valued = |(replica, n): (&String, &u64)| {
        (replica.clone(), serde_json::json!({"n": n, "value": value % 3}))
    };
    serde_json::Value::Object(dots.iter().map(valued).collect())
}

fn mv_register() -> impl Strategy<Value = MvRegister<u8>> {
    let with_dots = |seen: BTreeMap<String, u64>| (dots(&seen), any::<u8>(), Just(seen));
    numbers(3).prop_flat_map(with_dots).prop_map(|(dots, value, seen)| {
        read(serde_json::json!({"seen": seen, "values": values(&dots, value)}))
    })
}

fn or_map() -> impl Strategy<Value = OrMap<GSet<u8>>> {
    let with_dots = |seen: BTreeMap<String, u64>| {
        let entries = btree_map("[a-c]", (dots(&seen), btree_set(0..3_u8, 0..3)), 0..=3);
        (entries, Just(seen))
    };
    numbers(3).prop_flat_map(with_dots).prop_map(|(entries, seen)| {
        let entries: serde_json::Map<_, _> = entries
            .into_iter()
            .filter(|(_, (dots, _))| !dots.is_empty())
            .map(|(key, (dots, value))| {
                let dot = |(replica, n)| (replica, serde_json::json!({"n": n, "value": value}));
                (key, serde_json::Value::Object(dots.into_iter().map(dot).collect()))
            })
            .collect();
        read(serde_json::json!({"entries": entries, "seen": seen}))
    })
}

fn fields() -> impl Strategy<Value = Fields> {
    btree_map("[a-d]", prop::sample::select(vec!["1", "1.0", "null"]), 0..4).prop_map(|fields| {
        let json: Vec<_> =
            fields.iter().map(|(name, value)| format!("\"{name}\":{value}")).collect();
        serde_json::from_str(&format!("{{{}}}", json.join(","))).unwrap()
    })
}

macro_rules! laws {
    ($($name:ident: $strategy:expr;)*) => {$(
        proptest! {
            #[test]
            fn $name(a in $strategy, b in $strategy, c in $strategy) {
                check(&a, &b, &c)?;
            }
        }
    )*};
}

laws! {
    a_g_counter_is_lawful: g_counter();
    a_pn_counter_is_lawful: pn_counter();
    an_lww_register_is_lawful: lww_register();
    an_mv_register_is_lawful: mv_register();
    a_g_set_is_lawful: g_set();
    an_or_set_is_lawful: or_set();
    an_or_map_is_lawful: or_map();
    a_map_is_lawful: btree_map("[a-c]", pn_counter(), 0..3);
    an_optional_state_is_lawful: prop::option::of(g_counter());
}

proptest! {
    #[test]
    fn unknown_fields_are_lawful(a in fields(), b in fields(), c in fields()) {
        prop_assert_eq!(&joined(&a, &b), &joined(&b, &a));
        prop_assert_eq!(&joined(&joined(&a, &b), &c), &joined(&a, &joined(&b, &c)));
        prop_assert_eq!(&joined(&a, &a), &a);
        let open = |rest: &Fields| Open { value: GSet::<u8>::new(), rest: rest.clone() };
        prop_assert_eq!(joined(&open(&a), &open(&b)).rest, joined(&a, &b));
    }
}

/// What three replicas do to one set: each has the states that it wrote and merged so far.
#[derive(Clone, Debug)]
enum Step {
    Insert(usize, u8),
    Remove(usize, u8),
    Merge(usize, usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        (0..3_usize, 0..3_u8).prop_map(|(at, element)| Step::Insert(at, element)),
        (0..3_usize, 0..3_u8).prop_map(|(at, element)| Step::Remove(at, element)),
        (0..3_usize, 0..3_usize).prop_map(|(at, from)| Step::Merge(at, from)),
    ];
    vec(step, 0..40)
}

/// A set as its definition has it: every insertion ever seen, and those that were removed.
#[derive(Clone, Default)]
struct Model {
    inserted: BTreeSet<(u8, usize)>,
    removed: BTreeSet<(u8, usize)>,
}

impl Model {
    fn remove(&mut self, element: u8) {
        self.removed.extend(self.inserted.iter().filter(|(other, _)| *other == element));
    }

    fn elements(&self) -> BTreeSet<u8> {
        self.inserted.difference(&self.removed).map(|(element, _)| *element).collect()
    }
}

proptest! {
    #[test]
    fn an_or_set_and_a_map_hold_what_was_inserted_and_not_removed(steps in steps()) {
        let mut sets = vec![OrSet::<u8>::new(); 3];
        let mut maps = vec![OrMap::<GSet<u8>>::new(); 3];
        let mut models = vec![Model::default(); 3];
        for (unique, step) in steps.into_iter().enumerate() {
            match step {
                Step::Insert(at, element) => {
                    sets[at].insert(REPLICAS[at], element).unwrap();
                    maps[at].put(REPLICAS[at], &element.to_string(), GSet::new()).unwrap();
                    // An insertion takes the place of those that it has seen.
                    models[at].remove(element);
                    models[at].inserted.insert((element, unique));
                }
                Step::Remove(at, element) => {
                    let was_there = models[at].elements().contains(&element);
                    prop_assert_eq!(sets[at].remove(&element), was_there);
                    prop_assert_eq!(maps[at].remove(&element.to_string()), was_there);
                    models[at].remove(element);
                }
                Step::Merge(at, from) => {
                    sets[at] = joined(&sets[at], &sets[from]);
                    maps[at] = joined(&maps[at], &maps[from]);
                    let other = models[from].clone();
                    models[at].inserted.extend(other.inserted);
                    models[at].removed.extend(other.removed);
                }
            }
            for ((set, map), model) in sets.iter().zip(&maps).zip(&models) {
                let elements = model.elements();
                prop_assert_eq!(set.iter().copied().collect::<BTreeSet<_>>(), elements.clone());
                let keys: BTreeSet<_> = map.keys().map(|key| key.parse().unwrap()).collect();
                prop_assert_eq!(keys, elements);
            }
        }
    }
}

#[test]
fn one_replica_too_many_is_an_error() {
    let state = |from: usize, to: usize| {
        let mut counter = GCounter::new();
        for n in from..to {
            counter.add(&format!("r{n}"), 1).unwrap();
        }
        counter
    };
    let mut full = state(0, REPLICAS_MAX);
    assert_eq!(full.add("r0", 1), Ok(2));
    assert_eq!(full.add("another", 1), Err(Error::TooManyReplicas));
    assert_eq!(full.clone().merge(state(0, 9)), Ok(()));
    assert_eq!(full.clone().merge(state(1, 1 + REPLICAS_MAX)), Err(Error::TooManyReplicas));
    let text = text(&full).replace("{", "{\"another\":1,");
    let error = serde_json::from_str::<GCounter>(&text).unwrap_err().to_string();
    assert!(error.starts_with("more than 256 replicas in one state"), "{error}");
}

#[test]
fn a_number_that_is_too_large_is_an_error() {
    let mut counter = GCounter::new();
    assert_eq!(counter.add("eu", u64::MAX), Ok(u64::MAX));
    assert_eq!(counter.add("eu", 1), Err(Error::NumberTooLarge));
    assert_eq!(counter.get("eu"), u64::MAX);
}

#[test]
fn states_that_no_writes_lead_to_are_not_read() {
    let refused = |state: &str, why: &str| {
        let error = serde_json::from_str::<OrMap<GSet<u8>>>(state).unwrap_err().to_string();
        assert!(error.starts_with(why), "{error}");
    };
    refused(
        r#"{"entries":{"k":{"eu":{"n":2,"value":[]}}},"seen":{"eu":1}}"#,
        "entry k: the number 2 of eu is not covered by seen",
    );
    refused(r#"{"entries":{"k":{}},"seen":{}}"#, "entry k has no values");
    refused(r#"{"entries":{},"seen":{},"more":1}"#, "unknown field `more`");
    let register = r#"{"seen":{},"values":{"eu":{"n":1,"value":7}}}"#;
    let error = serde_json::from_str::<MvRegister<u8>>(register).unwrap_err().to_string();
    assert_eq!(error, "the number 1 of eu is not covered by seen");
}
