//! `syncline function run`.

use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use syncline_host::{Limits, STACK_BYTES_MAX};
use syncline_verifier::{Answer, Case, Law, Outcome, Usage, replay};

use super::args::RunArgs;
use super::{engines, failed, source};
use crate::cli::failure::Failure;
use crate::cli::output::{Output, printable};

pub(super) fn run(args: &RunArgs, out: &Output) -> Result<(), Failure> {
    let mut cases = source::read(&args.conflict)?;
    if let Some(name) = &args.name {
        cases.retain(|case| case.name == *name);
        if cases.is_empty() {
            let file = args.conflict.display();
            return Err(Failure::Failed(format!("{file}: no case is called {name:?}")));
        }
    }
    let loaded = args.source.load()?;
    let component = engines::production(&loaded)?;
    let manifest = component.host.manifest(&loaded.version);
    let limits = manifest.map(|manifest| manifest.limits).unwrap_or_default();
    let mut answers = Vec::new();
    for case in &cases {
        let calls = replay(&component, case).map_err(|failure| failed(&failure))?;
        answers.push((case, calls));
    }
    if out.is_json() {
        let answers = answers.iter().map(|(case, calls)| answered(case, calls, &limits));
        return match answers.collect::<Vec<_>>().as_slice() {
            [one] => out.json(one),
            all => out.json(&all),
        };
    }
    let text: String = answers.iter().map(|(case, calls)| text_of(case, calls, &limits)).collect();
    out.text(&text)
}

/// A case and its calls, for programs. A row is written as it is, so that no number loses a digit.
#[derive(Serialize)]
struct Answered<'a> {
    name: &'a str,
    law: Option<Law>,
    calls: Vec<Call<'a>>,
    limits: Value,
}

#[derive(Serialize)]
struct Call<'a> {
    call: &'a str,
    /// merged, error or fault.
    outcome: &'static str,
    /// Of a merge; null where the row is deleted.
    row: Option<Box<RawValue>>,
    /// Of a fault.
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<&'a str>,
    /// Of an error or a fault.
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<&'a str>,
    #[serde(flatten)]
    usage: Option<Used>,
}

#[derive(Serialize)]
struct Used {
    fuel: u64,
    stack_bytes: u64,
    memory_bytes: u64,
}

fn answered<'a>(case: &'a Case, calls: &'a [(String, Answer)], limits: &Limits) -> Answered<'a> {
    let calls = calls.iter().map(|(call, answer)| {
        let (outcome, image, code, text) = match &answer.outcome {
            Outcome::Merged(image) => ("merged", image.as_ref(), None, None),
            Outcome::Error(text) => ("error", None, None, Some(text.as_str())),
            Outcome::Fault { code, text } => {
                ("fault", None, Some(code.as_str()), Some(text.as_str()))
            }
        };
        let row = image.and_then(|image| String::from_utf8(image.as_bytes().to_vec()).ok());
        let row = row.and_then(|text| RawValue::from_string(text).ok());
        let usage = answer.usage.map(|Usage { fuel, stack_bytes, memory_bytes }| Used {
            fuel,
            stack_bytes,
            memory_bytes,
        });
        Call { call, outcome, row, code, text, usage }
    });
    Answered {
        name: &case.name,
        law: case.law,
        calls: calls.collect(),
        limits: json!({
            "fuel": limits.fuel,
            "stack_bytes": STACK_BYTES_MAX,
            "memory_bytes": limits.memory_bytes,
            "output_bytes": limits.output_bytes,
        }),
    }
}

fn text_of(case: &Case, calls: &[(String, Answer)], limits: &Limits) -> String {
    let mut text = format!("{}\n", printable(&case.name));
    if let Some(law) = case.law {
        text += &format!("a witness against the law: {law}\n");
    }
    for (what, answer) in calls {
        if calls.len() > 1 {
            text += &format!("{what}:\n");
        }
        text += &match &answer.outcome {
            Outcome::Merged(Some(image)) => {
                format!("  {}\n", String::from_utf8_lossy(image.as_bytes()))
            }
            Outcome::Merged(None) => "  (the row is deleted)\n".to_owned(),
            Outcome::Error(text) => format!("  error: {}\n", printable(text)),
            Outcome::Fault { code, text } => {
                format!("  fault: {code}\n    {}\n", text.trim_end().replace('\n', "\n    "))
            }
        };
        if let Some(usage) = answer.usage {
            text += &format!(
                "  fuel {} of {}, depth {} of {STACK_BYTES_MAX} bytes, memory {} of {} bytes\n",
                usage.fuel, limits.fuel, usage.stack_bytes, usage.memory_bytes, limits.memory_bytes
            );
        }
    }
    text
}
