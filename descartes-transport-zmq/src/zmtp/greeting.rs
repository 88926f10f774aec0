//! The first 64 bytes of both ends ("Formal Grammar", greeting).

use super::HandshakeError;

pub(super) const LENGTH: usize = 64;
/// Where the major version, and the minor one behind it, stands.
const VERSION: usize = 10;
const MECHANISM: std::ops::Range<usize> = 12..32;
const NULL: &[u8; 20] = b"NULL\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";

/// What a peer speaks; ordered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Version {
    major: u8,
    minor: u8,
}

impl Version {
    /// Whether it knows PING, and subscribes by commands: ZMTP 3.1 and whatever comes after it.
    pub(super) const fn has_commands(self) -> bool {
        self.major > 3 || self.minor > 0
    }
}

/// Ours: ZMTP 3.1, NULL, which leaves the rest zero.
pub(super) fn ours() -> [u8; LENGTH] {
    let mut greeting = [0; LENGTH];
    (greeting[0], greeting[9]) = (0xFF, 0x7F);
    greeting[VERSION..VERSION + 2].copy_from_slice(&[3, 1]);
    greeting[MECHANISM].copy_from_slice(NULL);
    greeting
}

/// The version of a peer whose greeting `bytes` begin with; `None` when some of it is missing.
///
/// The padding is not looked at ("Version Negotiation"), and neither is as-server, which has no
/// significance for NULL ("Topology").
///
/// # Errors
///
/// When we cannot talk to it, as soon as that can be seen: older peers wait for our next byte.
pub(super) fn read(bytes: &[u8]) -> Result<Option<Version>, HandshakeError> {
    let differs = |at: usize, expected: u8| bytes.get(at).is_some_and(|byte| *byte != expected);
    if differs(0, 0xFF) || differs(9, 0x7F) {
        return Err(HandshakeError::NotZmtp);
    }
    if let Some(&major) = bytes.get(VERSION)
        && major < 3
    {
        return Err(HandshakeError::Version(major));
    }
    let Some(greeting) = bytes.first_chunk::<LENGTH>() else { return Ok(None) };
    let mechanism = &greeting[MECHANISM];
    if mechanism != NULL {
        let name = mechanism.split(|byte| *byte == 0).next().unwrap_or_default();
        return Err(HandshakeError::Mechanism(String::from_utf8_lossy(name).into_owned()));
    }
    Ok(Some(Version { major: greeting[VERSION], minor: greeting[VERSION + 1] }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_greeting_is_that_of_the_grammar() {
        let expected = [
            &b"\xff\0\0\0\0\0\0\0\0\x7f"[..],
            b"\x03\x01",
            b"NULL\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0",
            b"\0",
            &[0; 31],
        ];
        assert_eq!(ours().as_slice(), expected.concat());
    }

    #[test]
    fn a_greeting_is_read_when_its_last_byte_is_there_whatever_its_padding() {
        for (major, minor, commands) in [(3, 0, false), (3, 1, true), (3, 9, true), (4, 0, true)] {
            let mut greeting = ours();
            greeting[1..9].copy_from_slice(b"whatever");
            (greeting[10], greeting[11]) = (major, minor);
            for cut in 0..LENGTH {
                assert_eq!(read(&greeting[..cut]).unwrap(), None, "{cut}");
            }
            let version = read(&[&greeting[..], b"more"].concat()).unwrap().unwrap();
            assert_eq!(version, Version { major, minor });
            assert_eq!(version.has_commands(), commands, "{version:?}");
        }
    }

    #[test]
    fn whoever_speaks_something_else_is_known_by_the_first_byte_that_shows_it() {
        // ZMTP 1.0 begins with a short length; HTTP with a word.
        for bytes in [&b"\x01"[..], b"G", b"\xff\0\0\0\0\0\0\0\x01\x00"] {
            assert!(matches!(read(bytes), Err(HandshakeError::NotZmtp)), "{bytes:?}");
        }
        for major in 0..3 {
            let greeting = [&b"\xff\0\0\0\0\0\0\0\x01\x7f"[..], &[major]].concat();
            let Err(HandshakeError::Version(found)) = read(&greeting) else {
                panic!("{greeting:?}")
            };
            assert_eq!(found, major);
        }
    }

    #[test]
    fn other_mechanisms_are_named_in_their_refusal() {
        for name in ["CURVE", "PLAIN", "NULLX", "", "ABCDEFGHIJKLMNOPQRST"] {
            let mut greeting = ours();
            greeting[MECHANISM].fill(0);
            greeting[12..12 + name.len()].copy_from_slice(name.as_bytes());
            let Err(HandshakeError::Mechanism(found)) = read(&greeting) else { panic!("{name}") };
            assert_eq!(found, name);
        }
    }
}
