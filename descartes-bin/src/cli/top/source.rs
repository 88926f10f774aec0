//! What the daemon says, asked for as seldom as it changes.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use descartes_rpc::client::{Client, Subscription, Update};
use descartes_rpc::error::ErrorKind;
use descartes_rpc::wire::agent::{Agent, AgentParams, AgentStatus, ListParams};
use descartes_rpc::wire::approval::ApprovalListParams;
use descartes_rpc::wire::chat::ChatListParams;
use descartes_rpc::wire::chunk::Usage;
use descartes_rpc::wire::event::SubscribeParams;
use descartes_rpc::wire::system::{AgentCounts, Metrics, NoParams};
use futures_util::{FutureExt, StreamExt, stream};
use serde::Serialize;
use tokio::time::Instant;

use super::frame::{Order, View};
use crate::cli::failure::{Failure, allowed};
use crate::cli::reach::Reach;
use crate::cli::which;

/// Agents that are asked about at once.
const AT_ONCE: usize = 16;
/// Agents whose output is looked at each time, however many there are.
const LOOKED_AT: usize = 256;
/// Chats and what they used, of one page.
const CHATS: u32 = 1000;
/// How often the store is measured, which changes slowly.
const STORE_EVERY: Duration = Duration::from_secs(5);
/// Events that are taken in at once; the rest is there the next time.
const EVENTS: usize = 1000;
/// What changes the list of agents. Not output, which is the most and of which only the amount is
/// asked for.
const TYPES: [&str; 4] = ["agent.spawned", "agent.status_changed", "agent.exited", "agent.removed"];

/// Everything, at one moment.
#[derive(Debug, Default)]
pub(super) struct Snapshot {
    pub(super) totals: Totals,
    pub(super) rows: Vec<Row>,
}

/// What there is in all. What is unknown, or may not be seen, is absent.
#[derive(Debug, Default, Serialize)]
pub(super) struct Totals {
    pub(super) uptime_secs: Option<u64>,
    pub(super) agents: Option<AgentCounts>,
    pub(super) calls_per_second: Option<f64>,
    pub(super) connections: Option<u64>,
    pub(super) store_bytes: Option<u64>,
    pub(super) approvals: Option<u64>,
}

/// One agent.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Row {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) backend: String,
    pub(super) status: AgentStatus,
    pub(super) activity: Option<String>,
    pub(super) age_secs: u64,
    pub(super) output_bytes: Option<u64>,
    pub(super) bytes_per_second: Option<f64>,
    pub(super) tokens: Option<u64>,
    pub(super) cost_usd: Option<f64>,
    pub(super) last_event: Option<LastEvent>,
}

/// What was last heard of an agent.
#[derive(Clone, Debug, Serialize)]
pub(super) struct LastEvent {
    pub(super) kind: String,
    pub(super) secs_ago: u64,
}

/// Whether another attempt may succeed: the daemon is away or busy.
pub(super) fn may_pass(failure: &Failure) -> bool {
    match failure {
        Failure::NoDaemon { .. } | Failure::TimedOut(_) => true,
        Failure::Client(error) => matches!(
            error.kind(),
            ErrorKind::ConnectionLost
                | ErrorKind::Timeout
                | ErrorKind::Unavailable
                | ErrorKind::ResourceExhausted
        ),
        _ => false,
    }
}

/// Asks the daemon, and connects again when it was away.
pub(super) struct Source<'a> {
    reach: &'a Reach,
    link: Option<Link>,
}

impl<'a> Source<'a> {
    pub(super) const fn new(reach: &'a Reach) -> Self {
        Self { reach, link: None }
    }

    /// Everything as it is now; output is looked at for as many agents as `view` shows.
    pub(super) async fn refresh(
        &mut self,
        view: &View,
        visible: usize,
    ) -> Result<Snapshot, Failure> {
        let mut link = match self.link.take() {
            Some(link) => link,
            None => Link::open(self.reach.connect()?).await?,
        };
        let snapshot = link.refresh(view, visible).await?;
        // One that failed is not asked again: another daemon may listen elsewhere.
        self.link = Some(link);
        Ok(snapshot)
    }
}

/// A connection, and what was learnt over it.
struct Link {
    client: Client,
    events: Option<Subscription>,
    agents: Option<Vec<Agent>>,
    /// Type and time of the last event of each agent.
    heard: HashMap<String, (String, jiff::Timestamp)>,
    output: HashMap<String, (Instant, u64, Option<f64>)>,
    calls: Option<(Instant, u64)>,
    /// Calls that we made since, which are none of those that are shown.
    made: u64,
    store: Option<(Instant, Option<u64>)>,
}

impl Link {
    async fn open(client: Client) -> Result<Self, Failure> {
        let params = SubscribeParams {
            topics: vec!["agent/".to_owned()],
            after: Some("now".to_owned()),
            types: Some(TYPES.map(str::to_owned).into()),
            ..SubscribeParams::default()
        };
        let events = allowed(client.subscribe(params).await)?;
        let (heard, output) = (HashMap::new(), HashMap::new());
        let (agents, calls, store) = (None, None, None);
        Ok(Self { client, events, agents, heard, output, calls, made: 1, store })
    }

    async fn refresh(&mut self, view: &View, visible: usize) -> Result<Snapshot, Failure> {
        self.hear();
        let agents = match self.agents.take() {
            Some(agents) => agents,
            None => self.list().await?,
        };
        let used = self.used(&agents).await?;
        let now = jiff::Timestamp::now();
        let rows = agents.iter().map(|agent| self.row(agent, &used, now)).collect();
        // What nobody tells of has to be asked for each time.
        self.agents = self.events.is_some().then_some(agents);
        let mut snapshot = Snapshot { totals: self.totals().await?, rows };
        view.sort(&mut snapshot.rows);
        self.look_at_output(&mut snapshot.rows, view, visible).await?;
        Ok(snapshot)
    }

    /// Takes in what has happened. Whatever it was, the list is asked for again.
    fn hear(&mut self) {
        for _ in 0..EVENTS {
            let Some(events) = &mut self.events else { return };
            match events.next().now_or_never() {
                None => return,
                Some(Some(Ok(Update::Event(event)))) => {
                    self.agents = None;
                    let head = event.head();
                    let agent = head.topic.split('/').nth(1);
                    if let (Some(agent), Ok(at)) = (agent, head.timestamp.parse()) {
                        self.heard.insert(agent.to_owned(), (event.kind().to_owned(), at));
                    }
                }
                Some(Some(Ok(Update::Ended { .. }) | Err(_)) | None) => self.events = None,
                Some(Some(Ok(_))) => {}
            }
        }
    }

    async fn list(&mut self) -> Result<Vec<Agent>, Failure> {
        let mut agents = Vec::new();
        which::each(&self.client, ListParams::default(), |agent| agents.push(agent)).await?;
        self.made += 1;
        let there = |id: &String| agents.iter().any(|agent| agent.id == *id);
        self.heard.retain(|id, _| there(id));
        self.output.retain(|id, _| there(id));
        Ok(agents)
    }

    /// What the agents' conversations have used.
    async fn used(&mut self, agents: &[Agent]) -> Result<BTreeMap<String, Usage>, Failure> {
        let mut used = BTreeMap::<String, Usage>::new();
        if agents.iter().all(|agent| agent.session_id.is_none()) {
            return Ok(used);
        }
        self.made += 1;
        let params = ChatListParams { limit: Some(CHATS), ..ChatListParams::default() };
        let chats = allowed(self.client.chat_list(params).await)?;
        for chat in chats.into_iter().flat_map(|list| list.sessions) {
            if let Some(agent) = chat.agent_id {
                used.insert(agent, chat.usage);
            }
        }
        Ok(used)
    }

    fn row(&self, agent: &Agent, used: &BTreeMap<String, Usage>, now: jiff::Timestamp) -> Row {
        let used = used.get(&agent.id);
        let tokens = used.and_then(|used| match (used.input_tokens, used.output_tokens) {
            (None, None) => None,
            (input, output) => Some(input.unwrap_or(0) + output.unwrap_or(0)),
        });
        let since =
            |time: jiff::Timestamp| u64::try_from(now.duration_since(time).as_secs()).unwrap_or(0);
        let heard = self.heard.get(&agent.id);
        Row {
            id: agent.id.clone(),
            name: agent.name.clone(),
            backend: agent.agent_type.clone(),
            status: agent.status,
            activity: agent.activity.clone(),
            age_secs: agent.created_at.parse().map_or(0, since),
            output_bytes: None,
            bytes_per_second: None,
            tokens,
            cost_usd: used.and_then(|used| used.cost_usd),
            last_event: heard
                .map(|(kind, at)| LastEvent { kind: kind.clone(), secs_ago: since(*at) }),
        }
    }

    /// Asks how much those agents have written that are seen, or all if that decides who is seen.
    async fn look_at_output(
        &mut self,
        rows: &mut [Row],
        view: &View,
        visible: usize,
    ) -> Result<(), Failure> {
        let all = view.order == Order::Output;
        let (skip, take) = if all { (0, LOOKED_AT) } else { (view.above, visible.min(LOOKED_AT)) };
        let seen: Vec<_> = rows.iter().skip(skip).take(take).map(|row| row.id.clone()).collect();
        let client = &self.client;
        let mut answers = stream::iter(seen)
            .map(|agent_id| async move { client.agent_get(AgentParams { agent_id }).await })
            .buffer_unordered(AT_ONCE);
        while let Some(answer) = answers.next().await {
            self.made += 1;
            let details = match answer {
                Ok(details) => details,
                // It was forgotten in between.
                Err(error) if error.kind() == ErrorKind::AgentNotFound => continue,
                Err(error) => return Err(error.into()),
            };
            let (now, bytes) = (Instant::now(), details.output.bytes);
            let before = self.output.get(&details.agent.id);
            let rate = before.and_then(|(at, before, _)| per_second(*at, now, bytes, *before));
            self.output.insert(details.agent.id, (now, bytes, rate));
        }
        drop(answers);
        for row in rows {
            if let Some((_, bytes, rate)) = self.output.get(&row.id) {
                (row.output_bytes, row.bytes_per_second) = (Some(*bytes), *rate);
            }
        }
        Ok(())
    }

    async fn totals(&mut self) -> Result<Totals, Failure> {
        self.made += 2;
        let metrics = allowed(self.client.system_metrics(NoParams {}).await)?;
        let pending = ApprovalListParams {
            status: Some("pending".to_owned()),
            ..ApprovalListParams::default()
        };
        let approvals = allowed(self.client.approval_list(pending).await)?;
        Ok(Totals {
            uptime_secs: metrics.as_ref().map(|metrics| metrics.system.uptime_secs),
            calls_per_second: metrics.as_ref().and_then(|metrics| self.calls(metrics)),
            connections: metrics.as_ref().map(|metrics| metrics.system.active_connections),
            agents: metrics.map(|metrics| metrics.agents),
            store_bytes: self.store_bytes().await?,
            approvals: approvals.map(|list| list.count),
        })
    }

    /// Calls of others since the last time.
    fn calls(&mut self, metrics: &Metrics) -> Option<f64> {
        let (now, count) = (Instant::now(), metrics.system.calls?);
        let made = std::mem::take(&mut self.made);
        let (at, before) = self.calls.replace((now, count))?;
        per_second(at, now, count.saturating_sub(made).max(before), before)
    }

    async fn store_bytes(&mut self) -> Result<Option<u64>, Failure> {
        if let Some((at, bytes)) = self.store
            && at.elapsed() < STORE_EVERY
        {
            return Ok(bytes);
        }
        self.made += 1;
        let info = allowed(self.client.system_info(NoParams {}).await)?;
        let bytes = info.and_then(|info| info.store.bytes);
        self.store = Some((Instant::now(), bytes));
        Ok(bytes)
    }
}

/// How many a second there were; none where nothing can be said.
fn per_second(from: Instant, to: Instant, now: u64, before: u64) -> Option<f64> {
    let secs = to.duration_since(from).as_secs_f64();
    (secs > 0.0).then(|| now.saturating_sub(before) as f64 / secs)
}
