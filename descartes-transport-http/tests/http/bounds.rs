//! Too much, too slow, too many.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::sync::Semaphore;

use crate::server::{Server, Talk, get, post, post_with};

const MAX: usize = 1 << 20;
const SHORT: Duration = Duration::from_millis(50);
/// Where somebody has to be answered first, on a machine that does other things too.
const LONGER: Duration = Duration::from_secs(1);
const ECHO: &str = r#"{"jsonrpc":"2.0","id":1,"method":"echo"}"#;

fn echo_of(bytes: usize) -> String {
    let around = r#"{"jsonrpc":"2.0","id":1,"method":"echo","params":[""]}"#;
    around.replace("[\"\"]", &format!("[\"{}\"]", "x".repeat(bytes - around.len())))
}

#[tokio::test]
async fn a_body_may_have_a_mebibyte_and_not_one_byte_more() {
    let server = Server::start().await;
    assert_eq!(server.ask(post(&echo_of(MAX))).await.status, 200);
    let answer = server.ask(post(&echo_of(MAX + 1))).await;
    assert_eq!((answer.status, answer.code()), (413, Some(-32011)));
    // Or a client would send its next call on a connection that is about to close.
    assert_eq!(answer.field("connection"), Some("close"));
    server.stop().await;
}

#[tokio::test]
async fn a_body_of_no_announced_length_is_bounded_too() {
    let server = Server::start().await;
    for (bytes, status) in [(MAX, 200), (MAX + 1, 413), (8 * MAX, 413)] {
        let body = echo_of(bytes);
        let head =
            post_with("Transfer-Encoding: chunked\r\n", "").replace("Content-Length: 0\r\n", "");
        let mut talk = server.connect().await;
        talk.send(head).await;
        for chunk in body.as_bytes().chunks(50_000) {
            talk.send_anyway(format!("{:x}\r\n", chunk.len())).await;
            talk.send_anyway(chunk).await;
            talk.send_anyway("\r\n").await;
        }
        talk.send_anyway("0\r\n\r\n").await;
        assert_eq!(talk.answer().await.status, status, "{bytes}");
    }
    server.stop().await;
}

#[tokio::test]
async fn an_announced_length_is_refused_before_the_body_comes() {
    let server = Server::start().await;
    let mut talk = server.connect().await;
    talk.send(post("").replace("Content-Length: 0", "Content-Length: 99999999999")).await;
    assert_eq!(talk.answer().await.status, 413);
    server.stop().await;
}

#[tokio::test]
async fn a_head_that_is_too_large_is_refused() {
    let server = Server::start().await;
    for head in [format!("X-Large: {}\r\n", "x".repeat(256 << 10)), "X-Many: x\r\n".repeat(1000)] {
        let mut talk = server.connect().await;
        talk.send_anyway(post_with(&head, ECHO)).await;
        let answer = talk.rest().await;
        assert!(answer.starts_with("HTTP/1.1 431") && answer.contains("-32600"), "{answer}");
    }
    let mut talk = server.connect().await;
    let token = format!("Authorization: Bearer {}\r\n", "x".repeat(1 << 20));
    talk.send_anyway(post_with(&token, ECHO)).await;
    let answer = talk.rest().await;
    assert!(answer.starts_with("HTTP/1.1 401") && answer.contains("-32001"), "{answer}");
    let mut talk = server.connect().await;
    talk.send_anyway(get(&format!("/{}", "x".repeat(256 << 10)))).await;
    assert!(!talk.rest().await.starts_with("HTTP/1.1 200"));
    assert_eq!(server.ask(post(ECHO)).await.status, 200);
    server.stop().await;
}

#[tokio::test]
async fn a_head_that_trickles_is_cut_at_its_deadline() {
    let server = Server::start_with(|config| config.options.limits.header_deadline = LONGER).await;
    let began = Instant::now();
    let mut silent = server.connect().await;
    let mut trickle = server.connect().await;
    trickle.send("POST / HT").await;
    let mut second = server.connect().await;
    second.send(post(ECHO)).await;
    assert_eq!(second.answer().await.status, 200);
    second.send("POST /").await;
    for talk in [&mut silent, &mut trickle, &mut second] {
        assert_eq!(talk.rest().await, "");
    }
    assert!(began.elapsed() >= LONGER);
    server.stop().await;
}

#[tokio::test]
async fn a_body_that_never_comes_is_cut_at_its_deadline() {
    let server = Server::start_with(|config| config.options.limits.body_deadline = SHORT).await;
    let mut talk = server.connect().await;
    talk.send(&post(ECHO)[..post(ECHO).len() - 1]).await;
    assert_eq!(talk.rest().await, "");
    server.stop().await;
}

#[tokio::test]
async fn an_idle_connection_ends_and_a_busy_one_does_not() {
    let server = Server::start_with(|config| {
        config.options.limits.idle_timeout = LONGER;
        config.options.limits.header_deadline = LONGER;
        config.options.limits.body_deadline = LONGER;
    })
    .await;
    let mut idle = server.connect().await;
    idle.send(post(ECHO)).await;
    assert_eq!(idle.answer().await.status, 200);
    let mut busy = server.connect().await;
    busy.send(post(&ECHO.replace("echo", "held"))).await;
    drop(tokio::time::timeout(crate::fake::PATIENCE, server.stage.begun.acquire()).await.unwrap());
    assert_eq!(idle.rest().await, "");
    // As long again as it took to close the idle one: the busy one has passed every deadline.
    let mut second = server.connect().await;
    assert_eq!(second.rest().await, "");
    server.stage.release.add_permits(1);
    assert_eq!(busy.answer().await.status, 200);
    server.stop().await;
}

#[tokio::test]
async fn a_peer_that_takes_nothing_is_cut() {
    let connections = Arc::new(Semaphore::new(1));
    let budget = Arc::clone(&connections);
    let server = Server::start_with(|config| {
        config.options.limits.stall_timeout = SHORT;
        config.connections = budget;
    })
    .await;
    let mut talk = server.connect().await;
    talk.send(post(&ECHO.replace("echo", "large"))).await;
    drop(server.stage.begun.acquire().await);
    // Its place is free again although it neither reads nor closes.
    let freed = tokio::time::timeout(crate::fake::PATIENCE, connections.acquire()).await;
    drop(freed.unwrap().unwrap());
    assert!(talk.rest().await.len() < 8 << 20);
    server.stop().await;
}

#[tokio::test]
async fn the_oldest_newcomer_gives_way() {
    let server = Server::start_with(|config| config.options.limits.newcomers = 3).await;
    let mut settled = server.connect().await;
    settled.send(post(ECHO)).await;
    assert_eq!(settled.answer().await.status, 200);
    let mut newcomers: Vec<Talk> = Vec::new();
    for _ in 0..4 {
        let mut talk = server.connect().await;
        talk.send("POST / HTTP/1.1\r\n").await;
        newcomers.push(talk);
    }
    assert_eq!(newcomers[0].rest().await, "");
    for talk in [&mut settled].into_iter().chain(newcomers.last_mut()) {
        talk.send(post(ECHO).trim_start_matches("POST / HTTP/1.1\r\n")).await;
    }
    assert_eq!(newcomers[3].answer().await.status, 200);
    server.stop().await;
}

#[tokio::test]
async fn beyond_the_budget_a_connection_is_refused_and_later_ones_are_served() {
    let connections = Arc::new(Semaphore::new(1));
    let budget = Arc::clone(&connections);
    let server = Server::start_with(|config| config.connections = budget).await;
    let mut first = server.connect().await;
    first.send(post(ECHO)).await;
    assert_eq!(first.answer().await.status, 200);
    let answer = server.ask(post(ECHO)).await;
    assert_eq!((answer.status, answer.code()), (503, Some(-32007)));
    // Also those that say nothing: a few that are waited for, and all the others.
    let mut silent = Vec::new();
    for _ in 0..20 {
        silent.push(server.connect().await);
    }
    for (at, talk) in silent.iter_mut().enumerate() {
        let words = talk.rest().await;
        assert!(words.starts_with("HTTP/1.1 503"), "{at}: {words:?}");
    }
    drop(first);
    drop(tokio::time::timeout(crate::fake::PATIENCE, connections.acquire()).await.unwrap());
    assert_eq!(server.ask(post(ECHO)).await.status, 200);
    server.stop().await;
}

#[tokio::test]
async fn a_shutdown_waits_for_answers_but_not_for_idle_connections() {
    let mut server = Server::start().await;
    let mut idle = server.connect().await;
    idle.send(post(ECHO)).await;
    assert_eq!(idle.answer().await.status, 200);
    let mut busy = server.connect().await;
    busy.send(post(&ECHO.replace("echo", "held"))).await;
    drop(server.stage.begun.acquire().await);
    server.begin_stop();
    assert_eq!(idle.rest().await, "");
    server.stage.release.add_permits(1);
    assert!(busy.answer().await.body.contains("released"));
    assert_eq!(busy.rest().await, "");
    server.stop().await;
}

#[tokio::test]
async fn a_shutdown_ends_although_an_answer_does_not() {
    let server = Server::start_with(|config| config.options.limits.drain = SHORT).await;
    let mut busy = server.connect().await;
    busy.send(post(&ECHO.replace("echo", "held"))).await;
    drop(server.stage.begun.acquire().await);
    server.stop().await;
    assert_eq!(busy.rest().await, "");
}
