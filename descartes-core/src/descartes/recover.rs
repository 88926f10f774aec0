//! The beginning of a host's life: what the store holds, and what the one before left behind.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Core, StartError};
use crate::agent::supervisor::{put_record, status_event};
use crate::agent::{AgentId, AgentRecord, AgentStatus, Exit, ExitReason};
use crate::event::{EventBody, Exited, NewEvent, PreviousEnd, StatusChange, Topic};
use crate::store::format::decode_record;
use crate::store::{Batch, KeyRange, Space};

/// Records read at once.
const PAGE: usize = 1000;

/// Reads the agents, ends what an earlier host left running, and says that this one has begun.
pub(super) async fn recover(core: &Arc<Core>) -> Result<(), StartError> {
    let records = read_records(core).await?;
    let live: Vec<AgentId> =
        records.iter().filter(|record| record.is_live()).map(|record| record.id).collect();
    let previous = core.journal.store().identity().previous;
    let swept = if live.is_empty() && previous == PreviousEnd::Clean {
        BTreeMap::new()
    } else {
        core.runner.sweep_leftovers(core.instance(), &live).await
    };
    let mut batch = Batch::control();
    for record in records {
        let record = if record.is_live() {
            let swept = swept.get(&record.id).copied().unwrap_or(0);
            lose(core, record, swept, &mut batch)
        } else {
            record
        };
        core.registry.add(Arc::new(record), None);
    }
    let version = core.version.to_string();
    let body = EventBody::SystemStarted { version, previous };
    let started = NewEvent::new(Topic::system(), "system".into(), core.clock.now(), &body);
    core.journal.commit(batch.event(started)).await?;
    Ok(())
}

async fn read_records(core: &Core) -> Result<Vec<AgentRecord>, StartError> {
    let mut records = Vec::new();
    let mut range = KeyRange::new(Space::AGENT, "", PAGE);
    loop {
        let page = core.journal.store().list(&range).await?;
        range.after = page.documents.last().map(|last| Arc::clone(&last.key.id));
        for document in &page.documents {
            records.push(decode_record(&document.body)?);
        }
        if !page.more {
            return Ok(records);
        }
    }
}

/// An agent that was live when its host died, and cannot be taken over.
fn lose(core: &Core, mut record: AgentRecord, swept: u32, batch: &mut Batch) -> AgentRecord {
    let now = core.clock.now();
    let system = "system".into();
    let never_shown = record.status == AgentStatus::Starting && record.run == 1;
    if never_shown {
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
