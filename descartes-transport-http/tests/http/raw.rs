//! One request in bytes, one answer: the whole table of what HTTP can say.

use crate::{
    fake::Stage,
    server::{Server, get, post, post_with},
};

const ECHO: &str = r#"{"jsonrpc":"2.0","id":7,"method":"echo","params":{"a":1}}"#;
const ECHOED: &str = r#"{"jsonrpc":"2.0","id":7,"result":{"a":1}}"#;

#[tokio::test]
async fn a_call_is_answered_on_both_paths() {
    let server = Server::start().await;
    for request in [post(ECHO), post(ECHO).replace("POST / ", "POST /rpc ")] {
        let answer = server.ask(request).await;
        assert_eq!((answer.status, answer.body.as_str()), (200, ECHOED));
        assert_eq!(answer.field("content-type"), Some("application/json"));
        assert_eq!(answer.field("descartes-api"), Some("1.0"));
        assert!(!answer.head.to_lowercase().contains("access-control"), "no CORS");
    }
    server.stop().await;
}

#[tokio::test]
async fn each_way_to_frame_a_body_gives_the_same_answer() {
    let server = Server::start().await;
    let head = "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n";
    let (first, second) = ECHO.split_at(10);
    let chunked = format!(
        "{head}Transfer-Encoding: chunked\r\n\r\n{:x}\r\n{first}\r\n{:x};note=1\r\n{second}\r\n0\r\nX-Trailer: 1\r\n\r\n",
        first.len(),
        second.len()
    );
    let closed = post_with("Connection: close\r\n", ECHO);
    for request in [chunked, closed, post_with("Expect: 100-continue\r\n", ECHO)] {
        let mut talk = server.connect().await;
        talk.send(&request).await;
        let mut answer = talk.answer().await;
        if answer.status == 100 {
            answer = talk.answer().await;
        }
        assert_eq!((answer.status, answer.body.as_str()), (200, ECHOED), "{request}");
    }
    server.stop().await;
}

#[tokio::test]
async fn pipelined_calls_are_answered_in_order() {
    let server = Server::start().await;
    let calls: String = (0..50)
        .map(|at| {
            post(&format!(r#"{{"jsonrpc":"2.0","id":{at},"method":"echo","params":[{at}]}}"#))
        })
        .collect();
    let mut talk = server.connect().await;
    talk.send(calls).await;
    for at in 0..50 {
        let expected = format!(r#"{{"jsonrpc":"2.0","id":{at},"result":[{at}]}}"#);
        assert_eq!(talk.answer().await.body, expected);
    }
    server.stop().await;
}

#[tokio::test]
async fn notifications_alone_are_answered_without_a_body() {
    let server = Server::start().await;
    let note = r#"{"jsonrpc":"2.0","method":"echo"}"#;
    for body in [note.to_owned(), format!("[{note},{note}]")] {
        let mut talk = server.connect().await;
        talk.send(post(&body)).await;
        let answer = talk.answer().await;
        assert_eq!((answer.status, answer.body.as_str()), (204, ""));
        talk.send(post(ECHO)).await;
        assert_eq!(talk.answer().await.body, ECHOED, "the connection is healthy");
    }
    server.stop().await;
}

#[tokio::test]
async fn what_is_not_json_rpc_at_all_is_a_bad_request() {
    let server = Server::start().await;
    for (body, status, code) in [
        ("", 400, -32700),
        ("{", 400, -32700),
        ("hello", 400, -32700),
        ("[]", 400, -32600),
        (r#"{"jsonrpc":"2.0","id":1,"method":"none"}"#, 200, -32601),
    ] {
        let answer = server.ask(post(body)).await;
        assert_eq!((answer.status, answer.code()), (status, Some(code)), "{body}");
    }
    server.stop().await;
}

#[tokio::test]
async fn every_refusal_has_its_status_and_its_code() {
    let server = Server::start().await;
    let get_with = |fields: &str| format!("GET / HTTP/1.1\r\n{fields}\r\n");
    for (request, status, code) in [
        (get_with(""), 400, -32600),
        (get_with("Host: localhost\r\nHost: localhost\r\n"), 400, -32600),
        (get_with("Host: localhost\r\nHost: evil.example\r\n"), 400, -32600),
        (get_with("Host: a b\r\n"), 400, -32600),
        (get_with("Host: evil.example\r\n"), 421, -32600),
        (get_with("Host: 0.0.0.0\r\n"), 421, -32600),
        ("GET http://evil.example/ HTTP/1.1\r\nHost: localhost\r\n\r\n".to_owned(), 421, -32600),
        (get_with("Host: localhost\r\nOrigin: http://evil.example\r\n"), 403, -32012),
        (get_with("Host: localhost\r\nOrigin: null\r\n"), 403, -32012),
        (get_with("Host: localhost\r\nX-Forwarded-For: 1.2.3.4\r\n"), 401, -32001),
        (get_with("Host: localhost\r\nForwarded: for=1.2.3.4\r\n"), 401, -32001),
        (get_with("Host: localhost\r\nVia: 1.1 proxy\r\n"), 401, -32001),
        (get("/nothing"), 404, -32600),
        (get("/rpc"), 405, -32600),
        (post(ECHO).replace("POST / ", "POST /events "), 405, -32600),
        (post(ECHO).replace("POST / ", "PUT / "), 405, -32600),
        (post(ECHO).replace("application/json", "text/plain"), 415, -32600),
        (post(ECHO).replace("Content-Type: application/json\r\n", ""), 415, -32600),
        (get("/events?topics=a"), 400, -32602),
        (get("/events?topic=a&tail=x"), 400, -32602),
    ] {
        let answer = server.ask(&request).await;
        assert_eq!((answer.status, answer.code()), (status, Some(code)), "{request}");
        assert_eq!(answer.field("content-type"), Some("application/json"), "{request}");
        assert_eq!(answer.field("descartes-api"), Some("1.0"), "{request}");
        assert_eq!(answer.field("allow").is_some(), status == 405, "{request}");
        assert_eq!(answer.field("x-content-type-options"), Some("nosniff"), "{request}");
        assert_eq!(answer.field("cross-origin-resource-policy"), Some("same-origin"), "{request}");
    }
    server.stop().await;
}

#[tokio::test]
async fn a_refused_request_does_not_end_a_healthy_connection() {
    let server = Server::start().await;
    let mut talk = server.connect().await;
    for _ in 0..3 {
        talk.send(post(ECHO).replace("application/json", "text/plain")).await;
        assert_eq!(talk.answer().await.status, 415);
        talk.send(post("nonsense")).await;
        assert_eq!(talk.answer().await.status, 400);
        talk.send(get("/nothing")).await;
        assert_eq!(talk.answer().await.status, 404);
        talk.send(post(ECHO)).await;
        assert_eq!(talk.answer().await.body, ECHOED);
    }
    server.stop().await;
}

#[tokio::test]
async fn credentials_make_any_type_json_and_own_pages_may_call() {
    let server = Server::start().await;
    for fields in ["Authorization: Bearer x\r\n", "X-API-Key: x\r\n"] {
        let request = post_with(fields, ECHO).replace("application/json", "text/plain");
        assert_eq!(server.ask(request).await.body, ECHOED, "{fields}");
    }
    let own = post_with("Origin: http://localhost\r\n", ECHO);
    assert_eq!(server.ask(own).await.body, ECHOED);
    server.stop().await;
}

#[tokio::test]
async fn the_pages_for_people_and_probes_say_what_they_should() {
    let server = Server::start().await;
    for (path, body) in [
        ("/health", "OK"),
        ("/ready", "READY"),
        ("/openrpc.json", r#"{"methods":[{"name":"echo"}]}"#),
        (
            "/",
            r#"{"name":"descartes-daemon","version":"9.9.9","methods":["echo"],"transports":[]}"#,
        ),
    ] {
        let answer = server.ask(get(path)).await;
        assert_eq!((answer.status, answer.body.as_str()), (200, body), "{path}");
    }
    let mut talk = server.connect().await;
    talk.send(get("/health").replace("GET", "HEAD")).await;
    assert_eq!(talk.until("\r\n\r\n").await.split(' ').nth(1), Some("200"));
    talk.send(get("/health")).await;
    assert_eq!(talk.answer().await.body, "OK", "HEAD has no body");
    server.stop().await;
}

#[tokio::test]
async fn readiness_names_the_check_that_fails_and_nothing_more() {
    let stage = Stage { ready: false, ..Stage::default() };
    let server = Server::start_on(stage, |_| {}).await;
    let answer = server.ask(get("/ready")).await;
    assert_eq!((answer.status, answer.body.as_str()), (503, "NOT READY: store"));
    assert_eq!(server.ask(get("/health")).await.body, "OK");
    server.stop().await;
}

#[tokio::test]
async fn what_is_not_http_is_closed_with_a_bad_request() {
    let server = Server::start().await;
    for bytes in ["\0\0\0\0\r\n\r\n", "GET\r\n\r\n", "hello there, daemon!\r\n\r\n"] {
        let mut talk = server.connect().await;
        talk.send(bytes).await;
        let answer = talk.rest().await;
        assert!(answer.starts_with("HTTP/1.1 400"), "{bytes:?}: {answer:?}");
    }
    for framing in [
        "Content-Length: 5\r\nContent-Length: 6\r\n",
        "Content-Length: -1\r\n",
        "Content-Length: x\r\n",
        "Transfer-Encoding: gzip\r\n",
    ] {
        let mut talk = server.connect().await;
        talk.send(post(ECHO).replace("Content-Length:", &format!("{framing}X:"))).await;
        let answer = talk.rest().await;
        assert!(answer.starts_with("HTTP/1.1 400"), "{framing}: {answer}");
    }
    assert_eq!(server.ask(post(ECHO)).await.body, ECHOED);
    server.stop().await;
}

#[tokio::test]
async fn a_body_that_breaks_off_harms_nobody_else() {
    let server = Server::start().await;
    let mut talk = server.connect().await;
    talk.send(&post(ECHO)[..post(ECHO).len() - 5]).await;
    drop(talk);
    let mut talk = server.connect().await;
    let head = "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n";
    talk.send(format!("{head}zz\r\n")).await;
    let answer = talk.rest().await;
    assert!(answer.starts_with("HTTP/1.1 400"), "{answer:?}");
    assert_eq!(server.ask(post(ECHO)).await.body, ECHOED);
    server.stop().await;
}

#[tokio::test]
async fn older_clients_and_ipv6_are_served_too() {
    let server = Server::start().await;
    let mut talk = server.connect().await;
    talk.send(post(ECHO).replace("HTTP/1.1", "HTTP/1.0")).await;
    assert!(talk.rest().await.ends_with(ECHOED), "HTTP/1.0 closes after its answer");
    server.stop().await;

    let listens = std::net::TcpListener::bind("[::1]:0").is_ok();
    if !listens {
        return;
    }
    let server = Server::start_with(|config| config.address = "[::1]:0".parse().unwrap()).await;
    for host in ["[::1]", "localhost"] {
        let answer = server.ask(post(ECHO).replace("Host: localhost", &format!("Host: {host}")));
        assert_eq!(answer.await.body, ECHOED, "{host}");
    }
    server.stop().await;
}

#[tokio::test]
async fn a_connection_for_each_call_works_too() {
    let server = Server::start().await;
    for _ in 0..50 {
        let mut talk = server.connect().await;
        talk.send(post_with("Connection: close\r\n", ECHO)).await;
        assert!(talk.rest().await.ends_with(ECHOED));
    }
    server.stop().await;
}
