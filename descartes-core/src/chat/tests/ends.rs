use std::sync::Arc;
use std::time::Duration;

use super::{builder, chat, host, prompt, shared_store, story, turn, until};
use crate::approval::{ApprovalFilter, ApprovalStatus};
use crate::chat::{ChatError, ChatMode, ChatStatus};
use crate::dialect::Prompt;
use crate::event::{ChunkErrorKind, TurnOutcome};
use crate::testing::FakeChat;
use crate::{Caller, PromptRequest};

#[tokio::test(start_paused = true)]
async fn a_process_that_ends_in_the_middle_interrupts_its_turn_and_the_next_prompt_goes_on() {
    let host = host().await;
    let chat = chat(&host).await;
    let died = turn(&host, chat, "die").await;
    assert_eq!(died.outcome, TurnOutcome::Interrupted);
    let why = died.error.expect("why");
    assert_eq!(why.kind, ChunkErrorKind::AgentCrashed);
    assert!(why.message.contains("exit code 7"), "{why:?}");
    assert_eq!(&*turn(&host, chat, "say on").await.content, "on");
    let expected = [
        "1 started die false",
        "1 interrupted",
        "1 complete Some(7) true",
        "2 started say on false",
        "2 text on",
        "2 completed",
    ];
    assert_eq!(story(&host, chat).await, expected);
}

#[tokio::test(start_paused = true)]
async fn a_stop_is_answered_when_nothing_runs_and_closes_the_chat() {
    let host = host().await;
    let chat = chat(&host).await;
    let waiting = prompt(&host, chat, "wait").await;
    let stopped = host.chat_stop(chat, "me").await.expect("it stops");
    assert_eq!(stopped.outcome, Some(TurnOutcome::Cancelled));
    assert_eq!(stopped.record.status, ChatStatus::Closed);
    let agent = host.agent(stopped.record.agent).expect("its agent").0.record;
    assert!(!agent.is_live(), "{:?}", agent.status);
    assert_eq!(waiting.await.expect("it ends").outcome, TurnOutcome::Cancelled);
    let story = story(&host, chat).await;
    assert_eq!(story[story.len() - 2..], ["1 complete None false", "1 closed"]);
    let late = PromptRequest::new(Prompt::text("say never"));
    let late = host.chat_prompt(chat, late, &mut Caller::new("me"), None).await;
    assert!(matches!(late, Err(ChatError::Closed { .. })), "{late:?}");
    host.chat_stop(chat, "me").await.expect("a second stop succeeds");
    host.chat_remove(chat).await.expect("it is forgotten");
    assert!(matches!(host.chat(chat), Err(ChatError::NotFound { .. })));
}

#[tokio::test(start_paused = true)]
async fn a_process_that_nobody_asks_anything_is_ended_and_another_goes_on() {
    let host = host().await;
    let chat = chat(&host).await;
    turn(&host, chat, "say a").await;
    until(&host, chat, |record| !record.is_active).await;
    assert_eq!(&*turn(&host, chat, "say b").await.content, "b");
}

#[tokio::test(start_paused = true)]
async fn a_prompt_behind_the_end_of_a_process_is_given_to_the_next_one() {
    let host = host().await;
    let chat = chat(&host).await;
    for run in 1..20 {
        assert_eq!(&*turn(&host, chat, "say a").await.content, "a", "{run}");
        let agent = host.chat(chat).expect("the chat").agent;
        host.kill(agent, crate::Kill::default(), "me").await.expect("it ends");
    }
}

#[tokio::test(start_paused = true)]
async fn a_chat_that_becomes_an_agent_has_a_process_that_stays() {
    let host = host().await;
    let chat = chat(&host).await;
    let record = host.chat_upgrade(chat, "me").await.expect("it is an agent now");
    assert_eq!(record.mode, ChatMode::Agent);
    assert!(host.agent(record.agent).expect("its agent").0.record.is_live());
    tokio::time::sleep(Duration::from_secs(3600)).await;
    assert!(host.chat(chat).expect("the chat").is_active);
    assert_eq!(&*turn(&host, chat, "say a").await.content, "a");
    host.chat_stop(chat, "me").await.expect("it stops");
    let late = host.chat_upgrade(chat, "me").await;
    assert!(matches!(late, Err(ChatError::Closed { .. })), "{late:?}");
}

#[tokio::test(start_paused = true)]
async fn a_turn_of_which_nothing_is_heard_is_shown_as_stalled() {
    let host = host().await;
    let chat = chat(&host).await;
    let waiting = prompt(&host, chat, "wait").await;
    until(&host, chat, |record| record.status == ChatStatus::Stalled).await;
    host.chat_cancel(chat, None).await.expect("it is cancelled");
    assert_eq!(waiting.await.expect("it ends").outcome, TurnOutcome::Cancelled);
}

#[tokio::test(start_paused = true)]
async fn a_host_that_dies_leaves_turns_interrupted_and_questions_cancelled() {
    let store = shared_store();
    let first = builder().store(Arc::clone(&store)).build().await.expect("it begins");
    let chat = chat(&first).await;
    turn(&first, chat, "say a").await;
    let lost = prompt(&first, chat, "write").await;
    let queued = prompt(&first, chat, "say never").await;
    until(&first, chat, |record| record.status == ChatStatus::WaitingApproval).await;
    let second = builder().store(store).build().await.expect("it begins");
    let record = second.chat(chat).expect("the chat");
    assert_eq!((record.status, record.turn, record.is_active), (ChatStatus::Idle, None, false));
    let (all, _) = second.approvals(&ApprovalFilter::default()).await.expect("approvals");
    assert_eq!(all[0].status, ApprovalStatus::Cancelled);
    let told = story(&second, chat).await;
    let end = told.iter().position(|line| line == "2 cancelled").expect("the question is void");
    let expected = [
        "2 cancelled",
        "2 interrupted",
        "3 started say never true",
        "3 interrupted",
        "3 complete None true",
    ];
    assert_eq!(told[end..], expected);
    assert_eq!(&*turn(&second, chat, "say on").await.content, "on");
    drop((lost, queued));
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_one_can_converse_with_has_a_chat_and_is_asked_its_task_there() {
    let host = host().await;
    let mut spec = crate::agent::AgentSpec::backend("fake");
    spec.task = Some("say hello".into());
    let spawned = host.spawn(spec, "me").await.expect("it begins");
    let chat = spawned.chat.expect("a chat");
    assert_eq!(host.chat_of(spawned.record.id), Some(chat));
    until(&host, chat, |record| record.turns == 1 && record.turn.is_none()).await;
    assert_eq!(&*turn(&host, chat, "say again").await.content, "again");
    host.kill(spawned.record.id, crate::Kill::default(), "me").await.expect("it ends");
    until(&host, chat, |record| !record.is_active).await;
    let told = story(&host, chat).await;
    assert_eq!(told.last().map(String::as_str), Some("2 complete None true"), "{told:?}");
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_its_policy_starts_again_is_asked_in_its_new_run() {
    let host = host().await;
    let mut spec = crate::agent::AgentSpec::backend("fake");
    spec.restart.when = crate::agent::RestartWhen::OnFailure;
    spec.restart.max_restarts = 3;
    let spawned = host.spawn(spec, "me").await.expect("it begins");
    let (agent, chat) = (spawned.record.id, spawned.chat.expect("a chat"));
    assert_eq!(turn(&host, chat, "die").await.outcome, TurnOutcome::Interrupted);
    let running = |run| {
        let record = host.agent(agent).expect("the agent").0.record;
        record.run == run && record.status == crate::agent::AgentStatus::Running
    };
    eventually(|| running(2)).await;
    assert_eq!(&*turn(&host, chat, "say on").await.content, "on");
    assert!(running(2), "its program was not started once more");
    // Asked while the next run is not due yet: it begins at once.
    assert_eq!(turn(&host, chat, "die").await.outcome, TurnOutcome::Interrupted);
    assert_eq!(&*turn(&host, chat, "say sooner").await.content, "sooner");
    assert!(running(3));
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_was_started_again_by_hand_is_asked_in_its_new_run() {
    let host = host().await;
    let chat = chat(&host).await;
    turn(&host, chat, "say once").await;
    let agent = host.chat(chat).expect("the chat").agent;
    host.kill(agent, crate::Kill::default(), "me").await.expect("it ends");
    until(&host, chat, |record| !record.is_active).await;
    host.restart(agent, None, "me").await.expect("it begins again");
    assert_eq!(&*turn(&host, chat, "say twice").await.content, "twice");
    assert_eq!(host.agent(agent).expect("the agent").0.record.run, 2);
    let native = host.chat(chat).expect("the chat").native.clone();
    host.chat_stop(chat, "me").await.expect("it ends");
    host.restart(agent, None, "me").await.expect("it begins again, with nobody to talk to");
    assert_eq!(story(&host, chat).await.last().map(String::as_str), Some("2 closed"));
    assert_eq!(host.chat(chat).expect("the chat").native, native);
}

/// Waits for what a paused clock brings about.
async fn eventually(mut is_so: impl FnMut() -> bool) {
    for _ in 0..100_000 {
        if is_so() {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    panic!("it never comes about");
}

#[tokio::test(start_paused = true)]
async fn fifty_chats_at_once_do_not_disturb_each_other() {
    let host = host().await;
    let mut chats = Vec::new();
    for _ in 0..50 {
        chats.push(chat(&host).await);
    }
    for round in 0..3 {
        let mut results = Vec::new();
        for (number, chat) in chats.iter().enumerate() {
            results.push(prompt(&host, *chat, &format!("say {number} {round}")).await);
        }
        for (number, result) in results.into_iter().enumerate() {
            assert_eq!(*result.await.expect("it ends").content, format!("{number}{round}"));
        }
    }
    host.stop_agents(crate::Kill::default()).await;
    for chat in chats {
        until(&host, chat, |record| !record.is_active).await;
        let told = story(&host, chat).await;
        assert_eq!(told.last().map(String::as_str), Some("3 complete None true"));
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_said_of_a_backend_is_believed() {
    let said = |resume, cancel| {
        let mut settings = crate::backend::BackendSettings::default();
        (settings.capabilities.resume, settings.capabilities.cancel) = (resume, cancel);
        FakeChat::backend().with(settings).expect("it can be")
    };
    let host = builder().backend(said(Some(false), None)).build().await.expect("it begins");
    let forgetful = chat(&host).await;
    turn(&host, forgetful, "die").await;
    assert_eq!(&*turn(&host, forgetful, "say anew").await.content, "anew");
    assert_eq!(host.chat(forgetful).expect("the chat").native, None);
    let story = story(&host, forgetful).await;
    assert!(story.contains(&"1 complete Some(7) false".to_owned()), "{story:?}");

    let host = builder().backend(said(None, Some(false))).build().await.expect("it begins");
    let stubborn = chat(&host).await;
    let waits = prompt(&host, stubborn, "wait").await;
    assert!(host.chat_cancel(stubborn, None).await.expect("it is cancelled"));
    assert_eq!(waits.await.expect("it ends").outcome, TurnOutcome::Cancelled);
    assert_eq!(&*turn(&host, stubborn, "say on").await.content, "on");
    let agent = host.chat(stubborn).expect("the chat").agent;
    assert_eq!(host.agent(agent).expect("its agent").0.record.run, 2, "its process was ended");
}
