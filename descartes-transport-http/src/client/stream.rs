//! The messages of an event stream.

use std::{io, time::Duration};

use bytes::Bytes;
use futures_core::Stream;
use futures_util::stream;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::time::timeout;

use super::{
    decoder::Decoder,
    pool::{Connection, lost},
};

/// A server sends something every 15 seconds; when three of these are missing it is taken for gone.
const SILENCE: Duration = Duration::from_secs(50);

struct Reading {
    body: Incoming,
    decoder: Decoder,
    /// Dropped, it would end the connection.
    _connection: Connection,
}

/// Yields the data of each event; ends where the server ends the stream. After an error there is
/// nothing more.
pub(super) fn messages(
    body: Incoming,
    connection: Connection,
) -> impl Stream<Item = io::Result<Bytes>> + Send {
    let reading = Reading { body, decoder: Decoder::default(), _connection: connection };
    stream::try_unfold(reading, |mut reading| async move {
        loop {
            if let Some(message) = reading.decoder.next()? {
                return Ok(Some((message, reading)));
            }
            let frame = timeout(SILENCE, reading.body.frame()).await.map_err(io::Error::from)?;
            match frame {
                None => return Ok(None),
                Some(frame) => {
                    if let Ok(data) = frame.map_err(lost)?.into_data() {
                        reading.decoder.feed(&data);
                    }
                }
            }
        }
    })
}
