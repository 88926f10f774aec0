//! Backends whose agents play a recording.

use std::path::Path;
use std::sync::Arc;

use super::{Backend, Capabilities, Program, Recipe};
use crate::agent::{AgentSpec, SpecError};
use crate::chat::SessionMaker;
use crate::dialect::{self, Basic, Dialect, Lines};
use crate::recording::{Recording, ReplayRunner, Replayed};
use crate::runner::AgentRunner;

/// A backend whose agents play a recording.
#[derive(Clone)]
pub(super) struct Replay {
    /// What they play; the file that each names as its command when there is none.
    recording: Option<Arc<Recording>>,
    runner: Arc<dyn AgentRunner>,
}

impl std::fmt::Debug for Replay {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let name = self.recording.as_ref().map(|recording| recording.name());
        f.debug_struct("Replay").field("recording", &name).finish_non_exhaustive()
    }
}

/// What can be done with them: what could be done then, which only the recording knows.
pub(super) const CAPABILITIES: Capabilities = Capabilities {
    turns: true,
    resume: true,
    approvals: true,
    cancel: true,
    models: false,
    pause: false,
};

impl Replay {
    fn of(recording: Option<Arc<Recording>>) -> Self {
        let runner = Arc::new(ReplayRunner::new(recording.clone()));
        Self { recording, runner }
    }

    /// Checks that an agent names its recording, and nothing else.
    pub(super) fn check(&self, spec: &AgentSpec) -> Result<(), SpecError> {
        match (&self.recording, &spec.command[..]) {
            _ if !spec.args.is_empty() => {
                Err(SpecError::new("config.args", "nothing: what was recorded is played"))
            }
            (Some(_), []) => Ok(()),
            (Some(_), _) => {
                Err(SpecError::new("config.command", "nothing: this backend has its recording"))
            }
            (None, [file]) if Path::new(file).is_absolute() => Ok(()),
            (None, _) => Err(SpecError::new(
                "config.command",
                "the absolute path of a recording, and nothing else",
            )),
        }
    }

    /// What an agent with this command plays.
    fn recording(&self, command: &[String]) -> Result<Arc<Recording>, String> {
        if let Some(recording) = &self.recording {
            return Ok(Arc::clone(recording));
        }
        let path = command.first().ok_or("no recording was named")?;
        Recording::read(path).map(Arc::new).map_err(|error| error.to_string())
    }
}

impl Backend {
    /// Agents that play `recording` instead of the program that was recorded: in tests of what is
    /// built on it, with no program, no network and no cost. Called as the backend that was
    /// recorded, it stands in for it.
    ///
    /// An agent that is told something else than was recorded ends with exit code 65; its turn fails
    /// with what was recorded, what was sent, and where they differ.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use descartes_core::backend::Backend;
    /// use descartes_core::chat::ChatSpec;
    /// use descartes_core::dialect::Prompt;
    /// use descartes_core::recording::Recording;
    /// use descartes_core::{Caller, Descartes, PromptRequest};
    ///
    /// let session = r#"{"descartes_recording":1,"backend":"basic","dialect":"basic"}
    /// {"at_ms":0,"what":"start","fresh":"01936f3c-0000-7000-8000-000000000000","cwd":"/","args":["--chat","--session","01936f3c-0000-7000-8000-000000000000"]}
    /// {"at_ms":9,"what":"out","line":"ready"}
    /// {"at_ms":9,"what":"in","line":"prompt 6 times 7"}
    /// {"at_ms":80,"what":"out","line":"text 42"}
    /// {"at_ms":81,"what":"out","line":"done"}
    /// "#;
    /// let recording = Recording::parse("six-times-seven.jsonl", session.as_bytes())?;
    /// let descartes = Descartes::builder().backend(Backend::replay("calculator", recording)).build().await?;
    ///
    /// let mut me = Caller::new("me");
    /// let chat = descartes.chat_create(ChatSpec::backend("calculator"), &mut me).await?.record.id;
    /// let (done, result) = tokio::sync::oneshot::channel();
    /// let prompt = PromptRequest::new(Prompt::text("6 times 7"));
    /// descartes.chat_prompt(chat, prompt, &mut me, Some(done)).await?;
    /// assert_eq!(&*result.await?.content, "42");
    /// # descartes.shutdown().await; Ok(()) }
    /// ```
    #[must_use]
    pub fn replay(name: impl Into<Arc<str>>, recording: Recording) -> Self {
        Self::playing(name, Some(Arc::new(recording)))
    }

    /// The backend `replay`, whose agents name a recording as their command.
    pub(crate) fn replay_file() -> Self {
        Self::playing("replay", None)
    }

    fn playing(name: impl Into<Arc<str>>, recording: Option<Arc<Recording>>) -> Self {
        Self::of(name, Recipe::Replay(Replay::of(recording)), Program::default())
    }

    /// What starts its agents, where it brings that itself.
    pub(crate) fn own_runner(&self) -> Option<&Arc<dyn AgentRunner>> {
        match &self.recipe {
            Recipe::Replay(replay) => Some(&replay.runner),
            _ => None,
        }
    }

    /// What agents with this command play, where they play anything.
    ///
    /// # Errors
    /// What is wrong with the recording. Reads its file.
    pub(crate) fn recording(&self, command: &[String]) -> Result<Option<Arc<Recording>>, String> {
        match &self.recipe {
            Recipe::Replay(replay) => replay.recording(command).map(Some),
            _ => Ok(None),
        }
    }

    /// How its program is talked to in a chat, where that is fixed.
    pub(crate) fn chat_dialect(&self) -> Option<&'static str> {
        match &self.recipe {
            Recipe::Conversing(conversing) => Some(conversing.dialect),
            Recipe::Basic(_) => Some("basic"),
            Recipe::Process | Recipe::Replay(_) => None,
        }
    }

    /// Makes the dialects of a chat's processes, for agents with this command; those of a backend
    /// that is no longer there understand nothing. `all` are the backends of the host.
    pub(crate) fn session_maker(
        backend: Option<Self>,
        command: Vec<String>,
        all: Vec<Self>,
    ) -> SessionMaker {
        Box::new(move |run| {
            let nothing = || Box::new(Lines::new()) as Box<dyn Dialect>;
            let Some(backend) = &backend else { return nothing() };
            match backend.recording(&command) {
                Ok(None) => backend.made_dialect().unwrap_or_else(nothing),
                Ok(Some(recording)) => {
                    let dialect = Self::dialect_of(&recording, &all);
                    Replayed::wrap(dialect.unwrap_or_else(nothing), &recording, run)
                }
                // The runner says what is wrong with it.
                Err(_) => nothing(),
            }
        })
    }

    /// The dialect of a recording: as the backend of this name speaks it, or any other.
    pub(crate) fn dialect_of(recording: &Recording, all: &[Self]) -> Option<Box<dyn Dialect>> {
        let known = Self::known();
        let mut speak: Vec<_> = all.iter().chain(&known).collect();
        speak.retain(|backend| backend.chat_dialect() == Some(&**recording.dialect()));
        let same = speak.iter().find(|backend| backend.name() == recording.backend());
        let made = same.and_then(|backend| backend.made_dialect());
        let named = || dialect::named(recording.dialect()).map(|(_, make)| make());
        made.or_else(named).or_else(|| speak.first()?.made_dialect())
    }

    fn made_dialect(&self) -> Option<Box<dyn Dialect>> {
        match &self.recipe {
            Recipe::Conversing(conversing) => Some((conversing.make)()),
            Recipe::Basic(_) => Some(Box::new(Basic::new())),
            Recipe::Process | Recipe::Replay(_) => None,
        }
    }
}
