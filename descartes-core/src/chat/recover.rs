//! What becomes of chats whose host died: every turn that was open has ended, and says so.

use std::sync::Arc;

use super::{ChatRecord, ChatStatus, put_approval, put_chat};
use crate::approval::{Approval, ApprovalStatus};
use crate::event::{ChunkBody, EventBody, NewEvent, StreamChunk, Topic, TurnOutcome};
use crate::store::Batch;
use crate::time::Timestamp;

/// What is known of a chat whose host died.
pub(crate) struct Interrupted {
    pub(crate) record: ChatRecord,
    /// Its questions that were open.
    pub(crate) pending: Vec<Approval>,
}

/// Ends what was open, and writes that into `batch`; returns the record as it is now.
pub(crate) fn interrupt(chat: Interrupted, now: Timestamp, batch: &mut Batch) -> ChatRecord {
    let Interrupted { mut record, pending } = chat;
    let was_open = record.turn.is_some() || !record.queue.is_empty() || record.is_active;
    if !was_open && pending.is_empty() {
        return record;
    }
    let topic = Topic::chat(record.id);
    let mut say = |turn: u32, body: ChunkBody| {
        let body = EventBody::ChatChunk(Box::new(StreamChunk::new(turn, body)));
        batch.events.push(NewEvent::new(topic.clone(), "system".into(), now, &body));
    };
    let queued = u32::try_from(record.queue.len()).unwrap_or(0);
    let last = record.turns.saturating_sub(queued);
    for approval in &pending {
        let status = ApprovalStatus::Cancelled;
        say(last, ChunkBody::ApprovalResolved { approval: approval.id, status });
    }
    // A turn that was under way had a process, also when nothing of it had been heard yet.
    let had_process = std::mem::take(&mut record.is_active) || record.turn.is_some();
    let over = |outcome| ChunkBody::TurnComplete { outcome, usage: None, error: None };
    if let Some(turn) = record.turn.take() {
        say(turn, over(TurnOutcome::Interrupted));
    }
    for waits in std::mem::take(&mut record.queue) {
        let prompt = waits.prompt.as_text().into();
        say(waits.turn, ChunkBody::TurnStarted { prompt, by: Some(waits.by), queued: true });
        say(waits.turn, over(TurnOutcome::Interrupted));
    }
    if had_process {
        let resumable = record.native.is_some();
        let agent = record.agent;
        say(record.turns, ChunkBody::Complete { agent, exit_code: None, resumable });
    }
    for approval in pending {
        let reason: Option<Arc<str>> = Some("the agent died with its host".into());
        let status = ApprovalStatus::Cancelled;
        let resolved = Approval { status, reason, ..approval };
        let body = EventBody::ApprovalResolved(Box::new(resolved.clone()));
        let topic = Topic::approval(resolved.id);
        batch.events.push(NewEvent::new(topic, "system".into(), now, &body));
        batch.puts.push(put_approval(&resolved));
    }
    record.pending_approvals = 0;
    record.last_activity_at = now;
    if record.status != ChatStatus::Closed {
        record.status = ChatStatus::Idle;
    }
    batch.puts.push(put_chat(&record));
    record
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chat::ChatSpec;
    use crate::store::format::decode_body;

    #[test]
    fn a_process_of_which_nothing_was_heard_yet_ends_with_its_chunk_too() {
        let (backend, owner): (Arc<str>, Arc<str>) = ("fake".into(), "me".into());
        let spec = ChatSpec::backend("fake");
        let mut record = ChatRecord::new(spec, backend, owner, Timestamp::from_millis(0));
        (record.turns, record.turn) = (1, Some(1));
        let mut batch = Batch::default();
        let pending = Vec::new();
        let after =
            interrupt(Interrupted { record, pending }, Timestamp::from_millis(1), &mut batch);
        assert_eq!((after.turn, after.status), (None, ChatStatus::Idle));
        let body = |event: &NewEvent| decode_body(&event.kind, event.shape, &event.body);
        let bodies: Vec<_> = batch.events.iter().map(body).collect();
        let [Ok(EventBody::ChatChunk(turn)), Ok(EventBody::ChatChunk(process))] = &bodies[..]
        else {
            panic!("{bodies:?}")
        };
        let interrupted = TurnOutcome::Interrupted;
        assert!(
            matches!(&turn.body, ChunkBody::TurnComplete { outcome, .. } if *outcome == interrupted)
        );
        assert!(matches!(&process.body, ChunkBody::Complete { resumable: false, .. }));
    }
}
