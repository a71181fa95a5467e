//! Breaches of the canonical ABI by a guest that calls the host. Its own components can't call one
//! another, as only the outermost has code.
//!
//! The engine reports them in words only. What stands here is pinned with the engine's release, each
//! with a test that tells when the words change; what is not listed is taken for a fault of the host.

/// The engine's whole message, and what the guest did.
const WHOLE: [(&str, &str); 5] = [
    ("list pointer/length out of bounds of memory", WRONG_POINTER),
    ("list pointer is not aligned", WRONG_POINTER),
    ("pointer not aligned", WRONG_POINTER),
    ("pointer out of bounds", WRONG_POINTER),
    ("invalid expected discriminant", "it hands over a value that is none of its type"),
];

/// How messages begin that go on with numbers.
const BEGINNINGS: [(&str, &str); 5] = [
    ("unknown handle index ", UNKNOWN_HANDLE),
    ("handle index ", WRONG_HANDLE),
    ("cannot allocate another handle: ", TOO_MANY_HANDLES),
    ("cannot lend resource: ", TOO_MANY_HANDLES),
    ("too much data is being copied between the host and the guest: ", "it hands over too much"),
];

const TOO_MANY_HANDLES: &str = "it holds or lends too many handles";
const UNKNOWN_HANDLE: &str = "it uses a handle that it does not hold";
const WRONG_HANDLE: &str = "it uses a handle of another kind";
const WRONG_POINTER: &str = "it hands over a wrong pointer";

/// What the guest did, if these are the engine's words for it.
pub(crate) fn of(words: &str) -> Option<&'static str> {
    let whole = WHOLE.iter().find(|(message, _)| words == *message);
    let known = whole.or_else(|| BEGINNINGS.iter().find(|(start, _)| words.starts_with(start)));
    known.map(|(_, what)| *what)
}
