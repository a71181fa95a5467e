//! `syncline function test`.

use serde_json::json;
use syncline_verifier::check_cases;

use super::args::TestArgs;
use super::{engines, failed};
use crate::cli::failure::Failure;
use crate::cli::output::Output;

pub(super) fn run(args: &TestArgs, out: &Output) -> Result<(), Failure> {
    let cases = args.cases.read(&args.source)?;
    let component = engines::production(&args.source.load()?)?;
    let report = check_cases(&component, &cases).map_err(|failure| failed(&failure))?;
    let differing = report.differing.len();
    if out.is_json() {
        let differing = report.differing.iter().map(
            |differing| json!({ "name": differing.name, "difference": differing.to_string() }),
        );
        out.json(&json!({
            "compared": report.compared,
            "without_expectation": report.without_expectation,
            "differing": differing.collect::<Vec<_>>(),
        }))?;
    } else {
        let mut text: String =
            report.differing.iter().map(|differing| format!("FAILED {differing}\n")).collect();
        let all = report.compared + report.without_expectation;
        text += &format!("{all} cases, {} passed", all - differing);
        if differing > 0 {
            text += &format!(", {differing} did not (- expected, + answered)");
        }
        if report.without_expectation > 0 {
            text += &format!("; {} of them take any answer", report.without_expectation);
        }
        out.text(&(text + "\n"))?;
    }
    if differing > 0 { Err(Failure::Difference) } else { Ok(()) }
}
