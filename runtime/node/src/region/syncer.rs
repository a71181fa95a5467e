//! Makes commits durable, and only then tells anyone.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use syncline_applier::{Synced, sync};

use super::Shared;
use super::publisher::Feeds;

/// Tickets that wait for a sync. A thread that commits faster than the disk syncs waits here.
const TICKETS_MAX: usize = 1024;

/// What waits for a commit to be durable, with clients to be answered: durable, or why not.
pub(super) type Ticket = syncline_applier::Ticket<Reply>;

pub(super) type Reply = Box<dyn FnOnce(Result<(), String>) + Send>;

/// Hands tickets to the syncer's thread.
pub(super) fn tickets() -> (SyncSender<Ticket>, Receiver<Ticket>) {
    sync_channel(TICKETS_MAX)
}

/// Ends when all who commit have ended.
pub(super) fn run(shared: &Arc<Shared>, tickets: &Receiver<Ticket>, feeds: &Feeds) {
    // Also where this thread panics: whoever produces must not wait for it.
    let _closes = Closes(feeds);
    let mut failed = None;
    while let Ok(first) = tickets.recv() {
        let batch: Vec<Ticket> = std::iter::once(first).chain(tickets.try_iter()).collect();
        let replies: Vec<Reply> = if failed.is_some() {
            batch.into_iter().flat_map(|ticket| ticket.replies).collect()
        } else {
            let (Synced { durable, replies }, done) = sync(&shared.site.store, batch);
            if let Err(error) = done {
                shared.fail_in_store(error.to_string(), &error);
                failed = Some(error.to_string());
            }
            feeds.synced(durable);
            replies
        };
        for reply in replies {
            reply(failed.clone().map_or(Ok(()), Err));
        }
    }
}

struct Closes<'a>(&'a Feeds);

impl Drop for Closes<'_> {
    fn drop(&mut self) {
        self.0.close();
    }
}
