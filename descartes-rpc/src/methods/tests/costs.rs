//! Calls of somebody whose agents have cost what they may.

use std::sync::Arc;

use descartes_core::dialect::ApprovalMode;
use descartes_core::runner::Whereabouts;
use descartes_core::testing::FakeChat;
use descartes_core::{Descartes, Settings};
use serde_json::{Value, json};

use super::{params, refused};
use crate::auth::Principal;
use crate::client::{Client, ClientError};
use crate::error::{ErrorKind, RpcError};
use crate::methods::ENTRIES;
use crate::service::Rpc;
use crate::wire::chunk::TurnOutcome;

/// The methods that begin work: one that is added has to be written here, or be `free`.
const COSTLY: [&str; 7] = [
    "agent.spawn",
    "agent.restart",
    "agent.write_stdin",
    "agent.send",
    "chat.start",
    "chat.prompt",
    "chat.upgrade_to_agent",
];

#[test]
fn every_method_that_begins_work_costs_and_no_control_and_no_reading_does() {
    let costly = ENTRIES.iter().map(|entry| &entry.declaration).filter(|declared| declared.costs);
    let names: Vec<_> = costly.clone().map(|declared| declared.name).collect();
    assert_eq!(names, COSTLY);
    assert!(costly.clone().all(|declared| declared.mutating && !declared.control));
}

/// A service whose principals may spend a dollar a day.
async fn rpc() -> Rpc {
    let mut settings = Settings::default();
    settings.cost_usd_per_day = Some(1.0);
    settings.approval_mode = ApprovalMode::AllowAll;
    settings.backends = vec![FakeChat::backend(), FakeChat::costly()];
    settings.default_backend = Some("fake".into());
    let builder = Descartes::builder().runner(Arc::new(FakeChat::runner())).settings(settings);
    Rpc::builder(builder.build().await.unwrap()).build()
}

async fn call(client: &Client, method: &str, params: Value) -> Result<Value, ClientError> {
    let params = serde_json::value::to_raw_value(&params).unwrap();
    let result = client.call_raw(method, &params).await?;
    Ok(serde_json::from_str(result.get()).unwrap())
}

/// Has a turn cost `usd`.
async fn spend(client: &Client, usd: &str) {
    let chat = client.chat_create(params(json!({"backend": "costly"}))).await.unwrap();
    let prompt = json!({"session_id": chat.session_id, "prompt": usd, "wait": true});
    let prompted = client.chat_prompt(params(prompt)).await.unwrap();
    assert_eq!(prompted.outcome, Some(TurnOutcome::Completed));
}

fn check(error: &RpcError) {
    assert_eq!(error.kind(), ErrorKind::ResourceExhausted, "{error}");
    assert_eq!(error.detail("limit").unwrap(), "limits.cost_usd_per_day");
    let number = |name| error.detail(name).and_then(Value::as_f64).unwrap();
    assert_eq!((number("current"), number("max")), (1.25, 1.0));
    let wait = error.detail("retry_after_ms").and_then(Value::as_u64).unwrap();
    assert!(wait > 86_400_000 && wait <= 90_000_000, "{wait}");
    assert!(error.is_retryable());
}

#[tokio::test(start_paused = true)]
async fn who_has_spent_all_begins_nothing_and_everything_else_goes_on() {
    let rpc = rpc().await;
    let ann = Client::in_memory_as(rpc.clone(), Principal::new("ann", ["*"]));
    let bob = Client::in_memory_as(rpc.clone(), Principal::new("bob", ["*"]));
    let keyed = json!({"name": "first", "idempotency_key": "k"});
    let agent = ann.agent_spawn(params(keyed.clone())).await.unwrap().agent_id;
    let ends = ann.agent_spawn(params(json!({"name": "second"}))).await.unwrap().agent_id;
    let chat = ann.chat_create(params(json!({}))).await.unwrap().session_id;
    spend(&ann, "0.75").await;
    spend(&ann, "0.5").await;
    let inside = Whereabouts::Inside(agent.parse().unwrap());
    let inside = Client::in_memory_as(rpc.clone(), Principal::owner().found(inside));
    let write = json!({"agent_id": agent, "text": "more\n"});
    let calls = [
        ("agent.spawn", json!({})),
        ("agent.restart", json!({"agent_id": agent})),
        ("agent.write_stdin", write.clone()),
        ("agent.send", json!({"agent_id": agent, "content": "more"})),
        ("chat.start", json!({"initial_prompt": "more"})),
        ("chat.prompt", json!({"session_id": chat, "prompt": "more"})),
        ("chat.upgrade_to_agent", json!({"session_id": chat})),
    ];
    assert_eq!(calls.each_ref().map(|(method, _)| *method), COSTLY);
    for (method, params) in calls {
        check(&refused(call(&ann, method, params).await));
    }
    let batch = |command, dry_run| {
        let payload = if command == "write_stdin" { json!({"text": "x"}) } else { json!({}) };
        json!({"agent_ids": [agent], "command": command, "payload": payload, "dry_run": dry_run})
    };
    check(&refused(call(&ann, "agent.batch", batch("write_stdin", false)).await));
    // An agent is on its owner's account, also where it calls itself.
    check(&refused(call(&inside, "agent.spawn", json!({})).await));
    // Whose the chat is counts as well as who asks.
    let asked = call(&bob, "chat.prompt", json!({"session_id": chat, "prompt": "more"})).await;
    check(&refused(asked));
    assert_eq!(call(&ann, "agent.spawn", keyed).await.unwrap()["agent_id"], json!(agent));
    for (method, params) in [
        ("agent.batch", batch("write_stdin", true)),
        ("agent.batch", batch("pause", false)),
        ("agent.batch", batch("resume", false)),
        ("agent.get", json!({"agent_id": agent})),
        ("agent.signal", json!({"agent_id": agent, "signal": "usr1"})),
        ("agent.cancel", json!({"agent_id": agent})),
        ("agent.kill", json!({"agent_id": ends, "force": true})),
        ("agent.remove", json!({"agent_id": ends})),
        ("chat.create", json!({})),
        ("chat.update", json!({"session_id": chat, "title": "spent"})),
        ("chat.stop", json!({"session_id": chat})),
        ("approval.list", json!({})),
        ("state.put", json!({"key": "a", "value": 1})),
    ] {
        let answer = call(&ann, method, params).await;
        assert!(answer.is_ok(), "{method}: {answer:?}");
    }
    let spawned = call(&bob, "agent.spawn", json!({})).await;
    assert!(spawned.is_ok(), "each has its own: {spawned:?}");
    let audit = json!({"topics": ["audit"], "limit": 1000});
    let page = bob.event_read(params(audit)).await.unwrap();
    let events = page.events.iter().map(|event| serde_json::from_str(event.json()).unwrap());
    let denied = events.filter(|event: &Value| event["type"] == "audit.denied");
    let denied: Vec<_> = denied.filter(|event| event["by"] == "ann").collect();
    for method in COSTLY {
        let one = denied.iter().find(|event| event["data"]["method"] == method);
        let one = one.unwrap_or_else(|| panic!("{method} is not written down: {denied:?}"));
        assert_eq!(one["data"]["outcome"], "resource_exhausted");
    }
    assert!(events_of(&denied, "agent.restart").contains(&json!(agent)));
}

fn events_of(denied: &[Value], method: &str) -> Vec<Value> {
    let of = denied.iter().filter(|event| event["data"]["method"] == method);
    of.map(|event| event["data"]["resource"].clone()).collect()
}
