//! A plain WebSocket client (RFC 6455): texts out, texts in, and the code of the end.

use std::io;
use std::net::SocketAddr;

use serde_json::Value;

use super::http::{Http, Reply};

/// A frame of a client with a text; its mask is of zeros, which changes nothing.
fn text(message: &Value) -> Vec<u8> {
    let payload = message.to_string().into_bytes();
    let length = u16::try_from(payload.len()).expect("a short message");
    let head = match u8::try_from(length) {
        Ok(length @ 0..126) => vec![0x81, 0x80 | length],
        _ => [&[0x81, 0x80 | 126], &length.to_be_bytes()[..]].concat(),
    };
    [&head[..], &[0; 4], &payload].concat()
}

/// The fields with which a connection becomes a WebSocket.
const UPGRADE: [(&str, &str); 4] = [
    ("Connection", "Upgrade"),
    ("Upgrade", "websocket"),
    ("Sec-WebSocket-Version", "13"),
    ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
];

/// One connection after its upgrade.
pub(crate) struct WebSocket {
    http: Http,
    /// The code of the close frame, once it came.
    pub(crate) code: Option<u16>,
}

impl WebSocket {
    #[track_caller]
    pub(crate) fn open(http: Http) -> Self {
        let opened = Self::upgrade(http, &[]);
        opened.unwrap_or_else(|reply| panic!("{} {}", reply.status, reply.text()))
    }

    /// Upgrades with `headers`, or gives what it was refused with.
    #[track_caller]
    pub(crate) fn connect(address: SocketAddr, headers: &[(&str, &str)]) -> Result<Self, Reply> {
        Self::upgrade(Http::connect(address), headers)
    }

    /// The same on a connection that there is.
    #[track_caller]
    pub(crate) fn upgrade(mut http: Http, headers: &[(&str, &str)]) -> Result<Self, Reply> {
        let bytes = http.format("GET", "/ws", &[&UPGRADE, headers].concat(), b"");
        http.send(&bytes).expect("the daemon reads");
        let (status, headers) = http.head().expect("the daemon answers");
        if status == 101 {
            return Ok(Self { http, code: None });
        }
        Err(http.rest(status, headers).expect("the daemon answers"))
    }

    pub(crate) fn send(&mut self, message: &Value) -> io::Result<()> {
        self.http.send(&text(message))
    }

    /// The next text; `None` when the daemon has closed.
    pub(crate) fn next(&mut self) -> Option<Value> {
        loop {
            let [first, short] = self.bytes(2)?[..] else { panic!("two bytes") };
            let length = match short {
                126 => self.bytes(2)?,
                127 => self.bytes(8)?,
                length => vec![length],
            };
            let length = length.into_iter().fold(0, |sum, byte| sum << 8 | usize::from(byte));
            let payload = self.bytes(length)?;
            match first & 0x0f {
                1 => return Some(serde_json::from_slice(&payload).expect("a message")),
                8 => self.code = Some(u16::from_be_bytes([payload[0], payload[1]])),
                _ => {}
            }
        }
    }

    fn bytes(&mut self, count: usize) -> Option<Vec<u8>> {
        let mut bytes = vec![0; count];
        io::Read::read_exact(self.http.stream(), &mut bytes).ok().map(|()| bytes)
    }
}
