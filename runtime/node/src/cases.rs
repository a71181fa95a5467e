//! Cases as they are given: in files, beside an upload, and inside of a component.

use serde_json::value::RawValue;
use syncline_host::{Refused, given_cases};
use syncline_verifier::Case;

use crate::component::case_of;
use crate::recorded::Recorded;

/// The cases that a component brings with it. Every region tries the function on all of them before it
/// goes live.
pub const GIVEN_CASES_MAX: usize = 1_000;

/// The cases of a file. A conflict as `syncline conflicts show` prints it is a case without an
/// expectation.
pub(crate) fn read(text: &str) -> Result<Vec<Case>, String> {
    match serde_json::from_str::<Recorded>(text) {
        Ok(recorded) => {
            let case = case_of(&recorded.record()?).ok_or("the conflict has no two sides")?;
            Ok(vec![case])
        }
        Err(_) => Case::read(text).map_err(|error| error.to_string()),
    }
}

/// The cases that a component brings with it.
pub(crate) fn given(component: &[u8]) -> Result<Vec<Case>, Refused> {
    let refused = |what: String| Refused::Cases { what };
    let mut cases = Vec::new();
    let files = serde_json::Deserializer::from_str(given_cases(component)?).into_iter();
    for (n, file) in (1..).zip(files) {
        let file: &RawValue = file.map_err(|error| refused(error.to_string()))?;
        let of_file = read(file.get());
        cases.extend(of_file.map_err(|what| refused(format!("in its file {n}: {what}")))?);
        if cases.len() > GIVEN_CASES_MAX {
            return Err(refused(format!("there are more than {GIVEN_CASES_MAX} cases")));
        }
    }
    Ok(cases)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An empty component with these custom sections.
    fn with(sections: &[&str]) -> Vec<u8> {
        let mut component = b"\0asm\x0d\0\x01\0".to_vec();
        for text in sections {
            syncline_guest_build::manifest::append_section(
                &mut component,
                syncline_host::CASES_SECTION,
                text.as_bytes(),
            );
        }
        component
    }

    #[test]
    fn files_stand_one_after_the_other() {
        let one = r#"{"name":"one","older":{"n":1.50},"newer":{"n":2}}"#;
        let two = r#"[{"older":null,"newer":{}},{"older":{},"newer":null,"merged":null}]"#;
        let cases = given(&with(&[&format!("{one}\n{two}\n")])).unwrap();
        let names: Vec<&str> = cases.iter().map(|case| case.name.as_str()).collect();
        assert_eq!(names, ["one", "case 1", "case 2"]);
        let older = cases[0].conflict.older.image.as_ref().unwrap();
        assert_eq!(older.as_bytes(), br#"{"n":1.50}"#);
        assert!(given(&with(&[])).unwrap().is_empty());
    }

    #[test]
    fn what_is_no_case_is_refused_with_its_place() {
        let what = |sections: &[&str]| match given(&with(sections)) {
            Err(Refused::Cases { what }) => what,
            other => panic!("{other:?}"),
        };
        let fine = r#"{"older":{},"newer":{}}"#;
        assert!(what(&[&format!("{fine}\n[1]")]).starts_with("in its file 2: "));
        assert!(what(&["{"]).contains("EOF"));
        assert_eq!(what(&["", ""]), "there are two of them; leave one");
        let many = format!("[{}]", vec![fine; GIVEN_CASES_MAX + 1].join(","));
        assert_eq!(what(&[&many]), "there are more than 1000 cases");
        assert!(what(&[&" ".repeat((1 << 20) + 1)]).contains("the limit is 1048576"));
    }
}
