//! `ZmtpSocket` on both ends.

use std::time::{Duration, Instant};

use anyhow::Context;
use bytes::Bytes;
use descartes_benches::client::zmq::{ask, limits};
use descartes_benches::servers::send_back;
use descartes_transport_zmq::zmtp::{Multipart, SocketType, ZmtpSocket};
use futures_util::{SinkExt, StreamExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;

use super::{Load, WINDOW, taken};

/// Both ends of a connection.
async fn pair(
    server: SocketType,
    client: SocketType,
) -> anyhow::Result<(ZmtpSocket<TcpStream>, ZmtpSocket<TcpStream>)> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let connecting = TcpStream::connect(listener.local_addr()?);
    let (connected, accepted) = tokio::join!(connecting, listener.accept());
    let (connected, (accepted, _)) = (connected?, accepted?);
    connected.set_nodelay(true)?;
    accepted.set_nodelay(true)?;
    let limits = limits();
    let (accepted, connected) = tokio::join!(
        ZmtpSocket::accept(accepted, server, limits),
        ZmtpSocket::connect(connected, client, limits),
    );
    Ok((accepted?, connected?))
}

pub(super) fn pipelined(runtime: &Runtime, load: Load) -> anyhow::Result<Duration> {
    runtime.block_on(async {
        let (server, mut client) = pair(SocketType::Router, SocketType::Dealer).await?;
        let server = tokio::spawn(send_back(server));
        let client = tokio::spawn(async move {
            let question = Multipart::single(vec![7; load.bytes]);
            ask(&mut client, &question, load.messages, WINDOW).await
        });
        let taken = client.await?;
        server.await??;
        taken
    })
}

pub(super) fn round_trip(runtime: &Runtime, load: Load) -> anyhow::Result<Duration> {
    runtime.block_on(async {
        let (server, mut client) = pair(SocketType::Router, SocketType::Req).await?;
        let server = tokio::spawn(send_back(server));
        let client = tokio::spawn(async move {
            let frames = vec![Bytes::new(), Bytes::from(vec![7; load.bytes])];
            let (mut come, began) = (0, Instant::now());
            while come < load.messages {
                let message = Multipart::new(frames.clone()).context("there are frames")?;
                client.send(message).await?;
                client.next().await.context("cut")??;
                come += 1;
            }
            taken(began, come, load)
        });
        let taken = client.await?;
        server.await??;
        taken
    })
}

pub(super) fn one_way(runtime: &Runtime, load: Load) -> anyhow::Result<Duration> {
    runtime.block_on(async {
        let (mut publisher, mut client) = pair(SocketType::XPub, SocketType::Sub).await?;
        client.subscribe(b"")?;
        client.flush().await?;
        let began = Instant::now();
        let publisher = tokio::spawn(async move {
            publisher.next().await.context("no subscription")??;
            let body = Bytes::from(vec![7; load.bytes]);
            for _ in 0..load.messages {
                publisher.feed(Multipart::single(body.clone())).await?;
            }
            publisher.flush().await?;
            anyhow::Ok(publisher)
        });
        let client = tokio::spawn(async move {
            let mut come = 0;
            while come < load.messages {
                client.next().await.context("cut")??;
                come += 1;
            }
            taken(began, come, load)
        });
        let taken = client.await?;
        publisher.await??;
        taken
    })
}
