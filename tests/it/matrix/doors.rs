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
pub(super) fn connections(places: &Places, held: &Held) -> [Opened; 6] {
    let [dealer, req, packed, batches] = SPEAKERS.map(|speaker| zmq(places, held, speaker));
    [ws(places, held), unix(places, held), dealer, req, packed, batches]
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

/// A client of ZeroMQ.
#[derive(Clone, Copy)]
struct Speaker {
    name: &'static str,
    socket_type: &'static str,
    /// Messages that it sends before the first answer.
    at_once: usize,
    /// Calls that are one message.
    batch: bool,
    packs: bool,
}

const SPEAKERS: [Speaker; 4] = {
    let dealer = Speaker {
        name: "a DEALER",
        socket_type: "DEALER",
        at_once: AT_ONCE,
        batch: false,
        packs: false,
    };
    let req = Speaker { name: "a REQ", socket_type: "REQ", at_once: 1, ..dealer };
    [
        dealer,
        req,
        Speaker { name: "a DEALER in MessagePack", packs: true, ..dealer },
        Speaker { name: "batches of a REQ in MessagePack", batch: true, packs: true, ..req },
    ]
};

impl Speaker {
    /// What stands for `calls` on the wire.
    fn messages(self, calls: &[(&str, Value)]) -> Vec<Value> {
        let all = messages(calls);
        if self.batch { vec![all.into()] } else { all }
    }

    fn write(self, message: &Value) -> Vec<u8> {
        if self.packs {
            return rmp_serde::to_vec(message).expect("MessagePack has a form of all JSON");
        }
        message.to_string().into_bytes()
    }

    /// The answers of one message.
    fn read(self, message: &[u8]) -> Vec<Value> {
        let answer = if self.packs {
            rmp_serde::from_slice(message).expect("MessagePack was asked in MessagePack")
        } else {
            serde_json::from_slice(message).expect("JSON was asked in JSON")
        };
        match answer {
            Value::Array(answers) if self.batch => answers,
            one => vec![one],
        }
    }
}

fn zmq(places: &Places, held: &Held, speaker: Speaker) -> Opened {
    let mut peer = held.zmtp(places.zmq(), speaker.socket_type)?;
    Ok(Door::of(speaker.name, move |calls| {
        let mut answers = Vec::new();
        for some in speaker.messages(calls).chunks(speaker.at_once) {
            for sent in some {
                drop(peer.write(&message(&[b"", &speaker.write(sent)])));
            }
            for _ in some {
                let Ok(frames) = peer.receive() else { return answers };
                answers.extend(speaker.read(frames.last().expect("a frame")));
            }
        }
        answers
    }))
}
