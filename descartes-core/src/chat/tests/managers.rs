use std::sync::Arc;

use async_trait::async_trait;

use super::{builder, chat, prompt, story, turn};
use crate::agent::AgentSpec;
use crate::chat::{Accepted, ChatError, ChatManager, ChatStatus, Conversations, PromptCall};
use crate::dialect::Prompt;
use crate::event::TurnOutcome;
use crate::limits::{OUTPUT_CHUNK_BYTES, TURN_CONTENT_BYTES};
use crate::{Caller, Descartes, PromptRequest};

/// Answers prompts that begin with `echo ` itself, refuses those that begin with `no `.
struct Echo;

#[async_trait]
impl ChatManager for Echo {
    async fn prompt(
        &self,
        chats: &Conversations,
        call: PromptCall<'_>,
    ) -> Result<Accepted, ChatError> {
        let asked = call.request.prompt.as_text().to_string();
        if asked.starts_with("no ") {
            return Err(call.refused("it was asked not to"));
        }
        match asked.strip_prefix("echo ") {
            Some(text) => chats.answer(call, text).await,
            None => chats.prompt(call).await,
        }
    }
}

async fn host() -> Descartes {
    builder().chat_manager(Arc::new(Echo)).build().await.expect("it begins")
}

async fn refused(host: &Descartes, chat: crate::chat::ChatId, text: &str) -> ChatError {
    let request = PromptRequest::new(Prompt::text(text));
    let asked = host.chat_prompt(chat, request, &mut Caller::new("me"), None).await;
    asked.expect_err("it is not taken")
}

#[tokio::test(start_paused = true)]
async fn what_a_manager_answers_is_a_turn_like_any_other_and_no_process_begins_for_it() {
    let host = host().await;
    let chat = chat(&host).await;
    let first = turn(&host, chat, "echo at once").await;
    assert_eq!((first.turn, &*first.content), (1, "at once"));
    assert!(!host.chat(chat).expect("the chat").has_agent);
    assert_eq!(&*turn(&host, chat, "say slower").await.content, "slower");
    assert_eq!(&*turn(&host, chat, "echo beside it").await.content, "beside it");
    let expected = [
        "1 started echo at once false",
        "1 text at once",
        "1 completed",
        "2 started say slower false",
        "2 text slower",
        "2 completed",
        "3 started echo beside it false",
        "3 text beside it",
        "3 completed",
    ];
    assert_eq!(story(&host, chat).await, expected);
    let record = host.chat(chat).expect("the chat");
    assert_eq!((record.status, record.turns), (ChatStatus::Idle, 3));
}

#[tokio::test(start_paused = true)]
async fn what_a_manager_refuses_begins_nothing_and_says_the_rule() {
    let host = host().await;
    let chat = chat(&host).await;
    let error = refused(&host, chat, "no thanks").await;
    assert!(
        matches!(&error, ChatError::Refused { by, rule } if (&**by, &**rule) == ("me", "it was asked not to"))
    );
    assert_eq!(host.chat(chat).expect("the chat").turns, 0);
    assert!(story(&host, chat).await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_answer_of_a_manager_does_not_come_in_the_middle_of_a_turn_or_after_the_end() {
    let host = host().await;
    let chat = chat(&host).await;
    let waiting = prompt(&host, chat, "wait").await;
    assert!(matches!(refused(&host, chat, "echo now").await, ChatError::Busy { turn: 1, .. }));
    assert!(host.chat_cancel(chat, None).await.expect("it is cancelled"));
    assert_eq!(waiting.await.expect("it ends").outcome, TurnOutcome::Cancelled);
    host.chat_stop(chat, "me").await.expect("it ends");
    assert!(matches!(refused(&host, chat, "echo late").await, ChatError::Closed { .. }));
}

#[tokio::test(start_paused = true)]
async fn a_long_answer_comes_in_pieces_and_one_that_is_too_long_is_refused() {
    let host = host().await;
    let chat = chat(&host).await;
    let text = "\u{20ac}".repeat(OUTPUT_CHUNK_BYTES);
    let answered = turn(&host, chat, &format!("echo {text}")).await;
    assert_eq!(&*answered.content, text);
    let pieces = story(&host, chat).await.len() - 2;
    assert!((3..=5).contains(&pieces), "{pieces}");
    let text = "x".repeat(TURN_CONTENT_BYTES + 1);
    assert!(matches!(refused(&host, chat, &format!("echo {text}")).await, ChatError::Limit { .. }));
}

#[tokio::test(start_paused = true)]
async fn the_first_prompt_of_an_agent_goes_to_the_manager_too() {
    let host = host().await;
    let mut spec = AgentSpec::backend("fake");
    spec.task = Some("echo on its way".into());
    let spawned = host.spawn(spec, "me").await.expect("it begins");
    let chat = spawned.chat.expect("it converses");
    assert!(story(&host, chat).await.contains(&"1 text on its way".to_owned()));
}
