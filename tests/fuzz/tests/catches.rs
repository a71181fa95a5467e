//! What is wrong with a metering pass is found: passes that are broken on purpose.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::convert::Infallible;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use syncline_fuzz::driver::{Plan, run};
use syncline_fuzz::meter::{Metering, Rewrite};
use syncline_host::{Budget, MeterError, meter};
use wasm_encoder::reencode::{Error, Reencode, ReencodeComponent as _};
use wasm_encoder::{CodeSection, Component, Instruction};
use wasmparser::types::TypesRef;
use wasmparser::{FunctionBody, Operator, Parser};

/// More than any of them took.
const CASES_MAX: u64 = 300;

/// How the fault shows.
fn found(name: &str, pass: Rewrite) -> String {
    let plan = Plan {
        first: 1,
        count: Some(CASES_MAX),
        time: None,
        threads: 1,
        case_time_max: Duration::from_secs(120),
        folder: Path::new(env!("CARGO_TARGET_TMPDIR")).join("catches").join(name),
    };
    let target = Arc::new(Metering::with(pass).unwrap());
    let target: Arc<dyn syncline_fuzz::Target> = target;
    let summary = run(&target, &plan, Duration::MAX, &mut |_| {}).unwrap();
    let failure = summary.failure.unwrap_or_else(|| panic!("{name} is not found"));
    assert!(failure.folder.join("original.wasm").is_file());
    failure.what
}

/// A fault that is put into what the right pass made.
trait Fault: Default {
    /// Changes one operator of a body, by its place from the front and from the end.
    fn change(&mut self, operator: &mut Operator<'_>, at: usize, from_end: usize);
}

struct Breaking<F>(F);

impl<F: Fault> Reencode for Breaking<F> {
    type Error = Infallible;

    fn parse_function_body(
        &mut self,
        code: &mut CodeSection,
        body: FunctionBody<'_>,
    ) -> Result<(), Error<Infallible>> {
        let mut function = self.new_function_with_parsed_locals(&body)?;
        let operators = body.get_operators_reader()?.into_iter();
        let operators = operators.collect::<Result<Vec<_>, _>>()?;
        let count = operators.len();
        for (at, mut operator) in operators.into_iter().enumerate() {
            self.0.change(&mut operator, at, count - 1 - at);
            let instruction: Instruction<'_> = self.instruction(operator)?;
            function.instruction(&instruction);
        }
        code.function(&function);
        Ok(())
    }
}

impl<F: Fault> wasm_encoder::reencode::ReencodeComponent for Breaking<F> {}

fn broken<F: Fault>(
    component: &[u8],
    types: TypesRef<'_>,
    budget: &Budget,
) -> Result<Vec<u8>, MeterError> {
    let metered = meter(component, types, budget)?;
    let mut out = Component::new();
    Breaking(F::default()).parse_component(&mut out, Parser::new(0), &metered).unwrap();
    Ok(out.finish())
}

/// Entering a function costs nothing: the third operator takes the second from the fuel.
#[derive(Default)]
struct FreeEntry;

impl Fault for FreeEntry {
    fn change(&mut self, operator: &mut Operator<'_>, at: usize, _: usize) {
        if let (1, Operator::I64Const { value }) = (at, operator) {
            *value = 0;
        }
    }
}

#[test]
fn a_charge_that_is_missing() {
    let what = found("free-entry", broken::<FreeEntry>);
    assert!(what.contains("operators cost"), "{what}");
}

/// A function that was called from outside keeps its frame's place on the account.
#[derive(Default)]
struct KeptFrame;

impl Fault for KeptFrame {
    fn change(&mut self, operator: &mut Operator<'_>, at: usize, from_end: usize) {
        if let (4.., 3, Operator::I64Const { value }) = (at, from_end, operator) {
            *value = 0;
        }
    }
}

#[test]
fn a_frame_that_is_not_given_back() {
    let what = found("kept-frame", broken::<KeptFrame>);
    assert!(what.contains("goes deeper the second time"), "{what}");
}

/// Globals are numbered wrongly where the meter is imported: the observer's two for one another.
#[derive(Default)]
struct WrongGlobals;

impl Fault for WrongGlobals {
    fn change(&mut self, operator: &mut Operator<'_>, _: usize, _: usize) {
        if let Operator::GlobalGet { global_index } | Operator::GlobalSet { global_index } =
            operator
            && *global_index == 5
        {
            *global_index = 4;
        }
    }
}

#[test]
fn a_global_that_is_mistaken_for_another() {
    let what = found("wrong-globals", broken::<WrongGlobals>);
    assert!(what.contains("metered") || what.contains("valid"), "{what}");
}

/// A frame weighs next to nothing on the account, at its beginning and at its end.
#[derive(Default)]
struct LightFrames {
    has_frame: bool,
}

impl Fault for LightFrames {
    fn change(&mut self, operator: &mut Operator<'_>, at: usize, from_end: usize) {
        match operator {
            _ if at == 0 => self.has_frame = false,
            Operator::GlobalGet { .. } if at == 4 => self.has_frame = true,
            Operator::I64Const { value } if self.has_frame && (at == 5 || from_end == 3) => {
                *value = (*value / 32).max(1);
            }
            _ => {}
        }
    }
}

#[test]
fn frames_that_are_weighed_too_lightly() {
    let what = found("light-frames", broken::<LightFrames>);
    assert!(what.contains("the engine's stack is used up"), "{what}");
}

#[test]
fn a_pass_that_refuses_a_module() {
    let pass: Rewrite = |component, types, budget| {
        let cut = component.len() / 2;
        meter(&component[..cut], types, budget)
    };
    let what = found("refusal", pass);
    assert!(what.contains("can't be metered"), "{what}");
}
