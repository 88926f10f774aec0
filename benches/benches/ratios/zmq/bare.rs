//! The bare `zeromq` crate on both ends.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::runtime::Runtime;
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};
use zeromq::{
    DealerSocket, PubSocket, PullSocket, PushSocket, RepSocket, ReqSocket, RouterSocket, Socket,
    SocketRecv, SocketSend, SubSocket, XPubSocket, ZmqMessage,
};

use super::{Load, WINDOW, taken};

const ANY: &str = "tcp://127.0.0.1:0";
/// How long PUB waits for its subscriber before it sends something that says nothing.
const NUDGE: Duration = Duration::from_millis(20);

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

/// Messages that PUB may be ahead of its subscriber, which it keeps in its own bounds.
const AHEAD: usize = 512;

/// PUB as it is usually used, held back by hand.
pub(super) fn published_by_the_window(runtime: &Runtime, load: Load) -> anyhow::Result<Duration> {
    runtime.block_on(async {
        let mut server = PubSocket::new();
        let place = server.bind(ANY).await?;
        let mut client = SubSocket::new();
        client.connect(&place.to_string()).await?;
        client.subscribe("").await?;
        // PUB does not say when somebody has subscribed.
        let first = message(Load { bytes: 1, ..load });
        loop {
            server.send(first.clone()).await?;
            if timeout(NUDGE, client.recv()).await.is_ok() {
                break;
            }
        }
        let room = Arc::new(Semaphore::new(AHEAD));
        let (taken_up, began) = (Arc::clone(&room), Instant::now());
        let server = tokio::spawn(async move {
            let message = message(load);
            let mut sent = 0;
            loop {
                let room = timeout(NUDGE, room.acquire()).await;
                if sent < load.messages
                    && let Ok(permit) = room
                {
                    permit?.forget();
                    server.send(message.clone()).await?;
                    sent += 1;
                    continue;
                }
                // PUB may miss that there is something to send until there is more of it.
                sleep(NUDGE).await;
                server.send(first.clone()).await?;
            }
            #[expect(unreachable_code, reason = "says what the block fails with")]
            anyhow::Ok(())
        });
        let client = tokio::spawn(async move {
            let mut come = 0;
            while come < load.messages {
                let received = client.recv().await?;
                if received.get(0).is_some_and(|frame| frame.len() == load.bytes) {
                    taken_up.add_permits(1);
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
