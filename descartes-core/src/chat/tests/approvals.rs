use std::sync::Arc;
use std::time::Duration;

use super::{builder, chat, host, prompt, story, turn, until};
use crate::agent::Reach;
use crate::approval::{Approval, ApprovalFilter, ApprovalStatus};
use crate::chat::{ChatError, ChatId, ChatSpec, ChatStatus};
use crate::dialect::{ApprovalMode, Decision};
use crate::event::{TopicFilter, TurnOutcome};
use crate::{Caller, DecideRequest, Descartes};

/// The approval that a chat waits for.
async fn asked(host: &Descartes, chat: ChatId) -> Arc<Approval> {
    until(host, chat, |record| record.status == ChatStatus::WaitingApproval).await;
    let mut filter = ApprovalFilter::default();
    (filter.chat, filter.status) = (Some(chat), Some(ApprovalStatus::Pending));
    let (mut approvals, _) = host.approvals(&filter).await.expect("approvals");
    approvals.pop().expect("one waits")
}

#[tokio::test(start_paused = true)]
async fn the_first_decision_wins_and_everybody_sees_the_result() {
    let host = host().await;
    let chat = chat(&host).await;
    let result = prompt(&host, chat, "write").await;
    let approval = asked(&host, chat).await;
    assert_eq!((&*approval.tool, &*approval.title), ("write", "Write x?"));
    assert_eq!(approval.arguments.as_str(), r#"{"path":"x"}"#);
    let mut wrong = DecideRequest::new(Decision::AllowOnce);
    wrong.expected_digest = Some("something else".into());
    let error = host.approval_decide(approval.id, wrong, "me").await;
    assert!(matches!(error, Err(ChatError::DigestMismatch { .. })), "{error:?}");
    let mut right = DecideRequest::new(Decision::AllowOnce);
    right.expected_digest = Some(Arc::clone(&approval.digest));
    let decided = host.approval_decide(approval.id, right, "first").await.expect("it is decided");
    assert_eq!(decided.status, ApprovalStatus::Allowed);
    let deny = DecideRequest::new(Decision::Deny { message: None });
    let late = host.approval_decide(approval.id, deny, "second").await;
    let by = Some(Arc::from("first"));
    assert!(
        matches!(&late, Err(ChatError::AlreadyDecided { status: ApprovalStatus::Allowed, by: who, .. }) if *who == by),
        "{late:?}"
    );
    assert_eq!(&*result.await.expect("it ends").content, "allowed");
    let kept = host.approval(approval.id).await.expect("it is kept");
    assert_eq!(kept.decided_by.as_deref(), Some("first"));
    let story = story(&host, chat).await;
    let at = |word: &str| story.iter().position(|line| line.ends_with(word)).expect("it is told");
    assert!(at("asked") < at("allowed") && at("allowed") < at("result written"), "{story:?}");
}

#[tokio::test(start_paused = true)]
async fn what_nobody_decides_is_denied_at_its_deadline_and_the_turn_goes_on() {
    let host = host().await;
    let chat = chat(&host).await;
    let result = turn(&host, chat, "write").await;
    assert_eq!((&*result.content, result.outcome), ("denied", TurnOutcome::Completed));
    let (all, _) = host.approvals(&ApprovalFilter::default()).await.expect("approvals");
    assert_eq!(all[0].status, ApprovalStatus::Expired);
}

#[tokio::test(start_paused = true)]
async fn what_nobody_can_be_expected_to_decide_is_denied_at_once() {
    let host = builder().deny_when_unattended(true).build().await.expect("it begins");
    let chat = chat(&host).await;
    let began = tokio::time::Instant::now();
    assert_eq!(&*turn(&host, chat, "write").await.content, "denied");
    assert!(began.elapsed() < Duration::from_secs(1));
    let reader = host.attendance().begin(vec![TopicFilter::from_text("approval/")], Reach::all());
    let result = prompt(&host, chat, "write").await;
    let approval = asked(&host, chat).await;
    drop(reader);
    let allow = DecideRequest::new(Decision::AllowSession);
    host.approval_decide(approval.id, allow, "me").await.expect("it is decided");
    assert_eq!(&*result.await.expect("it ends").content, "allowed");
    // Allowed for the session: nobody is asked again.
    assert_eq!(&*turn(&host, chat, "write").await.content, "allowed");
}

#[tokio::test(start_paused = true)]
async fn a_mode_answers_for_everybody() {
    let host = host().await;
    for (mode, said) in [
        (ApprovalMode::AllowAll, "allowed"),
        (ApprovalMode::AllowEdits, "allowed"),
        (ApprovalMode::Deny, "denied"),
    ] {
        let mut spec = ChatSpec::backend("fake");
        spec.agent.chat.approvals = Some(mode);
        let chat = host.chat_create(spec, &mut Caller::new("me")).await.expect("a chat").record.id;
        assert_eq!(&*turn(&host, chat, "write").await.content, said, "{mode:?}");
    }
    let (all, _) = host.approvals(&ApprovalFilter::default()).await.expect("approvals");
    assert!(all.is_empty(), "{all:?}");
}

#[tokio::test(start_paused = true)]
async fn a_decision_to_cancel_denies_it_and_ends_the_turn() {
    let host = host().await;
    let chat = chat(&host).await;
    let result = prompt(&host, chat, "write").await;
    let approval = asked(&host, chat).await;
    let cancel = DecideRequest::new(Decision::Cancel);
    host.approval_decide(approval.id, cancel, "me").await.expect("it is decided");
    let outcome = result.await.expect("it ends").outcome;
    assert!(matches!(outcome, TurnOutcome::Cancelled | TurnOutcome::Completed), "{outcome:?}");
    assert_eq!(&*turn(&host, chat, "say on").await.content, "on");
}

#[tokio::test(start_paused = true)]
async fn a_backend_that_cannot_be_asked_is_not_asked_to_ask() {
    let silent = || Box::new(crate::dialect::Gemini::new()) as Box<dyn crate::dialect::Dialect>;
    let silent = crate::backend::Backend::conversing("silent", vec!["x".into()], "gemini", silent);
    let refused = |mode: Option<ApprovalMode>, usual| {
        let builder = builder().backend(silent.clone()).approval_mode(usual);
        async move {
            let host = builder.deny_when_unattended(true).build().await.expect("it begins");
            let mut spec = ChatSpec::backend("silent");
            spec.agent.chat.approvals = mode;
            let agent = spec.agent.clone();
            let chat = host.chat_create(spec, &mut Caller::new("me")).await.err();
            let chat = chat.map(|error| error.to_string());
            let spawned = host.spawn(agent, "me").await.err().map(|error| error.to_string());
            assert_eq!(chat, spawned, "an agent is refused as its chat is");
            chat
        }
    };
    let said = "`silent` cannot do what the approval mode `ask` says".to_owned();
    let (ask, deny) = (ApprovalMode::Ask, ApprovalMode::Deny);
    assert_eq!(refused(None, ask).await.as_ref(), Some(&said), "also where it was not named");
    assert_eq!(refused(Some(ask), deny).await, Some(said));
    assert_eq!(refused(Some(deny), ask).await, None);
    assert_eq!(refused(None, deny).await, None);
}
