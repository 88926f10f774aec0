//! The reader of WebSockets: any cut of the bytes gives what RFC 6455 says of them as a whole, and
//! no more than a message is held.

use bytes::Bytes;
use descartes_transport_http::testing::{Heard, WsDecoder};

use crate::input::{Cuts, Input};

pub(crate) const WORDS: &[&str] =
    &["\u{1}\u{5}hello", "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"system.health\"}"];

/// More than two of the longest messages that are skipped.
const MOST: usize = 60_000;
/// What is taken and what is skipped: so small that short inputs reach beyond.
const BOUNDS: [(usize, usize); 3] = [(10, 40), (200, 1000), (9000, 20_000)];
/// The longest head, and the longest payload of a control frame (sections 5.2 and 5.5).
const FRAME: usize = 14 + 125;

/// Byte 0 and 1 are the cuts, byte 2 the bounds, the rest is received.
pub fn websocket(data: &[u8]) {
    let mut input = Input::new(data);
    let (seed, width) = (input.byte(), input.byte());
    let bounds = BOUNDS[usize::from(input.byte()) % BOUNDS.len()];
    let received = input.expanded(MOST);
    let expected = reference(&received, bounds);
    let pieces = read(&received, bounds, Cuts::new(seed, usize::from(width) + 1));
    assert_eq!(pieces, expected, "in pieces");
    assert_eq!(read(&received, bounds, Cuts::new(0, usize::MAX)), expected, "at once");
}

/// What was heard, and the code that it ended with.
type End = (Vec<Heard>, Option<u16>);

fn read(received: &[u8], bounds: (usize, usize), mut cuts: Cuts) -> End {
    let (mut decoder, mut all, mut rest) =
        (WsDecoder::new(bounds.0, bounds.1), Vec::new(), received);
    while let Some(piece) = cuts.piece(&mut rest) {
        decoder.feed(piece);
        loop {
            match decoder.next_heard() {
                Ok(Some(heard)) => {
                    let last = matches!(heard, Heard::Close(_));
                    all.push(heard);
                    if last {
                        return (all, None);
                    }
                }
                Ok(None) => break,
                Err(code) => return (all, Some(code)),
            }
        }
        assert!(decoder.held() <= 2 * bounds.0 + FRAME, "{} bytes held", decoder.held());
    }
    (all, None)
}

/// A frame of a client, its payload unmasked and perhaps cut off.
struct Frame {
    last: bool,
    opcode: u8,
    length: u64,
    payload: Vec<u8>,
}

/// The frame that `bytes` begin with and what follows it; `None` when its head is not all there.
fn frame(bytes: &[u8]) -> Result<Option<(Frame, &[u8])>, u16> {
    let [first, second, rest @ ..] = bytes else { return Ok(None) };
    let (opcode, short) = (first & 15, second & 127);
    if first & 0x70 != 0 || !matches!(opcode, 0..=2 | 8..=10) {
        return Err(1002);
    }
    if opcode > 7 && (first & 128 == 0 || short > 125) {
        return Err(1002);
    }
    let more = [0, 2, 8][usize::from(short.saturating_sub(125))];
    if rest.len() < more {
        return Ok(None);
    }
    let (written, rest) = rest.split_at(more);
    let long = written.iter().fold(0_u64, |sum, byte| sum << 8 | u64::from(*byte));
    let length = if more == 0 { u64::from(short) } else { long };
    let least = [0, 126, 0, 0, 0, 0, 0, 0, 1 << 16][more];
    if length < least || length >> 63 != 0 {
        return Err(1002);
    }
    if second & 128 == 0 {
        return Err(1002);
    }
    let [a, b, c, d, rest @ ..] = rest else { return Ok(None) };
    let mask = [a, b, c, d];
    let here = usize::try_from(length).unwrap_or(usize::MAX).min(rest.len());
    let (payload, rest) = rest.split_at(here);
    let payload = payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ **mask);
    let frame = Frame { last: first & 128 != 0, opcode, length, payload: payload.collect() };
    Ok(Some((frame, rest)))
}

/// Section 5 of RFC 6455, with our bounds, on everything at once.
fn reference(received: &[u8], (most, skip): (usize, usize)) -> End {
    let (mut all, mut rest) = (Vec::new(), received);
    // The fragments so far, or how much of a message is gone.
    let mut begun: Option<Result<Vec<u8>, u64>> = None;
    loop {
        let (frame, after) = match frame(rest) {
            Ok(Some(found)) => found,
            Ok(None) => return (all, None),
            Err(code) => return (all, Some(code)),
        };
        let whole = frame.payload.len() as u64 == frame.length;
        rest = after;
        if frame.opcode > 7 {
            if !whole {
                return (all, None);
            }
            match control(&frame) {
                Ok(heard) => {
                    let last = matches!(heard, Heard::Close(_));
                    all.push(heard);
                    if last {
                        return (all, None);
                    }
                }
                Err(code) => return (all, Some(code)),
            }
            continue;
        }
        match (frame.opcode, &begun) {
            (2, _) => return (all, Some(1003)),
            (0, None) | (1, Some(_)) => return (all, Some(1002)),
            _ => {}
        }
        let before = match &begun {
            Some(Ok(fragments)) => fragments.len() as u64,
            Some(Err(gone)) => *gone,
            None => 0,
        };
        let taken = before.saturating_add(frame.length);
        let skipped = matches!(begun, Some(Err(_)));
        if skipped || taken > most as u64 {
            if taken > skip as u64 {
                return (all, Some(1009));
            }
            if !skipped {
                all.push(Heard::Oversize);
            }
            begun = (!frame.last).then_some(Err(taken));
            continue;
        }
        if !whole {
            return (all, None);
        }
        let Some(Ok(mut message)) = begun.take().or(Some(Ok(Vec::new()))) else { continue };
        message.extend(frame.payload);
        if !frame.last {
            begun = Some(Ok(message));
        } else if String::from_utf8(message.clone()).is_ok() {
            all.push(Heard::Message(Bytes::from(message)));
        } else {
            return (all, Some(1007));
        }
    }
}

fn control(frame: &Frame) -> Result<Heard, u16> {
    let payload = &frame.payload;
    match (frame.opcode, payload.as_slice()) {
        (9, _) => Ok(Heard::Ping(Bytes::copy_from_slice(payload))),
        (10, _) => Ok(Heard::Pong),
        (_, []) => Ok(Heard::Close(None)),
        (_, [_]) => Err(1002),
        (_, [high, low, reason @ ..]) => {
            let code = u16::from_be_bytes([*high, *low]);
            // Sections 7.4.1 and 7.4.2, and the registry.
            if !matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999) {
                return Err(1002);
            }
            if std::str::from_utf8(reason).is_err() {
                return Err(1007);
            }
            Ok(Heard::Close(Some(code)))
        }
    }
}
