//! Traces: which one a piece of work belongs to, and who is told of work as spans.
//!
//! A caller's [`TraceContext`] comes with its [`Caller`](crate::Caller) and goes on to the programs
//! that are started for it, as `TRACEPARENT` and `TRACESTATE` in their environment. Where the host
//! was given a [`Tracer`] there are spans between the two, and the programs are below those.
//! Nothing here knows a wire, a collector, or a library for spans.

mod context;
mod traced;

use crate::agent::{AgentId, AgentRecord};
use crate::chat::{ChatId, ChatRecord};
use crate::event::Usage;
pub use context::TraceContext;
pub(crate) use traced::Traced;

/// Begins spans; given to a host with [`Builder::tracer`](crate::Builder::tracer).
///
/// It is called where the work is done, so it must not wait. What it is told are names, identifiers
/// and counts, never what was asked, said or given to a tool.
pub trait Tracer: Send + Sync + 'static {
    /// Begins the span of `work`, below `parent` where that is known.
    fn begin(&self, work: &Work<'_>, parent: Option<&TraceContext>) -> Box<dyn TraceSpan>;
}

/// A span that has begun. Dropped without an end it ends all the same, as something of which nobody
/// knows how it went.
pub trait TraceSpan: Send + Sync + 'static {
    /// What is done below this span belongs to this; to what the span belongs to when there is none.
    fn context(&self) -> Option<TraceContext>;

    /// The work has ended so.
    fn end(self: Box<Self>, end: &End<'_>);
}

/// What a span is of.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Work<'a> {
    /// An agent is begun: until its program runs, or did not start.
    Create(Actor<'a>),
    /// An agent is asked for something: a turn, or a run of one that one cannot converse with.
    Invoke(Actor<'a>),
    /// An agent uses a tool.
    Tool {
        /// What its program calls the tool.
        name: &'a str,
        /// What its program calls this use of it.
        id: &'a str,
    },
}

/// The agent that works.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Actor<'a> {
    /// Which one.
    pub id: AgentId,
    /// Its name; that of a chat's agent which has none yet is the backend's.
    pub name: &'a str,
    /// Its backend.
    pub backend: &'a str,
    /// The chat with it, where there is one.
    pub chat: Option<ChatId>,
    /// The model that was asked for.
    pub model: Option<&'a str>,
}

/// How something ended.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct End<'a> {
    /// The outcome, of a small set.
    pub outcome: &'a str,
    /// What kind of error it ended with, of a small set; none when it did not fail.
    pub error: Option<&'a str>,
    /// What it used, as far as that is told.
    pub usage: Option<&'a Usage>,
}

impl<'a> End<'a> {
    /// It ended so.
    #[must_use]
    pub const fn of(outcome: &'a str) -> Self {
        Self { outcome, error: None, usage: None }
    }

    /// It failed with an error of this kind.
    #[must_use]
    pub const fn failed(outcome: &'a str, error: &'a str) -> Self {
        Self { outcome, error: Some(error), usage: None }
    }
}

impl<'a> Actor<'a> {
    pub(crate) fn of_agent(record: &'a AgentRecord, chat: Option<ChatId>) -> Self {
        let model = record.spec.chat.model.as_deref();
        Self { id: record.id, name: &record.name, backend: &record.backend, chat, model }
    }

    pub(crate) fn of_chat(record: &'a ChatRecord) -> Self {
        let spec = &record.spec.agent;
        Self {
            id: record.agent,
            name: spec.name.as_deref().unwrap_or(&record.backend),
            backend: &record.backend,
            chat: Some(record.id),
            model: spec.chat.model.as_deref(),
        }
    }
}

#[cfg(test)]
mod tests;
