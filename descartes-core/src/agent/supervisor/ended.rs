//! The end of a run: what it means, what follows, and who is told.

use std::sync::Arc;

use tokio::time::Instant;

use super::{Ended, Stop, Supervisor, Timer};
use crate::agent::restart::Next;
use crate::agent::{AgentError, AgentStatus, Exit, ExitReason};
use crate::chat::Heard;
use crate::event::{Exited, StatusChange};
use crate::runner::RunExit;

impl Supervisor {
    /// A run has ended; without an exit its runner has vanished.
    pub(super) async fn run_ended(&mut self, exit: Option<RunExit>) {
        self.run = None;
        self.timer = None;
        self.output.finish();
        self.output.drained().await;
        let why = exit.and_then(|exit| exit.why);
        let exit = self.describe(exit);
        if let Some(link) = &self.link {
            let killed = exit.reason == ExitReason::Killed;
            link.tell(Heard::Ended { code: exit.code, signal: exit.signal, killed });
        }
        let failed = exit.status() != AgentStatus::Completed;
        let wants_restart = self.stop.as_ref().is_some_and(|stop| !stop.restart.is_empty());
        let next = match &self.stop {
            Some(_) => Next::End,
            // Somebody asked for it where the agent runs: that ends the policy too.
            None if exit.reason == ExitReason::Killed => Next::End,
            None => self.history.decide(&self.record.spec.restart, failed, self.born.elapsed()),
        };
        match next {
            _ if wants_restart => {
                self.restarting(exit, Instant::now()).await;
                self.next_run().await;
            }
            Next::After(delay) => self.restarting(exit, Instant::now() + delay).await,
            Next::Limit => {
                self.end(Exit { reason: ExitReason::RestartLimit, ..exit }, why).await;
            }
            Next::End => self.end(exit, why).await,
        }
    }

    /// What the runner saw, and why it happened.
    fn describe(&self, exit: Option<RunExit>) -> Exit {
        let now = self.core.clock.now();
        let Some(seen) = exit else { return Exit::new(ExitReason::Lost, now) };
        let mut exit = Exit::new(seen.reason, now);
        exit.code = seen.code;
        exit.signal = seen.signal;
        exit.forced = seen.forced;
        exit.swept = seen.swept;
        exit.stderr_tail = self.output.stderr_tail();
        let known = !matches!(seen.reason, ExitReason::HostDied | ExitReason::Lost);
        if let Some(stop) = self.stop.as_ref().filter(|_| known) {
            exit.reason = stop.reason;
            exit.by = Some(Arc::clone(&stop.by));
        }
        exit
    }

    /// Ends the agent for good; `why` is what its exit does not say.
    pub(super) async fn end(&mut self, exit: Exit, why: Option<&'static str>) {
        let status = exit.status();
        let killed = exit.reason == ExitReason::Killed;
        self.core.tally.ended(&self.record.backend, status, killed);
        let mut change = StatusChange::new(self.record.status, status, self.record.run);
        change.reason = why.map(Into::into);
        let exited = Exited::new(self.record.run, exit.clone());
        self.end_with(exit, status);
        let recorded = self.record_end(change, exited).await;
        let record = Arc::new(self.record.clone());
        if let Some(Stop { killers, restart, .. }) = self.stop.take() {
            for answer in killers {
                drop(answer.send(Ok(Ended { record: Arc::clone(&record), recorded })));
            }
            for answer in restart {
                drop(answer.send(Err(self.wrong_status())));
            }
        }
    }

    /// Ends this run; another begins at `next`.
    async fn restarting(&mut self, exit: Exit, next: Instant) {
        self.core.tally.restarted(&self.record.backend);
        let change =
            StatusChange::new(self.record.status, AgentStatus::Restarting, self.record.run);
        let mut exited = Exited::new(self.record.run, exit.clone());
        exited.will_restart = true;
        let wait = next.saturating_duration_since(Instant::now());
        exited.next_start_at = Some(self.core.clock.now().after(wait));
        self.end_with(exit, AgentStatus::Restarting);
        self.timer = Some((next, Timer::NextRun));
        self.record_end(change, exited).await;
    }

    /// The error of a call that the agent's status does not allow.
    pub(super) fn wrong_status(&self) -> AgentError {
        AgentError::WrongStatus {
            id: self.record.id,
            status: self.record.status,
            exit: self.record.exit.clone().map(Box::new),
        }
    }
}
