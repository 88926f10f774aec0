//! A value of MessagePack that a message carries and this protocol does not look into.

use std::collections::BTreeMap;
use std::fmt;

use descartes_rpc::decode::ParamFault;
use serde::de::{Error as _, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Any value: what JSON has, and bytes.
///
/// Maps have texts as keys, each once. `serde_json` reads and writes it too, but has no bytes: see
/// [`Value::into_json`].
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub enum Value {
    /// `nil`.
    #[default]
    Null,
    /// True or false.
    Bool(bool),
    /// A whole number, not negative.
    Unsigned(u64),
    /// A negative whole number.
    Negative(i64),
    /// A number with a fraction.
    Float(f64),
    /// Text.
    Text(String),
    /// Bytes, `bin` on the wire.
    Bytes(Vec<u8>),
    /// Values in order.
    Array(Vec<Self>),
    /// Values by name.
    Map(BTreeMap<String, Self>),
}

impl Value {
    /// The member `name` of a map.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Self> {
        match self {
            Self::Map(members) => members.get(name),
            _ => None,
        }
    }

    /// The text, if it is one.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The number, if it is a whole one and not negative.
    #[must_use]
    pub const fn as_u64(&self) -> Option<u64> {
        match self {
            Self::Unsigned(number) => Some(*number),
            _ => None,
        }
    }

    /// The bytes, if they are some.
    #[must_use]
    pub fn as_bytes(&self) -> Option<&[u8]> {
        match self {
            Self::Bytes(bytes) => Some(bytes),
            _ => None,
        }
    }

    /// What a type of the wire looks like as a value.
    ///
    /// # Errors
    ///
    /// When it has no form in JSON.
    pub fn of(value: &impl Serialize) -> serde_json::Result<Self> {
        serde_json::to_value(value).map(Self::from)
    }

    /// The same as JSON.
    ///
    /// # Errors
    ///
    /// Names the first place that holds what JSON has not: bytes, or a number that is none.
    pub fn into_json(self) -> Result<serde_json::Value, ParamFault> {
        // Texts are moved and not copied: they may be most of a message.
        self.json().map_err(|Misfit { way, expected }| {
            let mut path = String::new();
            for step in way.iter().rev() {
                step.write(&mut path);
            }
            ParamFault::at(&path, expected)
        })
    }

    fn json(self) -> Result<serde_json::Value, Misfit> {
        Ok(match self {
            Self::Null => serde_json::Value::Null,
            Self::Bool(is) => is.into(),
            Self::Unsigned(number) => number.into(),
            Self::Negative(number) => number.into(),
            Self::Float(number) => match serde_json::Number::from_f64(number) {
                Some(finite) => finite.into(),
                None => return Err(Misfit::new("a finite number")),
            },
            Self::Text(text) => text.into(),
            Self::Bytes(_) => return Err(Misfit::new("no bytes: JSON has none")),
            Self::Array(items) => {
                let item =
                    |(at, item): (usize, Self)| item.json().map_err(|e| e.inside(Step::Item(at)));
                items.into_iter().enumerate().map(item).collect::<Result<Vec<_>, _>>()?.into()
            }
            Self::Map(members) => {
                let mut object = serde_json::Map::new();
                for (name, member) in members {
                    match member.json() {
                        Ok(json) => drop(object.insert(name, json)),
                        Err(misfit) => return Err(misfit.inside(Step::Member(name))),
                    }
                }
                object.into()
            }
        })
    }
}

/// What has no form in JSON, and the way to it from the inside out.
struct Misfit {
    way: Vec<Step>,
    expected: &'static str,
}

impl Misfit {
    const fn new(expected: &'static str) -> Self {
        Self { way: Vec::new(), expected }
    }

    fn inside(mut self, step: Step) -> Self {
        self.way.push(step);
        self
    }
}

/// One step on the way into a value.
enum Step {
    Member(String),
    Item(usize),
}

impl Step {
    fn write(&self, path: &mut String) {
        match self {
            Self::Member(name) => {
                if !path.is_empty() {
                    path.push('.');
                }
                path.push_str(name);
            }
            Self::Item(at) => path.push_str(&format!("[{at}]")),
        }
    }
}

impl From<serde_json::Value> for Value {
    fn from(json: serde_json::Value) -> Self {
        match json {
            serde_json::Value::Null => Self::Null,
            serde_json::Value::Bool(is) => Self::Bool(is),
            serde_json::Value::Number(number) => match (number.as_u64(), number.as_i64()) {
                (Some(whole), _) => Self::Unsigned(whole),
                (None, Some(negative)) => Self::Negative(negative),
                (None, None) => Self::Float(number.as_f64().unwrap_or(f64::NAN)),
            },
            serde_json::Value::String(text) => Self::Text(text),
            serde_json::Value::Array(items) => {
                Self::Array(items.into_iter().map(Self::from).collect())
            }
            serde_json::Value::Object(members) => Self::Map(
                members.into_iter().map(|(name, value)| (name, Self::from(value))).collect(),
            ),
        }
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<u64> for Value {
    fn from(number: u64) -> Self {
        Self::Unsigned(number)
    }
}

impl From<Vec<u8>> for Value {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Bytes(bytes)
    }
}

impl<N: Into<String>> FromIterator<(N, Self)> for Value {
    fn from_iter<I: IntoIterator<Item = (N, Self)>>(members: I) -> Self {
        Self::Map(members.into_iter().map(|(name, value)| (name.into(), value)).collect())
    }
}

impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Null => serializer.serialize_unit(),
            Self::Bool(is) => serializer.serialize_bool(*is),
            Self::Unsigned(number) => serializer.serialize_u64(*number),
            Self::Negative(number) => serializer.serialize_i64(*number),
            Self::Float(number) => serializer.serialize_f64(*number),
            Self::Text(text) => serializer.serialize_str(text),
            Self::Bytes(bytes) => serializer.serialize_bytes(bytes),
            Self::Array(items) => serializer.collect_seq(items),
            Self::Map(members) => serializer.collect_map(members),
        }
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        input.deserialize_any(ValueVisitor)
    }
}

struct ValueVisitor;

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }
    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }
    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }
    fn visit_some<D: Deserializer<'de>>(self, input: D) -> Result<Value, D::Error> {
        Value::deserialize(input)
    }
    fn visit_bool<E>(self, is: bool) -> Result<Value, E> {
        Ok(Value::Bool(is))
    }
    fn visit_u64<E>(self, number: u64) -> Result<Value, E> {
        Ok(Value::Unsigned(number))
    }
    fn visit_i64<E>(self, number: i64) -> Result<Value, E> {
        Ok(u64::try_from(number).map_or(Value::Negative(number), Value::Unsigned))
    }
    fn visit_f64<E>(self, number: f64) -> Result<Value, E> {
        Ok(Value::Float(number))
    }
    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(Value::Text(text.to_owned()))
    }
    fn visit_string<E>(self, text: String) -> Result<Value, E> {
        Ok(Value::Text(text))
    }
    fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Value, E> {
        Ok(Value::Bytes(bytes.to_vec()))
    }
    fn visit_byte_buf<E>(self, bytes: Vec<u8>) -> Result<Value, E> {
        Ok(Value::Bytes(bytes))
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        // What the sender says about the length is not believed.
        let mut array = Vec::new();
        while let Some(item) = items.next_element()? {
            array.push(item);
        }
        Ok(Value::Array(array))
    }
    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut map = BTreeMap::new();
        while let Some(name) = members.next_key::<String>()? {
            let value = members.next_value()?;
            if map.contains_key(&name) {
                return Err(A::Error::custom(format_args!("duplicate field `{name}`")));
            }
            map.insert(name, value);
        }
        Ok(Value::Map(map))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example() -> Value {
        Value::from_iter([
            ("none", Value::Null),
            ("yes", Value::Bool(true)),
            ("most", Value::Unsigned(u64::MAX)),
            ("least", Value::Negative(i64::MIN)),
            ("half", Value::Float(0.5)),
            ("text", Value::from("é")),
            ("list", Value::Array(vec![Value::Unsigned(1), Value::from("two")])),
        ])
    }

    #[test]
    fn values_are_the_same_after_messagepack_and_after_json() {
        let value = example();
        let packed = rmp_serde::to_vec_named(&value).unwrap();
        assert_eq!(rmp_serde::from_slice::<Value>(&packed).unwrap(), value);
        assert_eq!(Value::from(value.clone().into_json().unwrap()), value);
        let json = serde_json::to_string(&value).unwrap();
        assert_eq!(serde_json::from_str::<Value>(&json).unwrap(), value);
    }

    #[test]
    fn bytes_stay_bytes_and_have_no_form_in_json() {
        let value = Value::from_iter([("a", Value::Array(vec![Value::Bytes(vec![0, 255])]))]);
        let packed = rmp_serde::to_vec_named(&value).unwrap();
        assert!(packed.windows(2).any(|pair| pair == [0xc4, 2]), "{packed:02x?}");
        assert_eq!(rmp_serde::from_slice::<Value>(&packed).unwrap(), value);
        assert_eq!(value.into_json().unwrap_err().path, "a[0]");
    }

    #[test]
    fn a_member_given_twice_is_refused() {
        let packed = b"\x82\xa1a\x01\xa1a\x02";
        let refused = rmp_serde::from_slice::<Value>(packed).unwrap_err();
        assert!(refused.to_string().contains("duplicate field `a`"), "{refused}");
    }
}
