//! Compares a function's answers with those of its cases.

use std::fmt;

use similar::TextDiff;
use syncline_image::Image;

use crate::case::{Case, Expected};
use crate::json::Value;
use crate::subject::{Failure, Outcome, Subject};

/// How a function did on its cases.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CasesReport {
    /// How many cases were compared.
    pub compared: usize,
    /// Those that say nothing of the answer; they were called all the same.
    pub without_expectation: usize,
    /// Those that came out differently, in the cases' order.
    pub differing: Vec<Differing>,
}

/// A case that came out differently.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Differing {
    /// The case's name.
    pub name: String,
    /// What the case expects. None: any answer, and this is none.
    pub expected: Option<Expected>,
    /// What the function did.
    pub got: Outcome,
}

/// Runs every case. A case that nothing is expected of fails only where the function faults.
pub fn check_cases(subject: &dyn Subject, cases: &[Case]) -> Result<CasesReport, Failure> {
    let mut report = CasesReport::default();
    for case in cases {
        let got = subject.call(&case.conflict)?.outcome;
        let as_expected = match &case.expected {
            Some(expected) => {
                report.compared += 1;
                expected.is(&got)
            }
            None => {
                report.without_expectation += 1;
                !matches!(got, Outcome::Fault { .. })
            }
        };
        if !as_expected {
            let (name, expected) = (case.name.clone(), case.expected.clone());
            report.differing.push(Differing { name, expected, got });
        }
    }
    Ok(report)
}

/// The case's name, then what was expected and what came, field by field where both are rows.
impl fmt::Display for Differing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.name)?;
        if let (Some(Expected::Merged(Some(expected))), Outcome::Merged(Some(got))) =
            (&self.expected, &self.got)
        {
            let (expected, got) = (Value::of(expected).pretty(), Value::of(got).pretty());
            for change in TextDiff::from_lines(&expected, &got).iter_all_changes() {
                write!(f, "  {} {change}", change.tag())?;
            }
            return Ok(());
        }
        let expected = self.expected.as_ref().map_or("any answer".into(), expected_text);
        writeln!(f, "  - {expected}")?;
        writeln!(f, "  + {}", outcome_text(&self.got))
    }
}

fn expected_text(expected: &Expected) -> String {
    match expected {
        Expected::Merged(image) => row_text(image.as_ref()),
        Expected::Error(text) => format!("error: {text}"),
    }
}

/// What a call came to, on one line.
pub(crate) fn outcome_text(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Merged(image) => row_text(image.as_ref()),
        Outcome::Error(text) => format!("error: {text}"),
        Outcome::Fault { code, text } => format!("fault ({code}): {text}"),
    }
}

pub(crate) fn row_text(image: Option<&Image>) -> String {
    match image {
        Some(image) => String::from_utf8_lossy(image.as_bytes()).into_owned(),
        None => "(no row)".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn merged(json: &str) -> Option<Image> {
        Some(Image::canonicalize(json.as_bytes()).unwrap())
    }

    #[test]
    fn a_difference_is_shown_among_what_is_the_same() {
        let differing = Differing {
            name: "quantities add up".into(),
            expected: Some(Expected::Merged(merged(
                r#"{"items":[{"id":"a,{","qty":3}],"z":1.50}"#,
            ))),
            got: Outcome::Merged(merged(r#"{"items":[{"id":"a,{","qty":4}],"y":[],"z":1.50}"#)),
        };
        assert_eq!(
            differing.to_string(),
            concat!(
                "quantities add up\n",
                "    {\n",
                "      \"items\": [\n",
                "        {\n",
                "          \"id\": \"a,{\",\n",
                "  -       \"qty\": 3\n",
                "  +       \"qty\": 4\n",
                "        }\n",
                "      ],\n",
                "  +   \"y\": [],\n",
                "      \"z\": 1.50\n",
                "    }\n",
            )
        );
    }

    #[test]
    fn an_outcome_of_another_kind_is_shown_whole() {
        let differing = Differing {
            name: "n".into(),
            expected: Some(Expected::Merged(None)),
            got: Outcome::Error("no".into()),
        };
        assert_eq!(differing.to_string(), "n\n  - (no row)\n  + error: no\n");
    }
}
