//! An event of the journal, as far as followers look at it.

use std::borrow::Cow;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;

/// An event: its head, and what it says, unread.
#[derive(Deserialize)]
pub(super) struct EventLine<'a> {
    #[serde(borrow)]
    pub(super) cursor: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) topic: Cow<'a, str>,
    pub(super) offset: u64,
    #[serde(borrow)]
    pub(super) timestamp: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) r#type: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) data: &'a RawValue,
}

impl<'a> EventLine<'a> {
    /// Reads an event; `None` when it is none, which ours never are.
    pub(super) fn read(event: &'a Bytes) -> Option<Self> {
        serde_json::from_slice(event).ok()
    }

    /// The agent that it is about: the second part of its topic.
    pub(super) fn agent(&self) -> &str {
        self.topic.split('/').nth(1).unwrap_or_default()
    }

    /// What it says, read as `T`.
    pub(super) fn say<T: Deserialize<'a>>(&self) -> Option<T> {
        serde_json::from_str(self.data.get()).ok()
    }
}
