//! What each operator costs: the table of profile 1. A change of it changes outcomes, so it needs a
//! new profile; the golden files of tests/golden/metering tell.
//!
//! The unit is about what a simple operator takes: a nanosecond or less. What the engine does by a
//! call into itself costs more, so that no loop is much dearer in time than in fuel.

use wasmparser::Operator;

/// The operators of this proposal cost [`VECTOR`] where the table names nothing else.
const VECTORS: &str = "simd";
const VECTOR: u64 = 2;

/// The flat part of an operator's cost.
pub(super) fn cost(op: &Operator<'_>) -> u64 {
    use Operator as O;
    match op {
        // Structure, and what the compiler makes nothing of.
        O::Nop
        | O::Block { .. }
        | O::Loop { .. }
        | O::Else
        | O::End
        | O::Drop
        | O::Unreachable
        | O::Return => 0,
        O::Call { .. } => 4,
        O::CallIndirect { .. } => 8,
        O::I32DivS
        | O::I32DivU
        | O::I32RemS
        | O::I32RemU
        | O::I64DivS
        | O::I64DivU
        | O::I64RemS
        | O::I64RemU
        | O::F32Div
        | O::F64Div
        | O::F32Sqrt
        | O::F64Sqrt => 8,
        O::F32x4Div | O::F64x2Div | O::F32x4Sqrt | O::F64x2Sqrt => 16,
        // Each is followed by making its NaN canonical.
        O::F32Add
        | O::F32Sub
        | O::F32Mul
        | O::F64Add
        | O::F64Sub
        | O::F64Mul
        | O::F32DemoteF64
        | O::F64PromoteF32 => 2,
        // Some processors have no instruction for these, and the engine calls a function.
        O::F32Min
        | O::F32Max
        | O::F64Min
        | O::F64Max
        | O::F32Ceil
        | O::F32Floor
        | O::F32Trunc
        | O::F32Nearest
        | O::F64Ceil
        | O::F64Floor
        | O::F64Trunc
        | O::F64Nearest
        | O::F32x4Ceil
        | O::F32x4Floor
        | O::F32x4Trunc
        | O::F32x4Nearest
        | O::F64x2Ceil
        | O::F64x2Floor
        | O::F64x2Trunc
        | O::F64x2Nearest => 6,
        O::TableGet { .. } | O::TableSet { .. } | O::TableSize { .. } => 4,
        O::RefFunc { .. } => 32,
        O::MemoryFill { .. }
        | O::MemoryCopy { .. }
        | O::MemoryInit { .. }
        | O::TableFill { .. }
        | O::TableCopy { .. }
        | O::TableInit { .. } => 16,
        O::MemoryGrow { .. } | O::TableGrow { .. } => 500,
        other if proposal(other) == VECTORS => VECTOR,
        _ => 1,
    }
}

/// What an operator's cost grows with: the number on top of the stack, of what unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Length {
    /// 1 for 8 bytes.
    Bytes,
    /// 4 for an element of a table.
    Elements,
    /// 512 for a page of memory, which the kernel has to zero. No more than 1,024 pages can be had.
    Pages,
}

impl Length {
    pub(super) fn of(op: &Operator<'_>) -> Option<Self> {
        match op {
            Operator::MemoryFill { .. }
            | Operator::MemoryCopy { .. }
            | Operator::MemoryInit { .. } => Some(Self::Bytes),
            Operator::TableFill { .. }
            | Operator::TableCopy { .. }
            | Operator::TableInit { .. }
            | Operator::TableGrow { .. } => Some(Self::Elements),
            Operator::MemoryGrow { .. } => Some(Self::Pages),
            _ => None,
        }
    }
}

/// The proposal that an operator came with, by the name that wasmparser gives it.
fn proposal(op: &Operator<'_>) -> &'static str {
    macro_rules! name_of {
        ($(@$proposal:ident $op:ident $({ $($field:ident: $ty:ty),* })? => $visit:ident
            ($($arity:tt)*))*) => {
            match op {
                $(Operator::$op { .. } => stringify!($proposal),)*
                _ => "later",
            }
        };
    }
    wasmparser::for_each_operator!(name_of)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operators_cost_what_the_profile_says() {
        assert_eq!(cost(&Operator::I32Add), 1);
        assert_eq!(cost(&Operator::End), 0);
        assert_eq!(cost(&Operator::I8x16Add), VECTOR);
        assert_eq!(cost(&Operator::F64x2Div), 16);
        assert_eq!(cost(&Operator::RefFunc { function_index: 0 }), 32);
        assert_eq!(Length::of(&Operator::MemoryFill { mem: 0 }), Some(Length::Bytes));
        assert_eq!(Length::of(&Operator::I32Add), None);
    }
}
