//! libzmq, by its usual binding: a thread that blocks, and libzmq's own thread for the sockets.

use std::thread;

use anyhow::Context as _;
use zmq::{Context, Message, SNDMORE, Socket, SocketType};

use super::{Bursts, Flood};
use crate::process::pause;

/// A socket that listens, which has been told.
fn listener(kind: SocketType) -> anyhow::Result<Socket> {
    let socket = Context::new().socket(kind)?;
    // No bound: a PUB drops what is beyond it, and nothing may be lost here.
    socket.set_sndhwm(0)?;
    socket.bind("tcp://127.0.0.1:*")?;
    Ok(socket)
}

fn told(socket: &Socket) -> anyhow::Result<()> {
    let place = socket.get_last_endpoint()?.ok().context("an address that is no text")?;
    Ok(crate::servers::listening(place.trim_start_matches("tcp://").trim_end_matches('\0'))?)
}

/// Sends every frame back, without a copy.
pub(super) fn echo() -> anyhow::Result<()> {
    let socket = listener(SocketType::ROUTER)?;
    told(&socket)?;
    thread::spawn(move || -> anyhow::Result<()> {
        loop {
            let frame = socket.recv_msg(0)?;
            let more = if frame.get_more() { SNDMORE } else { 0 };
            socket.send(frame, more)?;
        }
    });
    Ok(())
}

/// XPUB, since it says when somebody has subscribed; PUB is the same behind that.
pub(super) fn flood(flood: Flood) -> anyhow::Result<()> {
    let socket = listener(SocketType::XPUB)?;
    socket.set_xpub_verbose(true)?;
    told(&socket)?;
    thread::spawn(move || -> anyhow::Result<()> {
        for _ in 0..flood.subscribers {
            socket.recv_msg(0)?;
        }
        let body = vec![b'x'; flood.bytes];
        for _ in 0..flood.messages {
            socket.send(Message::from(&body[..]), 0)?;
        }
        // Dropped, it would cut who has not read all yet.
        loop {
            thread::park();
        }
    });
    Ok(())
}

pub(super) fn bursts(bursts: Bursts, bytes: usize) -> anyhow::Result<()> {
    let socket = listener(SocketType::PUB)?;
    told(&socket)?;
    thread::spawn(move || -> anyhow::Result<()> {
        let body = vec![b'x'; bytes];
        loop {
            pause(bursts.every());
            for _ in 0..bursts.burst {
                socket.send(Message::from(&body[..]), 0)?;
            }
        }
    });
    Ok(())
}
