//! What is known to have brought other ZeroMQ servers down.

use std::time::Duration;

use descartes_transport_zmq::zmtp::SocketType;
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    runtime::Handle,
    task::JoinSet,
    time::{sleep, timeout},
};

use crate::{
    fake::{BULK, PATIENCE},
    server::{Server, call},
};

/// RFC 23, "The Greeting": signature, version 3.0, NULL, not a server.
fn greeting() -> Vec<u8> {
    let mut greeting = vec![0xff, 0, 0, 0, 0, 0, 0, 0, 1, 0x7f, 3, 0];
    greeting.extend(b"NULL\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0");
    greeting.resize(64, 0);
    greeting
}

/// READY of a DEALER, with an identity if there is one.
fn ready(identity: &[u8]) -> Vec<u8> {
    let mut body = b"\x05READY".to_vec();
    let members = [(&b"Socket-Type"[..], &b"DEALER"[..]), (b"Identity", identity)];
    for (name, value) in members.into_iter().filter(|(_, value)| !value.is_empty()) {
        body.push(u8::try_from(name.len()).unwrap());
        body.extend(name);
        body.extend(u32::try_from(value.len()).unwrap().to_be_bytes());
        body.extend(value);
    }
    [&[4, u8::try_from(body.len()).unwrap()][..], &body].concat()
}

/// A frame of one message, with a length that is true.
fn frame(body: &[u8]) -> Vec<u8> {
    [&[2][..], &(body.len() as u64).to_be_bytes(), body].concat()
}

struct Raw(TcpStream);

impl Raw {
    async fn open(server: &Server) -> Self {
        Self(TcpStream::connect(server.address).await.unwrap())
    }

    async fn shaken(server: &Server, identity: &[u8]) -> Self {
        let mut raw = Self::open(server).await;
        raw.write(&[greeting(), ready(identity)].concat()).await;
        raw
    }

    /// Writes; the server may have hung up before all is written.
    async fn write(&mut self, bytes: &[u8]) {
        let written = timeout(PATIENCE, self.0.write_all(bytes)).await;
        drop(written.expect("the server reads, or hangs up"));
    }

    /// Everything until the server hangs up.
    async fn rest(&mut self) -> Vec<u8> {
        let mut heard = Vec::new();
        let read = timeout(PATIENCE, self.0.read_to_end(&mut heard)).await;
        drop(read.expect("the server hangs up"));
        heard
    }

    /// Reads until these bytes have come.
    async fn hears(&mut self, wanted: &[u8]) {
        let mut heard = Vec::new();
        while !heard.windows(wanted.len()).any(|bytes| bytes == wanted) {
            let read = timeout(PATIENCE, self.0.read_buf(&mut heard)).await;
            assert!(read.expect("in time").unwrap() > 0, "{heard:?}");
        }
    }
}

/// Kibibytes of this process that are in memory.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_ascii_whitespace().nth(1).unwrap().parse().unwrap()
}

/// How many tasks live here, where each connection is one.
fn tasks() -> usize {
    Handle::current().metrics().num_alive_tasks()
}

/// Waits until what was begun for connections has ended.
async fn leaves_no_task(before: usize) {
    let ended = timeout(PATIENCE, async {
        while tasks() > before {
            sleep(Duration::from_millis(1)).await;
        }
    });
    assert!(ended.await.is_ok(), "{} tasks, {before} before", tasks());
}

/// Far more than other tests of this process use meanwhile, far less than what is announced.
const GROWTH: u64 = 512 << 10;

#[tokio::test]
async fn a_length_that_is_announced_costs_nothing() {
    let server = Server::start().await;
    let mut good = server.dealer().await;
    let (before, tasks) = (resident(), tasks());
    for length in [256_u64 << 30, 17 << 40, u64::MAX >> 1, u64::MAX] {
        for flags in [2_u8, 3, 6] {
            let header = [&[flags][..], &length.to_be_bytes(), &[7; 100]].concat();
            // Instead of READY, and after it.
            for shaken in [greeting(), [greeting(), ready(b"")].concat()] {
                let mut raw = Raw::open(&server).await;
                raw.write(&[&shaken[..], &header].concat()).await;
                drop(raw.0.shutdown().await);
                drop(raw.rest().await);
            }
        }
    }
    assert!(resident() < before + GROWTH, "{} KiB", resident() - before);
    assert_eq!(good.ask(1, "echo", "{}").await, json!({}));
    leaves_no_task(tasks).await;
    server.stop().await;
}

#[tokio::test]
async fn silent_sockets_make_room_for_those_that_speak() {
    let server = Server::start().await;
    let mut good = server.dealer().await;
    let tasks = tasks();
    let mut silent = Vec::new();
    for _ in 0..500 {
        silent.push(Raw::open(&server).await);
    }
    // The oldest are cut by number alone: nobody's time is over yet.
    for raw in &mut silent[..200] {
        drop(raw.rest().await);
    }
    assert_eq!(good.ask(1, "echo", "{}").await, json!({}));
    assert_eq!(server.dealer().await.ask(1, "echo", "{}").await, json!({}));
    drop(silent);
    leaves_no_task(tasks).await;
    server.stop().await;
}

#[tokio::test]
async fn a_handshake_that_trickles_is_cut_by_its_deadline() {
    let short = Duration::from_millis(200);
    let server = Server::start_with(|config| config.zmtp.handshake = short).await;
    let mut raw = Raw::open(&server).await;
    let (mut reading, mut writing) = raw.0.split();
    let trickle = async {
        for byte in greeting().chunks(1).cycle() {
            if writing.write_all(byte).await.is_err() {
                break;
            }
            sleep(short / 4).await;
        }
    };
    let mut heard = Vec::new();
    let cut = async { drop(reading.read_to_end(&mut heard).await) };
    timeout(PATIENCE, futures_util::future::select(Box::pin(trickle), Box::pin(cut)))
        .await
        .unwrap();
    server.stop().await;
}

#[tokio::test]
async fn what_breaks_the_protocol_ends_its_connection_alone() {
    let server = Server::start().await;
    let mut good = server.dealer().await;
    let tasks = tasks();
    let endless = [1, 1, b'x'].repeat(20 << 20);
    for bytes in [
        // Reserved flags, a command with more, a ping without a body.
        &b"\x08\x01x"[..],
        b"\x80\x01x",
        b"\x05\x05\x04PING",
        b"\x04\x05\x04PING",
        &endless,
    ] {
        let mut raw = Raw::shaken(&server, b"").await;
        raw.write(bytes).await;
        drop(raw.rest().await);
    }
    assert_eq!(good.ask(1, "echo", "{}").await, json!({}));
    leaves_no_task(tasks).await;
    server.stop().await;
}

#[tokio::test]
async fn the_same_identity_twice_is_two_peers() {
    let server = Server::start().await;
    let mut first = Raw::shaken(&server, b"victim").await;
    first.write(&frame(&call(1, "held", "{}"))).await;
    drop(server.stage.begun.acquire().await.unwrap());
    let mut second = Raw::shaken(&server, b"victim").await;
    second.write(&frame(&call(2, "echo", "[\"second\"]"))).await;
    second.hears(b"[\"second\"]").await;
    server.stage.release.add_permits(1);
    first.hears(b"\"released\"").await;
    server.stop().await;
}

#[tokio::test]
async fn a_stuck_peer_delays_nobody_and_keeps_little() {
    let server = Server::start().await;
    let before = resident();
    // It subscribes to what never ends, asks for far more than it is sent, and reads nothing.
    let mut stuck = Raw::shaken(&server, b"").await;
    stuck.write(&frame(&call(0, "flood", "{}"))).await;
    let asking = tokio::spawn(async move {
        let calls: Vec<u8> = (1..200).flat_map(|id| frame(&call(id, "bulk", "{}"))).collect();
        for _ in 0..500 {
            if stuck.0.write_all(&calls).await.is_err() {
                break;
            }
        }
        stuck
    });
    let mut others = JoinSet::new();
    for _ in 0..40 {
        let mut other = server.connect(SocketType::Dealer).await;
        others.spawn(async move {
            for id in 0..50 {
                let bulk = other.ask(id, "bulk", "{}").await;
                assert_eq!(bulk.as_str().unwrap().len(), BULK);
            }
        });
    }
    timeout(PATIENCE, others.join_all()).await.unwrap();
    assert!(!asking.is_finished(), "it was read although it reads nothing");
    assert!(resident() < before + GROWTH, "{} KiB", resident() - before);
    asking.abort();
    server.stop().await;
}

#[tokio::test]
async fn a_peer_that_takes_nothing_is_cut() {
    let server = Server::start_with(|config| {
        config.limits.stall = Duration::from_secs(1);
    })
    .await;
    let mut stuck = Raw::shaken(&server, b"").await;
    stuck.write(&frame(&call(0, "flood", "{}"))).await;
    // The call that is held shows that the connection has gone: its end is the peer's.
    let mut good = server.dealer().await;
    let served = timeout(PATIENCE, async {
        // Reads nothing, only looks whether the connection is still there.
        while stuck.0.write_all(&frame(&call(1, "bulk", "{}"))).await.is_ok() {
            assert_eq!(good.ask(1, "echo", "{}").await, json!({}));
        }
    });
    served.await.unwrap();
    server.stop().await;
}
