//! The beginning of a host's life: what the store holds, and what the one before left behind.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Core, StartError};
use crate::agent::registry::Live;
use crate::agent::supervisor::{Supervisor, put_record, status_event};
use crate::agent::{AgentId, AgentRecord, AgentStatus, Exit, ExitReason};
use crate::approval::{Approval, ApprovalStatus};
use crate::chat::{ChatId, Interrupted, interrupt};
use crate::event::{EventBody, Exited, NewEvent, PreviousEnd, StatusChange, Topic};
use crate::output::OutputSink;
use crate::runner::Adoption;
use crate::store::format::{FormatError, decode_approval, decode_chat, decode_cost, decode_record};
use crate::store::{Batch, Document, KeyRange, Space};

/// Records read at once.
const PAGE: usize = 1000;

/// Reads the agents, takes over those that outlived their host, ends what else an earlier host left
/// running, and says that this one has begun.
pub(super) async fn recover(core: &Arc<Core>) -> Result<(), StartError> {
    let mut batch = Batch::control();
    let (mut adopted, mut orphans) = (Vec::new(), Vec::new());
    for record in read_records(core).await? {
        if !record.is_live() {
            core.registry.add(Arc::new(record), None);
            continue;
        }
        match adopt(core, &record).await {
            Taken::Over(agent) => adopted.push(*agent),
            Taken::Not { swept } => orphans.push((record, swept)),
        }
    }
    let previous = core.journal.store().identity().previous;
    let mut swept = BTreeMap::new();
    if !orphans.is_empty() || previous == PreviousEnd::Crashed {
        let gone: Vec<AgentId> = orphans.iter().map(|(record, _)| record.id).collect();
        swept = core.runners.sweep_leftovers(core.instance(), &gone).await;
    }
    for (record, counted) in orphans {
        let swept = counted + swept.get(&record.id).copied().unwrap_or(0);
        core.registry.add(Arc::new(lose(core, record, swept, &mut batch)), None);
    }
    for Adopted { record, live, event, .. } in &adopted {
        batch.puts.push(put_record(record));
        batch.events.extend(event.clone());
        core.registry.add(Arc::clone(record), Some(live.clone()));
    }
    recover_chats(core, &mut batch).await?;
    recover_costs(core).await?;
    core.runners.begin(core.instance());
    let version = core.version.to_string();
    let body = EventBody::SystemStarted { version, previous };
    let started = NewEvent::new(Topic::system(), "system".into(), core.clock.now(), &body);
    core.journal.commit(batch.event(started)).await?;
    for Adopted { supervisor, output, .. } in adopted {
        output.open();
        tokio::spawn(supervisor.work());
    }
    Ok(())
}

/// Reads the chats, and ends what was open in them.
async fn recover_chats(core: &Arc<Core>, batch: &mut Batch) -> Result<(), StartError> {
    let mut pending: BTreeMap<ChatId, Vec<Approval>> = BTreeMap::new();
    for document in read_all(core, Space::APPROVAL).await? {
        let approval = decode_approval(&document.body)?;
        if approval.status == ApprovalStatus::Pending {
            pending.entry(approval.chat).or_default().push(approval);
        }
    }
    for document in read_all(core, Space::CHAT).await? {
        let record = decode_chat(&document.body)?;
        let pending = pending.remove(&record.id).unwrap_or_default();
        core.chats.add(interrupt(Interrupted { record, pending }, core.clock.now(), batch));
    }
    Ok(())
}

/// Reads what chats have cost.
async fn recover_costs(core: &Arc<Core>) -> Result<(), StartError> {
    let now = core.clock.now();
    for document in read_all(core, Space::COST).await? {
        let chat = document.key.id.parse();
        let chat = chat.map_err(|error| FormatError::new("cost", error))?;
        core.costs.load(chat, decode_cost(&document.body)?, now);
    }
    Ok(())
}

/// An agent that was taken over.
struct Adopted {
    record: Arc<AgentRecord>,
    live: Live,
    supervisor: Supervisor,
    output: Arc<OutputSink>,
    /// What readers have to be told.
    event: Option<NewEvent>,
}

/// What became of an agent that was live when its host died.
enum Taken {
    Over(Box<Adopted>),
    Not { swept: u32 },
}

/// Asks the runner whether it still has the agent.
async fn adopt(core: &Arc<Core>, record: &AgentRecord) -> Taken {
    let not = Taken::Not { swept: 0 };
    let Ok(backend) = core.backend_for(Some(&record.backend)) else { return not };
    let mark = match core.mark_of(record.id).await {
        Ok(mark) => mark,
        Err(error) => {
            tracing::error!(agent_id = %record.id, %error, "an agent cannot be taken over");
            return not;
        }
    };
    // Values are only needed for a later run, which says so itself when they are missing.
    let env = core.secrets.read(record.id).await.ok().flatten().unwrap_or_default();
    let output = core.sink(record, &backend, mark);
    let (mut supervisor, commands) =
        Supervisor::new(Arc::clone(core), record.clone(), backend, env, Arc::clone(&output));
    match supervisor.adopt().await {
        Adoption::Adopted(_) => {
            let taken = supervisor.taken_over();
            let event = told_of(record, &taken);
            let record = taken;
            let changes = tokio::sync::watch::Sender::new(Arc::clone(&record));
            let live = Live { commands, changes };
            Taken::Over(Box::new(Adopted { record, live, supervisor, output, event }))
        }
        Adoption::Lost { reason, swept } => {
            tracing::info!(agent_id = %record.id, %reason, "an agent is lost");
            Taken::Not { swept }
        }
    }
}

/// What readers do not know yet of an agent that was taken over.
fn told_of(before: &AgentRecord, taken: &AgentRecord) -> Option<NewEvent> {
    let body = if is_never_shown(before) {
        EventBody::AgentSpawned(Box::new(taken.clone()))
    } else if before.activity != taken.activity {
        let change = StatusChange::new(before.status, taken.status, taken.run);
        EventBody::AgentStatusChanged(StatusChange { activity: taken.activity, ..change })
    } else {
        return None;
    };
    Some(status_event(taken, &taken.owner, &body))
}

/// Whether the host died between the intent to start the agent and its beginning.
fn is_never_shown(record: &AgentRecord) -> bool {
    record.status == AgentStatus::Starting && record.run == 1
}

async fn read_records(core: &Core) -> Result<Vec<AgentRecord>, StartError> {
    let documents = read_all(core, Space::AGENT).await?;
    documents.iter().map(|document| Ok(decode_record(&document.body)?)).collect()
}

async fn read_all(core: &Core, space: Space) -> Result<Vec<Document>, StartError> {
    let mut documents = Vec::new();
    let mut range = KeyRange::new(space, "", PAGE);
    loop {
        let page = core.journal.store().list(&range).await?;
        range.after = page.documents.last().map(|last| Arc::clone(&last.key.id));
        documents.extend(page.documents);
        if !page.more {
            return Ok(documents);
        }
    }
}

/// An agent that was live when its host died, and cannot be taken over.
fn lose(core: &Core, mut record: AgentRecord, swept: u32, batch: &mut Batch) -> AgentRecord {
    let now = core.clock.now();
    let system = "system".into();
    if is_never_shown(&record) {
        let body = EventBody::AgentSpawned(Box::new(record.clone()));
        batch.events.push(status_event(&record, &record.owner, &body));
    }
    let change = StatusChange::new(record.status, AgentStatus::Lost, record.run);
    let mut exit = Exit::new(ExitReason::HostDied, now);
    exit.swept = swept;
    record.status = AgentStatus::Lost;
    record.activity = None;
    record.pause = None;
    record.pid = None;
    record.updated_at = now;
    record.ended_at = Some(now);
    record.exit = Some(exit.clone());
    let exited = Exited::new(record.run, exit);
    batch.puts.push(put_record(&record));
    let change = EventBody::AgentStatusChanged(change);
    batch.events.push(status_event(&record, &system, &change));
    batch.events.push(status_event(&record, &system, &EventBody::AgentExited(exited)));
    record
}
