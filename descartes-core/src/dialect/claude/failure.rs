//! Why a turn did not succeed, in our words.

use std::sync::Arc;

use super::wire::Closing;
use crate::dialect::blame;
use crate::dialect::raw::cut;
use crate::event::{ChunkError, ChunkErrorKind};
use crate::limits;

/// What the program said of a failure.
#[derive(Clone, Debug, Default)]
pub(super) struct Failure {
    /// Its own word for it.
    pub(super) word: Option<String>,
    /// What it said, for people.
    pub(super) text: String,
}

/// The error of a turn that `closing` ends, after `failure` where one was announced.
pub(super) fn of_turn(closing: &Closing, failure: Option<&Failure>) -> ChunkError {
    let subtype = closing.subtype.as_deref().unwrap_or("error");
    let message =
        message(closing, failure).unwrap_or_else(|| format!("the program says {subtype}"));
    let word = failure.and_then(|failure| failure.word.as_deref());
    let kind = match subtype {
        "error_max_turns" | "error_max_budget_usd" => ChunkErrorKind::Budget,
        _ => kind(word, closing.api_error_status, &message),
    };
    with_hint(ChunkError::new(kind, message))
}

/// The error of a program that closes a turn before it takes one.
pub(super) fn of_start(closing: &Closing) -> ChunkError {
    of_end(message(closing, None).map(Arc::from), None, None)
}

/// What is said of a failure.
fn message(closing: &Closing, failure: Option<&Failure>) -> Option<String> {
    let errors = closing.errors.as_ref().map(|errors| errors.join("\n"));
    let announced = failure.map(|failure| failure.text.clone());
    let mut said = [closing.result.clone(), errors, announced].into_iter().flatten();
    let text = said.find(|text| !text.trim().is_empty())?;
    Some(cut(&text, limits::ERROR_TEXT_BYTES).into())
}

/// The error of a program that says nothing but `text` and ends.
pub(super) fn of_end(text: Option<Arc<str>>, code: Option<i32>, signal: Option<i32>) -> ChunkError {
    let message = text.unwrap_or_else(|| match (code, signal) {
        (Some(code), _) => format!("the program ended with exit code {code}").into(),
        (None, Some(signal)) => format!("the program was ended by signal {signal}").into(),
        (None, None) => "the program ended".into(),
    });
    let kind = if wants_login(&message) {
        ChunkErrorKind::AgentAuth
    } else {
        ChunkErrorKind::AgentCrashed
    };
    with_hint(ChunkError::new(kind, message))
}

/// What kind of failure it is: by the program's word, by the status of the answer, by the text.
fn kind(word: Option<&str>, status: Option<u16>, text: &str) -> ChunkErrorKind {
    match (word, status) {
        (Some("authentication_failed" | "oauth_org_not_allowed"), _) | (_, Some(401 | 403)) => {
            ChunkErrorKind::AgentAuth
        }
        (Some("billing_error"), _) | (_, Some(402)) => ChunkErrorKind::Budget,
        (Some("rate_limit"), _) | (_, Some(429)) => ChunkErrorKind::RateLimited,
        (_, Some(413)) => ChunkErrorKind::ContextFull,
        _ => says(text).unwrap_or_else(|| blame::by_words(text)),
    }
}

/// What kind of failure a text is about, where only this program says it so.
fn says(text: &str) -> Option<ChunkErrorKind> {
    const WORDS: [(&str, ChunkErrorKind); 5] = [
        ("credit balance is too low", ChunkErrorKind::Budget),
        ("input is too long", ChunkErrorKind::ContextFull),
        ("exceed context limit", ChunkErrorKind::ContextFull),
        ("hit your limit", ChunkErrorKind::RateLimited),
        ("usage limit reached", ChunkErrorKind::RateLimited),
    ];
    let text = text.to_lowercase();
    WORDS.iter().find(|(words, _)| text.contains(words)).map(|(_, kind)| *kind)
}

/// Whether a program that ends says that it is not logged in. A number proves nothing there: the
/// text may hold the name of a conversation.
fn wants_login(text: &str) -> bool {
    let text = text.to_lowercase();
    ["/login", "not logged in", "invalid api key"].iter().any(|words| text.contains(words))
}

fn with_hint(error: ChunkError) -> ChunkError {
    let hint = match error.kind {
        ChunkErrorKind::AgentAuth => {
            "run `claude` in a terminal and log in, or give the backend ANTHROPIC_API_KEY"
        }
        ChunkErrorKind::ContextFull => "send /compact, or begin a new chat",
        ChunkErrorKind::RateLimited => "wait, then send the prompt again",
        _ if error.message.contains("No conversation found") => {
            "the program has forgotten this conversation: begin a new chat"
        }
        _ => return error,
    };
    error.with_hint(hint)
}
