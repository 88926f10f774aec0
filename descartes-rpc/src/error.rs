//! The one table of errors: kind, code, HTTP status, whether a retry can help.

mod kind;

use std::{borrow::Cow, fmt};

use bytes::{BufMut, BytesMut};
use serde_json::{Map, Value};

pub use kind::ErrorKind;

use crate::limits::ERROR_CHARS;

/// Why a call failed, in terms its caller can act on.
///
/// The cause of an internal error is never in here; it goes to the log under an incident number.
#[derive(Clone, Debug, PartialEq)]
pub struct RpcError {
    kind: ErrorKind,
    message: Cow<'static, str>,
    retryable: bool,
    details: Option<Box<Details>>,
}

/// The members of `data` beyond kind and retryable, which most errors on hot paths lack.
#[derive(Clone, Debug, Default, PartialEq)]
struct Details {
    reason: Option<Cow<'static, str>>,
    hint: Option<Cow<'static, str>>,
    more: Map<String, Value>,
}

impl RpcError {
    /// An error of `kind`; `message` is a sentence in lower case for people, of which
    /// [`ERROR_CHARS`] are told.
    #[must_use]
    pub fn new(kind: ErrorKind, message: impl Into<Cow<'static, str>>) -> Self {
        let message = match message.into() {
            Cow::Owned(text) => Cow::Owned(bounded(text)),
            said @ Cow::Borrowed(_) => said,
        };
        Self { kind, message, retryable: kind.retryable(), details: None }
    }

    /// An internal error. `cause` is logged under the incident number that the caller is told.
    #[must_use]
    pub fn internal(cause: &dyn fmt::Display) -> Self {
        let incident = uuid::Uuid::now_v7().to_string();
        tracing::error!(%incident, %cause, "internal error");
        Self::new(ErrorKind::Internal, "internal error")
            .with("incident", incident)
            .hint("the log has the cause under this incident")
    }

    /// A bound was reached: `limit` names its configuration key; the others are numbers.
    #[must_use]
    pub fn exhausted(
        limit: &'static str,
        current: impl Into<Value>,
        max: impl Into<Value>,
    ) -> Self {
        Self::new(ErrorKind::ResourceExhausted, format!("{limit} is reached"))
            .with("limit", limit)
            .with("current", current)
            .with("max", max)
    }

    /// A message longer than `max` bytes; sending it again cannot help.
    #[must_use]
    pub fn oversize(limit: &'static str, max: u64) -> Self {
        Self::new(ErrorKind::ResourceExhausted, format!("the message is longer than {max} bytes"))
            .retryable(false)
            .with("limit", limit)
            .with("max", max)
    }

    /// Names the case within the kind; stable text.
    #[must_use]
    pub fn reason(mut self, reason: impl Into<Cow<'static, str>>) -> Self {
        self.details.get_or_insert_default().reason = Some(reason.into());
        self
    }

    /// One sentence on what to do.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<Cow<'static, str>>) -> Self {
        self.details.get_or_insert_default().hint = Some(hint.into());
        self
    }

    /// Says otherwise than the kind whether a retry can help.
    #[must_use]
    pub const fn retryable(mut self, retryable: bool) -> Self {
        self.retryable = retryable;
        self
    }

    /// Adds a member to `data`; of a text as much as of a message.
    #[must_use]
    pub fn with(mut self, member: &'static str, value: impl Into<Value>) -> Self {
        let value = match value.into() {
            Value::String(text) => Value::String(bounded(text)),
            value => value,
        };
        self.details.get_or_insert_default().more.insert(member.into(), value);
        self
    }

    /// The kind, which decides code and status.
    #[must_use]
    pub const fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The JSON-RPC code.
    #[must_use]
    pub const fn code(&self) -> i32 {
        self.kind.code()
    }

    /// The sentence for people.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Whether the same call may succeed later.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        self.retryable
    }

    /// The case within the kind, if there is one.
    #[must_use]
    pub fn reason_text(&self) -> Option<&str> {
        self.details.as_ref()?.reason.as_deref()
    }

    /// The sentence on what to do, if there is one.
    #[must_use]
    pub fn hint_text(&self) -> Option<&str> {
        self.details.as_ref()?.hint.as_deref()
    }

    /// A further member of `data`.
    #[must_use]
    pub fn detail(&self, member: &str) -> Option<&Value> {
        self.details.as_ref()?.more.get(member)
    }

    /// All of `data` as an object.
    #[must_use]
    pub fn data(&self) -> Map<String, Value> {
        let mut data = Map::new();
        data.insert("kind".into(), self.kind.as_str().into());
        data.insert("retryable".into(), self.retryable.into());
        if let Some(details) = &self.details {
            let words = [("reason", &details.reason), ("hint", &details.hint)];
            for (name, word) in words {
                if let Some(word) = word {
                    data.insert(name.into(), word.as_ref().into());
                }
            }
            data.extend(details.more.clone());
        }
        data
    }

    /// Reads an error object that a daemon sent. Unknown kinds are taken by their code, unknown
    /// codes as [`ErrorKind::Other`].
    #[must_use]
    pub fn from_wire(code: i32, message: String, mut data: Map<String, Value>) -> Self {
        let text = |value: Option<Value>| match value {
            Some(Value::String(text)) => Some(Cow::Owned(text)),
            _ => None,
        };
        let kind = text(data.remove("kind"))
            .and_then(|name| ErrorKind::from_name(&name))
            .or_else(|| ErrorKind::from_code(code))
            .unwrap_or(ErrorKind::Other);
        let retryable = data.remove("retryable").and_then(|value| value.as_bool());
        let details = Details {
            reason: text(data.remove("reason")),
            hint: text(data.remove("hint")),
            more: data,
        };
        Self {
            kind,
            message: message.into(),
            retryable: retryable.unwrap_or_else(|| kind.retryable()),
            details: (details != Details::default()).then(|| Box::new(details)),
        }
    }

    /// Writes the error object.
    pub fn encode_into(&self, out: &mut BytesMut) {
        out.put_slice(b"{\"code\":");
        out.put_slice(self.code().to_string().as_bytes());
        out.put_slice(b",\"message\":");
        put_json(out, &Value::from(self.message.as_ref()));
        out.put_slice(b",\"data\":");
        put_json(out, &Value::Object(self.data()));
        out.put_u8(b'}');
    }
}

/// A text of an error, which may repeat what its caller wrote: as much of it as helps.
fn bounded(mut text: String) -> String {
    if let Some((end, _)) = text.char_indices().nth(ERROR_CHARS) {
        text.truncate(end);
        text.push('…');
    }
    text
}

fn put_json(out: &mut BytesMut, value: &Value) {
    out.put_slice(value.to_string().as_bytes());
}

impl fmt::Display for RpcError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}", self.message, self.kind)?;
        if let Some(reason) = self.reason_text() {
            write!(f, ": {reason}")?;
        }
        f.write_str(")")
    }
}

impl std::error::Error for RpcError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_of_errors_is_the_published_one() {
        let table: String = ErrorKind::ALL
            .iter()
            .map(|kind| {
                let (code, status) = (kind.code(), kind.http_status());
                let retry = if kind.retryable() { "retry" } else { "final" };
                format!("{code} {kind} {status} {retry}\n")
            })
            .collect();
        assert_eq!(table, include_str!("../golden/errors.txt"));
    }

    #[test]
    fn names_and_codes_lead_back_to_their_kind() {
        for kind in ErrorKind::ALL {
            assert_eq!(ErrorKind::from_name(kind.as_str()), Some(*kind));
            assert_eq!(ErrorKind::from_code(kind.code()), Some(*kind));
        }
        assert_eq!(ErrorKind::from_code(-32099), None);
    }

    #[test]
    fn what_a_caller_wrote_is_repeated_up_to_a_bound() {
        let long = "é".repeat(ERROR_CHARS + 1);
        let error = RpcError::new(ErrorKind::NotFound, long.clone()).with("name", long);
        let told = format!("{}…", "é".repeat(ERROR_CHARS));
        assert_eq!(error.detail("name"), Some(&Value::from(told.as_str())));
        assert_eq!(error.to_string(), format!("{told} (not_found)"));
        let whole = "é".repeat(ERROR_CHARS);
        assert!(!RpcError::new(ErrorKind::NotFound, whole).to_string().contains('…'));
    }

    #[test]
    fn an_error_survives_the_wire() {
        let sent = RpcError::new(ErrorKind::Conflict, "the agent has ended")
            .reason("wrong_status")
            .hint("start it again")
            .with("status", "completed");
        let mut out = BytesMut::new();
        sent.encode_into(&mut out);
        let wire: Value = serde_json::from_slice(&out).unwrap();
        let data = wire["data"].as_object().unwrap().clone();
        let read = RpcError::from_wire(-32017, wire["message"].as_str().unwrap().into(), data);
        assert_eq!(read, sent);
    }

    #[test]
    fn an_unknown_kind_of_a_later_daemon_is_taken_by_its_code() {
        let data = serde_json::json!({"kind": "conflict_of_tomorrow"});
        let read = RpcError::from_wire(-32017, "no".into(), data.as_object().unwrap().clone());
        assert_eq!(read.kind(), ErrorKind::Conflict);
        let read = RpcError::from_wire(-31000, "no".into(), Map::new());
        assert_eq!(read.kind(), ErrorKind::Other);
    }
}
