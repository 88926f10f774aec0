//! A subscription, as its reader holds it.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_core::Stream;

use super::ClientError;
use super::feed::Updates;
use super::follower::Line;
use crate::wire::event::{EndReason, Event};
use crate::wire::output::Gap;

/// One step of a subscription.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Update {
    /// Something happened.
    Event(Event),
    /// History has been delivered; what follows is live. Comes once, also when the connection is
    /// lost and made again.
    Synced {
        /// The position reached.
        cursor: String,
    },
    /// A part of a topic's history is no longer kept.
    Gap(Gap),
    /// The subscription ended at the daemon's side; nothing follows.
    ///
    /// A stop of the daemon (`shutdown`) or a fault of its store (`store_error`) does not end a
    /// subscription: it goes on as after a lost connection. With
    /// [`Reconnect::restarts`](super::Reconnect::restarts) off, and in memory, where the service
    /// cannot come back, a stop is told here.
    Ended {
        /// Why.
        reason: EndReason,
        /// Where to go on.
        cursor: String,
    },
}

impl Update {
    /// The position to come back with after this update.
    #[must_use]
    pub fn cursor(&self) -> &str {
        match self {
            Self::Event(event) => &event.head().cursor,
            Self::Gap(gap) => &gap.cursor,
            Self::Synced { cursor } | Self::Ended { cursor, .. } => cursor,
        }
    }
}

/// Updates of a subscription, in order, without gap or duplicate through lost connections and
/// restarts of the daemon.
///
/// A reader that is slower than the daemon costs nobody anything: what does not fit into a small
/// queue (256 KiB) is read again later. An error is the last item: the connection could not be made
/// again within the bounds of [`Reconnect`](super::Reconnect), or the daemon will not open the
/// subscription again. Dropping it unsubscribes.
pub struct Subscription {
    updates: Updates,
    _line: Option<Line>,
    cursor: String,
}

impl Subscription {
    pub(super) fn new(updates: Updates, line: Option<Line>, cursor: String) -> Self {
        Self { updates, _line: line, cursor }
    }

    /// The position of the last update that was taken; where it began before the first.
    #[must_use]
    pub fn cursor(&self) -> &str {
        &self.cursor
    }

    /// The next update; `None` after the last.
    ///
    /// # Errors
    /// The connection was lost and could not be made again, or the daemon refuses to go on.
    pub async fn next(&mut self) -> Option<Result<Update, ClientError>> {
        std::future::poll_fn(|cx| self.poll(cx)).await
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Update, ClientError>>> {
        let polled = self.updates.poll(cx);
        if let Poll::Ready(Some(Ok(update))) = &polled {
            update.cursor().clone_into(&mut self.cursor);
        }
        polled
    }
}

impl Stream for Subscription {
    type Item = Result<Update, ClientError>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.get_mut().poll(cx)
    }
}

impl fmt::Debug for Subscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscription").field("cursor", &self.cursor).finish_non_exhaustive()
    }
}
