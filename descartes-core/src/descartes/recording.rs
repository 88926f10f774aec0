//! Recordings of a host: made with a chat, looked at before they are played.

use std::sync::Arc;

use super::Core;
use crate::agent::{AgentSpec, SpecError};
use crate::backend::Backend;
use crate::recording;

/// Nobody converses with it.
pub(super) fn not_recorded() -> SpecError {
    SpecError::new("config.record", "nothing: only conversations are recorded")
}

impl Core {
    /// Looks at what an agent of `backend` is to play, and makes the file that its conversation is
    /// to be recorded in.
    ///
    /// # Errors
    /// What is wrong with either.
    pub(super) async fn begin_recording(
        &self,
        backend: &Backend,
        spec: &AgentSpec,
    ) -> Result<(), SpecError> {
        let (name, dialect) = self.recorded_as(backend, spec).await?;
        let Some(path) = &spec.chat.record else { return Ok(()) };
        recording::create(path, (&name, &dialect)).await.map_err(|error| {
            let expected = format!("a file that can be made: {}: {error}", path.display());
            SpecError::new("config.record", expected)
        })
    }

    /// Nothing came of the conversation that was to be recorded.
    pub(super) async fn discard_recording(&self, spec: &AgentSpec) {
        if let Some(path) = &spec.chat.record {
            recording::discard(path).await;
        }
    }

    /// The name and the dialect of a conversation: those of the first one, where it is played.
    async fn recorded_as(
        &self,
        backend: &Backend,
        spec: &AgentSpec,
    ) -> Result<(Arc<str>, Arc<str>), SpecError> {
        let wrong = |what: String| SpecError::new("config.command", format!("a recording: {what}"));
        let (asked, command) = (backend.clone(), spec.command.clone());
        let read = tokio::task::spawn_blocking(move || asked.recording(&command)).await;
        let Some(recording) = read.map_err(|error| wrong(error.to_string()))?.map_err(wrong)?
        else {
            let dialect = backend.chat_dialect().unwrap_or_default();
            return Ok((Arc::clone(backend.name()), dialect.into()));
        };
        let (name, dialect) = (recording.backend(), recording.dialect());
        if Backend::dialect_of(&recording, &self.settings().backends).is_none() {
            let name = recording.name();
            return Err(wrong(format!("{name}, line 1: nobody here speaks `{dialect}`")));
        }
        Ok((Arc::clone(name), Arc::clone(dialect)))
    }
}
