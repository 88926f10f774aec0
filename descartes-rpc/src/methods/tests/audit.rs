//! What is written down of who did what.

use std::sync::Arc;
use std::time::Duration;

use descartes_core::Descartes;
use descartes_core::runner::Whereabouts;
use descartes_core::testing::FakeChat;
use futures_util::future::BoxFuture;
use serde_json::{Value, json};

use super::{params, refused};
use crate::auth::{Authenticator, Principal};
use crate::client::Client;
use crate::error::{ErrorKind, RpcError};
use crate::limits::{AUDIT_KINDS, AUDIT_RESOURCE_CHARS, AUDIT_WINDOW};
use crate::peer::Peer;
use crate::router::About;
use crate::service::Rpc;
use crate::wire::system::Reloaded;

async fn rpc() -> Rpc {
    let builder = Descartes::builder().runner(Arc::new(FakeChat::runner()));
    let descartes = builder.backend(FakeChat::backend()).default_backend("fake").build().await;
    Rpc::builder(descartes.unwrap()).build()
}

/// Everything that is written down so far: type and data. Twice the time in which refusals are
/// counted passes first.
async fn written(rpc: &Rpc) -> Vec<(String, Value)> {
    tokio::time::sleep(AUDIT_WINDOW * 2).await;
    let auditor = Client::in_memory_as(rpc.clone(), Principal::new("ed", ["audit"]));
    let page = json!({"topics": ["audit"], "limit": 1000});
    let page = auditor.event_read(params(page)).await.unwrap();
    let entry = |event: &crate::wire::event::Event| {
        let whole: Value = serde_json::from_str(event.json()).unwrap();
        assert_eq!(whole["by"], whole["data"]["principal"]);
        (event.kind().to_owned(), whole["data"].clone())
    };
    page.events.iter().map(entry).collect()
}

fn brief(entry: &(String, Value)) -> (&str, &str, &str, &str) {
    let text = |name: &str| entry.1[name].as_str().unwrap_or("-");
    (&entry.0, text("principal"), text("method"), text("outcome"))
}

#[tokio::test(start_paused = true)]
async fn spawns_kills_decisions_and_changes_are_written_down_with_who_and_what() {
    let rpc = rpc().await;
    let ann = Client::in_memory_as(rpc.clone(), Principal::new("ann", ["*"]));
    let secret = json!({"config": {"env": {"TOKEN": "canary-4711"}, "task": "canary-4712"}});
    let agent = ann.agent_spawn(params(secret)).await.unwrap().agent_id;
    refused(ann.agent_spawn(params(json!({"agent_type": "nothing"}))).await);
    let keyed = json!({"agent_id": agent, "idempotency_key": "k"});
    ann.agent_kill(params(keyed.clone())).await.unwrap();
    // A repeated call does nothing again.
    ann.agent_kill(params(keyed)).await.unwrap();
    let chat = ann.chat_start(params(json!({"initial_prompt": "write"}))).await.unwrap();
    let waits = loop {
        let found = ann.approval_list(params(json!({"status": "pending"}))).await.unwrap();
        if let Some(first) = found.approvals.first() {
            break first.approval_id.clone();
        }
        tokio::task::yield_now().await;
    };
    let decide = json!({"approval_id": waits, "decision": "deny"});
    ann.approval_decide(params(decide)).await.unwrap();
    let long = "nobody".repeat(1000);
    let batch = json!({"agent_ids": [agent, long], "command": "kill"});
    ann.agent_batch(params(batch)).await.unwrap();
    let looks = json!({"agent_ids": [agent], "command": "status"});
    ann.agent_batch(params(looks)).await.unwrap();
    ann.system_shutdown(params(json!({}))).await.unwrap();
    let written = written(&rpc).await;
    let expected = [
        ("audit.spawn", "ann", "agent.spawn", "ok"),
        ("audit.spawn", "ann", "agent.spawn", "not_found"),
        ("audit.kill", "ann", "agent.kill", "ok"),
        ("audit.spawn", "ann", "chat.start", "ok"),
        ("audit.decision", "ann", "approval.decide", "ok"),
        ("audit.kill", "ann", "agent.batch", "ok"),
        ("audit.kill", "ann", "agent.batch", "failed"),
        ("audit.configuration", "ann", "system.shutdown", "ok"),
    ];
    assert_eq!(written.iter().map(brief).collect::<Vec<_>>(), expected);
    let resources: Vec<_> = written.iter().map(|(_, entry)| entry["resource"].as_str()).collect();
    let expected = [Some(&*agent), None, Some(&*agent), chat.agent_id.as_deref(), Some(&*waits)];
    assert_eq!(resources[..5], expected);
    assert_eq!(resources[6], Some(&long[..AUDIT_RESOURCE_CHARS]));
    assert_eq!(written[0].1["peer"], "memory");
    assert!(!format!("{written:?}").contains("canary"));
}

#[tokio::test(start_paused = true)]
async fn refusals_are_written_down_once_and_counted_while_they_go_on() {
    let rpc = rpc().await;
    let ann = Client::in_memory_as(rpc.clone(), Principal::new("ann", ["*"]));
    let agent = ann.agent_spawn(params(json!({}))).await.unwrap().agent_id;
    let viewer = Client::in_memory_as(rpc.clone(), Principal::new("vic", ["agent:read"]));
    for _ in 0..500 {
        refused(viewer.agent_kill(params(json!({"agent_id": agent}))).await);
    }
    let bob = Client::in_memory_as(rpc.clone(), Principal::new("bob", ["agent:read:own"]));
    refused(bob.agent_get(params(json!({"agent_id": agent}))).await);
    refused(bob.agent_get(params(json!({"agent_id": "nobody"}))).await);
    refused(bob.subscribe(params(json!({"topics": ["chat/"]}))).await.map(drop));
    let inside = Principal::owner().found(Whereabouts::Inside(agent.parse().unwrap()));
    let inside = Client::in_memory_as(rpc.clone(), inside);
    refused(inside.agent_spawn(params(json!({"config": {"approvals": "allow_all"}}))).await);
    let written = written(&rpc).await;
    let who = format!("agent:{agent}");
    let expected = [
        ("audit.spawn", "ann", "agent.spawn", "ok"),
        ("audit.denied", "vic", "agent.kill", "forbidden"),
        ("audit.denied", "bob", "agent.get", "agent_not_found"),
        ("audit.denied", "bob", "event.subscribe", "forbidden"),
        ("audit.denied", &who, "agent.spawn", "forbidden"),
        ("audit.spawn", &who, "agent.spawn", "forbidden"),
        ("audit.denied", "vic", "agent.kill", "forbidden"),
    ];
    assert_eq!(written.iter().map(brief).collect::<Vec<_>>(), expected);
    assert_eq!(written[1].1["resource"], json!(agent));
    assert_eq!((&written[1].1["count"], &written[6].1["count"]), (&Value::Null, &json!(499)));
}

#[tokio::test(start_paused = true)]
async fn whoever_reads_the_audit_finds_what_was_answered_before() {
    let rpc = rpc().await;
    let ann = Client::in_memory_as(rpc.clone(), Principal::new("ann", ["*"]));
    let viewer = Client::in_memory_as(rpc.clone(), Principal::new("vic", ["agent:read"]));
    let began = tokio::time::Instant::now();
    for topic in ["audit", "*", "au*"] {
        let agent = ann.agent_spawn(params(json!({}))).await.unwrap().agent_id;
        refused(viewer.agent_kill(params(json!({"agent_id": agent}))).await);
        let page = json!({"topics": [topic], "types": ["audit.*"], "limit": 1000});
        let events = ann.event_read(params(page)).await.unwrap().events;
        let last: Vec<_> = events.iter().rev().take(2).map(|event| event.json()).collect();
        assert!(last.iter().all(|event| event.contains(&agent)), "{topic}: {last:?}");
    }
    assert_eq!(began.elapsed(), Duration::ZERO, "nobody waited for a clock");
}

#[tokio::test(start_paused = true)]
async fn a_configuration_that_was_refused_is_written_down_as_such() {
    let mistake = |_| -> BoxFuture<'static, Reloaded> {
        Box::pin(async { Reloaded::refused(vec!["no such key".to_owned()]) })
    };
    let about = About { reload: Some(Arc::new(mistake)), ..About::default() };
    let descartes = Descartes::builder().runner(Arc::new(FakeChat::runner())).build().await;
    let rpc = Rpc::described(descartes.unwrap(), about).build();
    let ann = Client::in_memory_as(rpc.clone(), Principal::new("ann", ["*"]));
    ann.system_reload(params(json!({}))).await.unwrap();
    let written = written(&rpc).await;
    assert_eq!(brief(&written[0]), ("audit.configuration", "ann", "system.reload", "failed"));
}

#[tokio::test(start_paused = true)]
async fn whom_a_transport_turns_away_is_written_down_with_why() {
    let auth = Authenticator::default();
    let about = About { auth: auth.clone(), ..About::default() };
    let descartes = Descartes::builder().runner(Arc::new(FakeChat::runner())).build().await;
    let rpc = Rpc::described(descartes.unwrap(), about).build();
    let stranger = Peer::new("test").with_address("203.0.113.9:1");
    let error = RpcError::new(ErrorKind::Unauthenticated, "no").reason("other_user");
    for _ in 0..100 {
        auth.turned_away(&stranger, &error);
    }
    let written = written(&rpc).await;
    assert_eq!(brief(&written[0]), ("audit.denied", "nobody", "", "unauthenticated"));
    assert_eq!(written[0].1["reason"], "other_user");
    assert_eq!(written[0].1["peer"], "test 203.0.113.9:1");
    assert_eq!((written.len(), &written[1].1["count"]), (2, &json!(99)));
}

#[tokio::test(start_paused = true)]
async fn a_flood_of_refusals_of_every_kind_is_few_entries() {
    let rpc = rpc().await;
    let viewer = Client::in_memory_as(rpc.clone(), Principal::new("vic", ["agent:read"]));
    for number in 0..2000 {
        refused(viewer.agent_kill(params(json!({"agent_id": format!("a{number}")}))).await);
    }
    let written = written(&rpc).await;
    assert_eq!(written.len(), AUDIT_KINDS + 2, "the first ones, and the rest as one kind");
    let counted = written.last().unwrap();
    assert_eq!(counted.1["principal"], "*");
    assert_eq!(counted.1["count"], json!(2000 - AUDIT_KINDS - 1));
    tokio::time::sleep(Duration::from_secs(1)).await;
}
