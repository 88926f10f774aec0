//! A plain ZMTP 3.0 client (<https://rfc.zeromq.org/spec/23/>) that can also send what none should.

use std::io::{self, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde_json::{Value, json};

use super::{Caller, PATIENCE, outcome};

/// Flags of a frame (RFC 23, section "Framing").
const MORE: u8 = 1;
const LONG: u8 = 2;
const COMMAND: u8 = 4;
/// The longest text that PLAIN has a place for.
const TEXT: usize = 255;

/// What carries the bytes.
pub(crate) enum Wire {
    Tcp(TcpStream),
    Ipc(UnixStream),
}

impl Wire {
    /// Connects to `tcp://…` or `ipc://…`.
    #[track_caller]
    pub(crate) fn connect(place: &str) -> Self {
        let wire = match place.split_once("://") {
            Some(("tcp", address)) => Self::Tcp(TcpStream::connect(address).expect("it accepts")),
            Some(("ipc", path)) => Self::Ipc(UnixStream::connect(path).expect("it accepts")),
            _ => panic!("no place of ZeroMQ: {place}"),
        };
        wire.patient()
    }

    /// A connection that there is.
    #[track_caller]
    pub(crate) fn over(stream: TcpStream) -> Self {
        Self::Tcp(stream).patient()
    }

    #[track_caller]
    fn patient(self) -> Self {
        self.set_patience(Some(PATIENCE)).expect("a socket takes a timeout");
        if let Self::Tcp(stream) = &self {
            stream.set_nodelay(true).expect("a socket takes an option");
        }
        self
    }

    fn set_patience(&self, limit: Option<Duration>) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => {
                stream.set_read_timeout(limit)?;
                stream.set_write_timeout(limit)
            }
            Self::Ipc(stream) => {
                stream.set_read_timeout(limit)?;
                stream.set_write_timeout(limit)
            }
        }
    }

    /// Whether something comes within `limit`, or its end.
    pub(crate) fn readable_within(&self, limit: Duration) -> bool {
        let limit = Timespec::try_from(limit).expect("a limit of a test");
        let fd = match self {
            Self::Tcp(stream) => stream.as_fd(),
            Self::Ipc(stream) => stream.as_fd(),
        };
        matches!(poll(&mut [PollFd::from_borrowed_fd(fd, PollFlags::IN)], Some(&limit)), Ok(1..))
    }

    pub(crate) fn set_nonblocking(&self) {
        let set = match self {
            Self::Tcp(stream) => stream.set_nonblocking(true),
            Self::Ipc(stream) => stream.set_nonblocking(true),
        };
        set.expect("an open socket");
    }
}

impl Read for Wire {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.read(buffer),
            Self::Ipc(stream) => stream.read(buffer),
        }
    }
}

impl Write for Wire {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.write(bytes),
            Self::Ipc(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The first bytes of every peer: signature, version 3.0, mechanism NULL.
pub(crate) fn greeting() -> Vec<u8> {
    let mut bytes = vec![0; 64];
    (bytes[0], bytes[9], bytes[10]) = (0xff, 0x7f, 3);
    bytes[12..16].copy_from_slice(b"NULL");
    bytes
}

/// The READY of a peer with this socket type and identity.
pub(crate) fn ready(socket_type: &str, identity: &[u8]) -> Vec<u8> {
    described(b"\x05READY", socket_type, identity)
}

fn described(command: &[u8], socket_type: &str, identity: &[u8]) -> Vec<u8> {
    let mut body = command.to_vec();
    for (name, value) in [("Socket-Type", socket_type.as_bytes()), ("Identity", identity)] {
        body.push(u8::try_from(name.len()).expect("a short name"));
        body.extend_from_slice(name.as_bytes());
        body.extend_from_slice(&u32::try_from(value.len()).expect("short").to_be_bytes());
        body.extend_from_slice(value);
    }
    frame(COMMAND, &body)
}

fn frame(flags: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = match u8::try_from(body.len()) {
        Ok(length) => vec![flags, length],
        Err(_) => [&[flags | LONG][..], &(body.len() as u64).to_be_bytes()].concat(),
    };
    bytes.extend_from_slice(body);
    bytes
}

/// A command: the length of its name, its name, its data.
pub(crate) fn command(body: &[u8]) -> Vec<u8> {
    frame(COMMAND, body)
}

/// A message of these frames.
pub(crate) fn message(frames: &[&[u8]]) -> Vec<u8> {
    let (last, before) = frames.split_last().expect("a message has frames");
    let mut bytes: Vec<u8> = before.iter().flat_map(|body| frame(MORE, body)).collect();
    bytes.extend(frame(0, last));
    bytes
}

/// One connection after its handshake.
pub(crate) struct Zmtp {
    stream: BufReader<Wire>,
    next_id: u64,
}

impl Zmtp {
    /// A peer of `socket_type` at `place`.
    #[track_caller]
    pub(crate) fn connect(place: &str, socket_type: &str) -> Self {
        Self::connect_as(place, socket_type, b"")
    }

    /// The same with an identity of its own.
    #[track_caller]
    pub(crate) fn connect_as(place: &str, socket_type: &str, identity: &[u8]) -> Self {
        Self::null_over(Wire::connect(place), socket_type, identity)
    }

    /// The same on a connection that there is.
    #[track_caller]
    pub(crate) fn null_over(mut wire: Wire, socket_type: &str, identity: &[u8]) -> Self {
        let ours = [greeting(), ready(socket_type, identity)].concat();
        wire.write_all(&ours).expect("the daemon reads");
        Self::greeted(wire)
    }

    /// A peer that shows `password` (<https://rfc.zeromq.org/spec/24/>), of which what is longer than
    /// one text begins in the name; what it was refused with.
    #[track_caller]
    pub(crate) fn plain(place: &str, socket_type: &str, password: &str) -> Result<Self, String> {
        Self::plain_over(Wire::connect(place), socket_type, password)
    }

    /// The same on a connection that there is.
    #[track_caller]
    pub(crate) fn plain_over(
        mut wire: Wire,
        socket_type: &str,
        password: &str,
    ) -> Result<Self, String> {
        let mut ours = greeting();
        ours[12..17].copy_from_slice(b"PLAIN");
        let at = if password.len() > TEXT { TEXT } else { 0 };
        let mut hello = b"\x05HELLO".to_vec();
        for part in [&password[..at], &password[at..]] {
            hello.push(u8::try_from(part.len()).expect("a short password"));
            hello.extend_from_slice(part.as_bytes());
        }
        wire.write_all(&[ours, command(&hello)].concat()).expect("the daemon reads");
        let mut peer = Self { stream: BufReader::new(wire), next_id: 1 };
        let mut theirs = [0; 64];
        peer.stream.read_exact(&mut theirs).expect("the daemon greets");
        assert_eq!(&theirs[12..18], b"PLAIN\0");
        let said = |peer: &mut Self| peer.frame().expect("the daemon answers").1;
        let welcome = said(&mut peer);
        if welcome != b"\x07WELCOME" {
            return Err(String::from_utf8_lossy(&welcome).into_owned());
        }
        let initiate = described(b"\x08INITIATE", socket_type, b"");
        peer.write(&initiate).expect("the daemon reads");
        assert!(said(&mut peer).starts_with(b"\x05READY"));
        Ok(peer)
    }

    /// One that has said its greeting and READY already.
    #[track_caller]
    pub(crate) fn greeted(wire: Wire) -> Self {
        let mut peer = Self { stream: BufReader::new(wire), next_id: 1 };
        peer.hear_greeting().expect("the daemon greets");
        peer
    }

    fn hear_greeting(&mut self) -> io::Result<()> {
        let mut theirs = [0; 64];
        self.stream.read_exact(&mut theirs)?;
        assert_eq!((theirs[0], theirs[9], &theirs[12..16]), (0xff, 0x7f, &b"NULL"[..]));
        let (flags, body) = self.frame()?;
        assert!(flags & COMMAND != 0 && body.starts_with(b"\x05READY"), "{flags} {body:?}");
        Ok(())
    }

    /// Bytes as they are.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.get_mut().write_all(bytes)
    }

    /// Subscribes to what begins with `prefix` (RFC 23, section "Publish-Subscribe").
    #[track_caller]
    pub(crate) fn subscribe(&mut self, prefix: &str) {
        let subscription = message(&[&[b"\x01", prefix.as_bytes()].concat()]);
        self.write(&subscription).expect("the daemon reads");
    }

    /// The next message; an error when the connection has ended.
    pub(crate) fn receive(&mut self) -> io::Result<Vec<Vec<u8>>> {
        let mut frames = Vec::new();
        loop {
            let (flags, body) = self.frame()?;
            if flags & COMMAND != 0 {
                continue;
            }
            frames.push(body);
            if flags & MORE == 0 {
                return Ok(frames);
            }
        }
    }

    /// Whether something more comes within `limit`, or the end.
    pub(crate) fn hears_within(&self, limit: Duration) -> bool {
        !self.stream.buffer().is_empty() || self.wire().readable_within(limit)
    }

    fn frame(&mut self) -> io::Result<(u8, Vec<u8>)> {
        let mut head = [0; 2];
        self.stream.read_exact(&mut head)?;
        let mut length = usize::from(head[1]);
        if head[0] & LONG != 0 {
            let mut rest = [0; 8];
            rest[0] = head[1];
            self.stream.read_exact(&mut rest[1..])?;
            length = usize::try_from(u64::from_be_bytes(rest)).expect("64 bits");
        }
        assert!(length < 32 << 20, "a frame of {length} bytes");
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body)?;
        Ok((head[0], body))
    }

    /// What carries it.
    pub(crate) fn wire(&self) -> &Wire {
        self.stream.get_ref()
    }

    /// What carries it, to be read no more in messages.
    pub(crate) fn into_wire(self) -> Wire {
        self.stream.into_inner()
    }
}

impl Caller for Zmtp {
    #[track_caller]
    fn call(&mut self, method: &str, params: Value) -> Result<Value, Value> {
        let id = self.next_id;
        self.next_id += 1;
        let request = json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params});
        self.write(&message(&[b"", request.to_string().as_bytes()])).expect("the daemon reads");
        let answer = self.receive().expect("the daemon answers");
        let [delimiter, body] = &answer[..] else { panic!("{} frames", answer.len()) };
        assert!(delimiter.is_empty(), "{delimiter:?}");
        let response: Value = serde_json::from_slice(body).expect("JSON was asked in JSON");
        assert_eq!(response["id"], id, "{response}");
        outcome(&response)
    }
}
