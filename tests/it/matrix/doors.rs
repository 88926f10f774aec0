//! The ways in which calls reach a daemon with authentication on.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;

use serde_json::{Value, json};

use crate::rig::http::Http;
use crate::rig::websocket::WebSocket;
use crate::rig::zmtp::{Wire, Zmtp, message};

/// Calls that are sent before the first answer is read: fewer than a connection may have at work.
const AT_ONCE: usize = 50;

/// Where the daemon is, or what passes on to it.
pub(super) struct Places {
    pub(super) http: SocketAddr,
    pub(super) ws: SocketAddr,
    /// `ipc://PATH`, or `tcp://ADDRESS` of what passes on to it.
    pub(super) unix: String,
    pub(super) zmq: String,
}

/// What somebody is known by.
#[derive(Clone)]
pub(super) struct Held {
    pub(super) token: String,
    pub(super) key: String,
}

/// One way, used as somebody.
pub(super) struct Door {
    pub(super) name: &'static str,
    answers: Box<Answers>,
}

/// Makes calls, and gives what each is answered with.
type Answers = dyn FnMut(&[(&str, Value)]) -> Vec<Value> + Send;

impl Door {
    fn of(
        name: &'static str,
        answers: impl FnMut(&[(&str, Value)]) -> Vec<Value> + Send + 'static,
    ) -> Self {
        Self { name, answers: Box::new(answers) }
    }

    /// What each of `calls` is answered with: an object with `result` or `error`.
    #[track_caller]
    pub(super) fn answers(&mut self, calls: &[(&str, Value)]) -> Vec<Value> {
        let mut all = Vec::new();
        for some in calls.chunks(AT_ONCE) {
            all.extend((self.answers)(some));
        }
        assert_eq!(all.len(), calls.len(), "{}", self.name);
        all
    }
}

/// Every door, as whoever holds `held`.
pub(super) fn doors(places: &Places, held: &Held) -> Vec<Door> {
    vec![
        batch(places, held),
        paths(places, held),
        ws(places, held),
        unix(places, held),
        zmq(places, held),
    ]
}

/// Calls as messages, numbered from zero.
fn messages(calls: &[(&str, Value)]) -> Vec<Value> {
    let message = |(id, (method, params)): (usize, &(&str, Value))| json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params});
    calls.iter().enumerate().map(message).collect()
}

/// Answers in the order of the calls.
#[track_caller]
fn in_order(answers: impl IntoIterator<Item = Value>) -> Vec<Value> {
    let by_id = |answer: Value| (answer["id"].as_u64().expect("the id of a call"), answer);
    let mut found: HashMap<u64, Value> = answers.into_iter().map(by_id).collect();
    let mut ids: Vec<u64> = found.keys().copied().collect();
    ids.sort_unstable();
    ids.iter().filter_map(|id| found.remove(id)).collect()
}

fn batch(places: &Places, held: &Held) -> Door {
    let (mut http, key) = (Http::connect(places.http), held.key.clone());
    Door::of("an HTTP batch", move |calls| {
        let headers = [("Content-Type", "application/json"), ("X-API-Key", &*key)];
        let body = Value::from(messages(calls)).to_string();
        let reply = http.request("POST", "/", &headers, body.as_bytes());
        assert_eq!(reply.status, 200, "{}", reply.text());
        in_order(reply.json().as_array().expect("a batch is answered by an array").clone())
    })
}

fn paths(places: &Places, held: &Held) -> Door {
    let (mut http, bearer) = (Http::connect(places.http), format!("Bearer {}", held.token));
    Door::of("HTTP, a path for each method", move |calls| {
        let mut ask = |(method, params): &(&str, Value)| {
            let headers = [("Content-Type", "application/json"), ("Authorization", &*bearer)];
            let path = format!("/rpc/{method}");
            let reply = http.request("POST", &path, &headers, params.to_string().as_bytes());
            let body = reply.json();
            let forbidden = body["data"]["kind"] == "forbidden";
            assert_eq!(reply.status == 403, forbidden, "{method}: {}", reply.text());
            if reply.status == 200 { json!({"result": body}) } else { json!({"error": body}) }
        };
        calls.iter().map(&mut ask).collect()
    })
}

fn ws(places: &Places, held: &Held) -> Door {
    let bearer = format!("Bearer {}", held.token);
    let upgraded = WebSocket::connect(places.ws, &[("Authorization", &bearer)]);
    let mut ws = upgraded.unwrap_or_else(|reply| panic!("{}", reply.text()));
    Door::of("a WebSocket", move |calls| {
        for message in messages(calls) {
            ws.send(&message).expect("the daemon reads");
        }
        let mut next = || match ws.next() {
            Some(message) => message,
            None => panic!("closed: {:?}", ws.code),
        };
        in_order((0..calls.len()).map(|_| next()))
    })
}

fn unix(places: &Places, held: &Held) -> Door {
    let mut lines = BufReader::new(Wire::connect(&places.unix));
    let mut next = move |sent: &[Value]| {
        let text: String = sent.iter().map(|message| format!("{message}\n")).collect();
        lines.get_mut().write_all(text.as_bytes()).expect("the daemon reads");
        let mut line = || {
            let mut text = String::new();
            lines.read_line(&mut text).expect("the daemon answers");
            serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e}: {text:?}"))
        };
        in_order((0..sent.len()).map(|_| line()))
    };
    let login = messages(&[("auth.login", json!({"token": held.key}))]);
    let answer = next(&login).remove(0);
    assert!(answer["result"].is_object(), "{answer}");
    Door::of("the Unix socket", move |calls| next(&messages(calls)))
}

fn zmq(places: &Places, held: &Held) -> Door {
    let peer = Zmtp::plain(&places.zmq, "DEALER", &held.token);
    let mut peer = peer.unwrap_or_else(|refusal| panic!("{refusal}"));
    Door::of("ZeroMQ", move |calls| {
        for sent in messages(calls) {
            peer.write(&message(&[b"", sent.to_string().as_bytes()])).expect("the daemon reads");
        }
        let mut next = || {
            let frames = peer.receive().expect("the daemon answers");
            serde_json::from_slice(frames.last().expect("a frame")).expect("JSON")
        };
        in_order((0..calls.len()).map(|_| next()))
    })
}
