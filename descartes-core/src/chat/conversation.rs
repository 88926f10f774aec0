//! The task that owns a chat: its turns, its questions, and whoever waits for them.
//!
//! It hears of the agent's runs and lines through the [`Link`], lets the dialect of the run say
//! what they mean, writes that down, and only then acts on it: store, then show, then answer.

mod act;
mod ask;
mod hear;
mod process;
mod record;
mod step;
mod turn;
mod watched;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::link::Link;
use super::{ChatError, ChatRecord};
use crate::agent::AgentError;
use crate::approval::{Approval, ApprovalId};
use crate::descartes::{Core, Descartes, Killed};
use crate::dialect::{AskToken, Decision, Dialect, Prompt};
use crate::event::{ChunkError, TurnOutcome, Usage};
use crate::recording::Recorder;
use crate::store::Batch;
use crate::trace::{TraceContext, Traced};
use step::Step;
pub(crate) use step::{put_approval, put_chat};
pub(crate) use turn::Asked;
use watched::Watched;

/// What was asked of a chat, and where the answer goes.
pub(crate) enum Command {
    Prompt {
        asked: Asked,
        answer: Answer<Accepted>,
    },
    /// A prompt that was answered already, without the agent.
    Answered {
        asked: Asked,
        text: Arc<str>,
        answer: Answer<Accepted>,
    },
    Cancel {
        turn: Option<u32>,
        answer: Answer<bool>,
    },
    Decide {
        approval: ApprovalId,
        decision: Decision,
        expected_digest: Option<Arc<str>>,
        by: Arc<str>,
        answer: Answer<Arc<Approval>>,
    },
    Stop {
        by: Arc<str>,
        answer: Answer<Stopped>,
    },
    Upgrade {
        by: Arc<str>,
        answer: Answer<Arc<ChatRecord>>,
    },
    Change {
        change: Box<dyn FnOnce(&mut ChatRecord) + Send>,
        answer: Answer<Arc<ChatRecord>>,
    },
}

/// Where an answer goes. Dropped, it says that the host is about to stop.
pub(crate) type Answer<T> = oneshot::Sender<Result<T, ChatError>>;

/// A prompt that was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Accepted {
    /// Which turn it is, or will be.
    pub turn: u32,
    /// Whether it waits for another turn.
    pub queued: bool,
}

/// What a turn came to.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct TurnResult {
    /// Which turn.
    pub turn: u32,
    /// How it ended.
    pub outcome: TurnOutcome,
    /// Its text, what was withdrawn left out; at most [`TURN_CONTENT_BYTES`].
    ///
    /// [`TURN_CONTENT_BYTES`]: crate::limits::TURN_CONTENT_BYTES
    pub content: Arc<str>,
    /// What it used, as far as the program tells.
    pub usage: Option<Usage>,
    /// Why it did not succeed.
    pub error: Option<ChunkError>,
}

/// A chat that was stopped.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Stopped {
    /// How the turn that was under way ended.
    pub outcome: Option<TurnOutcome>,
    /// The chat, closed.
    pub record: Arc<ChatRecord>,
}

/// How long a conversation waits for what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ChatTimes {
    /// A turn of which nothing is heard for so long is shown as stalled.
    pub stall: Duration,
    /// A process that nobody asks anything for so long is ended; the chat goes on with another.
    pub idle_stop: Duration,
    /// How long a turn may take in chats that do not say; as long as it likes when absent.
    pub turn_timeout: Option<Duration>,
    /// How long a question may wait for its decision.
    pub approval: Duration,
}

impl Default for ChatTimes {
    fn default() -> Self {
        Self {
            stall: Duration::from_secs(120),
            idle_stop: Duration::from_secs(900),
            turn_timeout: None,
            approval: Duration::from_secs(900),
        }
    }
}

/// A chat's task.
pub(crate) struct Conversation {
    core: Arc<Core>,
    record: ChatRecord,
    link: Arc<Link>,
    commands: mpsc::Receiver<Command>,
    process: Option<Process>,
    turn: Option<OpenTurn>,
    /// What is known of turns that have not begun, beside what is written down.
    waiting: BTreeMap<u32, Waiting>,
    /// Prompts that wait, with what is asked: the record has them too.
    queue: VecDeque<super::QueuedPrompt>,
    asks: BTreeMap<ApprovalId, Pending>,
    stopping: Option<Stopping>,
    kills: JoinSet<Result<Killed, AgentError>>,
    /// The offset that the next chunk will have in the chat's topic.
    offset: u64,
    /// When something was last heard or asked.
    heard_at: Instant,
    step: Step,
    /// What could not be written yet: the store does not work.
    held: Option<Batch>,
    /// Who writes down what is said, where somebody wants that.
    recorder: Option<Recorder>,
    /// What is counted of the turn.
    watched: Watched,
}

/// A run of the agent that can be talked to.
struct Process {
    dialect: Box<dyn Dialect>,
    /// Whether it can be written to.
    opened: bool,
    /// Where the attempt of the model began that may be withdrawn.
    mark: u64,
    /// It was told to end.
    ending: bool,
    /// Its input was closed: it takes no more prompts.
    closing: bool,
}

/// The turn that is under way.
struct OpenTurn {
    number: u32,
    begun: Instant,
    /// What it has to end as, whatever the program makes of being cancelled.
    cancelled: Option<TurnOutcome>,
    /// When its process is ended, if it does not obey.
    patience: Option<Instant>,
    /// When it has taken too long.
    due: Option<Instant>,
    stalled: bool,
    content: String,
    /// How long the content was when the attempt began that may be withdrawn.
    content_mark: usize,
    /// A prompt that has not been given to a process yet.
    prompt: Option<Prompt>,
    /// Who is told when it has ended because of them.
    cancellers: Vec<Answer<bool>>,
    done: Option<oneshot::Sender<TurnResult>>,
    traced: Traced,
}

/// A turn that has not begun.
struct Waiting {
    /// Who waits for it.
    done: Option<oneshot::Sender<TurnResult>>,
    /// What it belongs to.
    trace: Option<TraceContext>,
}

/// A question that is open.
struct Pending {
    approval: Arc<Approval>,
    ask: AskToken,
    /// When it is decided by default.
    due: Instant,
}

/// The chat was told to end.
struct Stopping {
    by: Arc<str>,
    answers: Vec<Answer<Stopped>>,
    /// How the turn that was under way ended.
    outcome: Option<TurnOutcome>,
    /// When the process is ended, whatever the turn does.
    due: Instant,
}

enum Event {
    Command(Command),
    Heard,
    Due,
    Killed(Result<Killed, AgentError>),
    StoreWorks,
    /// Nobody can ask anything any more.
    Abandoned,
}

impl Conversation {
    /// The task-to-be of a chat whose topic has `offset` chunks.
    pub(crate) fn new(
        core: Arc<Core>,
        record: &ChatRecord,
        link: Arc<Link>,
        commands: mpsc::Receiver<Command>,
    ) -> Self {
        let queue = record.queue.iter().cloned().collect();
        let recorder = record.spec.agent.chat.record.clone();
        let recorder =
            recorder.map(|path| Recorder::new(path, core.clock.clone(), record.created_at));
        Self {
            core,
            record: record.clone(),
            link,
            commands,
            process: None,
            turn: None,
            waiting: BTreeMap::new(),
            queue,
            asks: BTreeMap::new(),
            stopping: None,
            kills: JoinSet::new(),
            offset: 0,
            heard_at: Instant::now(),
            step: Step::default(),
            held: None,
            recorder,
            watched: Watched::default(),
        }
    }

    /// Works until the chat is closed, or has nothing to do.
    pub(crate) async fn work(mut self) {
        match self.core.next_offset(&self.topic()).await {
            Ok(offset) => self.offset = offset,
            Err(error) => {
                tracing::error!(chat = %self.record.id, %error, "a chat cannot be read");
                return self.leave();
            }
        }
        while !self.may_rest() {
            let event = self.next().await;
            if Box::pin(self.handle(event)).await.is_break() {
                break;
            }
        }
        self.leave();
    }

    fn leave(&mut self) {
        self.link.close();
        self.core.chats.rest((self.record.id, &self.link), &mut self.commands);
    }

    /// Whether there is nothing to do until somebody asks for something.
    fn may_rest(&mut self) -> bool {
        let idle = self.process.is_none()
            && self.turn.is_none()
            && self.queue.is_empty()
            && self.held.is_none()
            && self.stopping.is_none()
            && self.kills.is_empty()
            && self.link.is_silent();
        idle && self.core.chats.rest((self.record.id, &self.link), &mut self.commands)
    }

    async fn handle(&mut self, event: Event) -> std::ops::ControlFlow<()> {
        match event {
            Event::Command(command) => self.obey(command).await,
            Event::Heard => self.hear().await,
            Event::Due => self.due().await,
            Event::Killed(result) => self.killed(result).await,
            Event::StoreWorks => self.write_held().await,
            Event::Abandoned => return std::ops::ControlFlow::Break(()),
        }
        std::ops::ControlFlow::Continue(())
    }

    /// Waits for whatever comes first. Only cancel-safe futures are waited for.
    async fn next(&mut self) -> Event {
        let due = self.next_due();
        let due = async {
            match due {
                Some(due) => tokio::time::sleep_until(due).await,
                None => std::future::pending().await,
            }
        };
        let (link, held, journal) = (&self.link, self.held.is_some(), &self.core.journal);
        let heard = async {
            // What cannot be written down is not listened to: the agent waits, and nobody else.
            if held { std::future::pending().await } else { link.news().await }
        };
        let works =
            async { if held { journal.works().await } else { std::future::pending().await } };
        tokio::select! {
            biased;
            command = self.commands.recv() => command.map_or(Event::Abandoned, Event::Command),
            Some(killed) = self.kills.join_next() => {
                Event::Killed(killed.unwrap_or(Err(AgentError::Broken)))
            }
            () = heard => Event::Heard,
            () = due => Event::Due,
            () = works => Event::StoreWorks,
        }
    }

    async fn obey(&mut self, command: Command) {
        self.heard_at = Instant::now();
        match command {
            Command::Prompt { asked, answer } => self.prompted(asked, answer).await,
            Command::Answered { asked, text, answer } => {
                self.answered(asked, &text, answer).await;
            }
            Command::Cancel { turn, answer } => self.cancel(turn, answer).await,
            Command::Decide { approval, decision, expected_digest, by, answer } => {
                let decided = ask::Decided { approval, decision, expected_digest, by };
                self.decide(decided, answer).await;
            }
            Command::Stop { by, answer } => self.stop(by, answer).await,
            Command::Upgrade { by, answer } => self.upgrade(by, answer).await,
            Command::Change { change, answer } => {
                change(&mut self.record);
                self.step.touch();
                let record = Arc::new(self.record.clone());
                self.step.answer(answer, Ok(record));
                self.commit().await;
            }
        }
    }

    /// The runtime that this chat belongs to.
    fn descartes(&self) -> Descartes {
        Descartes { core: Arc::clone(&self.core) }
    }
}
