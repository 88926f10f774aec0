//! WebSockets: credentials with the handshake or after it, and the codes that say why one was closed.

use serde_json::{Value, json};

use super::{guarded, token};
use crate::rig::Caller;
use crate::rig::daemon::Daemon;
use crate::rig::websocket::WebSocket;

/// Upgrades, sends all of `messages`, and hears everything until the daemon closes: the texts, and
/// the code of the close frame.
fn talk(daemon: &Daemon, authorization: Option<&str>, messages: &[Value]) -> (Vec<Value>, u16) {
    let headers: Vec<_> = authorization.map(|value| ("Authorization", value)).into_iter().collect();
    let upgraded = WebSocket::connect(daemon.http_address(), &headers);
    let mut socket = upgraded.unwrap_or_else(|reply| panic!("{}", reply.text()));
    for message in messages {
        socket.send(message).expect("the daemon reads");
    }
    let said = std::iter::from_fn(|| socket.next()).collect();
    (said, socket.code.expect("the daemon says why it ends"))
}

fn call(id: u32, method: &str, params: &Value) -> Value {
    json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params})
}

#[test]
fn a_websocket_is_closed_with_a_code_that_says_why() {
    let daemon = guarded();
    let (said, code) = talk(&daemon, Some("Bearer x"), &[call(1, "auth.whoami", &json!({}))]);
    assert_eq!((said.len(), code), (0, 4401));
    let denied = json!({"topics": ["audit"], "types": ["audit.denied"]});
    let page = daemon.socket().ok("event.read", denied);
    let peer = page["events"][0]["data"]["peer"].as_str();
    assert!(peer.is_some_and(|peer| peer.starts_with("http 127.0.0.1:")), "{page}");

    let short = || token(&daemon, json!({"sub": "ann", "scopes": ["agent:read"], "ttl_secs": 5}));
    let bearer = format!("Bearer {}", short());
    let (said, code) = talk(&daemon, Some(&bearer), &[call(1, "auth.whoami", &json!({}))]);
    assert_eq!(said[0]["result"]["principal"], "ann");
    assert_eq!(code, 4403);

    let login = call(2, "auth.login", &json!({"token": short()}));
    let who = |id| call(id, "auth.whoami", &json!({}));
    let (mut said, code) = talk(&daemon, None, &[who(1), login, who(3)]);
    said.sort_by_key(|answer| answer["id"].as_u64());
    assert_eq!(said[0]["error"]["code"], -32001);
    assert_eq!(said[1]["result"]["principal"], "ann");
    assert_eq!(said[2]["result"]["principal"], "ann");
    assert_eq!(code, 4403);
}
