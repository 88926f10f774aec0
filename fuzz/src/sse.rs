//! The client's reader of event streams: any cut of the bytes gives the events that the standard's
//! own algorithm gives.

use descartes_transport_http::testing::SseDecoder;

use crate::input::{Cuts, Input};

pub(crate) const WORDS: &[&str] = &[
    "data: ",
    "data:",
    "data",
    "id: 1\n",
    "event: gap\n",
    "retry: 1000\n",
    ":\n\n",
    "\n\n",
    "\r\n",
    "\r",
    ":",
    "{}",
];

/// More than one read of a connection.
const MOST: usize = 40_000;

/// Byte 0 and 1 are the cuts, the rest is received.
pub fn sse(data: &[u8]) {
    let mut input = Input::new(data);
    let (seed, width) = (input.byte(), input.byte());
    let received = input.expanded(MOST);
    let whole = read(&received, Cuts::new(0, usize::MAX));
    assert_eq!(read(&received, Cuts::new(seed, usize::from(width) + 1)), whole, "in pieces");
    assert_eq!(whole, reference(&received), "as the standard says");
}

fn read(received: &[u8], mut cuts: Cuts) -> Vec<Vec<u8>> {
    let (mut decoder, mut all, mut rest) = (SseDecoder::default(), Vec::new(), received);
    while let Some(piece) = cuts.piece(&mut rest) {
        decoder.feed(piece);
        while let Some(data) = decoder.next_data().expect("no event is beyond all bounds") {
            all.push(data.to_vec());
        }
    }
    all
}

/// HTML, section 9.2.6, "Interpreting an event stream", without what a client of JSON-RPC does not
/// use: names, identifiers, and events whose data is empty.
fn reference(received: &[u8]) -> Vec<Vec<u8>> {
    let (mut all, mut data) = (Vec::new(), Vec::<u8>::new());
    for line in lines(received) {
        if line.is_empty() {
            data.pop();
            if !data.is_empty() {
                all.push(std::mem::take(&mut data));
            }
            continue;
        }
        let colon = line.iter().position(|byte| *byte == b':').unwrap_or(line.len());
        let (name, value) = line.split_at(colon);
        let value = value.strip_prefix(b":").unwrap_or(value);
        if name == b"data" {
            data.extend_from_slice(value.strip_prefix(b" ").unwrap_or(value));
            data.push(b'\n');
        }
    }
    all
}

/// Whole lines; each ends with CR, LF or both. An end of the stream is no end of a line.
fn lines(mut rest: &[u8]) -> Vec<&[u8]> {
    let mut all = Vec::new();
    while let Some(end) = rest.iter().position(|byte| matches!(byte, b'\r' | b'\n')) {
        all.push(&rest[..end]);
        let both = rest[end..].starts_with(b"\r\n");
        rest = &rest[end + 1 + usize::from(both)..];
    }
    all
}
