//! What a function's body looks like to the meter: its straight-line segments with their costs, and
//! how much stack one activation of it may take.

use wasmparser::{FuncValidator, FunctionBody, Operator, Result, ValType, WasmModuleResources};

use super::cost::{Length, cost};

/// A segment that costs no more than this is paid for by the segment that leads to it, taken or not:
/// fewer charges, for a few units of fuel that nobody used.
const FOLDED_COST_MAX: u64 = 4;
/// What one segment pays for others at most.
const FOLDED_COSTS_MAX: u64 = 4 * FOLDED_COST_MAX;

/// Of each activation: its return address, saved registers and alignment.
const FRAME_BYTES: u64 = 48;
const SLOT_BYTES: u64 = 8;
const VECTOR_SLOT_BYTES: u64 = 16;
/// For each operator, because an optimiser may keep more values alive over a call than the code has
/// locals and operands: 1,000 common subexpressions took 93 times what slots alone account for.
const OPERATOR_BYTES: u64 = 4;
/// A function that calls nothing and stays below this is not accounted: the difference between the
/// account's limit and the stack holds it.
const SMALL_LEAF_BYTES: u64 = 1024;

/// Code that runs to its end once it is entered, a trap aside.
pub(super) struct Segment {
    /// The offset of its first operator in the module.
    pub(super) at: usize,
    /// What is charged where it begins. Nothing where another segment pays for it.
    pub(super) cost: u64,
    /// Whether it begins a turn of a loop: there the fuel is looked at.
    pub(super) is_turn: bool,
    /// The segment that always runs before it.
    parent: Option<usize>,
    folded: u64,
}

/// A function's body, as the meter sees it.
pub(super) struct Shape {
    /// In the order of the code. The first is the function's entry.
    pub(super) segments: Vec<Segment>,
    /// Its parameters and locals.
    pub(super) locals: u32,
    /// What the account of the stack takes for an activation. None: it is a small leaf.
    pub(super) frame_bytes: Option<u64>,
    /// Whether it has an operator whose cost grows with a length.
    pub(super) has_lengths: bool,
}

enum Block {
    Plain,
    Loop,
    If,
}

struct Open {
    block: Block,
    /// The segment that the block began in. None: it can't be reached.
    entry: Option<usize>,
    is_target: bool,
}

struct Reading {
    segments: Vec<Segment>,
    open: Vec<Open>,
    /// The segment that is being read. None: what is read can't be reached.
    current: Option<usize>,
}

impl Shape {
    /// Reads a body. `params` counts the parameters; `vectors` says whether the module's signatures
    /// have vectors among their values.
    pub(super) fn of<T: WasmModuleResources>(
        validator: &mut FuncValidator<T>,
        body: &FunctionBody<'_>,
        params: u32,
        vectors: bool,
    ) -> Result<Self> {
        let (mut locals, mut vectors) = (params, vectors);
        let mut reader = body.get_locals_reader()?;
        for _ in 0..reader.get_count() {
            let at = reader.original_position();
            let (count, ty) = reader.read()?;
            validator.define_locals(at, count, ty)?;
            locals += count;
            vectors |= ty == ValType::V128;
        }
        let mut operators = body.get_operators_reader()?;
        let mut reading = Reading::new(operators.original_position(), locals);
        let (mut deepest, mut count, mut calls, mut has_lengths) = (0u32, 0u64, false, false);
        while !operators.eof() {
            let at = operators.original_position();
            let operator = operators.read()?;
            validator.op(at, &operator)?;
            deepest = deepest.max(validator.operand_stack_height());
            vectors |= matches!(validator.get_operand_type(0), Some(Some(ValType::V128)));
            count += 1;
            calls |= matches!(operator, Operator::Call { .. } | Operator::CallIndirect { .. });
            has_lengths |= Length::of(&operator).is_some();
            reading.take(&operator, operators.original_position())?;
        }
        let slot = if vectors { VECTOR_SLOT_BYTES } else { SLOT_BYTES };
        let slots = u64::from(locals) + u64::from(deepest);
        let frame = FRAME_BYTES + slot * slots + OPERATOR_BYTES * count;
        let accounted = calls || frame > SMALL_LEAF_BYTES;
        Ok(Self {
            segments: folded(reading.segments),
            locals,
            frame_bytes: accounted.then_some(frame),
            has_lengths,
        })
    }
}

impl Reading {
    fn new(at: usize, locals: u32) -> Self {
        // The entry: a unit for the call itself, and the locals are zeroed.
        let cost = 1 + u64::from(locals) / 4;
        let entry = Segment { at, cost, is_turn: false, parent: None, folded: 0 };
        let body = Open { block: Block::Plain, entry: Some(0), is_target: false };
        Self { segments: vec![entry], open: vec![body], current: Some(0) }
    }

    /// Takes the next operator. `next` is the offset after it.
    fn take(&mut self, operator: &Operator<'_>, next: usize) -> Result<()> {
        if let Some(current) = self.current {
            self.segments[current].cost += cost(operator);
        }
        match operator {
            Operator::Block { .. } => self.enter(Block::Plain),
            Operator::Loop { .. } => {
                self.enter(Block::Loop);
                if self.current.is_some() {
                    self.begin(next, None, true);
                }
            }
            Operator::If { .. } => {
                self.enter(Block::If);
                self.begin_after(self.current, next);
            }
            Operator::Else => {
                let entry = self.open.last().and_then(|open| open.entry);
                self.begin_after(entry, next);
            }
            Operator::End => self.leave(next),
            Operator::Br { relative_depth } => {
                self.aim(*relative_depth);
                self.current = None;
            }
            Operator::BrIf { relative_depth } if self.current.is_some() => {
                self.aim(*relative_depth);
                self.begin_after(self.current, next);
            }
            Operator::BrTable { targets } => {
                for target in targets.targets() {
                    self.aim(target?);
                }
                self.aim(targets.default());
                self.current = None;
            }
            Operator::Return | Operator::Unreachable => self.current = None,
            _ => {}
        }
        Ok(())
    }

    fn enter(&mut self, block: Block) {
        self.open.push(Open { block, entry: self.current, is_target: false });
    }

    fn leave(&mut self, next: usize) {
        let Some(open) = self.open.pop() else { return };
        if self.open.is_empty() {
            return;
        }
        match (open.entry, open.block) {
            (None, _) => self.current = None,
            // Nothing comes in from elsewhere: the segment goes on.
            (Some(_), Block::Plain) if !open.is_target => {}
            (Some(_), Block::Loop) if self.current.is_none() => {}
            (entry, _) => self.begin_after(entry, next),
        }
    }

    fn aim(&mut self, depth: u32) {
        let target = self.open.len().checked_sub(1 + depth as usize);
        if let Some(open) = target.and_then(|at| self.open.get_mut(at)) {
            open.is_target = true;
        }
    }

    /// Begins a segment that is reached only through `parent`; if that can't be, neither can this.
    fn begin_after(&mut self, parent: Option<usize>, at: usize) {
        match parent {
            Some(_) => self.begin(at, parent, false),
            None => self.current = None,
        }
    }

    fn begin(&mut self, at: usize, parent: Option<usize>, is_turn: bool) {
        // A turn of a loop costs one, so that an empty loop ends too.
        let cost = u64::from(is_turn);
        self.segments.push(Segment { at, cost, is_turn, parent, folded: 0 });
        self.current = Some(self.segments.len() - 1);
    }
}

/// Has cheap segments paid for by the one that leads to them, from the last to the first.
fn folded(mut segments: Vec<Segment>) -> Vec<Segment> {
    for i in (1..segments.len()).rev() {
        let Segment { cost, parent: Some(parent), .. } = segments[i] else { continue };
        let pays = &mut segments[parent];
        if cost <= FOLDED_COST_MAX && pays.folded + cost <= FOLDED_COSTS_MAX {
            pays.cost += cost;
            pays.folded += cost;
            segments[i].cost = 0;
        }
    }
    segments
}
