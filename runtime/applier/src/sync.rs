//! Makes commits durable, and only then lets anyone know.

use syncline_bus::Lane;
use syncline_core::planted::{self, Bug};
use syncline_core::{Heartbeat, Hlc};
use syncline_store::{Store, StoreError};

/// What waits for a commit to be durable.
#[derive(Debug)]
pub struct Ticket<R> {
    /// The lane of the partition that was committed.
    pub lane: Lane,
    /// The last change of the commit.
    pub last_change: Option<Hlc>,
    /// Its heartbeat.
    pub heartbeat: Option<Heartbeat>,
    /// Whoever is to be told.
    pub replies: Vec<R>,
}

impl<R> Ticket<R> {
    /// The same, with other replies.
    pub fn map<T>(self, reply: impl FnMut(R) -> T) -> Ticket<T> {
        let Self { lane, last_change, heartbeat, replies } = self;
        Ticket { lane, last_change, heartbeat, replies: replies.into_iter().map(reply).collect() }
    }
}

/// What a sync came to.
#[derive(Debug)]
pub struct Synced<R> {
    /// What may be produced now: for each commit its lane, last change and heartbeat.
    pub durable: Vec<(Lane, Option<Hlc>, Option<Heartbeat>)>,
    /// Whoever is to be told, that it is durable or that it may not be.
    pub replies: Vec<R>,
}

/// Makes all commits of the tickets durable with one sync. After an error the store takes no more;
/// nothing of the tickets may be produced, and what clients asked for may or may not have happened.
pub fn sync<R>(
    store: &(impl Store + ?Sized),
    tickets: Vec<Ticket<R>>,
) -> (Synced<R>, Result<(), StoreError>) {
    let changes = tickets.iter().any(|ticket| ticket.last_change.is_some());
    let skips = planted::is(if changes { Bug::AcknowledgeUnsynced } else { Bug::ConfirmUnsynced });
    let done = if skips { Ok(()) } else { store.sync() };
    let mut synced = Synced { durable: Vec::new(), replies: Vec::new() };
    for Ticket { lane, last_change, heartbeat, replies } in tickets {
        if done.is_ok() {
            synced.durable.push((lane, last_change, heartbeat));
        }
        synced.replies.extend(replies);
    }
    (synced, done)
}
