//! Bytes into what they ask for: one call, a batch, or rubbish.

use std::ops::Range;

use bytes::Bytes;

use crate::{
    envelope::{Defect, Envelope, Method, ScanError, Scanner, decode},
    error::{ErrorKind, RpcError},
    limits::{BATCH_CALLS, JSON_DEPTH},
    message::{Id, Params, Response, Text},
};

/// What a connection yields: a message, or word of one that was too long to keep.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// A whole message.
    Message(Bytes),
    /// A message longer than the connection takes; its content is gone.
    Oversize,
}

impl From<Bytes> for Arrival {
    fn from(message: Bytes) -> Self {
        Self::Message(message)
    }
}

/// One message as it was understood.
#[derive(Debug)]
pub enum Frame {
    /// A message of one call.
    Single(Entry),
    /// Several calls, to be answered with one array in any order.
    Batch(Vec<Entry>),
    /// Nothing in it can be attributed: one answer with id null.
    Malformed(RpcError),
}

/// One element of a message.
#[derive(Debug)]
pub enum Entry {
    /// A request or notification that may be tried.
    Call(Incoming),
    /// An element that is answered without being tried.
    Refused(Response),
    /// A broken notification: there is nobody to tell.
    Ignored,
}

/// A call as it came in. Method and parameters share the message's buffer.
#[derive(Clone, Debug)]
pub struct Incoming {
    /// `None` for a notification.
    pub id: Option<Id>,
    /// The method's name.
    pub method: Text,
    /// The parameters, checked to be JSON but not decoded.
    pub params: Params,
}

/// Understands one message. Never fails, never recurses; builds at most [`BATCH_CALLS`] small
/// entries beside the message.
#[must_use]
pub fn parse(message: &Bytes) -> Frame {
    let text = match text_of(message) {
        Ok(text) => text,
        Err(error) => return Frame::Malformed(error),
    };
    let mut scanner = Scanner::new(text);
    let frame = match scanner.peek() {
        Some(b'[') => batch(&mut scanner, message, text),
        _ => entry(&mut scanner, message, text).map(Frame::Single),
    };
    match frame.and_then(|frame| scanner.end().map(|()| frame)) {
        Ok(frame) => frame,
        Err(error) => Frame::Malformed(scan_error(error)),
    }
}

/// Understands a text that is the parameters of a call and nothing else; no text, no parameters.
///
/// # Errors
///
/// When it is not JSON, nested too deep, or neither an object nor an array.
pub fn parse_params(text: &Bytes) -> Result<Params, RpcError> {
    let mut scanner = Scanner::new(text_of(text)?);
    if scanner.peek().is_none() {
        return Ok(Params::ABSENT);
    }
    let range = scanner.value().map_err(scan_error)?;
    scanner.end().map_err(scan_error)?;
    params(Some(range), text).ok_or_else(neither_object_nor_array)
}

fn text_of(message: &Bytes) -> Result<&str, RpcError> {
    let text = std::str::from_utf8(message).ok();
    text.ok_or_else(|| RpcError::new(ErrorKind::ParseError, "the message is not UTF-8"))
}

fn batch(scanner: &mut Scanner<'_>, message: &Bytes, text: &str) -> Result<Frame, ScanError> {
    scanner.enter()?;
    let mut entries = Vec::new();
    let mut count = 0_usize;
    if !scanner.take(b']') {
        loop {
            count += 1;
            // Beyond the bound the rest is only checked to be JSON.
            if count > BATCH_CALLS {
                scanner.value()?;
            } else {
                entries.push(entry(scanner, message, text)?);
            }
            if !scanner.take(b',') {
                scanner.expect(b']')?;
                break;
            }
        }
    }
    scanner.leave();
    Ok(match count {
        0 => Frame::Malformed(RpcError::new(ErrorKind::InvalidRequest, "the batch is empty")),
        1..=BATCH_CALLS => Frame::Batch(entries),
        _ => Frame::Malformed(
            RpcError::new(
                ErrorKind::InvalidRequest,
                format!("the batch has {count} calls, more than {BATCH_CALLS}"),
            )
            .with("limit", "limits.batch_calls")
            .with("current", count)
            .with("max", BATCH_CALLS),
        ),
    })
}

fn entry(scanner: &mut Scanner<'_>, message: &Bytes, text: &str) -> Result<Entry, ScanError> {
    if scanner.peek() == Some(b'{') {
        return Ok(judge(Envelope::scan(scanner, text)?, message, text));
    }
    scanner.value()?;
    Ok(refused(Id::Null, "a request is an object"))
}

/// Decides what a well-formed object is.
fn judge(envelope: Envelope, message: &Bytes, text: &str) -> Entry {
    let id = match envelope.id.as_ref().map(|range| Id::from_json(&text[range.clone()])) {
        _ if envelope.defect == Some(Defect::TwoIds) => {
            return refused(Id::Null, "the member id stands there twice");
        }
        None => None,
        Some(Some(id)) => Some(id),
        Some(None) => return refused(Id::Null, "an id is a string, an integer or null"),
    };
    // A broken object is answered even without an identifier: it cannot be told for a notification.
    let blame = |why| refused(id.clone().unwrap_or(Id::Null), why);
    match envelope.defect {
        Some(Defect::TooManyMembers) => return blame("too many unknown members"),
        Some(_) => return blame("a member stands there twice"),
        None => {}
    }
    match envelope.version.map(|range| &text[range]) {
        Some(version) if is_two(version) => {}
        Some(_) => return blame("the member jsonrpc must be \"2.0\""),
        None => return blame("the member jsonrpc is missing"),
    }
    let method = match envelope.method {
        Some(Method::Name(name)) if name.escaped => decode(text, &name).map(Text::from),
        Some(Method::Name(name)) => {
            Text::from_utf8(message.slice(name.range.start + 1..name.range.end - 1))
        }
        Some(Method::NotText) => return blame("the member method must be a string"),
        None => return blame("the member method is missing"),
    };
    let Some(method) = method else { return blame("the member method is not Unicode text") };
    match params(envelope.params, message) {
        Some(params) => Entry::Call(Incoming { id, method, params }),
        None => scalar_params(id),
    }
}

/// Whether a version is 2.0, also where it is written with escapes.
fn is_two(json: &str) -> bool {
    json == "\"2.0\""
        || json.contains('\\') && serde_json::from_str::<String>(json).is_ok_and(|is| is == "2.0")
}

fn params(range: Option<Range<usize>>, message: &Bytes) -> Option<Params> {
    let Some(range) = range else { return Some(Params::ABSENT) };
    let json = message.slice(range);
    matches!(json.first(), Some(b'{' | b'[')).then(|| Params::from_json(json))
}

fn scalar_params(id: Option<Id>) -> Entry {
    let Some(id) = id else { return Entry::Ignored };
    Entry::Refused(Response::failed(id, neither_object_nor_array()))
}

fn neither_object_nor_array() -> RpcError {
    RpcError::new(ErrorKind::InvalidParams, "params must be an object or an array")
        .with("path", "params")
        .with("expected", "object or array")
}

fn refused(id: Id, why: &'static str) -> Entry {
    Entry::Refused(Response::failed(id, RpcError::new(ErrorKind::InvalidRequest, why)))
}

fn scan_error(error: ScanError) -> RpcError {
    match error {
        ScanError::Malformed { at } => {
            RpcError::new(ErrorKind::ParseError, format!("not JSON at byte {at}"))
        }
        ScanError::TooDeep => RpcError::new(
            ErrorKind::InvalidRequest,
            format!("nested deeper than {JSON_DEPTH} levels"),
        )
        .with("limit", "limits.json_depth")
        .with("max", JSON_DEPTH),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SEED: &str = r#"[{"jsonrpc":"2.0","id":"a\u00e9","method":"system.health","params":{"a":[1.5e3,null,"x\\"]}},{"jsonrpc":"2.0","method":"x"}, 7]"#;

    fn is_json(bytes: &[u8]) -> bool {
        // What it ignores it does not check to be text.
        let text = std::str::from_utf8(bytes);
        text.is_ok_and(|text| serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok())
    }

    #[test]
    fn a_version_may_be_written_with_escapes_like_any_text() {
        let of = |version: &str| {
            let text = format!(r#"{{"jsonrpc":{version},"id":1,"method":"a"}}"#);
            matches!(parse(&Bytes::from(text)), Frame::Single(Entry::Call(_)))
        };
        assert!(of(r#""2.0""#) && of(r#""\u0032.0""#));
        assert!(!of(r#""2.1""#) && !of(r#""\u0032.1""#) && !of(r#""\ud800""#) && !of("2.0"));
    }

    #[test]
    fn entries_are_small_beside_the_messages_they_come_from() {
        assert!(size_of::<Entry>() * BATCH_CALLS < 32 * 1024);
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

        #[test]
        fn whatever_comes_is_understood_or_refused(
            noise in prop::collection::vec(any::<u8>(), 0..6),
            at in any::<prop::sample::Index>(),
            cut in any::<prop::sample::Index>(),
            arbitrary in prop::option::weighted(0.2, prop::collection::vec(any::<u8>(), 0..200)),
        ) {
            let bytes = arbitrary.unwrap_or_else(|| {
                let mut bytes = SEED.as_bytes().to_vec();
                let at = at.index(bytes.len());
                let until = at + cut.index((bytes.len() - at).min(4) + 1);
                bytes.splice(at..until.min(SEED.len()), noise);
                bytes
            });
            let message = Bytes::from(bytes);
            match parse(&message) {
                Frame::Malformed(error) => {
                    let parse_error = error.kind() == ErrorKind::ParseError;
                    prop_assert_eq!(parse_error, !is_json(&message));
                }
                Frame::Single(_) | Frame::Batch(_) => prop_assert!(is_json(&message)),
            }
        }
    }
}
