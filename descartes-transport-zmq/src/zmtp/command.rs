//! Commands: what peers say to each other and applications do not see.

use bytes::{BufMut, Bytes, BytesMut};

use super::{HandshakeError, ProtocolError, SocketType};

/// Longest identity ("The Identity Property").
const MAX_IDENTITY: usize = 255;
/// Longest context of a PING ("Connection Heartbeating").
const MAX_CONTEXT: usize = 16;

/// A command that has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Command {
    /// With its metadata.
    Ready(Bytes),
    /// With its reason.
    Error(String),
    /// PLAIN: the credentials, as they came.
    Hello(Bytes),
    /// PLAIN: they are valid.
    Welcome,
    /// PLAIN: with its metadata.
    Initiate(Bytes),
    Ping {
        /// Tenths of seconds after which a silent peer is gone; 0 says nothing.
        ttl: u16,
        context: Bytes,
    },
    Pong,
    Subscribe(Bytes),
    Cancel(Bytes),
    /// One that is not for us. Peers of later versions may say what we do not know; libzmq drops
    /// it too.
    Other,
}

impl Command {
    /// Reads the body of a command frame.
    pub(super) fn read(body: &Bytes) -> Result<Self, ProtocolError> {
        let Some((&length, rest)) = body.split_first() else { return Err(ProtocolError::Command) };
        let (Some(name), true) = (rest.get(..usize::from(length)), length > 0) else {
            return Err(ProtocolError::Command);
        };
        let data = body.slice(1 + name.len()..);
        Ok(match name {
            b"READY" => Self::Ready(data),
            b"ERROR" => Self::Error(reason(&data)),
            b"HELLO" => Self::Hello(data),
            b"WELCOME" => Self::Welcome,
            b"INITIATE" => Self::Initiate(data),
            b"PING" => {
                let Some((ttl, context)) = data.split_first_chunk() else {
                    return Err(ProtocolError::Command);
                };
                if context.len() > MAX_CONTEXT {
                    return Err(ProtocolError::Command);
                }
                Self::Ping { ttl: u16::from_be_bytes(*ttl), context: data.slice(ttl.len()..) }
            }
            b"PONG" => Self::Pong,
            b"SUBSCRIBE" => Self::Subscribe(data),
            b"CANCEL" => Self::Cancel(data),
            _ => Self::Other,
        })
    }
}

/// What an ERROR says; it is for logs ("The NULL Security Mechanism") and so never refused.
fn reason(data: &[u8]) -> String {
    let said = match data.split_first() {
        Some((&length, text)) => text.get(..usize::from(length)).unwrap_or(text),
        None => &[],
    };
    String::from_utf8_lossy(said).into_owned()
}

/// The body of a command of this name.
pub(super) fn named(name: &str) -> BytesMut {
    let mut body = BytesMut::with_capacity(64);
    body.put_u8(u8::try_from(name.len()).expect("names of commands are short"));
    body.put_slice(name.as_bytes());
    body
}

/// READY, with an empty identity where there may be one, as libzmq sends it.
pub(super) fn ready(kind: SocketType) -> BytesMut {
    described("READY", kind)
}

/// INITIATE of PLAIN, which says the same.
pub(super) fn initiate(kind: SocketType) -> BytesMut {
    described("INITIATE", kind)
}

fn described(name: &str, kind: SocketType) -> BytesMut {
    let mut body = named(name);
    property(&mut body, "Socket-Type", kind.name().as_bytes());
    if kind.has_identity() {
        property(&mut body, "Identity", b"");
    }
    body
}

fn property(body: &mut BytesMut, name: &str, value: &[u8]) {
    body.put_u8(u8::try_from(name.len()).expect("names of properties are short"));
    body.put_slice(name.as_bytes());
    body.put_u32(u32::try_from(value.len()).expect("values of properties are short"));
    body.put_slice(value);
}

/// ERROR; a reason is printable ASCII, and cut at 255 bytes.
pub(super) fn error(reason: &str) -> BytesMut {
    let mut body = named("ERROR");
    let said = reason.bytes().map(|byte| if byte.is_ascii_graphic() { byte } else { b'_' });
    let said: Vec<u8> = said.take(255).collect();
    body.put_u8(u8::try_from(said.len()).expect("cut just now"));
    body.put_slice(&said);
    body
}

/// PING without a promise of when the next comes, and without a context.
pub(super) fn ping() -> BytesMut {
    let mut body = named("PING");
    body.put_u16(0);
    body
}

/// PONG to a PING with this context.
pub(super) fn pong(context: &[u8]) -> BytesMut {
    let mut body = named("PONG");
    body.put_slice(context);
    body
}

/// SUBSCRIBE or CANCEL of ZMTP 3.1 ("The Publish-Subscribe Pattern").
pub(super) fn subscription(subscribe: bool, prefix: &[u8]) -> BytesMut {
    let mut body = named(if subscribe { "SUBSCRIBE" } else { "CANCEL" });
    body.put_slice(prefix);
    body
}

/// The Socket-Type in the metadata of READY, as it came. An identity is read and thrown away: the
/// connection is the identity here.
pub(super) fn socket_type(metadata: &[u8]) -> Result<&[u8], HandshakeError> {
    let (mut rest, mut found) = (metadata, None);
    while !rest.is_empty() {
        let (name, value, after) = next_property(rest)
            .ok_or(HandshakeError::Metadata("a property without a name, or cut off"))?;
        rest = after;
        if name.eq_ignore_ascii_case(b"Socket-Type") {
            found = Some(value);
        } else if name.eq_ignore_ascii_case(b"Identity") && value.len() > MAX_IDENTITY {
            return Err(HandshakeError::Metadata("an identity of more than 255 bytes"));
        }
    }
    found.ok_or(HandshakeError::Metadata("there is no Socket-Type"))
}

/// The property that `bytes` begin with: its name, its value, and what follows it.
fn next_property(bytes: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let (&length, rest) = bytes.split_first()?;
    let (name, rest) = rest.split_at_checked(usize::from(length))?;
    let (length, rest) = rest.split_first_chunk()?;
    let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
    let (value, rest) = rest.split_at_checked(length)?;
    (!name.is_empty()).then_some((name, value, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(body: &'static [u8]) -> Result<Command, ProtocolError> {
        Command::read(&Bytes::from_static(body))
    }

    #[test]
    fn each_command_is_read_by_its_name() {
        let context = Bytes::from_static(b"context");
        for (body, expected) in [
            (&b"\x05READYmeta"[..], Command::Ready(Bytes::from_static(b"meta"))),
            (b"\x05ERROR\x02no", Command::Error("no".to_owned())),
            (b"\x05ERROR\x09cut", Command::Error("cut".to_owned())),
            (b"\x05ERROR", Command::Error(String::new())),
            (b"\x04PING\x01\x02context", Command::Ping { ttl: 258, context }),
            (b"\x04PING\0\0", Command::Ping { ttl: 0, context: Bytes::new() }),
            (b"\x04PONGcontext", Command::Pong),
            (b"\x09SUBSCRIBEab", Command::Subscribe(Bytes::from_static(b"ab"))),
            (b"\x06CANCEL", Command::Cancel(Bytes::new())),
            (b"\x04JOINgroup", Command::Other),
            (b"\x04ping\0\0", Command::Other),
            (b"\x03PING\0", Command::Other),
        ] {
            assert_eq!(read(body), Ok(expected), "{body:?}");
        }
    }

    #[test]
    fn what_is_no_command_is_refused() {
        for body in [
            &b""[..],
            b"\0",
            b"\x05PING",
            b"\xff",
            b"\x04PING",
            b"\x04PING\0",
            b"\x04PING\0\0seventeen bytes!!",
        ] {
            assert_eq!(read(body), Err(ProtocolError::Command), "{body:?}");
        }
        assert!(read(b"\x04PING\0\0sixteen bytes...").is_ok());
    }

    #[test]
    fn ours_are_written_as_libzmq_writes_them() {
        let dealer = b"\x05READY\x0bSocket-Type\0\0\0\x06DEALER\x08Identity\0\0\0\0";
        assert_eq!(&ready(SocketType::Dealer)[..], dealer);
        assert_eq!(&ready(SocketType::XPub)[..], b"\x05READY\x0bSocket-Type\0\0\0\x04XPUB");
        assert_eq!(&ping()[..], b"\x04PING\0\0");
        assert_eq!(&pong(b"abc")[..], b"\x04PONGabc");
        assert_eq!(&subscription(true, b"a\0")[..], b"\x09SUBSCRIBEa\0");
        assert_eq!(&subscription(false, b"")[..], b"\x06CANCEL");
        assert_eq!(&error("it is so")[..], b"\x05ERROR\x08it_is_so");
        assert_eq!(error(&"x".repeat(300)).len(), 6 + 1 + 255);
    }

    #[test]
    fn the_type_is_found_among_other_metadata_whatever_its_case() {
        for metadata in [
            &b"\x0bSocket-Type\0\0\0\x03REQ"[..],
            b"\x0bsocket-TYPE\0\0\0\x03REQ",
            b"\x08Identity\0\0\0\x02me\x0bSocket-Type\0\0\0\x03REQ\x03X-a\0\0\0\0",
        ] {
            assert_eq!(socket_type(metadata).unwrap(), b"REQ", "{metadata:?}");
        }
    }

    #[test]
    fn metadata_that_cannot_be_read_is_refused() {
        let identity = [&b"\x08identity\0\0\x01\0"[..], &[7; 256]].concat();
        for metadata in [
            &b""[..],
            b"\x08Identity\0\0\0\0",
            b"\0\0\0\0\0",
            b"\x0bSocket-Type",
            b"\x0bSocket-Type\0\0\0\x04REQ",
            b"\x0bSocket-Type\xff\xff\xff\xffREQ",
            b"\x0bSocket-Type\0\0\0\x03REQ\x0c",
            &identity,
        ] {
            let found = socket_type(metadata);
            assert!(matches!(found, Err(HandshakeError::Metadata(_))), "{metadata:?}: {found:?}");
        }
    }
}
