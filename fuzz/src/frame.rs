//! The frame reader: what it makes of a message is what a slow reference makes of it, identifiers
//! and parameters are byte for byte what was sent, and what it builds is bounded.

pub(crate) mod reference;

pub(crate) use reference::Members;

use allocation_counter::measure;
use bytes::Bytes;
use descartes_rpc::{
    error::ErrorKind,
    frame::{self, Entry, Frame},
    message::{Id, Response},
};
use serde::Deserialize;
use serde_json::value::RawValue;

pub(crate) const WORDS: &[&str] = &[
    "\"jsonrpc\":\"2.0\"",
    "\"id\":",
    "\"method\":\"a\"",
    "\"params\":",
    "null",
    "true",
    "\\u0069",
    "\\ud800",
    "{}",
    "[]",
    "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[",
    "]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]",
    "1e5",
    "-0",
    "12345678901234567890123",
];

/// What may be built beside the message: its size a few times for names that had to be decoded, and
/// the entries of a full batch with an error each.
const BUILT_PER_BYTE: u64 = 4;
const BUILT: u64 = 128 * 1024;

/// A message, told apart from how it is represented.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Malformed(ErrorKind),
    Single(Part),
    Batch(Vec<Part>),
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Call { id: Option<String>, method: String, params: Option<String> },
    Refused { id: String, kind: ErrorKind },
    Ignored,
}

/// The whole input is one message.
pub fn frame(data: &[u8]) {
    let message = Bytes::copy_from_slice(data);
    let mut parsed = None;
    let built = measure(|| parsed = Some(frame::parse(&message)));
    let most = BUILT + BUILT_PER_BYTE * data.len() as u64;
    assert!(built.bytes_max <= most, "{} bytes built for {}", built.bytes_max, data.len());

    let seen = verdict(parsed.expect("it has run"));
    assert_eq!(seen, reference::read(data));
    in_an_array_it_means_the_same(&message, seen);
    alone_it_is_parameters_or_none(&message);
}

/// The same bytes as the parameters of a call that no message carries.
fn alone_it_is_parameters_or_none(text: &Bytes) {
    match (frame::parse_params(text), reference::params(text)) {
        (Ok(params), Ok(expected)) => assert_eq!(params.as_bytes(), expected.map(str::as_bytes)),
        (Err(error), Err(kind)) => assert_eq!(error.kind(), kind),
        (read, expected) => panic!("{read:?}, expected {expected:?}"),
    }
}

/// A message alone and as the only element of a batch.
fn in_an_array_it_means_the_same(message: &Bytes, seen: Verdict) {
    let array = Bytes::from([b"[ ", &message[..], b"\n]"].concat());
    match (seen, verdict(frame::parse(&array))) {
        // One level more may be one too many.
        (_, Verdict::Malformed(ErrorKind::InvalidRequest)) => {}
        (Verdict::Single(part), batch) => assert_eq!(batch, Verdict::Batch(vec![part])),
        (Verdict::Batch(_), batch) => {
            let kind = ErrorKind::InvalidRequest;
            let nested = Part::Refused { id: "null".to_owned(), kind };
            assert_eq!(batch, Verdict::Batch(vec![nested]), "a batch in a batch");
        }
        (Verdict::Malformed(_), _) => {}
    }
}

fn verdict(frame: Frame) -> Verdict {
    match frame {
        Frame::Malformed(error) => {
            let kind = error.kind();
            answer_is_sound(&Response::failed(Id::Null, error));
            Verdict::Malformed(kind)
        }
        Frame::Single(entry) => Verdict::Single(part(entry)),
        Frame::Batch(entries) => Verdict::Batch(entries.into_iter().map(part).collect()),
    }
}

fn part(entry: Entry) -> Part {
    match entry {
        Entry::Call(call) => Part::Call {
            id: call.id.map(|id| id.to_string()),
            method: call.method.as_str().to_owned(),
            params: call.params.as_bytes().map(|json| String::from_utf8_lossy(json).into_owned()),
        },
        Entry::Refused(response) => {
            answer_is_sound(&response);
            let kind = response.outcome.expect_err("a refusal is an error").kind();
            Part::Refused { id: response.id.to_string(), kind }
        }
        Entry::Ignored => Part::Ignored,
    }
}

/// An answer is JSON on one line, with the identifier as it was sent.
fn answer_is_sound(response: &Response) {
    #[derive(Deserialize)]
    struct Answer<'a> {
        #[serde(borrow)]
        id: &'a RawValue,
        error: serde_json::Value,
    }
    let text = response.encode();
    let answer: Answer<'_> = serde_json::from_slice(&text).expect("an answer is JSON");
    assert_eq!(answer.id.get(), response.id.as_json(), "the identifier of an answer");
    assert!(answer.error["code"].is_i64(), "{answer:?}", answer = answer.error);
    assert!(!text.contains(&b'\n'), "an answer is one line");
}
