//! By position and by name are the same for every method, what is not known is refused by its name,
//! and what the typed client writes is read back.

use std::collections::BTreeSet;

use allocation_counter::measure;
use bytes::Bytes;
use descartes_rpc::{
    decode::ParamFault,
    frame::{self, Entry, Frame},
    message::Params,
    testing::{Decoder, decoders},
};
use serde_json::{Value, value::RawValue};

pub(crate) const WORDS: &[&str] = &[
    "\"agent_id\":",
    "\"name\":",
    "\"config\":{",
    "\"command\":[",
    "\"env\":{",
    "\"limits\":{",
    "\"restart\":{",
    "\"status\":",
    "\"topics\":[",
    "\"after\":\"start\"",
    "\"value\":",
    "\"key\":",
    "\"idempotency_key\":\"k\"",
    "\"timeout_secs\":",
    "null",
    "true",
    "[]",
    "{}",
    "1e400",
    "-1",
    "\\u0061",
    "\\ud800",
    "18446744073709551616",
    ",",
];

/// Memory for reading: a text of one letter in an array takes 4 bytes and becomes a `String`, while
/// its array grows by doubling.
const BUILT_PER_BYTE: u64 = 40;
const BUILT: u64 = 64 * 1024;

type Read = Result<Vec<u8>, ParamFault>;

/// Byte 0 chooses the method, the rest is its parameters.
pub fn params(data: &[u8]) {
    let Some((choice, json)) = data.split_first() else { return };
    let methods = decoders();
    let method = &methods[usize::from(*choice) % methods.len()];
    let Some(params) = sent(json) else { return };
    let mut read = None;
    let built = measure(|| read = Some((method.decode)(&params)));
    let most = BUILT + BUILT_PER_BYTE * json.len() as u64;
    assert!(built.bytes_max <= most, "{} bytes built for {}", built.bytes_max, json.len());
    let read = read.expect("it has run");

    match &read {
        Ok(written) => what_is_written_is_read(method, &params, written),
        Err(fault) => explains(fault),
    }
    let text = params.as_bytes().expect("they are there");
    if let Ok(values) = serde_json::from_slice::<Vec<&RawValue>>(text) {
        positions_are_names(method, &values, &read);
    } else {
        names_are_positions(method, text, &read);
        unknown_and_repeated_members_are_refused(method, text, &read);
    }
}

/// What the frame reader lets through as parameters.
fn sent(json: &[u8]) -> Option<Params> {
    let message = [br#"{"jsonrpc":"2.0","method":"m","params":"#, json, b"}"].concat();
    match frame::parse(&Bytes::from(message)) {
        Frame::Single(Entry::Call(call)) if call.method == "m" && call.id.is_none() => {
            // A parameter text that smuggles members in is another test's.
            let text = std::str::from_utf8(json).ok()?.trim();
            (call.params.as_bytes()? == text.as_bytes()).then_some(call.params)
        }
        _ => None,
    }
}

fn again(method: &Decoder, text: &[u8]) -> Read {
    (method.decode)(&Params::from_json(Bytes::copy_from_slice(text)))
}

fn what_is_written_is_read(method: &Decoder, params: &Params, written: &[u8]) {
    let name = method.name;
    let once = again(method, written).unwrap_or_else(|fault| panic!("{name}: {fault}"));
    let [value, read]: [Value; 2] =
        [written, &once].map(|json| serde_json::from_slice(json).expect("it is JSON"));
    assert!(alike(&value, &read), "{name}: {value} is read as {read}");
    if let Some(agent) = value.get("agent_id").and_then(Value::as_str) {
        assert_eq!(
            method.agent_of(params).as_deref(),
            Some(agent),
            "{name}: whom it is ordered by"
        );
    }
}

/// The same, but for the last digit of a fraction, which serde_json reads fast and not exactly.
fn alike(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Object(one), Value::Object(other)) => {
            let same = |(name, value): (&String, &Value)| {
                other.get(name).is_some_and(|other| alike(value, other))
            };
            one.len() == other.len() && one.iter().all(same)
        }
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| alike(one, other))
        }
        (Value::Number(one), Value::Number(other)) if one.is_f64() && other.is_f64() => {
            let (one, other) = (one.as_f64().unwrap_or(0.0), other.as_f64().unwrap_or(0.0));
            (one - other).abs() <= one.abs() * 1e-15
        }
        (one, other) => one == other,
    }
}

fn explains(fault: &ParamFault) {
    assert!(!fault.message.is_empty(), "a fault without words");
    let named = !fault.path.is_empty() || fault.member.is_some() || fault.expected.is_some();
    assert!(named || fault.message.starts_with("params"), "where is it? {fault:?}");
}

/// An array is the object of the declared names.
fn positions_are_names(method: &Decoder, values: &[&RawValue], read: &Read) {
    if values.len() > method.members.len() {
        let fault = read.as_ref().expect_err("more values than there are names");
        assert_eq!(fault.available, names(method), "{}", method.name);
        return;
    }
    let members: Vec<String> = names(method)
        .iter()
        .zip(values)
        .map(|(name, value)| format!("{name:?} : {}", value.get()))
        .collect();
    let named = again(method, format!("{{{}}}", members.join(" , ")).as_bytes());
    assert!(*read == named, "{}: {read:?} or {named:?}", method.name);
}

/// An object without synonyms and repetitions is the array of its values, absent ones null.
fn names_are_positions(method: &Decoder, text: &[u8], read: &Read) {
    let Some(members) = members(text) else { return };
    let names = names(method);
    let different: BTreeSet<&str> = members.iter().map(|(name, _)| name.as_str()).collect();
    let declared = different.iter().all(|name| names.iter().any(|known| known == name));
    if !declared || different.len() < members.len() {
        return;
    }
    let value = |name: &String| members.iter().find(|(found, _)| found == name);
    let last = names.iter().rposition(|name| value(name).is_some());
    let given = &names[..last.map_or(0, |last| last + 1)];
    let values: Vec<&str> =
        given.iter().map(|name| value(name).map_or("null", |(_, value)| *value)).collect();
    let positional = again(method, format!("[{}]", values.join(",")).as_bytes());
    match (read, positional) {
        (Ok(named), Ok(positional)) => {
            assert!(
                *named == positional,
                "{}: {} or {}",
                method.name,
                text_of(named),
                text_of(&positional)
            );
        }
        (Err(_), Err(_)) => {}
        // What is missing by name is null by position, which may be a value (`state.put`).
        (Err(fault), Ok(_)) => assert!(fault.message.contains("missing field"), "{fault}"),
        (Ok(_), Err(fault)) => panic!("{}: {fault} by position only", method.name),
    }
}

fn unknown_and_repeated_members_are_refused(method: &Decoder, text: &[u8], read: &Read) {
    let Some(members) = members(text).filter(|_| read.is_ok()) else { return };
    let inside = std::str::from_utf8(text).expect("JSON is text").trim();
    let inside = &inside[1..inside.len() - 1];
    let comma = if members.is_empty() { "" } else { "," };
    let unknown = again(method, format!("{{{inside}{comma}\"no such\":0}}").as_bytes());
    let fault = unknown.expect_err("an unknown member");
    assert_eq!(fault.member.as_deref(), Some("no such"), "{}", method.name);
    for (name, value) in members {
        let twice = format!("{{{inside},{name:?}:{value}}}");
        let fault = again(method, twice.as_bytes()).expect_err("a member twice");
        assert!(fault.message.contains("duplicate"), "{}: {fault}", method.name);
    }
}

/// The members of an object that can be named; nothing if a name needs an escape.
fn members(text: &[u8]) -> Option<Vec<(String, &str)>> {
    let crate::frame::Members(members) = serde_json::from_slice(text).ok()?;
    let plain = |name: &str| name.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'_'));
    members.iter().all(|(name, _)| plain(name)).then_some(members)
}

fn names(method: &Decoder) -> Vec<String> {
    method.members.iter().map(|&name| name.to_owned()).collect()
}

fn text_of(json: &[u8]) -> std::borrow::Cow<'_, str> {
    String::from_utf8_lossy(json)
}
