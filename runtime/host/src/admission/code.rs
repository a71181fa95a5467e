//! How hard a function is to compile. Most code compiles in a time that grows with its length; what
//! does not is bounded here. Measured: 57 KB of 4,000 loops in one another, over 100 locals, took
//! the compiler 160 seconds; with the loops one after the other it took one. 41 KB of calls with 128
//! arguments and as many results took half a gigabyte, and so did 22 KB of blocks that pass 120
//! values each.

use wasmparser::{
    BlockType, CompositeInnerType, Encoding, FuncType, FunctionBody, Operator, Parser, Payload,
    TypeRef,
};

use super::counts::{add, most};
use super::{Refused, malformed};
use crate::profile::{
    FUNCTION_JOINS_MAX, JOINS_MAX, LOCALS_MAX, LOOP_NESTING_MAX, PASSED_VALUES_MAX,
    SIGNATURE_VALUES_MAX,
};

/// How many times a value that a block passes costs what one of a call does: 10 KB of 1,500 choices
/// with 120 values took half a gigabyte.
const BLOCK_VALUE_WEIGHT: u64 = 16;

/// How many values go in and come out.
#[derive(Clone, Copy, Default)]
struct Signature {
    params: u64,
    results: u64,
}

impl Signature {
    fn of(ty: &FuncType) -> Self {
        Self { params: ty.params().len() as u64, results: ty.results().len() as u64 }
    }

    fn values(self) -> u64 {
        self.params + self.results
    }

    /// Of a block, whose values are kept apart on each way through it. One is what all languages use.
    fn passed_by_block(self) -> u64 {
        BLOCK_VALUE_WEIGHT * self.values().saturating_sub(1)
    }
}

/// What the functions of a module are called with.
#[derive(Default)]
struct Module {
    types: Vec<Signature>,
    functions: Vec<Signature>,
    /// How many of the functions had their code.
    with_code: usize,
}

/// What is written in the file, over all its modules.
#[derive(Default)]
struct Totals {
    joins: u64,
    locals: u64,
    passed: u64,
}

/// Goes over all code of a component that is valid.
pub(super) fn check_code(component: &[u8]) -> Result<(), Refused> {
    let mut totals = Totals::default();
    let mut module = Module::default();
    for payload in Parser::new(0).parse_all(component) {
        match payload.map_err(malformed)? {
            // Modules are not nested in one another.
            Payload::Version { encoding: Encoding::Module, .. } => module = Module::default(),
            Payload::TypeSection(types) => {
                for group in types {
                    for ty in group.map_err(malformed)?.into_types() {
                        let CompositeInnerType::Func(ty) = ty.composite_type.inner else {
                            continue;
                        };
                        let ty = Signature::of(&ty);
                        let values = ty.params.max(ty.results);
                        most("values in one signature", values, SIGNATURE_VALUES_MAX)?;
                        module.types.push(ty);
                    }
                }
            }
            Payload::ImportSection(imports) => {
                for import in imports.into_imports() {
                    if let TypeRef::Func(ty) = import.map_err(malformed)?.ty {
                        module.functions.push(module.signature(ty));
                        module.with_code += 1;
                    }
                }
            }
            Payload::FunctionSection(functions) => {
                for ty in functions {
                    module.functions.push(module.signature(ty.map_err(malformed)?));
                }
            }
            Payload::CodeSectionEntry(body) => check_function(&body, &mut module, &mut totals)?,
            _ => {}
        }
    }
    Ok(())
}

impl Module {
    fn signature(&self, ty: u32) -> Signature {
        self.types.get(ty as usize).copied().unwrap_or_default()
    }

    fn function(&self, index: usize) -> Signature {
        self.functions.get(index).copied().unwrap_or_default()
    }

    fn block(&self, ty: BlockType) -> Signature {
        match ty {
            BlockType::Empty => Signature::default(),
            BlockType::Type(_) => Signature { params: 0, results: 1 },
            BlockType::FuncType(ty) => self.signature(ty),
        }
    }
}

/// At each place where branches meet, the compiler looks at each local for the values that meet
/// there: the product of the two is what a function costs apart from its length. What an operator
/// passes on, to a block or a function, it costs for each value, however short it is written.
fn check_function(
    body: &FunctionBody<'_>,
    module: &mut Module,
    totals: &mut Totals,
) -> Result<(), Refused> {
    let own = module.function(module.with_code);
    module.with_code += 1;
    let mut locals = own.params;
    for group in body.get_locals_reader().map_err(malformed)? {
        let (count, _) = group.map_err(malformed)?;
        locals = locals.saturating_add(count.into());
    }
    add(&mut totals.locals, locals, "locals", LOCALS_MAX)?;
    let code = count_code(body, module, own)?;
    let joins = code.places.saturating_mul(locals.saturating_add(SIGNATURE_VALUES_MAX));
    most("joins in one function", joins, FUNCTION_JOINS_MAX)?;
    add(&mut totals.joins, joins, "joins", JOINS_MAX)?;
    let passed = code.passed.saturating_add(own.values());
    add(&mut totals.passed, passed, "values passed on", PASSED_VALUES_MAX)
}

/// Of one function.
#[derive(Default)]
struct Code {
    /// Where branches meet.
    places: u64,
    /// Values that blocks, branches and calls pass on.
    passed: u64,
}

fn count_code(body: &FunctionBody<'_>, module: &Module, own: Signature) -> Result<Code, Refused> {
    let mut code = Code::default();
    // For each open block, whether it is a loop, and how many values a branch to it passes.
    let mut open = vec![(false, own.results)];
    let mut loops: u64 = 0;
    for operator in body.get_operators_reader().map_err(malformed)? {
        let target = |depth: u32| {
            let at = open.len().checked_sub(depth as usize + 1);
            at.map_or(0, |at| open[at].1)
        };
        let passed = match operator.map_err(malformed)? {
            Operator::Loop { blockty } => {
                let block = module.block(blockty);
                open.push((true, block.params));
                code.places += 1;
                loops += 1;
                most("loops in one another", loops, LOOP_NESTING_MAX)?;
                block.passed_by_block()
            }
            Operator::Block { blockty } | Operator::If { blockty } => {
                let block = module.block(blockty);
                open.push((false, block.results));
                code.places += 1;
                block.passed_by_block()
            }
            Operator::Else => {
                code.places += 1;
                0
            }
            Operator::Br { relative_depth } | Operator::BrIf { relative_depth } => {
                target(relative_depth)
            }
            Operator::BrTable { targets } => {
                code.places += u64::from(targets.len());
                u64::from(targets.len()).saturating_mul(target(targets.default()))
            }
            Operator::Call { function_index } => module.function(function_index as usize).values(),
            Operator::CallIndirect { type_index, .. } => module.signature(type_index).values(),
            Operator::End => {
                loops -= u64::from(matches!(open.pop(), Some((true, _))));
                0
            }
            _ => 0,
        };
        code.passed = code.passed.saturating_add(passed);
    }
    Ok(code)
}
