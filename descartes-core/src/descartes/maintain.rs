//! What is done beside the work: retention, and forgetting what is too old.

use std::sync::{Arc, PoisonError, Weak};
use std::time::Duration;

use tokio::time::Instant;

use super::{Core, Descartes};
use crate::agent::AgentRecord;
use crate::limits::{IDEMPOTENCY_SWEEP, RETENTION_INTERVAL, RETENTION_PAUSE};
use crate::store::Retention;
use crate::time::Timestamp;

pub(super) fn start(core: &Arc<Core>) {
    let task = tokio::spawn(maintain(Arc::downgrade(core)));
    *core.maintenance.lock().unwrap_or_else(PoisonError::into_inner) = Some(task);
}

/// Works as long as the host lives; it does not keep the host alive.
async fn maintain(host: Weak<Core>) {
    let mut keys_due = Instant::now() + IDEMPOTENCY_SWEEP;
    let mut wait = RETENTION_INTERVAL;
    loop {
        let Some(journal) = host.upgrade().map(|core| core.journal.clone()) else { return };
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = journal.bulk() => {}
        }
        drop(journal);
        let Some(core) = host.upgrade() else { return };
        let more = trim(&core).await;
        forget_agents(&core).await;
        Descartes { core: Arc::clone(&core) }.forget_chats().await;
        core.forget_costs().await;
        if Instant::now() >= keys_due {
            keys_due = Instant::now() + IDEMPOTENCY_SWEEP;
            if let Err(error) = core.idempotency.forget_old().await {
                tracing::warn!(%error, "old idempotency records are still kept");
            }
        }
        // A flood is trimmed in small pieces, so that commits come in between.
        wait = if more { RETENTION_PAUSE } else { RETENTION_INTERVAL };
    }
}

async fn trim(core: &Core) -> bool {
    let settings = core.settings();
    let policy = &settings.retention;
    let now = core.clock.now();
    let before = |age: Duration| {
        let age = i64::try_from(age.as_millis()).unwrap_or(i64::MAX);
        Timestamp::from_millis(now.as_millis().saturating_sub(age))
    };
    let mut retention = Retention::new(before(policy.events_age));
    retention.audit_before = before(policy.audit_age);
    retention.output_bytes_per_agent = policy.output_bytes_per_agent;
    retention.output_bytes_total = policy.output_bytes_total;
    retention.chat_bytes = policy.chat_bytes;
    match core.journal.store().trim(&retention).await {
        Ok(trimmed) => {
            core.tally.trimmed(&trimmed);
            trimmed.more
        }
        Err(error) => {
            tracing::warn!(%error, "retention could not be applied");
            false
        }
    }
}

/// Forgets agents that ended too long ago, and the oldest beyond the bound.
async fn forget_agents(core: &Arc<Core>) {
    let (settings, now) = (core.settings(), core.clock.now());
    let policy = &settings.retention;
    let mut ended: Vec<(Timestamp, Arc<AgentRecord>)> = core
        .registry
        .all()
        .into_iter()
        .filter(|record| !record.is_live())
        .filter_map(|record| Some((record.ended_at?, record)))
        .collect();
    ended.sort_unstable_by_key(|(at, record)| (*at, record.id));
    let excess = ended.len().saturating_sub(policy.ended_agents);
    let old = ended.iter().take_while(|(at, _)| now.since(*at) > policy.ended_age).count();
    for (_, record) in ended.into_iter().take(excess.max(old)) {
        let id = record.id;
        if let Err(error) = core.forget(record, &"system".into()).await {
            tracing::warn!(agent_id = %id, %error, "an ended agent is still kept");
            return;
        }
    }
}
