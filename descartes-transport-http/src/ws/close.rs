//! How a WebSocket connection ends, and the codes that say why.

use std::borrow::Cow;

use bytes::{BufMut, Bytes, BytesMut};

/// A control frame carries at most so much (RFC 6455 section 5.5), two bytes of it the code.
const MAX_REASON: usize = super::frame::MAX_CONTROL - 2;

/// The codes that are sent: those of RFC 6455 section 7.4.1, 1013 of the registry it founded, and
/// those of the range for applications (section 7.4.2) that read like HTTP statuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub(crate) enum CloseCode {
    /// Nothing more is to be said.
    Normal = 1000,
    /// The server stops.
    GoingAway = 1001,
    /// The peer breaks the protocol.
    Protocol = 1002,
    /// Binary frames have no meaning here.
    Unsupported = 1003,
    /// A text frame is not UTF-8.
    NotText = 1007,
    /// A message beyond what is even skipped.
    TooBig = 1009,
    /// There is no room for another connection.
    Overloaded = 1013,
    /// Credentials are needed.
    Unauthenticated = 4401,
    /// The credentials have expired or were revoked.
    Forbidden = 4403,
    /// Nobody has logged in in time.
    LoginTimeout = 4408,
}

/// A code with its reason, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Close {
    pub(crate) code: CloseCode,
    reason: Cow<'static, str>,
}

impl Close {
    /// Words beyond what fits into the frame are cut off.
    pub(crate) fn new(code: CloseCode, reason: impl Into<Cow<'static, str>>) -> Self {
        Self { code, reason: reason.into() }
    }

    pub(crate) const fn protocol(reason: &'static str) -> Self {
        Self { code: CloseCode::Protocol, reason: Cow::Borrowed(reason) }
    }

    pub(crate) fn reason(&self) -> &str {
        let most = self.reason.len().min(MAX_REASON);
        let end = (0..=most).rev().find(|at| self.reason.is_char_boundary(*at));
        &self.reason[..end.unwrap_or(0)]
    }

    /// The payload of its frame.
    pub(super) fn payload(&self) -> Bytes {
        let mut payload = BytesMut::with_capacity(2 + self.reason().len());
        payload.put_u16(self.code as u16);
        payload.put_slice(self.reason().as_bytes());
        payload.freeze()
    }
}

/// What a peer's close frame says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Farewell {
    /// Absent when the frame is empty.
    pub(crate) code: Option<u16>,
    pub(crate) reason: String,
}

impl Farewell {
    /// Reads the payload of a close frame.
    ///
    /// # Errors
    ///
    /// What the peer did wrong, to be answered with.
    pub(super) fn read(payload: &[u8]) -> Result<Self, Close> {
        let Some((code, reason)) = payload.split_first_chunk() else {
            let empty = Self { code: None, reason: String::new() };
            let half = || Close::protocol("half a close code");
            return payload.is_empty().then_some(empty).ok_or_else(half);
        };
        let code = u16::from_be_bytes(*code);
        if !may_be_sent(code) {
            return Err(Close::protocol("a close code that nobody may send"));
        }
        let not_text = |_| Close::new(CloseCode::NotText, "the reason is not UTF-8");
        let reason = str::from_utf8(reason).map_err(not_text)?.to_owned();
        Ok(Self { code: Some(code), reason })
    }
}

/// Which codes may stand in a frame: RFC 6455 section 7.4 and the registry of section 11.7.
fn may_be_sent(code: u16) -> bool {
    matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_cut_where_it_no_longer_fits_and_never_inside_a_character() {
        let long = Close::new(CloseCode::Overloaded, "ä".repeat(100));
        assert_eq!(long.payload().len(), 2 + 122);
        assert_eq!(Farewell::read(&long.payload()).unwrap().reason, "ä".repeat(61));
    }

    #[test]
    fn only_codes_that_may_be_sent_are_taken() {
        assert_eq!(Farewell::read(b"").unwrap().code, None);
        for (payload, code) in [
            (&b"\x03"[..], CloseCode::Protocol),
            (&[0x03, 0xed], CloseCode::Protocol),
            (&[0x03, 0xee], CloseCode::Protocol),
            (&[0x03, 0xf7], CloseCode::Protocol),
            (&[0x00, 0x00], CloseCode::Protocol),
            (&[0x13, 0x88], CloseCode::Protocol),
            (&[0x03, 0xe8, 0xff], CloseCode::NotText),
        ] {
            assert_eq!(Farewell::read(payload).unwrap_err().code, code, "{payload:?}");
        }
        for code in [1000_u16, 1001, 1011, 1013, 3000, 4401] {
            assert_eq!(Farewell::read(&code.to_be_bytes()).unwrap().code, Some(code));
        }
    }
}
