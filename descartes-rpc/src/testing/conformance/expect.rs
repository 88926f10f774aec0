//! What was heard against what was expected.

use std::fmt;

use serde::Deserialize;
use serde_json::{Value, value::RawValue};

/// Why a case failed.
#[derive(Debug)]
pub(crate) struct Failure {
    what: String,
    /// The channel broke, as against something wrong being heard.
    channel: bool,
}

impl Failure {
    /// The connection ended where something was still due.
    pub(crate) fn ended() -> Self {
        Self { what: "the connection ended".to_owned(), channel: true }
    }

    /// Whether the channel broke: where an end is due, that is one.
    pub(crate) fn is_of_channel(&self) -> bool {
        self.channel
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self { what: format!("the channel failed: {error}"), channel: true }
    }
}

pub(crate) fn failure(what: impl Into<String>) -> Failure {
    Failure { what: what.into(), channel: false }
}

/// Fails with what was claimed unless it holds.
pub(crate) fn check(holds: bool, claim: impl FnOnce() -> String) -> Result<(), Failure> {
    if holds { Ok(()) } else { Err(failure(claim())) }
}

#[derive(Deserialize)]
struct Wire<'a> {
    jsonrpc: Option<&'a str>,
    #[serde(borrow)]
    id: Option<&'a RawValue>,
    #[serde(borrow)]
    error: Option<WireError<'a>>,
}

#[derive(Deserialize)]
struct WireError<'a> {
    code: i32,
    #[serde(borrow)]
    data: WireData<'a>,
}

#[derive(Deserialize)]
struct WireData<'a> {
    #[serde(borrow)]
    kind: &'a RawValue,
}

/// `none`, `ok <id>`, `<code> <id>`, or these between brackets for a batch, sorted.
///
/// The identifier is compared as it stands in the text: a number type would lose digits.
pub(crate) fn summary(body: Option<&[u8]>) -> Result<String, Failure> {
    let Some(body) = body else { return Ok("none".into()) };
    if body.trim_ascii_start().first() != Some(&b'[') {
        return summary_of(&read(body)?);
    }
    let responses: Vec<Wire<'_>> = read(body)?;
    let mut all = responses.iter().map(summary_of).collect::<Result<Vec<_>, _>>()?;
    all.sort();
    Ok(format!("[{}]", all.join("; ")))
}

fn summary_of(response: &Wire<'_>) -> Result<String, Failure> {
    check(response.jsonrpc == Some("2.0"), || "an answer without jsonrpc 2.0".into())?;
    // An option takes an identifier of null for none, and both are answered so.
    let id = response.id.map_or("null", RawValue::get);
    let Some(error) = &response.error else { return Ok(format!("ok {id}")) };
    let kind = error.data.kind.get().trim_matches('"');
    let known = crate::error::ErrorKind::from_code(error.code);
    check(known.is_some_and(|known| known.as_str() == kind), || {
        format!("the code {} does not go with the kind {kind}", error.code)
    })?;
    Ok(format!("{} {id}", error.code))
}

fn read<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, Failure> {
    serde_json::from_slice(body).map_err(|error| {
        let text: String = String::from_utf8_lossy(body).chars().take(200).collect();
        failure(format!("not an answer ({error}): {text}"))
    })
}

/// An answer as its result, or its error object.
pub(crate) fn outcome(body: &[u8]) -> Result<Result<Value, Value>, Failure> {
    let mut answer: Value = read(body)?;
    if let Some(error) = answer.get_mut("error") {
        return Ok(Err(error.take()));
    }
    let result = answer.get_mut("result").map(Value::take);
    result.map(Ok).ok_or_else(|| failure(format!("neither result nor error: {answer}")))
}
