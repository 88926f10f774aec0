//! What a conversation is asked to be, and what is said in it from our side.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use uuid::Uuid;

/// What a conversation is asked to be, for the next process of it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SessionSpec {
    /// A name for a new conversation, for programs that let us choose it.
    pub fresh: Uuid,
    /// The program's own name of the conversation that goes on; none for a new one.
    pub native: Option<Arc<str>>,
    /// Where it works, absolute.
    pub cwd: PathBuf,
    /// Which model; the program's own choice when absent.
    pub model: Option<Arc<str>>,
    /// What the model is told first; the program's own when absent.
    pub system_prompt: Option<Arc<str>>,
    /// How hard the model thinks.
    pub thinking: Thinking,
    /// Rounds with the model in one turn.
    pub max_turns: Option<u32>,
    /// What happens when the program asks.
    pub approvals: ApprovalMode,
}

impl SessionSpec {
    /// A new conversation in `cwd`, with everything else left to the program.
    #[must_use]
    pub fn new(fresh: Uuid, cwd: impl Into<PathBuf>) -> Self {
        Self {
            fresh,
            native: None,
            cwd: cwd.into(),
            model: None,
            system_prompt: None,
            thinking: Thinking::default(),
            max_turns: None,
            approvals: ApprovalMode::default(),
        }
    }
}

/// How hard the model thinks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Thinking {
    /// Not at all.
    Off,
    /// As much as it does by itself.
    #[default]
    Normal,
    /// More.
    Hard,
    /// Still more.
    Harder,
    /// As much as it can.
    Ultra,
}

impl Thinking {
    /// Every level.
    pub const ALL: [Self; 5] = [Self::Off, Self::Normal, Self::Hard, Self::Harder, Self::Ultra];

    /// The level's text.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Normal => "normal",
            Self::Hard => "hard",
            Self::Harder => "harder",
            Self::Ultra => "ultra",
        }
    }

    /// The level with this text.
    #[must_use]
    pub fn from_text(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|level| level.as_str() == text)
    }
}

/// What happens when the program asks whether it may do something.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum ApprovalMode {
    /// Somebody is asked.
    #[default]
    Ask,
    /// Changes of files are allowed; somebody is asked about the rest.
    AllowEdits,
    /// Everything is allowed.
    AllowAll,
    /// Everything is denied.
    Deny,
}

impl ApprovalMode {
    /// Every mode.
    pub const ALL: [Self; 4] = [Self::Ask, Self::AllowEdits, Self::AllowAll, Self::Deny];

    /// Those that need nobody who could be asked: what is not allowed from the start is denied.
    pub const FENCED: [Self; 3] = [Self::AllowEdits, Self::AllowAll, Self::Deny];

    /// The mode's text.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ask => "ask",
            Self::AllowEdits => "allow_edits",
            Self::AllowAll => "allow_all",
            Self::Deny => "deny",
        }
    }

    /// The mode with this text.
    #[must_use]
    pub fn from_text(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|mode| mode.as_str() == text)
    }
}

/// What the next process is started with, behind what its recipe says already.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct LaunchWords {
    /// Arguments behind the recipe's.
    pub args: Vec<String>,
    /// Variables beside the recipe's.
    pub env: BTreeMap<String, String>,
    /// What it is given on standard input before anything else.
    pub first_input: Vec<u8>,
    /// Whether standard input is at its end behind that.
    pub closes_stdin: bool,
}

/// What is asked of an agent in one turn.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Prompt {
    /// Its parts, in order.
    pub parts: Vec<PromptPart>,
}

impl Prompt {
    /// A prompt of one text.
    #[must_use]
    pub fn text(text: impl Into<Arc<str>>) -> Self {
        Self { parts: vec![PromptPart::Text(text.into())] }
    }

    /// A prompt of these parts.
    #[must_use]
    pub fn parts(parts: Vec<PromptPart>) -> Self {
        Self { parts }
    }

    /// Its texts, as one.
    #[must_use]
    pub fn as_text(&self) -> String {
        let texts = self.parts.iter().filter_map(|part| match part {
            PromptPart::Text(text) => Some(&**text),
            PromptPart::Image { .. } | PromptPart::File { .. } => None,
        });
        texts.collect::<Vec<_>>().join("\n")
    }
}

/// A part of a prompt.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PromptPart {
    /// Text.
    Text(Arc<str>),
    /// A picture.
    Image {
        /// Its media type, such as `image/png`.
        media_type: Arc<str>,
        /// Its bytes in base64.
        data: Arc<str>,
    },
    /// A file on the agent's machine.
    File {
        /// Where it is.
        path: PathBuf,
    },
}
