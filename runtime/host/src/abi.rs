//! The world of wit/merge.wit, as values that borrow from the core's and go to a guest, and the
//! answer that comes back.

use syncline_core::{MergeInput, MergeSide, Operation};
use wasmtime::component::__internal::{
    CanonicalAbiInfo, InstanceType, InterfaceType, LiftContext,
    wasmtime_environ::component::StringEncoding,
};
use wasmtime::component::{ComponentType, Lift, Lower};

use crate::profile::OUTPUT_BYTES_MAX;

/// The interface's own name for its types, which each component of the world imports.
pub(crate) const TYPES: &str = "syncline:merge/types@1.0.0";
/// The one export.
pub(crate) const MERGE: &str = "merge";

#[derive(ComponentType, Lower)]
#[component(record)]
pub(crate) struct Conflict<'a> {
    table: &'a str,
    #[component(name = "row-pk")]
    row_pk: &'a str,
    ancestor: Option<&'a [u8]>,
    older: Side<'a>,
    newer: Side<'a>,
}

#[derive(ComponentType, Lower)]
#[component(record)]
pub(crate) struct Side<'a> {
    region: &'a str,
    hlc: u64,
    operation: WitOperation,
    image: Option<&'a [u8]>,
}

#[derive(ComponentType, Lower, Clone, Copy)]
#[component(enum)]
#[repr(u8)]
pub(crate) enum WitOperation {
    #[component(name = "insert")]
    Insert,
    #[component(name = "update")]
    Update,
    #[component(name = "delete")]
    Delete,
}

impl<'a> Conflict<'a> {
    /// The ancestor is left out for a function whose manifest says that it needs none.
    pub(crate) fn new(input: &MergeInput<'a>, needs_ancestor: bool) -> Self {
        Self {
            table: input.row.table.as_str(),
            row_pk: input.row.pk.as_str(),
            ancestor: input.ancestor.filter(|_| needs_ancestor).map(|image| image.as_bytes()),
            older: Side::new(&input.older),
            newer: Side::new(&input.newer),
        }
    }
}

impl<'a> Side<'a> {
    fn new(side: &MergeSide<'a>) -> Self {
        Self {
            region: side.region.as_str(),
            hlc: side.hlc.bits(),
            operation: match side.operation {
                Operation::Insert => WitOperation::Insert,
                Operation::Update => WitOperation::Update,
                Operation::Delete => WitOperation::Delete,
            },
            image: side.image.map(|image| image.as_bytes()),
        }
    }
}

/// What `merge` answered: `result<option<list<u8>>, string>`, read so that nothing is copied before
/// its size is known, and that a wrong answer is a value and not an error without a type.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Row(Vec<u8>),
    Deleted,
    Error(String),
    /// Over the limit that no manifest can raise.
    TooLarge {
        bytes: u64,
    },
    Invalid(&'static str),
}

/// The type that [`Answer`] is another reading of.
type Plain = Result<Option<Vec<u8>>, String>;

// SAFETY: size, alignment, flat representation and type check are those of `Plain`.
unsafe impl ComponentType for Answer {
    type Lower = <Plain as ComponentType>::Lower;
    const ABI: CanonicalAbiInfo = <Plain as ComponentType>::ABI;

    fn typecheck(ty: &InterfaceType, types: &InstanceType<'_>) -> wasmtime::Result<()> {
        <Plain as ComponentType>::typecheck(ty, types)
    }
}

// SAFETY: it makes values from bytes that it checks, and builds on no promise about them.
unsafe impl Lift for Answer {
    fn linear_lift_from_flat(
        _: &mut LiftContext<'_>,
        _: InterfaceType,
        _: &Self::Lower,
    ) -> wasmtime::Result<Self> {
        // Five flat values are more than the one that a function may return without memory.
        wasmtime::bail!("the answer came without memory")
    }

    fn linear_lift_from_memory(
        cx: &mut LiftContext<'_>,
        _: InterfaceType,
        bytes: &[u8],
    ) -> wasmtime::Result<Self> {
        let encoding = cx.options().string_encoding;
        Ok(Self::read(bytes, cx.memory(), encoding))
    }
}

impl Answer {
    /// The canonical ABI's layout: the tag of the result, at 4 what it holds; there the option's
    /// tag and at 8 the list, or the string.
    fn read(bytes: &[u8], memory: &[u8], encoding: StringEncoding) -> Self {
        let word = |at: usize| {
            let four = bytes.get(at..at + 4).and_then(|four| four.try_into().ok());
            four.map_or(0, u32::from_le_bytes)
        };
        let tag = |at: usize| bytes.get(at).copied();
        match (tag(0), tag(4)) {
            (Some(0), Some(0)) => Self::Deleted,
            (Some(0), Some(1)) => Self::row(memory, word(8), word(12)),
            (Some(1), _) => Self::error(memory, word(4), word(8), encoding),
            (Some(0), _) => Self::Invalid("an option that is neither none nor some"),
            _ => Self::Invalid("a result that is neither ok nor err"),
        }
    }

    fn row(memory: &[u8], at: u32, length: u32) -> Self {
        match slice(memory, at, u64::from(length)) {
            Ok(bytes) => Self::Row(bytes.to_vec()),
            Err(answer) => answer,
        }
    }

    fn error(memory: &[u8], at: u32, length: u32, encoding: StringEncoding) -> Self {
        /// In the mixed encoding: the text is UTF-16, and else Latin-1.
        const UTF16_TAG: u32 = 1 << 31;
        let (utf16, units) = match encoding {
            StringEncoding::Utf8 => {
                return match slice(memory, at, u64::from(length)).map(str::from_utf8) {
                    Ok(Ok(text)) => Self::Error(text.to_owned()),
                    Ok(Err(_)) => Self::Invalid("an error text that is not UTF-8"),
                    Err(answer) => answer,
                };
            }
            StringEncoding::Utf16 => (true, length),
            StringEncoding::CompactUtf16 => (length & UTF16_TAG != 0, length & !UTF16_TAG),
        };
        if !at.is_multiple_of(2) {
            return Self::Invalid("a text at an odd address");
        }
        let bytes = match slice(memory, at, u64::from(units) * if utf16 { 2 } else { 1 }) {
            Ok(bytes) => bytes,
            Err(answer) => return answer,
        };
        if !utf16 {
            return Self::Error(bytes.iter().map(|byte| char::from(*byte)).collect());
        }
        let units: Vec<u16> =
            bytes.chunks_exact(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]])).collect();
        match String::from_utf16(&units) {
            Ok(text) => Self::Error(text),
            Err(_) => Self::Invalid("an error text that is not UTF-16"),
        }
    }
}

fn slice(memory: &[u8], at: u32, length: u64) -> Result<&[u8], Answer> {
    let at = u64::from(at);
    if at + length > memory.len() as u64 {
        return Err(Answer::Invalid("a pointer beyond the end of its memory"));
    }
    if length > OUTPUT_BYTES_MAX {
        return Err(Answer::TooLarge { bytes: length });
    }
    Ok(&memory[at as usize..(at + length) as usize])
}
