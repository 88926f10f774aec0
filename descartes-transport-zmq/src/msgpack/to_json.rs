//! What a peer sent, as JSON.

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use descartes_rpc::limits::JSON_DEPTH;
use serde::Serialize;

use super::{MsgPackError, Reader, Token, Unreadable, number};
use crate::limits::PATH_BYTES;

/// A value that others are inside of.
struct Level<'m> {
    map: bool,
    /// Values that are still to come; a pair is two.
    left: u64,
    /// Values that there were.
    seen: u64,
    /// The name of the member that is being read.
    name: &'m [u8],
}

impl<'m> Level<'m> {
    const fn new(map: bool, left: u64) -> Self {
        Self { map, left, seen: 0, name: &[] }
    }
}

/// The one value of `message` as JSON of at most `max` bytes.
///
/// # Errors
///
/// When it is not MessagePack, when it holds what JSON cannot, or when a bound is passed; with the
/// place where it happened.
pub(crate) fn to_json(message: &[u8], max: usize) -> Result<Bytes, Unreadable> {
    let mut levels = Vec::new();
    translate(message, max, &mut levels).map_err(|error| Unreadable { error, path: path(&levels) })
}

fn translate<'m>(
    message: &'m [u8],
    max: usize,
    levels: &mut Vec<Level<'m>>,
) -> Result<Bytes, MsgPackError> {
    let mut reader = Reader::new(message);
    let mut out = Vec::with_capacity(message.len() + message.len() / 4);
    loop {
        let is_name = separate(levels, &mut out);
        let token = reader.token()?;
        if is_name {
            match (token, levels.last_mut()) {
                (Token::Text(name), Some(level)) => level.name = name,
                _ => return Err(MsgPackError::NameNotText),
            }
        }
        if let Some(level) = write(token, &mut out)? {
            if levels.len() >= JSON_DEPTH as usize {
                return Err(MsgPackError::TooDeep);
            }
            levels.push(level);
        }
        while let Some(done) = levels.pop_if(|level| level.left == 0) {
            out.push(if done.map { b'}' } else { b']' });
        }
        if out.len() > max {
            return Err(MsgPackError::TooLong { max });
        }
        if levels.is_empty() {
            break;
        }
    }
    if reader.is_at_end() { Ok(out.into()) } else { Err(MsgPackError::Trailing) }
}

/// Writes what stands before the next value, and tells whether that is the name of a member.
fn separate(levels: &mut [Level<'_>], out: &mut Vec<u8>) -> bool {
    let Some(level) = levels.last_mut() else { return false };
    let is_value_of_member = level.map && level.left % 2 == 1;
    if is_value_of_member {
        out.push(b':');
    } else if level.seen > 0 {
        out.push(b',');
    }
    level.seen += 1;
    level.left -= 1;
    let is_name = level.map && !is_value_of_member;
    if is_name {
        level.name = &[];
    }
    is_name
}

/// Where reading stopped, as `params.value[3]`; cut where it becomes too long.
fn path(levels: &[Level<'_>]) -> String {
    let mut path = String::new();
    for level in levels.iter().filter(|level| level.seen > 0) {
        if path.len() > PATH_BYTES {
            path.push('…');
            break;
        }
        if !level.map {
            path.push_str(&format!("[{}]", level.seen - 1));
        } else if !level.name.is_empty() {
            let name = &level.name[..level.name.len().min(PATH_BYTES)];
            let dot = if path.is_empty() { "" } else { "." };
            path.push_str(dot);
            path.push_str(&String::from_utf8_lossy(name));
        }
    }
    path
}

/// Writes one value, or the beginning of one that has others inside.
fn write<'m>(token: Token<'m>, out: &mut Vec<u8>) -> Result<Option<Level<'m>>, MsgPackError> {
    match token {
        Token::Nil => out.extend_from_slice(b"null"),
        Token::Bool(value) => json(&value, out),
        Token::Unsigned(value) => json(&value, out),
        Token::Signed(value) => json(&value, out),
        Token::Float(value) if value.is_finite() => json(&value, out),
        Token::Float(_) => return Err(MsgPackError::NotFinite),
        Token::Text(text) => {
            let text = str::from_utf8(text).ok().ok_or(MsgPackError::NotText)?;
            json(text, out);
        }
        Token::Bytes(bytes) => {
            out.push(b'"');
            out.extend_from_slice(STANDARD.encode(bytes).as_bytes());
            out.push(b'"');
        }
        Token::Array(count) => {
            out.push(b'[');
            return Ok(Some(Level::new(false, count.into())));
        }
        Token::Map(count) => {
            out.push(b'{');
            return Ok(Some(Level::new(true, u64::from(count) * 2)));
        }
        Token::Extension { kind: number::EXTENSION, data }
            if number::length(data) == Some(data.len()) =>
        {
            out.extend_from_slice(data);
        }
        Token::Extension { .. } => return Err(MsgPackError::Extension),
    }
    Ok(None)
}

fn json<T: Serialize + ?Sized>(value: &T, out: &mut Vec<u8>) {
    serde_json::to_writer(out, value).expect("a scalar is JSON, and a vector takes everything");
}
