//! From the first byte to READY on both sides ("The NULL Security Mechanism", "The PLAIN Security
//! Mechanism").

use descartes_rpc::auth::Secret;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    time::timeout,
};

use super::{
    HandshakeError, ProtocolError, SocketType,
    command::{self, Command},
    greeting::{self, Mechanism, Version},
    outbox::Outbox,
    plain,
    reader::Reader,
};
use crate::limits::MECHANISM_WAIT;

/// Which end of the connection this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    /// Says READY first.
    Client,
    /// Looks at the peer's READY before it says its own.
    Server,
}

/// Shakes hands without credentials; gives what the peer is.
pub(super) async fn null<IO: AsyncRead + AsyncWrite + Unpin>(
    io: &mut IO,
    reader: &mut Reader,
    side: Side,
    ours: SocketType,
) -> Result<(SocketType, Version), HandshakeError> {
    let version = greet(io, reader, Mechanism::Null, side).await?;
    if side == Side::Client {
        say(io, &command::ready(ours)).await?;
    }
    let metadata = hear_ready(io, reader).await?;
    let peer = match side {
        Side::Client => kind(ours, &metadata),
        Side::Server => answer_ready(io, ours, &metadata).await,
    };
    Ok((peer?, version))
}

/// Shakes hands with a peer whose credentials are checked before it is told anything but that.
pub(super) async fn plain_server<IO, F, T>(
    io: &mut IO,
    reader: &mut Reader,
    ours: SocketType,
    check: impl FnOnce(Secret) -> F,
) -> Result<(SocketType, Version, T), HandshakeError>
where
    IO: AsyncRead + AsyncWrite + Unpin,
    F: Future<Output = Result<T, HandshakeError>>,
{
    let version = greet(io, reader, Mechanism::Plain, Side::Server).await?;
    let (peer, found) = welcome(io, reader, ours, check).await?;
    Ok((peer, version, found))
}

/// Shakes hands with a peer that may have credentials: as it likes. One that shows some is told
/// nothing but that before they are checked.
pub(super) async fn any_server<IO, F, T>(
    io: &mut IO,
    reader: &mut Reader,
    ours: SocketType,
    check: impl FnOnce(Secret) -> F,
) -> Result<(SocketType, Version, Option<T>), HandshakeError>
where
    IO: AsyncRead + AsyncWrite + Unpin,
    F: Future<Output = Result<T, HandshakeError>>,
{
    let (version, mechanism) = greet_as_the_peer(io, reader).await?;
    match mechanism {
        Mechanism::Null => {
            let metadata = hear_ready(io, reader).await?;
            Ok((answer_ready(io, ours, &metadata).await?, version, None))
        }
        Mechanism::Plain => {
            let (peer, found) = welcome(io, reader, ours, check).await?;
            Ok((peer, version, Some(found)))
        }
    }
}

/// What follows the greetings of PLAIN.
async fn welcome<IO, F, T>(
    io: &mut IO,
    reader: &mut Reader,
    ours: SocketType,
    check: impl FnOnce(Secret) -> F,
) -> Result<(SocketType, T), HandshakeError>
where
    IO: AsyncRead + AsyncWrite + Unpin,
    F: Future<Output = Result<T, HandshakeError>>,
{
    let Command::Hello(data) = hear(io, reader).await? else {
        return Err(HandshakeError::NotReady);
    };
    let credentials = plain::credentials(&data).ok_or(ProtocolError::Command)?;
    let found = match check(credentials).await {
        Ok(found) => found,
        Err(error) => {
            // libzmq never comes again after this, so it is said only where nothing else would help.
            if matches!(error, HandshakeError::Unauthenticated) {
                say(io, &command::error(plain::REFUSED)).await?;
            }
            io.shutdown().await?;
            return Err(error);
        }
    };
    say(io, &command::named("WELCOME")).await?;
    let Command::Initiate(metadata) = hear(io, reader).await? else {
        return Err(HandshakeError::NotReady);
    };
    let peer = answer_ready(io, ours, &metadata).await?;
    Ok((peer, found))
}

/// Shakes hands with a peer that wants to see `credentials`.
pub(super) async fn plain_client<IO: AsyncRead + AsyncWrite + Unpin>(
    io: &mut IO,
    reader: &mut Reader,
    ours: SocketType,
    credentials: &Secret,
) -> Result<(SocketType, Version), HandshakeError> {
    let hello = plain::hello(credentials)?;
    let version = greet(io, reader, Mechanism::Plain, Side::Client).await?;
    say(io, &hello).await?;
    match hear(io, reader).await? {
        Command::Welcome => {}
        Command::Error(reason) => return Err(HandshakeError::Refused(reason)),
        _ => return Err(HandshakeError::NotReady),
    }
    say(io, &command::initiate(ours)).await?;
    let metadata = hear_ready(io, reader).await?;
    Ok((kind(ours, &metadata)?, version))
}

/// Our greeting is sent at once: a peer may wait for its first bytes before it goes on.
async fn greet<IO: AsyncRead + AsyncWrite + Unpin>(
    io: &mut IO,
    reader: &mut Reader,
    mechanism: Mechanism,
    side: Side,
) -> Result<Version, HandshakeError> {
    io.write_all(&greeting::ours(mechanism, side == Side::Server)).await?;
    io.flush().await?;
    let (version, _) = hear_greeting(io, reader, &[mechanism]).await?;
    reader.end_greeting(greeting::LENGTH);
    Ok(version)
}

/// The mechanism stands in the greeting of both ends and has to be the same, so the end of ours
/// waits for the peer's; not for long, for the peer may wait for ours.
async fn greet_as_the_peer<IO: AsyncRead + AsyncWrite + Unpin>(
    io: &mut IO,
    reader: &mut Reader,
) -> Result<(Version, Mechanism), HandshakeError> {
    let ours = |mechanism| greeting::ours(mechanism, true);
    io.write_all(&ours(Mechanism::Null)[..greeting::BEGINNING]).await?;
    io.flush().await?;
    let heard = hear_greeting(io, reader, &[Mechanism::Null, Mechanism::Plain]);
    let heard = timeout(MECHANISM_WAIT, heard).await;
    let mechanism = match heard {
        Ok(Ok((_, wanted))) => wanted,
        // Who wants another one is told by ours.
        Err(_) | Ok(Err(HandshakeError::Mechanism { .. })) => Mechanism::Null,
        Ok(Err(error)) => return Err(error),
    };
    io.write_all(&ours(mechanism)[greeting::BEGINNING..]).await?;
    io.flush().await?;
    let greeted = hear_greeting(io, reader, &[mechanism]).await?;
    reader.end_greeting(greeting::LENGTH);
    Ok(greeted)
}

async fn hear_greeting<IO: AsyncRead + Unpin>(
    io: &mut IO,
    reader: &mut Reader,
    spoken: &[Mechanism],
) -> Result<(Version, Mechanism), HandshakeError> {
    loop {
        if let Some(greeted) = greeting::read(reader.greeting(), spoken)? {
            return Ok(greeted);
        }
        read(io, reader).await?;
    }
}

/// Looks at what the peer is, and answers with READY, or with ERROR and the end.
async fn answer_ready<IO: AsyncWrite + Unpin>(
    io: &mut IO,
    ours: SocketType,
    metadata: &[u8],
) -> Result<SocketType, HandshakeError> {
    let peer = kind(ours, metadata);
    let reply = match &peer {
        Ok(_) => command::ready(ours),
        Err(error) => command::error(&error.to_string()),
    };
    say(io, &reply).await?;
    if peer.is_err() {
        io.shutdown().await?;
    }
    peer
}

fn kind(ours: SocketType, metadata: &[u8]) -> Result<SocketType, HandshakeError> {
    command::socket_type(metadata).and_then(|name| fitting(ours, name))
}

/// The metadata of the peer's READY.
async fn hear_ready<IO: AsyncRead + Unpin>(
    io: &mut IO,
    reader: &mut Reader,
) -> Result<bytes::Bytes, HandshakeError> {
    match hear(io, reader).await? {
        Command::Ready(metadata) => Ok(metadata),
        Command::Error(reason) => Err(HandshakeError::Refused(reason)),
        _ => Err(HandshakeError::NotReady),
    }
}

/// The peer's next command.
async fn hear<IO: AsyncRead + Unpin>(
    io: &mut IO,
    reader: &mut Reader,
) -> Result<Command, HandshakeError> {
    loop {
        if let Some(body) = reader.next_command()? {
            return Ok(Command::read(&body)?);
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
