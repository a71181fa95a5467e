//! The new body of a function.
//!
//! Its fuel is in a local while it runs. It goes back into the global around calls and at the end,
//! where others read it. An activation's place on the account of the stack is in another local, and
//! goes into the global before each call: who is called takes its frame from there.
//!
//! The fuel is looked at where a turn of a loop begins, where a function begins that calls others,
//! and before what is charged by its length; the stack where a function begins that is accounted.
//! Between two looks lies no more than a function's code.

use wasm_encoder::reencode::Reencode as _;
use wasm_encoder::{BlockType, BranchHint, Function, Instruction as I, ValType};
use wasmparser::{FunctionBody, Operator};

use super::MeterError;
use super::cost::Length;
use super::module::{Meter, Renumber};
use super::shape::Shape;

/// Where nothing is to be taken from the account of the stack.
const ANY_DEPTH: i64 = i64::MAX;
const PAGES_MAX: i32 = 1024;

/// What is known of the function around its body.
pub(super) struct Around {
    /// The type of a block that leaves the function's results.
    pub(super) results: BlockType,
    /// Whether it can be entered from outside, which leaves the account as it was.
    pub(super) is_entry: bool,
}

/// A metered body.
pub(super) struct Metered {
    pub(super) body: Function,
    /// Where it branches to the meter's check, which is hardly ever taken: without that knowledge the
    /// compiler saves registers for it in each turn of a loop.
    pub(super) unlikely: Vec<BranchHint>,
}

/// Writes the metered body.
pub(super) fn metered(
    body: &FunctionBody<'_>,
    shape: &Shape,
    around: &Around,
    meter: &Meter,
    renumber: &mut Renumber,
) -> Result<Metered, MeterError> {
    let mut locals = Vec::new();
    for group in body.get_locals_reader()? {
        let (count, ty) = group?;
        locals.push((count, renumber.val_type(ty)?));
    }
    locals.push((2, ValType::I64));
    if shape.has_lengths {
        locals.push((1, ValType::I32));
    }
    let mut writer = Writer {
        out: Function::new(locals),
        unlikely: Vec::new(),
        meter: *meter,
        fuel: shape.locals,
        depth: shape.locals + 1,
        length: shape.locals + 2,
        frame_bytes: shape.frame_bytes,
    };
    writer.enter(shape.segments.first().map_or(0, |entry| entry.cost));
    writer.out.instruction(&I::Block(around.results));
    writer.code(body, shape, renumber)?;
    writer.out.instruction(&I::End);
    writer.leave(around.is_entry);
    Ok(Metered { body: writer.out, unlikely: writer.unlikely })
}

struct Writer {
    out: Function,
    unlikely: Vec<BranchHint>,
    meter: Meter,
    /// The locals of ours.
    fuel: u32,
    depth: u32,
    length: u32,
    frame_bytes: Option<u64>,
}

impl Writer {
    fn put(&mut self, instructions: &[I<'_>]) {
        for instruction in instructions {
            self.out.instruction(instruction);
        }
    }

    /// Takes the fuel of the first segment and the frame, and looks at both at once.
    fn enter(&mut self, cost: u64) {
        let Meter { fuel, stack, low, .. } = self.meter;
        self.put(&[
            I::GlobalGet(fuel),
            I::I64Const(cost.cast_signed()),
            I::I64Sub,
            I::LocalSet(self.fuel),
        ]);
        let Some(frame) = self.frame_bytes else { return };
        self.put(&[
            I::GlobalGet(stack),
            I::I64Const(frame.cast_signed()),
            I::I64Sub,
            I::LocalTee(self.depth),
            // Deeper than ever before, or out of fuel.
            I::GlobalGet(low),
            I::I64Sub,
            I::LocalGet(self.fuel),
            I::I64Or,
        ]);
        self.check_if_negative();
    }

    fn code(
        &mut self,
        body: &FunctionBody<'_>,
        shape: &Shape,
        renumber: &mut Renumber,
    ) -> Result<(), MeterError> {
        let mut segments = shape.segments.iter().skip(1).peekable();
        let mut nesting = 0u32;
        let mut operators = body.get_operators_reader()?;
        while !operators.eof() {
            let at = operators.original_position();
            let operator = operators.read()?;
            if let Some(segment) = segments.next_if(|segment| segment.at == at) {
                self.charge(segment.cost);
                if segment.is_turn {
                    self.put(&[I::LocalGet(self.fuel)]);
                    self.check_if_negative();
                }
            }
            match &operator {
                Operator::Block { .. } | Operator::Loop { .. } | Operator::If { .. } => {
                    nesting += 1;
                }
                // The body's own end is that of the block around it.
                Operator::End if operators.eof() => break,
                Operator::End => nesting -= 1,
                Operator::Return => {
                    self.put(&[I::Br(nesting)]);
                    continue;
                }
                Operator::Call { .. } | Operator::CallIndirect { .. } => {
                    self.call(&renumber.instruction(operator)?);
                    continue;
                }
                _ => {}
            }
            if let Some(length) = Length::of(&operator) {
                self.charge_length(length);
            }
            self.out.instruction(&renumber.instruction(operator)?);
        }
        Ok(())
    }

    fn charge(&mut self, cost: u64) {
        if cost > 0 {
            self.put(&[
                I::LocalGet(self.fuel),
                I::I64Const(cost.cast_signed()),
                I::I64Sub,
                I::LocalSet(self.fuel),
            ]);
        }
    }

    /// Charges by the number on top of the stack, before it is used.
    fn charge_length(&mut self, length: Length) {
        self.put(&[I::LocalSet(self.length), I::LocalGet(self.fuel), I::LocalGet(self.length)]);
        match length {
            Length::Bytes => {
                self.put(&[I::I64ExtendI32U, I::I64Const(3), I::I64ShrU]);
            }
            Length::Elements => self.put(&[I::I64ExtendI32U, I::I64Const(2), I::I64Shl]),
            Length::Pages => self.put(&[
                I::I32Const(PAGES_MAX),
                I::LocalGet(self.length),
                I::I32Const(PAGES_MAX),
                I::I32LtU,
                I::Select,
                I::I64ExtendI32U,
                I::I64Const(9),
                I::I64Shl,
            ]),
        }
        self.put(&[I::I64Sub, I::LocalTee(self.fuel)]);
        self.check_if_negative();
        self.put(&[I::LocalGet(self.length)]);
    }

    fn call(&mut self, call: &I<'_>) {
        let Meter { fuel, stack, .. } = self.meter;
        self.put(&[I::LocalGet(self.fuel), I::GlobalSet(fuel)]);
        self.put(&[I::LocalGet(self.depth), I::GlobalSet(stack)]);
        self.put(std::slice::from_ref(call));
        self.put(&[I::GlobalGet(fuel), I::LocalSet(self.fuel)]);
    }

    /// Calls the meter's check if the number on top of the stack is negative.
    fn check_if_negative(&mut self) {
        let Meter { fuel, check, .. } = self.meter;
        let depth = match self.frame_bytes {
            Some(_) => I::LocalGet(self.depth),
            None => I::I64Const(ANY_DEPTH),
        };
        self.put(&[I::I64Const(0), I::I64LtS]);
        // A body has 256 KiB at most, and what is added to it is a few times that.
        let branch_func_offset = u32::try_from(self.out.byte_len()).unwrap_or(u32::MAX);
        self.unlikely.push(BranchHint { branch_func_offset, branch_hint_value: 0 });
        self.put(&[
            I::If(BlockType::Empty),
            I::LocalGet(self.fuel),
            I::GlobalSet(fuel),
            depth,
            I::Call(check),
            I::GlobalGet(fuel),
            I::LocalSet(self.fuel),
            I::End,
        ]);
    }

    fn leave(&mut self, is_entry: bool) {
        let Meter { fuel, stack, .. } = self.meter;
        self.put(&[I::LocalGet(self.fuel), I::GlobalSet(fuel)]);
        if let (true, Some(frame)) = (is_entry, self.frame_bytes) {
            self.put(&[
                I::LocalGet(self.depth),
                I::I64Const(frame.cast_signed()),
                I::I64Add,
                I::GlobalSet(stack),
            ]);
        }
        self.put(&[I::End]);
    }
}
