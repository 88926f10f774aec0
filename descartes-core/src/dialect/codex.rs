//! Codex, by `codex app-server`: JSON-RPC without the member `jsonrpc`, a message a line.
//!
//! What the program is like (0.169, observed):
//!
//! - `turn/start` is answered when the turn begins; it ends by `turn/completed`.
//! - The text of an item comes in pieces and once more whole; a broken attempt of the model voids
//!   the items that are not complete, and `error` with `willRetry` tells of it.
//! - Sub-agents are threads of their own, whose news come between ours.
//! - `thread/tokenUsage/updated` counts through the thread, and repeats itself.
//! - It ends when its standard input does.

mod ask;
mod describe;
mod fault;
mod item;
mod news;
mod say;
mod stream;
mod turn;
mod wire;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Instant;

pub(super) use fault::error;
pub(super) use say::effort;
use serde_json::value::RawValue;

use self::ask::Asks;
use self::stream::Stream;
use self::turn::{Late, Stop, Turn};
use self::wire::{Accepted, Joined, Line, RpcFault, Tokens};
use super::raw::{self, StderrTail};
use super::{
    Action, Decision, Dialect, Input, LaunchWords, Prompt, SessionSpec, Thinking, TurnEnd,
};
use crate::agent::Activity;
use crate::backend::Capabilities;
use crate::event::{ChunkError, ChunkErrorKind, StreamName, TurnOutcome};
use crate::limits;
use crate::runner::Signal;

/// The dialect of `codex app-server`.
#[derive(Debug, Default)]
pub struct Codex {
    session: Option<SessionSpec>,
    phase: Phase,
    /// The program's name of the conversation, once it is known.
    thread: Option<Arc<str>>,
    /// How many requests we sent: the name of the last one.
    requests: u64,
    /// A prompt that came before the program was ready.
    waiting: Option<(u32, Prompt)>,
    turn: Option<Turn>,
    /// The last turn that was asked for.
    last_turn: u32,
    /// Sub-agents: their threads, the tool calls that began them, and what they say.
    helpers: Vec<Helper>,
    asks: Asks,
    /// What the thread has used, as far as it is known.
    tokens: Option<Tokens>,
    activity: Option<Activity>,
    stderr: StderrTail,
}

/// How far the program is.
#[derive(Debug, Default)]
enum Phase {
    /// It does not run yet.
    #[default]
    Before,
    /// It was greeted by this request and has to answer until then.
    Greeted(u64, Instant),
    /// It was told by this request which conversation it is, and has to answer until then.
    Joining(u64, Instant),
    /// It takes prompts.
    Ready,
    /// It takes none, and will not.
    Broken(ChunkError),
}

/// A sub-agent.
#[derive(Debug)]
struct Helper {
    thread: String,
    parent: Arc<str>,
    stream: Stream,
}

impl Codex {
    /// A conversation that has not begun.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn next_request(&mut self) -> u64 {
        self.requests += 1;
        self.requests
    }

    fn opened(&mut self, now: Instant, out: &mut Vec<Action>) {
        let id = self.next_request();
        self.phase = Phase::Greeted(id, now + limits::CODEX_ANSWER);
        out.push(Action::Send(say::initialize(id)));
    }

    fn line(&mut self, now: Instant, bytes: &[u8], out: &mut Vec<Action>) {
        if bytes.trim_ascii().is_empty() {
            return;
        }
        let understood = match serde_json::from_slice::<Line<'_>>(bytes) {
            Err(_) => false,
            Ok(line) => match (&line.method, line.id) {
                (Some(method), Some(id)) => self.asked(method, id, line.params, out),
                (Some(method), None) => self.told(now, method, line.params, out),
                (None, Some(id)) => self.answered(now, id, &line, out),
                (None, None) => false,
            },
        };
        if !understood {
            out.push(Action::Emit(raw::raw(self.last_turn, bytes)));
        }
    }

    /// A request of ours was answered; false when it is none of ours.
    fn answered(
        &mut self,
        now: Instant,
        id: &RawValue,
        line: &Line<'_>,
        out: &mut Vec<Action>,
    ) -> bool {
        let Ok(id) = id.get().parse::<u64>() else { return false };
        if id == 0 || id > self.requests {
            return false;
        }
        let began = self.turn.as_ref().is_some_and(|turn| turn.request == id);
        match self.phase {
            Phase::Greeted(request, _) if request == id => self.greeted(now, line, out),
            Phase::Joining(request, _) if request == id => self.joined(now, line, out),
            _ if began => self.taken(line, out),
            // The answer to an interrupt, which `turn/completed` follows; or one that came twice.
            _ => {}
        }
        true
    }

    fn greeted(&mut self, now: Instant, line: &Line<'_>, out: &mut Vec<Action>) {
        if let Some(fault) = &line.error {
            return self.fail(refused("initialize", fault), out);
        }
        let id = self.next_request();
        self.phase = Phase::Joining(id, now + limits::CODEX_ANSWER);
        out.push(Action::Send(say::initialized()));
        out.push(Action::Send(say::join(id, self.session.as_ref())));
    }

    fn joined(&mut self, now: Instant, line: &Line<'_>, out: &mut Vec<Action>) {
        let resumed = self.session.as_ref().is_some_and(|session| session.native.is_some());
        let method = if resumed { "thread/resume" } else { "thread/start" };
        if let Some(fault) = &line.error {
            let error = refused(method, fault);
            let hint = "it does not know this conversation: begin a new one";
            return self.fail(if resumed { error.with_hint(hint) } else { error }, out);
        }
        let joined = line.result.and_then(|raw| serde_json::from_str::<Joined>(raw.get()).ok());
        let Some(thread) = joined.and_then(|joined| joined.thread?.id) else {
            let message = format!("the answer to {method} names no thread");
            return self.fail(fault::error(ChunkErrorKind::Protocol, &message), out);
        };
        let thread: Arc<str> = thread.into();
        self.thread = Some(Arc::clone(&thread));
        self.phase = Phase::Ready;
        self.tokens = (!resumed).then(Tokens::nothing);
        out.push(Action::Session(thread));
        out.push(Action::Ready(self.capabilities()));
        if let Some((turn, prompt)) = self.waiting.take() {
            self.begin(now, turn, &prompt, out);
        }
    }

    /// The program took the prompt, or refused it.
    fn taken(&mut self, line: &Line<'_>, out: &mut Vec<Action>) {
        if let Some(fault) = &line.error {
            return self.end(TurnOutcome::Failed, Some(refused("turn/start", fault)), out);
        }
        let accepted = line.result.and_then(|raw| serde_json::from_str::<Accepted>(raw.get()).ok());
        if let Some(id) = accepted.and_then(|accepted| accepted.turn?.id) {
            self.turn_is(&id, out);
        }
    }

    /// The program's name of the turn is known.
    fn turn_is(&mut self, id: &str, out: &mut Vec<Action>) {
        let Some(turn) = self.turn.as_mut().filter(|turn| turn.id.as_deref() != Some(id)) else {
            return;
        };
        turn.taken(id);
        if turn.stop.is_some() {
            self.interrupt(out);
        }
    }

    fn prompt(&mut self, now: Instant, turn: u32, prompt: &Prompt, out: &mut Vec<Action>) {
        self.last_turn = turn;
        match &self.phase {
            Phase::Before | Phase::Greeted(..) | Phase::Joining(..) => {
                self.waiting = Some((turn, prompt.clone()));
            }
            Phase::Ready => self.begin(now, turn, prompt, out),
            Phase::Broken(error) => {
                out.push(Action::TurnEnded(TurnEnd::failed(turn, error.clone())));
            }
        }
    }

    fn begin(&mut self, now: Instant, number: u32, prompt: &Prompt, out: &mut Vec<Action>) {
        let Some(thread) = self.thread.clone() else { return };
        let request = self.next_request();
        let thinking = self.session.as_ref().map_or(Thinking::Normal, |session| session.thinking);
        self.turn = Some(Turn::new(now, number, request));
        self.helpers.iter_mut().for_each(|helper| helper.begin(number));
        out.push(Action::Send(say::turn(request, &thread, prompt, thinking)));
        self.busy(Activity::Thinking, out);
    }

    fn cancel(&mut self, now: Instant, number: u32, out: &mut Vec<Action>) {
        if self.waiting.take_if(|(turn, _)| *turn == number).is_some() {
            out.push(Action::TurnEnded(TurnEnd::new(number, TurnOutcome::Cancelled)));
        } else if self.turn.as_ref().is_some_and(|turn| turn.number == number) {
            self.stop(now, Stop::Cancelled, out);
        }
    }

    /// Stops the turn, as soon as the program's name of it is known.
    fn stop(&mut self, now: Instant, why: Stop, out: &mut Vec<Action>) {
        let Some(turn) = &mut self.turn else { return };
        if turn.stop(now, why) {
            self.interrupt(out);
        }
    }

    fn interrupt(&mut self, out: &mut Vec<Action>) {
        let turn = self.turn.as_ref().and_then(|turn| turn.id.clone());
        if let (Some(thread), Some(turn)) = (self.thread.clone(), turn) {
            let id = self.next_request();
            out.push(Action::Send(say::interrupt(id, &thread, &turn)));
        }
    }

    /// Ends what a stopped turn left running: an interrupt ends commands in their first moment alone
    /// (0.169.0), then they go on as terminals in the background. The answer does not matter.
    fn end_commands(&mut self, out: &mut Vec<Action>) {
        if let Some(thread) = self.thread.clone() {
            let id = self.next_request();
            out.push(Action::Send(say::end_commands(id, &thread)));
        }
    }

    fn busy(&mut self, with: Activity, out: &mut Vec<Action>) {
        if self.activity.replace(with) != Some(with) {
            out.push(Action::Activity(Some(with)));
        }
    }

    fn end(&mut self, outcome: TurnOutcome, error: Option<ChunkError>, out: &mut Vec<Action>) {
        let Some(turn) = self.turn.take() else { return };
        self.asks.close(self.thread.as_deref(), out);
        // Core knows what it is busy with when it is in no turn.
        self.activity = None;
        let end = TurnEnd { usage: turn.usage, error, ..TurnEnd::new(turn.number, outcome) };
        out.push(Action::TurnEnded(end));
    }

    /// Nothing more will come of this process: it is told to end, and the turn fails.
    fn fail(&mut self, error: ChunkError, out: &mut Vec<Action>) {
        if let Some((turn, _)) = self.waiting.take() {
            out.push(Action::TurnEnded(TurnEnd::failed(turn, error.clone())));
        }
        self.end(TurnOutcome::Failed, Some(error.clone()), out);
        self.phase = Phase::Broken(error);
        out.push(Action::CloseStdin);
    }

    fn tick(&mut self, now: Instant, out: &mut Vec<Action>) {
        if let Phase::Greeted(_, until) | Phase::Joining(_, until) = self.phase
            && until <= now
        {
            let message = "the program was started and does not answer";
            self.fail(fault::error(ChunkErrorKind::Stalled, message), out);
        }
        let Some(late) = self.turn.as_mut().and_then(|turn| turn.late(now)) else { return };
        match late {
            Late::Stopped => out.push(Action::Signal(Signal::Interrupt)),
            Late::Taken => {
                let message = "the program does not take the prompt";
                self.fail(fault::error(ChunkErrorKind::Stalled, message), out);
            }
            Late::Settled => self.settled(out),
        }
    }

    /// The turn is over, and how was never said.
    fn settled(&mut self, out: &mut Vec<Action>) {
        let fault = self.turn.as_mut().and_then(|turn| turn.fault.take());
        let outcome = if fault.is_some() { TurnOutcome::Failed } else { TurnOutcome::Interrupted };
        let untold = "the program stopped the turn and did not say how it ended";
        let error = fault.unwrap_or_else(|| fault::error(ChunkErrorKind::Protocol, untold));
        self.stopped(outcome, Some(error), out);
    }

    /// The turn did not come to its end by itself.
    fn stopped(&mut self, outcome: TurnOutcome, error: Option<ChunkError>, out: &mut Vec<Action>) {
        let turn = self.turn.as_ref().filter(|turn| turn.stop.is_some());
        if turn.is_some_and(|turn| turn.stream.tool_works()) {
            self.end_commands(out);
        }
        match self.turn.as_ref().and_then(|turn| turn.stop) {
            Some(Stop::Cancelled) => self.end(TurnOutcome::Cancelled, None, out),
            Some(Stop::Rounds(most)) => {
                let message =
                    format!("the turn took {most} rounds with the model, as many as it may");
                let error = fault::error(ChunkErrorKind::Budget, &message);
                self.end(TurnOutcome::Failed, Some(error), out);
            }
            None => self.end(outcome, error, out),
        }
    }

    /// Nothing can be heard of the program any more.
    fn silent(&mut self, now: Instant, out: &mut Vec<Action>) {
        out.push(Action::CloseStdin);
        if let Some(turn) = &mut self.turn {
            turn.settles(now);
        }
    }

    fn ended(&mut self, code: Option<i32>, signal: Option<i32>, out: &mut Vec<Action>) {
        let how = match (code, signal) {
            (_, Some(signal)) => format!("the program was ended by signal {signal}"),
            (Some(code), None) => format!("the program ended with exit code {code}"),
            (None, None) => "the program ended".into(),
        };
        let message = self.stderr.text().unwrap_or_else(|| how.into());
        let error = fault::error(ChunkErrorKind::AgentCrashed, &message);
        if let Some((turn, _)) = self.waiting.take() {
            out.push(Action::TurnEnded(TurnEnd::failed(turn, error.clone())));
        }
        self.stopped(TurnOutcome::Interrupted, Some(error.clone()), out);
        self.phase = Phase::Broken(error);
    }
}

impl Helper {
    /// What it says belongs to turn `number` from here on.
    fn begin(&mut self, number: u32) {
        self.stream = Stream::new(number, Some(Arc::clone(&self.parent)));
    }
}

/// A request of ours was refused.
fn refused(method: &str, fault: &RpcFault) -> ChunkError {
    let said = fault.message.as_deref().unwrap_or("refused");
    fault::error(ChunkErrorKind::Protocol, &format!("{method}: {said}"))
}

impl Dialect for Codex {
    fn launch(&mut self, session: &SessionSpec, words: &mut LaunchWords) {
        let args = ["-c", "check_for_update_on_startup=false", "-c", "analytics.enabled=false"];
        words.args.push("app-server".into());
        words.args.extend(args.map(Into::into));
        self.session = Some(session.clone());
    }

    fn handle(&mut self, now: Instant, input: Input<'_>, out: &mut Vec<Action>) {
        match input {
            Input::Opened => self.opened(now, out),
            Input::Line { stream: StreamName::Stdout, bytes } => self.line(now, bytes, out),
            Input::Line { bytes, .. } => self.stderr.push(bytes),
            Input::Eof { stream: StreamName::Stdout } => self.silent(now, out),
            Input::Prompt { turn, prompt } => self.prompt(now, turn, prompt, out),
            Input::Cancel { turn } => self.cancel(now, turn, out),
            Input::Decide { ask, decision } => {
                let open = self.asks.decide(ask, decision, out);
                if open && *decision == Decision::Cancel {
                    self.stop(now, Stop::Cancelled, out);
                }
            }
            Input::Tick => self.tick(now, out),
            Input::Ended { code, signal } => self.ended(code, signal, out),
            Input::Oversize { stream: StreamName::Stdout, bytes } => {
                out.push(Action::Emit(raw::oversize(self.last_turn, bytes)));
            }
            Input::Oversize { .. } | Input::Eof { .. } | Input::Pause | Input::Resume => {}
        }
    }

    fn deadline(&self) -> Option<Instant> {
        match self.phase {
            Phase::Greeted(_, until) | Phase::Joining(_, until) => Some(until),
            _ => self.turn.as_ref().and_then(Turn::deadline),
        }
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            turns: true,
            resume: true,
            approvals: true,
            cancel: true,
            models: true,
            pause: false,
        }
    }
}
