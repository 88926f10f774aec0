//! A journal that has the same event again and again, and nothing to do for it.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use descartes_rpc::connection::SubscriptionTicket;
use descartes_rpc::message::{
    Id, Notification, NotificationStream, Reply, Request, Response, Text,
};
use futures_util::{StreamExt, stream};
use tokio::sync::watch;
use tower::Service;

use super::Flood;

/// What it has of a message: its topic, the space and the text around its filling.
const AROUND: &str = r#"t {"cursor":"c","seq":1,"topic":"t","data":""}"#;

/// Answers `event.subscribe`.
#[derive(Clone)]
pub(super) struct Constant {
    event: Bytes,
    flood: Flood,
    opened: Arc<watch::Sender<usize>>,
}

impl Constant {
    pub(super) fn new(flood: Flood) -> Self {
        let filling = "x".repeat(flood.bytes.saturating_sub(AROUND.len()));
        let event = format!(r#"{{"cursor":"c","seq":1,"topic":"t","data":"{filling}"}}"#);
        Self { event: event.into(), flood, opened: Arc::default() }
    }

    /// At once that all is told, and everything when all are there.
    fn notifications(&self, ticket: SubscriptionTicket) -> NotificationStream {
        let (flood, mut opened) = (self.flood, self.opened.subscribe());
        let cursor = Text::from_static("c");
        let subscription_id = Text::default();
        let synced = Notification::Synced {
            subscription_id: subscription_id.clone(),
            cursor: cursor.clone(),
        };
        let event = Notification::Event { subscription_id, cursor, event: self.event.clone() };
        let begun = stream::once(async move {
            // The sender is there as long as the service.
            drop(opened.wait_for(|opened| *opened >= flood.subscribers).await);
            synced
        });
        let events = stream::repeat(event).take(flood.messages);
        let rest = stream::once(async move {
            let _ticket = ticket;
            std::future::pending().await
        });
        begun.chain(events).chain(rest).boxed()
    }
}

impl Service<Request> for Constant {
    type Response = Reply;
    type Error = Infallible;
    type Future = Ready<Result<Reply, Infallible>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let id = request.id.unwrap_or(Id::Null);
        ready(Ok(match request.connection.open_subscription() {
            Ok(ticket) => {
                let result = format!(r#"{{"subscription_id":"{}"}}"#, ticket.id());
                let notifications = Some(self.notifications(ticket));
                self.opened.send_modify(|opened| *opened += 1);
                Reply { response: Some(Response { id, outcome: Ok(result.into()) }), notifications }
            }
            Err(error) => Reply::failed(Some(id), error),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_as_long_as_was_asked_for() {
        let flood = Flood { bytes: 64, messages: 1, subscribers: 1 };
        assert_eq!("t ".len() + Constant::new(flood).event.len(), 64);
    }
}
