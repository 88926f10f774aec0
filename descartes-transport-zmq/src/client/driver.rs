//! The task of a client: takes commands, sends what its queue says, hands answers out.

mod keeper;

use std::{
    collections::HashMap,
    hash::{BuildHasher, RandomState},
    io,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use descartes_rpc::{
    client::{Client, ClientError, Reconnect},
    error::{ErrorKind, RpcError},
    method::Method as _,
    methods::typed,
    wire::system::NoParams,
};
use futures_util::{StreamExt, future::BoxFuture, stream::FuturesUnordered};
use serde_json::value::RawValue;
use tokio::{
    sync::{Notify, mpsc, oneshot},
    time::{Instant, sleep, sleep_until},
};

use super::{
    ZmqConnect, ZmqError,
    file::{QueueFile, Recovered},
    limits::{CALLERS_AT_ONCE, HEALTH_ANSWER, STILL_AT_WORK},
    queue::{Command, Full, Queue, Rules, Step, Ticket, WHOLE},
};
use keeper::{Keeper, Kept};

/// What a command came to.
pub(super) type Answer = Result<Box<RawValue>, ZmqError>;

/// A command that a caller wants taken.
pub(super) struct Take {
    pub(super) ticket: Ticket,
    pub(super) command: Command,
    pub(super) answer: oneshot::Sender<Answer>,
}

/// Whom the answer to a command is for.
struct Caller {
    answer: oneshot::Sender<Answer>,
    /// Whether the command is an earlier client's: perhaps nobody ever asks for its answer.
    is_left_behind: bool,
}

/// A start that an earlier client left in the file, and where its outcome will be told.
pub(super) struct LeftBehind {
    pub(super) ticket: Ticket,
    pub(super) key: String,
    pub(super) answered: oneshot::Receiver<Answer>,
}

/// Commands whose callers left; each caller leaves once.
#[derive(Default)]
pub(super) struct Left {
    tickets: Mutex<Vec<Ticket>>,
    some: Notify,
}

impl Left {
    /// Nobody waits for the answer to `ticket` any more.
    pub(super) fn leave(&self, ticket: Ticket) {
        self.tickets.lock().unwrap_or_else(PoisonError::into_inner).push(ticket);
        self.some.notify_one();
    }

    fn take(&self) -> Vec<Ticket> {
        std::mem::take(&mut self.tickets.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Everything of a client but its handles.
pub(super) struct Driver {
    connect: ZmqConnect,
    /// Makes one connection and tells when it is lost; another takes its place then.
    client: Client,
    queue: Queue,
    callers: HashMap<Ticket, Caller>,
    /// Answers that are to come, of this connection.
    due: FuturesUnordered<BoxFuture<'static, Came>>,
    takes: mpsc::Receiver<Take>,
    left: Arc<Left>,
    keeper: Option<Keeper>,
    settings: Settings,
    /// How many commands wait, for those who ask.
    waiting: Arc<AtomicUsize>,
}

/// What the task needs to know.
#[derive(Clone, Copy)]
pub(super) struct Settings {
    pub(super) rules: Rules,
    pub(super) connect_timeout: Duration,
    pub(super) queue_timeout: Duration,
}

/// Something came over the connection.
enum Came {
    /// The outcome of a command.
    Outcome(Ticket, Result<Box<RawValue>, ClientError>),
    /// The daemon said how it is, or did not.
    Health(Result<(), ClientError>),
}

impl Driver {
    pub(super) fn new(
        connect: ZmqConnect,
        settings: Settings,
        takes: mpsc::Receiver<Take>,
        left: Arc<Left>,
        waiting: Arc<AtomicUsize>,
    ) -> Self {
        Self {
            client: one_connection(&connect),
            connect,
            queue: Queue::new(settings.rules, Instant::now()),
            callers: HashMap::new(),
            due: FuturesUnordered::new(),
            takes,
            left,
            keeper: None,
            settings,
            waiting,
        }
    }

    /// Keeps commands in `file`, and begins with those that it holds; the outcome of starts among
    /// them can be asked for.
    pub(super) fn keep(&mut self, file: QueueFile, recovered: Vec<Recovered>) -> Vec<LeftBehind> {
        let mut keeper = Keeper::new(file);
        let mut left_behind = Vec::new();
        let now = Instant::now();
        for Recovered { ticket, command, age } in recovered {
            match self.settings.queue_timeout.checked_sub(age) {
                Some(left) => {
                    left_behind.extend(self.await_start(ticket, &command));
                    self.queue.accept(ticket, Arc::new(command), now + left, false);
                }
                None => {
                    let (method, key) = (command.method, command.key);
                    tracing::warn!(%method, ?key, "a queued command of an earlier client waited for too long and is dropped");
                    keeper.done(ticket);
                }
            }
        }
        self.keeper = Some(keeper);
        self.count();
        left_behind
    }

    /// Whoever takes over the agent that `command` starts wants to know what became of it.
    fn await_start(&mut self, ticket: Ticket, command: &Command) -> Option<LeftBehind> {
        let key = command.key.clone()?;
        if command.method != typed::AgentSpawn::DECLARATION.name {
            return None;
        }
        let (answer, answered) = oneshot::channel();
        self.callers.insert(ticket, Caller { answer, is_left_behind: true });
        Some(LeftBehind { ticket, key, answered })
    }

    /// Runs until the last handle is gone.
    pub(super) async fn run(mut self) {
        let mut batch = Vec::with_capacity(CALLERS_AT_ONCE);
        loop {
            self.advance();
            let deadline = self.queue.deadline();
            tokio::select! {
                taken = self.takes.recv_many(&mut batch, CALLERS_AT_ONCE) => {
                    if taken == 0 {
                        break;
                    }
                    batch.drain(..).for_each(|take| self.take(take));
                }
                () = self.left.some.notified() => self.withdraw(),
                Some(came) = self.due.next() => self.receive(came),
                kept = Keeper::next(self.keeper.as_mut()) => self.release(kept),
                () = until(deadline) => {}
            }
        }
        if let Some(keeper) = self.keeper {
            keeper.finish().await;
        }
    }

    /// Does everything that is to be done now.
    fn advance(&mut self) {
        while let Some(step) = self.queue.step(Instant::now()) {
            match step {
                Step::Ask => self.ask(),
                Step::Send(ticket) => self.send(ticket),
                Step::Expire(ticket, sent, idempotency_key) => {
                    let waited = self.settings.queue_timeout;
                    let late = ZmqError::QueueTimeout { waited, sent, idempotency_key };
                    self.finish(ticket, Err(late));
                }
            }
        }
        if let Some(keeper) = &mut self.keeper {
            keeper.begin();
        }
        self.count();
    }

    fn count(&self) {
        self.waiting.store(self.queue.waiting(), Ordering::Relaxed);
    }

    /// Commands that were not sent go with their callers.
    fn withdraw(&mut self) {
        for ticket in self.left.take() {
            self.callers.remove(&ticket);
            if self.queue.withdraw(ticket) {
                self.forget(ticket);
            }
        }
    }

    fn take(&mut self, Take { ticket, command, answer }: Take) {
        if answer.is_closed() {
            return;
        }
        if let Err(Full { waiting }) = self.queue.room(&command) {
            drop(answer.send(Err(ZmqError::QueueFull { waiting })));
            return;
        }
        let command = Arc::new(command);
        let expires = Instant::now() + self.settings.queue_timeout;
        let held = self.keeper.is_some();
        self.callers.insert(ticket, Caller { answer, is_left_behind: false });
        self.queue.accept(ticket, Arc::clone(&command), expires, held);
        if let Some(keeper) = &mut self.keeper {
            keeper.take(ticket, command);
        }
    }

    /// Commands were written down, or could not be.
    fn release(&mut self, kept: Kept) {
        for (ticket, command) in kept.taken {
            match &kept.error {
                Some(error) if command.key.is_some() => {
                    self.queue.give_up(ticket);
                    self.answer(ticket, Err(ZmqError::QueueFile(Arc::clone(error))));
                }
                _ if self.queue.release(ticket) => {}
                // Its caller left meanwhile.
                _ => self.forget(ticket),
            }
        }
    }

    fn send(&mut self, ticket: Ticket) {
        let Some((command, _)) = self.queue.get(ticket) else { return };
        let (command, client) = (Arc::clone(command), self.client.with_deadline(command.deadline));
        self.due
            .push(Box::pin(async move { Came::Outcome(ticket, called(&client, &command).await) }));
    }

    fn ask(&mut self) {
        let connecting =
            if self.queue.is_up() { Duration::ZERO } else { self.settings.connect_timeout };
        let client = self.client.with_deadline(connecting + HEALTH_ANSWER);
        self.due.push(Box::pin(async move {
            Came::Health(match client.system_health(NoParams {}).await {
                // Whatever it answers, it is there.
                Ok(_) | Err(ClientError::Rpc(_)) => Ok(()),
                Err(error) => Err(error),
            })
        }));
    }

    fn receive(&mut self, came: Came) {
        let now = Instant::now();
        match came {
            Came::Health(Ok(())) => self.queue.reached(now),
            Came::Health(Err(error)) => self.lose(&error),
            Came::Outcome(ticket, Err(error)) if is_lost(&error) => {
                // Without a key it is not repeated by anybody else.
                tracing::debug!(ticket, "the answer was lost");
                self.lose(&error);
            }
            Came::Outcome(ticket, outcome) => {
                let sent = self.queue.get(ticket).map_or(0, |(_, sent)| sent);
                match outcome {
                    Err(ClientError::Rpc(error)) if is_for_later(&error, sent) => {
                        self.queue.defer(ticket, now, random());
                    }
                    Err(error @ ClientError::Timeout { .. }) => {
                        self.queue.give_up(ticket);
                        self.finish(ticket, Err(error.into()));
                    }
                    outcome => {
                        self.queue.answered(ticket, now);
                        self.finish(ticket, outcome.map_err(ZmqError::Client));
                    }
                }
            }
        }
    }

    /// The connection is gone, or none could be made: another client tries the next, so that
    /// nothing of this one is left.
    fn lose(&mut self, error: &ClientError) {
        tracing::debug!(%error, "no connection to the daemon");
        self.due.clear();
        self.client = one_connection(&self.connect);
        for ticket in self.queue.lost(Instant::now(), random()) {
            let sent = self.queue.get(ticket).is_some_and(|(_, sent)| sent > 0);
            self.queue.give_up(ticket);
            self.finish(ticket, Err(ended(error, sent).into()));
        }
        let Some(refusal) = refusal(error) else { return };
        // Waiting does not help; what may have had its effect waits for its outcome.
        for ticket in self.queue.unsent() {
            self.queue.give_up(ticket);
            self.finish(ticket, Err(refusal.clone().into()));
        }
    }

    /// The command has come to its end.
    fn finish(&mut self, ticket: Ticket, answer: Answer) {
        self.forget(ticket);
        self.answer(ticket, answer);
    }

    fn forget(&mut self, ticket: Ticket) {
        if let Some(keeper) = &mut self.keeper {
            keeper.done(ticket);
        }
    }

    fn answer(&mut self, ticket: Ticket, answer: Answer) {
        let caller = self.callers.remove(&ticket);
        if caller.as_ref().is_none_or(|caller| caller.is_left_behind) {
            match &answer {
                Ok(_) => tracing::info!(ticket, "a command whose caller is gone is executed"),
                Err(error) => {
                    tracing::warn!(ticket, %error, "a command whose caller is gone has failed");
                }
            }
        }
        if let Some(caller) = caller {
            drop(caller.answer.send(answer));
        }
    }
}

/// Calls, and again while the daemon only says that it is still at work: how long that may take is
/// this client's to say, and with its key it is the same command.
async fn called(client: &Client, command: &Command) -> Result<Box<RawValue>, ClientError> {
    let until = Instant::now() + command.deadline;
    loop {
        let left = until.saturating_duration_since(Instant::now());
        let patient = client.with_deadline(left);
        match patient.call_raw(&command.method, &command.params).await {
            Err(ClientError::Rpc(error))
                if is_at_work(&error, command) && Instant::now() + STILL_AT_WORK < until =>
            {
                sleep(STILL_AT_WORK).await;
            }
            outcome => return outcome,
        }
    }
}

/// Whether the daemon works on the command and stopped waiting for it.
fn is_at_work(error: &RpcError, command: &Command) -> bool {
    let same = error.detail("idempotency_key").and_then(|key| key.as_str());
    error.kind() == ErrorKind::Timeout && same.is_some() && same == command.key.as_deref()
}

/// A client that makes one connection and repeats nothing: that is for the queue to do.
fn one_connection(connect: &ZmqConnect) -> Client {
    let reconnect = Reconnect { attempts: 1, ..Reconnect::default() };
    Client::connect_with(connect.clone(), reconnect)
}

fn is_lost(error: &ClientError) -> bool {
    matches!(error, ClientError::Unreachable { .. } | ClientError::ConnectionLost { .. })
}

/// Whether the daemon takes no work now and the command can wait until it does. What was sent
/// before may have had its effect: then only its outcome is an answer.
fn is_for_later(error: &RpcError, sent: u32) -> bool {
    let not_now = matches!(error.reason_text(), Some("starting" | "draining"));
    error.kind() == ErrorKind::Unavailable && (not_now || sent > 1)
}

/// What the daemon has against the token, where it let nobody in.
fn refusal(error: &ClientError) -> Option<RpcError> {
    let ClientError::Unreachable { source, .. } = error else { return None };
    (source.kind() == io::ErrorKind::PermissionDenied).then(|| {
        RpcError::new(ErrorKind::Unauthenticated, format!("unauthenticated: {source}"))
            .hint("give a key or token that the daemon knows")
    })
}

/// Why there is no connection, for one more of those who wanted it.
fn ended(error: &ClientError, sent: bool) -> ClientError {
    match error {
        ClientError::Unreachable { transport, source } if !sent => {
            ClientError::Unreachable { transport, source: Arc::clone(source) }
        }
        ClientError::Unreachable { source, .. } => {
            ClientError::ConnectionLost { source: Some(Arc::clone(source)) }
        }
        ClientError::ConnectionLost { source } => {
            ClientError::ConnectionLost { source: source.clone() }
        }
        _ => ClientError::ConnectionLost { source: None },
    }
}

/// From 0 to [`WHOLE`].
fn random() -> u32 {
    let random = RandomState::new().hash_one(0_u8) % u64::from(WHOLE + 1);
    u32::try_from(random).unwrap_or(WHOLE)
}

async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}
