//! What an error of the agent means.

use super::wire::{AuthMethod, Failure};
use crate::dialect::blame;
use crate::event::{ChunkError, ChunkErrorKind};

/// "Authentication required", in the protocol's list of errors.
const AUTH_REQUIRED: i64 = -32000;

/// Words of JSON-RPC and of one library before what is meant.
const EMPTY_WORDS: [&str; 2] = ["Internal error: ", "Invalid params: "];

/// `failure` for people and for programs.
pub(super) fn error(failure: &Failure) -> ChunkError {
    let text = text(failure);
    let kind = kind_told(failure).unwrap_or_else(|| blame::by_words(&text));
    blame::error(kind, &text)
}

/// Whether `failure` says that nobody is logged in.
pub(super) fn wants_login(failure: &Failure) -> bool {
    kind_told(failure) == Some(ChunkErrorKind::AgentAuth)
}

/// Whether `method` works without a person at a browser or a terminal, as far as it tells.
pub(super) fn works_alone(method: &AuthMethod) -> bool {
    match method.kind.as_deref() {
        Some("terminal") => false,
        Some("env_var") => true,
        _ => {
            let words = [Some(&method.id), method.name.as_ref(), method.description.as_ref()];
            let words = words.map(|word| word.map(|word| word.to_lowercase()).unwrap_or_default());
            let says = |what: &[&str]| {
                words.iter().any(|word| what.iter().any(|what| word.contains(what)))
            };
            let persons = ["oauth", "browser", "log in", "login", "sign in", "account", "terminal"];
            says(&["api key", "api-key", "apikey", "api_key"]) || !says(&persons)
        }
    }
}

/// The kind that is told by more than words.
fn kind_told(failure: &Failure) -> Option<ChunkErrorKind> {
    // claude-agent-acp tells a kind of its own.
    let told = failure.data.as_ref().and_then(|data| data.error_kind.as_deref());
    match (told, failure.code) {
        (Some("authentication_failed"), _) | (_, Some(AUTH_REQUIRED)) => {
            Some(ChunkErrorKind::AgentAuth)
        }
        (Some("rate_limit"), _) => Some(ChunkErrorKind::RateLimited),
        (Some("billing_error"), _) => Some(ChunkErrorKind::Budget),
        (_, Some(-32700 | -32600 | -32601 | -32602)) => Some(ChunkErrorKind::Protocol),
        // Gemini's codes are those of HTTP.
        (_, Some(code)) => blame::by_status(code),
        (_, None) => None,
    }
}

/// What the agent says, without the words that say nothing.
fn text(failure: &Failure) -> String {
    let said = failure.message.as_deref().unwrap_or_default().trim();
    let data = failure.data.as_ref();
    let more = data.and_then(|data| data.details.as_deref().or(data.message.as_deref()));
    let said = match more {
        Some(more) if matches!(said, "" | "Internal error" | "Invalid params") => more,
        _ => said,
    };
    let bare = EMPTY_WORDS.iter().find_map(|words| said.strip_prefix(words)).unwrap_or(said);
    // Gemini gives the answer of its server, as it came.
    blame::inner_message(bare).unwrap_or_else(|| bare.to_owned())
}
