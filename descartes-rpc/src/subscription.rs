//! A subscription of core as the notifications of one reader.

use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use descartes_core::{
    approval::Attending,
    cursor::{Cursor, Position},
    event::Event,
    journal::{EventBatch, Item, Journal, Subscription},
};
use futures_core::Stream;
use futures_util::future::BoxFuture;
use tracing::Span;

use crate::{
    auth::{Over, Validity},
    connection::SubscriptionTicket,
    limits::LAST_EVENTS,
    message::{EndReason, Notification, Text},
};

/// How an event becomes JSON: `encode(event, its cursor)`, whose text begins with the cursor. Called
/// for the first reader only, see [`Event::encoded`].
pub(crate) type Encode = fn(&Event, &dyn Fn() -> Cursor) -> Bytes;

/// The notifications of one subscription: a position, and the batch that is being said.
///
/// Nothing is pulled from core before it is polled, so a reader that rests costs its position.
pub(crate) struct Notifications {
    journal: Journal,
    subscription: Subscription,
    ticket: SubscriptionTicket,
    encode: Encode,
    /// What is being said, and the index of the next of it.
    batch: Option<(EventBatch, usize)>,
    ended: bool,
    /// How many events it still tells when it is shut down.
    last: usize,
    /// Its reader may decide approvals that it is told of.
    attending: Option<Attending>,
    /// Ready when its reader is believed no longer; none when that never comes.
    over: Option<BoxFuture<'static, Over>>,
    /// The call that it was opened by, for the log.
    call: Span,
}

impl Notifications {
    pub(crate) fn new(
        journal: Journal,
        subscription: Subscription,
        ticket: SubscriptionTicket,
        encode: Encode,
    ) -> Self {
        Self {
            journal,
            subscription,
            ticket,
            encode,
            batch: None,
            ended: false,
            last: LAST_EVENTS,
            attending: None,
            over: None,
            call: Span::current(),
        }
    }

    /// The same, which ends when its reader's credentials do.
    pub(crate) fn valid_for(mut self, validity: &Validity) -> Self {
        if *validity != Validity::default() {
            let validity = validity.clone();
            self.over = Some(Box::pin(async move { validity.over().await }));
        }
        self
    }

    /// Ready when its reader is believed no longer, with the reason that it is told.
    fn poll_over(&mut self, cx: &mut Context<'_>) -> Poll<EndReason> {
        let Some(over) = &mut self.over else { return Poll::Pending };
        let over = std::task::ready!(over.as_mut().poll(cx));
        self.over = None;
        Poll::Ready(match over {
            Over::Expired => EndReason::TokenExpired,
            Over::Revoked => EndReason::Forbidden,
        })
    }

    /// The same, whose reader may decide what it is told of as long as this lives.
    pub(crate) fn attending(mut self, attending: Option<Attending>) -> Self {
        self.attending = attending;
        self
    }

    fn next_of_batch(&mut self) -> Option<Notification> {
        let (batch, place) = self.batch.as_mut()?;
        let Some(event) = batch.get(*place) else {
            self.batch = None;
            return None;
        };
        *place += 1;
        let encoded = (self.encode)(event, &|| self.journal.cursor(event.position));
        let cursor = cursor_of(&encoded);
        Some(Notification::Event { subscription_id: self.id(), cursor, event: encoded })
    }

    fn say(&mut self, item: Item) -> Option<Notification> {
        match item {
            Item::Events(batch) => {
                self.batch = Some((batch, 0));
                self.next_of_batch()
            }
            Item::Synced(cursor) => {
                Some(Notification::Synced { subscription_id: self.id(), cursor: text(cursor) })
            }
            Item::Gap(gap, cursor) => Some(Notification::Gap {
                subscription_id: self.id(),
                topic: gap.topic.as_str().into(),
                from_offset: gap.from_offset,
                to_offset: gap.to_offset,
                cursor: text(cursor),
            }),
            // What a later core says has no word on this wire yet.
            _ => None,
        }
    }

    fn end(&mut self, reason: EndReason) -> Notification {
        self.ended = true;
        let cursor = text(self.place());
        Notification::Ended { subscription_id: self.id(), reason, cursor }
    }

    /// The place behind what was said; the subscription itself stands behind the whole batch.
    fn place(&self) -> Cursor {
        let unsaid = self.batch.as_ref().and_then(|(batch, place)| batch.get(*place));
        unsaid.map_or_else(
            || self.subscription.cursor(),
            |event| self.journal.cursor(Position(event.position.0.saturating_sub(1))),
        )
    }

    fn id(&self) -> Text {
        self.ticket.id().clone()
    }
}

impl Stream for Notifications {
    type Item = Notification;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Notification>> {
        let this = &mut *self;
        if this.ended {
            return Poll::Ready(None);
        }
        let ended = this.ticket.poll_ended(cx);
        if let Poll::Ready(reason) = ended
            && (reason != EndReason::Shutdown || this.last == 0)
        {
            return Poll::Ready(Some(this.end(reason)));
        }
        if let Poll::Ready(reason) = this.poll_over(cx) {
            return Poll::Ready(Some(this.end(reason)));
        }
        match (this.poll_said(cx), ended) {
            (Poll::Pending, Poll::Ready(reason)) => Poll::Ready(Some(this.end(reason))),
            (said, Poll::Ready(_)) => {
                this.last -= 1;
                said
            }
            (said, Poll::Pending) => said,
        }
    }
}

impl Notifications {
    /// What comes next, as long as nobody ends it.
    fn poll_said(&mut self, cx: &mut Context<'_>) -> Poll<Option<Notification>> {
        loop {
            if let Some(notification) = self.next_of_batch() {
                return Poll::Ready(Some(notification));
            }
            let said = match std::task::ready!(self.subscription.poll_next(cx)) {
                Some(Ok(item)) => self.say(item),
                Some(Err(error)) => {
                    self.call.in_scope(|| tracing::warn!(%error, "a subscription cannot go on"));
                    Some(self.end(EndReason::StoreError))
                }
                None => Some(self.end(EndReason::Shutdown)),
            };
            if said.is_some() {
                return Poll::Ready(said);
            }
        }
    }
}

impl fmt::Debug for Notifications {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Notifications").field("ticket", &self.ticket).finish_non_exhaustive()
    }
}

fn text(cursor: Cursor) -> Text {
    cursor.to_string().into()
}

/// The cursor that an event's JSON begins with, sharing its bytes.
fn cursor_of(event: &Bytes) -> Text {
    const START: &[u8] = b"{\"cursor\":\"";
    if !event.starts_with(START) {
        return Text::default();
    }
    let length = memchr::memchr(b'"', &event[START.len()..]).unwrap_or_default();
    Text::from_utf8(event.slice(START.len()..START.len() + length)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cursor_is_read_from_the_head_of_the_event() {
        let event = Bytes::from_static(br#"{"cursor":"00c0ffee.1.42","seq":42}"#);
        assert_eq!(cursor_of(&event), "00c0ffee.1.42");
        assert_eq!(cursor_of(&Bytes::from_static(b"{}")), "");
    }
}
