//! Every message that works.

use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use descartes_rpc::connection::ConnectionLimits;
use descartes_rpc::message::{Reply, Request, Response};
use descartes_rpc::openrpc::API_VERSION;
use descartes_rpc::wire::agent::AgentStatus;

use super::*;
use crate::protocol::{
    BatchControlCommand, CustomActionRequest, HealthCheckRequest, ListAgentsRequest,
    OutputQueryRequest, ZmqOutputStream,
};

#[tokio::test(start_paused = true)]
async fn spawn_answers_with_the_agent_and_where_its_events_begin() {
    let mut talk = Talk::start().await;
    let mut request = spawn("worker");
    request.metadata = Some([("team".to_owned(), "blue".to_owned())].into());
    request.timeout_secs = Some(20.into());
    let ZmqMessage::SpawnResponse(answer) = talk.ask(request).await else { panic!() };
    assert_eq!(answer.request_id.as_deref(), Some("spawn worker"));
    let agent = answer.agent_info.unwrap();
    assert_eq!((agent.name.as_str(), agent.status), ("worker", AgentStatus::Running));
    assert_eq!(agent.labels["team"], "blue");
    assert_eq!(Some(agent.id), answer.agent_id);
    let (server, cursor) = (answer.server_id.unwrap(), answer.cursor.unwrap());
    assert!(cursor.starts_with(&server), "{server} {cursor}");
}

#[tokio::test(start_paused = true)]
async fn the_older_flat_form_becomes_the_parameters_of_spawn() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&seen);
    let service = tower::service_fn(move |request: Request| {
        let params = request.params.as_bytes().map(Bytes::copy_from_slice).unwrap_or_default();
        noted.lock().unwrap().push((request.method.as_str().to_owned(), params));
        let outcome = Ok(Bytes::from_static(
            br#"{"agent_id":"a","name":"n","status":"running","message":"","cursor":"ab.1.2"}"#,
        ));
        let response = Some(Response { id: request.id.unwrap(), outcome });
        std::future::ready(Ok::<_, Infallible>(Reply { response, notifications: None }))
    });
    let mut talk = Talk::with(service, Peer::owner("test"), ConnectionLimits::default());
    let config = json!({
        "name": "n", "model_backend": "basic", "task": "go", "context": "kindly", "model": null,
        "environment": {"A": "1"},
    });
    let request = SpawnRequest {
        request_id: "1".into(),
        config: object(config.clone()),
        metadata: Some([("a".to_owned(), "b".to_owned())].into()),
        ..SpawnRequest::default()
    };
    // The same beside `request_id`, and in no `config`.
    let mut beside = config;
    for (name, value) in [("type", json!("spawn_request")), ("request_id", json!("1"))] {
        beside[name] = value;
    }
    beside["metadata"] = json!({"a": "b"});
    for sent in [ZmqMessage::from(request).encode(), packed(beside)] {
        talk.send_raw(sent).await;
        let ZmqMessage::SpawnResponse(answer) = talk.next().await else { panic!() };
        assert!(answer.success && answer.agent_info.is_none());
        assert_eq!(answer.server_id.as_deref(), Some("ab"));
        let seen = std::mem::take(&mut *seen.lock().unwrap());
        assert_eq!(seen[0].0, "agent.spawn");
        let params: Json = serde_json::from_slice(&seen[0].1).unwrap();
        let expected = json!({
            "name": "n", "agent_type": "basic",
            "config": {"task": "kindly\n\ngo", "env": {"A": "1"}, "labels": {"a": "b"}},
        });
        assert_eq!(params, expected);
    }
}

#[tokio::test(start_paused = true)]
async fn a_start_that_takes_too_long_is_told_with_the_key_that_leads_back_to_it() {
    let never = tower::service_fn(|_: Request| std::future::pending::<Result<Reply, Infallible>>());
    let mut talk = Talk::with(never, Peer::owner("test"), ConnectionLimits::default());
    let mut request = spawn("worker");
    request.timeout_secs = Some(2.into());
    let mut config = fake_agent();
    config["idempotency_key"] = "k".into();
    for (config, key) in [(fake_agent(), None), (config, Some("k"))] {
        let request = SpawnRequest { config: config.into(), ..request.clone() };
        let ZmqMessage::SpawnResponse(answer) = talk.ask(request).await else { panic!() };
        let error = answer.error.unwrap();
        assert_eq!(error.kind, "timeout");
        let told = error.data.get("idempotency_key").and_then(Value::as_str);
        // One is made for who gives none.
        assert!(told.is_some_and(|told| key.map_or(told.len() > 1, |key| told == key)), "{told:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn commands_do_what_their_methods_do() {
    let mut talk = Talk::start().await;
    let id = talk.spawn("worker").await;
    let status = |answer: &CommandResponse| answer.status.map(AgentStatus::as_str);
    let paused = talk.command(plain("worker", Command::Pause)).await;
    assert_eq!((paused.success, status(&paused)), (true, Some("paused")));
    assert_eq!(paused.request_id.as_deref(), Some("pause"));
    assert_eq!(paused.agent_id.as_deref(), Some("worker"));
    let resumed = talk.command(plain("worker", Command::Resume)).await;
    assert_eq!(status(&resumed), Some("running"));
    let payload = CommandPayload { signal: Some("usr1".into()), ..CommandPayload::default() };
    let signalled = talk.command(command("worker", Command::Signal, payload)).await;
    assert_eq!(data(&signalled)["signal"], "usr1");
    let shown = talk.command(plain("worker", Command::GetStatus)).await;
    assert_eq!((data(&shown)["id"].as_str(), status(&shown)), (Some(&*id), Some("running")));
    let stopped = talk.command(plain("worker", Command::Stop)).await;
    assert_eq!(data(&stopped)["agent_id"], *id);
    assert!(stopped.status.unwrap().is_terminal());
    talk.spawn("other").await;
    let killed = talk.command(plain("other", Command::Kill)).await;
    assert_eq!(status(&killed), Some("killed"));
}

#[tokio::test(start_paused = true)]
async fn what_is_written_comes_back_byte_by_byte_and_is_searched() {
    let mut talk = Talk::start().await;
    talk.spawn("worker").await;
    let bytes = b"one\n\xff\xfe\0two\nlast without end";
    let wrote = talk.command(write("worker", bytes)).await;
    assert_eq!(data(&wrote)["bytes_written"], bytes.len());
    let page = written(&mut talk, "worker", bytes).await;
    assert_eq!(page.data.as_ref().unwrap().get("total").unwrap().as_u64(), Some(3));
    let payload = CommandPayload { tail: Some(1), ..CommandPayload::default() };
    let tail = talk.command(command("worker", Command::ReadStdout, payload)).await;
    assert_eq!(stdout(&tail), b"last without end");
    assert_eq!(stdout(&talk.command(plain("worker", Command::ReadStderr)).await), b"");
    let payload = CommandPayload { filter: Some("^o".into()), ..CommandPayload::default() };
    let found = talk.command(command("worker", Command::QueryOutput, payload)).await;
    assert_eq!(data(&found)["lines"], json!(["one"]));
    let query = OutputQueryRequest {
        request_id: "q".into(),
        agent_id: "worker".into(),
        stream: ZmqOutputStream::Both,
        limit: Some(1),
        offset: Some(1),
        ..OutputQueryRequest::default()
    };
    let ZmqMessage::OutputQueryResponse(found) = talk.ask(query).await else { panic!() };
    assert_eq!((found.lines.len(), found.total_lines, found.has_more), (1, Some(3), true));
    let payload = CommandPayload {
        text: Some("bye\n".into()),
        close: Some(true),
        ..CommandPayload::default()
    };
    let closed = talk.command(command("worker", Command::WriteStdin, payload)).await;
    assert_eq!(data(&closed)["bytes_written"], 4);
}

#[tokio::test(start_paused = true)]
async fn agents_are_listed_by_status_and_by_pages() {
    let mut talk = Talk::start().await;
    for name in ["a", "b", "c"] {
        talk.spawn(name).await;
    }
    talk.command(plain("c", Command::Kill)).await;
    let mut list = async |filter: Option<&str>, limit, page_token| {
        let request = ListAgentsRequest {
            request_id: "l".into(),
            filter_status: filter.map(|word| word.to_owned().into()),
            limit,
            page_token,
        };
        match talk.ask(request).await {
            ZmqMessage::ListAgentsResponse(list) => list,
            other => panic!("{other:?}"),
        }
    };
    let names = |list: &crate::protocol::ListAgentsResponse| {
        list.agents.iter().map(|agent| agent.name.clone()).collect::<Vec<_>>().join(" ")
    };
    let live = list(None, None, None).await;
    assert_eq!((names(&live).as_str(), live.total, live.success), ("b a", Some(2), true));
    assert_eq!(names(&list(Some("killed"), None, None).await), "c");
    let first = list(Some("any"), Some(2), None).await;
    assert_eq!(names(&first), "c b");
    assert_eq!(names(&list(Some("any"), Some(2), first.next_page_token).await), "a");
    let wrong = list(Some("sleeping"), None, None).await.error.unwrap();
    assert_eq!(
        (wrong.kind.as_str(), wrong.path.as_deref()),
        ("invalid_params", Some("filter_status"))
    );
}

#[tokio::test(start_paused = true)]
async fn health_says_how_the_daemon_is() {
    let mut talk = Talk::start().await;
    talk.spawn("worker").await;
    let request = HealthCheckRequest { request_id: "h".into() };
    let ZmqMessage::HealthCheckResponse(health) = talk.ask(request).await else { panic!() };
    assert_eq!(health.protocol_version, API_VERSION);
    assert_eq!((health.healthy, health.active_agents), (true, Some(1)));
    assert!(health.uptime_secs.is_some());
}

#[tokio::test(start_paused = true)]
async fn actions_run_by_a_request_or_by_a_command() {
    let mut talk = Talk::start().await;
    talk.spawn("worker").await;
    let request = CustomActionRequest {
        request_id: "a".into(),
        agent_id: "worker".into(),
        action: "echo".into(),
        params: Some(object(json!({"deep": [1, null]}))),
        timeout_secs: Some(5.into()),
        idempotency_key: Some("k".into()),
    };
    for _ in 0..2 {
        let echoed = response(talk.ask(request.clone()).await);
        assert_eq!(data(&echoed), json!({"deep": [1, null]}));
    }
    let payload = CommandPayload { action: Some("ping".into()), ..CommandPayload::default() };
    let pong = talk.command(command("worker", Command::CustomAction, payload)).await;
    assert_eq!(
        (data(&pong)["pong"].as_bool(), pong.status),
        (Some(true), Some(AgentStatus::Running))
    );
    let unknown = CustomActionRequest { action: "nosuch".into(), idempotency_key: None, ..request };
    let error = response(talk.ask(unknown).await).error.unwrap();
    assert_eq!(
        (error.kind.as_str(), error.data.get("what").unwrap().as_str()),
        ("not_found", Some("action"))
    );
}

#[tokio::test(start_paused = true)]
async fn a_hundred_agents_are_one_round_trip_with_results_in_the_order_asked() {
    let mut talk = Talk::start().await;
    let mut ids = Vec::new();
    for number in 0..100 {
        ids.push(talk.spawn(&format!("worker-{number}")).await);
    }
    ids.reverse();
    let request = BatchControlCommand {
        request_id: "b".into(),
        agent_ids: ids.clone(),
        command_type: Command::Pause,
        ..BatchControlCommand::default()
    };
    let ZmqMessage::BatchControlResponse(answer) = talk.ask(request.clone()).await else {
        panic!()
    };
    assert_eq!((answer.success, answer.successful, answer.failed), (true, 100, 0));
    let order: Vec<_> = answer.results.iter().map(|result| result.agent_id.clone()).collect();
    assert_eq!(order, ids);
    assert!(answer.results.iter().all(|result| result.status == Some(AgentStatus::Paused)));

    ids.insert(0, "nobody".to_owned());
    let request = BatchControlCommand { agent_ids: ids, fail_fast: true, ..request };
    let ZmqMessage::BatchControlResponse(answer) = talk.ask(request).await else { panic!() };
    assert!(!answer.success);
    assert_eq!(answer.results[0].error.as_ref().unwrap().kind, "agent_not_found");
    assert_eq!(answer.results[100].error.as_ref().unwrap().kind, "cancelled");
    assert_eq!(answer.successful + answer.failed, 101);
}

#[tokio::test(start_paused = true)]
async fn a_batch_takes_the_payload_of_its_command_and_refuses_the_rest() {
    let mut talk = Talk::start().await;
    let ids = vec![talk.spawn("a").await, talk.spawn("b").await];
    let payload = CommandPayload { data: Some(vec![0xff, b'\n']), ..CommandPayload::default() };
    let request = BatchControlCommand {
        request_id: "b".into(),
        agent_ids: ids,
        command_type: Command::WriteStdin,
        payload: Some(payload),
        ..BatchControlCommand::default()
    };
    let ZmqMessage::BatchControlResponse(answer) = talk.ask(request.clone()).await else {
        panic!()
    };
    assert_eq!(answer.successful, 2);
    written(&mut talk, "a", b"\xff\n").await;
    written(&mut talk, "b", b"\xff\n").await;
    let reading =
        BatchControlCommand { command_type: Command::ReadStdout, payload: None, ..request.clone() };
    let ZmqMessage::BatchControlResponse(answer) = talk.ask(reading).await else { panic!() };
    assert_eq!(answer.error.unwrap().path.as_deref(), Some("command_type"));
    let payload = CommandPayload { close: Some(true), ..CommandPayload::default() };
    let closing = BatchControlCommand { payload: Some(payload), ..request };
    let ZmqMessage::BatchControlResponse(answer) = talk.ask(closing).await else { panic!() };
    assert_eq!(answer.error.unwrap().path.as_deref(), Some("payload.close"));
}

#[tokio::test(start_paused = true)]
async fn a_key_makes_a_command_take_effect_once() {
    let mut talk = Talk::start().await;
    talk.spawn("worker").await;
    let mut keyed = write("worker", b"once\n");
    keyed.idempotency_key = Some("k".into());
    for _ in 0..3 {
        assert_eq!(data(&talk.command(keyed.clone()).await)["bytes_written"], 5);
    }
    talk.command(write("worker", b"twice\n")).await;
    written(&mut talk, "worker", b"once\ntwice\n").await;
    let mut reading = plain("worker", Command::GetStatus);
    reading.idempotency_key = Some("k".into());
    let error = talk.command(reading).await.error.unwrap();
    assert_eq!(error.path.as_deref(), Some("idempotency_key"));
    let spawned = |answer| match answer {
        ZmqMessage::SpawnResponse(answer) => answer.agent_id.unwrap(),
        other => panic!("{other:?}"),
    };
    let mut config = fake_agent();
    config["idempotency_key"] = "s".into();
    let request = SpawnRequest { config: config.into(), ..spawn("x") };
    assert_eq!(spawned(talk.ask(request.clone()).await), spawned(talk.ask(request).await));
}

#[tokio::test(start_paused = true)]
async fn rights_are_those_of_the_methods() {
    let mut viewer = Talk::of(&["agent:read"]).await;
    let ZmqMessage::SpawnResponse(refused) = viewer.ask(spawn("x")).await else { panic!() };
    assert_eq!(refused.error.unwrap().kind, "forbidden");
    assert!(viewer.command(plain("*", Command::GetStatus)).await.success);
    let mut starter = Talk::of(&["agent:write"]).await;
    let ZmqMessage::SpawnResponse(started) = starter.ask(spawn("x")).await else { panic!() };
    assert!(started.success && started.agent_id.is_some() && started.agent_info.is_none());
    let mut nobody =
        Talk::with(fake_service(0).await, Peer::new("test"), ConnectionLimits::default());
    let request = HealthCheckRequest { request_id: "h".into() };
    let ZmqMessage::HealthCheckResponse(refused) = nobody.ask(request).await else { panic!() };
    assert_eq!((refused.healthy, refused.error.unwrap().kind.as_str()), (false, "unauthenticated"));
}
