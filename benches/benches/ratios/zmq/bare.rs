//! The bare `zeromq` crate on both ends.

use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::runtime::Runtime;
use zeromq::{
    DealerSocket, PullSocket, PushSocket, RepSocket, ReqSocket, RouterSocket, Socket, SocketRecv,
    SocketSend, SubSocket, XPubSocket, ZmqMessage,
};

use super::{Load, WINDOW, taken};

const ANY: &str = "tcp://127.0.0.1:0";

fn message(load: Load) -> ZmqMessage {
    ZmqMessage::from(Bytes::from(vec![7; load.bytes]))
}

pub(super) fn pipelined(runtime: &Runtime, load: Load) -> anyhow::Result<Duration> {
    runtime.block_on(async {
        let mut server = RouterSocket::new();
        let place = server.bind(ANY).await?;
        let server = tokio::spawn(async move {
            while let Ok(message) = server.recv().await {
                server.send(message).await?;
            }
            anyhow::Ok(())
        });
        let mut client = DealerSocket::new();
        client.connect(&place.to_string()).await?;
        let client = tokio::spawn(async move {
            let message = message(load);
            let (mut sent, mut come, began) = (0, 0, Instant::now());
            while come < load.messages {
                while sent < load.messages && sent - come < WINDOW {
                    client.send(message.clone()).await?;
                    sent += 1;
                }
                while come < sent && (sent - come > WINDOW / 2 || sent == load.messages) {
                    client.recv().await?;
                    come += 1;
                }
            }
            taken(began, come, load)
        });
        let taken = client.await?;
        server.abort();
        taken
    })
}

pub(super) fn round_trip(runtime: &Runtime, load: Load) -> anyhow::Result<Duration> {
    runtime.block_on(async {
        let mut server = RepSocket::new();
        let place = server.bind(ANY).await?;
        let server = tokio::spawn(async move {
            while let Ok(message) = server.recv().await {
                server.send(message).await?;
            }
            anyhow::Ok(())
        });
        let mut client = ReqSocket::new();
        client.connect(&place.to_string()).await?;
        let client = tokio::spawn(async move {
            let message = message(load);
            let (mut come, began) = (0, Instant::now());
            while come < load.messages {
                client.send(message.clone()).await?;
                client.recv().await?;
                come += 1;
            }
            taken(began, come, load)
        });
        let taken = client.await?;
        server.abort();
        taken
    })
}

pub(super) fn one_way(runtime: &Runtime, load: Load) -> anyhow::Result<Duration> {
    runtime.block_on(async {
        let mut client = PullSocket::new();
        let place = client.bind(ANY).await?;
        let mut server = PushSocket::new();
        server.connect(&place.to_string()).await?;
        deliver(server, client, load).await
    })
}

/// XPUB, because PUB has no bound: what it is given faster than it is taken fills the memory.
pub(super) fn published(runtime: &Runtime, load: Load) -> anyhow::Result<Duration> {
    runtime.block_on(async {
        let mut server = XPubSocket::new();
        let place = server.bind(ANY).await?;
        let mut client = SubSocket::new();
        client.connect(&place.to_string()).await?;
        client.subscribe("").await?;
        server.recv().await?;
        deliver(server, client, load).await
    })
}

async fn deliver<S, C>(mut server: S, mut client: C, load: Load) -> anyhow::Result<Duration>
where
    S: SocketSend + Send + 'static,
    C: SocketRecv + Send + 'static,
{
    let began = Instant::now();
    let server = tokio::spawn(async move {
        let message = message(load);
        for _ in 0..load.messages {
            server.send(message.clone()).await?;
        }
        anyhow::Ok(server)
    });
    let client = tokio::spawn(async move {
        let mut come = 0;
        while come < load.messages {
            client.recv().await?;
            come += 1;
        }
        taken(began, come, load)
    });
    let taken = client.await?;
    server.await??;
    taken
}
