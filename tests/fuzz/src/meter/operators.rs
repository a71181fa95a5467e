//! Which operators a module has that decide what can be said of its runs.

use anyhow::Result;
use wasmparser::{Operator, Parser, Payload};

/// Of some modules together.
#[derive(Clone, Copy, Default)]
pub(super) struct Operators {
    /// Some ask for memory or elements: that is charged for by what is asked for, and not by what
    /// is had, so no budget is enough for it.
    pub(super) grow: bool,
    /// Some cost by a length.
    pub(super) have_lengths: bool,
    /// Some change tables, of which the observer sees only what is null.
    pub(super) hides_state: bool,
}

impl Operators {
    pub(super) fn of(modules: &[Vec<u8>]) -> Result<Self> {
        let mut found = Self::default();
        for module in modules {
            for payload in Parser::new(0).parse_all(module) {
                let Payload::CodeSectionEntry(body) = payload? else { continue };
                for operator in body.get_operators_reader()? {
                    found.take(&operator?);
                }
            }
        }
        Ok(found)
    }

    fn take(&mut self, operator: &Operator<'_>) {
        use Operator as O;
        self.grow |= matches!(operator, O::MemoryGrow { .. } | O::TableGrow { .. });
        let changes_tables = matches!(
            operator,
            O::TableFill { .. } | O::TableCopy { .. } | O::TableInit { .. } | O::TableGrow { .. }
        );
        self.have_lengths |= changes_tables
            || matches!(
                operator,
                O::MemoryFill { .. }
                    | O::MemoryCopy { .. }
                    | O::MemoryInit { .. }
                    | O::MemoryGrow { .. }
            );
        self.hides_state |= changes_tables || matches!(operator, O::TableSet { .. });
    }
}
