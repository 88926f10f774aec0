//! A subscription, as the task that feeds it holds it.

use tokio::sync::mpsc;

use super::duplex::Command;
use super::{ClientError, Update};
use crate::wire::event::SubscribeParams;

/// Updates that wait for their reader; what does not fit is read again later.
pub(super) const QUEUED_UPDATES: usize = 64;

/// Where a feed's updates go.
pub(super) type Feed = mpsc::Sender<Result<Update, ClientError>>;

/// What must be known to begin a subscription again where it stands.
pub(super) struct Place {
    params: SubscribeParams,
    synced: bool,
}

impl Place {
    pub(super) fn new(params: SubscribeParams) -> Self {
        Self { params, synced: false }
    }

    /// The parameters that lead on from here.
    pub(super) fn params(&self) -> &SubscribeParams {
        &self.params
    }

    /// The daemon said where it begins. With `tail` only an update can say where it stands.
    pub(super) fn opened(&mut self, cursor: &str) {
        if self.params.tail.is_none() {
            self.params.after = Some(cursor.to_owned());
        }
    }

    /// Whether the reader has not been told yet.
    pub(super) fn wants(&self, update: &Update) -> bool {
        !(self.synced && matches!(update, Update::Synced { .. }))
    }

    /// The reader's queue has taken `update`, or will.
    pub(super) fn stands_after(&mut self, update: &Update) {
        self.synced |= matches!(update, Update::Synced { .. });
        self.params.tail = None;
        self.params.after = Some(update.cursor().to_owned());
    }
}

/// Keeps the connection's task for as long as the subscription lives, and tells it the end.
pub(super) struct Line {
    commands: mpsc::Sender<Command>,
    key: u64,
}

impl Line {
    pub(super) fn new(commands: mpsc::Sender<Command>, key: u64) -> Self {
        Self { commands, key }
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        // If the queue is full the feed notices with its next update.
        drop(self.commands.try_send(Command::Unfollow { key: self.key }));
    }
}
