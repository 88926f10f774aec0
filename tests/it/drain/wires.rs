//! One client over each wire, which sends without waiting and hears until it is closed.

use serde_json::{Value, json};

use crate::rig::daemon::Daemon;
use crate::rig::http::{Events, Http};
use crate::rig::socket::Socket;
use crate::rig::websocket::WebSocket;
use crate::rig::zmtp::{Zmtp, message};

/// The wires, in turn.
pub(crate) const WIRES: usize = 4;

/// A connection over one of the wires.
pub(crate) enum Wire {
    Http(Http),
    WebSocket(WebSocket),
    Unix(Socket),
    Zmq(Zmtp),
}

impl Wire {
    /// Over the wire of that number.
    #[track_caller]
    pub(crate) fn open(daemon: &Daemon, number: usize) -> Self {
        match number % WIRES {
            0 => Self::Http(daemon.http()),
            1 => Self::WebSocket(WebSocket::open(daemon.http())),
            2 => Self::Unix(daemon.socket()),
            _ => Self::Zmq(Zmtp::connect(daemon.zmq(), "DEALER")),
        }
    }

    /// Sends a call and does not wait.
    #[track_caller]
    pub(crate) fn begin(&mut self, id: usize, method: &str, params: &Value) {
        let call = json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params});
        let text = call.to_string();
        let sent = match self {
            Self::Http(http) => {
                let json = [("Content-Type", "application/json")];
                let bytes = http.format("POST", "/", &json, text.as_bytes());
                http.send(&bytes)
            }
            Self::WebSocket(socket) => socket.send(&call),
            Self::Unix(socket) => socket.send(format!("{text}\n").as_bytes()),
            Self::Zmq(peer) => peer.write(&message(&[b"", text.as_bytes()])),
        };
        sent.expect("the daemon reads");
    }

    /// The next message; `None` once the daemon has closed.
    pub(crate) fn next(&mut self) -> Option<Value> {
        let parsed = |bytes: &[u8]| Some(serde_json::from_slice(bytes).expect("a message"));
        match self {
            Self::Http(http) => parsed(&http.reply().ok()?.body),
            Self::WebSocket(socket) => socket.next(),
            Self::Unix(socket) => parsed(socket.line()?.as_bytes()),
            Self::Zmq(peer) => parsed(peer.receive().ok()?.last()?),
        }
    }

    /// What a call comes to.
    #[track_caller]
    pub(crate) fn call(&mut self, method: &str, params: &Value) -> Result<Value, Value> {
        self.begin(1, method, params);
        crate::rig::outcome(&self.next().expect("the daemon answers"))
    }

    /// Hears nothing more, and has been closed as its wire has it.
    #[track_caller]
    pub(crate) fn is_closed(&mut self) {
        let more = self.next();
        assert!(more.is_none(), "{more:?}");
        if let Self::WebSocket(socket) = self {
            assert_eq!(socket.code, Some(1001));
        }
    }
}

/// A subscription over one of the wires.
pub(crate) enum Stream {
    Sent(Events),
    Messages(Wire),
}

impl Stream {
    /// Subscribes to `topic` from now on; with where that begins.
    #[track_caller]
    pub(crate) fn open(daemon: &Daemon, number: usize, topic: &str) -> (Self, Value) {
        let params = json!({"topics": [topic], "after": "now"});
        let mut stream = if number.is_multiple_of(WIRES) {
            let call =
                json!({"jsonrpc": "2.0", "id": 1, "method": "event.subscribe", "params": params});
            let headers = [("Content-Type", "application/json"), ("Accept", "text/event-stream")];
            let body = call.to_string();
            Self::Sent(daemon.http().stream_of("POST", "/", &headers, body.as_bytes()))
        } else {
            let mut wire = Wire::open(daemon, number);
            wire.begin(1, "event.subscribe", &params);
            Self::Messages(wire)
        };
        let begun = crate::rig::outcome(&stream.next().expect("an answer")).expect("it subscribes");
        (stream, begun["cursor"].clone())
    }

    fn next(&mut self) -> Option<Value> {
        match self {
            Self::Sent(events) => events.next().map(|sent| sent.json()),
            Self::Messages(wire) => wire.next(),
        }
    }

    /// All events until the daemon closes, and the cursor that it tells at the end.
    #[track_caller]
    pub(crate) fn rest(mut self) -> (Vec<Value>, Value) {
        let (mut events, mut ended) = (Vec::new(), Value::Null);
        while let Some(mut message) = self.next() {
            let mut params = message["params"].take();
            match message["method"].as_str() {
                Some("event.next") => events.push(params["event"].take()),
                Some("event.ended") => ended = params,
                Some("event.synced") => {}
                _ => panic!("{message}"),
            }
        }
        assert_eq!(ended["reason"], "shutdown", "the stream is told that it ends");
        if let Self::Messages(mut wire) = self {
            wire.is_closed();
        }
        (events, ended["cursor"].take())
    }
}
