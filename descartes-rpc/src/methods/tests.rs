//! Every method over the client in memory, with a fake runner and a store in memory.

mod actions;
mod audit;
mod auth;
mod chats;
mod costs;
mod matrix;
mod reach;
mod repeating;
mod resuming;

use std::sync::Arc;
use std::time::Duration;

use descartes_core::Descartes;
use descartes_core::testing::FakeRunner;
use serde_json::{Value, json};

use crate::auth::Principal;
use crate::client::{Client, ClientError, Update};
use crate::error::{ErrorKind, RpcError};
use crate::layer::RateLimit;
use crate::service::Rpc;
use crate::wire::agent::{
    AgentParams, AgentStatus, ListParams, PruneParams, RemoveParams, SpawnParams, StatusFilter,
    WaitParams,
};
use crate::wire::config::{Command, SpawnConfig};
use crate::wire::control::{
    BatchCommand, BatchParams, KillParams, PauseParams, ResumeParams, SignalName, SignalParams,
    StopParams, WriteParams,
};
use crate::wire::event::{ReadParams, SubscribeParams};
use crate::wire::output::{LogsParams, OutputParams};
use crate::wire::state::{DeleteParams, PutParams, QueryParams};
use crate::wire::system::{HealthStatus, NoParams, ReloadParams, ReloadStatus, ShutdownParams};

async fn descartes() -> Descartes {
    let runner = Arc::new(FakeRunner::echo());
    Descartes::builder().runner(runner).build().await.unwrap()
}

async fn client() -> Client {
    Client::in_memory(Rpc::builder(descartes().await).build())
}

fn params<P: serde::de::DeserializeOwned>(params: Value) -> P {
    serde_json::from_value(params).unwrap()
}

fn echo(name: &str) -> SpawnParams {
    let config =
        SpawnConfig { command: Some(Command::from_iter(["echo"])), ..SpawnConfig::default() };
    SpawnParams {
        name: Some(name.into()),
        agent_type: Some("process".into()),
        config: Some(config),
        ..SpawnParams::default()
    }
}

fn refused<T: std::fmt::Debug>(result: Result<T, ClientError>) -> RpcError {
    match result.unwrap_err() {
        ClientError::Rpc(error) => error,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn an_agent_lives_from_spawn_to_remove() {
    let client = client().await;
    let agent = client.agent_spawn(echo("worker")).await.unwrap();
    assert_eq!(agent.status, AgentStatus::Running);
    let listed = client.agent_list(ListParams::default()).await.unwrap();
    assert_eq!((listed.count, listed.total), (1, 1));
    assert_eq!(listed.agents[0].id, agent.agent_id);

    let write = params::<WriteParams>(json!({"agent_id": "worker", "text": "hello\nyou\n"}));
    assert_eq!(client.agent_write_stdin(write).await.unwrap().bytes_written, 10);
    let logs = json!({"agent_id": "worker", "wait_ms": 1000});
    let logs = client.agent_logs(params::<LogsParams>(logs)).await.unwrap();
    let lines: Vec<_> = logs.logs.iter().map(|row| row.message.as_str()).collect();
    assert_eq!(lines, ["hello", "you"]);
    let found = json!({"agent_id": agent.agent_id, "filter": "^y"});
    let found = client.agent_output(params::<OutputParams>(found)).await.unwrap();
    assert_eq!((found.lines, found.total_lines), (vec!["you".to_owned()], 1));
    let details = client.agent_get(AgentParams { agent_id: "worker".into() }).await.unwrap();
    assert_eq!((details.output.bytes, details.output.lines), (10, 2));
    assert_eq!(details.output.first_line, Some(0));

    let close = params::<WriteParams>(json!({"agent_id": "worker", "close": true}));
    client.agent_write_stdin(close).await.unwrap();
    let ended = client.agent_wait(params::<WaitParams>(json!({"agent_id": "worker"}))).await;
    let ended = ended.unwrap();
    assert_eq!(ended.status, AgentStatus::Completed);
    assert_eq!(ended.exit.and_then(|exit| exit.code), Some(0));

    let remove = params::<RemoveParams>(json!({"agent_id": "worker"}));
    assert!(client.agent_remove(remove).await.unwrap().removed);
    let gone = client.agent_get(AgentParams { agent_id: "worker".into() }).await;
    assert_eq!(refused(gone).kind(), ErrorKind::AgentNotFound);
}

#[tokio::test(start_paused = true)]
async fn a_live_agent_is_paused_resumed_restarted_signalled_and_killed() {
    let client = client().await;
    client.agent_spawn(echo("worker")).await.unwrap();
    let pause: PauseParams = params(json!({"agent_id": "worker"}));
    let paused = client.agent_pause(pause).await.unwrap();
    assert_eq!(paused.status, AgentStatus::Paused);
    let resume: ResumeParams = params(json!({"agent_id": "worker"}));
    let resumed = client.agent_resume(resume).await.unwrap();
    assert_eq!((resumed.status, resumed.pause_mode), (AgentStatus::Running, paused.pause_mode));
    let signal: SignalParams = params(json!({"agent_id": "worker", "signal": "usr1"}));
    assert_eq!(client.agent_signal(signal).await.unwrap().signal, SignalName::Usr1);
    let restart: StopParams = params(json!({"agent_id": "worker"}));
    assert_eq!(client.agent_restart(restart).await.unwrap().run, 2);
    let kill: KillParams = params(json!({"agent_id": "worker", "force": true}));
    let killed = client.agent_kill(kill).await.unwrap();
    assert_eq!((killed.status, killed.recorded), (AgentStatus::Killed, true));
    let again: StopParams = params(json!({"agent_id": "worker"}));
    let again = client.agent_stop(again).await.unwrap();
    assert!(again.message.contains("already"), "{}", again.message);
    let late: PauseParams = params(json!({"agent_id": "worker"}));
    let late = refused(client.agent_pause(late).await);
    assert_eq!((late.kind(), late.reason_text()), (ErrorKind::Conflict, Some("wrong_status")));
    assert_eq!(late.detail("status").unwrap(), "killed");
    assert!(late.detail("exit").is_some());
}

#[tokio::test(start_paused = true)]
async fn a_batch_answers_in_the_order_asked() {
    let client = client().await;
    for name in ["a", "b"] {
        client.agent_spawn(echo(name)).await.unwrap();
    }
    let batch = json!({"agent_ids": ["b", "nobody", "a"], "command": "kill"});
    let done = client.agent_batch(params::<BatchParams>(batch)).await.unwrap();
    assert_eq!((done.successful, done.failed, done.success), (2, 1, false));
    let asked: Vec<_> = done.results.iter().map(|entry| entry.agent_id.as_str()).collect();
    assert_eq!(asked, ["b", "nobody", "a"]);
    let error = done.results[1].error.as_ref().unwrap();
    assert_eq!(error.data["kind"], "agent_not_found");
    let wrong = json!({"agent_ids": [], "command": "kill", "payload": {"text": "x"}});
    let wrong = refused(client.agent_batch(params::<BatchParams>(wrong)).await);
    assert_eq!(wrong.detail("path").unwrap(), "payload");
    let prune: PruneParams = params(json!({"older_than_secs": 0, "dry_run": true}));
    assert_eq!(client.agent_prune(prune).await.unwrap().count, 2);
    let prune: PruneParams = params(json!({"older_than_secs": 0}));
    assert_eq!(client.agent_prune(prune).await.unwrap().count, 2);
    let any = ListParams { status: Some(StatusFilter::Any.into()), ..ListParams::default() };
    assert_eq!(client.agent_list(any).await.unwrap().total, 0);
    let status = BatchCommand::Status;
    assert_eq!(serde_json::to_value(status).unwrap(), "status");
}

#[tokio::test(start_paused = true)]
async fn a_wait_that_is_too_short_says_what_the_agent_does() {
    let client = client().await;
    client.agent_spawn(echo("worker")).await.unwrap();
    let wait: WaitParams = params(json!({"agent_id": "worker", "timeout_secs": 2}));
    let error = refused(client.agent_wait(wait).await);
    assert_eq!(error.kind(), ErrorKind::Timeout);
    assert_eq!(error.detail("status").unwrap(), "running");
    let long: WaitParams = params(json!({"agent_id": "worker", "timeout_secs": 4000}));
    assert_eq!(refused(client.agent_wait(long).await).detail("path").unwrap(), "timeout_secs");
}

#[tokio::test(start_paused = true)]
async fn a_subscriber_sees_history_and_what_follows() {
    let client = client().await;
    let agent = client.agent_spawn(echo("worker")).await.unwrap();
    let topics = vec!["agent/worker/status".to_owned(), "agent/worker/output".to_owned()];
    let follow = SubscribeParams { topics: topics.clone(), ..SubscribeParams::default() };
    let mut subscription = client.subscribe(follow).await.unwrap();
    let mut seen = Vec::new();
    let mut written = false;
    while let Some(update) = subscription.next().await {
        match update.unwrap() {
            Update::Event(event) => seen.push(event.kind().to_owned()),
            Update::Synced { .. } => {
                assert!(!std::mem::replace(&mut written, true));
                let write = json!({"agent_id": agent.agent_id, "text": "x\n", "close": true});
                client.agent_write_stdin(params::<WriteParams>(write)).await.unwrap();
            }
            other => panic!("{other:?}"),
        }
        if seen.last().is_some_and(|kind| kind == "agent.exited") {
            break;
        }
    }
    let expected = ["agent.spawned", "agent.output", "agent.status_changed", "agent.exited"];
    assert_eq!(seen, expected);
    let read = ReadParams { topics, types: Some(vec!["agent.*".into()]), ..ReadParams::default() };
    let page = client.event_read(read).await.unwrap();
    assert_eq!(page.events.len(), 4);
    assert!(page.synced && page.gaps.is_empty());
    let foreign = ReadParams {
        topics: vec!["system".into()],
        after: Some("00000001.1.5".into()),
        ..ReadParams::default()
    };
    let foreign = refused(client.event_read(foreign).await);
    assert_eq!(foreign.reason_text(), Some("cursor_foreign"));
}

#[tokio::test(start_paused = true)]
async fn values_are_kept_exactly_and_by_version() {
    let client = client().await;
    let put = |value: Value| params::<PutParams>(value);
    let first = client.state_put(put(json!({"key": "a", "value": [1, null]}))).await.unwrap();
    assert_eq!(first.version, 1);
    let stale = put(json!({"key": "a", "value": 2, "expected_version": 7}));
    let stale = refused(client.state_put(stale).await);
    assert_eq!(stale.reason_text(), Some("version_mismatch"));
    let read_only = refused(client.state_put(put(json!({"key": "agents", "value": 2}))).await);
    assert_eq!(read_only.kind(), ErrorKind::InvalidParams);
    let view = client.state_query(QueryParams::default()).await.unwrap();
    assert_eq!(view.state["a"].0.get(), "[1,null]");
    assert_eq!(view.state["agents"].0.get(), "{}");
    let nothing = params::<QueryParams>(json!({"key": "zzz"}));
    assert!(client.state_query(nothing).await.unwrap().state.is_empty());
    client.agent_spawn(echo("worker")).await.unwrap();
    let of_agent = client.state_query(params(json!({"agent_id": "worker"}))).await.unwrap();
    assert_eq!(of_agent.state["status"].0.get(), "\"running\"");
    let deleted: DeleteParams = params(json!({"key": "a"}));
    client.state_delete(deleted).await.unwrap();
    let view = client.state_query(params(json!({"prefix": "a"}))).await.unwrap();
    assert_eq!(view.state.keys().collect::<Vec<_>>(), ["agents"]);
}

#[tokio::test(start_paused = true)]
async fn the_daemon_tells_how_it_is() {
    let client = client().await;
    client.agent_spawn(echo("worker")).await.unwrap();
    let health = client.system_health(NoParams {}).await.unwrap();
    assert_eq!(health.status, HealthStatus::Healthy);
    assert!(client.system_ready(NoParams {}).await.unwrap().ready);
    let metrics = client.system_metrics(NoParams {}).await.unwrap();
    assert_eq!((metrics.agents.total, metrics.agents.running), (1, 1));
    let info = client.system_info(NoParams {}).await.unwrap();
    assert!(info.backends.contains(&"process".to_owned()));
    assert!(info.store.oldest.is_some());
    let stop = client.system_shutdown(ShutdownParams::default()).await.unwrap();
    assert!(!stop.accepted);
    let reloaded = client.system_reload(ReloadParams::default()).await.unwrap();
    let drained = client.system_drain(params(json!({"on": true}))).await.unwrap();
    assert!(drained.accepted && !client.system_ready(NoParams {}).await.unwrap().ready);
    let refused = client.agent_spawn(echo("late")).await.unwrap_err();
    assert!(
        refused.to_string().contains("drain") || refused.to_string().contains("stop"),
        "{refused}"
    );
    assert!(client.system_drain(params(json!({"on": false}))).await.unwrap().accepted);
    assert!(client.system_ready(NoParams {}).await.unwrap().ready);
    assert_eq!(reloaded.status, ReloadStatus::Unchanged, "nobody said how it is reloaded");
    let backends = client.backend_list(params(json!({}))).await.unwrap();
    assert!(backends.backends.iter().any(|backend| backend.available));
    let document = client.rpc_discover(NoParams {}).await.unwrap();
    let document: Value = serde_json::from_str(document.0.get()).unwrap();
    assert_eq!(document["methods"].as_array().unwrap().len(), super::ENTRIES.len());
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_cannot_start_leaves_nothing() {
    let client = client().await;
    let mut missing = echo("worker");
    missing.config =
        Some(SpawnConfig { command: Some(Command::from_iter(["/missing"])), ..Default::default() });
    let error = refused(client.agent_spawn(missing).await);
    assert_eq!(error.kind(), ErrorKind::SpawnFailed);
    assert_eq!(error.detail("errno_name").unwrap(), "ENOENT");
    let any = ListParams { status: Some(StatusFilter::Any.into()), ..ListParams::default() };
    assert_eq!(client.agent_list(any).await.unwrap().total, 0);
}

#[tokio::test(start_paused = true)]
async fn a_star_stands_for_any_end_of_a_topic() {
    let client = client().await;
    let agent = client.agent_spawn(echo("worker")).await.unwrap();
    let begun = agent.agent_id.get(..13).unwrap();
    for (text, first) in [
        (format!("agent/{begun}*"), Some("agent.spawned")),
        (format!("agent/{}/st*", agent.agent_id), Some("agent.spawned")),
        (format!("agent/{}/*", agent.agent_id), Some("agent.spawned")),
        ("*".to_owned(), Some("system.started")),
        ("syst*".to_owned(), Some("system.started")),
        // No name is looked up before a star.
        ("agent/nobody/st*".to_owned(), None),
    ] {
        let read = ReadParams { topics: vec![text.clone()], ..ReadParams::default() };
        let page = client.event_read(read).await.unwrap();
        assert_eq!(page.events.first().map(crate::wire::event::Event::kind), first, "{text}");
    }
    let follow =
        SubscribeParams { topics: vec!["*".into(), "agent/0*".into()], ..Default::default() };
    let subscription = client.subscribe(follow).await.unwrap();
    drop(subscription);
}

#[tokio::test(start_paused = true)]
async fn a_viewer_may_look_and_not_touch() {
    let rpc = Rpc::builder(descartes().await).build();
    let viewer = Client::in_memory_as(rpc, Principal::new("ann", ["agent:read"]));
    viewer.agent_list(ListParams::default()).await.unwrap();
    let refusal = refused(viewer.agent_spawn(echo("x")).await);
    assert_eq!(refusal.kind(), ErrorKind::Forbidden);
    let topic = |topic: &str| SubscribeParams { topics: vec![topic.into()], ..Default::default() };
    viewer.subscribe(topic("agent/")).await.unwrap();
    viewer.subscribe(topic("agent/0*")).await.unwrap();
    viewer.subscribe(topic("*")).await.unwrap();
    let refusal = refused(viewer.subscribe(topic("audit")).await.map(drop));
    assert_eq!(refusal.detail("required").unwrap(), "audit");
}

#[tokio::test(start_paused = true)]
async fn the_same_key_gives_the_same_agent_and_other_parameters_a_conflict() {
    let client = client().await;
    let keyed = |name: &str| SpawnParams { idempotency_key: Some("k".into()), ..echo(name) };
    let (one, two) = tokio::join!(client.agent_spawn(keyed("a")), client.agent_spawn(keyed("a")));
    let (one, two) = (one.unwrap(), two.unwrap());
    assert_eq!(one, two);
    assert_eq!(client.agent_spawn(keyed("a")).await.unwrap(), one);
    let other = refused(client.agent_spawn(keyed("b")).await);
    assert_eq!(other.reason_text(), Some("idempotency_mismatch"));
    assert_eq!(client.agent_list(ListParams::default()).await.unwrap().total, 1);
}

#[tokio::test(start_paused = true)]
async fn a_stored_failure_is_told_again() {
    let client = client().await;
    let kill = || params::<KillParams>(json!({"agent_id": "nobody", "idempotency_key": "k"}));
    assert_eq!(refused(client.agent_kill(kill()).await).kind(), ErrorKind::AgentNotFound);
    client.agent_spawn(echo("nobody")).await.unwrap();
    assert_eq!(refused(client.agent_kill(kill()).await).kind(), ErrorKind::AgentNotFound);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_timed_out_is_answered_under_the_key_it_was_given() {
    let stubborn = FakeRunner::new(|mut agent| async move {
        // Takes longer to end than anybody waits.
        while !matches!(agent.next().await, descartes_core::testing::FakeInput::Killed) {}
        tokio::time::sleep(Duration::from_secs(60)).await;
        agent.die().await;
    });
    let descartes = Descartes::builder().runner(Arc::new(stubborn)).build().await.unwrap();
    let client = Client::in_memory(Rpc::builder(descartes).build());
    client.agent_spawn(echo("worker")).await.unwrap();
    let kill: KillParams = params(json!({"agent_id": "worker"}));
    let error = refused(client.agent_kill(kill.clone()).await);
    assert_eq!(error.kind(), ErrorKind::Timeout);
    let key = error.detail("idempotency_key").unwrap().as_str().unwrap().to_owned();
    let again = KillParams { idempotency_key: Some(key.clone()), ..kill.clone() };
    let error = refused(client.agent_kill(again.clone()).await);
    assert_eq!(error.kind(), ErrorKind::Timeout);
    assert_eq!(error.detail("idempotency_key").unwrap(), key.as_str());
    tokio::time::sleep(Duration::from_secs(60)).await;
    let killed = client.agent_kill(again).await.unwrap();
    assert!(!killed.message.contains("already"), "{}", killed.message);
}

#[tokio::test(start_paused = true)]
async fn nested_objects_of_every_method_refuse_an_array() {
    let client = client().await;
    let document: Value =
        serde_json::from_str(client.rpc_discover(NoParams {}).await.unwrap().0.get()).unwrap();
    let mut tried = 0;
    for method in document["methods"].as_array().unwrap() {
        for param in method["params"].as_array().unwrap() {
            let schema = param["schema"].to_string();
            if !["SpawnConfig", "Selection", "BatchPayload"]
                .iter()
                .any(|name| schema.contains(name))
            {
                continue;
            }
            let name = param["name"].as_str().unwrap();
            let sent = serde_json::value::to_raw_value(&json!({ name: [] })).unwrap();
            let error = refused(client.call_raw(method["name"].as_str().unwrap(), &sent).await);
            assert_eq!(error.kind(), ErrorKind::InvalidParams, "{} {name}", method["name"]);
            assert_eq!(error.detail("path").unwrap(), name, "{}", method["name"]);
            tried += 1;
        }
    }
    assert!(tried >= 3, "{tried}");
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_refused_is_counted_as_one_of_its_method() {
    let rate = Some(RateLimit { per_second: 1, burst: 1 });
    let rpc = Rpc::builder(descartes().await).rate(rate).build();
    let reader = Client::in_memory_as(rpc.clone(), Principal::new("ann", ["agent:read"]));
    reader.agent_list(ListParams::default()).await.unwrap();
    let often = refused(reader.agent_list(ListParams::default()).await);
    assert_eq!(often.detail("limit").unwrap(), "limits.rate_per_second");
    refused(reader.agent_spawn(SpawnParams::default()).await);
    let counted = rpc.meter().read();
    let counted: Vec<_> =
        counted.iter().map(|one| (one.method, one.calls(), &one.failed)).collect();
    let one = |kind| std::collections::BTreeMap::from([(kind, 1)]);
    let expected =
        [("agent.list", 2, &one("resource_exhausted")), ("agent.spawn", 1, &one("forbidden"))];
    assert_eq!(counted, expected);
}
