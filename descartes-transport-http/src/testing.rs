//! What the fuzz targets reach into (feature `test-util`); no part of the interface.

use std::{io, net::IpAddr};

use bytes::Bytes;
use http::{HeaderMap, Uri};

use crate::{
    alias::{ALIASES, Asked},
    client::decoder::Decoder,
    guard::{Head, host, origin},
};

/// Whether a request with these fields is let in, by its `Host` and `Origin` alone.
#[must_use]
pub fn lets_in(
    (headers, uri): (&HeaderMap, &Uri),
    local: Option<IpAddr>,
    hosts: &[String],
    origins: &[String],
) -> bool {
    let head = Head::read(headers);
    host::check(head.host, uri, local, hosts).is_ok()
        && !origin::is_foreign(head.origin, head.host, origins)
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
