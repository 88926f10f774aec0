//! RFC 37 (<https://rfc.zeromq.org/spec/37/>), with our bounds, on everything at once.

use bytes::Bytes;
use descartes_transport_zmq::zmtp::{Multipart, ProtocolError, Received, SocketType};

use super::{Refusal, Seen};

/// Flags and body of a frame that is all there, or what its head says.
struct Frame<'a> {
    more: bool,
    command: bool,
    length: u64,
    head: u64,
    /// `None` when some of it is missing.
    body: Option<&'a [u8]>,
}

/// "Framing": the frame that `bytes` begin with and what follows it; `None` when its head is not
/// all there.
fn frame(bytes: &[u8]) -> Result<Option<(Frame<'_>, &[u8])>, ProtocolError> {
    let [flags, after @ ..] = bytes else { return Ok(None) };
    let (more, command) = (flags % 2 == 1, *flags >= 4);
    match flags {
        0..=4 | 6 => {}
        5 | 7 => return Err(ProtocolError::CommandWithMore),
        _ => return Err(ProtocolError::ReservedFlags),
    }
    let size = if flags / 2 % 2 == 1 { 8 } else { 1 };
    if after.len() < size {
        return Ok(None);
    }
    let (length, after) = after.split_at(size);
    let length = length.iter().fold(0_u64, |sum, byte| sum << 8 | u64::from(*byte));
    if length >> 63 == 1 {
        return Err(ProtocolError::Length);
    }
    let here = usize::try_from(length).unwrap_or(usize::MAX).min(after.len());
    let (body, rest) = after.split_at(here);
    let body = (body.len() as u64 == length).then_some(body);
    Ok(Some((Frame { more, command, length, head: 1 + size as u64, body }, rest)))
}

/// "Commands": a name and data.
fn command(body: &[u8]) -> Result<(&[u8], &[u8]), ProtocolError> {
    match body {
        [length, rest @ ..] if *length > 0 && rest.len() >= usize::from(*length) => {
            Ok(rest.split_at(usize::from(*length)))
        }
        _ => Err(ProtocolError::Command),
    }
}

/// The command frames of our side without PONGs, and the contexts of those.
pub(super) fn without_pongs(written: &[u8]) -> (Vec<u8>, Vec<Vec<u8>>) {
    let (greeting, mut rest) = written.split_at(written.len().min(64));
    let (mut others, mut pongs) = (greeting.to_vec(), Vec::new());
    while !rest.is_empty() {
        let (frame, after) = frame(rest).expect("frames").expect("whole heads");
        let (name, data) = command(frame.body.expect("whole frames")).expect("commands");
        if name == b"PONG" {
            pongs.push(data.to_vec());
        } else {
            others.extend_from_slice(&rest[..rest.len() - after.len()]);
        }
        rest = after;
    }
    (others, pongs)
}

pub(super) fn seen(received: &[u8], bounds: [usize; 4], kind: SocketType) -> Seen {
    let mut written = b"\xff\0\0\0\0\0\0\0\0\x7f\x03\x01NULL".to_vec();
    written.resize(64, 0);
    let refused = |refusal, written| Seen {
        shaken: Err(refusal),
        heard: Vec::new(),
        end: None,
        written,
        pong: None,
    };
    let metadata = match greeted(received).and_then(|rest| ready(rest, bounds[2])) {
        Ok(found) => found,
        Err(refusal) => return refused(refusal, written),
    };
    let (metadata, traffic) = metadata;
    match peer(metadata, kind) {
        Ok(peer) => {
            let ours = format!("{kind}");
            let mut body = b"\x05READY\x0bSocket-Type\0\0\0".to_vec();
            body.push(u8::try_from(ours.len()).expect("short"));
            body.extend_from_slice(ours.as_bytes());
            if kind == SocketType::Router {
                body.extend_from_slice(b"\x08Identity\0\0\0\0");
            }
            written.extend_from_slice(&[4, u8::try_from(body.len()).expect("short")]);
            written.extend(body);
            let mut seen = Seen { shaken: Ok(peer), written, ..refused(Refusal::Closed, vec![]) };
            Traffic { bounds, kind, seen: &mut seen, frames: Vec::new(), wire: 0, gone: false }
                .take(traffic);
            seen
        }
        Err((refusal, said)) => {
            let body = [&b"\x05ERROR"[..], &[said.len() as u8], said.as_bytes()].concat();
            written.extend_from_slice(&[4, body.len() as u8]);
            written.extend(body);
            refused(refusal, written)
        }
    }
}

/// "Formal Grammar", greeting; gives what follows it.
fn greeted(received: &[u8]) -> Result<&[u8], Refusal> {
    for (at, byte) in received.iter().take(64).enumerate() {
        match (at, byte) {
            (0, 0xff) | (9, 0x7f) => {}
            (0 | 9, _) => return Err(Refusal::NotZmtp),
            (10, 0..3) => return Err(Refusal::Version(*byte)),
            _ => {}
        }
    }
    if received.len() < 64 {
        return Err(Refusal::Closed);
    }
    let mechanism = [&b"NULL"[..], &[0; 16]].concat();
    if received[12..32] != mechanism {
        return Err(Refusal::Mechanism);
    }
    Ok(&received[64..])
}

/// The metadata of the first command, which must be READY, and what follows it.
fn ready(received: &[u8], most: usize) -> Result<(&[u8], &[u8]), Refusal> {
    let Some((frame, rest)) = frame(received).map_err(Refusal::Protocol)? else {
        return Err(Refusal::Closed);
    };
    if !frame.command {
        return Err(Refusal::NotReady);
    }
    if frame.length > most as u64 {
        return Err(Refusal::Protocol(ProtocolError::CommandTooLong(frame.length)));
    }
    let body = frame.body.ok_or(Refusal::Closed)?;
    match command(body).map_err(Refusal::Protocol)? {
        (b"READY", metadata) => Ok((metadata, rest)),
        (b"ERROR", _) => Err(Refusal::Refused),
        (b"PING", data) if !(2..=18).contains(&data.len()) => {
            Err(Refusal::Protocol(ProtocolError::Command))
        }
        _ => Err(Refusal::NotReady),
    }
}

/// "The Socket-Type Property"; an error with the reason that the peer is told.
fn peer(metadata: &[u8], kind: SocketType) -> Result<SocketType, (Refusal, String)> {
    let graphic = |text: &str| -> String {
        text.bytes()
            .map(|b| if (0x21..0x7f).contains(&b) { b as char } else { '_' })
            .take(255)
            .collect()
    };
    let bad = |why: &str| (Refusal::Metadata, graphic(&format!("the metadata of READY: {why}")));
    let (mut rest, mut found) = (metadata.to_vec(), None);
    while !rest.is_empty() {
        let cut = || bad("a property without a name, or cut off");
        let name_length = usize::from(rest[0]);
        if name_length == 0 || rest.len() < 1 + name_length + 4 {
            return Err(cut());
        }
        let name = String::from_utf8_lossy(&rest[1..=name_length]).to_ascii_lowercase();
        let at = 1 + name_length;
        let length =
            rest[at..at + 4].iter().fold(0_usize, |sum, byte| sum << 8 | usize::from(*byte));
        if rest.len() - at - 4 < length {
            return Err(cut());
        }
        let value = rest[at + 4..at + 4 + length].to_vec();
        rest.drain(..at + 4 + length);
        match name.as_str() {
            "socket-type" => found = Some(value),
            "identity" if value.len() > 255 => {
                return Err(bad("an identity of more than 255 bytes"));
            }
            _ => {}
        }
    }
    let name = found.ok_or_else(|| bad("there is no Socket-Type"))?;
    let fits: &[(&str, SocketType)] = match kind {
        SocketType::Router => &[
            ("REQ", SocketType::Req),
            ("DEALER", SocketType::Dealer),
            ("ROUTER", SocketType::Router),
        ],
        SocketType::XPub => &[("SUB", SocketType::Sub), ("XSUB", SocketType::XSub)],
        SocketType::Rep => &[("REQ", SocketType::Req), ("DEALER", SocketType::Dealer)],
        _ => &[("PUB", SocketType::Pub), ("XPUB", SocketType::XPub)],
    };
    let fitting = fits.iter().find(|(fitting, _)| fitting.as_bytes() == name);
    fitting.map(|(_, peer)| *peer).ok_or_else(|| {
        let name = String::from_utf8_lossy(&name);
        (Refusal::SocketType, graphic(&format!("a socket of type {name:?} does not fit {kind}")))
    })
}

/// What comes after the handshake.
struct Traffic<'a> {
    bounds: [usize; 4],
    kind: SocketType,
    seen: &'a mut Seen,
    /// The message so far, its bytes on the wire, and whether it is too long.
    frames: Vec<Bytes>,
    wire: u64,
    gone: bool,
}

impl Traffic<'_> {
    fn take(&mut self, mut rest: &[u8]) {
        loop {
            match self.step(rest) {
                Ok(Some(after)) => rest = after,
                Ok(None) => return,
                Err(error) => {
                    (self.seen.end, self.seen.pong) = (Some(error), None);
                    return;
                }
            }
        }
    }

    /// One frame; what follows it.
    fn step<'a>(&mut self, bytes: &'a [u8]) -> Result<Option<&'a [u8]>, ProtocolError> {
        let [most_bytes, most_frames, most_command, most_skipped] = self.bounds;
        let Some((frame, after)) = frame(bytes)? else { return Ok(None) };
        if frame.command {
            if frame.length > most_command as u64 {
                return Err(ProtocolError::CommandTooLong(frame.length));
            }
            let Some(body) = frame.body else { return Ok(None) };
            self.command(body)?;
            return Ok(Some(after));
        }
        let kept = self.frames.iter().map(|frame| frame.len() as u64).sum::<u64>();
        let wire = self.wire.saturating_add(frame.head).saturating_add(frame.length);
        let fits = self.frames.len() < most_frames
            && kept.saturating_add(frame.length) <= most_bytes as u64;
        if self.gone || !fits {
            if wire > most_skipped as u64 {
                return Err(ProtocolError::Endless);
            }
            if !self.gone {
                self.seen.heard.push(Received::Oversize);
            }
            self.frames.clear();
            (self.gone, self.wire) = (frame.more, if frame.more { wire } else { 0 });
            return Ok(frame.body.map(|_| after));
        }
        let Some(body) = frame.body else { return Ok(None) };
        self.frames.push(Bytes::copy_from_slice(body));
        self.wire = wire;
        if !frame.more {
            self.wire = 0;
            let frames = std::mem::take(&mut self.frames);
            self.seen.heard.push(sorted(self.kind, frames));
        }
        Ok(Some(after))
    }

    fn command(&mut self, body: &[u8]) -> Result<(), ProtocolError> {
        let publishes = self.kind == SocketType::XPub;
        match command(body)? {
            (b"PING", [_, _, context @ ..]) if context.len() <= 16 => {
                self.seen.pong = Some(context.to_vec());
            }
            (b"PING", _) => return Err(ProtocolError::Command),
            (b"ERROR", said) => {
                let said = match said {
                    [] => said,
                    [length, text @ ..] => &text[..text.len().min(cut(*length, text))],
                };
                return Err(ProtocolError::Reported(String::from_utf8_lossy(said).into_owned()));
            }
            (b"SUBSCRIBE", prefix) if publishes => {
                self.seen.heard.push(Received::Subscribe(Bytes::copy_from_slice(prefix)));
            }
            (b"CANCEL", prefix) if publishes => {
                self.seen.heard.push(Received::Cancel(Bytes::copy_from_slice(prefix)));
            }
            _ => {}
        }
        Ok(())
    }
}

/// How much of a reason is told: as much as it says, or all when there is less.
fn cut(length: u8, text: &[u8]) -> usize {
    if usize::from(length) > text.len() { text.len() } else { usize::from(length) }
}

/// RFC 23, "The Publish-Subscribe Pattern": subscriptions of ZMTP 3.0 are messages.
fn sorted(kind: SocketType, frames: Vec<Bytes>) -> Received {
    if let (SocketType::XPub, [only]) = (kind, frames.as_slice()) {
        if only.starts_with(&[1]) {
            return Received::Subscribe(only.slice(1..));
        }
        if only.starts_with(&[0]) {
            return Received::Cancel(only.slice(1..));
        }
    }
    Received::Message(Multipart::new(frames).expect("a message has a frame"))
}
