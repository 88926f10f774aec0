//! Where a daemon is, who comes to it, and how that one shows who it is.

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpStream};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::net::{AddressFamily, SocketType, bind, connect, socket};
use serde_json::{Value, json};

use crate::rig::agents::{await_output, spawn};
use crate::rig::daemon::Daemon;
use crate::rig::http::Http;
use crate::rig::socket::Socket;
use crate::rig::zmtp::{Wire, Zmtp};
use crate::rig::{Caller, parrot};

/// Where the daemon is, or what passes on to it.
#[derive(Clone)]
pub(super) struct Places {
    http: SocketAddr,
    ws: SocketAddr,
    /// `ipc://PATH`, or `tcp://ADDRESS` of what passes on to it.
    unix: String,
    zmq: SocketAddr,
    publisher: SocketAddr,
    metrics: SocketAddr,
    /// The last address of this machine that was come from, where each connection has another one.
    from: Option<Arc<AtomicU32>>,
}

/// The name and value of a field of HTTP.
pub(super) type Field = (&'static str, String);

/// What somebody is known by.
#[derive(Clone)]
pub(super) struct Held {
    pub(super) token: String,
    pub(super) key: String,
}

impl Places {
    pub(super) fn of(daemon: &Daemon) -> Self {
        Self {
            http: daemon.http_address(),
            ws: address(&daemon.endpoints["ws"]),
            unix: format!("ipc://{}", daemon.socket_path().display()),
            zmq: address(&daemon.endpoints["zmq"]),
            publisher: address(&daemon.endpoints["pub"]),
            metrics: address(&daemon.endpoints["metrics"]),
            from: None,
        }
    }

    /// The same by way of an agent, to whom all that comes there belongs; and that agent.
    pub(super) fn inside(daemon: &Daemon, owner: &mut Socket) -> (Self, String) {
        let direct = Self::of(daemon);
        let socket = daemon.socket_path().display().to_string();
        let Self { http, ws, zmq, publisher, metrics, .. } = direct;
        let listed = format!("{http},{ws},{socket},{zmq},{publisher},{metrics}");
        let agent = spawn(owner, &parrot::parrot(&["forward", &listed]));
        await_output(owner, &agent, "\n");
        let logs = owner.ok("agent.logs", json!({"agent_id": agent}));
        let said = logs["logs"][0]["message"].as_str().expect("ports");
        let port = |text: &str| SocketAddr::from(([127, 0, 0, 1], text.parse().expect("a port")));
        let ports: Vec<SocketAddr> = said.split(' ').map(port).collect();
        let [http, ws, unix, zmq, publisher, metrics] = ports[..] else { panic!("{said}") };
        let unix = format!("tcp://{unix}");
        (Self { http, ws, unix, zmq, publisher, metrics, from: None }, agent)
    }

    /// The same, come to from another address of this machine each time, the first of which is a
    /// block of its own: failures of one do not slow another down.
    pub(super) fn by_many_addresses(self, block: u8) -> Self {
        let first = u32::from(Ipv4Addr::new(127, 1, block, 0));
        Self { from: Some(Arc::new(AtomicU32::new(first))), ..self }
    }

    pub(super) fn http(&self) -> Http {
        Http::over(self.connect(self.http))
    }

    pub(super) fn ws(&self) -> Http {
        Http::over(self.connect(self.ws))
    }

    pub(super) fn metrics(&self) -> Http {
        Http::over(self.connect(self.metrics))
    }

    pub(super) fn unix(&self) -> Wire {
        Wire::connect(&self.unix)
    }

    pub(super) fn zmq(&self) -> Wire {
        Wire::over(self.connect(self.zmq))
    }

    pub(super) fn publisher(&self) -> Wire {
        Wire::over(self.connect(self.publisher))
    }

    fn connect(&self, to: SocketAddr) -> TcpStream {
        let Some(from) = &self.from else {
            return TcpStream::connect(to).expect("the daemon accepts");
        };
        let host = Ipv4Addr::from(from.fetch_add(1, Ordering::Relaxed) + 1);
        let fd: OwnedFd = socket(AddressFamily::INET, SocketType::STREAM, None).expect("a socket");
        bind(&fd, &SocketAddrV4::new(host, 0)).expect("all of 127/8 is this machine");
        connect(&fd, &to).expect("the daemon accepts");
        fd.into()
    }
}

fn address(url: &Value) -> SocketAddr {
    let text = url.as_str().expect("an endpoint");
    let text = text.split_once("://").map_or(text, |(_, rest)| rest);
    let text = text.split_once('/').map_or(text, |(address, _)| address);
    text.parse().unwrap_or_else(|e| panic!("{text}: {e}"))
}

impl Held {
    /// No credentials: whoever comes is known by its process.
    pub(super) fn nothing() -> Self {
        Self { token: String::new(), key: String::new() }
    }

    /// A token and a key that `maker` makes for `name`, with scopes or a role and how long they last.
    pub(super) fn make(maker: &mut Socket, name: &str, given: &Value, secs: Option<u64>) -> Self {
        let mut with = |method: &str, more: Value| {
            let mut params = given.clone();
            let members = params.as_object_mut().expect("an object");
            members.extend(more.as_object().expect("an object").clone());
            members.retain(|_, value| !value.is_null());
            maker.ok(method, params)
        };
        let token = with("auth.token.create", json!({"sub": name, "ttl_secs": secs}));
        let key = with("auth.key.create", json!({"name": name, "expires_in_secs": secs}));
        let secret = |made: Value, member: &str| made[member].as_str().expect("one").to_owned();
        Self { token: secret(token, "token"), key: secret(key, "key") }
    }

    /// The field of HTTP with the token, if there is one.
    pub(super) fn bearer(&self) -> Option<Field> {
        (!self.token.is_empty()).then(|| ("Authorization", format!("Bearer {}", self.token)))
    }

    /// The field of HTTP with the key, if there is one.
    pub(super) fn api_key(&self) -> Option<Field> {
        (!self.key.is_empty()).then(|| ("X-API-Key", self.key.clone()))
    }

    /// A socket of ZeroMQ with the token as its password, or what it was refused with.
    pub(super) fn zmtp(&self, wire: Wire, socket_type: &str) -> Result<Zmtp, String> {
        if self.token.is_empty() {
            return Ok(Zmtp::null_over(wire, socket_type, b""));
        }
        Zmtp::plain_over(wire, socket_type, &self.token)
    }
}

/// Fields as requests take them.
pub(super) fn fields(all: &[Option<Field>]) -> Vec<(&str, &str)> {
    all.iter().flatten().map(|(name, value)| (*name, &**value)).collect()
}
