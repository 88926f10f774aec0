//! The identity of a chat.

use std::fmt;
use std::str::FromStr;

use uuid::Uuid;

/// A chat's identity, the `session_id` of the wire: a UUID of version 7, so that order of identity
/// is order of creation.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChatId(Uuid);

impl ChatId {
    /// A new identity; later ones of the same process are greater.
    #[must_use]
    pub fn generate() -> Self {
        Self(Uuid::now_v7())
    }

    /// The identity as a UUID.
    #[must_use]
    pub fn as_uuid(self) -> Uuid {
        self.0
    }
}

impl fmt::Display for ChatId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.hyphenated().fmt(f)
    }
}

impl fmt::Debug for ChatId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The text is not a UUID in its hyphenated form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not the identity of a chat")]
pub struct NotAChatId;

impl FromStr for ChatId {
    type Err = NotAChatId;

    fn from_str(text: &str) -> Result<Self, NotAChatId> {
        if text.len() != 36 {
            return Err(NotAChatId);
        }
        Uuid::try_parse(text).map(Self).or(Err(NotAChatId))
    }
}
