//! WebSockets: credentials with the handshake or after it, and the codes that say why one was closed.

use serde_json::{Value, json};

use super::{guarded, token};
use crate::rig::daemon::Daemon;
use crate::rig::websocket::{UPGRADE, text};

/// Upgrades, sends all of `messages`, and hears everything until the daemon closes: the texts, and
/// the code of the close frame.
fn talk(daemon: &Daemon, authorization: Option<&str>, messages: &[Value]) -> (Vec<Value>, u16) {
    let mut http = daemon.http();
    let mut headers = UPGRADE.to_vec();
    headers.extend(authorization.map(|value| ("Authorization", value)));
    let mut bytes = http.format("GET", "/ws", &headers, b"");
    messages.iter().for_each(|message| bytes.extend(text(message)));
    http.send(&bytes).expect("the daemon reads");
    let reply = http.reply().expect("the daemon answers");
    assert_eq!(reply.status, 101, "{}", reply.text());
    frames(&reply.body)
}

/// The texts among a server's frames, and the code of the last one.
fn frames(mut bytes: &[u8]) -> (Vec<Value>, u16) {
    let mut texts = Vec::new();
    loop {
        let (opcode, short) = (bytes[0] & 0x0f, usize::from(bytes[1]));
        let (head, length) = match short {
            126 => (4, usize::from(u16::from_be_bytes([bytes[2], bytes[3]]))),
            127 => panic!("a long frame"),
            length => (2, length),
        };
        let payload = &bytes[head..head + length];
        match opcode {
            1 => texts.push(serde_json::from_slice(payload).expect("a message")),
            8 => return (texts, u16::from_be_bytes([payload[0], payload[1]])),
            _ => {}
        }
        bytes = &bytes[head + length..];
    }
}

fn call(id: u32, method: &str, params: &Value) -> Value {
    json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params})
}

#[test]
fn a_websocket_is_closed_with_a_code_that_says_why() {
    let daemon = guarded();
    let (said, code) = talk(&daemon, Some("Bearer x"), &[call(1, "auth.whoami", &json!({}))]);
    assert_eq!((said.len(), code), (0, 4401));

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
