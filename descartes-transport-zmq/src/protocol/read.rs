//! From bytes to a message, strictly: what is wrong is told with its place.

use std::fmt;
use std::marker::PhantomData;

use descartes_rpc::decode::ParamFault;
use serde::de::{DeserializeSeed, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::Value as Json;

use super::alias;
use super::scan::{self, Outline};
use super::value::Value;
use super::wire::ZmqMessage;
use crate::limits::REQUEST_ID_CHARS;

/// Reads a message; its outline is there also when it is broken.
pub(super) fn message(bytes: &[u8]) -> (Outline<'_>, Result<ZmqMessage, ParamFault>) {
    let outline = scan::outline(bytes);
    let read = checked(&outline, bytes);
    (outline, read)
}

fn checked(outline: &Outline<'_>, bytes: &[u8]) -> Result<ZmqMessage, ParamFault> {
    if let Some(fault) = outline.fault {
        return Err(sentence("", fault.to_string()));
    }
    if outline.request_id.is_some_and(|id| id.chars().count() > REQUEST_ID_CHARS) {
        return Err(ParamFault::at("request_id", "at most 128 characters"));
    }
    let Some(kind) = outline.kind else {
        return Err(ParamFault::at("type", "the name of a message, as text"));
    };
    let moved = if outline.is_flat_start() { alias::with_config(bytes) } else { None };
    let bytes = moved.as_deref().unwrap_or(bytes);
    ZmqMessage::read(kind, bytes).unwrap_or_else(|| {
        let shown: String = kind.chars().take(SHOWN).collect();
        let mut fault = ParamFault::at("type", "the name of a message");
        fault.message = format!("type: no message {shown:?}");
        fault.available = ZmqMessage::TYPES.iter().map(|&word| word.to_owned()).collect();
        Err(fault)
    })
}

/// How much of a word that is not known is told back.
const SHOWN: usize = 64;

fn sentence(path: &str, message: String) -> ParamFault {
    let mut fault = ParamFault::at(path, "");
    (fault.message, fault.expected) = (message, None);
    fault
}

/// The members of a message beside `type`.
pub(super) fn body<T: for<'de> Deserialize<'de>>(bytes: &[u8]) -> Result<T, ParamFault> {
    let mut input = rmp_serde::Deserializer::from_read_ref(bytes);
    serde_path_to_error::deserialize::<_, Body<T>>(&mut input).map(|body| body.0).map_err(|error| {
        let misfit = matches!(error.inner(), rmp_serde::decode::Error::TypeMismatch(_));
        let said = misfit.then(|| said_of_json::<T>(bytes)).flatten();
        said.unwrap_or_else(|| ParamFault::explain(&error))
    })
}

/// What is wrong with the same message in JSON: where a number or a truth is due, the decoder of
/// MessagePack tells neither what it found nor what would have been right.
fn said_of_json<T: for<'de> Deserialize<'de>>(bytes: &[u8]) -> Option<ParamFault> {
    let mut value: Value = rmp_serde::from_slice(bytes).ok()?;
    without_bytes(&mut value);
    let Ok(Json::Object(mut members)) = value.into_json() else { return None };
    members.remove("type");
    let read = serde_path_to_error::deserialize::<_, T>(Json::Object(members));
    read.err().map(|error| ParamFault::explain(&error))
}

/// Texts in place of bytes, which are taken wherever bytes are.
fn without_bytes(value: &mut Value) {
    match value {
        Value::Bytes(_) => *value = Value::Text(String::new()),
        Value::Array(items) => items.iter_mut().for_each(without_bytes),
        Value::Map(members) => members.values_mut().for_each(without_bytes),
        _ => {}
    }
}

/// A `T` in a map that has `type` beside it.
struct Body<T>(T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Body<T> {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        input.deserialize_map(BodyVisitor(PhantomData))
    }
}

struct BodyVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for BodyVisitor<T> {
    type Value = Body<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a map")
    }

    fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<Self::Value, A::Error> {
        let members = WithoutType { members, seen: false };
        T::deserialize(serde::de::value::MapAccessDeserializer::new(members)).map(Body)
    }
}

/// The members of a map but `type`, which may stand there once.
struct WithoutType<A> {
    members: A,
    seen: bool,
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for WithoutType<A> {
    type Error = A::Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, A::Error> {
        loop {
            let Some(name) = self.members.next_key::<String>()? else { return Ok(None) };
            if name != "type" {
                let name = serde::de::value::StringDeserializer::<A::Error>::new(name);
                return seed.deserialize(name).map(Some);
            }
            self.members.next_value::<IgnoredAny>()?;
            if std::mem::replace(&mut self.seen, true) {
                return Err(serde::de::Error::duplicate_field("type"));
            }
        }
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, A::Error> {
        self.members.next_value_seed(seed)
    }
}
