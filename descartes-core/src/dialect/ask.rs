//! What a program asks before it does something, and how it is answered.

use std::sync::Arc;

use crate::json::Json;

/// A question of a program, by a number that its dialect made up; never used twice by one dialect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AskToken(pub u64);

/// What a program asks.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct AskRequest {
    /// Whether it asks for a permission or for something to know.
    pub kind: AskKind,
    /// The tool that it would use, as the program calls it.
    pub tool: Arc<str>,
    /// The call that it is about, where the program says so.
    pub tool_id: Option<Arc<str>>,
    /// What that tool does to the world.
    pub effect: ToolEffect,
    /// One line for people.
    pub title: Arc<str>,
    /// The arguments, exactly as the program would use them.
    pub arguments: Json,
    /// What can be answered.
    pub options: Vec<AskOption>,
    /// What an allow for the whole session would cover, in the program's own words.
    pub rule: Option<Arc<str>>,
}

impl AskRequest {
    /// Asks whether `tool` may do this, `title` in one line; nothing can be answered yet.
    #[must_use]
    pub fn permission(
        tool: impl Into<Arc<str>>,
        effect: ToolEffect,
        title: impl Into<Arc<str>>,
        arguments: Json,
    ) -> Self {
        Self {
            kind: AskKind::Permission,
            tool: tool.into(),
            tool_id: None,
            effect,
            title: title.into(),
            arguments,
            options: Vec::new(),
            rule: None,
        }
    }
}

/// Whether a program asks for a permission or for something to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum AskKind {
    /// May it?
    Permission,
    /// It wants to know something of a person.
    Question,
}

/// What a tool does to the world, as far as the program tells.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ToolEffect {
    /// It only looks.
    Read,
    /// It changes files of the working directory.
    Edit,
    /// It runs a program.
    Execute,
    /// It reaches the network.
    Fetch,
    /// Anything else, and whatever is not known.
    #[default]
    Other,
}

/// One of the answers that a program offers.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct AskOption {
    /// What the program calls it.
    pub id: Arc<str>,
    /// What people are shown.
    pub label: Arc<str>,
    /// What it means.
    pub effect: OptionEffect,
}

impl AskOption {
    /// The option `id`, shown as `label`.
    #[must_use]
    pub fn new(id: impl Into<Arc<str>>, label: impl Into<Arc<str>>, effect: OptionEffect) -> Self {
        Self { id: id.into(), label: label.into(), effect }
    }
}

/// What an option means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum OptionEffect {
    /// This once.
    AllowOnce,
    /// This and its like until the session ends.
    AllowSession,
    /// Not this.
    Deny,
    /// Nothing is allowed or denied by it: an answer to a question.
    Answer,
}

/// What was decided about a question.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Decision {
    /// It may, this once.
    AllowOnce,
    /// It may. Core answers later questions of the same kind itself: a dialect tells the program no
    /// more than for [`AllowOnce`](Self::AllowOnce), so that what is allowed is known in one place.
    AllowSession,
    /// It may not, and the turn goes on.
    Deny {
        /// What the program is told.
        message: Option<Arc<str>>,
    },
    /// It may not, and the turn is cancelled besides (a [`super::Input::Cancel`] follows).
    Cancel,
    /// One of the options that were offered, by its name.
    Option {
        /// Which.
        id: Arc<str>,
    },
    /// The answer to a question.
    Answer {
        /// As text.
        text: Arc<str>,
    },
}
