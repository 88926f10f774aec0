//! `chat.*`, `approval.*`, `agent.send` and `agent.cancel`.

use std::sync::Arc;

use descartes_core::Descartes;
use descartes_core::chat::{
    Accepted, ChatError, ChatId, ChatManager, Conversations, PromptCall, Stopped,
};
use descartes_core::runner::Whereabouts;
use descartes_core::testing::FakeChat;
use serde_json::{Value, json};

use super::{params, refused};
use crate::auth::Principal;
use crate::client::{Client, Update};
use crate::error::ErrorKind;
use crate::router::{About, PUBLISHER};
use crate::service::Rpc;
use crate::wire::chunk::{Chunk, ChunkBody, TurnOutcome};
use crate::wire::system::TransportInfo;

async fn rpc() -> Rpc {
    let builder = Descartes::builder().runner(Arc::new(FakeChat::runner()));
    let descartes = builder.backend(FakeChat::backend()).default_backend("fake").build().await;
    Rpc::builder(descartes.unwrap()).build()
}

async fn client() -> Client {
    Client::in_memory(rpc().await)
}

async fn chat(client: &Client) -> String {
    client.chat_create(params(json!({}))).await.unwrap().session_id
}

fn asks(session_id: &str, prompt: impl Into<Value>) -> Value {
    json!({"session_id": session_id, "prompt": prompt.into(), "wait": true})
}

/// The identifier of the approval that a chat waits for.
async fn approval(client: &Client) -> String {
    loop {
        let found = client.approval_list(params(json!({"status": "pending"}))).await.unwrap();
        if let Some(first) = found.approvals.first() {
            return first.approval_id.clone();
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_chat_is_followed_before_its_first_prompt_and_every_chunk_is_typed() {
    let client = client().await;
    let created = client.chat_create(params(json!({"title": "a", "labels": {"x": "y"}}))).await;
    let created = created.unwrap();
    let subscribe = json!({"topics": [created.topic], "after": created.cursor});
    let mut chunks = client.subscribe(params(subscribe)).await.unwrap();
    let prompt = asks(&created.session_id, json!([{"type": "text", "text": "say a b"}]));
    let prompted = client.chat_prompt(params(prompt)).await.unwrap();
    assert_eq!((prompted.turn, prompted.queued), (1, false));
    assert_eq!(prompted.content.as_deref(), Some("ab"));
    assert_eq!(prompted.outcome, Some(TurnOutcome::Completed));
    let mut text = String::new();
    loop {
        let Update::Event(event) = chunks.next().await.unwrap().unwrap() else { continue };
        let chunk: Chunk = event.data().unwrap();
        match chunk.body {
            ChunkBody::Text { content, .. } => text.push_str(&content),
            ChunkBody::TurnComplete { turn_number, outcome, .. } => {
                assert_eq!((turn_number, outcome), (1, TurnOutcome::Completed));
                break;
            }
            ChunkBody::Unknown => panic!("a chunk that this library does not know"),
            _ => {}
        }
    }
    assert_eq!(text, "ab");
    let shown = client.chat_get(params(json!({"session_id": created.session_id}))).await.unwrap();
    assert_eq!((shown.chat.turn_count, shown.chat.title.as_deref()), (1, Some("a")));
    let history = json!({"session_id": created.session_id, "offset": 1});
    let history = client.chat_history(params(history)).await.unwrap();
    assert_eq!((history.total, &*history.messages[0].content), (2, "ab"));
    let listed = client.chat_list(params(json!({"labels": {"x": "y"}, "status": "idle"}))).await;
    assert_eq!(listed.unwrap().total, 1);
}

#[tokio::test(start_paused = true)]
async fn an_approval_is_seen_by_everybody_and_the_second_decider_is_told_who_was_first() {
    let client = client().await;
    let id = chat(&client).await;
    let asking = client.clone();
    let prompt = asks(&id, "write");
    let turn = tokio::spawn(async move { asking.chat_prompt(params(prompt)).await });
    let waits = approval(&client).await;
    let seen = client.approval_get(params(json!({"approval_id": waits}))).await.unwrap();
    assert_eq!((&*seen.tool, &*seen.default), ("write", "deny"));
    let digest = json!({"approval_id": waits, "decision": "deny", "expected_digest": "x"});
    let wrong = refused(client.approval_decide(params(digest)).await);
    assert_eq!(wrong.reason_text(), Some("digest_mismatch"));
    let short = &waits[waits.len() - 8..];
    let allow = json!({"approval_id": short, "decision": "allow_once"});
    client.approval_decide(params(allow)).await.unwrap();
    let again = json!({"approval_id": waits, "decision": "deny"});
    let late = refused(client.approval_decide(params(again)).await);
    assert_eq!((late.kind(), late.reason_text()), (ErrorKind::Conflict, Some("already_decided")));
    assert_eq!(late.detail("decided_by").unwrap(), "local");
    assert_eq!(turn.await.unwrap().unwrap().content.as_deref(), Some("allowed"));
    let bad = json!({"approval_id": waits, "decision": "maybe"});
    assert_eq!(refused(client.approval_decide(params(bad)).await).kind(), ErrorKind::InvalidParams);
}

#[tokio::test(start_paused = true)]
async fn an_agent_is_asked_by_name_and_what_it_was_asked_is_cancelled_by_name() {
    let client = client().await;
    let spawn = json!({"name": "worker", "agent_type": "fake"});
    let spawned = client.agent_spawn(params(spawn)).await.unwrap();
    assert!(spawned.session_id.is_some());
    let send = json!({"agent_id": "worker", "content": "say hi", "request_id": "r1"});
    let sent = client.agent_send(params(send)).await.unwrap();
    assert_eq!((&*sent.content, &*sent.request_id), ("hi", "r1"));
    let asking = client.clone();
    let send = json!({"agent_id": "worker", "content": "wait", "request_id": "r2"});
    let turn = tokio::spawn(async move { asking.agent_send(params(send)).await });
    let cancel = json!({"agent_id": "worker", "request_id": "r2"});
    loop {
        let cancelled = client.agent_cancel(params(cancel.clone())).await.unwrap();
        if cancelled.cancelled {
            break;
        }
        assert_eq!(cancelled.reason.as_deref(), Some("not_found_or_completed"));
        tokio::task::yield_now().await;
    }
    assert_eq!(turn.await.unwrap().unwrap().outcome, TurnOutcome::Cancelled);
}

#[tokio::test(start_paused = true)]
async fn a_wait_that_is_too_short_ends_with_timeout_and_the_turn_goes_on() {
    let client = client().await;
    let id = chat(&client).await;
    let prompt = json!({"session_id": id, "prompt": "wait", "wait": true, "timeout_secs": 1});
    let waited = refused(client.chat_prompt(params(prompt)).await);
    assert_eq!(waited.kind(), ErrorKind::Timeout);
    assert_eq!(waited.detail("status").unwrap(), "running");
    let busy = json!({"session_id": id, "prompt": "say a", "when_busy": "reject"});
    let busy = refused(client.chat_prompt(params(busy)).await);
    assert_eq!(busy.reason_text(), Some("busy"));
    let cancelled = client.chat_cancel(params(json!({"session_id": id}))).await.unwrap();
    assert!(cancelled.cancelled);
    let stopped = client.chat_stop(params(json!({"session_id": id}))).await.unwrap();
    assert!(stopped.success);
    let closed = refused(client.chat_prompt(params(asks(&id, "say a"))).await);
    assert_eq!((closed.kind(), closed.reason_text()), (ErrorKind::Conflict, Some("closed")));
    client.chat_remove(params(json!({"session_id": id}))).await.unwrap();
    let gone = refused(client.chat_get(params(json!({"session_id": id}))).await);
    assert_eq!((gone.kind(), gone.detail("what").unwrap()), (ErrorKind::NotFound, &json!("chat")));
}

#[tokio::test(start_paused = true)]
async fn a_key_begins_one_chat_and_one_turn_however_often_it_is_used() {
    let client = client().await;
    let start = json!({"initial_prompt": "say once", "idempotency_key": "k1"});
    let first = client.chat_start(params(start.clone())).await.unwrap();
    let second = client.chat_start(params(start)).await.unwrap();
    assert_eq!(first.session_id, second.session_id);
    let mut prompt = asks(&first.session_id, "say twice");
    prompt["idempotency_key"] = json!("k2");
    let one = client.chat_prompt(params(prompt.clone())).await.unwrap();
    let two = client.chat_prompt(params(prompt)).await.unwrap();
    assert_eq!((one.turn, two.turn), (2, 2));
    assert_eq!(client.chat_list(params(json!({}))).await.unwrap().total, 1);
}

#[tokio::test(start_paused = true)]
async fn who_may_not_decide_is_refused_and_who_only_reads_may_not_talk() {
    let rpc = rpc().await;
    let owner = Client::in_memory(rpc.clone());
    let id = chat(&owner).await;
    let reader = Client::in_memory_as(rpc, Principal::new("ann", ["chat:read"]));
    reader.chat_get(params(json!({"session_id": id}))).await.unwrap();
    let talk = refused(reader.chat_prompt(params(asks(&id, "say a"))).await);
    assert_eq!(talk.detail("required").unwrap(), "chat:write");
    let decide = json!({"approval_id": id, "decision": "deny"});
    let decide = refused(reader.approval_decide(params(decide)).await);
    assert_eq!(decide.detail("required").unwrap(), "approve");
}

#[tokio::test(start_paused = true)]
async fn a_mode_that_a_backend_does_not_have_is_refused_with_those_that_it_has() {
    let client = client().await;
    let chat = client.chat_create(params(json!({"backend": "gemini-run"}))).await;
    let chat = refused(chat);
    assert_eq!(chat.kind(), ErrorKind::InvalidParams);
    assert_eq!(chat.detail("path").unwrap(), "approvals");
    assert_eq!(chat.detail("available").unwrap(), &json!(["allow_edits", "allow_all", "deny"]));
    let config =
        json!({"agent_type": "process", "config": {"command": "true", "approvals": "ask"}});
    let agent = refused(client.agent_spawn(params(config)).await);
    assert_eq!(agent.kind(), ErrorKind::InvalidParams);
    assert_eq!(agent.detail("path").unwrap(), "config.approvals");
    assert_eq!(agent.detail("available").unwrap(), &json!(["allow_all"]));
}

#[tokio::test(start_paused = true)]
async fn an_agent_cannot_decide_nor_give_others_more_than_it_has() {
    let rpc = rpc().await;
    let owner = Client::in_memory(rpc.clone());
    let cautious =
        json!({"name": "cautious", "agent_type": "fake", "config": {"approvals": "deny"}});
    for (spawn, own, wider) in [
        (json!({"name": "usual", "agent_type": "fake"}), "ask", Some("allow_edits")),
        (cautious, "deny", Some("ask")),
        (json!({"agent_type": "fake", "config": {"approvals": "allow_all"}}), "allow_all", None),
    ] {
        let spawned = owner.agent_spawn(params(spawn)).await.unwrap();
        let inside = Whereabouts::Inside(spawned.agent_id.parse().unwrap());
        let agent = Client::in_memory_as(rpc.clone(), Principal::owner().found(inside));
        let create = |mode: &str| params(json!({"approvals": mode}));
        let spawn =
            |mode: &str| params(json!({"agent_type": "fake", "config": {"approvals": mode}}));
        agent.chat_create(create(own)).await.unwrap();
        agent.chat_create(params(json!({}))).await.unwrap();
        agent.agent_spawn(spawn(own)).await.unwrap();
        let Some(wider) = wider else { continue };
        for refused in [
            refused(agent.chat_create(create(wider)).await),
            refused(agent.agent_spawn(spawn(wider)).await),
        ] {
            assert_eq!(refused.kind(), ErrorKind::Forbidden);
            assert_eq!(refused.reason_text(), Some("inside_agent"));
            assert_eq!(refused.detail("required").unwrap(), &format!("approvals: {own}"));
        }
    }
    let id = chat(&owner).await;
    let asking = owner.clone();
    let prompt = asks(&id, "write");
    let turn = tokio::spawn(async move { asking.chat_prompt(params(prompt)).await });
    let waits = approval(&owner).await;
    let asker = owner.approval_get(params(json!({"approval_id": waits}))).await.unwrap().agent_id;
    let inside = Whereabouts::Inside(asker.parse().unwrap());
    let agent = Client::in_memory_as(rpc, Principal::owner().found(inside));
    for decision in ["allow_once", "allow_session", "deny", "cancel"] {
        let decide = json!({"approval_id": waits, "decision": decision});
        let refused = refused(agent.approval_decide(params(decide)).await);
        assert_eq!(refused.reason_text(), Some("inside_agent"), "{decision}");
        assert_eq!(refused.detail("principal").unwrap(), &format!("agent:{asker}"));
    }
    let allow = json!({"approval_id": waits, "decision": "allow_once"});
    let decided = owner.approval_decide(params(allow)).await.unwrap();
    assert_eq!(decided.decided_by.as_deref(), Some("local"));
    assert_eq!(turn.await.unwrap().unwrap().content.as_deref(), Some("allowed"));
}

#[tokio::test(start_paused = true)]
async fn a_chat_says_where_it_is_published_when_it_is() {
    let builder = Descartes::builder().runner(Arc::new(FakeChat::runner()));
    let builder = builder.backend(FakeChat::backend()).default_backend("fake");
    let about = About::default();
    let transports = about.transports.clone();
    let descartes = builder.build().await.unwrap();
    let client = Client::in_memory(Rpc::described(descartes, about).build());
    transports.add(TransportInfo::listening("http", "http://127.0.0.1:1"));
    let created = client.chat_create(params(json!({}))).await.unwrap();
    assert_eq!(created.pub_endpoint, None);
    transports.add(TransportInfo::listening(PUBLISHER, "tcp://127.0.0.1:2"));
    transports.add(TransportInfo::listening(PUBLISHER, "ipc:///tmp/pub"));
    let started = client.chat_start(params(json!({"initial_prompt": "say a"}))).await.unwrap();
    assert_eq!(started.pub_endpoint.as_deref(), Some("tcp://127.0.0.1:2"));
}

/// Answers `ping` itself and refuses everything else, and lets nobody cancel or end anything.
struct Porter;

#[async_trait::async_trait]
impl ChatManager for Porter {
    async fn prompt(
        &self,
        chats: &Conversations,
        call: PromptCall<'_>,
    ) -> Result<Accepted, ChatError> {
        match &*call.request.prompt.as_text() {
            "ping" => chats.answer(call, "pong").await,
            _ => Err(call.refused("only ping")),
        }
    }

    async fn cancel(
        &self,
        _: &Conversations,
        _: ChatId,
        _: Option<u32>,
    ) -> Result<bool, ChatError> {
        Err(ChatError::Refused { by: "me".into(), rule: "no cancel".into() })
    }

    async fn stop(&self, _: &Conversations, _: ChatId, by: Arc<str>) -> Result<Stopped, ChatError> {
        Err(ChatError::Refused { by, rule: "no end".into() })
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_asked_of_chats_and_of_their_agents_is_asked_of_the_chat_manager() {
    let builder = Descartes::builder().runner(Arc::new(FakeChat::runner()));
    let builder = builder.backend(FakeChat::backend()).default_backend("fake");
    let descartes = builder.chat_manager(Arc::new(Porter)).build().await.unwrap();
    let client = Client::in_memory(Rpc::builder(descartes).build());
    let id = chat(&client).await;
    let answered = client.chat_prompt(params(asks(&id, "ping"))).await.unwrap();
    assert_eq!(answered.content.as_deref(), Some("pong"));
    let error = refused(client.chat_prompt(params(asks(&id, "say a"))).await);
    assert_eq!(error.kind(), ErrorKind::Forbidden);
    assert_eq!(error.data()["required"], "only ping");
    let cancel = refused(client.chat_cancel(params(json!({"session_id": id}))).await);
    assert_eq!(cancel.data()["required"], "no cancel");
    let stop = refused(client.chat_stop(params(json!({"session_id": id}))).await);
    assert_eq!(stop.data()["required"], "no end");
    assert_eq!(stop.data()["principal"], "local");

    let agent = client.agent_spawn(params(json!({}))).await.unwrap().agent_id;
    let send = json!({"agent_id": agent, "content": "ping"});
    assert_eq!(client.agent_send(params(send)).await.unwrap().content, "pong");
    let cancel = refused(client.agent_cancel(params(json!({"agent_id": agent}))).await);
    assert_eq!(cancel.data()["required"], "no cancel");
}
