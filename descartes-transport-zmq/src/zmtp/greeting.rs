//! The first 64 bytes of both ends ("Formal Grammar", greeting).

use super::HandshakeError;

pub(super) const LENGTH: usize = 64;
/// What a peer may wait for before it says more: the signature and the major version ("Version
/// Negotiation").
pub(super) const BEGINNING: usize = 11;
/// Where the major version, and the minor one behind it, stands.
const VERSION: usize = 10;
const MECHANISM: std::ops::Range<usize> = 12..32;
const AS_SERVER: usize = 32;

/// How peers say who they are, before anything else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mechanism {
    /// Not at all.
    Null,
    /// With a name and a password.
    Plain,
}

impl Mechanism {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Null => "NULL",
            Self::Plain => "PLAIN",
        }
    }

    fn field(self) -> [u8; 20] {
        let mut field = [0; 20];
        field[..self.name().len()].copy_from_slice(self.name().as_bytes());
        field
    }
}

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

/// Ours: ZMTP 3.1. NULL has no servers, and leaves the rest zero.
pub(super) fn ours(mechanism: Mechanism, as_server: bool) -> [u8; LENGTH] {
    let mut greeting = [0; LENGTH];
    (greeting[0], greeting[9]) = (0xFF, 0x7F);
    greeting[VERSION..VERSION + 2].copy_from_slice(&[3, 1]);
    greeting[MECHANISM].copy_from_slice(&mechanism.field());
    greeting[AS_SERVER] = u8::from(as_server && mechanism != Mechanism::Null);
    greeting
}

/// The version of a peer whose greeting `bytes` begin with, and which of the mechanisms that are
/// `spoken` it wants; `None` when some of it is missing.
///
/// The padding is not looked at ("Version Negotiation"), and neither is as-server: it has no
/// significance for NULL ("Topology"), and two servers of PLAIN wait for each other's HELLO.
///
/// # Errors
///
/// When we cannot talk to it, as soon as that can be seen: older peers wait for our next byte.
pub(super) fn read(
    bytes: &[u8],
    spoken: &[Mechanism],
) -> Result<Option<(Version, Mechanism)>, HandshakeError> {
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
    let Some(wanted) = spoken.iter().find(|one| *mechanism == one.field()) else {
        let name = mechanism.split(|byte| *byte == 0).next().unwrap_or_default();
        let peer = String::from_utf8_lossy(name).into_owned();
        let ours = spoken.first().map_or("", |first| first.name());
        return Err(HandshakeError::Mechanism { peer, ours });
    };
    Ok(Some((Version { major: greeting[VERSION], minor: greeting[VERSION + 1] }, *wanted)))
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
        assert_eq!(ours(Mechanism::Null, true).as_slice(), expected.concat());
        let plain = ours(Mechanism::Plain, true);
        assert_eq!(&plain[12..18], b"PLAIN\0");
        assert_eq!((plain[32], ours(Mechanism::Plain, false)[32]), (1, 0));
    }

    #[test]
    fn a_greeting_is_read_when_its_last_byte_is_there_whatever_its_padding() {
        for (major, minor, commands) in [(3, 0, false), (3, 1, true), (3, 9, true), (4, 0, true)] {
            let mut greeting = ours(Mechanism::Null, false);
            greeting[1..9].copy_from_slice(b"whatever");
            (greeting[10], greeting[11]) = (major, minor);
            for cut in 0..LENGTH {
                let some = read(&greeting[..cut], &[Mechanism::Null]);
                assert_eq!(some.unwrap(), None, "{cut}");
            }
            let more = [&greeting[..], b"more"].concat();
            let (version, mechanism) = read(&more, &[Mechanism::Null]).unwrap().unwrap();
            assert_eq!((version, mechanism), (Version { major, minor }, Mechanism::Null));
            assert_eq!(version.has_commands(), commands, "{version:?}");
        }
    }

    #[test]
    fn whoever_speaks_something_else_is_known_by_the_first_byte_that_shows_it() {
        // ZMTP 1.0 begins with a short length; HTTP with a word.
        for bytes in [&b"\x01"[..], b"G", b"\xff\0\0\0\0\0\0\0\x01\x00"] {
            let refused = read(bytes, &[Mechanism::Null]);
            assert!(matches!(refused, Err(HandshakeError::NotZmtp)), "{bytes:?}");
        }
        for major in 0..3 {
            let greeting = [&b"\xff\0\0\0\0\0\0\0\x01\x7f"[..], &[major]].concat();
            let Err(HandshakeError::Version(found)) = read(&greeting, &[Mechanism::Null]) else {
                panic!("{greeting:?}")
            };
            assert_eq!(found, major);
        }
    }

    #[test]
    fn other_mechanisms_are_named_in_their_refusal() {
        for name in ["CURVE", "PLAIN", "NULL", "NULLX", "", "ABCDEFGHIJKLMNOPQRST"] {
            let spoken = if name == "NULL" { Mechanism::Plain } else { Mechanism::Null };
            let mut greeting = ours(spoken, false);
            greeting[MECHANISM].fill(0);
            greeting[12..12 + name.len()].copy_from_slice(name.as_bytes());
            let refused = read(&greeting, &[spoken]);
            let Err(HandshakeError::Mechanism { peer, ours }) = refused else { panic!("{name}") };
            assert_eq!((peer.as_str(), ours), (name, spoken.name()));
        }
    }

    #[test]
    fn of_two_mechanisms_the_peers_is_taken_and_of_others_the_first_is_named() {
        let both = [Mechanism::Null, Mechanism::Plain];
        for wanted in both {
            let (_, found) = read(&ours(wanted, false), &both).unwrap().unwrap();
            assert_eq!(found, wanted);
        }
        let mut greeting = ours(Mechanism::Null, false);
        greeting[12..17].copy_from_slice(b"CURVE");
        let Err(HandshakeError::Mechanism { ours, .. }) = read(&greeting, &both) else { panic!() };
        assert_eq!(ours, "NULL");
    }
}
