//! Pausing and going on: asked for in the agent's own words where it has some, by a signal where
//! not.

use std::sync::Arc;

use tokio::sync::{mpsc, watch};

use super::{Answer, Finished, Supervisor};
use crate::agent::{AgentError, AgentRecord, AgentStatus, PauseMode};
use crate::dialect::Input;
use crate::event::StatusChange;
use crate::limits::PAUSE_ACKNOWLEDGE;
use crate::runner::{Control, ControlError, ControlOutcome, ControlRequest};

/// What to write to the agent, and where its answer will show.
type Words = (Vec<u8>, watch::Receiver<bool>);

impl Supervisor {
    pub(super) fn pause(&mut self, force: bool, by: Arc<str>, answer: Answer<Arc<AgentRecord>>) {
        let Some(run) = self.run.as_ref().filter(|_| self.record.status == AgentStatus::Running)
        else {
            return self.answer_at_once(AgentStatus::Paused, answer);
        };
        let controls = run.controls.clone();
        let words = if force { None } else { self.words(Input::Pause) };
        self.controls.spawn(async move {
            let result = pause_run(controls, words).await;
            Finished::Pause { result, by, answer }
        });
    }

    pub(super) fn resume(&mut self, by: Arc<str>, answer: Answer<Arc<AgentRecord>>) {
        let Some(run) = self.run.as_ref().filter(|_| self.record.status == AgentStatus::Paused)
        else {
            return self.answer_at_once(AgentStatus::Running, answer);
        };
        let controls = run.controls.clone();
        let cooperative = self.record.pause.is_some_and(|(mode, _)| mode == PauseMode::Cooperative);
        let words = if cooperative { self.words(Input::Resume) } else { None };
        self.controls.spawn(async move {
            let result = resume_run(controls, words).await;
            Finished::Resume { result, by, answer }
        });
    }

    pub(super) async fn paused(
        &mut self,
        result: Result<PauseMode, AgentError>,
        by: Arc<str>,
        answer: Answer<Arc<AgentRecord>>,
    ) {
        let result = match result {
            Ok(mode) if self.record.status == AgentStatus::Running && self.run.is_some() => {
                self.step(AgentStatus::Paused);
                self.record.pause = Some((mode, self.core.clock.now()));
                let (from, to) = (AgentStatus::Running, AgentStatus::Paused);
                self.record_change_by(StatusChange::new(from, to, self.record.run), &by).await;
                Ok(Arc::new(self.record.clone()))
            }
            Ok(_) | Err(AgentError::Control(ControlError::Ended)) => Err(self.wrong_status()),
            Err(error) => Err(error),
        };
        drop(answer.send(result));
    }

    pub(super) async fn resumed(
        &mut self,
        result: Result<(), AgentError>,
        by: Arc<str>,
        answer: Answer<Arc<AgentRecord>>,
    ) {
        let result = match result {
            Ok(()) if self.record.status == AgentStatus::Paused && self.run.is_some() => {
                self.step(AgentStatus::Running);
                let (from, to) = (AgentStatus::Paused, AgentStatus::Running);
                self.record_change_by(StatusChange::new(from, to, self.record.run), &by).await;
                Ok(Arc::new(self.record.clone()))
            }
            Ok(()) | Err(AgentError::Control(ControlError::Ended)) => Err(self.wrong_status()),
            Err(error) => Err(error),
        };
        drop(answer.send(result));
    }

    /// A step that was made already is no error; one that is not allowed is.
    fn answer_at_once(&self, wanted: AgentStatus, answer: Answer<Arc<AgentRecord>>) {
        let there = self.record.status == wanted;
        let result =
            if there { Ok(Arc::new(self.record.clone())) } else { Err(self.wrong_status()) };
        drop(answer.send(result));
    }

    fn words(&self, input: Input<'_>) -> Option<Words> {
        let words = self.output.observe(|observer| observer.ask(input))??;
        (!words.0.is_empty()).then_some(words)
    }
}

async fn pause_run(
    controls: mpsc::Sender<Box<ControlRequest>>,
    words: Option<Words>,
) -> Result<PauseMode, AgentError> {
    if let Some(words) = words
        && says(&controls, words, true).await
    {
        return Ok(PauseMode::Cooperative);
    }
    match send(&controls, Control::Pause).await {
        Ok(ControlOutcome::Paused(mode)) => Ok(mode),
        Ok(_) => Ok(PauseMode::Forced),
        Err(error @ (ControlError::Ended | ControlError::ConnectionLost(_))) => {
            Err(AgentError::Control(error))
        }
        Err(error) => Err(AgentError::Pause(error.to_string().into())),
    }
}

async fn resume_run(
    controls: mpsc::Sender<Box<ControlRequest>>,
    words: Option<Words>,
) -> Result<(), AgentError> {
    if let Some(words) = words {
        return if says(&controls, words, false).await {
            Ok(())
        } else {
            Err(AgentError::Resume("the agent did not acknowledge it".into()))
        };
    }
    match send(&controls, Control::Resume).await {
        Ok(_) => Ok(()),
        Err(error @ (ControlError::Ended | ControlError::ConnectionLost(_))) => {
            Err(AgentError::Control(error))
        }
        Err(error) => Err(AgentError::Resume(error.to_string().into())),
    }
}

/// Writes the words and waits for the answer to them.
async fn says(controls: &mpsc::Sender<Box<ControlRequest>>, words: Words, paused: bool) -> bool {
    let (bytes, mut answers) = words;
    let control = Control::WriteStdin { bytes: bytes.into(), close: false };
    if send(controls, control).await.is_err() {
        return false;
    }
    let answered = answers.wait_for(|state| *state == paused);
    matches!(tokio::time::timeout(PAUSE_ACKNOWLEDGE, answered).await, Ok(Ok(_)))
}

async fn send(
    controls: &mpsc::Sender<Box<ControlRequest>>,
    control: Control,
) -> Result<ControlOutcome, ControlError> {
    let (request, reply) = ControlRequest::new(control);
    controls.send(Box::new(request)).await.or(Err(ControlError::Ended))?;
    reply.wait().await
}
