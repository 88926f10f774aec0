//! What is asked of a run, on its way to the remote.

use std::collections::VecDeque;
use std::future::pending;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use descartes_core::agent::PauseMode;
use descartes_core::limits::AGENT_COMMANDS;
use descartes_core::runner::{
    Control, ControlError, ControlOutcome, ControlRequest, Controls, RunExit, Signal, StdinError,
};
use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use tokio::sync::watch;
use tokio::time::{Instant, timeout, timeout_at};

use super::exit;
use super::reach::{Remote, fresh_key, insist, is_silence};
use crate::client::ClientError;
use crate::error::{ErrorKind, RpcError};
use crate::limits::{REMOTE_KILLS, REMOTE_LAST_ANSWER, REQUEST_BYTES};
use crate::methods::typed::{AgentKill, AgentPause, AgentResume, AgentSignal, AgentWriteStdin};
use crate::wire::agent::AgentStatus;
use crate::wire::control as wire;

/// What a request has beside the bytes that are written: identifiers, a key, an envelope.
const AROUND_BYTES: usize = 1024;

/// The end of a run that a kill told, and when it counts although its event has not come.
pub(super) type Told = Option<(RunExit, Instant)>;

/// What is asked of one run. Kills go at once; everything else goes in the order asked for, one
/// after the other, so that no lost connection can change the order of what is written.
pub(super) struct Hands {
    remote: Arc<Remote>,
    /// What the remote calls the agent, as soon as that is known.
    id: watch::Receiver<Option<Arc<str>>>,
    told: watch::Sender<Told>,
    kills: FuturesUnordered<BoxFuture<'static, Told>>,
    lane: VecDeque<(ControlRequest, Instant)>,
    current: Option<BoxFuture<'static, ()>>,
}

/// How to reach the agent of a run.
#[derive(Clone)]
struct Reach {
    remote: Arc<Remote>,
    id: watch::Receiver<Option<Arc<str>>>,
}

impl Hands {
    pub(super) fn new(
        remote: Arc<Remote>,
        id: watch::Receiver<Option<Arc<str>>>,
        told: watch::Sender<Told>,
    ) -> Self {
        let (kills, lane) = (FuturesUnordered::new(), VecDeque::new());
        Self { remote, id, told, kills, lane, current: None }
    }

    /// Works until nobody can ask for anything any more.
    pub(super) async fn work(&mut self, controls: &mut Controls) {
        loop {
            if self.current.is_none() {
                self.current = self.lane.pop_front().map(|(request, until)| {
                    let reach = self.reach();
                    Box::pin(reach.obey(request, until)) as BoxFuture<'static, ()>
                });
            }
            let current = async {
                match &mut self.current {
                    Some(current) => current.await,
                    None => pending().await,
                }
            };
            let kill = async {
                match self.kills.next().await {
                    Some(told) => told,
                    None => pending().await,
                }
            };
            tokio::select! {
                request = controls.next() => match request {
                    Some(request) => self.take(request),
                    None => return,
                },
                () = current => self.current = None,
                told = kill => if told.is_some() { self.told.send_replace(told); },
            }
        }
    }

    /// Waits for the answer to what is under way: the run may have ended because of it, and its end
    /// may have been told first.
    pub(super) async fn settle(mut self) {
        let Some(current) = self.current.take() else { return };
        if timeout(REMOTE_LAST_ANSWER, current).await.is_err() {
            tracing::debug!("a control of a run that has ended was not answered");
        }
    }

    fn take(&mut self, request: ControlRequest) {
        let until = self.remote.deadline();
        let reach = self.reach();
        let busy = |request: ControlRequest| {
            request.fail(ControlError::Failed("too many controls wait for this agent".into()));
        };
        match request.control {
            Control::Kill { .. } if self.kills.len() >= REMOTE_KILLS => busy(request),
            Control::Kill { grace } => {
                self.kills.push(Box::pin(reach.kill(request, grace, until + grace)));
            }
            _ if self.lane.len() >= AGENT_COMMANDS => busy(request),
            _ => self.lane.push_back((request, until)),
        }
    }

    fn reach(&self) -> Reach {
        Reach { remote: Arc::clone(&self.remote), id: self.id.clone() }
    }
}

impl Reach {
    /// What the remote calls the agent, if the remote answers.
    async fn find(&mut self, until: Instant) -> Result<String, ControlError> {
        if self.remote.is_away() && !self.remote.answers().await {
            return Err(ControlError::ConnectionLost("the remote does not answer".into()));
        }
        let known = timeout_at(until, self.id.wait_for(Option::is_some)).await;
        match known {
            Ok(Ok(id)) => Ok(id.as_deref().unwrap_or_default().to_owned()),
            Ok(Err(_)) => Err(ControlError::Ended),
            Err(_) => Err(ControlError::ConnectionLost("the remote does not answer".into())),
        }
    }

    async fn kill(
        mut self,
        request: ControlRequest,
        grace: std::time::Duration,
        until: Instant,
    ) -> Told {
        let killed = async {
            let kill = wire::KillParams {
                agent_id: self.find(until).await?,
                force: Some(grace.is_zero()),
                grace_secs: (!grace.is_zero()).then(|| grace.into()),
                idempotency_key: Some(fresh_key()),
            };
            insist::<AgentKill>(self.remote.client(), kill, until)
                .await
                .map_err(|error| refused(&error))
        };
        match killed.await {
            Ok(killed) => {
                let (forced, swept) = (killed.forced, killed.swept);
                request.done(ControlOutcome::Killed { forced, swept });
                // A store that cannot write shows the end to nobody until it can.
                let now = Instant::now();
                let counts = if killed.recorded { self.remote.deadline() } else { now };
                killed.exit.map(|seen| (exit::of(&seen), counts))
            }
            Err(error) => {
                request.fail(error);
                None
            }
        }
    }

    async fn obey(mut self, request: ControlRequest, until: Instant) {
        match self.tell(request.control.clone(), until).await {
            Ok(outcome) => request.done(outcome),
            Err(error) => request.fail(error),
        }
    }

    async fn tell(
        &mut self,
        control: Control,
        until: Instant,
    ) -> Result<ControlOutcome, ControlError> {
        let agent_id = self.find(until).await?;
        let client = self.remote.client();
        let idempotency_key = Some(fresh_key());
        match control {
            Control::Pause => {
                let pause = wire::PauseParams { agent_id, force: Some(true), idempotency_key };
                let paused = insist::<AgentPause>(client, pause, until)
                    .await
                    .map_err(|error| refused(&error))?;
                let mode = PauseMode::from_text(paused.pause_mode.as_str());
                Ok(ControlOutcome::Paused(mode.unwrap_or(PauseMode::Forced)))
            }
            Control::Resume => {
                let resume = wire::ResumeParams { agent_id, idempotency_key };
                insist::<AgentResume>(client, resume, until)
                    .await
                    .map_err(|error| refused(&error))?;
                Ok(ControlOutcome::Done)
            }
            Control::Signal(signal) => {
                let signal = signal_name(signal);
                let signal = wire::SignalParams { agent_id, signal, idempotency_key };
                insist::<AgentSignal>(client, signal, until)
                    .await
                    .map_err(|error| refused(&error))?;
                Ok(ControlOutcome::Done)
            }
            Control::WriteStdin { bytes, close } => {
                let (text, data) = encoded(&bytes)?;
                let close = Some(close);
                let write = wire::WriteParams { agent_id, text, data, close, idempotency_key };
                insist::<AgentWriteStdin>(client, write, until)
                    .await
                    .map_err(|error| refused(&error))?;
                Ok(ControlOutcome::Done)
            }
            other => Err(ControlError::Unsupported(format!("{other:?}").into())),
        }
    }
}

/// The bytes as text or as base64, whichever is shorter.
///
/// What is too long for one request is refused: in two it could be written by half.
fn encoded(bytes: &Bytes) -> Result<(Option<String>, Option<String>), ControlError> {
    const MOST: usize = REQUEST_BYTES - AROUND_BYTES;
    if bytes.is_empty() {
        return Ok((Some(String::new()), None));
    }
    let data = bytes.len().div_ceil(3) * 4;
    let text = std::str::from_utf8(bytes).ok();
    let text = text.map(|text| (text, escaped(text))).filter(|(_, length)| *length <= data);
    match text {
        Some((text, length)) if length <= MOST => Ok((Some(text.to_owned()), None)),
        None if data <= MOST => Ok((None, Some(STANDARD.encode(bytes)))),
        _ => Err(StdinError::Full { queued: bytes.len(), max: MOST / 4 * 3 }.into()),
    }
}

/// The length of `text` in JSON.
fn escaped(text: &str) -> usize {
    let length = |byte: u8| match byte {
        b'"' | b'\\' | b'\n' | b'\r' | b'\t' => 2,
        0..0x20 => 6,
        _ => 1,
    };
    text.bytes().map(length).sum()
}

fn signal_name(signal: Signal) -> wire::SignalName {
    match signal {
        Signal::Interrupt => wire::SignalName::Interrupt,
        Signal::Terminate => wire::SignalName::Terminate,
        Signal::Kill => wire::SignalName::Kill,
        Signal::Stop => wire::SignalName::Stop,
        Signal::Continue => wire::SignalName::Continue,
        Signal::Hangup => wire::SignalName::Hangup,
        Signal::Usr1 => wire::SignalName::Usr1,
        Signal::Usr2 => wire::SignalName::Usr2,
    }
}

/// Whether the remote said that the agent has ended.
pub(super) fn has_ended(error: &ClientError) -> bool {
    let ended = |error: &RpcError| {
        let status = error.detail("status").and_then(|status| status.as_str());
        let over = status.is_none_or(|status| AgentStatus::from_word(status).is_terminal());
        error.kind() == ErrorKind::AgentNotFound
            || (error.reason_text() == Some("wrong_status") && over)
    };
    error.rpc().is_some_and(ended)
}

/// Whether the bound that was reached is that of the agent's own input.
fn is_full(error: &RpcError) -> bool {
    error.detail("limit").and_then(|limit| limit.as_str()) == Some("limits.stdin_queue_bytes")
}

/// Why a control was not carried out.
fn refused(error: &ClientError) -> ControlError {
    if has_ended(error) {
        return ControlError::Ended;
    }
    let text = || error.to_string().into();
    let ClientError::Rpc(told) = error else {
        let silent = is_silence(error);
        return if silent {
            ControlError::ConnectionLost(text())
        } else {
            ControlError::Failed(text())
        };
    };
    let number = |member| told.detail(member).and_then(serde_json::Value::as_u64);
    let bytes = |member| number(member).and_then(|bytes| usize::try_from(bytes).ok());
    match (told.kind(), told.reason_text()) {
        (ErrorKind::ConnectionLost, _) => ControlError::ConnectionLost(text()),
        (ErrorKind::Conflict, Some("closed")) => StdinError::Closed.into(),
        (ErrorKind::ResourceExhausted, _) if is_full(told) => {
            match (bytes("current"), bytes("max")) {
                (Some(queued), Some(max)) => StdinError::Full { queued, max }.into(),
                _ => ControlError::Failed(text()),
            }
        }
        _ => ControlError::Failed(text()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_goes_in_one_request_or_not_at_all() {
        let of = |bytes: Vec<u8>| encoded(&Bytes::from(bytes));
        assert_eq!(of(b"a\n".to_vec()), Ok((Some("a\n".to_owned()), None)));
        assert_eq!(of(b"\xff".to_vec()), Ok((None, Some("/w==".to_owned()))));
        // Shorter as base64 than with six characters for each.
        assert!(matches!(of(vec![0; 300]), Ok((None, Some(_)))));
        assert!(matches!(of(vec![b'x'; REQUEST_BYTES - 2 * AROUND_BYTES]), Ok((Some(_), None))));
        for byte in [b'x', 0xff] {
            let refused = of(vec![byte; REQUEST_BYTES]);
            assert!(matches!(refused, Err(ControlError::Stdin(StdinError::Full { .. }))));
        }
        for text in ["plain", "a\"b\\c\n\t\r", "\u{1}\u{8}\u{c}é☃"] {
            let json = serde_json::to_string(text).unwrap();
            assert!(escaped(text) + 2 >= json.len(), "{text:?}");
        }
    }

    #[test]
    fn what_the_remote_refuses_is_refused_here_for_the_same_reason() {
        let rpc = |kind, reason: &'static str| RpcError::new(kind, "no").reason(reason);
        let of = |error: RpcError| refused(&ClientError::Rpc(error));
        let ended = rpc(ErrorKind::Conflict, "wrong_status").with("status", "completed");
        assert_eq!(of(ended), ControlError::Ended);
        let busy = rpc(ErrorKind::Conflict, "wrong_status").with("status", "stopping");
        assert!(matches!(of(busy), ControlError::Failed(_)));
        assert_eq!(of(RpcError::new(ErrorKind::AgentNotFound, "no")), ControlError::Ended);
        assert_eq!(of(rpc(ErrorKind::Conflict, "closed")), StdinError::Closed.into());
        let full = RpcError::exhausted("limits.stdin_queue_bytes", 9, 10);
        assert_eq!(of(full), StdinError::Full { queued: 9, max: 10 }.into());
        let lost = ClientError::ConnectionLost { source: None };
        assert!(matches!(refused(&lost), ControlError::ConnectionLost(_)));
        let unknown = rpc(ErrorKind::StateError, "outcome_unknown");
        assert!(matches!(of(unknown), ControlError::Failed(_)));
    }
}
