//! What agents do and write, told to a callback.

use std::{pin::Pin, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use descartes_rpc::{
    client::{Client, ClientError, Subscription, Update},
    wire::{
        agent::{Agent, AgentStatus},
        event::{AgentExited, Event, OutputBlock, StatusChanged, SubscribeParams},
        output::Stream,
    },
};
use tokio::{
    task::JoinHandle,
    time::{Instant, sleep, timeout_at},
};

use super::ZmqClient;
use crate::{
    client::{ZmqError, limits::STREAM_RETRY},
    protocol::{LogStream, StatusUpdate, UpdateType, Value, ZmqOutputStream},
};

/// What went wrong in a callback.
pub type CallbackError = Box<dyn std::error::Error + Send + Sync>;
/// What a callback gives: it is waited for before the next call.
pub type CallbackFuture = Pin<Box<dyn Future<Output = Result<(), CallbackError>> + Send>>;

/// Keeps a stream going; dropping it ends the stream, also in the middle of a callback.
#[derive(Debug)]
#[must_use = "dropping it ends the stream"]
pub struct StreamGuard {
    task: JoinHandle<()>,
}

impl StreamGuard {
    /// Whether the stream has ended by itself: the daemon will not open it again, or the agent
    /// whose output it follows has ended. The log says why.
    #[must_use]
    pub fn is_ended(&self) -> bool {
        self.task.is_finished()
    }
}

impl Drop for StreamGuard {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl ZmqClient {
    /// Tells `callback` what happens to one agent, or to all, from now on.
    ///
    /// It goes on through lost connections and restarts of the daemon without gap or duplicate.
    /// An error of the callback is logged and does not end the stream; a slow callback delays
    /// nobody else.
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/zmq/guide.rs"));
    /// # fn main() { with_agent(|client, id| async move {
    /// let guard =
    ///     client.stream_agent_status(None, |update| Box::pin(async move { Ok(()) })).await?;
    /// # drop((guard, id));
    /// # Ok(()) }).unwrap(); }
    /// ```
    ///
    /// # Errors
    ///
    /// What the daemon answered, or that there was no connection within `queue_timeout_secs`.
    pub async fn stream_agent_status(
        &self,
        agent_id: Option<&str>,
        mut callback: impl FnMut(StatusUpdate) -> CallbackFuture + Send + 'static,
    ) -> Result<StreamGuard, ZmqError> {
        let topic = agent_id.map_or("agent/".to_owned(), |id| format!("agent/{id}/status"));
        let types = ["agent.spawned", "agent.status_changed", "agent.exited", "agent.removed"];
        let params = SubscribeParams {
            topics: vec![topic],
            after: Some("now".to_owned()),
            types: Some(types.map(str::to_owned).to_vec()),
            ..SubscribeParams::default()
        };
        let mut follow = self.follow(params).await?;
        let mut statuses = Statuses::default();
        let task = tokio::spawn(async move {
            while let Some(event) = follow.next().await {
                let Some(update) = statuses.update(&event) else { continue };
                if let Err(error) = callback(update).await {
                    tracing::warn!(%error, "a callback for statuses failed");
                }
            }
        });
        Ok(StreamGuard { task })
    }

    /// Tells `callback` what an agent writes, byte for byte, from the cursor `after`, or from now
    /// on. The last call has no bytes and says `agent_ended`.
    ///
    /// It goes on through lost connections and restarts of the daemon: what was written meanwhile
    /// is read back. What the daemon no longer keeps shows as a jump of `sequence`, which for one
    /// of two streams alone says nothing. An error of the callback is logged and does not end the
    /// stream.
    ///
    /// # Errors
    ///
    /// What the daemon answered, or that there was no connection within `queue_timeout_secs`.
    pub async fn stream_logs(
        &self,
        agent_id: &str,
        stream: ZmqOutputStream,
        after: Option<String>,
        mut callback: impl FnMut(LogStream) -> CallbackFuture + Send + 'static,
    ) -> Result<StreamGuard, ZmqError> {
        let topics = ["output", "status"].map(|topic| format!("agent/{agent_id}/{topic}"));
        let types = ["agent.output", "agent.exited", "agent.removed"];
        let params = SubscribeParams {
            topics: topics.to_vec(),
            after: Some(after.unwrap_or_else(|| "now".to_owned())),
            types: Some(types.map(str::to_owned).to_vec()),
            ..SubscribeParams::default()
        };
        let mut follow = self.follow(params).await?;
        let task = tokio::spawn(async move {
            while let Some(event) = follow.next().await {
                let Some(piece) = log_piece(&event, stream) else { continue };
                let is_last = piece.ended.is_some();
                if let Err(error) = callback(piece).await {
                    tracing::warn!(%error, "a callback for output failed");
                }
                if is_last {
                    return;
                }
            }
        });
        Ok(StreamGuard { task })
    }

    /// Opens a subscription, waiting for a connection as commands do.
    async fn follow(&self, params: SubscribeParams) -> Result<Follow, ZmqError> {
        let config = &self.shared.config;
        let waited = Duration::from_secs(config.queue_timeout_secs);
        let pause = Duration::from_secs(config.reconnect_delay_secs);
        let until = Instant::now() + waited;
        let client = self.client();
        let opening = async {
            loop {
                match client.subscribe(params.clone()).await {
                    Err(error) if is_away(&error) && config.auto_reconnect => sleep(pause).await,
                    opened => return opened,
                }
            }
        };
        let opened = timeout_at(until, opening).await;
        let late = ZmqError::QueueTimeout { waited, sent: false, idempotency_key: None };
        let subscription = opened.map_err(|_elapsed| late)??;
        let reopens = config.auto_reconnect;
        Ok(Follow { client, params, subscription, reopens })
    }
}

/// Whether the error says that there is no daemon now.
fn is_away(error: &ClientError) -> bool {
    match error {
        ClientError::Unreachable { .. }
        | ClientError::ConnectionLost { .. }
        | ClientError::Timeout { .. } => true,
        ClientError::Rpc(error) => error.is_retryable(),
        _ => false,
    }
}

/// A subscription that is opened again where it was, also after the typed client has given up.
struct Follow {
    client: Client,
    params: SubscribeParams,
    subscription: Subscription,
    reopens: bool,
}

impl Follow {
    /// The next event; `None` at the end, which is logged.
    async fn next(&mut self) -> Option<Event> {
        loop {
            match self.subscription.next().await {
                Some(Ok(Update::Event(event))) => return Some(event),
                Some(Ok(Update::Gap(gap))) => {
                    let (topic, from, to) = (gap.topic, gap.from_offset, gap.to_offset);
                    tracing::warn!(%topic, from, to, "the daemon no longer keeps what comes here");
                }
                Some(Ok(Update::Ended { reason, .. })) => {
                    tracing::warn!(%reason, "the daemon ended a stream");
                    return None;
                }
                Some(Ok(_)) => {}
                Some(Err(error)) if is_away(&error) && self.reopens => {
                    tracing::debug!(%error, "a stream waits for the daemon");
                    self.reopen().await?;
                }
                Some(Err(error)) => {
                    tracing::warn!(%error, "a stream cannot go on");
                    return None;
                }
                None => return None,
            }
        }
    }

    async fn reopen(&mut self) -> Option<()> {
        self.subscription.cursor().clone_into(self.params.after.get_or_insert_default());
        loop {
            sleep(STREAM_RETRY).await;
            match self.client.subscribe(self.params.clone()).await {
                Ok(subscription) => {
                    self.subscription = subscription;
                    return Some(());
                }
                Err(error) if is_away(&error) => {}
                Err(error) => {
                    tracing::warn!(%error, "a stream cannot go on");
                    return None;
                }
            }
        }
    }
}

/// The agent that a topic is about.
fn agent_of(topic: &str) -> Option<&str> {
    topic.strip_prefix("agent/")?.split('/').next()
}

/// What events mean for those who follow statuses.
#[derive(Default)]
struct Statuses {
    /// Whose status was told last, and which: an exit follows its status.
    last: Option<(String, AgentStatus)>,
}

impl Statuses {
    fn update(&mut self, event: &Event) -> Option<StatusUpdate> {
        let head = event.head();
        let agent_id = agent_of(&head.topic)?.to_owned();
        let known = self.last.as_ref().filter(|(id, _)| *id == agent_id).map(|(_, status)| *status);
        let (status, update_type) = match event.kind() {
            "agent.spawned" => {
                (Some(event.data::<Agent>().ok()?.status), UpdateType::StatusChanged)
            }
            "agent.status_changed" => {
                let status = event.data::<StatusChanged>().ok()?.to;
                self.last = Some((agent_id.clone(), status));
                (Some(status), UpdateType::StatusChanged)
            }
            "agent.exited" if event.data::<AgentExited>().ok()?.will_restart => {
                (known, UpdateType::StatusChanged)
            }
            "agent.exited" => (known, how(known)),
            "agent.removed" => (known, UpdateType::Terminated),
            _ => return None,
        };
        Some(StatusUpdate {
            agent_id,
            update_type,
            status,
            data: event.data::<Value>().ok(),
            timestamp: head.timestamp.clone(),
            cursor: Some(head.cursor.clone()),
            ..StatusUpdate::default()
        })
    }
}

/// How an agent ended that has this status.
fn how(status: Option<AgentStatus>) -> UpdateType {
    match status {
        Some(AgentStatus::Completed) => UpdateType::Completed,
        Some(AgentStatus::Killed) => UpdateType::Terminated,
        _ => UpdateType::Error,
    }
}

/// What an event means for those who follow output.
fn log_piece(event: &Event, wanted: ZmqOutputStream) -> Option<LogStream> {
    let head = event.head();
    let piece = LogStream {
        agent_id: agent_of(&head.topic)?.to_owned(),
        timestamp: head.timestamp.clone(),
        sequence: head.offset,
        cursor: Some(head.cursor.clone()),
        ..LogStream::default()
    };
    match event.kind() {
        "agent.output" => {
            let block = event.data::<OutputBlock>().ok()?;
            let is_wanted = match wanted {
                ZmqOutputStream::Both => true,
                ZmqOutputStream::Stdout => block.stream == Stream::Stdout,
                ZmqOutputStream::Stderr => block.stream == Stream::Stderr,
            };
            let data = match (block.text, block.data) {
                (Some(text), _) => text.into_bytes(),
                (None, data) => STANDARD.decode(data.unwrap_or_default()).ok()?,
            };
            let (stream_type, byte_offset) = (Some(block.stream), Some(block.byte_offset));
            is_wanted.then_some(LogStream { data, stream_type, byte_offset, ..piece })
        }
        "agent.exited" => {
            let exited = event.data::<AgentExited>().ok()?;
            let ended = (!exited.will_restart).then(|| "agent_ended".to_owned());
            ended.map(|ended| LogStream { ended: Some(ended), ..piece })
        }
        "agent.removed" => Some(LogStream { ended: Some("agent_ended".to_owned()), ..piece }),
        _ => None,
    }
}
