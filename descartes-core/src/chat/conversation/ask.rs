//! Questions: asked, decided, expired, void.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::{Answer, Conversation, Pending};
use crate::approval::{Approval, ApprovalId, ApprovalStatus};
use crate::chat::{ChatError, SessionAllow};
use crate::dialect::{
    ApprovalMode, AskKind, AskRequest, AskToken, Decision, Input, OptionEffect, ToolEffect,
};
use crate::event::{ChunkBody, EventBody, NewEvent, Topic, TurnOutcome};
use crate::limits::OPEN_ASKS;

/// A decision as it was made.
pub(super) struct Decided {
    pub(super) approval: ApprovalId,
    pub(super) decision: Decision,
    pub(super) expected_digest: Option<Arc<str>>,
    pub(super) by: Arc<str>,
}

impl Conversation {
    /// The program asks: the mode answers, or somebody is asked.
    pub(super) fn ask(&mut self, ask: AskToken, request: AskRequest) {
        if let Some(decision) = self.answer_of_mode(&request) {
            return self.tell(Input::Decide { ask, decision: &decision });
        }
        let now = self.core.clock.now();
        let wait = self.core.settings().chat_times.approval;
        let turn = self.turn.as_ref().map_or(self.last_turn(), |turn| turn.number);
        let place = (self.record.id, self.record.agent, turn);
        let cwd = self.record.spec.agent.cwd.clone();
        let owner = Arc::clone(&self.record.owner);
        let mut approval = Approval::new(place, request, cwd, owner, (now, now.after(wait)));
        approval.default_allow = self.core.settings().allow_undecided;
        let attended = self.core.is_attended(&approval);
        approval.default_allow &= attended;
        let due = Instant::now() + if attended { wait } else { Duration::ZERO };
        self.show(&approval, ChunkBody::ApprovalRequested(Box::new(approval.clone())));
        let approval = Arc::new(approval);
        self.asks.insert(approval.id, Pending { approval: Arc::clone(&approval), ask, due });
        self.step.approval(approval);
        self.link.activity(Some(crate::agent::Activity::WaitingApproval));
    }

    /// What needs nobody to decide it.
    fn answer_of_mode(&self, request: &AskRequest) -> Option<Decision> {
        let deny = |why: &str| Some(Decision::Deny { message: Some(why.into()) });
        if self.turn.as_ref().is_none_or(|turn| turn.cancelled.is_some()) {
            return deny("the turn is over");
        }
        if self.asks.len() >= OPEN_ASKS {
            return deny("too many questions are open");
        }
        if request.kind == AskKind::Question {
            return None;
        }
        let allowed = SessionAllow { tool: Arc::clone(&request.tool), rule: request.rule.clone() };
        if self.record.allows.contains(&allowed) {
            return Some(Decision::AllowOnce);
        }
        match self.approval_mode() {
            ApprovalMode::AllowAll => Some(Decision::AllowOnce),
            ApprovalMode::Deny => deny("nothing is allowed in this session"),
            ApprovalMode::AllowEdits if request.effect == ToolEffect::Edit => {
                Some(Decision::AllowOnce)
            }
            ApprovalMode::AllowEdits | ApprovalMode::Ask => None,
        }
    }

    pub(super) fn approval_mode(&self) -> ApprovalMode {
        self.record.spec.agent.chat.approvals.unwrap_or(self.core.settings().approval_mode)
    }

    /// Somebody decides.
    pub(super) async fn decide(&mut self, decided: Decided, answer: Answer<Arc<Approval>>) {
        let Some(pending) = self.asks.get(&decided.approval) else {
            let id = decided.approval;
            let (status, by) = (ApprovalStatus::Cancelled, None);
            return drop(answer.send(Err(ChatError::AlreadyDecided { id, status, by })));
        };
        if let Some(expected) = &decided.expected_digest
            && *expected != pending.approval.digest
        {
            let digest = Arc::clone(&pending.approval.digest);
            return drop(answer.send(Err(ChatError::DigestMismatch { digest })));
        }
        let status = match status_of(&pending.approval, &decided.decision) {
            Ok(status) => status,
            Err(error) => return drop(answer.send(Err(error))),
        };
        let Decided { approval: id, decision, by, .. } = decided;
        let Some(pending) = self.asks.remove(&id) else { return };
        let session = decision == Decision::AllowSession
            || matches!(&decision, Decision::Option { id } if effect_of(&pending.approval, id)
                == Some(OptionEffect::AllowSession));
        if session {
            let Approval { tool, rule, .. } = &*pending.approval;
            let allow = SessionAllow { tool: Arc::clone(tool), rule: rule.clone() };
            self.record.allows.push(allow);
        }
        let reason = match &decision {
            Decision::Deny { message } => message.clone(),
            Decision::Answer { text } => Some(Arc::clone(text)),
            _ => None,
        };
        let resolved = self.resolve(&pending.approval, status, (Some(by), reason));
        self.tell(Input::Decide { ask: pending.ask, decision: &decision });
        if decision == Decision::Cancel {
            self.end_turn_early(TurnOutcome::Cancelled);
        }
        self.step.answer(answer, Ok(resolved));
        self.commit().await;
        self.go_on().await;
    }

    /// Decides by default what nobody decided in time.
    pub(super) fn expire_asks(&mut self, now: Instant) {
        let due: Vec<_> =
            self.asks.iter().filter(|(_, ask)| ask.due <= now).map(|(id, _)| *id).collect();
        for id in due {
            let Some(pending) = self.asks.remove(&id) else { continue };
            let why: Arc<str> = "nobody decided in time".into();
            let decision = if pending.approval.default_allow {
                Decision::AllowOnce
            } else {
                Decision::Deny { message: Some(Arc::clone(&why)) }
            };
            self.resolve(&pending.approval, ApprovalStatus::Expired, (None, Some(why)));
            self.tell(Input::Decide { ask: pending.ask, decision: &decision });
        }
    }

    /// The program does not wait for this answer any more.
    pub(super) fn withdraw(&mut self, ask: AskToken) {
        let known = self.asks.iter().find(|(_, pending)| pending.ask == ask).map(|(id, _)| *id);
        if let Some(pending) = known.and_then(|id| self.asks.remove(&id)) {
            let why = "the agent does not wait for it any more";
            self.resolve(&pending.approval, ApprovalStatus::Cancelled, (None, Some(why.into())));
        }
    }

    /// The turn is over: nobody waits for the answers.
    pub(super) fn void_asks(&mut self) {
        for (_, pending) in std::mem::take(&mut self.asks) {
            let why = Some("the turn is over".into());
            self.resolve(&pending.approval, ApprovalStatus::Cancelled, (None, why));
        }
    }

    fn resolve(
        &mut self,
        approval: &Approval,
        status: ApprovalStatus,
        (by, reason): (Option<Arc<str>>, Option<Arc<str>>),
    ) -> Arc<Approval> {
        let resolved = Approval { status, decided_by: by, reason, ..approval.clone() };
        self.core.tally.decided(status, self.core.clock.now().since(approval.requested_at));
        let chunk = ChunkBody::ApprovalResolved { approval: resolved.id, status };
        self.show(&resolved, chunk);
        let resolved = Arc::new(resolved);
        self.step.approval(Arc::clone(&resolved));
        if self.asks.is_empty() {
            self.link.activity(Some(crate::agent::Activity::Thinking));
        }
        resolved
    }

    /// Tells of an approval on its own topic and in the chat.
    fn show(&mut self, approval: &Approval, chunk: ChunkBody) {
        let body = match approval.status {
            ApprovalStatus::Pending => EventBody::ApprovalRequested(Box::new(approval.clone())),
            _ => EventBody::ApprovalResolved(Box::new(approval.clone())),
        };
        let by = approval.decided_by.clone().unwrap_or_else(|| approval.agent.to_string().into());
        let topic = Topic::approval(approval.id);
        let event = NewEvent::new(topic, by, self.core.clock.now(), &body);
        self.step.batch.events.push(event);
        self.say(chunk);
        self.step.touch();
    }
}

fn effect_of(approval: &Approval, option: &str) -> Option<OptionEffect> {
    let known = approval.options.iter().find(|known| &*known.id == option);
    known.map(|known| known.effect)
}

/// What a decision makes of an approval.
fn status_of(approval: &Approval, decision: &Decision) -> Result<ApprovalStatus, ChatError> {
    let effect = match decision {
        Decision::AllowOnce | Decision::AllowSession => OptionEffect::AllowOnce,
        Decision::Deny { .. } | Decision::Cancel => OptionEffect::Deny,
        Decision::Answer { .. } => OptionEffect::Answer,
        Decision::Option { id } => effect_of(approval, id).ok_or_else(|| {
            let known = approval.options.iter().map(|option| &*option.id);
            let expected = known.collect::<Vec<_>>().join(", ");
            ChatError::Decision { path: "option_id", expected: expected.into() }
        })?,
    };
    Ok(match effect {
        OptionEffect::Deny => ApprovalStatus::Denied,
        OptionEffect::Answer if approval.kind == AskKind::Permission => {
            let expected = "a decision: this is no question".into();
            return Err(ChatError::Decision { path: "answer", expected });
        }
        _ => ApprovalStatus::Allowed,
    })
}
