//! What goes back, as MessagePack.

use bytes::Bytes;

use super::number::{self, Number};

/// A text that is not JSON. What the service answers always is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not JSON at byte {at}")]
pub(crate) struct NotJson {
    /// Where it ceases to be.
    pub(crate) at: usize,
}

/// An array or object: where its header belongs in the values, and what that has to say.
struct Head {
    at: usize,
    count: u32,
    map: bool,
}

/// The one value of `text` as MessagePack.
///
/// # Errors
///
/// When it is not JSON.
pub(crate) fn from_json(text: &[u8]) -> Result<Bytes, NotJson> {
    let mut writer = Writer {
        text,
        at: 0,
        values: Vec::with_capacity(text.len()),
        heads: Vec::new(),
        open: Vec::new(),
    };
    writer.run()?;
    Ok(writer.finish())
}

struct Writer<'t> {
    text: &'t [u8],
    at: usize,
    /// Scalars alone: how long a header is, is known only at its end.
    values: Vec<u8>,
    /// Headers in the order in which they begin.
    heads: Vec<Head>,
    /// Those that have not ended.
    open: Vec<usize>,
}

impl Writer<'_> {
    fn run(&mut self) -> Result<(), NotJson> {
        loop {
            self.value()?;
            // What may stand behind a value, until another one is due.
            loop {
                let Some(&open) = self.open.last() else {
                    return if self.peek().is_none() { Ok(()) } else { self.refuse() };
                };
                let map = self.heads[open].map;
                match self.peek() {
                    Some(b',') => {
                        self.at += 1;
                        self.begin(open)?;
                        break;
                    }
                    Some(b'}') if map => self.close(),
                    Some(b']') if !map => self.close(),
                    _ => return self.refuse(),
                }
            }
        }
    }

    /// Takes a scalar, or opens arrays and objects up to the first scalar or the first empty one.
    fn value(&mut self) -> Result<(), NotJson> {
        loop {
            match self.peek() {
                Some(byte @ (b'{' | b'[')) => {
                    self.at += 1;
                    let open = self.heads.len();
                    let map = byte == b'{';
                    self.heads.push(Head { at: self.values.len(), count: 0, map });
                    self.open.push(open);
                    if self.peek() == Some(if map { b'}' } else { b']' }) {
                        self.close();
                        return Ok(());
                    }
                    self.begin(open)?;
                }
                Some(b'"') => return self.string(),
                Some(b'-' | b'0'..=b'9') => return self.number(),
                _ => return self.word(),
            }
        }
    }

    /// Counts the next value of an array or object, and takes its name.
    fn begin(&mut self, open: usize) -> Result<(), NotJson> {
        let head = &mut self.heads[open];
        head.count = head.count.saturating_add(1);
        if head.map {
            match self.peek() {
                Some(b'"') => self.string()?,
                _ => return self.refuse(),
            }
            match self.peek() {
                Some(b':') => self.at += 1,
                _ => return self.refuse(),
            }
        }
        Ok(())
    }

    fn close(&mut self) {
        self.at += 1;
        self.open.pop();
    }

    /// The next byte that is no space.
    fn peek(&mut self) -> Option<u8> {
        while matches!(self.text.get(self.at), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
        self.text.get(self.at).copied()
    }

    fn refuse<T>(&self) -> Result<T, NotJson> {
        Err(NotJson { at: self.at })
    }

    fn word(&mut self) -> Result<(), NotJson> {
        let rest = &self.text[self.at..];
        for (word, byte) in [(&b"null"[..], 0xc0), (b"false", 0xc2), (b"true", 0xc3)] {
            if rest.starts_with(word) {
                self.at += word.len();
                self.values.push(byte);
                return Ok(());
            }
        }
        self.refuse()
    }

    fn number(&mut self) -> Result<(), NotJson> {
        let rest = &self.text[self.at..];
        let text = number::length(rest).and_then(|length| str::from_utf8(&rest[..length]).ok());
        let Some(text) = text else { return self.refuse() };
        match number::read(text) {
            Number::Unsigned(number) => unsigned(number, &mut self.values),
            Number::Negative(number) => signed(number, &mut self.values),
            Number::Float(number) => {
                self.values.push(0xcb);
                self.values.extend_from_slice(&number.to_be_bytes());
            }
            Number::Text => extension(number::EXTENSION, text.as_bytes(), &mut self.values),
        }
        self.at += text.len();
        Ok(())
    }

    /// The string that begins here.
    fn string(&mut self) -> Result<(), NotJson> {
        let begin = self.at + 1;
        let mut end = begin;
        let mut escaped = false;
        loop {
            match self.text.get(end) {
                Some(b'"') => break,
                Some(b'\\') => {
                    escaped = true;
                    end += 2;
                }
                // RFC 8259 section 7.
                Some(0..=0x1f) | None => return self.refuse(),
                Some(_) => end += 1,
            }
        }
        let raw = &self.text[begin..end];
        if escaped {
            let meant = unescape(raw).ok_or(NotJson { at: self.at })?;
            text(meant.as_bytes(), &mut self.values);
        } else if str::from_utf8(raw).is_ok() {
            text(raw, &mut self.values);
        } else {
            return self.refuse();
        }
        self.at = end + 1;
        Ok(())
    }

    /// Puts the headers where they belong.
    fn finish(self) -> Bytes {
        let mut out = Vec::with_capacity(self.values.len() + self.heads.len() * 2);
        let mut done = 0;
        for head in &self.heads {
            out.extend_from_slice(&self.values[done..head.at]);
            done = head.at;
            let (short, long) = if head.map { (0x80, 0xde) } else { (0x90, 0xdc) };
            match head.count {
                count @ 0..=15 => out.push(short | u8::try_from(count).unwrap_or_default()),
                count => sized(count, [None, Some(long), Some(long + 1)], &mut out),
            }
        }
        out.extend_from_slice(&self.values[done..]);
        out.into()
    }
}

/// A length behind the marker for its size (8, 16 or 32 bits), if there is one of that size.
fn sized(length: u32, markers: [Option<u8>; 3], out: &mut Vec<u8>) {
    if let (Some(marker), Ok(length)) = (markers[0], u8::try_from(length)) {
        out.extend_from_slice(&[marker, length]);
    } else if let (Some(marker), Ok(length)) = (markers[1], u16::try_from(length)) {
        out.push(marker);
        out.extend_from_slice(&length.to_be_bytes());
    } else {
        out.extend(markers[2]);
        out.extend_from_slice(&length.to_be_bytes());
    }
}

fn text(text: &[u8], out: &mut Vec<u8>) {
    match text.len() {
        length @ 0..=31 => out.push(0xa0 | u8::try_from(length).unwrap_or_default()),
        _ => sized(size(text), [Some(0xd9), Some(0xda), Some(0xdb)], out),
    }
    out.extend_from_slice(text);
}

fn extension(kind: u8, data: &[u8], out: &mut Vec<u8>) {
    match data.len() {
        length @ (1 | 2 | 4 | 8 | 16) => {
            out.push(0xd4 + u8::try_from(length.ilog2()).unwrap_or_default());
        }
        _ => sized(size(data), [Some(0xc7), Some(0xc8), Some(0xc9)], out),
    }
    out.push(kind);
    out.extend_from_slice(data);
}

/// Messages are shorter than 4 GiB by their bounds.
fn size(bytes: &[u8]) -> u32 {
    u32::try_from(bytes.len()).unwrap_or(u32::MAX)
}

fn unsigned(number: u64, out: &mut Vec<u8>) {
    match (u8::try_from(number), u32::try_from(number)) {
        (Ok(small @ 0..=0x7f), _) => out.push(small),
        (_, Ok(number)) => sized(number, [Some(0xcc), Some(0xcd), Some(0xce)], out),
        _ => {
            out.push(0xcf);
            out.extend_from_slice(&number.to_be_bytes());
        }
    }
}

/// A negative number.
fn signed(number: i64, out: &mut Vec<u8>) {
    if let Ok(small) = i8::try_from(number) {
        if small < -32 {
            out.push(0xd0);
        }
        out.extend_from_slice(&small.to_be_bytes());
    } else if let Ok(number) = i16::try_from(number) {
        out.push(0xd1);
        out.extend_from_slice(&number.to_be_bytes());
    } else if let Ok(number) = i32::try_from(number) {
        out.push(0xd2);
        out.extend_from_slice(&number.to_be_bytes());
    } else {
        out.push(0xd3);
        out.extend_from_slice(&number.to_be_bytes());
    }
}

/// What a string with escapes says; a lone surrogate says U+FFFD.
fn unescape(raw: &[u8]) -> Option<String> {
    let raw = str::from_utf8(raw).ok()?;
    let mut out = String::with_capacity(raw.len());
    let mut rest = raw;
    while let Some(at) = rest.find('\\') {
        out.push_str(&rest[..at]);
        let mut after = rest[at + 1..].chars();
        out.push(match after.next()? {
            'n' => '\n',
            't' => '\t',
            'r' => '\r',
            'b' => '\u{8}',
            'f' => '\u{c}',
            'u' => {
                let (meant, behind) = unit(after.as_str())?;
                after = behind.chars();
                meant
            }
            other @ ('"' | '\\' | '/') => other,
            _ => return None,
        });
        rest = after.as_str();
    }
    out.push_str(rest);
    Some(out)
}

/// What stands behind `\u`: four digits, or eight in two halves.
fn unit(text: &str) -> Option<(char, &str)> {
    let (high, rest) = digits(text)?;
    if (0xd800..0xdc00).contains(&high)
        && let Some(next) = rest.strip_prefix("\\u")
        && let Some((low @ 0xdc00..0xe000, behind)) = digits(next)
    {
        let code = 0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00);
        return Some((char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER), behind));
    }
    Some((char::from_u32(high).unwrap_or(char::REPLACEMENT_CHARACTER), rest))
}

fn digits(text: &str) -> Option<(u32, &str)> {
    let (digits, rest) = text.split_at_checked(4)?;
    let all = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    Some((u32::from_str_radix(digits, 16).ok().filter(|_| all)?, rest))
}
