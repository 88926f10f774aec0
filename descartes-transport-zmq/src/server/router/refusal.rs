//! Answers to what is not served.

use std::{
    convert::Infallible,
    future::{Ready, ready},
    io,
    task::{Context, Poll},
};

use bytes::Bytes;
use descartes_rpc::{
    connection::answer,
    error::RpcError,
    message::{Id, Reply, Request, Response},
    peer::Peer,
    same_user::Stranger,
};
use futures_util::{FutureExt, SinkExt, StreamExt};
use tokio::time::timeout;
use tower::Service;

use crate::{
    limits::REFUSAL_WAIT,
    msgpack::{from_json, to_json},
    protocol,
    server::{
        TRANSPORT,
        envelope::{Codec, Opened, is_probe, open},
        gate::Wire,
    },
    zmtp::{Received, ZmtpSocket},
};

/// Waits for the first message that can be answered, says there why it is not served, and closes.
///
/// A ROUTER has nobody to speak to before it is spoken to; and a peer that is cut without word
/// connects again for ever and never learns why.
pub(super) async fn refuse<IO: Wire>(
    mut socket: ZmtpSocket<IO>,
    stranger: Stranger,
    max: usize,
) -> io::Result<()> {
    let told = timeout(REFUSAL_WAIT, async {
        while let Some(received) = socket.next().await {
            let Received::Message(message) = received? else { continue };
            if is_probe(&message) {
                continue;
            }
            let Opened { envelope, codec, body, .. } = open(message);
            if let Some(answer) = refused(codec, &body, &stranger.error(), max) {
                socket.send(envelope.around(answer)).await?;
                return socket.close().await;
            }
        }
        Ok(())
    });
    told.await.unwrap_or(Ok(()))
}

/// The answer to a message that could be served, and is not: it names the calls that are refused.
/// Nothing is said to notifications.
pub(super) fn refused(codec: Codec, body: &Bytes, error: &RpcError, max: usize) -> Option<Bytes> {
    let json = match codec {
        Codec::Json => body.clone(),
        Codec::Agent => return Some(protocol::refusal(body, error)),
        Codec::MsgPack => match to_json(body, max) {
            Ok(json) => json,
            Err(broken) => return Some(malformed(codec, body, &broken.answer())),
        },
    };
    // The service is ready at once, and so is its answer.
    let answered = answer(Refusing(error.clone()), Peer::new(TRANSPORT), json).now_or_never();
    let said = answered.and_then(|answer| answer.body)?;
    Some(if codec == Codec::Json { said } else { packed(&said) })
}

/// The answer to a message of which nothing can be attributed.
pub(super) fn malformed(codec: Codec, body: &[u8], error: &RpcError) -> Bytes {
    let json = || Response::failed(Id::Null, error.clone()).encode();
    match codec {
        Codec::Json => json(),
        Codec::MsgPack => packed(&json()),
        Codec::Agent => protocol::refusal(body, error),
    }
}

/// An answer in MessagePack.
pub(super) fn packed(said: &Bytes) -> Bytes {
    from_json(said).unwrap_or_else(|error| {
        let error = RpcError::internal(&error);
        let told = Response::failed(Id::Null, error).encode();
        from_json(&told).unwrap_or(told)
    })
}

/// A service that does nothing but refuse.
#[derive(Clone, Debug)]
struct Refusing(RpcError);

impl Service<Request> for Refusing {
    type Response = Reply;
    type Error = Infallible;
    type Future = Ready<Result<Reply, Infallible>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request) -> Self::Future {
        ready(Ok(Reply::failed(request.id, self.0.clone())))
    }
}
