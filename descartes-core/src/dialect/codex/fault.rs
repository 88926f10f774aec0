//! Errors in the program's words, and what they are in ours.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::wire::Fault;
use crate::dialect::raw::cut;
use crate::event::{ChunkError, ChunkErrorKind};
use crate::limits;

/// What `fault` is.
pub(super) fn chunk_error(fault: &Fault<'_>) -> ChunkError {
    let said = fault.message.as_deref().unwrap_or("the program did not say why");
    let message = match fault.additional_details.as_deref() {
        Some(details) if !details.is_empty() => format!("{said}: {details}"),
        _ => said.to_owned(),
    };
    let (name, status) = fault.codex_error_info.map(info).unwrap_or_default();
    error(kind(&name, status), &message)
}

/// The error `kind`, with what can be done about it; the message cut to a length that is read.
pub(in crate::dialect) fn error(kind: ChunkErrorKind, message: &str) -> ChunkError {
    let error = ChunkError::new(kind, cut(message, limits::ERROR_TEXT_BYTES));
    match kind {
        ChunkErrorKind::AgentAuth => error.with_hint(
            "sign in with `codex login`, or set the variable that its model provider takes the key from",
        ),
        ChunkErrorKind::ContextFull => error.with_hint("begin a new conversation"),
        _ => error,
    }
}

/// The name of what went wrong, and the HTTP status behind it: `"other"` or
/// `{"httpConnectionFailed":{"httpStatusCode":401}}`.
fn info(raw: &RawValue) -> (String, Option<u16>) {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Http {
        http_status_code: Option<u16>,
    }
    if let Ok(name) = serde_json::from_str::<String>(raw.get()) {
        return (name, None);
    }
    let named = serde_json::from_str::<BTreeMap<String, &RawValue>>(raw.get()).unwrap_or_default();
    let Some((name, inside)) = named.into_iter().next() else { return Default::default() };
    let status = serde_json::from_str::<Http>(inside.get()).ok();
    (name, status.and_then(|http| http.http_status_code))
}

fn kind(name: &str, status: Option<u16>) -> ChunkErrorKind {
    match (name, status) {
        ("unauthorized", _) | (_, Some(401 | 403)) => ChunkErrorKind::AgentAuth,
        ("usageLimitExceeded" | "rateLimitExceeded" | "serverOverloaded", _)
        | (_, Some(429 | 529)) => ChunkErrorKind::RateLimited,
        ("contextWindowExceeded", _) => ChunkErrorKind::ContextFull,
        ("sessionBudgetExceeded", _) => ChunkErrorKind::Budget,
        _ => ChunkErrorKind::ModelError,
    }
}
