//! Who gets anything at all.

use std::{
    io,
    sync::Arc,
    time::{Duration, Instant},
};

use descartes_transport_http::{BindError, HttpConfig, HttpTransport, PeerSocket, UidLookup};

use crate::server::{Server, get, post};

const WHOAMI: &str = r#"{"jsonrpc":"2.0","id":1,"method":"whoami"}"#;

/// A kernel that says the same of every socket.
#[derive(Debug)]
struct Says(Option<u32>);

impl UidLookup for Says {
    fn uid_of(&self, _: &PeerSocket) -> io::Result<Option<u32>> {
        Ok(self.0)
    }
}

#[tokio::test]
async fn the_same_user_is_known_by_the_kernels_word() {
    let server = Server::start().await;
    let answer = server.ask(post(WHOAMI)).await;
    let own = HttpConfig::new("127.0.0.1:0".parse().unwrap()).own_uid;
    assert!(answer.body.contains(&format!("local Some({own})")), "{}", answer.body);
    server.stop().await;
}

#[tokio::test]
async fn another_user_gets_one_word_from_probes_and_nothing_else() {
    let other = HttpConfig::new("127.0.0.1:0".parse().unwrap()).own_uid + 1;
    for (says, trust_loopback) in [(Some(other), true), (None, true), (Some(other - 1), false)] {
        let server = Server::start_with(|config| {
            config.uid_lookup = Arc::new(Says(says));
            config.trust_loopback = trust_loopback;
        })
        .await;
        for request in [
            post(WHOAMI),
            post(WHOAMI).replace("Host", "Authorization: Bearer x\r\nHost"),
            get("/"),
            get("/events?topic=agent/"),
            get("/openrpc.json"),
            get("/nothing"),
            post(WHOAMI).replace("application/json", "text/plain"),
        ] {
            let answer = server.ask(&request).await;
            assert_eq!((answer.status, answer.code()), (401, Some(-32001)), "{request}");
        }
        assert_eq!(server.ask(get("/health")).await.body, "OK");
        assert_eq!(server.ask(get("/ready")).await.body, "READY");
        server.stop().await;
    }
}

#[tokio::test]
async fn another_users_connections_give_way_although_they_asked_for_health() {
    let server = Server::start_with(|config| {
        config.uid_lookup = Arc::new(Says(None));
        config.options.limits.newcomers = 1;
    })
    .await;
    let mut first = server.connect().await;
    first.send(get("/health")).await;
    assert_eq!(first.answer().await.body, "OK");
    let mut second = server.connect().await;
    second.send(get("/health")).await;
    assert_eq!(second.answer().await.body, "OK");
    assert_eq!(first.rest().await, "");
    server.stop().await;
}

#[tokio::test]
async fn root_is_known_like_the_same_user() {
    let server = Server::start_with(|config| {
        config.own_uid = 4711;
        config.uid_lookup = Arc::new(Says(Some(0)));
    })
    .await;
    assert!(server.ask(post(WHOAMI)).await.body.contains("Some(0)"));
    server.stop().await;
}

#[tokio::test]
async fn a_taken_port_is_told_at_once() {
    let server = Server::start().await;
    let taken = HttpTransport::bind(HttpConfig::new(server.address)).await.unwrap_err();
    assert!(matches!(&taken, BindError::InUse { address } if *address == server.address));
    assert!(taken.to_string().contains(&server.address.port().to_string()));
    server.stop().await;
}

#[tokio::test]
async fn a_burst_of_connections_waits_for_nobody() {
    let kernels = std::fs::read_to_string("/proc/sys/net/core/somaxconn").unwrap();
    let burst = kernels.trim().parse::<usize>().unwrap().min(1_000) / 2;
    let config = HttpConfig::new("127.0.0.1:0".parse().unwrap());
    let transport = HttpTransport::bind(config).await.unwrap();
    let connect = tokio::net::TcpStream::connect(transport.local_addr());
    drop(connect.await.unwrap());
    let began = Instant::now();
    let mut all = Vec::new();
    for _ in 0..burst {
        all.push(tokio::net::TcpStream::connect(transport.local_addr()).await.unwrap());
    }
    // The kernel asks again after a second, then after two more, when there is no room.
    assert!(began.elapsed() < Duration::from_secs(5), "{:?} for {burst}", began.elapsed());
}
