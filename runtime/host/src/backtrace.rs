//! Where a guest was when it failed, in the names that its own build gave its functions.

use std::fmt::{self, Write};

use syncline_core::GuestFault;
use wasmtime::{Error, FrameInfo, WasmBacktrace};

use crate::fault::shown;

/// The innermost frames of a call that are shown.
pub(crate) const FRAMES_MAX: usize = 16;
const NAME_BYTES_MAX: usize = 160;
/// A longer name is shown as it is: short ones can stand for long ones.
const MANGLED_BYTES_MAX: usize = 512;

/// One line that says what happened, and one for each frame, from the innermost on. They are text of a
/// stranger, made fit for a log, and not the same in every region.
pub(crate) fn of(error: &Error, fault: &GuestFault) -> String {
    let mut lines = match fault {
        GuestFault::Trap(text) => format!("trap: {text}\n"),
        other => format!("{}\n", other.code()),
    };
    let Some(backtrace) = error.downcast_ref::<WasmBacktrace>() else { return lines };
    for frame in backtrace.frames().iter().take(FRAMES_MAX) {
        lines.push_str("  at ");
        lines.push_str(&shown_frame(frame));
        lines.push('\n');
    }
    lines
}

fn shown_frame(frame: &FrameInfo) -> String {
    match frame.func_name().filter(|name| !name.is_empty()) {
        Some(name) => shown(&demangled(name), NAME_BYTES_MAX),
        None => format!("function {}", frame.func_index()),
    }
}

/// A Rust name as its author wrote it, and any other as it is; cut where it gets long.
fn demangled(name: &str) -> String {
    let mut out = Bounded(String::new());
    if name.len() <= MANGLED_BYTES_MAX {
        // Without the hash at its end. Cut short it fails, and what fitted stays.
        let _ = write!(out, "{:#}", rustc_demangle::demangle(name));
    } else {
        let _ = out.write_str(name);
    }
    out.0
}

/// Takes as much as is shown, and then no more, so that a name that unfolds without end does not.
struct Bounded(String);

impl Write for Bounded {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for c in text.chars() {
            if self.0.len() + c.len_utf8() > NAME_BYTES_MAX {
                return Err(fmt::Error);
            }
            self.0.push(c);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_rust_are_as_written_and_others_as_they_are() {
        assert_eq!(demangled("_ZN4cart5merge17h0123456789abcdefE"), "cart::merge");
        assert_eq!(demangled("_RNvCs1234_7mycrate3foo"), "mycrate::foo");
        assert_eq!(demangled("cart#merge"), "cart#merge");
    }

    #[test]
    fn a_name_that_unfolds_without_end_is_cut() {
        // A tuple of two of a tuple of two of a type, each but the first by a reference back.
        let mut name = String::from("_RMC0Tuu");
        for _ in 0..60 {
            name.push_str("TB5_B5_E");
        }
        assert!(demangled(&name).len() <= NAME_BYTES_MAX);
        let long = "é".repeat(MANGLED_BYTES_MAX);
        assert_eq!(demangled(&long), "é".repeat(NAME_BYTES_MAX / 2));
    }
}
