//! The identity of an approval.

use std::fmt;
use std::str::FromStr;

use uuid::Uuid;

/// An approval's identity: a UUID of version 7, so that order of identity
/// is order of creation.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ApprovalId(Uuid);

impl ApprovalId {
    /// A new identity; later ones of the same process are greater.
    #[must_use]
    pub fn generate() -> Self {
        Self(Uuid::now_v7())
    }
}

impl fmt::Display for ApprovalId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.hyphenated().fmt(f)
    }
}

impl fmt::Debug for ApprovalId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The text is not a UUID in its hyphenated form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not the identity of an approval")]
pub struct NotAnApprovalId;

impl FromStr for ApprovalId {
    type Err = NotAnApprovalId;

    fn from_str(text: &str) -> Result<Self, NotAnApprovalId> {
        if text.len() != 36 {
            return Err(NotAnApprovalId);
        }
        Uuid::try_parse(text).map(Self).or(Err(NotAnApprovalId))
    }
}
