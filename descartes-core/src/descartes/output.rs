//! Reading an agent's output.

use std::time::Duration;

use super::{Descartes, not_found};
use crate::agent::{AgentError, AgentId};
use crate::event::{EventBody, Topic, TopicFilter};
use crate::journal::{After, ReadRequest, SubscribeError, SubscribeRequest};
use crate::output::logs::LogReader;
use crate::output::search::{compile, search};
use crate::output::{LogPage, LogQuery, OutputSearch, SearchPage};
use crate::store::TopicQuery;

/// How much an agent wrote, and how much of it is kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct OutputExtent {
    /// Bytes in all runs, of both streams.
    pub bytes: u64,
    /// Newlines in all runs, of both streams.
    pub lines: u64,
    /// The first line of standard output that is kept; nothing before there is output.
    pub first_line: Option<u64>,
}

impl Descartes {
    /// One page of an agent's log; waits up to `wait` for a first row.
    ///
    /// # Errors
    /// When there is no such agent, the cursor is foreign, or the store fails.
    ///
    /// # Cancel safety
    /// May be dropped at any time.
    pub async fn logs(
        &self,
        id: AgentId,
        query: &LogQuery,
        wait: Duration,
    ) -> Result<LogPage, AgentError> {
        self.core.registry.get(id).ok_or_else(|| not_found(id))?;
        let topic = Topic::agent_output(id);
        let mut query = query.clone();
        if let Some(cursor) = query.after {
            self.check_cursor(cursor).await?;
        }
        let deadline = tokio::time::Instant::now() + wait;
        loop {
            let head = self.core.journal.head().position;
            let reader = LogReader { store: self.core.journal.store(), topic: topic.clone(), head };
            let page = reader.page(&query).await?;
            let left = deadline.saturating_duration_since(tokio::time::Instant::now());
            if !page.rows.is_empty() || page.gap.is_some() || left.is_zero() {
                return Ok(page);
            }
            let after = After::Cursor(page.cursor);
            let follow = SubscribeRequest::new(vec![TopicFilter::Exact(topic.clone())], after);
            let mut news = ReadRequest::new(follow);
            news.limit = 1;
            news.wait = left;
            self.core.journal.read(news).await.map_err(from_subscribe)?;
            query.after = Some(page.cursor);
        }
    }

    /// Searches all kept output of an agent.
    ///
    /// # Errors
    /// When there is no such agent, the filter is no regular expression, or the store fails.
    ///
    /// # Cancel safety
    /// May be dropped at any time; the block being searched is finished first.
    pub async fn search(&self, id: AgentId, query: OutputSearch) -> Result<SearchPage, AgentError> {
        self.core.registry.get(id).ok_or_else(|| not_found(id))?;
        let regex = query.filter.as_deref().map(compile).transpose();
        let regex =
            regex.map_err(|error| AgentError::Filter { cause: error.to_string().into() })?;
        let topic = Topic::agent_output(id);
        Ok(search(self.core.journal.store(), topic, (query, regex)).await?)
    }

    /// How much an agent wrote, and from which line on it is kept.
    ///
    /// # Errors
    /// When there is no such agent, or the store fails.
    pub async fn output_extent(&self, id: AgentId) -> Result<OutputExtent, AgentError> {
        self.core.registry.get(id).ok_or_else(|| not_found(id))?;
        let written = self.core.mark_of(id).await?.extent;
        let store = self.core.journal.store();
        let topic = Topic::agent_output(id);
        let kept = store.topics(&TopicFilter::Exact(topic.clone())).await?.pop();
        let from = kept.map_or(0, |state| state.first_offset);
        let query = TopicQuery { topic, from, max_events: 1, max_bytes: 1, bodies_only: true };
        let first = store.read_topic(&query).await?.into_iter().next();
        let first_line = first.and_then(|event| match event.decode() {
            Ok(EventBody::AgentOutput(chunk)) => Some(chunk.before.stdout.lines),
            _ => None,
        });
        Ok(OutputExtent {
            bytes: written.stdout.bytes + written.stderr.bytes,
            lines: written.stdout.lines + written.stderr.lines,
            first_line,
        })
    }

    async fn check_cursor(&self, cursor: crate::cursor::Cursor) -> Result<(), AgentError> {
        let nothing = SubscribeRequest::new(Vec::new(), After::Cursor(cursor));
        self.core.journal.subscribe(nothing).await.map(drop).map_err(from_subscribe)
    }
}

fn from_subscribe(error: SubscribeError) -> AgentError {
    match error {
        SubscribeError::Foreign | SubscribeError::NotACursor(_) => AgentError::ForeignCursor,
        SubscribeError::Store(error) => error.into(),
    }
}
