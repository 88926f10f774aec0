//! Wires of every kind that write down what they are used for.

use std::cell::RefCell;
use std::rc::Rc;

use serde_json::{Value, json};

use super::ledger::Ledger;
use crate::rig::daemon::Daemon;
use crate::rig::http::Http;
use crate::rig::websocket::WebSocket;
use crate::rig::zmtp::Zmtp;
use crate::rig::{Caller, outcome};

pub(super) type Book = Rc<RefCell<Ledger>>;

/// A connection whose calls are counted.
pub(super) struct Counting {
    pub(super) transport: &'static str,
    wire: Box<dyn Caller>,
    pub(super) book: Book,
}

impl Counting {
    fn new(transport: &'static str, wire: impl Caller + 'static, book: &Book) -> Self {
        book.borrow_mut().connected(transport);
        Self { transport, wire: Box::new(wire), book: Rc::clone(book) }
    }
}

impl Caller for Counting {
    fn call(&mut self, method: &str, params: Value) -> Result<Value, Value> {
        let came_to = self.wire.call(method, params);
        self.book.borrow_mut().called(method, self.transport, came_to.as_ref());
        came_to
    }
}

/// A connection of each transport, for whoever has `token`.
pub(super) fn all(daemon: &Daemon, token: &str, book: &Book) -> [Counting; 4] {
    let mut unix = Counting::new("unix", daemon.socket(), book);
    unix.ok("auth.login", json!({"token": token}));
    let bearer = format!("Bearer {token}");
    let headers = [("Authorization", &*bearer)];
    let web = WebSocket::connect(daemon.http_address(), &headers).expect("it is let in");
    let zmq = Zmtp::plain(daemon.zmq(), "DEALER", token).expect("it is let in");
    [
        unix,
        Counting::new("http", Bearer { http: daemon.http(), bearer: bearer.clone() }, book),
        Counting::new("ws", Web { socket: web, next_id: 1 }, book),
        Counting::new("zmq", zmq, book),
    ]
}

/// A WebSocket that nobody has said on who it is.
pub(super) fn nobody(daemon: &Daemon, book: &Book) -> Counting {
    let socket = WebSocket::connect(daemon.http_address(), &[]).expect("one may log in later");
    Counting::new("ws", Web { socket, next_id: 1 }, book)
}

struct Bearer {
    http: Http,
    bearer: String,
}

impl Caller for Bearer {
    fn call(&mut self, method: &str, params: Value) -> Result<Value, Value> {
        let request = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
        let headers = [("Content-Type", "application/json"), ("Authorization", &*self.bearer)];
        let reply = self.http.request("POST", "/", &headers, request.to_string().as_bytes());
        outcome(&reply.json())
    }
}

struct Web {
    socket: WebSocket,
    next_id: u64,
}

impl Caller for Web {
    fn call(&mut self, method: &str, params: Value) -> Result<Value, Value> {
        let id = self.next_id;
        self.next_id += 1;
        let request = json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params});
        self.socket.send(&request).expect("the daemon reads");
        loop {
            let message = self.socket.next().expect("the daemon answers");
            // What follows a subscription has no name of a call.
            if message.get("method").is_none() {
                assert_eq!(message["id"], id, "{message}");
                return outcome(&message);
            }
        }
    }
}
