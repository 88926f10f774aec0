//! What the fuzz targets reach into (feature `test-util`); no part of the interface.

use std::{io, net::IpAddr};

use bytes::Bytes;
use descartes_rpc::frame::Arrival;
use http::{HeaderMap, Uri};

use crate::{
    alias::{ALIASES, Asked},
    client::decoder::Decoder,
    guard::{Head, host},
    ws,
};

/// Whether a request with these fields is let in, by its `Host` and by what it says of its page
/// alone.
#[must_use]
pub fn lets_in(
    (headers, uri): (&HeaderMap, &Uri),
    local: Option<IpAddr>,
    hosts: &[String],
    origins: &[String],
) -> bool {
    let head = Head::read(headers);
    host::check(head.host, uri, local, hosts).is_ok() && !head.is_foreign(origins, false)
}

/// What a `GET` of one of the aliases asks for: the parameters of its call as JSON, and whether it
/// follows; `None` when the path is no alias. The error is the sentence that a client is told.
#[must_use]
pub fn asked(path: &str, query: &str) -> Option<Result<(Bytes, bool), String>> {
    let (alias, value) = ALIASES.iter().find_map(|alias| Some((alias, alias.value_in(path)?)))?;
    let asked = Asked::read(alias, value, query, None);
    Some(asked.map(|asked| (asked.params(), asked.follow)).map_err(|error| error.to_string()))
}

/// The client's reader of an event stream.
#[derive(Debug, Default)]
pub struct SseDecoder(Decoder);

impl SseDecoder {
    /// Takes what has arrived.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.0.feed(bytes);
    }

    /// The data of the next whole event.
    ///
    /// # Errors
    /// When an event is larger than any answer can be.
    pub fn next_data(&mut self) -> io::Result<Option<Bytes>> {
        self.0.next()
    }
}

/// What a peer of a WebSocket sends, as it is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    /// A message.
    Message(Bytes),
    /// A message that is too long to be kept.
    Oversize,
    /// A ping, with its payload.
    Ping(Bytes),
    /// A pong.
    Pong,
    /// A close frame, with its code if it has one.
    Close(Option<u16>),
}

/// The server's reader of a WebSocket.
#[derive(Debug)]
pub struct WsDecoder(ws::Reader);

impl WsDecoder {
    /// Takes messages of at most `message` bytes, and leaves longer ones behind up to `skip`.
    #[must_use]
    pub fn new(message: usize, skip: usize) -> Self {
        Self(ws::Reader::new(ws::Bounds { message, skip, masked: true }))
    }

    /// Takes what has arrived.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.0.room().extend_from_slice(bytes);
    }

    /// The next thing that has come whole.
    ///
    /// # Errors
    /// The code that the connection is closed with.
    pub fn next_heard(&mut self) -> Result<Option<Heard>, u16> {
        let inbound = self.0.next().map_err(|close| close.code as u16)?;
        Ok(inbound.map(|inbound| match inbound {
            ws::Inbound::Message(Arrival::Message(message)) => Heard::Message(message),
            ws::Inbound::Message(Arrival::Oversize) => Heard::Oversize,
            ws::Inbound::Ping(payload) => Heard::Ping(payload),
            ws::Inbound::Pong => Heard::Pong,
            ws::Inbound::Close(farewell) => Heard::Close(farewell.code),
        }))
    }

    /// Bytes that are held.
    #[must_use]
    pub fn held(&self) -> usize {
        self.0.held()
    }
}
