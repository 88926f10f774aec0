//! Following a run: what the remote journals of it is journalled here, once, in order.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use descartes_core::event::StreamName;
use descartes_core::runner::AgentEvents;
use tokio::sync::watch;
use tokio::time::sleep;

use super::reach::Remote;
use super::run::{End, Place};
use super::start::nothing_runs;
use super::{exit, label};
use crate::client::{ClientError, Subscription, Update};
use crate::error::ErrorKind;
use crate::limits::{REMOTE_DEADLINE, REMOTE_PAGE_WAIT, REMOTE_RETRY};
use crate::wire::agent::{AgentDetails, AgentParams, ListParams, StatusFilter};
use crate::wire::event::{AgentExited, Event, OutputBlock, ReadParams, SubscribeParams};
use crate::wire::output::Stream;

/// The remote starts nothing again: an agent there is one run of ours.
const ONLY_RUN: u32 = 1;
/// Events that are read at once.
const PAGE: u32 = 1000;

/// Follows one run.
pub(super) struct Follow {
    remote: Arc<Remote>,
    place: Place,
    /// Whether its events are followed now.
    follows: watch::Sender<bool>,
    /// What the remote calls it.
    found: watch::Sender<Option<Arc<str>>>,
    /// Whether something came since it was last in trouble.
    went_well: bool,
    /// Whether it may begin later, though the remote does not know it yet.
    doubtful: bool,
}

/// Why the run is not followed further for now, or for ever.
enum Stop {
    /// It has ended.
    Ended(End),
    /// It may go on later.
    Trouble(ClientError),
}

impl From<ClientError> for Stop {
    fn from(error: ClientError) -> Self {
        let never = |why| Self::Ended(End::gone(exit::lost(why)));
        match error.rpc().map(|told| (told.kind(), told.reason_text())) {
            Some((ErrorKind::Conflict, Some("cursor_foreign"))) => {
                never("the remote has another journal")
            }
            Some((ErrorKind::AgentNotFound, _)) => never("the remote does not know the agent"),
            _ => Self::Trouble(error),
        }
    }
}

impl Follow {
    pub(super) fn new(
        remote: Arc<Remote>,
        place: Place,
        (follows, found): (watch::Sender<bool>, watch::Sender<Option<Arc<str>>>),
    ) -> Self {
        Self { remote, place, follows, found, went_well: false, doubtful: false }
    }

    /// Follows the run to its end, through whatever troubles pass.
    pub(super) async fn until_it_ends(mut self, events: &AgentEvents) -> End {
        loop {
            let error = match self.follow(events).await {
                Stop::Ended(end) => return end,
                Stop::Trouble(error) => error,
            };
            if std::mem::take(&mut self.went_well) {
                // A connection that is lost and made again at once is nothing to show.
                continue;
            }
            tracing::debug!(remote = self.remote.name(), agent_id = %self.place.agent, %error,
                "a remote agent is not followed");
            self.follows.send_replace(false);
            sleep(REMOTE_RETRY).await;
        }
    }

    /// Follows the run as long as that goes well.
    async fn follow(&mut self, events: &AgentEvents) -> Stop {
        let id = match self.find().await {
            Ok(id) => id,
            Err(stop) => return stop,
        };
        let after = self.place.cursor.clone().or_else(|| Some("start".to_owned()));
        let params = SubscribeParams { topics: topics(&id), after, ..SubscribeParams::default() };
        let client = self.remote.client().with_deadline(REMOTE_DEADLINE);
        let mut subscription = match client.subscribe(params).await {
            Ok(subscription) => subscription,
            // A connection carries so many subscriptions and no more; others ask for pages.
            Err(error) if error.kind() == ErrorKind::ResourceExhausted => {
                return self.turn_pages(&id, events).await;
            }
            Err(error) => return error.into(),
        };
        self.follows.send_replace(true);
        loop {
            match self.step(&mut subscription, &id, events).await {
                Ok(()) => self.went_well = true,
                Err(stop) => return stop,
            }
        }
    }

    /// Follows the run page by page, waiting for each.
    async fn turn_pages(&mut self, id: &str, events: &AgentEvents) -> Stop {
        loop {
            let (gaps, synced) = match self.page(id, events, REMOTE_PAGE_WAIT).await {
                Ok(page) => page,
                Err(stop) => return stop,
            };
            self.follows.send_replace(true);
            self.went_well = true;
            let asks = gaps || (synced && !self.place.sure);
            if asks && let Err(stop) = self.ascertain(id, events).await {
                return stop;
            }
        }
    }

    /// One update of the subscription.
    async fn step(
        &mut self,
        subscription: &mut Subscription,
        id: &str,
        events: &AgentEvents,
    ) -> Result<(), Stop> {
        let over = || ClientError::ConnectionLost { source: None };
        let update = subscription.next().await.unwrap_or_else(|| Err(over()))?;
        let cursor = update.cursor().to_owned();
        match &update {
            Update::Event(event) => take(event, events).await?,
            Update::Synced { .. } if !self.place.sure => self.ascertain(id, events).await?,
            // The end may be in what is no longer kept.
            Update::Gap(_) => self.ascertain(id, events).await?,
            Update::Ended { .. } => return Err(over().into()),
            _ => {}
        }
        if !cursor.is_empty() {
            self.place.cursor = Some(cursor);
        }
        Ok(())
    }

    /// What the remote calls the run. Where nobody wrote that down, its start may have yet to be
    /// made; else it is searched by its labels.
    async fn find(&mut self) -> Result<Arc<str>, Stop> {
        if let Some(id) = &self.place.id {
            return Ok(Arc::clone(id));
        }
        if let Some(starting) = self.place.starting.take() {
            match starting.await {
                Ok(spawned) => {
                    self.remote.has_answered();
                    (self.place.cursor, self.place.sure) = (Some(spawned.cursor), true);
                    return Ok(self.known_as(spawned.agent_id));
                }
                Err(error) if nothing_runs(&error) => {
                    tracing::warn!(remote = self.remote.name(), agent_id = %self.place.agent, %error,
                        "a start that an earlier host had asked for has failed");
                    return Err(Stop::Ended(End::gone(exit::never_began(&error))));
                }
                Err(error) => {
                    self.doubtful = true;
                    return Err(error.into());
                }
            }
        }
        let list = ListParams {
            labels: Some(label::of_run((self.place.agent, self.place.run))),
            status: Some(StatusFilter::Any.into()),
            ..ListParams::default()
        };
        let client = self.remote.client().with_deadline(REMOTE_DEADLINE);
        let found = client.agent_list(list).await?;
        let Some(agent) = found.agents.into_iter().next() else {
            let exit = exit::lost("the remote never began it");
            return Err(Stop::Ended(End { exit, is_gone: !self.doubtful }));
        };
        Ok(self.known_as(agent.id))
    }

    fn known_as(&mut self, id: String) -> Arc<str> {
        let id: Arc<str> = id.into();
        self.found.send_replace(Some(Arc::clone(&id)));
        self.place.id = Some(Arc::clone(&id));
        id
    }

    /// Asks the remote how the run is, because its events may not say.
    async fn ascertain(&mut self, id: &str, events: &AgentEvents) -> Result<(), Stop> {
        let client = self.remote.client().with_deadline(REMOTE_DEADLINE);
        let details = client.agent_get(AgentParams { agent_id: id.to_owned() }).await?;
        self.place.sure = true;
        if !details.agent.status.is_terminal() {
            if std::mem::take(&mut self.place.stopping) {
                self.stop(id.to_owned());
            }
            return Ok(());
        }
        self.read_rest(id, events).await?;
        Err(Stop::Ended(End::gone(how_it_ended(&details))))
    }

    /// Reads what is left of a run that has ended; its end, when that is kept, is an `Err`.
    async fn read_rest(&mut self, id: &str, events: &AgentEvents) -> Result<(), Stop> {
        while !self.page(id, events, Duration::ZERO).await?.1 {}
        Ok(())
    }

    /// Journals the next page, which is waited for if there is none yet; returns whether something
    /// is missing in it, and whether nothing is behind it.
    async fn page(
        &mut self,
        id: &str,
        events: &AgentEvents,
        wait: Duration,
    ) -> Result<(bool, bool), Stop> {
        let read = ReadParams {
            topics: topics(id),
            after: self.place.cursor.clone().or_else(|| Some("start".to_owned())),
            types: None,
            limit: Some(PAGE),
            wait_ms: u64::try_from(wait.as_millis()).ok(),
        };
        let client = self.remote.client().with_deadline(REMOTE_DEADLINE);
        let page = client.event_read(read).await?;
        for event in &page.events {
            take(event, events).await?;
        }
        self.place.cursor = Some(page.cursor);
        Ok((!page.gaps.is_empty(), page.synced))
    }

    /// Ends a run that was told to end by a host that died before that was done.
    fn stop(&self, id: String) {
        let remote = Arc::clone(&self.remote);
        tokio::spawn(async move {
            if let Err(error) = remote.end(id, false).await {
                tracing::warn!(remote = remote.name(), %error, "a remote agent was not stopped");
            }
        });
    }
}

/// The topics of a run: its output and its status.
fn topics(id: &str) -> Vec<String> {
    vec![format!("agent/{id}/")]
}

/// Journals what happened; the end of the run is an `Err`.
async fn take(event: &Event, events: &AgentEvents) -> Result<(), Stop> {
    match event.kind() {
        "agent.output" => {
            let Some(block) = read::<OutputBlock>(event) else { return Ok(()) };
            let (Some(stream), Some(bytes)) = (stream(block.stream), bytes(&block)) else {
                return Ok(());
            };
            if block.run == ONLY_RUN {
                events.output(stream, block.byte_offset, &bytes).await;
            }
            Ok(())
        }
        "agent.exited" => match read::<AgentExited>(event) {
            Some(ended) if ended.run == ONLY_RUN => {
                let exit = exit::of(&ended.exit);
                // Somebody there starts it again: that run is nobody's here.
                Err(Stop::Ended(End { exit, is_gone: !ended.will_restart }))
            }
            _ => Ok(()),
        },
        "agent.removed" => {
            Err(Stop::Ended(End::gone(exit::lost("the remote has forgotten the agent"))))
        }
        _ => Ok(()),
    }
}

fn read<T: for<'a> serde::Deserialize<'a>>(event: &Event) -> Option<T> {
    let data = event.data();
    data.inspect_err(|error| tracing::warn!(%error, "an event of a remote cannot be read")).ok()
}

fn stream(stream: Stream) -> Option<StreamName> {
    match stream {
        Stream::Stdout => Some(StreamName::Stdout),
        Stream::Stderr => Some(StreamName::Stderr),
        Stream::Unknown => None,
    }
}

/// The exact bytes; what cannot be read is a hole.
fn bytes(block: &OutputBlock) -> Option<Vec<u8>> {
    match (&block.text, &block.data) {
        (Some(text), _) => Some(text.clone().into_bytes()),
        (None, Some(data)) => STANDARD.decode(data).ok(),
        (None, None) => None,
    }
}

fn how_it_ended(details: &AgentDetails) -> descartes_core::runner::RunExit {
    match &details.agent.exit {
        Some(seen) => exit::of(seen),
        None => exit::lost("the remote does not know how it ended"),
    }
}
