//! A native function as a subject, for the tests of whoever writes one.

use std::panic::{AssertUnwindSafe, catch_unwind};

use syncline_image::Image;
use syncline_sdk::{Conflict, MergeError, Side};

use crate::case::{Case, InvalidCase};
use crate::cases::check_cases;
use crate::report::Report;
use crate::subject::{self, Answer, Failure, Outcome, Subject};
use crate::verify::{Effort, verify};

/// How reports call it.
pub(crate) const NAME: &str = "native";

/// A merge function that runs in this process, as it is.
///
/// ```
/// use syncline_sdk::{Conflict, MergeError, Raw, resolve};
/// use syncline_verifier::{Law, Native, Verdict};
///
/// fn newer(c: Conflict<Raw<'_>>) -> Result<Option<Raw<'_>>, MergeError> {
///     Ok(c.newer.image)
/// }
///
/// let function = Native::new(|conflict| resolve(newer, conflict));
/// let cases = r#"[{"name": "the newer side wins",
///                  "older": {"n": 1}, "newer": {"n": 2}, "merged": {"n": 2}}]"#;
/// function.assert_cases(cases);
///
/// let report = function.verify(cases).unwrap();
/// assert_eq!(report.verdict(Law::Associative), Verdict::Holds);
/// assert_eq!(report.verdict(Law::Commutative), Verdict::Broken);
/// ```
pub struct Native<F> {
    function: F,
}

impl<F> Native<F>
where
    F: Fn(Conflict<&[u8]>) -> Result<Option<Vec<u8>>, MergeError>,
{
    /// Of a function over bytes, which `syncline_sdk::resolve` makes of one over rows.
    pub fn new(function: F) -> Self {
        Self { function }
    }

    /// Runs the cases of a file; how many there are.
    ///
    /// # Panics
    /// Where a case comes out differently, with what differs, and where the text is no file of cases.
    pub fn assert_cases(&self, cases: &str) -> usize {
        let cases = match Case::read(cases) {
            Ok(cases) => cases,
            Err(error) => panic!("{error}"),
        };
        let report = match check_cases(self, &cases) {
            Ok(report) => report,
            Err(failure) => panic!("{failure}"),
        };
        let differing: Vec<String> = report.differing.iter().map(ToString::to_string).collect();
        assert!(differing.is_empty(), "{} cases differ\n{}", differing.len(), differing.concat());
        cases.len()
    }

    /// Holds the function against the laws, over the cases of a file and conflicts made of them.
    ///
    /// # Errors
    /// The text is no file of cases.
    pub fn verify(&self, cases: &str) -> Result<Report, InvalidCase> {
        let cases = Case::read(cases)?;
        let report = verify(self, &[], &cases, &[], Effort::default(), &mut |_, _| {});
        // A native function can always be called.
        Ok(report.unwrap_or_else(|failure| panic!("{failure}")))
    }
}

impl<F> Subject for Native<F>
where
    F: Fn(Conflict<&[u8]>) -> Result<Option<Vec<u8>>, MergeError>,
{
    fn call(&self, conflict: &subject::Conflict) -> Result<Answer, Failure> {
        let outcome = match catch_unwind(AssertUnwindSafe(|| (self.function)(bytes(conflict)))) {
            Ok(Ok(None)) => Outcome::Merged(None),
            Ok(Ok(Some(row))) => match Image::canonicalize(&row) {
                Ok(image) => Outcome::Merged(Some(image)),
                Err(error) => fault("invalid-output", error.to_string()),
            },
            Ok(Err(error)) => Outcome::Error(error.into()),
            Err(panic) => {
                let text = panic.downcast_ref::<&str>().map(ToString::to_string);
                let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
                fault("trap", text.unwrap_or_else(|| "it panicked".into()))
            }
        };
        Ok(Answer { outcome, usage: None })
    }

    fn name(&self) -> &str {
        NAME
    }
}

fn fault(code: &str, text: String) -> Outcome {
    Outcome::Fault { code: code.to_owned(), text }
}

fn bytes(conflict: &subject::Conflict) -> Conflict<&[u8]> {
    Conflict {
        table: conflict.table.clone(),
        row_pk: conflict.row_pk.clone(),
        ancestor: conflict.ancestor.as_ref().map(Image::as_bytes),
        older: side_bytes(&conflict.older),
        newer: side_bytes(&conflict.newer),
    }
}

fn side_bytes(side: &Side<Image>) -> Side<&[u8]> {
    Side {
        region: side.region.clone(),
        hlc: side.hlc,
        operation: side.operation,
        image: side.image.as_ref().map(Image::as_bytes),
    }
}
