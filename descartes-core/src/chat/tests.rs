//! Chats over fake agents: turns, questions, ends.

mod approvals;
mod costs;
mod ends;
mod managers;
mod recorded;
mod retention;
mod turns;
mod unkillable;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;

use super::{ChatId, ChatSpec, TurnResult};
use crate::dialect::Prompt;
use crate::event::{ChunkBody, EventBody, StreamChunk, Topic};
use crate::store::{StateStore, TopicQuery};
use crate::testing::FakeChat;
use crate::{Builder, Caller, Descartes, PromptRequest};

fn builder() -> Builder {
    Descartes::builder().runner(Arc::new(FakeChat::runner())).backend(FakeChat::backend())
}

async fn host() -> Descartes {
    builder().build().await.expect("it begins")
}

async fn chat(host: &Descartes) -> ChatId {
    let spec = ChatSpec::backend("fake");
    host.chat_create(spec, &mut Caller::new("me")).await.expect("a chat").record.id
}

/// Asks for a turn; its number, whether it waits, and where its result will be.
async fn prompt(host: &Descartes, chat: ChatId, text: &str) -> oneshot::Receiver<TurnResult> {
    let (done, result) = oneshot::channel();
    let request = PromptRequest::new(Prompt::text(text));
    let asked = host.chat_prompt(chat, request, &mut Caller::new("me"), Some(done)).await;
    asked.expect("the prompt is taken");
    result
}

/// Asks for a turn and waits for its end.
async fn turn(host: &Descartes, chat: ChatId, text: &str) -> TurnResult {
    let asked = async { prompt(host, chat, text).await.await.expect("it ends") };
    tokio::time::timeout(Duration::from_secs(3600), asked).await.expect("it ends in time")
}

/// Everything that was said in a chat.
async fn chunks(host: &Descartes, chat: ChatId) -> Vec<StreamChunk> {
    let query = TopicQuery {
        topic: Topic::chat(chat),
        from: 0,
        max_events: 10_000,
        max_bytes: 1 << 20,
        bodies_only: false,
    };
    let events = host.journal().store().read_topic(&query).await.expect("events");
    let chunk = |event: &crate::event::Event| match event.decode().expect("a chunk") {
        EventBody::ChatChunk(chunk) => *chunk,
        other => panic!("no chunk: {other:?}"),
    };
    events.iter().map(chunk).collect()
}

/// What was said in a chat, a word for each chunk; what agents are busy with is left out.
async fn story(host: &Descartes, chat: ChatId) -> Vec<String> {
    let word = |chunk: StreamChunk| {
        let text = match chunk.body {
            ChunkBody::TurnStarted { prompt, queued, .. } => format!("started {prompt} {queued}"),
            ChunkBody::Text { content, .. } => format!("text {content}"),
            ChunkBody::ToolUseStart { tool_name, .. } => format!("tool {tool_name}"),
            ChunkBody::ToolResult { result, .. } => format!("result {result}"),
            ChunkBody::ApprovalRequested(_) => "asked".to_owned(),
            ChunkBody::ApprovalResolved { status, .. } => status.as_str().to_owned(),
            ChunkBody::Retracted { from_offset } => format!("retracted {from_offset}"),
            ChunkBody::TurnComplete { outcome, .. } => outcome.as_str().to_owned(),
            ChunkBody::Complete { exit_code, resumable, .. } => {
                format!("complete {exit_code:?} {resumable}")
            }
            ChunkBody::Closed { .. } => "closed".to_owned(),
            ChunkBody::Status { .. } | ChunkBody::ToolUseInput { .. } => return None,
            other => format!("{other:?}"),
        };
        Some(format!("{} {text}", chunk.turn))
    };
    chunks(host, chat).await.into_iter().filter_map(word).collect()
}

/// Waits until a chat's record is as wanted.
async fn until(
    host: &Descartes,
    chat: ChatId,
    wanted: impl FnMut(&Arc<super::ChatRecord>) -> bool,
) -> Arc<super::ChatRecord> {
    let mut record = host.chat_watch(chat).expect("a chat");
    let found = tokio::time::timeout(Duration::from_secs(3600), record.wait_for(wanted)).await;
    Arc::clone(&found.expect("it comes about").expect("the host lives"))
}

/// A store that another host had before, which died.
fn shared_store() -> Arc<dyn StateStore> {
    Arc::new(crate::store::MemoryStore::new())
}
