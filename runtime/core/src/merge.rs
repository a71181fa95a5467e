//! What the core asks of whoever runs merge functions.

use thiserror::Error;

use crate::{ChangeId, FunctionVersion, Hlc, Image, Operation, RegionId, RowKey};

/// One side of a merge, as the WIT's record `side`.
#[derive(Clone, Debug)]
pub struct MergeSide<'a> {
    /// The region of the newest change on this side.
    pub region: &'a RegionId,
    /// That change's HLC.
    pub hlc: Hlc,
    /// [`Operation::Delete`] where the image is none; else that change's, or
    /// [`Operation::Update`] if that was a delete.
    pub operation: Operation,
    /// The row as this side left it.
    pub image: Option<&'a Image>,
}

impl<'a> MergeSide<'a> {
    /// A side that is one head.
    pub(crate) fn of(change: &'a ChangeId, operation: Operation, image: Option<&'a Image>) -> Self {
        Self { region: &change.region, hlc: change.hlc, operation, image }
    }

    /// The side that heads were merged into: its newest change, and the image that it has become.
    pub(crate) fn of_older(
        newest: &'a ChangeId,
        operation: Operation,
        image: Option<&'a Image>,
    ) -> Self {
        let operation = match (image, operation) {
            (None, _) => Operation::Delete,
            (Some(_), Operation::Delete) => Operation::Update,
            (Some(_), operation) => operation,
        };
        Self::of(newest, operation, image)
    }
}

/// What a merge function is given, as the WIT's record `conflict`.
#[derive(Clone, Debug)]
pub struct MergeInput<'a> {
    /// The row.
    pub row: &'a RowKey,
    /// The row exactly as it was with the changes that both sides have seen.
    pub ancestor: Option<&'a Image>,
    /// The side with the lower (hlc, region).
    pub older: MergeSide<'a>,
    /// The other side.
    pub newer: MergeSide<'a>,
}

/// A merge function's answer: the row's image, or none to delete the row.
pub type Merged = Option<Image>;

/// The function did not answer, and would not anywhere: the same in every region by construction.
/// The whole fold is then its newest head. The texts are for the log and never replicated.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[allow(missing_docs, reason = "each variant's message says what it is")]
pub enum GuestFault {
    #[error("the function trapped: {0}")]
    Trap(String),
    #[error("the function used up its fuel of {limit}")]
    OutOfFuel { limit: u64 },
    #[error("the function's calls nested too deeply")]
    DepthLimit,
    #[error("the function needs more than its {limit_bytes} bytes of memory")]
    MemoryLimit { limit_bytes: u64 },
    #[error("the function's answer is not a row: {0}")]
    InvalidOutput(String),
    #[error("the function's answer of {bytes} bytes is over its limit of {limit_bytes}")]
    OutputTooLarge { bytes: u64, limit_bytes: u64 },
    #[error("the function answered with an error: {0}")]
    Error(String),
}

impl GuestFault {
    /// A stable word for metrics and the API.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Trap(_) => "trap",
            Self::OutOfFuel { .. } => "out-of-fuel",
            Self::DepthLimit => "depth-limit",
            Self::MemoryLimit { .. } => "memory-limit",
            Self::InvalidOutput(_) => "invalid-output",
            Self::OutputTooLarge { .. } => "output-too-large",
            Self::Error(_) => "error",
        }
    }
}

/// Not an answer: something is wrong here, and may be right elsewhere or later. The change that
/// needs this merge waits.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum HostFault {
    /// The component has not arrived in this region, or does not compile here.
    #[error("merge function {0} is not here yet")]
    NotHere(FunctionVersion),
    /// The function went live under a determinism profile that this build does not have: it might
    /// answer otherwise than the other regions.
    #[error(
        "merge function {version} goes by determinism profile {needs}, which this build does not \
         have: run one that has it"
    )]
    OtherProfile {
        /// The function.
        version: FunctionVersion,
        /// The profile's number.
        needs: u32,
    },
    /// The wall clock ran out before the fuel did: the machine is too slow just now.
    #[error("the merge took longer than {limit_ms} ms of wall clock")]
    Backstop {
        /// The limit.
        limit_ms: u64,
    },
    /// The engine failed.
    #[error("the engine failed: {0}")]
    Engine(String),
    /// The table has used up its share of this thread for now; its neighbours come first.
    #[error("the table's merges are put off so that other tables keep their pace")]
    Deferred,
}

/// Runs merge functions by version. Implementations must be deterministic in what they answer with
/// `Ok`: the same version and input give the same value in every region and at every time.
pub trait MergeFunctions {
    /// Merges the two sides of a conflict.
    fn merge(
        &self,
        version: &FunctionVersion,
        input: &MergeInput<'_>,
    ) -> Result<Result<Merged, GuestFault>, HostFault>;
}

impl<F> MergeFunctions for F
where
    F: Fn(&FunctionVersion, &MergeInput<'_>) -> Result<Result<Merged, GuestFault>, HostFault>,
{
    fn merge(
        &self,
        version: &FunctionVersion,
        input: &MergeInput<'_>,
    ) -> Result<Result<Merged, GuestFault>, HostFault> {
        self(version, input)
    }
}
