//! What was found.

use serde::Serialize;

/// What was found of one thing.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(super) struct Finding {
    /// Of what.
    pub(super) check: String,
    /// How that is.
    pub(super) status: Grade,
    /// What was found.
    pub(super) finding: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) advice: Option<String>,
}

/// How something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Grade {
    /// As it should be.
    Ok,
    /// Worth to know.
    Note,
    /// Something will not work that nobody asked for yet.
    Warning,
    /// Something does not work.
    Broken,
}

impl Grade {
    /// The word for it.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Note => "note",
            Self::Warning => "warning",
            Self::Broken => "broken",
        }
    }
}

impl Finding {
    /// `check` is as it should be.
    pub(super) fn ok(check: impl Into<String>, finding: impl Into<String>) -> Self {
        Self { check: check.into(), status: Grade::Ok, finding: finding.into(), advice: None }
    }

    /// `check` is otherwise, and this is what to do.
    pub(super) fn new(
        status: Grade,
        check: impl Into<String>,
        finding: impl Into<String>,
        advice: impl Into<String>,
    ) -> Self {
        Self { status, advice: Some(advice.into()), ..Self::ok(check, finding) }
    }
}
