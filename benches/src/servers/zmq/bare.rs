//! The bare `zeromq` crate.

use bytes::Bytes;
use tokio::time::{MissedTickBehavior, interval};
use zeromq::{
    Endpoint, PubSocket, RouterSocket, Socket, SocketRecv, SocketSend, XPubSocket, ZmqMessage,
};

use super::{Bursts, Flood};

const ANY: &str = "tcp://127.0.0.1:0";

fn listening(place: &Endpoint) -> std::io::Result<()> {
    let place = place.to_string();
    crate::servers::listening(place.trim_start_matches("tcp://"))
}

fn message(bytes: usize) -> ZmqMessage {
    ZmqMessage::from(Bytes::from(vec![b'x'; bytes]))
}

pub(super) async fn echo() -> anyhow::Result<()> {
    let mut socket = RouterSocket::new();
    listening(&socket.bind(ANY).await?)?;
    tokio::spawn(async move {
        while let Ok(message) = socket.recv().await {
            if socket.send(message).await.is_err() {
                // Whoever asked is gone.
            }
        }
    });
    Ok(())
}

/// XPUB, which waits for who is slow: PUB would keep everything for it.
pub(super) async fn flood(flood: Flood) -> anyhow::Result<()> {
    let mut socket = XPubSocket::new();
    listening(&socket.bind(ANY).await?)?;
    tokio::spawn(async move {
        for _ in 0..flood.subscribers {
            socket.recv().await?;
        }
        let message = message(flood.bytes);
        for _ in 0..flood.messages {
            socket.send(message.clone()).await?;
        }
        // Dropped, it would cut who has not read all yet.
        std::future::pending::<anyhow::Result<()>>().await
    });
    Ok(())
}

pub(super) async fn bursts(bursts: Bursts, bytes: usize) -> anyhow::Result<()> {
    let mut socket = PubSocket::new();
    listening(&socket.bind(ANY).await?)?;
    tokio::spawn(async move {
        let mut ticks = interval(bursts.every());
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let message = message(bytes);
        loop {
            ticks.tick().await;
            for _ in 0..bursts.burst {
                socket.send(message.clone()).await?;
            }
        }
        #[expect(unreachable_code, reason = "says what the block fails with")]
        anyhow::Ok(())
    });
    Ok(())
}
