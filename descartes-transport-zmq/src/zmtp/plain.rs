//! PLAIN: a key or a token in the clear, before anything else is said (RFC 24, and "The PLAIN
//! Security Mechanism" of RFC 37).
//!
//! A name and a password have at most 255 bytes each. A key is the password, whatever the name; a
//! token that is longer than 255 bytes goes on from the name, which is full then, into the password.

use bytes::{BufMut, BytesMut};
use descartes_rpc::auth::Secret;

use super::{HandshakeError, command};

/// The longest text that a length of one byte can announce.
const TEXT_BYTES: usize = 255;
/// What a peer hears whose credentials are not valid: the status that libzmq knows (RFC 27).
pub(super) const REFUSED: &str = "400";

/// The body of HELLO with `secret`.
pub(super) fn hello(secret: &Secret) -> Result<BytesMut, HandshakeError> {
    let text = secret.expose().as_bytes();
    let at = if text.len() > TEXT_BYTES { TEXT_BYTES } else { 0 };
    let (name, password) = text.split_at(at);
    let mut body = command::named("HELLO");
    for part in [name, password] {
        body.put_u8(u8::try_from(part.len()).map_err(|_error| HandshakeError::LongCredentials)?);
        body.put_slice(part);
    }
    Ok(body)
}

/// The key or token in the data of a HELLO; `None` when that is malformed.
pub(super) fn credentials(data: &[u8]) -> Option<Secret> {
    let (name, rest) = text(data)?;
    let (password, rest) = text(rest)?;
    let goes_on = name.len() == TEXT_BYTES && name.contains(&b'.');
    let whole = if goes_on { [name, password].concat() } else { password.to_vec() };
    // What is no text is no credentials of anybody.
    rest.is_empty().then(|| Secret::new(String::from_utf8(whole).unwrap_or_default()))
}

fn text(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (&length, rest) = bytes.split_first()?;
    rest.split_at_checked(usize::from(length))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(body: &[u8]) -> Option<String> {
        let data = body.strip_prefix(b"\x05HELLO").expect("the name of the command");
        credentials(data).map(|secret| secret.expose().to_owned())
    }

    #[test]
    fn what_is_said_is_heard_up_to_its_bound() {
        for length in [0, 1, 86, 255] {
            let secret = "x".repeat(length);
            assert_eq!(read(&hello(&Secret::new(&*secret)).unwrap()).unwrap(), secret, "{length}");
        }
        for length in [256, 400, 510] {
            let token = format!("{}.{}", "a".repeat(36), "b".repeat(length - 37));
            assert_eq!(read(&hello(&Secret::new(&*token)).unwrap()).unwrap(), token, "{length}");
        }
        assert!(hello(&Secret::new("x".repeat(511))).is_err());
    }

    #[test]
    fn a_hello_of_other_libraries_is_read_and_what_is_none_is_not() {
        // RFC 24: two texts, each behind its length.
        assert_eq!(credentials(b"\x05admin\x06secret").unwrap().expose(), "secret");
        assert_eq!(credentials(b"\x00\x06secret").unwrap().expose(), "secret");
        assert_eq!(credentials(b"\x03a.b\x06secret").unwrap().expose(), "secret");
        assert_eq!(credentials(b"\x00\x02\xff\xfe").unwrap().expose(), "");
        for data in [&b""[..], b"\x05admin", b"\x05admi", b"\x00\x07secret", b"\x00\x05secret"] {
            assert!(credentials(data).is_none(), "{data:?}");
        }
    }
}
