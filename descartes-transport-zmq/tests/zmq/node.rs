//! JSON and MessagePack as data, with members in their order and as often as they stand there.

use std::fmt;

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{MapAccess, SeqAccess, Visitor},
    ser::{Error as _, SerializeMap},
};
use serde_bytes::ByteBuf;
use serde_json::value::RawValue;

/// Any value.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Node {
    Null,
    Bool(bool),
    Unsigned(u64),
    Signed(i64),
    Float(f64),
    Text(String),
    Bytes(Vec<u8>),
    /// A number that only its text says: the extension 78.
    Number(String),
    Array(Vec<Node>),
    Map(Vec<(String, Node)>),
}

impl Node {
    /// The text as MessagePack, if that can say it exactly.
    pub(crate) fn pack(text: &[u8]) -> Option<Vec<u8>> {
        let node: Self = serde_json::from_slice(text).ok()?;
        let packed = rmp_serde::to_vec(&node).ok()?;
        let same = serde_json::to_vec(&node).ok()? == text;
        let first = *packed.first()?;
        let told_apart = matches!(first, 0x80..=0x9f | 0xdc..=0xdf);
        (same && told_apart).then_some(packed)
    }

    /// MessagePack as JSON text.
    pub(crate) fn unpack(packed: &[u8]) -> Vec<u8> {
        let node: Self = rmp_serde::from_slice(packed).unwrap();
        serde_json::to_vec(&node).unwrap()
    }
}

impl Serialize for Node {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Null => out.serialize_unit(),
            Self::Bool(value) => out.serialize_bool(*value),
            Self::Unsigned(value) => out.serialize_u64(*value),
            Self::Signed(value) => out.serialize_i64(*value),
            Self::Float(value) => out.serialize_f64(*value),
            Self::Text(value) => out.serialize_str(value),
            Self::Bytes(value) => out.serialize_bytes(value),
            Self::Number(text) => {
                RawValue::from_string(text.clone()).map_err(S::Error::custom)?.serialize(out)
            }
            Self::Array(values) => out.collect_seq(values),
            Self::Map(members) => {
                let mut map = out.serialize_map(Some(members.len()))?;
                for (name, value) in members {
                    map.serialize_entry(name, value)?;
                }
                map.end()
            }
        }
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        input.deserialize_any(AnyNode)
    }
}

struct AnyNode;

impl<'de> Visitor<'de> for AnyNode {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("anything")
    }

    fn visit_unit<E>(self) -> Result<Node, E> {
        Ok(Node::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Node, E> {
        Ok(Node::Bool(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Node, E> {
        Ok(Node::Unsigned(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Node, E> {
        Ok(Node::Signed(value))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Node, E> {
        Ok(Node::Float(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Node, E> {
        Ok(Node::Text(value.to_owned()))
    }

    fn visit_bytes<E>(self, value: &[u8]) -> Result<Node, E> {
        Ok(Node::Bytes(value.to_owned()))
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, extension: D) -> Result<Node, D::Error> {
        let (kind, text): (i8, ByteBuf) = Deserialize::deserialize(extension)?;
        assert_eq!(kind, 78, "an extension with {text:?}");
        Ok(Node::Number(String::from_utf8(text.into_vec()).unwrap()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut values: A) -> Result<Node, A::Error> {
        let mut all = Vec::new();
        while let Some(value) = values.next_element()? {
            all.push(value);
        }
        Ok(Node::Array(all))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Node, A::Error> {
        let mut all = Vec::new();
        while let Some(member) = members.next_entry()? {
            all.push(member);
        }
        Ok(Node::Map(all))
    }
}
