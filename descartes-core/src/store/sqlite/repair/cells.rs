//! The rows that lie in a page, as SQLite stores them.

use rusqlite::types::Value;

use super::pages::{PAGE_BYTES, Pages, word};

/// Kinds of pages that hold rows: of a table, and inner ones and leaves of a table without row
/// numbers, which is kept as an index.
const TABLE_LEAF: u8 = 0x0D;
const INDEX_LEAF: u8 = 0x0A;
const INDEX_INNER: u8 = 0x02;
/// Most bytes of a row that are in its page itself, and least when it goes on elsewhere.
const TABLE_LOCAL: usize = PAGE_BYTES - 35;
const INDEX_LOCAL: usize = (PAGE_BYTES - 12) * 64 / 255 - 23;
const LEAST_LOCAL: usize = (PAGE_BYTES - 12) * 32 / 255 - 23;
/// Longest row that is believed; a longer one is damage. The longest that is written is a document
/// or event of some MiB.
const ROW_BYTES: usize = 64 << 20;

/// Every row of page `number` that can be made sense of, right or wrong.
pub(super) fn rows(pages: &Pages, number: u32) -> Vec<Vec<Value>> {
    let Some(page) = pages.read(number) else { return Vec::new() };
    // The first page begins with the head of the database.
    let start = if number == 1 { 100 } else { 0 };
    let kind = page[start];
    let head = match kind {
        TABLE_LEAF | INDEX_LEAF => 8,
        INDEX_INNER => 12,
        _ => return Vec::new(),
    };
    let count = usize::from(u16::from_be_bytes([page[start + 3], page[start + 4]]));
    let places = page[start + head..].chunks_exact(2).take(count);
    let places = places.map(|two| usize::from(u16::from_be_bytes([two[0], two[1]])));
    places.filter_map(|at| row(pages, &page, kind, at)).collect()
}

/// The row at `at` of a page.
fn row(pages: &Pages, page: &[u8], kind: u8, at: usize) -> Option<Vec<Value>> {
    let mut rest = page.get(at..)?;
    if kind == INDEX_INNER {
        rest = rest.get(4..)?;
    }
    let length = usize::try_from(varint(&mut rest)?).ok().filter(|length| *length < ROW_BYTES)?;
    let number = if kind == TABLE_LEAF { Some(varint(&mut rest)?) } else { None };
    let payload = payload(pages, rest, length, kind)?;
    let mut values = record(&payload)?;
    // The key of a table that has row numbers is that number.
    if let Some(number) = number {
        *values.first_mut()? = Value::Integer(number);
    }
    Some(values)
}

/// All bytes of a row, those on other pages too.
fn payload(pages: &Pages, rest: &[u8], length: usize, kind: u8) -> Option<Vec<u8>> {
    let most = if kind == TABLE_LEAF { TABLE_LOCAL } else { INDEX_LOCAL };
    if length <= most {
        return Some(rest.get(..length)?.to_vec());
    }
    let surplus = LEAST_LOCAL + (length - LEAST_LOCAL) % (PAGE_BYTES - 4);
    let local = if surplus <= most { surplus } else { LEAST_LOCAL };
    let mut bytes = rest.get(..local)?.to_vec();
    let mut next = word(rest, local);
    while bytes.len() < length {
        let page = pages.read(next)?;
        let more = (length - bytes.len()).min(PAGE_BYTES - 4);
        bytes.extend_from_slice(&page[4..4 + more]);
        next = word(&page, 0);
    }
    Some(bytes)
}

/// The values of a record.
fn record(payload: &[u8]) -> Option<Vec<Value>> {
    let mut rest = payload;
    let head = usize::try_from(varint(&mut rest)?).ok()?;
    let mut kinds = payload.get(payload.len() - rest.len()..head)?;
    let mut body = payload.get(head..)?;
    let mut values = Vec::new();
    while !kinds.is_empty() {
        values.push(value(varint(&mut kinds)?, &mut body)?);
    }
    Some(values)
}

fn value(kind: i64, body: &mut &[u8]) -> Option<Value> {
    let length = match kind {
        0 | 8 | 9 => 0,
        1..=4 => usize::try_from(kind).ok()?,
        5 => 6,
        6 | 7 => 8,
        _ => usize::try_from(kind.checked_sub(12)?).ok()? / 2,
    };
    let (bytes, rest) = body.split_at_checked(length)?;
    *body = rest;
    Some(match kind {
        0 => Value::Null,
        7 => Value::Real(f64::from_be_bytes(bytes.try_into().ok()?)),
        8 | 9 => Value::Integer(kind - 8),
        1..=6 => Value::Integer(integer(bytes)),
        _ if kind % 2 == 0 => Value::Blob(bytes.to_vec()),
        _ => Value::Text(String::from_utf8(bytes.to_vec()).ok()?),
    })
}

/// A number of one to eight bytes, the first of which has the sign.
fn integer(bytes: &[u8]) -> i64 {
    let sign = if bytes.first().is_some_and(|byte| byte & 0x80 != 0) { -1 } else { 0 };
    bytes.iter().fold(sign, |number, byte| (number << 8) | i64::from(*byte))
}

/// A number of one to nine bytes: seven bits of each, all eight of the ninth.
fn varint(rest: &mut &[u8]) -> Option<i64> {
    let mut number = 0_i64;
    for place in 0..9 {
        let (byte, behind) = rest.split_first()?;
        *rest = behind;
        if place == 8 {
            return Some((number << 8) | i64::from(*byte));
        }
        number = (number << 7) | i64::from(byte & 0x7F);
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}
