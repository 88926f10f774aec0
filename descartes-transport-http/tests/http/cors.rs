//! Pages of other origins: the configured ones may call and read, the others may not.

use crate::server::{Answer, Server, get, post, post_with};

const ECHO: &str = r#"{"jsonrpc":"2.0","id":7,"method":"echo","params":{"a":1}}"#;
const CONSOLE: &str = "https://console.example";

async fn server() -> Server {
    Server::start_with(|config| {
        config.options = std::mem::take(&mut config.options).allow_origin(CONSOLE);
    })
    .await
}

fn from_page(request: &str, origin: &str) -> String {
    request.replacen("\r\n", &format!("\r\nOrigin: {origin}\r\n"), 1)
}

fn preflight(path: &str, origin: &str) -> String {
    let ask = "Access-Control-Request-Method: POST\r\nAccess-Control-Request-Headers: content-type";
    let request = get(path).replacen("GET", "OPTIONS", 1);
    from_page(&request, origin).replacen("\r\n", &format!("\r\n{ask}\r\n"), 1)
}

fn readable_by(answer: &Answer) -> Option<&str> {
    answer.field("access-control-allow-origin")
}

#[tokio::test]
async fn a_page_of_a_configured_origin_may_call_and_read_every_answer() {
    let server = server().await;
    for (request, status) in [
        (post(ECHO), 200),
        (post("nonsense"), 400),
        (post(ECHO).replace("application/json", "text/plain"), 415),
        (get("/"), 200),
        (get("/health"), 200),
        (get("/openrpc.json"), 200),
        (get("/nothing"), 404),
        (get("/rpc"), 405),
        (get("/events?topics=a"), 400),
    ] {
        let answer = server.ask(from_page(&request, CONSOLE)).await;
        assert_eq!(answer.status, status, "{request}");
        assert_eq!(readable_by(&answer), Some(CONSOLE), "{request}");
        assert_eq!(answer.field("vary"), Some("origin"), "{request}");
        assert_eq!(answer.field("access-control-allow-credentials"), None, "{request}");
    }
    let mut stream = server.connect().await;
    stream.send(from_page(&get("/events?topic=agent/a"), CONSOLE)).await;
    let head = stream.until("\r\n\r\n").await;
    assert!(head.contains(&format!("access-control-allow-origin: {CONSOLE}\r\n")), "{head}");
    drop(stream);
    server.stop().await;
}

#[tokio::test]
async fn a_page_of_a_configured_origin_may_ask_before_it_sends() {
    let server = server().await;
    for (path, methods) in
        [("/", "GET, HEAD, POST"), ("/rpc", "POST"), ("/events", "GET"), ("/health", "GET, HEAD")]
    {
        let answer = server.ask(preflight(path, CONSOLE)).await;
        assert_eq!((answer.status, answer.body.as_str()), (204, ""), "{path}");
        assert_eq!(readable_by(&answer), Some(CONSOLE), "{path}");
        assert_eq!(answer.field("access-control-allow-methods"), Some(methods), "{path}");
        let sent = answer.field("access-control-allow-headers").unwrap_or_default();
        for name in ["content-type", "authorization", "x-api-key", "last-event-id"] {
            assert!(sent.contains(name), "{path}: {sent}");
        }
    }
    assert_eq!(server.ask(preflight("/nothing", CONSOLE)).await.status, 404);
    server.stop().await;
}

#[tokio::test]
async fn a_page_of_any_other_origin_is_told_nothing() {
    let server = server().await;
    for origin in ["https://evil.example", "http://console.example", "null", "*"] {
        for request in [post(ECHO), get("/events?topic=agent/a"), preflight("/", origin)] {
            let request =
                if request.contains("Origin") { request } else { from_page(&request, origin) };
            let answer = server.ask(&request).await;
            assert_eq!(answer.status, 403, "{request}");
            assert_eq!(readable_by(&answer), None, "{request}");
        }
        let answer = server.ask(from_page(&get("/health"), origin)).await;
        assert_eq!(
            (answer.status, readable_by(&answer)),
            (200, None),
            "one word, not for the page"
        );
    }
    let twice = format!("Origin: {CONSOLE}\r\nOrigin: {CONSOLE}\r\n");
    let answer = server.ask(post_with(&twice, ECHO)).await;
    assert_eq!((answer.status, readable_by(&answer)), (403, None));
    let answer = server.ask(post(ECHO)).await;
    assert_eq!(
        (answer.status, readable_by(&answer)),
        (200, None),
        "a program asks for no such word"
    );
    server.stop().await;
}

#[tokio::test]
async fn without_a_configured_origin_nobody_is_told_anything() {
    let server = Server::start().await;
    for request in [preflight("/", "http://localhost"), from_page(&post(ECHO), "http://localhost")]
    {
        let answer = server.ask(&request).await;
        let told = answer.head.to_lowercase().contains("access-control");
        assert!(!told && answer.field("vary").is_none(), "{}", answer.head);
    }
    let own = server.ask(preflight("/", "http://localhost")).await;
    assert_eq!(own.status, 405, "a page of this server needs no permission");
    server.stop().await;
}
