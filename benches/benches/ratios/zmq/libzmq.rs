//! libzmq on both ends, by its usual binding: a thread and a context of its own for each.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use tokio::runtime::Runtime;
use zmq::{Context, Message, SNDMORE, Socket, SocketType};

use super::{Load, WINDOW, taken};

/// Two sockets that are connected, each with a context, and so a thread for its sockets, of its own.
fn pair(listens: SocketType, connects: SocketType) -> anyhow::Result<(Socket, Socket)> {
    let mut sockets = Vec::new();
    for kind in [listens, connects] {
        let socket = Context::new().socket(kind)?;
        // No bound: a PUB drops what is beyond it, and nothing may be lost here.
        socket.set_sndhwm(0)?;
        socket.set_rcvhwm(0)?;
        socket.set_linger(0)?;
        sockets.push(socket);
    }
    let (client, server) = sockets.pop().zip(sockets.pop()).context("two sockets")?;
    server.bind("tcp://127.0.0.1:*")?;
    let place = server.get_last_endpoint()?.ok().context("an address that is no text")?;
    client.connect(place.trim_end_matches('\0'))?;
    Ok((server, client))
}

/// Sends every frame of so many messages back, without a copy.
fn echo(server: &Socket, messages: usize) -> anyhow::Result<()> {
    for _ in 0..messages {
        loop {
            let frame = server.recv_msg(0)?;
            let more = frame.get_more();
            server.send(frame, if more { SNDMORE } else { 0 })?;
            if !more {
                break;
            }
        }
    }
    Ok(())
}

/// A server that echoes on a thread of its own while this one asks.
fn asked(
    (server, client): (Socket, Socket),
    load: Load,
    ask: impl FnOnce(&Socket) -> anyhow::Result<Duration>,
) -> anyhow::Result<Duration> {
    let server = thread::spawn(move || echo(&server, load.messages).map(|()| server));
    let taken = ask(&client)?;
    // Its socket lives until the client has everything.
    drop(server.join().map_err(|_panic| anyhow::anyhow!("the server panicked"))??);
    Ok(taken)
}

pub(super) fn pipelined(_runtime: &Runtime, load: Load) -> anyhow::Result<Duration> {
    asked(pair(SocketType::ROUTER, SocketType::DEALER)?, load, |client| {
        let body = vec![7; load.bytes];
        let (mut sent, mut come, began) = (0, 0, Instant::now());
        while come < load.messages {
            while sent < load.messages && sent - come < WINDOW {
                client.send(Message::from(&body[..]), 0)?;
                sent += 1;
            }
            while come < sent && (sent - come > WINDOW / 2 || sent == load.messages) {
                client.recv_msg(0)?;
                come += 1;
            }
        }
        taken(began, come, load)
    })
}

pub(super) fn round_trip(_runtime: &Runtime, load: Load) -> anyhow::Result<Duration> {
    asked(pair(SocketType::REP, SocketType::REQ)?, load, |client| {
        let body = vec![7; load.bytes];
        let (mut come, began) = (0, Instant::now());
        while come < load.messages {
            client.send(Message::from(&body[..]), 0)?;
            client.recv_msg(0)?;
            come += 1;
        }
        taken(began, come, load)
    })
}

/// XPUB, since it says when somebody has subscribed; PUB is the same behind that.
pub(super) fn published(_runtime: &Runtime, load: Load) -> anyhow::Result<Duration> {
    let (server, client) = pair(SocketType::XPUB, SocketType::SUB)?;
    client.set_subscribe(b"")?;
    server.recv_msg(0)?;
    let began = Instant::now();
    let server = thread::spawn(move || -> anyhow::Result<Socket> {
        let body = vec![7; load.bytes];
        for _ in 0..load.messages {
            server.send(Message::from(&body[..]), 0)?;
        }
        Ok(server)
    });
    let mut come = 0;
    while come < load.messages {
        client.recv_msg(0)?;
        come += 1;
    }
    let taken = taken(began, come, load);
    drop(server.join().map_err(|_panic| anyhow::anyhow!("the publisher panicked"))??);
    taken
}
