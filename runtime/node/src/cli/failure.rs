//! How a command ends when it does not end well.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::process::ExitCode;

use serde::Deserialize;
use serde_json::{Value, json};

use super::args::Format;
use super::output::printable;

/// The exit code of wrong usage, which clap uses as well.
pub(super) const WRONG_USAGE: u8 = 2;

/// Why a command did not do what it was asked to.
#[derive(Debug)]
pub(super) enum Failure {
    /// The region refused, and said why.
    Refused(Box<Refusal>),
    /// Something else went wrong.
    Failed(String),
    /// The arguments do not fit together.
    Usage(String),
    /// Nobody answers at the address, or not to the end.
    Unreachable {
        /// The address.
        url: String,
        /// What was met instead of an answer.
        reason: String,
    },
    /// A check found a difference; what it is has been printed as the result.
    Difference,
    /// Whoever read the result has stopped reading, such as `head`. That is no error.
    ReaderGone,
}

/// What a region says when it refuses: an RFC 9457 problem document.
#[derive(Debug)]
pub(super) struct Refusal {
    /// The HTTP status.
    pub(super) status: u16,
    /// The document.
    pub(super) problem: Problem,
    /// Seconds until another try makes sense, where the region says so.
    pub(super) retry_after: Option<String>,
    /// The document as it came.
    pub(super) document: Value,
}

/// The members of a problem document that are shown.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Problem {
    title: String,
    detail: String,
    pub(super) code: String,
}

impl Failure {
    /// What the process ends with.
    pub(super) fn exit_code(&self) -> ExitCode {
        ExitCode::from(match self {
            Self::ReaderGone => 0,
            Self::Refused(_) | Self::Failed(_) => 1,
            Self::Usage(_) => WRONG_USAGE,
            Self::Unreachable { .. } => 3,
            Self::Difference => 4,
        })
    }

    /// Says on stderr what happened, in the form that was asked for.
    pub(super) fn report(&self, format: Format) {
        let text = match format {
            Format::Table => self.text(),
            Format::Json => self.document().map(|document| format!("{document}\n")),
        };
        if let Some(text) = text {
            // A closed stderr leaves nobody to tell; the exit code still says it.
            let _ = io::stderr().lock().write_all(text.as_bytes());
        }
    }

    fn text(&self) -> Option<String> {
        match self {
            Self::Refused(refusal) => Some(refusal.text()),
            Self::Failed(text) | Self::Usage(text) => {
                let lines: Vec<String> = text.lines().map(printable).collect();
                Some(format!("error: {}\n", lines.join("\n  ")))
            }
            Self::Unreachable { url, reason } => Some(format!(
                "error: no answer from {url}: {reason}\n  \
                 Is a region running there? `syncline dev` starts three, the first on port 8080; \
                 --url or SYNCLINE_URL names another.\n"
            )),
            Self::Difference | Self::ReaderGone => None,
        }
    }

    fn document(&self) -> Option<Value> {
        match self {
            Self::Refused(refusal) => Some(refusal.document.clone()),
            Self::Failed(text) => Some(json!({ "code": "failed", "detail": text })),
            Self::Usage(text) => Some(json!({ "code": "wrong-usage", "detail": text })),
            Self::Unreachable { url, reason } => {
                Some(json!({ "code": "unreachable", "url": url, "detail": reason }))
            }
            Self::Difference | Self::ReaderGone => None,
        }
    }
}

impl Refusal {
    fn text(&self) -> String {
        let Problem { title, detail, code } = &self.problem;
        let title = if title.is_empty() { "The region refused" } else { title };
        let mut text = format!("error: {} ({}, {code})\n", printable(title), self.status);
        if !detail.is_empty() {
            // A detail of several lines is indented as a whole.
            for line in detail.lines() {
                let _ = writeln!(text, "  {}", printable(line));
            }
        }
        if let Some(seconds) = &self.retry_after {
            let _ = writeln!(text, "  Try again in {} s.", printable(seconds));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(document: Value, retry_after: Option<&str>) -> Failure {
        Failure::Refused(Box::new(Refusal {
            status: 412,
            problem: serde_json::from_value(document.clone()).unwrap(),
            retry_after: retry_after.map(str::to_owned),
            document,
        }))
    }

    #[test]
    fn a_problem_is_shown_with_title_code_and_detail() {
        let failure = refused(
            json!({"title": "The row is not as asked for", "code": "precondition-failed",
                   "detail": "its ETag is now \"b\"\nread it again\u{1b}[2J"}),
            Some("2"),
        );
        assert_eq!(
            failure.text().unwrap(),
            "error: The row is not as asked for (412, precondition-failed)\n  \
             its ETag is now \"b\"\n  read it again\\u{1b}[2J\n  Try again in 2 s.\n"
        );
        assert_eq!(failure.document().unwrap()["code"], "precondition-failed");
    }

    #[test]
    fn an_unreachable_region_says_where_and_what_to_do() {
        let failure =
            Failure::Unreachable { url: "http://h:1".into(), reason: "connection refused".into() };
        let text = failure.text().unwrap();
        assert!(text.contains("http://h:1") && text.contains("syncline dev"), "{text}");
    }

    #[test]
    fn each_end_has_its_exit_code() {
        let code = |failure: Failure| failure.exit_code();
        assert_eq!(code(Failure::ReaderGone), ExitCode::SUCCESS);
        assert_eq!(code(refused(json!({}), None)), ExitCode::from(1));
        assert_eq!(code(Failure::Failed(String::new())), ExitCode::from(1));
        assert_eq!(code(Failure::Usage(String::new())), ExitCode::from(2));
        let unreachable = Failure::Unreachable { url: String::new(), reason: String::new() };
        assert_eq!(code(unreachable), ExitCode::from(3));
        assert_eq!(code(Failure::Difference), ExitCode::from(4));
    }
}
