//! What an agent is told to do.

use std::sync::Arc;
use std::time::Duration;

use super::{Answer, Command, Ended, Finished, Stop, Supervisor};
use crate::agent::{Activity, AgentError, AgentStatus, Exit, ExitReason};
use crate::event::StatusChange;
use crate::runner::{Control, ControlError, ControlOutcome, ControlRequest};

impl Supervisor {
    pub(super) async fn obey(&mut self, command: Command) {
        match command {
            Command::Kill { grace, by, answer } => {
                let killers = Some(answer);
                self.tell_to_end(grace, by, ExitReason::Killed, (killers, None)).await;
            }
            Command::Restart { grace, by, trace, answer } => {
                self.belongs_to(trace);
                self.tell_to_end(grace, by, ExitReason::Killed, (None, Some(answer))).await;
            }
            Command::Pause { force, by, answer } => self.pause(force, by, answer),
            Command::Resume { by, answer } => self.resume(by, answer),
            Command::Forward(request) => self.forward(request),
        }
    }

    pub(super) async fn finished(&mut self, finished: Finished) {
        match finished {
            Finished::Kill(result) => self.kill_finished(result).await,
            Finished::Pause { result, by, answer } => self.paused(result, by, answer).await,
            Finished::Resume { result, by, answer } => self.resumed(result, by, answer).await,
        }
    }

    /// Ends the agent because of a limit.
    pub(super) async fn end_for(&mut self, reason: ExitReason) {
        self.timer = None;
        let grace = self.core.settings().limits.stop_grace;
        self.tell_to_end(grace, "system".into(), reason, (None, None)).await;
    }

    /// Tells the run to end; whoever asked is answered when it has.
    async fn tell_to_end(
        &mut self,
        grace: Duration,
        by: Arc<str>,
        reason: ExitReason,
        answers: (Option<Answer<Ended>>, Option<Answer<Arc<crate::agent::AgentRecord>>>),
    ) {
        let first = self.stop.is_none();
        let by_first = Arc::clone(&by);
        let stop = self.stop.get_or_insert_with(|| Stop {
            by,
            reason,
            killers: Vec::new(),
            restart: Vec::new(),
        });
        let (killer, restarter) = answers;
        if killer.is_some() {
            // A kill ends every plan for another run.
            for answer in stop.restart.drain(..) {
                drop(answer.send(Err(AgentError::NotBegun)));
            }
        }
        stop.killers.extend(killer);
        stop.restart.extend(restarter);
        let Some(run) = &self.run else { return self.end_between_runs().await };
        let (request, reply) = ControlRequest::new(Control::Kill { grace });
        if run.controls.try_send(Box::new(request)).is_ok() {
            self.controls.spawn(async move { Finished::Kill(reply.wait().await) });
        }
        // What cannot be reached is not about to stop, whatever it was told.
        let reached = self.record.activity != Some(Activity::Unreachable);
        if first && reached && self.record.status != AgentStatus::Stopping {
            let change =
                StatusChange::new(self.record.status, AgentStatus::Stopping, self.record.run);
            self.step(AgentStatus::Stopping);
            self.record_change_by(change, &by_first).await;
        }
    }

    /// There is no run to end: it waits for the next one.
    async fn end_between_runs(&mut self) {
        if self.stop.as_ref().is_some_and(|stop| !stop.restart.is_empty()) {
            return self.next_run().await;
        }
        self.timer = None;
        let mut exit = Exit::new(ExitReason::Killed, self.core.clock.now());
        exit.by = self.stop.as_ref().map(|stop| Arc::clone(&stop.by));
        self.end(exit, None).await;
    }

    /// The runner has answered a kill. When it worked, the exit tells the rest.
    async fn kill_finished(&mut self, result: Result<ControlOutcome, ControlError>) {
        let error = match result {
            Ok(_) | Err(ControlError::Ended) => return,
            Err(error) => error,
        };
        tracing::error!(agent_id = %self.record.id, %error, "a kill did not work");
        let Some(stop) = self.stop.take() else { return };
        for answer in stop.killers {
            drop(answer.send(Err(not_killed(&error))));
        }
        for answer in stop.restart {
            drop(answer.send(Err(not_killed(&error))));
        }
    }

    /// Gives a control to the runner, which answers it.
    pub(super) fn forward(&self, request: ControlRequest) {
        let Some(run) = &self.run else { return request.fail(ControlError::Ended) };
        if let Err(refused) = run.controls.try_send(Box::new(request)) {
            let full = matches!(refused, tokio::sync::mpsc::error::TrySendError::Full(_));
            let error = if full {
                ControlError::Failed("too many controls wait for this agent".into())
            } else {
                ControlError::Ended
            };
            refused.into_inner().fail(error);
        }
    }
}

fn not_killed(error: &ControlError) -> AgentError {
    match error {
        ControlError::ConnectionLost(_) => AgentError::Control(error.clone()),
        error => AgentError::Kill { left: error.to_string().into() },
    }
}
