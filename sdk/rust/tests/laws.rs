//! Laws of merging field by field.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use proptest::prelude::*;
use serde_json::value::RawValue;
use syncline_sdk::Fields;

fn fields() -> impl Strategy<Value = Fields> {
    let value = prop::sample::select(vec!["1", "1.0", "\"x\"", "null", "[1,2]"]);
    prop::collection::btree_map("[a-e\"\\\\é]{0,2}", value, 0..6).prop_map(|fields| {
        let raw = |text: &str| serde_json::from_str::<Box<RawValue>>(text).unwrap();
        fields
            .into_iter()
            .map(|(name, text)| (name.into(), std::borrow::Cow::Owned(raw(text))))
            .collect()
    })
}

proptest! {
    #[test]
    fn a_side_that_changed_nothing_has_no_say(ancestor in fields(), side in fields()) {
        prop_assert_eq!(&Fields::three_way(&ancestor, &side, &ancestor), &side);
        prop_assert_eq!(&Fields::three_way(&ancestor, &ancestor, &side), &side);
    }

    #[test]
    fn sides_that_agree_are_the_answer(ancestor in fields(), side in fields()) {
        prop_assert_eq!(&Fields::three_way(&ancestor, &side, &side), &side);
    }

    #[test]
    fn each_field_is_merged_by_itself(a in fields(), o in fields(), n in fields()) {
        let merged = Fields::three_way(&a, &o, &n);
        let names = a.iter().chain(o.iter()).chain(n.iter()).map(|(name, _)| name);
        for name in names.chain(merged.iter().map(|(name, _)| name)) {
            let (before, left, right) = (a.get(name), o.get(name), n.get(name));
            let expected = if right == before { left } else { right };
            prop_assert_eq!(merged.get(name), expected);
        }
    }

    #[test]
    fn json_and_back(fields in fields()) {
        let text = serde_json::to_string(&fields).unwrap();
        prop_assert_eq!(&serde_json::from_str::<Fields>(&text).unwrap(), &fields);
        prop_assert!(fields.iter().map(|(name, _)| name).is_sorted());
    }
}
