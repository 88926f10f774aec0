//! The client that applications hold.

mod agents;
mod starts;
mod streams;

use std::{
    fmt,
    path::PathBuf,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use descartes_rpc::{
    client::{Client, ClientError, Reconnect},
    method::{Declaration, Method},
    remote::{self, RemoteRunner},
};
use serde_json::{Value, value::to_raw_value};
use tokio::sync::{mpsc, oneshot};
use uuid::Uuid;

use super::{
    ZmqConfigError, ZmqConnect, ZmqError, ZmqRunnerConfig,
    driver::{Answer, Driver, Left, LeftBehind, Settings, Take},
    file::{QueueFile, Recovered},
    limits::CALLERS,
    queue::{Command, Rules, Ticket},
};

pub use streams::{CallbackError, CallbackFuture, StreamGuard};

/// Runs agents of another daemon over ZeroMQ ([`ZmqClient::agent_runner`]): their starts wait in the
/// client's queue.
pub type ZmqAgentRunner = RemoteRunner;

/// Calls a daemon over ZeroMQ, through a queue that outlives its connection. Cheap to clone.
///
/// A command waits in the queue until there is a connection, in the order given; `kill`, `stop`
/// and `health` overtake. Each carries an idempotency key, so that one whose connection was lost
/// before the answer came is sent again and still executed exactly once. Its deadline begins when
/// it is sent; how long it may wait is `queue_timeout_secs`. A future that is dropped while its
/// command waits takes it out of the queue; what was sent goes on.
///
/// Commands have one connection, made when the first one comes. [`Self::client`] is the typed
/// client with all methods, for what need not be queued; it and the streams share another one.
/// Dropping the last clone, and the last runner made of one, ends the client's task and its
/// connections; what waits in a file ([`ZmqRunnerConfig::queue_path`]) is sent by the next client
/// that opens it.
///
/// ```
/// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/zmq/guide.rs"));
/// # fn main() { with_daemon(|endpoint, params| async move {
/// use descartes_rpc::wire::agent::AgentStatus;
/// use descartes_transport_zmq::{ControlCommandType, ZmqClient, ZmqRunnerConfig};
///
/// let config = ZmqRunnerConfig { endpoint, ..ZmqRunnerConfig::default() };
/// let client = ZmqClient::start(config).await?;
/// let id = client.spawn_remote(params).await?.agent_id;
///
/// let running = client.list_remote_agents(Some(AgentStatus::Running), None).await?;
/// assert_eq!(running[0].id, id);
/// client.write_agent_stdin(&id, b"ERROR: none\n").await?;
/// let paused = client.batch_control(vec![id], ControlCommandType::Pause, None, false).await?;
/// assert_eq!(paused.successful, 1);
/// # Ok(()) }).unwrap(); }
/// ```
#[derive(Clone)]
pub struct ZmqClient {
    shared: Arc<Shared>,
}

struct Shared {
    takes: mpsc::Sender<Take>,
    left: Arc<Left>,
    tickets: AtomicU64,
    waiting: Arc<AtomicUsize>,
    client: Client,
    config: ZmqRunnerConfig,
    /// Starts of an earlier client that nobody has asked for yet.
    left_behind: Mutex<Vec<LeftBehind>>,
}

impl ZmqClient {
    /// Starts the client's task. A daemon need not be there yet.
    ///
    /// With `queue_path`, commands that an earlier client left in the file are sent as soon as
    /// there is a connection, unless they are older than `queue_timeout_secs`. Must be called
    /// inside a tokio runtime.
    ///
    /// # Errors
    ///
    /// [`ZmqConfigError`] when a setting is out of its range, or the file cannot be used.
    pub async fn start(config: ZmqRunnerConfig) -> Result<Self, ZmqConfigError> {
        let connect = config.connector()?;
        Self::start_over(connect, config).await
    }

    /// The same over connections that `connect` makes: [`ZmqRunnerConfig::connector`] with a token to
    /// show, say.
    ///
    /// # Errors
    ///
    /// The same.
    pub async fn start_over(
        connect: ZmqConnect,
        config: ZmqRunnerConfig,
    ) -> Result<Self, ZmqConfigError> {
        config.check()?;
        let file = match config.queue_path.clone() {
            Some(path) => Some(opened(path).await?),
            None => None,
        };
        let (takes, receiver) = mpsc::channel(CALLERS);
        let (left, waiting) = (Arc::<Left>::default(), Arc::<AtomicUsize>::default());
        let settings = settings(&config);
        let mut driver = Driver::new(
            connect.clone(),
            settings,
            receiver,
            Arc::clone(&left),
            Arc::clone(&waiting),
        );
        let (mut first, mut left_behind) = (1, Vec::new());
        if let Some((file, recovered)) = file {
            first = recovered.iter().map(|one| one.ticket + 1).max().unwrap_or(first);
            left_behind = driver.keep(file, recovered);
        }
        tokio::spawn(driver.run());
        let client = Client::connect_with(connect, reconnect(&config));
        let client = client.with_deadline(Duration::from_secs(config.request_timeout_secs));
        let (tickets, left_behind) = (AtomicU64::new(first), Mutex::new(left_behind));
        let shared = Shared { takes, left, tickets, waiting, client, config, left_behind };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// The typed client of the same daemon: every method, and subscriptions. Its calls do not
    /// wait in the queue: without a connection they fail at once.
    #[must_use]
    pub fn client(&self) -> Client {
        self.shared.client.clone()
    }

    /// A runner for a `Descartes` of this process, whose agents run at the daemon; `name` is what
    /// this process calls it.
    ///
    /// An agent's start waits in the queue, so a daemon that is away has it when it is back, once;
    /// with [`ZmqRunnerConfig::queue_path`] also after a restart of this process. What is done to an
    /// agent does not wait: while the daemon is away it fails, and the agent shows `unreachable`. A
    /// control may take `request_timeout_secs`, and with `enable_heartbeat` the daemon is asked
    /// whether it is there while it has agents of ours.
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/zmq/guide.rs"));
    /// # fn main() { with_agent(|client, id| async move {
    /// let runner = client.agent_runner("build-7");
    /// assert_eq!(runner.name(), "build-7");
    /// runner.client().system_health(Default::default()).await?;
    /// # Ok(()) }).unwrap(); }
    /// ```
    #[must_use]
    pub fn agent_runner(&self, name: impl Into<Arc<str>>) -> ZmqAgentRunner {
        self.agent_runner_builder(name).build()
    }

    /// The same runner, of which more can be set.
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/zmq/guide.rs"));
    /// # fn main() { with_agent(|client, id| async move {
    /// let hour = std::time::Duration::from_secs(3600);
    /// let runner = client.agent_runner_builder("build-7").lost_after(hour).build();
    /// # Ok(()) }).unwrap(); }
    /// ```
    pub fn agent_runner_builder(&self, name: impl Into<Arc<str>>) -> remote::Builder {
        let config = &self.shared.config;
        let builder = ZmqAgentRunner::builder(name, self.client())
            .deadline(self.request_timeout())
            .starts_through(Arc::new(self.clone()));
        match config.enable_heartbeat {
            true => builder.probe_every(Duration::from_secs(config.heartbeat_interval_secs)),
            false => builder.without_probes(),
        }
    }

    /// What this client was started with.
    #[must_use]
    pub fn config(&self) -> &ZmqRunnerConfig {
        &self.shared.config
    }

    /// How many commands wait to be sent.
    #[must_use]
    pub fn queued_command_count(&self) -> usize {
        self.shared.waiting.load(Ordering::Relaxed)
    }

    /// The same for who does not want to keep the client: to be asked again and again.
    pub fn queued_command_counter(&self) -> impl Fn() -> usize + Send + Sync + use<> {
        let waiting = Arc::clone(&self.shared.waiting);
        move || waiting.load(Ordering::Relaxed)
    }

    fn request_timeout(&self) -> Duration {
        Duration::from_secs(self.shared.config.request_timeout_secs)
    }

    /// Calls `M` through the queue.
    async fn call<M: Method>(
        &self,
        params: &M::Params,
        deadline: Duration,
    ) -> Result<M::Result, ZmqError> {
        let declared = &M::DECLARATION;
        let params = serde_json::to_value(params).map_err(ClientError::Encode)?;
        let command = command(declared, params, deadline)?;
        let ticket = self.shared.tickets.fetch_add(1, Ordering::Relaxed);
        let (answer, answered) = oneshot::channel();
        let take = Take { ticket, command, answer };
        self.shared.takes.send(take).await.map_err(|_closed| ZmqError::Ended)?;
        outcome::<M>(answered, Leave { left: Some(Arc::clone(&self.shared.left)), ticket }).await
    }
}

/// Waits for the answer to a command; dropped, it leaves.
async fn outcome<M: Method>(
    answered: oneshot::Receiver<Answer>,
    leave: Leave,
) -> Result<M::Result, ZmqError> {
    let answer = answered.await.unwrap_or(Err(ZmqError::Ended));
    leave.answered();
    let method = || M::DECLARATION.name.to_owned();
    serde_json::from_str(answer?.get())
        .map_err(|source| ClientError::Decode { method: method(), source }.into())
}

/// Makes a call that can wait; one that changes something gets a key unless it has one.
fn command(
    declared: &Declaration,
    mut params: Value,
    deadline: Duration,
) -> Result<Command, ZmqError> {
    let mut key = None;
    if let (true, Value::Object(members)) = (declared.mutating, &mut params) {
        let made = || Value::from(Uuid::now_v7().to_string());
        let given = members.entry("idempotency_key").or_insert_with(made);
        key = given.as_str().map(str::to_owned);
    }
    let params = to_raw_value(&params).map_err(ClientError::Encode)?;
    Ok(Command {
        method: declared.name.to_owned(),
        params,
        key,
        control: declared.control,
        waits: declared.waits,
        deadline,
    })
}

/// Takes a command out of the queue when its future is dropped.
struct Leave {
    left: Option<Arc<Left>>,
    ticket: Ticket,
}

impl Leave {
    fn answered(mut self) {
        self.left = None;
    }
}

impl Drop for Leave {
    fn drop(&mut self) {
        if let Some(left) = self.left.take() {
            left.leave(self.ticket);
        }
    }
}

async fn opened(path: PathBuf) -> Result<(QueueFile, Vec<Recovered>), ZmqConfigError> {
    let place = path.clone();
    let opened = tokio::task::spawn_blocking(move || QueueFile::open(&place)).await;
    opened
        .map_err(Into::into)
        .and_then(|opened| opened)
        .map_err(|source| ZmqConfigError::QueueFile { path, source })
}

fn settings(config: &ZmqRunnerConfig) -> Settings {
    let interval = Duration::from_secs(config.heartbeat_interval_secs);
    Settings {
        rules: Rules {
            max_waiting: config.max_queue_size,
            auto_reconnect: config.auto_reconnect,
            quick_attempts: config.max_reconnect_attempts,
            quick_pause: Duration::from_secs(config.reconnect_delay_secs),
            heartbeat: config.enable_heartbeat.then_some(interval),
        },
        connect_timeout: Duration::from_secs(config.connection_timeout_secs),
        queue_timeout: Duration::from_secs(config.queue_timeout_secs),
    }
}

/// How the typed client comes back; it gives up after a while, and streams then begin it again.
fn reconnect(config: &ZmqRunnerConfig) -> Reconnect {
    let usual = Reconnect::default();
    if !config.auto_reconnect {
        return Reconnect { attempts: 1, restarts: false, ..usual };
    }
    Reconnect { most: Duration::from_secs(config.reconnect_delay_secs), ..usual }
}

impl fmt::Debug for ZmqClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ZmqClient")
            .field("endpoint", &self.shared.config.endpoint)
            .field("waiting", &self.queued_command_count())
            .finish_non_exhaustive()
    }
}
