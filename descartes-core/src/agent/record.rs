//! What is known of an agent.

use std::sync::Arc;

use super::{Activity, AgentId, AgentSpec, AgentStatus, Exit};
use crate::time::Timestamp;

/// How an agent was paused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PauseMode {
    /// It acknowledged.
    Cooperative,
    /// Its processes were stopped by a signal.
    Forced,
    /// Some of its processes could not be stopped.
    Partial,
}

impl PauseMode {
    /// The mode's text.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Cooperative => "cooperative",
            Self::Forced => "forced",
            Self::Partial => "partial",
        }
    }

    /// The mode with this text.
    #[must_use]
    pub fn from_text(text: &str) -> Option<Self> {
        let all = [Self::Cooperative, Self::Forced, Self::Partial];
        all.into_iter().find(|mode| mode.as_str() == text)
    }
}

/// What is known of an agent: the document that its events lead to.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct AgentRecord {
    /// Who it is.
    pub id: AgentId,
    /// Its label.
    pub name: Arc<str>,
    /// Which backend it is of.
    pub backend: Arc<str>,
    /// What it was asked to be. Values of `env` are empty here: they are secrets.
    pub spec: AgentSpec,
    /// Where it stands.
    pub status: AgentStatus,
    /// What it is busy with, when known.
    pub activity: Option<Activity>,
    /// Its current or last run, from 1.
    pub run: u32,
    /// The process of that run, while it lives.
    pub pid: Option<u32>,
    /// What the runner calls it.
    pub reference: Option<Arc<str>>,
    /// By what means its tree is found.
    pub containment: Arc<str>,
    /// How it was paused, while it is.
    pub pause: Option<(PauseMode, Timestamp)>,
    /// When it was asked for.
    pub created_at: Timestamp,
    /// When anything here last changed.
    pub updated_at: Timestamp,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// Who asked for it.
    pub owner: Arc<str>,
    /// How its last run ended.
    pub exit: Option<Exit>,
}

impl AgentRecord {
    /// The record of an agent that was just asked for.
    #[must_use]
    pub fn new(
        id: AgentId,
        (name, backend): (Arc<str>, Arc<str>),
        spec: AgentSpec,
        owner: Arc<str>,
        now: Timestamp,
    ) -> Self {
        Self {
            id,
            name,
            backend,
            spec,
            status: AgentStatus::Starting,
            activity: None,
            run: 1,
            pid: None,
            reference: None,
            containment: "none".into(),
            pause: None,
            created_at: now,
            updated_at: now,
            ended_at: None,
            owner,
            exit: None,
        }
    }

    /// Whether it is in a live status.
    #[must_use]
    pub fn is_live(&self) -> bool {
        !self.status.is_terminal()
    }
}
