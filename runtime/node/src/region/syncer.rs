//! Makes commits durable, and only then tells anyone.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use syncline_bus::Lane;
use syncline_core::{Heartbeat, Hlc};
use syncline_store::Store as _;

use super::Shared;
use super::publisher::Feeds;

/// Tickets that wait for a sync. A thread that commits faster than the disk syncs waits here.
const TICKETS_MAX: usize = 1024;

/// What waits for a commit to be durable.
pub(super) struct Ticket {
    pub(super) lane: Lane,
    /// The last change of the commit.
    pub(super) last_change: Option<Hlc>,
    pub(super) heartbeat: Option<Heartbeat>,
    /// Clients to be answered: durable, or why not.
    pub(super) replies: Vec<Reply>,
}

pub(super) type Reply = Box<dyn FnOnce(Result<(), String>) + Send>;

/// Hands tickets to the syncer's thread.
pub(super) fn tickets() -> (SyncSender<Ticket>, Receiver<Ticket>) {
    sync_channel(TICKETS_MAX)
}

/// Ends when all who commit have ended.
pub(super) fn run(shared: &Arc<Shared>, tickets: &Receiver<Ticket>, feeds: &Feeds) {
    let mut failed = None;
    while let Ok(first) = tickets.recv() {
        let mut batch = vec![first];
        batch.extend(tickets.try_iter());
        if failed.is_none()
            && let Err(error) = shared.store.sync()
        {
            let reason = error.to_string();
            shared.fail(format!("sync the store: {reason}"));
            failed = Some(reason);
        }
        for ticket in batch {
            if failed.is_none() {
                feeds.synced(ticket.lane, ticket.last_change, ticket.heartbeat);
            }
            for reply in ticket.replies {
                reply(failed.clone().map_or(Ok(()), Err));
            }
        }
    }
    feeds.close();
}
