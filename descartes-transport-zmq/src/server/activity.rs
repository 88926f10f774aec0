//! How much a conversation has under way, so that one with nothing can give way.

use std::{
    convert::Infallible,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, ready},
};

use descartes_rpc::{
    message::{Notification, Reply, Request},
    service::RpcService,
};
use futures_core::Stream;
use pin_project_lite::pin_project;
use tower::Service;

/// Counts the calls and streams that are under way.
#[derive(Clone, Debug, Default)]
pub(super) struct Activity(Arc<AtomicUsize>);

impl Activity {
    /// Whether nothing is under way.
    pub(super) fn is_none(&self) -> bool {
        self.0.load(Ordering::Relaxed) == 0
    }

    fn begin(&self) -> UnderWay {
        self.0.fetch_add(1, Ordering::Relaxed);
        UnderWay(self.clone())
    }
}

/// One call or stream; over when this is dropped.
#[derive(Debug)]
struct UnderWay(Activity);

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A service whose calls, and the streams that follow them, are counted.
#[derive(Clone, Debug)]
pub(super) struct Counted<S> {
    service: S,
    activity: Activity,
}

impl<S> Counted<S> {
    pub(super) const fn new(service: S, activity: Activity) -> Self {
        Self { service, activity }
    }
}

impl<S: RpcService> Service<Request> for Counted<S> {
    type Response = Reply;
    type Error = Infallible;
    type Future = Counting<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.service.poll_ready(cx)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let under_way = Some(self.activity.begin());
        Counting { call: self.service.call(request), under_way }
    }
}

pin_project! {
    /// A call that is counted.
    pub(super) struct Counting<F> {
        #[pin]
        call: F,
        under_way: Option<UnderWay>,
    }
}

impl<F: Future<Output = Result<Reply, Infallible>>> Future for Counting<F> {
    type Output = Result<Reply, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let Ok(mut reply) = ready!(this.call.poll(cx));
        let under_way = this.under_way.take();
        reply.notifications =
            reply.notifications.map(|stream| -> descartes_rpc::message::NotificationStream {
                Box::pin(CountedStream { stream, _under_way: under_way })
            });
        Poll::Ready(Ok(reply))
    }
}

/// A stream that is counted.
struct CountedStream<T> {
    stream: T,
    _under_way: Option<UnderWay>,
}

impl<T: Stream<Item = Notification> + Unpin> Stream for CountedStream<T> {
    type Item = Notification;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Notification>> {
        Pin::new(&mut self.stream).poll_next(cx)
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use descartes_rpc::{
        connection::Connection,
        message::{Id, NotificationStream, Response, Text},
        peer::Peer,
    };
    use futures_util::{FutureExt, StreamExt, stream};

    use super::*;

    #[test]
    fn a_call_counts_until_it_is_answered_and_its_stream_until_it_is_dropped() {
        let service = tower::service_fn(|request: Request| async move {
            if &*request.method == "never" {
                std::future::pending::<()>().await;
            }
            let notifications: Option<NotificationStream> =
                (&*request.method == "stream").then(|| stream::pending().boxed());
            let response = Response { id: Id::Null, outcome: Ok(Bytes::from_static(b"1")) };
            Ok::<_, Infallible>(Reply { response: Some(response), notifications })
        });
        let activity = Activity::default();
        let mut counted = Counted::new(service, activity.clone());
        let request = |method: &'static str| {
            Request::new(Text::from(method), Peer::new("test"), Connection::default())
        };
        let call = counted.call(request("plain"));
        assert!(!activity.is_none());
        drop(call.now_or_never().unwrap());
        assert!(activity.is_none());

        let never = counted.call(request("never"));
        assert!(!activity.is_none());
        drop(never);
        assert!(activity.is_none());

        let reply = counted.call(request("stream")).now_or_never().unwrap().unwrap();
        assert!(!activity.is_none());
        drop(reply);
        assert!(activity.is_none());
    }
}
