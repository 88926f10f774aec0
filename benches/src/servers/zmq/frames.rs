//! Our own ZMTP without a conversation: accepted, admitted, and every message sent back.

use std::net::SocketAddr;

use descartes_rpc::same_user::{KernelLookup, PeerSocket, UidLookup, is_admitted};
use descartes_transport_zmq::zmtp::{Received, SocketType, ZmtpSocket};
use futures_util::{SinkExt, StreamExt};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};

use crate::client::zmq::limits;

/// A ROUTER behind the rule of the same user, which is asked once for a connection.
pub(super) async fn echo() -> anyhow::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    super::listening(Some(listener.local_addr()?))?;
    tokio::spawn(async move {
        loop {
            let (stream, peer) = listener.accept().await?;
            if may_come_in(&stream, peer)? {
                tokio::spawn(serve(stream));
            }
        }
        #[expect(unreachable_code, reason = "says what the block fails with")]
        anyhow::Ok(())
    });
    Ok(())
}

fn may_come_in(stream: &TcpStream, peer: SocketAddr) -> anyhow::Result<bool> {
    stream.set_nodelay(true)?;
    let owner = KernelLookup.uid_of(&PeerSocket::new(peer, stream.local_addr()?))?;
    Ok(owner.is_some_and(|uid| is_admitted(uid, rustix::process::geteuid().as_raw())))
}

async fn serve(stream: TcpStream) -> anyhow::Result<()> {
    send_back(ZmtpSocket::accept(stream, SocketType::Router, limits()).await?).await
}

/// Sends everything back until the peer leaves; what is due goes out when nothing more comes.
///
/// # Errors
/// When the connection is lost.
pub async fn send_back<IO>(mut socket: ZmtpSocket<IO>) -> anyhow::Result<()>
where
    IO: AsyncRead + AsyncWrite + Unpin,
{
    while let Some(received) = socket.next().await {
        if let Received::Message(message) = received? {
            socket.feed(message).await?;
        }
    }
    Ok(())
}
