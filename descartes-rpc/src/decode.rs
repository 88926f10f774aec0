//! Parameters: from the raw bytes of a message into one method's typed struct, strictly.
//!
//! The common case is one pass of serde over the bytes. Only when that fails is the message read
//! again, with its path kept, to say what was wrong where.

mod fault;
pub mod guard;
mod positions;

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::message::Params;
use crate::method::MethodParams;

pub use fault::ParamFault;

/// Decodes `params` of a message: an object by name, an array by position, or nothing.
///
/// # Errors
/// Says which member was unknown, missing, given twice or of the wrong type.
pub fn decode<P: MethodParams>(params: &Params) -> Result<P, ParamFault> {
    let text = params.as_bytes().unwrap_or(b"{}");
    match text.iter().find(|byte| !byte.is_ascii_whitespace()) {
        Some(b'{') => named(text),
        Some(b'[') => named(by_name::<P>(text)?.as_bytes()),
        _ => Err(ParamFault::not_a_structure()),
    }
}

fn named<P: MethodParams>(text: &[u8]) -> Result<P, ParamFault> {
    serde_json::from_slice(text).or_else(|_| {
        let mut input = serde_json::Deserializer::from_slice(text);
        serde_path_to_error::deserialize(&mut input).map_err(|error| ParamFault::explain(&error))
    })
}

/// The same parameters as an object: positions are the declared order.
fn by_name<P: MethodParams>(text: &[u8]) -> Result<String, ParamFault> {
    let (values, given) = positions::read(text, P::MEMBERS.len())
        .map_err(|error| ParamFault::malformed(&error.to_string()))?;
    if given > P::MEMBERS.len() {
        return Err(ParamFault::too_many_positions(given, P::MEMBERS));
    }
    let mut object = String::with_capacity(text.len() + 16 * values.len() + 2);
    object.push('{');
    for (name, value) in P::MEMBERS.iter().zip(&values) {
        if object.len() > 1 {
            object.push(',');
        }
        object.push('"');
        object.push_str(name);
        object.push_str("\":");
        object.push_str(value.get());
    }
    object.push('}');
    Ok(object)
}

/// The `agent_id` of parameters that nobody has decoded yet; empty when there is none, nothing when
/// they cannot be read.
pub(crate) fn agent_of<'a>(members: &[&str], params: &'a Params) -> Option<Cow<'a, str>> {
    #[derive(Deserialize)]
    struct Target<'a> {
        #[serde(borrow, default)]
        agent_id: Option<Cow<'a, str>>,
    }
    let text = params.as_bytes()?;
    if text.first() == Some(&b'[') {
        let place = members.iter().position(|name| *name == "agent_id")?;
        let (values, _) = positions::read(text, members.len()).ok()?;
        return serde_json::from_str(values.get(place)?.get()).ok();
    }
    let target: Target<'_> = serde_json::from_slice(text).ok()?;
    Some(target.agent_id.unwrap_or_default())
}

/// The text of the member `name` of parameters that nobody has decoded yet.
pub(crate) fn member_of(name: &str, members: &[&str], params: &Params) -> Option<String> {
    let place = members.iter().position(|member| *member == name)?;
    let text = params.as_bytes()?;
    let value = if text.first() == Some(&b'[') {
        let (values, _) = positions::read(text, members.len()).ok()?;
        values.get(place)?.get().to_owned()
    } else {
        let object: std::collections::HashMap<Cow<'_, str>, &RawValue> =
            serde_json::from_slice(text).ok()?;
        object.get(name)?.get().to_owned()
    };
    serde_json::from_str(&value).ok()
}

#[cfg(test)]
mod tests;
