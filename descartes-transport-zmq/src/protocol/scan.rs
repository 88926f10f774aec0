//! The outline of a message, before anything of it is kept: one pass, no recursion, no allocation
//! that a sender can choose.

use super::alias;
use crate::limits::{MESSAGE_DEPTH, MESSAGE_NODES};

/// What can be told of a message, also of a broken one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Outline<'a> {
    /// The member `type`, if it is text.
    pub(super) kind: Option<&'a str>,
    /// The member `request_id`, if it is text.
    pub(super) request_id: Option<&'a str>,
    /// Whether it has the member `config`.
    pub(super) has_config: bool,
    /// Whether it has the member by which the flat form of a start is known.
    pub(super) has_backend: bool,
    /// Why it cannot be read, if so.
    pub(super) fault: Option<ScanFault>,
}

/// Why bytes are not a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum ScanFault {
    /// The bytes are no MessagePack, or not whole.
    #[error("the message is not MessagePack at byte {at}")]
    Malformed { at: usize },
    /// More follows behind the message.
    #[error("something follows the message at byte {at}")]
    Trailing { at: usize },
    /// A message is a map.
    #[error("a message is a map")]
    NotAMap,
    /// Too deep.
    #[error("nested deeper than {MESSAGE_DEPTH} levels")]
    TooDeep,
    /// Too many values.
    #[error("more than {MESSAGE_NODES} values")]
    TooMany,
}

/// What stands at one place.
enum Item<'a> {
    /// A value of one piece; text, if it is text.
    Leaf(Option<&'a str>),
    /// An array of so many values.
    Array(usize),
    /// A map of so many members.
    Map(usize),
}

/// Looks a message over. Never fails: what is wrong is part of the outline.
pub(super) fn outline(message: &[u8]) -> Outline<'_> {
    let mut outline = Outline::default();
    outline.fault = Scanner { rest: message, all: message.len() }.walk(&mut outline).err();
    outline
}

struct Scanner<'a> {
    rest: &'a [u8],
    all: usize,
}

impl<'a> Scanner<'a> {
    fn walk(&mut self, outline: &mut Outline<'a>) -> Result<(), ScanFault> {
        let Item::Map(members) = self.item()? else { return Err(ScanFault::NotAMap) };
        // How many values are missing on each level.
        let mut open = vec![members.saturating_mul(2)];
        let mut nodes = 0_usize;
        let mut key = None;
        while let Some(missing) = open.last_mut() {
            if *missing == 0 {
                open.pop();
                continue;
            }
            let is_key = *missing % 2 == 0;
            *missing -= 1;
            nodes += 1;
            if nodes > MESSAGE_NODES {
                return Err(ScanFault::TooMany);
            }
            let item = self.item()?;
            if open.len() == 1 {
                key = note(outline, key, &item, is_key);
            }
            let inside = match item {
                Item::Leaf(_) => continue,
                Item::Array(items) => items,
                Item::Map(members) => members.saturating_mul(2),
            };
            if open.len() >= MESSAGE_DEPTH {
                return Err(ScanFault::TooDeep);
            }
            open.push(inside);
        }
        if self.rest.is_empty() { Ok(()) } else { Err(ScanFault::Trailing { at: self.at() }) }
    }

    fn at(&self) -> usize {
        self.all - self.rest.len()
    }

    /// The next value, or the head of one (msgpack.org, specification of the formats).
    fn item(&mut self) -> Result<Item<'a>, ScanFault> {
        let at = self.at();
        let malformed = ScanFault::Malformed { at };
        let marker = self.take(1).ok_or(malformed)?[0];
        let low = usize::from(marker);
        let leaf = |taken: Option<&'a [u8]>| taken.map(|_| Item::Leaf(None));
        let item = match marker {
            0x00..=0x7f | 0xe0..=0xff | 0xc0 | 0xc2 | 0xc3 => Some(Item::Leaf(None)),
            0x80..=0x8f => Some(Item::Map(low & 0x0f)),
            0x90..=0x9f => Some(Item::Array(low & 0x0f)),
            0xa0..=0xbf => self.text(low & 0x1f),
            0xc4..=0xc6 => {
                let length = self.number(1 << (marker - 0xc4));
                length.and_then(|length| leaf(self.take(length)))
            }
            0xc7..=0xc9 => {
                let length = self.number(1 << (marker - 0xc7));
                length.and_then(|length| leaf(self.take(length.checked_add(1)?)))
            }
            0xca => leaf(self.take(4)),
            0xcb => leaf(self.take(8)),
            0xcc..=0xcf => leaf(self.take(1 << (marker - 0xcc))),
            0xd0..=0xd3 => leaf(self.take(1 << (marker - 0xd0))),
            0xd4..=0xd8 => leaf(self.take(1 + (1 << (marker - 0xd4)))),
            0xd9..=0xdb => {
                let length = self.number(1 << (marker - 0xd9));
                length.and_then(|length| self.text(length))
            }
            0xdc | 0xdd => self.number(2 << (marker - 0xdc)).map(Item::Array),
            0xde | 0xdf => self.number(2 << (marker - 0xde)).map(Item::Map),
            0xc1 => None,
        };
        item.ok_or(malformed)
    }

    fn text(&mut self, length: usize) -> Option<Item<'a>> {
        let bytes = self.take(length)?;
        std::str::from_utf8(bytes).ok().map(|text| Item::Leaf(Some(text)))
    }

    fn number(&mut self, width: usize) -> Option<usize> {
        let bytes = self.take(width)?;
        Some(bytes.iter().fold(0, |number, byte| number << 8 | usize::from(*byte)))
    }

    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(count)?;
        self.rest = rest;
        Some(taken)
    }
}

impl Outline<'_> {
    /// Whether it starts an agent whose parameters stand beside `request_id`, and in no `config`.
    pub(super) fn is_flat_start(&self) -> bool {
        self.kind == Some("spawn_request") && self.has_backend && !self.has_config
    }
}

/// Notes `item` of the outermost map; gives back the key that its next value belongs to.
fn note<'a>(
    outline: &mut Outline<'a>,
    key: Option<&'a str>,
    item: &Item<'a>,
    is_key: bool,
) -> Option<&'a str> {
    let Item::Leaf(text) = *item else { return None };
    if is_key {
        outline.has_config |= text == Some("config");
        outline.has_backend |= text == Some(alias::MARK);
        return text;
    }
    match key {
        Some("type") => outline.kind = text,
        Some("request_id") => outline.request_id = text,
        _ => {}
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde::Deserialize as _;

    use super::*;
    use crate::protocol::Value;

    fn packed(value: serde_json::Value) -> Vec<u8> {
        rmp_serde::to_vec_named(&Value::from(value)).unwrap()
    }

    #[test]
    fn type_and_request_are_read_from_the_outermost_map_alone() {
        let inner = serde_json::json!({"type": "b", "request_id": "2"});
        let bytes = packed(serde_json::json!({
            "a": inner, "type": "a", "m": [inner], "request_id": "1", "z": inner
        }));
        let outline = outline(&bytes);
        assert_eq!((outline.kind, outline.request_id), (Some("a"), Some("1")));
        assert_eq!(outline.fault, None);
    }

    #[test]
    fn what_stands_before_the_break_is_still_told() {
        let bytes = packed(serde_json::json!({"request_id": "1", "type": "a", "z": [1, 2, 3]}));
        let cut = outline(&bytes[..bytes.len() - 1]);
        assert_eq!((cut.kind, cut.request_id), (Some("a"), Some("1")));
        assert!(matches!(cut.fault, Some(ScanFault::Malformed { .. })));
    }

    #[test]
    fn lengths_are_not_believed_and_depth_and_number_are_bounded() {
        let faults = [
            (b"\x81\xa1a\xdd\xff\xff\xff\xff".to_vec(), ScanFault::Malformed { at: 8 }),
            (b"\x81\xa1a\xc6\xff\xff\xff\xff".to_vec(), ScanFault::Malformed { at: 3 }),
            (b"\xdf\xff\xff\xff\xff".to_vec(), ScanFault::Malformed { at: 5 }),
            (b"".to_vec(), ScanFault::Malformed { at: 0 }),
            (b"\x81\xa1a\xc1".to_vec(), ScanFault::Malformed { at: 3 }),
            (b"\x80\xc0".to_vec(), ScanFault::Trailing { at: 1 }),
            (b"\x90".to_vec(), ScanFault::NotAMap),
            ([&b"\x81\xa1a"[..], &[0x91; 200], b"\xc0"].concat(), ScanFault::TooDeep),
            (
                [&b"\x81\xa1a\xdd\x00\x10\x00\x00"[..], &[0xc0; 0x10_0000]].concat(),
                ScanFault::TooMany,
            ),
        ];
        for (bytes, fault) in faults {
            assert_eq!(outline(&bytes).fault, Some(fault), "{:02x?}", &bytes[..bytes.len().min(9)]);
        }
    }

    proptest! {
        #[test]
        fn what_is_let_through_is_read_by_the_decoder(
            bytes in prop::collection::vec(any::<u8>(), 0..60),
        ) {
            let whole = [&b"\x81\xa1a"[..], &bytes].concat();
            if outline(&whole).fault.is_none() {
                let mut input = rmp_serde::Deserializer::from_read_ref(&whole);
                let read = serde::de::IgnoredAny::deserialize(&mut input);
                prop_assert!(read.is_ok(), "{:02x?} {:?}", whole, read);
            }
        }
    }
}
