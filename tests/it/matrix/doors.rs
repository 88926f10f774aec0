//! The ways in which calls reach a daemon.

use std::io::{BufRead, BufReader, Write};

use serde_json::{Value, json};

use super::places::{Field, Held, Places, fields};
use crate::rig::websocket::WebSocket;
use crate::rig::zmtp::message;

/// Calls that are sent before the first answer is read: fewer than a connection may have at work.
const AT_ONCE: usize = 50;
/// Calls under paths of their own on one connection: fewer than the logins of an address that may fail
/// before their answers are slowed.
const OF_ONE_ADDRESS: usize = 7;

/// One way, used as somebody.
pub(super) struct Door {
    pub(super) name: &'static str,
    says: Box<Says>,
}

/// Makes calls, and gives what is said until the last is answered or the connection ends.
type Says = dyn FnMut(&[(&str, Value)]) -> Vec<Value> + Send;

/// A door, or the words of whoever keeps it shut.
pub(super) type Opened = Result<Door, String>;

impl Door {
    fn of(
        name: &'static str,
        says: impl FnMut(&[(&str, Value)]) -> Vec<Value> + Send + 'static,
    ) -> Self {
        Self { name, says: Box::new(says) }
    }

    /// What each of `calls` is answered with: an object with `result` or `error`.
    #[track_caller]
    pub(super) fn answers(&mut self, calls: &[(&str, Value)]) -> Vec<Value> {
        let mut all = Vec::new();
        for some in calls.chunks(AT_ONCE) {
            let mut said = (self.says)(some);
            assert_eq!(said.len(), some.len(), "{}: {said:?}", self.name);
            said.sort_by_key(|answer| answer["id"].as_u64());
            all.extend(said);
        }
        all
    }

    /// What is still said to `calls`, over a connection that may be about to end.
    pub(super) fn last_words(&mut self, calls: &[(&str, Value)]) -> Vec<Value> {
        calls.chunks(AT_ONCE).flat_map(|some| (self.says)(some)).collect()
    }
}

/// Every door, as whoever holds `held`.
pub(super) fn doors(places: &Places, held: &Held) -> Vec<Opened> {
    requests(places, held).into_iter().map(Ok).chain(connections(places, held)).collect()
}

/// Those where every request shows the credentials.
pub(super) fn requests(places: &Places, held: &Held) -> [Door; 2] {
    [batch(places, held), paths(places, held)]
}

/// Those where they are shown once.
pub(super) fn connections(places: &Places, held: &Held) -> [Opened; 4] {
    [
        ws(places, held),
        unix(places, held),
        zmq(places, held, ("a DEALER", AT_ONCE)),
        zmq(places, held, ("a REQ", 1)),
    ]
}

/// Calls as messages, numbered from zero.
fn messages(calls: &[(&str, Value)]) -> Vec<Value> {
    let message = |(id, (method, params)): (usize, &(&str, Value))| json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params});
    calls.iter().enumerate().map(message).collect()
}

fn json_type() -> Option<Field> {
    Some(("Content-Type", "application/json".to_owned()))
}

fn batch(places: &Places, held: &Held) -> Door {
    let (places, all) = (places.clone(), [json_type(), held.api_key()]);
    Door::of("an HTTP batch", move |calls| {
        let body = Value::from(messages(calls)).to_string();
        let reply = places.http().request("POST", "/", &fields(&all), body.as_bytes());
        assert!([200, 401].contains(&reply.status), "{}", reply.text());
        match reply.json() {
            Value::Array(answers) => answers,
            refusal => vec![refusal],
        }
    })
}

fn paths(places: &Places, held: &Held) -> Door {
    let (places, all) = (places.clone(), [json_type(), held.bearer()]);
    Door::of("HTTP, a path for each method", move |calls| {
        let mut answers = Vec::new();
        for some in calls.chunks(OF_ONE_ADDRESS) {
            let mut http = places.http();
            for (method, params) in some {
                let (path, body) = (format!("/rpc/{method}"), params.to_string());
                let reply = http.request("POST", &path, &fields(&all), body.as_bytes());
                let (id, body) = (answers.len(), reply.json());
                let forbidden = body["data"]["kind"] == "forbidden";
                assert_eq!(reply.status == 403, forbidden, "{method}: {}", reply.text());
                answers.push(match reply.status {
                    200 => json!({"id": id, "result": body}),
                    // Who is refused at the door hears it in an envelope.
                    401 if body["error"].is_object() => json!({"id": id, "error": body["error"]}),
                    _ => json!({"id": id, "error": body}),
                });
            }
        }
        answers
    })
}

fn ws(places: &Places, held: &Held) -> Opened {
    let upgraded = WebSocket::upgrade(places.ws(), &fields(&[held.bearer()]));
    let mut ws = upgraded.map_err(|reply| format!("{} {}", reply.status, reply.text()))?;
    Ok(Door::of("a WebSocket", move |calls| {
        for message in messages(calls) {
            // What it was closed with can still be read.
            drop(ws.send(&message));
        }
        (0..calls.len()).map_while(|_| ws.next()).collect()
    }))
}

fn unix(places: &Places, held: &Held) -> Opened {
    let mut lines = BufReader::new(places.unix());
    let mut say = move |sent: &[Value]| {
        let text: String = sent.iter().map(|message| format!("{message}\n")).collect();
        drop(lines.get_mut().write_all(text.as_bytes()));
        let mut line = || {
            let mut text = String::new();
            lines.read_line(&mut text).ok().filter(|length| *length > 0)?;
            Some(serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e}: {text:?}")))
        };
        (0..sent.len()).map_while(|_| line()).collect::<Vec<Value>>()
    };
    if !held.key.is_empty() {
        let login = messages(&[("auth.login", json!({"token": held.key}))]);
        let answer = say(&login).pop().unwrap_or_default();
        if !answer["result"].is_object() {
            return Err(answer.to_string());
        }
    }
    Ok(Door::of("the Unix socket", move |calls| say(&messages(calls))))
}

/// As a socket of such a type, which sends so many requests before the first answer.
fn zmq(places: &Places, held: &Held, (name, at_once): (&'static str, usize)) -> Opened {
    let socket_type = name.rsplit(' ').next().unwrap_or(name);
    let mut peer = held.zmtp(places.zmq(), socket_type)?;
    Ok(Door::of(name, move |calls| {
        let mut answers = Vec::new();
        for some in messages(calls).chunks(at_once) {
            for sent in some {
                drop(peer.write(&message(&[b"", sent.to_string().as_bytes()])));
            }
            let mut next = || {
                let frames = peer.receive().ok()?;
                let last = frames.last().expect("a frame");
                Some(serde_json::from_slice(last).expect("JSON was asked in JSON"))
            };
            let said: Vec<Value> = some.iter().map_while(|_| next()).collect();
            let ended = said.len() < some.len();
            answers.extend(said);
            if ended {
                break;
            }
        }
        answers
    }))
}
