//! The one answer that a peer gets which is not served.

use std::io;

use bytes::Bytes;
use descartes_rpc::{
    error::RpcError,
    message::{Id, Response},
};
use futures_util::{SinkExt, StreamExt};
use tokio::time::timeout;

use crate::{
    limits::REFUSAL_WAIT,
    msgpack::from_json,
    server::{
        admission::Stranger,
        envelope::{Codec, open},
        gate::Wire,
    },
    zmtp::{Received, ZmtpSocket},
};

/// Waits for the first message, says there why it is not served, and closes.
///
/// A ROUTER has nobody to speak to before it is spoken to; and a peer that is cut without word
/// connects again for ever and never learns why.
pub(super) async fn refuse<IO: Wire>(
    mut socket: ZmtpSocket<IO>,
    stranger: Stranger,
) -> io::Result<()> {
    let told = timeout(REFUSAL_WAIT, async {
        while let Some(received) = socket.next().await {
            if let Received::Message(message) = received? {
                let opened = open(message);
                let answer = malformed(opened.codec, stranger.error());
                socket.send(opened.envelope.around(answer)).await?;
                return socket.close().await;
            }
        }
        Ok(())
    });
    told.await.unwrap_or(Ok(()))
}

/// The answer, in its language, to a message of which nothing can be attributed.
pub(super) fn malformed(codec: Codec, error: RpcError) -> Bytes {
    let json = Response::failed(Id::Null, error).encode();
    match codec {
        Codec::Json => json,
        Codec::MsgPack | Codec::Agent => from_json(&json).unwrap_or(json),
    }
}
