//! The line codec: any cut of the bytes into reads gives the lines that a naive split gives.

use bytes::{Bytes, BytesMut};
use descartes_rpc::{codec::LineCodec, frame::Arrival};
use tokio_util::codec::{Decoder, Encoder};

use crate::input::{Cuts, Input};

pub(crate) const WORDS: &[&str] = &["\n", "\r\n", "\n\n", "\r", "{}", "\u{1}", "\u{10}"];

/// More than any bound below, so that every one is passed.
const MOST: usize = 40_000;

/// What a reader of lines ends with.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Heard {
    arrivals: Vec<Arrival>,
    /// The stream was given up because of a line without end.
    broken: bool,
}

/// Byte 0 is the largest line, byte 1 how much more is skipped, byte 2 the cuts; the rest is sent.
pub fn lines(data: &[u8]) {
    let mut input = Input::new(data);
    let most = 1 + usize::from(input.byte()) * 37;
    let skip = most + usize::from(input.byte()) * 53;
    let (seed, width) = (input.byte(), input.byte());
    let sent = input.expanded(MOST);
    let expected = reference(&sent, most, skip);
    for (seed, width) in [(seed, usize::from(width) + 1), (seed, 16 * 1024), (0, MOST)] {
        let cuts = Cuts::new(seed, width);
        assert_eq!(read(&sent, (most, skip), cuts), expected, "in pieces of up to {width}");
    }
    let messages: Vec<&[u8]> = sent.chunks(usize::from(width) * 7 + 1).chain([&sent[..]]).collect();
    written_lines_are_read_back(&messages, (most, skip), Cuts::new(seed, 4096));
}

fn read(sent: &[u8], (most, skip): (usize, usize), mut cuts: Cuts) -> Heard {
    let mut codec = LineCodec::new(most, skip);
    let (mut buffer, mut rest) = (BytesMut::new(), sent);
    let mut heard = Heard { arrivals: Vec::new(), broken: false };
    while let Some(piece) = cuts.piece(&mut rest) {
        buffer.extend_from_slice(piece);
        loop {
            match codec.decode(&mut buffer) {
                Ok(Some(arrival)) => heard.arrivals.push(arrival),
                Ok(None) => break,
                Err(_) => return Heard { broken: true, ..heard },
            }
        }
        assert!(buffer.len() <= most, "{} bytes wait, lines have {most}", buffer.len());
    }
    loop {
        match codec.decode_eof(&mut buffer) {
            Ok(Some(arrival)) => heard.arrivals.push(arrival),
            Ok(None) => return heard,
            Err(_) => return Heard { broken: true, ..heard },
        }
    }
}

/// From the words of the documentation, over the whole input at once.
fn reference(sent: &[u8], most: usize, skip: usize) -> Heard {
    let mut heard = Heard { arrivals: Vec::new(), broken: false };
    for line in sent.split(|byte| *byte == b'\n') {
        if line.len() > most {
            heard.arrivals.push(Arrival::Oversize);
            if line.len() > skip {
                return Heard { broken: true, ..heard };
            }
        } else {
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            if !line.is_empty() {
                heard.arrivals.push(Arrival::Message(Bytes::copy_from_slice(line)));
            }
        }
    }
    heard
}

/// What a codec writes is read back, by one with room for it: each message is one line, a break of
/// lines inside it a space.
fn written_lines_are_read_back(messages: &[&[u8]], room: (usize, usize), cuts: Cuts) {
    let (mut codec, mut wire, mut arrivals) =
        (LineCodec::new(room.0, room.1), BytesMut::new(), Vec::new());
    for message in messages.iter().filter(|message| (1..=room.0).contains(&message.len())) {
        codec.encode(Bytes::copy_from_slice(message), &mut wire).expect("memory has room");
        let flat = |byte: &u8| if matches!(byte, b'\r' | b'\n') { b' ' } else { *byte };
        arrivals.push(Arrival::Message(message.iter().map(flat).collect()));
    }
    let heard = read(&wire, room, cuts);
    assert_eq!(heard, Heard { arrivals, broken: false }, "what was written");
}
