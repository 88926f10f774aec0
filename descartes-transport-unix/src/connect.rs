//! The client's side of the socket.

use std::{io, path::PathBuf};

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use descartes_rpc::{
    client::{Connect, FrameIo},
    codec::LineCodec,
    frame::Arrival,
};
use tokio::net::UnixStream;
use tokio_util::codec::{Decoder, Encoder, Framed};

use crate::{
    accept::TRANSPORT,
    limits::{CLIENT_MESSAGE, READ_BUFFER, WRITE_BUFFER},
};

/// Connects to a daemon's socket; `Client::connect(UnixClient::new(path))` is a client that
/// makes a lost connection again and goes on with its subscriptions where they were.
#[derive(Clone, Debug)]
pub struct UnixClient {
    path: PathBuf,
}

impl UnixClient {
    /// Connects to the socket at `path`, when it is needed.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }
}

#[async_trait]
impl Connect for UnixClient {
    async fn connect(&self) -> io::Result<Box<dyn FrameIo>> {
        let stream = UnixStream::connect(&self.path).await?;
        let codec = ReplyCodec(LineCodec::new(CLIENT_MESSAGE, CLIENT_MESSAGE));
        let mut frames = Framed::with_capacity(stream, codec, READ_BUFFER);
        frames.set_backpressure_boundary(WRITE_BUFFER);
        Ok(Box::new(frames))
    }

    fn transport_name(&self) -> &'static str {
        TRANSPORT
    }
}

/// Lines of a daemon; one that is too long to be its answer breaks the connection.
struct ReplyCodec(LineCodec);

impl ReplyCodec {
    fn message(arrival: Option<Arrival>) -> io::Result<Option<Bytes>> {
        match arrival {
            Some(Arrival::Message(message)) => Ok(Some(message)),
            Some(Arrival::Oversize) => {
                Err(io::Error::new(io::ErrorKind::InvalidData, "a message beyond all bounds"))
            }
            None => Ok(None),
        }
    }
}

impl Decoder for ReplyCodec {
    type Item = Bytes;
    type Error = io::Error;

    fn decode(&mut self, buffer: &mut BytesMut) -> io::Result<Option<Bytes>> {
        self.0.decode(buffer).and_then(Self::message)
    }

    fn decode_eof(&mut self, buffer: &mut BytesMut) -> io::Result<Option<Bytes>> {
        self.0.decode_eof(buffer).and_then(Self::message)
    }
}

impl Encoder<Bytes> for ReplyCodec {
    type Error = io::Error;

    fn encode(&mut self, message: Bytes, buffer: &mut BytesMut) -> io::Result<()> {
        self.0.encode(message, buffer)
    }
}
