//! What a message means, from section 1 of the interface, by way of `serde_json` and without haste.

use std::{collections::BTreeSet, fmt};

use descartes_rpc::{error::ErrorKind, limits};
use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor},
};
use serde_json::value::RawValue;

use super::{Part, Verdict};

pub(crate) fn read(data: &[u8]) -> Verdict {
    let message = match json(data) {
        Ok(message) => message,
        Err(kind) => return Verdict::Malformed(kind),
    };
    let Ok(batch) = serde_json::from_str::<Vec<&RawValue>>(message) else {
        return Verdict::Single(entry(message));
    };
    match batch.len() {
        1..=limits::BATCH_CALLS => {
            Verdict::Batch(batch.iter().map(|one| entry(one.get())).collect())
        }
        _ => Verdict::Malformed(ErrorKind::InvalidRequest),
    }
}

/// Parameters that stand alone: nothing, an object or an array.
pub(super) fn params(data: &[u8]) -> Result<Option<&str>, ErrorKind> {
    if data.iter().all(|byte| b" \t\r\n".contains(byte)) {
        return Ok(None);
    }
    let params = json(data)?;
    let structured = params.starts_with(['{', '[']);
    if structured { Ok(Some(params)) } else { Err(ErrorKind::InvalidParams) }
}

/// One value without the space around it.
fn json(data: &[u8]) -> Result<&str, ErrorKind> {
    let text = std::str::from_utf8(data).or(Err(ErrorKind::ParseError))?;
    if let Some(before) = too_deep(text) {
        let only_deep = is_json(&before);
        return Err(if only_deep { ErrorKind::InvalidRequest } else { ErrorKind::ParseError });
    }
    let value = serde_json::from_str::<&RawValue>(text).or(Err(ErrorKind::ParseError))?;
    Ok(value.get())
}

fn is_json(text: &str) -> bool {
    serde_json::from_str::<&RawValue>(text).is_ok()
}

/// Where nesting goes beyond the bound, what stood before it, completed: JSON exactly if nothing
/// before it was wrong.
fn too_deep(text: &str) -> Option<String> {
    let (mut open, mut in_string, mut escaped) = (Vec::new(), false, false);
    for (at, byte) in text.bytes().enumerate() {
        if in_string {
            in_string = escaped || byte != b'"';
            escaped = !escaped && byte == b'\\';
            continue;
        }
        match byte {
            b'"' => in_string = true,
            b'{' | b'[' if open.len() == limits::JSON_DEPTH as usize => {
                let closing: String = open.iter().rev().collect();
                return Some(format!("{} 0{closing}", &text[..at]));
            }
            b'{' => open.push('}'),
            b'[' => open.push(']'),
            b'}' | b']' => drop(open.pop()),
            _ => {}
        }
    }
    None
}

fn entry(text: &str) -> Part {
    let Ok(Members(members)) = serde_json::from_str(text) else { return refused("null") };
    let named = |name: &str| members.iter().filter(|(found, _)| found == name).collect::<Vec<_>>();
    let one = |name: &str| named(name).first().map(|(_, value)| *value);
    if named("id").len() > 1 {
        return refused("null");
    }
    let id = match one("id") {
        Some(id) if !is_id(id) => return refused("null"),
        id => id.map(str::to_owned),
    };
    let blame = || refused(id.as_deref().unwrap_or("null"));
    let different: BTreeSet<&str> = members.iter().map(|(name, _)| name.as_str()).collect();
    let known = ["jsonrpc", "id", "method", "params"];
    let unknown = different.iter().filter(|name| !known.contains(name)).count();
    if different.len() < members.len() || unknown > limits::UNKNOWN_MEMBERS {
        return blame();
    }
    if one("jsonrpc").and_then(meaning).as_deref() != Some("2.0") {
        return blame();
    }
    let Some(method) = one("method").and_then(meaning) else { return blame() };
    match one("params") {
        Some(params) if !params.starts_with(['{', '[']) => match id {
            Some(id) => Part::Refused { id, kind: ErrorKind::InvalidParams },
            None => Part::Ignored,
        },
        params => Part::Call { id, method, params: params.map(str::to_owned) },
    }
}

fn refused(id: &str) -> Part {
    Part::Refused { id: id.to_owned(), kind: ErrorKind::InvalidRequest }
}

/// A string, an integer of any size, or null.
fn is_id(json: &str) -> bool {
    let digits = json.strip_prefix('-').unwrap_or(json);
    json == "null" || json.starts_with('"') || digits.bytes().all(|byte| byte.is_ascii_digit())
}

/// What a string says; nothing if it is none, or no Unicode.
fn meaning(json: &str) -> Option<String> {
    serde_json::from_str(json).ok()
}

/// The members of an object as they stand there, their names decoded where that is possible.
pub(crate) struct Members<'a>(pub(crate) Vec<(String, &'a str)>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        struct All;

        impl<'de> Visitor<'de> for All {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut all = Vec::new();
                while let Some((name, value)) = map.next_entry::<&RawValue, &RawValue>()? {
                    let quoted = name.get();
                    let as_written = || quoted[1..quoted.len() - 1].to_owned();
                    all.push((meaning(quoted).unwrap_or_else(as_written), value.get()));
                }
                Ok(Members(all))
            }
        }

        input.deserialize_map(All)
    }
}
