//! What a peer sent, as JSON.

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use descartes_rpc::limits::JSON_DEPTH;
use serde::Serialize;

use super::{MsgPackError, Reader, Token};

/// A value that others are inside of.
struct Level {
    map: bool,
    /// Values that are still to come; a pair is two.
    left: u64,
    first: bool,
}

/// The one value of `message` as JSON of at most `max` bytes.
///
/// # Errors
///
/// When it is not MessagePack, when it holds what JSON cannot, or when a bound is passed.
pub(crate) fn to_json(message: &[u8], max: usize) -> Result<Bytes, MsgPackError> {
    let mut reader = Reader::new(message);
    let mut out = Vec::with_capacity(message.len() + message.len() / 4);
    let mut levels: Vec<Level> = Vec::new();
    loop {
        let is_name = separate(&mut levels, &mut out);
        let token = reader.token()?;
        if is_name && !matches!(token, Token::Text(_)) {
            return Err(MsgPackError::NameNotText);
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
fn separate(levels: &mut [Level], out: &mut Vec<u8>) -> bool {
    let Some(level) = levels.last_mut() else { return false };
    let is_value_of_member = level.map && level.left % 2 == 1;
    if is_value_of_member {
        out.push(b':');
    } else if !level.first {
        out.push(b',');
    }
    level.first = false;
    level.left -= 1;
    level.map && !is_value_of_member
}

/// Writes one value, or the beginning of one that has others inside.
fn write(token: Token<'_>, out: &mut Vec<u8>) -> Result<Option<Level>, MsgPackError> {
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
            return Ok(Some(Level { map: false, left: count.into(), first: true }));
        }
        Token::Map(count) => {
            out.push(b'{');
            return Ok(Some(Level { map: true, left: u64::from(count) * 2, first: true }));
        }
        Token::Extension => return Err(MsgPackError::Extension),
    }
    Ok(None)
}

fn json<T: Serialize + ?Sized>(value: &T, out: &mut Vec<u8>) {
    serde_json::to_writer(out, value).expect("a scalar is JSON, and a vector takes everything");
}
