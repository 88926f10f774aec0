//! What stands around a body, and what language the body is in.

use bytes::Bytes;
use descartes_rpc::error::{ErrorKind, RpcError};

use crate::{
    limits::{ENVELOPE_BYTES, ENVELOPE_FRAMES},
    msgpack::{MapKind, map_kind},
    zmtp::Multipart,
};

/// The frames up to and with the first empty one; repeated before each answer.
///
/// A REQ puts one empty frame in front, a proxy its own frames before that; a DEALER need not have
/// any (RFC 28, "The Extended Request-Reply Envelope").
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Envelope(Vec<Bytes>);

impl Envelope {
    /// That of REQ.
    pub(super) fn delimiter() -> Self {
        Self(vec![Bytes::new()])
    }

    /// An answer in it.
    pub(super) fn around(&self, body: Bytes) -> Multipart {
        if self.0.is_empty() {
            return Multipart::single(body);
        }
        let mut frames = Vec::with_capacity(self.0.len() + 1);
        frames.extend_from_slice(&self.0);
        frames.push(body.clone());
        Multipart::new(frames).unwrap_or_else(|| Multipart::single(body))
    }
}

/// The language of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Codec {
    /// JSON-RPC in JSON; also what is nothing at all, so that it is answered.
    Json,
    /// JSON-RPC in MessagePack.
    MsgPack,
    /// The agent protocol.
    Agent,
}

impl Codec {
    /// The first byte tells, and for a map of MessagePack its first telling member.
    pub(super) fn of(body: &[u8]) -> Self {
        match body.first() {
            Some(0x80..=0x8f | 0xde | 0xdf) => match map_kind(body) {
                MapKind::JsonRpc => Self::MsgPack,
                MapKind::Agent => Self::Agent,
            },
            Some(0x90..=0x9f | 0xdc | 0xdd) => Self::MsgPack,
            _ => Self::Json,
        }
    }
}

/// Whether this is what `ZMQ_PROBE_ROUTER` sends before everything else: one empty frame, so that a
/// ROUTER learns of its peer. It is no request; whoever sends it takes no answer to it.
pub(super) fn is_probe(message: &Multipart) -> bool {
    matches!(message.frames(), [only] if only.is_empty())
}

/// A message in its parts.
#[derive(Debug, PartialEq)]
pub(super) struct Opened {
    pub(super) envelope: Envelope,
    pub(super) codec: Codec,
    pub(super) body: Bytes,
    /// Why the message is not looked into.
    pub(super) fault: Option<RpcError>,
}

/// Takes a message apart.
pub(super) fn open(message: Multipart) -> Opened {
    let mut frames = message.into_frames();
    let body = frames.pop().unwrap_or_default();
    let codec = Codec::of(&body);
    let end = frames.iter().position(Bytes::is_empty).map_or(0, |at| at + 1);
    let single = frames.len() == end;
    frames.truncate(end);
    if frames.len() > ENVELOPE_FRAMES
        || frames.iter().map(Bytes::len).sum::<usize>() > ENVELOPE_BYTES
    {
        let why =
            format!("an envelope has at most {ENVELOPE_FRAMES} frames and {ENVELOPE_BYTES} bytes");
        let fault = Some(RpcError::new(ErrorKind::InvalidRequest, why));
        return Opened { envelope: Envelope::delimiter(), codec, body, fault };
    }
    let fault = (!single).then(|| {
        RpcError::new(ErrorKind::InvalidRequest, "a message has one frame behind its envelope")
            .hint("put an empty frame between what is to be repeated and the message")
    });
    Opened { envelope: Envelope(frames), codec, body, fault }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn opened(frames: &[&'static [u8]]) -> Opened {
        let frames = frames.iter().map(|frame| Bytes::from_static(frame)).collect();
        open(Multipart::new(frames).unwrap())
    }

    #[test]
    fn the_envelope_ends_at_the_first_empty_frame() {
        for (frames, envelope, body) in [
            (&[&b"{}"[..]][..], &[][..], Some(&b"{}"[..])),
            (&[b"", b"{}"], &[&b""[..]], Some(b"{}")),
            (&[b"a", b"b", b"", b"{}"], &[b"a", b"b", b""], Some(b"{}")),
            (&[b""], &[], Some(b"")),
            (&[b"", b""], &[b""], Some(b"")),
            (&[b"a", b"{}"], &[], None),
            (&[b"", b"a", b"{}"], &[b""], None),
            (&[b"", b"", b"{}"], &[b""], None),
        ] {
            let opened = opened(frames);
            assert_eq!(opened.envelope.0, envelope, "{frames:?}");
            let taken = opened.fault.is_none().then_some(&opened.body[..]);
            assert_eq!(taken, body, "{frames:?}");
        }
    }

    #[test]
    fn an_answer_stands_in_the_same_envelope() {
        let envelope = opened(&[b"a", b"", b"{}"]).envelope;
        let answer = envelope.around(Bytes::from_static(b"1"));
        assert_eq!(answer.frames(), [&b"a"[..], b"", b"1"]);
        assert_eq!(Envelope::default().around(Bytes::new()).frames(), [&b""[..]]);
    }

    #[test]
    fn an_envelope_beyond_its_bounds_is_refused_behind_a_delimiter() {
        let many = [&[&b"x"[..]; ENVELOPE_FRAMES][..], &[b"", b"{}"]].concat();
        static LONG: [u8; ENVELOPE_BYTES + 1] = [7; ENVELOPE_BYTES + 1];
        for frames in [&many[..], &[&LONG[..], b"", b"{}"]] {
            let opened = opened(frames);
            assert_eq!(opened.envelope, Envelope::delimiter());
            assert_eq!(opened.fault.unwrap().kind(), ErrorKind::InvalidRequest);
        }
        let most = [&[&b"x"[..]; ENVELOPE_FRAMES - 1][..], &[b"", b"{}"]].concat();
        assert!(opened(&most).fault.is_none());
    }

    #[test]
    fn the_first_byte_tells_the_language() {
        for body in [&b"{}"[..], b"[]", b" {}", b"", b"rubbish", b"1", b"\x01", b"\xc0", b"\xff"] {
            assert_eq!(Codec::of(body), Codec::Json, "{body:?}");
        }
        for body in [&b"\x80"[..], b"\x90", b"\x9f", b"\xdc", b"\xdd", b"\xde", b"\xdf"] {
            assert_eq!(Codec::of(body), Codec::MsgPack, "{body:?}");
        }
        assert_eq!(Codec::of(b"\x81\xa4type\xa1x"), Codec::Agent);
        assert_eq!(Codec::of(b"\x81\xa7jsonrpc\xa32.0"), Codec::MsgPack);
    }
}
