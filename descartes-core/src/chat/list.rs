//! Lists of chats.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{ChatId, ChatRecord, ChatStatus, Chats};
use crate::agent::{PageRequest, Reach, SpecError};
use crate::cursor::Cursor;

/// Which chats a list shows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ChatFilter {
    /// In one of these statuses; in any when empty.
    pub status: Vec<ChatStatus>,
    /// Of this backend.
    pub backend: Option<String>,
    /// With all of these labels.
    pub labels: BTreeMap<String, String>,
    /// Closed ones too.
    pub include_closed: bool,
    /// Within this reach.
    pub within: Reach,
}

impl ChatFilter {
    /// Whether `record` is wanted, whatever the reach.
    fn matches(&self, record: &ChatRecord) -> bool {
        let status = if self.status.is_empty() {
            self.include_closed || record.is_open()
        } else {
            self.status.contains(&record.status)
        };
        let labels = &record.spec.agent.labels;
        status
            && self.backend.as_deref().is_none_or(|backend| backend == &*record.backend)
            && self.labels.iter().all(|(key, value)| labels.get(key) == Some(value))
    }
}

/// A page of chats.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ChatPage {
    /// The chats of this page.
    pub chats: Vec<Arc<ChatRecord>>,
    /// How many match in all.
    pub total: usize,
    /// What to ask the next page with; none on the last.
    pub next_token: Option<String>,
    /// The position of the journal that this page reflects.
    pub cursor: Cursor,
}

/// A page before its cursor is known.
pub(crate) struct Listed {
    pub(crate) chats: Vec<Arc<ChatRecord>>,
    pub(crate) total: usize,
    pub(crate) next_token: Option<String>,
}

impl Chats {
    /// A page of chats; `reached` says which are within the filter's reach.
    pub(crate) fn list(
        &self,
        filter: &ChatFilter,
        page: &PageRequest,
        reached: impl Fn(&ChatRecord) -> bool,
    ) -> Result<Listed, SpecError> {
        let after = page.token.as_deref().map(str::parse::<ChatId>).transpose();
        let after = after.map_err(|error| SpecError::new("page_token", error.to_string()))?;
        let mut wanted = self.all();
        wanted.retain(|record| filter.matches(record) && reached(record));
        let total = wanted.len();
        if !page.oldest_first {
            wanted.reverse();
        }
        if let Some(after) = after {
            wanted.retain(
                |record| {
                    if page.oldest_first { record.id > after } else { record.id < after }
                },
            );
        }
        let more = wanted.len() > page.limit;
        wanted.truncate(page.limit);
        let token = wanted.last().filter(|_| more).map(|record| record.id.to_string());
        Ok(Listed { chats: wanted, total, next_token: token })
    }
}
