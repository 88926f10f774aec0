//! From the first byte to READY on both sides ("The NULL Security Mechanism").

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::{
    HandshakeError, SocketType,
    command::{self, Command},
    greeting::{self, Version},
    outbox::Outbox,
    reader::Reader,
};

/// Which end of the connection this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    /// Says READY first.
    Client,
    /// Looks at the peer's READY before it says its own.
    Server,
}

/// Shakes hands; gives what the peer is.
///
/// Our greeting is sent at once: a peer may wait for its first bytes before it goes on.
pub(super) async fn shake<IO: AsyncRead + AsyncWrite + Unpin>(
    io: &mut IO,
    reader: &mut Reader,
    side: Side,
    ours: SocketType,
) -> Result<(SocketType, Version), HandshakeError> {
    io.write_all(&greeting::ours()).await?;
    io.flush().await?;
    let version = loop {
        if let Some(version) = greeting::read(reader.greeting())? {
            break version;
        }
        read(io, reader).await?;
    };
    reader.end_greeting(greeting::LENGTH);
    if side == Side::Client {
        say(io, &command::ready(ours)).await?;
    }
    let metadata = hear_ready(io, reader).await?;
    let peer = command::socket_type(&metadata).and_then(|name| fitting(ours, name));
    if side == Side::Server {
        let reply = match &peer {
            Ok(_) => command::ready(ours),
            Err(error) => command::error(&error.to_string()),
        };
        say(io, &reply).await?;
        if peer.is_err() {
            io.shutdown().await?;
        }
    }
    Ok((peer?, version))
}

/// The metadata of the peer's READY.
async fn hear_ready<IO: AsyncRead + Unpin>(
    io: &mut IO,
    reader: &mut Reader,
) -> Result<bytes::Bytes, HandshakeError> {
    loop {
        if let Some(body) = reader.next_command()? {
            return match Command::read(&body)? {
                Command::Ready(metadata) => Ok(metadata),
                Command::Error(reason) => Err(HandshakeError::Refused(reason)),
                _ => Err(HandshakeError::NotReady),
            };
        }
        read(io, reader).await?;
    }
}

fn fitting(ours: SocketType, name: &[u8]) -> Result<SocketType, HandshakeError> {
    let peer = || String::from_utf8_lossy(name).into_owned();
    SocketType::named(name)
        .filter(|kind| ours.fits(*kind))
        .ok_or_else(|| HandshakeError::SocketType { ours, peer: peer() })
}

async fn read<IO: AsyncRead + Unpin>(
    io: &mut IO,
    reader: &mut Reader,
) -> Result<(), HandshakeError> {
    match io.read_buf(reader.room()).await? {
        0 => Err(HandshakeError::Closed),
        _ => Ok(()),
    }
}

async fn say<IO: AsyncWrite + Unpin>(io: &mut IO, body: &[u8]) -> Result<(), HandshakeError> {
    let mut out = Outbox::default();
    out.put_command(body);
    std::future::poll_fn(|cx| out.poll_write(io, cx)).await?;
    Ok(())
}
