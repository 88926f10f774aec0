//! What agents do and write, told to a callback.

use std::{pin::Pin, time::Duration};

use descartes_rpc::{
    client::{Client, ClientError, Subscription, Update},
    wire::event::{AgentExited, Event, SubscribeParams},
};
use tokio::{
    task::JoinHandle,
    time::{Instant, sleep, timeout_at},
};

use super::ZmqClient;
use crate::{
    client::{ZmqError, limits::STREAM_RETRY},
    protocol::{
        LogStream, StatusUpdate, ZmqOutputStream,
        told::{self, AGENT_ENDED, EventLine, Statuses},
    },
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
                let Some(update) = status(&mut statuses, &event) else { continue };
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

/// What an event means for those who follow statuses.
fn status(statuses: &mut Statuses, event: &Event) -> Option<StatusUpdate> {
    let event = EventLine::read(event.json().as_bytes())?;
    statuses.read(&event).map(|(update, _)| update)
}

/// What an event means for those who follow output.
fn log_piece(event: &Event, wanted: ZmqOutputStream) -> Option<LogStream> {
    let event = EventLine::read(event.json().as_bytes())?;
    match &*event.r#type {
        "agent.exited" if event.say::<AgentExited>()?.will_restart => None,
        "agent.exited" | "agent.removed" => {
            Some(LogStream { ended: Some(AGENT_ENDED.to_owned()), ..told::empty(&event) })
        }
        _ => told::written(&event, wanted),
    }
}
