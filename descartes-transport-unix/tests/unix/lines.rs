//! One line in, one line out.

use std::{io, sync::Arc, time::Duration};

use descartes_transport_unix::{
    BindError, Credentials, CredentialsLookup, UnixConfig, UnixTransport,
};
use tokio::{net::UnixStream, sync::Semaphore};

use crate::server::{Server, call};

#[tokio::test]
async fn pipelined_calls_are_answered_in_order() {
    let server = Server::start().await;
    let mut talk = server.connect().await;
    let calls: String = (0..500).map(|id| call(id, "echo", &format!("[{id}]"))).collect();
    talk.send(calls).await;
    for id in 0..500 {
        let expected = format!("{{\"jsonrpc\":\"2.0\",\"id\":{id},\"result\":[{id}]}}");
        assert_eq!(talk.line().await.unwrap(), expected);
    }
    server.stop().await;
}

#[tokio::test]
async fn a_connection_for_each_call_works_too() {
    let server = Server::start().await;
    for id in 0..50 {
        let mut talk = server.connect().await;
        talk.send(call(id, "echo", "[]")).await;
        assert!(talk.line().await.unwrap().ends_with("[]}"));
    }
    server.stop().await;
}

#[tokio::test]
async fn rubbish_and_oversize_do_not_end_a_connection() {
    let server = Server::start().await;
    let mut talk = server.connect().await;
    talk.send("nonsense\n\n[]\n").await;
    assert_eq!(talk.code().await, Some(-32700));
    assert_eq!(talk.code().await, Some(-32600));
    talk.send(call(1, "echo", &format!("[\"{}\"]", "x".repeat(1 << 20)))).await;
    assert_eq!(talk.code().await, Some(-32011));
    talk.send(call(2, "none", "[]")).await;
    assert_eq!(talk.code().await, Some(-32601));
    talk.send(call(3, "echo", "[3]")).await;
    assert_eq!(talk.line().await.unwrap(), "{\"jsonrpc\":\"2.0\",\"id\":3,\"result\":[3]}");
    server.stop().await;
}

#[tokio::test]
async fn a_line_without_end_is_cut() {
    let server = Server::start().await;
    let stream = UnixStream::connect(&server.path).await.unwrap();
    let block = vec![b'x'; 1 << 20];
    let mut sent = 0_usize;
    // The server reads it away up to its bound and then closes.
    while sent < 64 << 20 {
        stream.writable().await.unwrap();
        match stream.try_write(&block) {
            Ok(bytes) => sent += bytes,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(_) => break,
        }
    }
    assert!(sent < 64 << 20);
    server.stop().await;
}

#[tokio::test]
async fn a_subscription_is_answered_before_its_events() {
    // The stream of this service ends with its connection only.
    let server = Server::start_with(|config| config.drain = Duration::from_millis(50)).await;
    let mut talk = server.connect().await;
    talk.send(call(1, "event.subscribe", "{}")).await;
    assert!(talk.line().await.unwrap().contains("\"id\":1"));
    for at in 0..3 {
        let line = talk.line().await.unwrap();
        assert!(line.contains(&format!("\"event\":{at}")), "{line}");
    }
    drop(talk);
    server.stop().await;
}

/// A kernel that says the same of every peer.
#[derive(Debug)]
struct Says(Option<u32>);

impl CredentialsLookup for Says {
    fn of(&self, _: &UnixStream) -> io::Result<Credentials> {
        let uid = self.0.ok_or(io::ErrorKind::PermissionDenied)?;
        Ok(Credentials { uid, pid: None })
    }
}

#[tokio::test]
async fn another_user_gets_one_refusal_and_nothing_else() {
    for says in [Some(1001), None] {
        let server = Server::start_with(|config| {
            config.own_uid = 1000;
            config.credentials = Arc::new(Says(says));
        })
        .await;
        let mut talk = server.connect().await;
        assert_eq!(talk.code().await, Some(-32001));
        assert_eq!(talk.line().await, None);
        server.stop().await;
    }
}

#[tokio::test]
async fn root_and_the_same_user_are_known_by_the_kernels_word() {
    for says in [0, 1000] {
        let server = Server::start_with(|config| {
            config.own_uid = 1000;
            config.credentials = Arc::new(Says(Some(says)));
        })
        .await;
        let mut talk = server.connect().await;
        talk.send(call(1, "whoami", "[]")).await;
        assert!(talk.line().await.unwrap().contains(&format!("uid: {says}")));
        server.stop().await;
    }
    let server = Server::start().await;
    let mut talk = server.connect().await;
    talk.send(call(1, "whoami", "[]")).await;
    let line = talk.line().await.unwrap();
    assert!(line.contains(&format!("pid: Some({})", std::process::id())), "{line}");
    server.stop().await;
}

#[tokio::test]
async fn when_everything_is_full_the_reserve_still_lets_the_owner_in() {
    let server = Server::start_with(|config| {
        config.connections = Arc::new(Semaphore::new(0));
        config.reserved_connections = 1;
    })
    .await;
    let mut first = server.connect().await;
    first.send(call(1, "echo", "[]")).await;
    assert!(first.line().await.is_some());
    let mut second = server.connect().await;
    assert_eq!(second.code().await, Some(-32007));
    assert_eq!(second.line().await, None);
    server.stop().await;
}

#[tokio::test]
async fn a_shutdown_waits_for_answers_but_not_for_idle_connections() {
    let mut server = Server::start().await;
    let mut idle = server.connect().await;
    let mut busy = server.connect().await;
    busy.send(call(1, "held", "[]")).await;
    drop(server.stage.begun.acquire().await);
    server.begin_stop();
    assert_eq!(idle.line().await, None);
    server.stage.release.add_permits(1);
    assert!(busy.line().await.unwrap().contains("released"));
    assert_eq!(busy.line().await, None);
    server.stop().await;
}

#[tokio::test]
async fn a_shutdown_ends_although_an_answer_does_not() {
    let server = Server::start_with(|config| config.drain = Duration::from_millis(50)).await;
    let mut busy = server.connect().await;
    busy.send(call(1, "held", "[]")).await;
    drop(server.stage.begun.acquire().await);
    server.stop().await;
    assert_eq!(busy.line().await, None);
}

#[tokio::test]
async fn a_held_socket_is_told_from_other_troubles() {
    let server = Server::start().await;
    let held = UnixTransport::bind(UnixConfig::new(&server.path)).unwrap_err();
    assert!(matches!(&held, BindError::InUse { path } if *path == server.path));
    let mut talk = server.connect().await;
    talk.send(call(1, "echo", "[]")).await;
    assert!(talk.line().await.is_some(), "the holder is not disturbed");
    server.stop().await;
}
