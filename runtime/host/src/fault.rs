//! Whose fault an error of the engine is: the guest's, which is an outcome and the same in every
//! region, or the host's, which is no answer.
//!
//! What is not known for certain to be the guest's is the host's. A guest fault that is none would
//! let regions differ; a host fault that is none only makes a change wait, with an alarm.

use syncline_core::{GuestFault, HostFault};
use wasmtime::{Error, Trap, WasmBacktrace};

use crate::breach;
use crate::limiter::{OutOfFuel, OverMemoryLimit, TooDeep};
use crate::manifest::Limits;
use crate::wasi::Stop;

const TRAP_BYTES_MAX: usize = 512;
const ERROR_BYTES_MAX: usize = 1024;

/// Breaches of the canonical ABI that the engine reports in words only. They are pinned with its
/// release; each has a test, and one that is not listed is taken for a fault of the host.
const WRONG_RESULT_POINTER: [&str; 2] =
    ["return pointer not aligned", "pointer out of bounds of memory"];
const WRONG_REALLOC: [&str; 2] =
    ["realloc return: result not aligned", "realloc return: beyond end of memory"];

/// An error of a call: while its instance is made, its arguments are handed over, it runs, its answer
/// is read, or it cleans up.
pub(crate) fn of_call(error: &Error, limits: &Limits) -> Result<GuestFault, HostFault> {
    if error.is::<OutOfFuel>() {
        return Ok(GuestFault::OutOfFuel { limit: limits.fuel });
    }
    if error.is::<TooDeep>() {
        return Ok(GuestFault::DepthLimit);
    }
    if error.is::<OverMemoryLimit>() {
        return Ok(GuestFault::MemoryLimit { limit_bytes: limits.memory_bytes });
    }
    if let Some(stop) = error.downcast_ref::<Stop>() {
        return Ok(stop.fault(limits));
    }
    if let Some(trap) = error.downcast_ref::<Trap>() {
        return of_trap(*trap).ok_or_else(|| engine(error));
    }
    let text = error.root_cause().to_string();
    if let Some(what) = breach::of(&text) {
        return Ok(GuestFault::Trap(what.into()));
    }
    if WRONG_RESULT_POINTER.contains(&text.as_str()) {
        Ok(GuestFault::InvalidOutput("the result's pointer is wrong".into()))
    } else if WRONG_REALLOC.contains(&text.as_str()) {
        Ok(GuestFault::Trap("cabi_realloc returned a wrong pointer".into()))
    } else {
        Err(engine(error))
    }
}

/// What the guest's code itself runs into. None: the engine did.
fn of_trap(trap: Trap) -> Option<GuestFault> {
    match trap {
        // Where the stack overflows depends on the engine's settings and the machine, and the meter
        // comes first; the others are not raised by guests of our profile.
        Trap::StackOverflow
        | Trap::OutOfFuel
        | Trap::Interrupt
        | Trap::AllocationTooLarge
        | Trap::DisabledOpcode => None,
        trap => {
            let text = trap.to_string();
            let text = text.strip_prefix("wasm trap: ").unwrap_or(&text);
            Some(GuestFault::Trap(shown(text, TRAP_BYTES_MAX)))
        }
    }
}

/// The guest answered with an error of its own.
pub(crate) fn of_error(text: &str) -> GuestFault {
    GuestFault::Error(shown(text, ERROR_BYTES_MAX))
}

pub(crate) fn engine(error: &Error) -> HostFault {
    // A backtrace would stand before the cause and leave no room for it.
    let text = match error.is::<WasmBacktrace>() {
        true => error.root_cause().to_string(),
        false => format!("{error:#}"),
    };
    HostFault::Engine(shown(&text, ERROR_BYTES_MAX))
}

/// Text of a stranger, fit for a log: what would change how the rest of a line is shown is escaped,
/// and it is cut before the character that does not fit any more.
pub(crate) fn shown(text: &str, bytes_max: usize) -> String {
    let mut out = String::new();
    for c in text.chars() {
        let before = out.len();
        if c.is_control() || matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}') {
            out.extend(c.escape_default());
        } else {
            out.push(c);
        }
        if out.len() > bytes_max {
            out.truncate(before);
            break;
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_of_strangers_are_escaped_and_cut_between_characters() {
        assert_eq!(shown("a\n\u{1b}[2Jé\u{202e}", 100), "a\\n\\u{1b}[2Jé\\u{202e}");
        assert_eq!(shown("aéé", 4), "aé");
        assert_eq!(shown("a\n", 2), "a");
        assert_eq!(shown(&"x".repeat(5000), ERROR_BYTES_MAX).len(), ERROR_BYTES_MAX);
    }
}
