//! What kind of thing went wrong, by what a program or its server says of it.

use serde::Deserialize;

use super::raw::{StderrTail, cut};
use crate::event::{ChunkError, ChunkErrorKind};
use crate::limits;

/// The error that `text` tells, cut to [`limits::ERROR_TEXT_BYTES`].
pub(super) fn error(kind: ChunkErrorKind, text: &str) -> ChunkError {
    let text = if text.trim().is_empty() { "the agent gives no reason" } else { text.trim() };
    ChunkError::new(kind, cut(text, limits::ERROR_TEXT_BYTES))
}

/// How a process ended, in words.
pub(super) fn end(code: Option<i32>, signal: Option<i32>) -> String {
    match (code, signal) {
        (Some(code), _) => format!("the agent ended with exit code {code}"),
        (None, Some(signal)) => format!("the agent was ended by signal {signal}"),
        (None, None) => "the agent ended".into(),
    }
}

/// The error of an agent that ended, or does not answer, without a word of why: what it complained
/// about last, where it did.
pub(super) fn crash(kind: ChunkErrorKind, tail: &StderrTail, how: String) -> ChunkError {
    match tail.text() {
        Some(text) if is_about_login(&text) => {
            ChunkError::new(ChunkErrorKind::AgentAuth, text).with_hint(how)
        }
        Some(text) => ChunkError::new(kind, text).with_hint(how),
        None => ChunkError::new(kind, how),
    }
}

/// The kind that a status of HTTP means, where it means one.
pub(super) fn by_status(status: i64) -> Option<ChunkErrorKind> {
    match status {
        401 | 403 => Some(ChunkErrorKind::AgentAuth),
        429 => Some(ChunkErrorKind::RateLimited),
        _ => None,
    }
}

/// The kind that the words of `text` mean; the model's where they mean nothing.
pub(super) fn by_words(text: &str) -> ChunkErrorKind {
    let lower = text.to_lowercase();
    let says = |words: &[&str]| words.iter().any(|word| lower.contains(word));
    if says(&["rate limit", "rate_limit", "too many requests", "resource_exhausted", "quota"])
        || has_number(&lower, "429")
    {
        ChunkErrorKind::RateLimited
    } else if says(&["prompt is too long", "context length", "context window", "maximum context"]) {
        ChunkErrorKind::ContextFull
    } else if is_about_login(&lower) {
        ChunkErrorKind::AgentAuth
    } else {
        ChunkErrorKind::ModelError
    }
}

/// Whether `text` is about a login that is missing.
pub(super) fn is_about_login(text: &str) -> bool {
    let lower = text.to_lowercase();
    let words = [
        "unauthorized",
        "authenticat",
        "not logged in",
        "please log in",
        "/login",
        "api key is missing",
        "invalid api key",
        "incorrect api key",
        "invalid x-api-key",
    ];
    words.iter().any(|word| lower.contains(word)) || has_number(&lower, "401")
}

/// The message inside of `text`, where that is the answer of a server as it came.
pub(super) fn inner_message(text: &str) -> Option<String> {
    #[derive(Deserialize)]
    struct Answer {
        error: Inner,
    }
    #[derive(Deserialize)]
    struct Inner {
        message: String,
    }
    let answer: Answer = serde_json::from_str(text).ok()?;
    Some(answer.error.message)
}

/// Whether `number` stands in `text` and is no part of a longer word.
fn has_number(text: &str, number: &str) -> bool {
    text.split(|letter: char| !letter.is_ascii_alphanumeric()).any(|word| word == number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_tell_the_kind_and_numbers_inside_of_numbers_do_not() {
        let cases = [
            ("Failed to authenticate. API Error: 401 no", ChunkErrorKind::AgentAuth),
            ("Request rejected (429)", ChunkErrorKind::RateLimited),
            ("prompt is too long: 210000 tokens", ChunkErrorKind::ContextFull),
            ("request req_14010429 failed with 500", ChunkErrorKind::ModelError),
        ];
        for (text, kind) in cases {
            assert_eq!(by_words(text), kind, "{text}");
        }
        let answer = r#"{"error":{"code":400,"message":"bad","status":"X"}}"#;
        assert_eq!(inner_message(answer).as_deref(), Some("bad"));
        assert_eq!(inner_message("bad"), None);
    }
}
