//! A head that is longer than is read: hyper answers it with a bare status. What is said instead
//! has a body, and where it was a key or token that did not fit, it is what any other wrong one is
//! told.

use bytes::Bytes;
use descartes_rpc::{
    auth::Authenticator,
    error::{ErrorKind, RpcError},
};
use http::StatusCode;

use crate::refusal;

/// How hyper begins its answer (RFC 6585 section 5).
const TOO_LONG: &[u8] = b"HTTP/1.1 431 ";
/// The fields that carry credentials.
const CREDENTIALS: [&[u8]; 2] = [b"authorization:", b"x-api-key:"];
/// Bytes of the name of a field that are looked at.
const NAME_BYTES: usize = 16;

/// What is known of the head that is being read.
#[derive(Debug, Default)]
pub(super) struct LongHead {
    /// How the last line begins of which something came.
    line: Vec<u8>,
    /// What is still to be said of it.
    answer: Option<Bytes>,
}

impl LongHead {
    /// More of the head has come.
    pub(super) fn hear(&mut self, bytes: &[u8]) {
        let rest = match bytes.iter().rposition(|byte| *byte == b'\n') {
            Some(end) => {
                self.line.clear();
                &bytes[end + 1..]
            }
            None => bytes,
        };
        let room = NAME_BYTES - self.line.len();
        self.line.extend(rest.iter().take(room));
    }

    /// Whether `written`, said before there was a request, refuses the head; from then on there is
    /// an answer to it.
    pub(super) fn is_refused_by(&mut self, written: &[u8]) -> bool {
        let refused = self.answer.is_none() && written.starts_with(TOO_LONG);
        if refused {
            self.answer = Some(self.say());
        }
        refused
    }

    /// What is left to be said; nothing where there was no such head.
    pub(super) const fn left(&mut self) -> Option<&mut Bytes> {
        self.answer.as_mut()
    }

    fn say(&self) -> Bytes {
        let names = |name: &&[u8]| {
            let start = self.line.get(..name.len());
            start.is_some_and(|start| start.eq_ignore_ascii_case(name))
        };
        if CREDENTIALS.iter().any(names) {
            return refusal::raw(StatusCode::UNAUTHORIZED, Authenticator::not_valid()).freeze();
        }
        let error = RpcError::new(ErrorKind::InvalidRequest, "the head of the request is too long");
        refusal::raw(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, error).freeze()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is said of a head that came in these pieces.
    fn said(pieces: &[&str]) -> String {
        let mut head = LongHead::default();
        pieces.iter().for_each(|piece| head.hear(piece.as_bytes()));
        assert!(!head.is_refused_by(b"HTTP/1.1 200 OK\r\n") && head.left().is_none());
        assert!(head.is_refused_by(b"HTTP/1.1 431 Request Header Fields Too Large\r\n"));
        assert!(!head.is_refused_by(TOO_LONG), "once");
        String::from_utf8(head.left().unwrap().to_vec()).unwrap()
    }

    #[test]
    fn credentials_that_are_too_long_are_not_valid_like_any_others() {
        let long = "x".repeat(100);
        for pieces in [
            ["GET / HTTP/1.1\r\nAuthor", "ization: Bearer ", &long],
            ["GET / HTTP/1.1\r\n", "a: b\r\nX-API-KEY:", &long],
            ["GET / HTTP/1.1\r\nauthorization: ", &long, &long],
        ] {
            let said = said(&pieces);
            assert!(said.starts_with("HTTP/1.1 401 "), "{said}");
            assert!(
                said.contains("\r\nwww-authenticate: Bearer realm=\"descartes\"\r\n"),
                "{said}"
            );
            assert!(said.contains("these credentials are not valid"), "{said}");
        }
    }

    #[test]
    fn anything_else_that_is_too_long_is_an_invalid_request() {
        let long = "authorization: ".repeat(100);
        for pieces in [
            ["GET /", &long, ""],
            ["GET / HTTP/1.1\r\nX-Authorization: ", &long, ""],
            ["GET / HTTP/1.1\r\nAuthorization: x\r\n", "a: b\r\n", "c: d"],
            ["", "", ""],
        ] {
            let said = said(&pieces);
            assert!(said.starts_with("HTTP/1.1 431 ") && said.contains("-32600"), "{said}");
        }
    }
}
