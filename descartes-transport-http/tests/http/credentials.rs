//! Keys and tokens: what they are worth on which connection, and what is done without.

use std::{io, sync::Arc, time::Duration};

use descartes_rpc::auth::{AuthSettings, Authenticator, Secret};
use descartes_transport_http::{HttpConfig, PeerSocket, UidLookup};

use crate::server::{Answer, Server, get, post};

const WHOAMI: &str = r#"{"jsonrpc":"2.0","id":1,"method":"whoami"}"#;
const KEY: &str = "a key of this test of some length";

/// A kernel that says the same of every socket.
#[derive(Debug)]
struct Says(Option<u32>);

impl UidLookup for Says {
    fn uid_of(&self, _: &PeerSocket) -> io::Result<Option<u32>> {
        Ok(self.0)
    }
}

fn auth(required: bool) -> Authenticator {
    let mut settings = AuthSettings::default();
    settings.required = required;
    settings.api_key = Some(Secret::new(KEY));
    Authenticator::new(settings)
}

/// A server whose callers are of this user's or of another's, as the kernel says.
async fn server(required: bool, same_user: bool) -> Server {
    Server::start_with(|config: &mut HttpConfig| {
        config.options.auth = Some(auth(required));
        config.uid_lookup = Arc::new(Says(Some(config.own_uid + u32::from(!same_user))));
    })
    .await
}

async fn asked(server: &Server, field: &str) -> Answer {
    let field = if field.is_empty() { String::new() } else { format!("{field}\r\n") };
    server.ask(post(WHOAMI).replace("Host", &format!("{field}Host"))).await
}

#[tokio::test]
async fn what_a_connection_lacks_its_credentials_make_up_for() {
    let bearer = format!("Authorization: Bearer {KEY}");
    let key = format!("X-API-Key: {KEY}");
    let forwarded = "X-Forwarded-For: 192.0.2.1";
    for (required, same_user, field, expected) in [
        (false, true, "", Ok("local")),
        (false, true, &*bearer, Ok("api_key")),
        (false, true, "Authorization: Bearer x", Err(401)),
        (false, true, "Authorization: Bearer a.b.c", Err(401)),
        (false, true, "Authorization: Bearer", Err(401)),
        (false, true, "Authorization: x", Err(401)),
        (false, true, "Authorization: Token x", Err(401)),
        (false, true, "X-API-Key: x", Err(401)),
        (false, true, "X-API-Key:", Err(401)),
        (false, true, &format!("{key}\r\n{bearer}"), Err(401)),
        (false, true, &format!("Authorization: Basic YTpi\r\n{key}"), Err(401)),
        // What browsers and proxies send by themselves is meant for somebody else.
        (false, true, "Authorization: Basic YTpi", Ok("local")),
        (false, false, "Authorization: Basic YTpi", Err(401)),
        (false, true, forwarded, Err(401)),
        (false, true, &format!("{forwarded}\r\n{bearer}"), Ok("api_key")),
        (false, true, &format!("{forwarded}\r\nX-API-Key: x"), Err(401)),
        (false, false, "", Err(401)),
        (false, false, &bearer, Ok("api_key")),
        (false, false, &key, Ok("api_key")),
        (false, false, "X-API-Key: x", Err(401)),
        (true, true, "", Err(401)),
        (true, true, &bearer, Ok("api_key")),
        (true, true, &key, Ok("api_key")),
        (true, true, "Authorization: Bearer x", Err(401)),
        (true, true, "Authorization: Basic YTpi", Err(401)),
        (true, true, &format!("{key}\r\n{bearer}"), Err(401)),
        (true, false, &bearer, Ok("api_key")),
        (true, false, "", Err(401)),
    ] {
        let server = server(required, same_user).await;
        let answer = asked(&server, field).await;
        let told = format!("{required} {same_user} {field}: {answer:?}");
        match expected {
            Ok(name) => {
                assert_eq!(answer.status, 200, "{told}");
                assert!(answer.body.contains(name), "{told}");
            }
            Err(status) => {
                assert_eq!((answer.status, answer.code()), (status, Some(-32001)), "{told}");
                let head = answer.head.to_ascii_lowercase();
                assert!(head.contains("www-authenticate: bearer realm=\"descartes\""), "{told}");
            }
        }
        server.stop().await;
    }
}

#[tokio::test]
async fn probes_are_answered_whatever_credentials_they_bring_and_a_websocket_is_told() {
    let server = server(false, true).await;
    for (path, body) in [("/health", "OK"), ("/ready", "READY")] {
        let answer = server.ask(get(path).replace("Host", "X-API-Key: x\r\nHost")).await;
        assert_eq!((answer.status, &*answer.body), (200, body), "{path}");
    }
    for path in ["/", "/events"] {
        let answer = server.ask(get(path).replace("Host", "X-API-Key: x\r\nHost")).await;
        assert_eq!(answer.status, 401, "{path}: {answer:?}");
    }
    assert_eq!(server.close_code("X-API-Key: x\r\n").await, Some(4401));
    server.stop().await;
}

#[tokio::test]
async fn a_page_of_another_name_gets_in_only_with_credentials_that_are_needed() {
    let rebound = format!("X-API-Key: {KEY}\r\nHost: evil.example");
    let of = |required, key: &'static str| {
        let rebound = rebound.replace(KEY, key);
        async move {
            let server = server(required, true).await;
            let request = post(WHOAMI).replace("Host: localhost", &rebound);
            let status = server.ask(request).await.status;
            server.stop().await;
            status
        }
    };
    assert_eq!(of(true, KEY).await, 200);
    assert_eq!(of(true, "x").await, 401);
    assert_eq!((of(false, KEY).await, of(false, "x").await), (421, 421));
}

#[tokio::test]
async fn however_many_have_failed_who_has_credentials_gets_in_afterwards() {
    let server = Arc::new(server(true, true).await);
    let flood: Vec<_> = (0..60)
        .map(|_| {
            let server = Arc::clone(&server);
            tokio::spawn(async move { asked(&server, "X-API-Key: x").await })
        })
        .collect();
    let (mut refused, mut unheard) = (0, 0);
    for answer in flood {
        let answer = answer.await.unwrap();
        match answer.status {
            401 => refused += 1,
            429 => {
                unheard += 1;
                assert!(answer.head.to_ascii_lowercase().contains("retry-after: 1"), "{answer:?}");
                assert_eq!(answer.code(), Some(-32011));
            }
            other => panic!("{other}: {answer:?}"),
        }
    }
    // How many are heard depends on how fast this machine is; the first always are.
    assert!(refused >= 8, "{refused} refused, {unheard} unheard");
    let answer = asked(&server, &format!("X-API-Key: {KEY}")).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(server.ask(get("/health")).await.body, "OK");
}

#[tokio::test]
async fn a_websocket_without_credentials_has_a_while_to_log_in() {
    for (required, same_user, code) in [(true, true, 4408), (false, false, 4408)] {
        let server = Server::start_with(|config| {
            config.options.auth = Some(auth(required));
            config.options.limits.login = Duration::from_millis(50);
            config.uid_lookup = Arc::new(Says(Some(config.own_uid + u32::from(!same_user))));
        })
        .await;
        assert_eq!(server.close_code("").await, Some(code), "{required} {same_user}");
        assert_eq!(server.close_code("X-API-Key: x\r\n").await, Some(4401));
        server.stop().await;
    }
    let server = Server::start_with(|config| {
        config.uid_lookup = Arc::new(Says(Some(config.own_uid + 1)));
    })
    .await;
    assert_eq!(server.close_code("").await, Some(4401), "nobody could log in");
    server.stop().await;
}
