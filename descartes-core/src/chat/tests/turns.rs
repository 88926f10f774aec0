use std::sync::Arc;

use super::{builder, chat, chunks, host, prompt, story, turn, until};
use crate::agent::AgentError;
use crate::chat::{ChatError, ChatSpec, ChatStatus, WhenBusy};
use crate::dialect::Prompt;
use crate::event::{ChunkBody, ChunkErrorKind, Topic, TopicFilter, TurnOutcome};
use crate::limits::{DIALECT_LINE_BYTES, OUTPUT_CHUNK_BYTES};
use crate::runner::{AgentDriver, AgentRunner, Launch, SpawnError, Started};
use crate::store::EventQuery;
use crate::testing::{FakeAgent, FakeChat, FakeInput, FakeRunner};
use crate::{Caller, PromptRequest, WaitFor};

#[tokio::test(start_paused = true)]
async fn turns_follow_each_other_in_one_process_and_their_text_is_whole() {
    let host = host().await;
    let chat = chat(&host).await;
    let first = turn(&host, chat, "say a b").await;
    assert_eq!((first.turn, &*first.content, first.outcome), (1, "ab", TurnOutcome::Completed));
    let second = turn(&host, chat, "broken").await;
    assert_eq!((second.turn, &*second.content), (2, "whole"));
    let story = story(&host, chat).await;
    let expected = [
        "1 started say a b false",
        "1 text a",
        "1 text b",
        "1 completed",
        "2 started broken false",
        "2 text void",
        "2 retracted 7",
        "2 text whole",
        "2 completed",
    ];
    assert_eq!(story, expected);
    let record = host.chat(chat).expect("the chat");
    assert_eq!((record.status, record.turns, record.is_active), (ChatStatus::Idle, 2, true));
    let agent = host.agent(record.agent).expect("its agent").0;
    assert_eq!(agent.record.run, 1);
    let (messages, _) = host.chat_history(chat).await.expect("history");
    let said: Vec<_> = messages.iter().map(|message| &*message.content).collect();
    assert_eq!(said, ["say a b", "ab", "broken", "whole"]);
}

#[tokio::test(start_paused = true)]
async fn a_prompt_waits_is_refused_or_interrupts_while_a_turn_is_running() {
    let host = host().await;
    let chat = chat(&host).await;
    let first = prompt(&host, chat, "wait").await;
    let second = prompt(&host, chat, "say second").await;
    let mut refused = PromptRequest::new(Prompt::text("say never"));
    refused.when_busy = Some(WhenBusy::Reject);
    let error = host.chat_prompt(chat, refused, &mut Caller::new("me"), None).await;
    assert!(matches!(error, Err(ChatError::Busy { turn: 1, .. })), "{error:?}");
    let mut pressing = PromptRequest::new(Prompt::text("say third"));
    pressing.when_busy = Some(WhenBusy::Interrupt);
    let accepted = host.chat_prompt(chat, pressing, &mut Caller::new("me"), None).await;
    assert_eq!(accepted.expect("it is taken").turn, 3);
    let first = first.await.expect("it ends");
    assert_eq!((first.outcome, &*first.content), (TurnOutcome::Cancelled, "waiting"));
    assert_eq!(&*second.await.expect("it ends").content, "second");
    until(&host, chat, |record| record.status == ChatStatus::Idle).await;
    let story = story(&host, chat).await;
    assert_eq!(story.last().map(String::as_str), Some("3 completed"));
}

#[tokio::test(start_paused = true)]
async fn a_cancel_is_answered_when_the_turn_has_ended_and_the_next_prompt_works() {
    let host = host().await;
    let chat = chat(&host).await;
    assert!(!host.chat_cancel(chat, None).await.expect("nothing to cancel"));
    let waiting = prompt(&host, chat, "wait").await;
    let queued = prompt(&host, chat, "say never").await;
    assert!(host.chat_cancel(chat, Some(2)).await.expect("the queued one"));
    assert_eq!(queued.await.expect("it ends").outcome, TurnOutcome::Cancelled);
    assert!(host.chat_cancel(chat, None).await.expect("the open one"));
    assert_eq!(waiting.await.expect("it ends").outcome, TurnOutcome::Cancelled);
    assert_eq!(&*turn(&host, chat, "say on").await.content, "on");
    let record = host.chat(chat).expect("the chat");
    assert_eq!(host.agent(record.agent).expect("its agent").0.record.run, 1);
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_ignores_a_cancel_is_ended_and_the_next_prompt_resumes_the_conversation() {
    let host = host().await;
    let chat = chat(&host).await;
    turn(&host, chat, "say once").await;
    let native = host.chat(chat).expect("the chat").native.clone();
    assert!(native.is_some());
    let deaf = prompt(&host, chat, "deaf").await;
    assert!(host.chat_cancel(chat, None).await.expect("it is cancelled"));
    assert_eq!(deaf.await.expect("it ends").outcome, TurnOutcome::Cancelled);
    assert_eq!(&*turn(&host, chat, "say again").await.content, "again");
    let record = host.chat(chat).expect("the chat");
    assert_eq!(record.native, native);
    assert_eq!(host.agent(record.agent).expect("its agent").0.record.run, 2);
    let story = story(&host, chat).await;
    assert!(story.contains(&"2 complete None true".to_owned()), "{story:?}");
}

#[tokio::test(start_paused = true)]
async fn a_turn_that_takes_too_long_is_ended_as_timed_out() {
    let host = host().await;
    let mut spec = crate::chat::ChatSpec::backend("fake");
    spec.agent.chat.turn_timeout = Some(std::time::Duration::from_secs(5));
    let chat = host.chat_create(spec, &mut Caller::new("me")).await.expect("a chat").record.id;
    let late = turn(&host, chat, "wait").await;
    assert_eq!(late.outcome, TurnOutcome::TimedOut);
    assert_eq!(late.error.expect("why").kind, ChunkErrorKind::Timeout);
    assert_eq!(turn(&host, chat, "say fine").await.outcome, TurnOutcome::Completed);
}

#[tokio::test(start_paused = true)]
async fn a_backend_whose_agents_bring_their_program_is_used_with_one_and_not_without() {
    let bare = || Box::new(crate::dialect::Basic::new()) as Box<dyn crate::dialect::Dialect>;
    let bare = crate::backend::Backend::conversing("bare", Vec::new(), "basic", bare);
    let host = builder().backend(bare).build().await.expect("it begins");
    let mut spec = ChatSpec::backend("bare");
    let refused = host.chat_create(spec.clone(), &mut Caller::new("me")).await;
    let refused = refused.expect_err("there is nothing to start").to_string();
    assert!(refused.contains("config.command"), "{refused}");
    spec.agent.command = vec!["fake".into()];
    let chat = host.chat_create(spec, &mut Caller::new("me")).await.expect("a chat").record.id;
    assert_eq!(&*turn(&host, chat, "say hello").await.content, "hello");
}

/// Starts agents in its own time, so that the conversation is there before they run.
struct Unhurried(FakeRunner);

#[async_trait::async_trait]
impl AgentRunner for Unhurried {
    async fn spawn(&self, launch: Launch, driver: AgentDriver) -> Result<Started, SpawnError> {
        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        self.0.spawn(launch, driver).await
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_said_first_to_an_agent_that_is_begun_by_itself_reaches_it() {
    let runner = FakeRunner::new(|mut agent: FakeAgent| async move {
        while let FakeInput::Bytes(_) = agent.next().await {
            agent.say("heard\n").await;
        }
    });
    let acp = || Box::new(crate::dialect::Acp::new()) as Box<dyn crate::dialect::Dialect>;
    let backend = crate::backend::Backend::conversing("early", vec!["x".into()], "acp", acp);
    let builder = crate::Descartes::builder().runner(Arc::new(Unhurried(runner))).backend(backend);
    let host = builder.build().await.expect("it begins");
    let spec = crate::agent::AgentSpec { backend: Some("early".into()), ..Default::default() };
    let chat = host.spawn(spec, "me").await.expect("it begins").chat.expect("it has a chat");
    let heard = async {
        while story(&host, chat).await.is_empty() {
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(60), heard).await.expect("it was greeted");
}

#[tokio::test(start_paused = true)]
async fn a_line_that_is_too_long_is_found_behind_the_cursor_of_its_marker() {
    let long = "x".repeat(3 * DIALECT_LINE_BYTES);
    let said = format!("text before\n{long}\ntext after\ndone\n");
    let runner = FakeRunner::new(move |mut agent: FakeAgent| {
        let said = said.clone();
        async move {
            agent.say("ready\n").await;
            while let FakeInput::Bytes(_) = agent.next().await {
                for piece in said.as_bytes().chunks(OUTPUT_CHUNK_BYTES) {
                    agent.say(std::str::from_utf8(piece).expect("text")).await;
                }
            }
        }
    });
    let builder = crate::Descartes::builder().runner(Arc::new(runner));
    let host = builder.backend(FakeChat::backend()).build().await.expect("it begins");
    let chat = chat(&host).await;
    for _ in 0..2 {
        assert_eq!(&*turn(&host, chat, "go").await.content, "beforeafter");
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    }
    let markers = chunks(&host, chat).await.into_iter().filter_map(|chunk| match chunk.body {
        ChunkBody::Oversize { bytes, cursor } => Some((bytes, cursor.expect("it is known"))),
        _ => None,
    });
    let [_, (bytes, cursor)] = markers.collect::<Vec<_>>()[..] else { panic!("two lines") };
    assert_eq!(bytes, long.len() as u64);
    let output = Topic::agent_output(host.chat(chat).expect("the chat").agent);
    let query = EventQuery {
        topics: vec![TopicFilter::Exact(output)],
        after: cursor.position,
        max_events: 10_000,
        max_bytes: 64 << 20,
    };
    let page = host.journal().store().read(&query).await.expect("events");
    let payloads = page.events.iter().flat_map(|event| event.payload.to_vec());
    let written = String::from_utf8(payloads.collect()).expect("text");
    assert_eq!(written.matches(&format!("{long}\ntext after\n")).count(), 1);
    assert!(written.len() < 2 * long.len(), "the line of the turn before is not behind it");
}

#[tokio::test(start_paused = true)]
async fn one_can_wait_for_a_turn_or_for_all_of_them() {
    let host = host().await;
    let chat = chat(&host).await;
    turn(&host, chat, "say a").await;
    let agent = host.chat(chat).expect("the chat").agent;
    for nothing in [WaitFor::Turn, WaitFor::Idle] {
        host.wait(agent, nothing).await.expect("there is nothing to wait for");
    }
    let first = prompt(&host, chat, "wait").await;
    let second = prompt(&host, chat, "wait").await;
    let (waiting, here) = (host.clone(), agent);
    let one = tokio::spawn(async move { waiting.wait(here, WaitFor::Turn).await });
    let waiting = host.clone();
    let all = tokio::spawn(async move { waiting.wait(here, WaitFor::Idle).await });
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    assert!(!one.is_finished() && !all.is_finished());
    host.chat_cancel(chat, None).await.expect("it is cancelled");
    first.await.expect("it ends");
    one.await.expect("no panic").expect("the first turn has ended");
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    assert!(!all.is_finished());
    host.chat_cancel(chat, None).await.expect("it is cancelled");
    second.await.expect("it ends");
    all.await.expect("no panic").expect("all turns have ended");
    let silent = host.spawn(crate::agent::AgentSpec::command(["fake"]), "me").await;
    let silent = silent.expect("an agent").record.id;
    let error = host.wait(silent, WaitFor::Turn).await;
    assert!(matches!(error, Err(AgentError::NoTurns { .. })), "{error:?}");
}
