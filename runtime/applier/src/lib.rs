//! A region's work between the bus, the core and the store, step by step.
//!
//! Each step is a function that runs to its end: a turn of a partition, a turn of the control
//! partition, a sync, a piece of a log produced, records taken in. Nothing here has a thread, a
//! clock, a socket or a queue: the node has them, and calls; the simulator calls the same steps in
//! any order that threads could.
//!
//! What the caller owes:
//!
//! 1. A partition's turns come one after the other, as do the control partition's.
//! 2. [`Ticket`]s of all turns go through [`sync`], in the order in which they were handed out, and
//!    only what comes out of it is answered or handed to the [`Feeds`].
//! 3. What [`PartitionDone`] and [`ControlDone`] say apart from the ticket may be acted on at once.
//! 4. After an error of a turn that is [fatal](TurnError::fatal), nothing but a new start is allowed.
//! 5. At the start: [`restore`], then everything else.
//! 6. Each heartbeat that is read in its region's own log is shown to [`Site::hear_clock`] at once,
//!    and the time that is given to any step is that of a [`Site::moment`].

mod bulk;
mod control;
mod feeds;
mod forwarding;
mod intake;
mod mend;
mod partition;
mod replay;
mod restore;
mod rows;
mod site;
mod snapshot;
mod sync;

pub use bulk::{JoinError, join_from};
pub use control::{ControlApplier, ControlDone, ControlRefused, Loaded};
pub use feeds::{FeedError, Feeds, Portion, portion};
pub use intake::{Broken, ControlItem, ControlRead, Intake, Read, ReadItem, ReadRecords, Sorted};
pub use mend::{MendDone, MendWork, RepairPage, RepairWork};
pub use partition::{
    PartitionApplier, PartitionDone, PartitionTurn, TurnError, WriteError, WriteRequest,
};
pub use replay::{KeptAction, KeptDone, KeptWork, ReplayRefused, Replayed};
pub use restore::{Restored, feeds_of_rows, positions, restore, restore_rows};
pub use site::{Directed, Limits, Moment, Noted, Site, partition_of_lane};
pub use snapshot::{Assembly, Copied, Copying, Page, PageStep, PagesMade, read_copy, write_copy};
pub use sync::{Synced, Ticket, sync};
