//! A plain client of the Unix socket: lines of JSON.

use std::collections::VecDeque;
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;

use serde::Serialize;
use serde_json::{Value, json};

use super::{Caller, PATIENCE, outcome};

/// One connection.
pub(crate) struct Socket {
    stream: BufReader<UnixStream>,
    next_id: u64,
    /// Notifications that came while an answer was awaited.
    waiting: VecDeque<Value>,
}

impl Socket {
    #[track_caller]
    pub(crate) fn connect(path: &Path) -> Self {
        let stream = UnixStream::connect(path).expect("the daemon accepts");
        stream.set_read_timeout(Some(PATIENCE)).expect("a socket takes a timeout");
        stream.set_write_timeout(Some(PATIENCE)).expect("a socket takes a timeout");
        Self { stream: BufReader::new(stream), next_id: 1, waiting: VecDeque::new() }
    }

    /// Bytes as they are.
    pub(crate) fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.get_mut().write_all(bytes)
    }

    /// The next line, whatever it is; `None` once the daemon has closed.
    pub(crate) fn line(&mut self) -> Option<String> {
        let mut text = String::new();
        match self.stream.read_line(&mut text) {
            Ok(1..) => Some(text),
            Ok(0) => None,
            Err(e) if e.kind() == io::ErrorKind::ConnectionReset => None,
            Err(e) => panic!("the socket: {e}"),
        }
    }

    #[track_caller]
    pub(crate) fn message(&mut self) -> Value {
        let line = self.line().expect("the daemon keeps the connection");
        serde_json::from_str(&line).unwrap_or_else(|e| panic!("{e}: {line}"))
    }

    /// Sends a request and does not wait; the answer is fetched with [`Socket::answer`].
    pub(crate) fn begin(&mut self, method: &str, params: impl Serialize) -> u64 {
        let id = self.next_id;
        self.next_id += 1;
        let request = json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params});
        self.send(format!("{request}\n").as_bytes()).expect("the daemon reads");
        id
    }

    /// The answer to `id`; answers to others that come before it are an error of the test.
    #[track_caller]
    pub(crate) fn answer(&mut self, id: u64) -> Result<Value, Value> {
        loop {
            let message = self.message();
            if message.get("method").is_some() {
                self.waiting.push_back(message);
            } else {
                assert_eq!(message["id"], id, "{message}");
                return outcome(&message);
            }
        }
    }

    /// The next notification: its method and parameters.
    #[track_caller]
    pub(crate) fn notification(&mut self) -> (String, Value) {
        let mut message = self.waiting.pop_front().unwrap_or_else(|| self.message());
        let method = message["method"].as_str().expect("a notification").to_owned();
        (method, message["params"].take())
    }
}

impl Caller for Socket {
    #[track_caller]
    fn call(&mut self, method: &str, params: Value) -> Result<Value, Value> {
        let id = self.begin(method, params);
        self.answer(id)
    }
}
