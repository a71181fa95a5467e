//! What a hostile guest is, and how one is written down.

use crate::guest::{Guest, answer, assemble, data};

/// The key of the row on which most guests do harm. On every other row they answer with the newer
/// image, so that no trial run can tell them from good ones.
pub const BOOM: &str = "boom";

/// What must come of a guest, in every region and every time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expected {
    /// It is not admitted, with this code.
    Refused(&'static str),
    /// It is admitted, and its call is a guest fault with this code.
    Fault(&'static str),
    /// It is admitted, and answers with this row, which is written in canonical form.
    Merged(String),
}

/// On which rows the expected thing happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rows {
    /// On the row [`BOOM`] only; on all others the guest answers with the newer image.
    Boom,
    /// On every row, as the harm is done where the guest can't know the row.
    Every,
}

/// What a host must have for the guest to end as expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Needs {
    /// Nothing special.
    Nothing,
    /// A compiler in a process of its own, which may be killed.
    CompilerApart,
}

/// What a host in a test's own process has of it.
pub const MET_BY_HOST: [Needs; 1] = [Needs::Nothing];
/// What a region has of it.
pub const MET_BY_REGION: [Needs; 2] = [Needs::Nothing, Needs::CompilerApart];

/// What a guest tries; each has a file in the corpus.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs, reason = "each is described at its file in the corpus")]
pub enum Kind {
    Loops,
    Memory,
    Depth,
    Pointers,
    Texts,
    Realloc,
    Json,
    Floats,
    Features,
    Remembering,
    Wasi,
    Imports,
    Exports,
    Structure,
    Malformed,
    Manifests,
    Compiling,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 17] = [
        Self::Loops,
        Self::Memory,
        Self::Depth,
        Self::Pointers,
        Self::Texts,
        Self::Realloc,
        Self::Json,
        Self::Floats,
        Self::Features,
        Self::Remembering,
        Self::Wasi,
        Self::Imports,
        Self::Exports,
        Self::Structure,
        Self::Malformed,
        Self::Manifests,
        Self::Compiling,
    ];
}

type Build = Box<dyn Fn() -> Vec<u8> + Send + Sync>;

/// A hostile guest.
pub struct Hostile {
    /// What sort of harm it is after.
    pub kind: Kind,
    /// Its name, unlike all others; letters, digits and hyphens, so that a table can be called so.
    pub name: String,
    /// What it tries, in a sentence.
    pub tries: String,
    /// The one outcome.
    pub expected: Expected,
    /// Where that outcome shows.
    pub rows: Rows,
    /// What a host must have for it.
    pub needs: Needs,
    build: Build,
}

impl Hostile {
    /// Builds the component's bytes, the same each time.
    pub fn component(&self) -> Vec<u8> {
        (self.build)()
    }

    pub(crate) fn on_every_row(mut self) -> Self {
        self.rows = Rows::Every;
        self
    }

    pub(crate) fn needs(mut self, needs: Needs) -> Self {
        self.needs = needs;
        self
    }
}

/// A guest whose outcome is still to be said.
pub(crate) struct Draft {
    name: String,
    tries: String,
    build: Build,
}

impl Draft {
    pub(crate) fn refused(self, code: &'static str) -> Hostile {
        self.expecting(Expected::Refused(code))
    }

    pub(crate) fn faults(self, code: &'static str) -> Hostile {
        self.expecting(Expected::Fault(code))
    }

    pub(crate) fn merges(self, json: impl Into<String>) -> Hostile {
        self.expecting(Expected::Merged(json.into()))
    }

    /// The kind is that of the file that the guest stands in, and is filled in with the list.
    fn expecting(self, expected: Expected) -> Hostile {
        let Self { name, tries, build } = self;
        let (kind, rows, needs) = (Kind::Loops, Rows::Boom, Needs::Nothing);
        Hostile { kind, name, tries, expected, rows, needs, build }
    }
}

/// Any bytes.
pub(crate) fn bytes(
    name: impl Into<String>,
    tries: impl Into<String>,
    build: impl Fn() -> Vec<u8> + Send + Sync + 'static,
) -> Draft {
    Draft { name: name.into(), tries: tries.into(), build: Box::new(build) }
}

/// A whole component as text.
pub(crate) fn text(
    name: impl Into<String>,
    tries: impl Into<String>,
    text: impl Fn() -> String + Send + Sync + 'static,
) -> Draft {
    bytes(name, tries, move || assemble(&text()))
}

/// A guest made from the template.
pub(crate) fn guest(
    name: impl Into<String>,
    tries: impl Into<String>,
    guest: impl Fn() -> Guest + Send + Sync + 'static,
) -> Draft {
    bytes(name, tries, move || guest().component())
}

/// A guest that runs this body on the one row.
pub(crate) fn harm(name: &str, tries: &str, body: impl Into<String>) -> Draft {
    let body = body.into();
    guest(name, tries, move || on_boom(&body))
}

/// A guest that runs this body of `merge` on the one row and is good on all others.
pub(crate) fn on_boom(body: &str) -> Guest {
    with_harm("", body)
}

/// As [`on_boom`], with items such as tables and functions for the body to use.
pub(crate) fn with_harm(items: &str, body: &str) -> Guest {
    let good = Guest::default().merge;
    Guest {
        items: format!("{items} {IS_BOOM} (func $harm (param $p i32) (result i32) {body})"),
        merge: format!(
            "(if (result i32) (call $is_boom (local.get $p))
               (then (call $harm (local.get $p))) (else {good}))"
        ),
        ..Guest::default()
    }
}

/// A guest that answers with these bytes on the one row and is good on all others.
pub(crate) fn answering_boom(bytes: &[u8]) -> Guest {
    with_harm(&data(2048, bytes), &answer(false, 2048, bytes.len() as u32))
}

/// Whether the conflict at `$p` is about the one row.
pub(crate) const IS_BOOM: &str = r"
  (func $is_boom (param $p i32) (result i32)
    (if (result i32) (i32.eq (i32.load offset=12 (local.get $p)) (i32.const 4))
      (then (i32.eq (i32.load align=1 (i32.load offset=8 (local.get $p))) (i32.const 0x6d6f6f62)))
      (else (i32.const 0))))";

/// The same from inside of `cabi_realloc`, where the argument is what was put into memory first,
/// from 16,384 on. The length of the key is zero there until the key has been handed over.
pub(crate) const KEY_IS_BOOM: &str = "(call $is_boom (i32.const 16384))";

/// A text repeated, with each `#` replaced by the number of the repetition.
pub(crate) fn times(count: usize, part: &str) -> String {
    (0..count).map(|n| part.replace('#', &n.to_string())).collect()
}
