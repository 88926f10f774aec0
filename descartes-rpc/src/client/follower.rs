//! A subscription, as the task that feeds it holds it.

use tokio::sync::mpsc;

use super::duplex::Command;
use super::{ClientError, Update};
use crate::wire::event::{EndReason, SubscribeParams, Subscribed};

/// What must be known to begin a subscription again where it stands.
pub(super) struct Place {
    params: SubscribeParams,
    synced: bool,
    /// Whether it goes on when the daemon stopped in order.
    restarts: bool,
}

/// What an update is to the subscription that it belongs to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Means {
    /// Its reader is told.
    News,
    /// Its reader knows already.
    Known,
    /// It has ended for a reason that passes: it is opened again.
    Break,
    /// Its reader is told, and nothing follows.
    End,
}

impl Place {
    pub(super) fn new(params: SubscribeParams, restarts: bool) -> Self {
        Self { params, synced: false, restarts }
    }

    /// The parameters that lead on from here.
    pub(super) fn params(&self) -> &SubscribeParams {
        &self.params
    }

    /// The daemon said what it follows and where it begins. With `tail` of many topics only an
    /// update can say where it stands.
    pub(super) fn opened(&mut self, subscribed: &Subscribed) {
        if let Some(topics) = &subscribed.topics {
            self.params.topics.clone_from(topics);
        }
        let one_topic = matches!(&self.params.topics[..], [topic] if !topic.ends_with('/'));
        if self.params.tail.is_none() || one_topic {
            self.params.tail = None;
            self.params.after = Some(subscribed.cursor.clone());
        }
    }

    /// What `update` is to this subscription.
    ///
    /// The daemon's stop passes unless it was said otherwise. A store that cannot be read may be
    /// readable again; the error of opening it again tells.
    pub(super) fn means(&self, update: &Update) -> Means {
        match update {
            Update::Synced { .. } if self.synced => Means::Known,
            Update::Ended { reason: EndReason::Shutdown, .. } if self.restarts => Means::Break,
            Update::Ended { reason: EndReason::StoreError, .. } => Means::Break,
            Update::Ended { .. } => Means::End,
            _ => Means::News,
        }
    }

    /// The daemon ended it at `cursor`, behind all that was said.
    pub(super) fn broke_at(&mut self, cursor: &str) {
        if !cursor.is_empty() {
            self.params.tail = None;
            self.params.after = Some(cursor.to_owned());
        }
    }

    /// The reader's queue takes `update`.
    pub(super) fn stands_after(&mut self, update: &Update) {
        self.synced |= matches!(update, Update::Synced { .. });
        self.params.tail = None;
        self.params.after = Some(update.cursor().to_owned());
    }
}

/// Why a subscription that its daemon ended, or will not open again, does not go on although the
/// reason may pass.
#[derive(Debug, thiserror::Error)]
#[error("the daemon ended the subscription, again and again")]
pub(super) struct EndedAgain;

/// Whether opening a subscription again may succeed later.
pub(super) fn passes(error: &ClientError) -> bool {
    matches!(error, ClientError::Rpc(error) if error.is_retryable())
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
        // If the queue is full the feed is found without a reader soon.
        drop(self.commands.try_send(Command::Unfollow { key: self.key }));
    }
}
