//! Statuses and output that are followed.

use std::convert::Infallible;
use std::task::{Context, Poll};

use descartes_rpc::message::{Id, Params, Reply, Request, Text};
use descartes_rpc::wire::agent::AgentStatus;
use futures_util::future::BoxFuture;
use tower::ServiceExt as _;

use super::*;
use crate::protocol::{UpdateType, ZmqOutputStream};

fn following(agent: &str, output: bool) -> ControlCommand {
    let output = output.then_some(true);
    let payload = CommandPayload { follow: Some(true), output, ..CommandPayload::default() };
    command(agent, Command::GetStatus, payload)
}

#[tokio::test(start_paused = true)]
async fn the_statuses_of_an_agent_are_told_until_it_has_ended() {
    let mut talk = Talk::start().await;
    let id = talk.spawn("worker").await;
    let answer = talk.command(following("worker", false)).await;
    assert_eq!(answer.status, Some(AgentStatus::Running));
    let mut other = plain("worker", Command::Pause);
    other.request_id = "p".into();
    talk.send(other).await;
    let (mut seen, mut answered) = (Vec::new(), false);
    while !answered || seen.last() != Some(&Some(AgentStatus::Paused)) {
        let message = talk.next().await;
        answered |= message.request_id() == Some("p");
        if let ZmqMessage::StatusUpdate(update) = message {
            assert_eq!(
                (update.request_id.as_deref(), &*update.agent_id),
                (Some("get_status"), &*id)
            );
            assert_eq!(update.update_type, UpdateType::StatusChanged);
            seen.push(update.status);
        }
    }
    talk.send(plain("worker", Command::Kill)).await;
    let (mut killed, mut last) = (false, None);
    while !killed || last.is_none() {
        match talk.next().await {
            ZmqMessage::StatusUpdate(update) if update.ended.is_some() => last = Some(update),
            ZmqMessage::StatusUpdate(_) => {}
            answer => killed = response(answer).success,
        }
    }
    let last = last.unwrap();
    let ended = (last.update_type, last.status);
    assert_eq!(ended, (UpdateType::Terminated, Some(AgentStatus::Killed)));
    assert_eq!(last.ended.as_deref(), Some("agent_ended"));
    assert!(last.cursor.is_some());
    let again = talk.command(following("worker", false)).await;
    assert_eq!(again.status, Some(AgentStatus::Killed));
    let last = talk.update().await;
    assert_eq!((last.update_type, last.ended.is_some()), (UpdateType::Terminated, true));
}

#[tokio::test(start_paused = true)]
async fn all_agents_are_followed_at_once_also_those_that_come_later() {
    let mut talk = Talk::start().await;
    talk.spawn("early").await;
    let mut all = following("*", true);
    all.agent_id = None;
    let answer = talk.command(all).await;
    assert_eq!(data(&answer)["total"], 1);
    talk.send(spawn("late")).await;
    let (mut late, mut told) = (None, None);
    while late.is_none() || told.is_none() {
        match talk.next().await {
            ZmqMessage::SpawnResponse(answer) => late = answer.agent_id,
            ZmqMessage::StatusUpdate(update) => told = Some(update),
            other => panic!("{other:?}"),
        }
    }
    let (late, told) = (late.unwrap(), told.unwrap());
    assert_eq!((&*told.agent_id, told.update_type), (&*late, UpdateType::StatusChanged));
    talk.send(write("late", b"hi\n")).await;
    let mut announced = None;
    while announced.is_none() {
        if let ZmqMessage::StatusUpdate(update) = talk.next().await
            && update.update_type == UpdateType::OutputAvailable
        {
            announced = Some(update);
        }
    }
    let announced = announced.unwrap();
    assert_eq!(announced.agent_id, late);
    assert_eq!(announced.data.unwrap().get("stream").unwrap().as_str(), Some("stdout"));
    let payload = CommandPayload {
        text: Some(String::new()),
        close: Some(true),
        ..CommandPayload::default()
    };
    talk.send(command("late", Command::WriteStdin, payload)).await;
    loop {
        if let ZmqMessage::StatusUpdate(update) = talk.next().await
            && update.update_type == UpdateType::Completed
        {
            assert_eq!((&*update.agent_id, update.ended), (&*late, None));
            assert_eq!(update.status, Some(AgentStatus::Completed));
            break;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn silence_is_broken_by_a_sign_of_life() {
    let mut talk = Talk::start().await;
    talk.spawn("worker").await;
    talk.command(following("worker", false)).await;
    let before = tokio::time::Instant::now();
    for beat in 1..=3 {
        let update = talk.update().await;
        assert_eq!(
            (update.update_type, update.status),
            (UpdateType::Heartbeat, Some(AgentStatus::Running))
        );
        assert_eq!(before.elapsed().as_secs(), beat * 15);
    }
}

#[tokio::test(start_paused = true)]
async fn following_ends_by_the_name_of_the_subscription() {
    let mut talk = Talk::start().await;
    talk.spawn("worker").await;
    for begin in [following("worker", false), plain("worker", Command::StreamLogs)] {
        let answer = talk.command(begin.clone()).await;
        let name = data(&answer)["subscription_id"].as_str().unwrap().to_owned();
        let payload = CommandPayload { unsubscribe: Some(name), ..CommandPayload::default() };
        let mut end = command("worker", begin.command_type, payload);
        end.request_id = "end".into();
        talk.send(end.clone()).await;
        let (mut answered, mut ended) = (false, None);
        while !answered || ended.is_none() {
            match talk.next().await {
                ZmqMessage::CommandResponse(answer) => {
                    assert_eq!(data(&answer)["unsubscribed"], true);
                    answered = true;
                }
                ZmqMessage::StatusUpdate(last) => ended = last.ended,
                ZmqMessage::LogStream(last) => ended = last.ended,
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(ended.as_deref(), Some("unsubscribed"));
        assert_eq!(data(&talk.command(end).await)["unsubscribed"], false);
    }
}

#[tokio::test(start_paused = true)]
async fn output_is_followed_byte_by_byte_from_its_start_to_the_end_of_the_agent() {
    let mut talk = Talk::start().await;
    let id = talk.spawn("worker").await;
    let bytes = b"one\n\xff\0half";
    talk.command(write("worker", bytes)).await;
    written(&mut talk, "worker", bytes).await;
    let answer = talk.command(plain("worker", Command::StreamLogs)).await;
    assert_eq!(data(&answer)["agent_id"], *id);
    let mut writer = write("worker", b" and whole\n");
    writer.request_id = "w".into();
    talk.send(writer).await;
    let (mut got, mut places) = (Vec::new(), Vec::new());
    while !got.ends_with(b"whole\n") {
        if let ZmqMessage::LogStream(piece) = talk.next().await {
            assert_eq!(
                (piece.request_id.as_deref(), &*piece.agent_id),
                (Some("stream_logs"), &*id)
            );
            places.push(piece.sequence);
            got.extend(piece.data);
        }
    }
    assert_eq!(got, b"one\n\xff\0half and whole\n");
    assert!(places.windows(2).all(|pair| pair[1] == pair[0] + 1), "{places:?}");
    talk.send(plain("worker", Command::Kill)).await;
    loop {
        if let ZmqMessage::LogStream(last) = talk.next().await {
            assert_eq!((last.ended.as_deref(), last.data.len()), (Some("agent_ended"), 0));
            break;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_output_of_an_ended_agent_is_told_to_its_end_and_from_a_cursor_on() {
    let mut talk = Talk::start().await;
    talk.spawn("worker").await;
    for line in [&b"one\n"[..], b"two\n"] {
        talk.command(write("worker", line)).await;
        let expected = if line == b"one\n" { b"one\n".to_vec() } else { b"one\ntwo\n".to_vec() };
        written(&mut talk, "worker", &expected).await;
    }
    talk.command(plain("worker", Command::Kill)).await;
    talk.command(plain("worker", Command::StreamLogs)).await;
    let (one, two, last) = (talk.piece().await, talk.piece().await, talk.piece().await);
    assert_eq!((&*one.data, &*two.data), (&b"one\n"[..], &b"two\n"[..]));
    assert_eq!((last.ended.as_deref(), last.sequence), (Some("agent_ended"), two.sequence + 1));
    let payload = CommandPayload { after: one.cursor, ..CommandPayload::default() };
    talk.command(command("worker", Command::StreamLogs, payload)).await;
    assert_eq!(talk.piece().await, two);
    assert!(talk.piece().await.ended.is_some());
    let payload =
        CommandPayload { stream: Some(ZmqOutputStream::Stderr), ..CommandPayload::default() };
    talk.command(command("worker", Command::StreamLogs, payload)).await;
    assert!(talk.piece().await.ended.is_some());
    let payload = CommandPayload { after: Some("yesterday".into()), ..CommandPayload::default() };
    let wrong = talk.command(command("worker", Command::StreamLogs, payload)).await;
    assert_eq!(wrong.error.unwrap().path.as_deref(), Some("payload.after"));
}

#[tokio::test(start_paused = true)]
async fn the_sixty_fifth_stream_of_a_conversation_is_refused() {
    let mut talk = Talk::start().await;
    talk.spawn("worker").await;
    for _ in 0..64 {
        assert!(talk.command(plain("worker", Command::StreamLogs)).await.success);
    }
    let refused = talk.command(plain("worker", Command::StreamLogs)).await.error.unwrap();
    assert_eq!(refused.kind, "resource_exhausted");
}

/// A whole service that kills the agent between being asked for it and the subscription.
#[derive(Clone)]
struct KillsBetween<S>(S);

impl<S: RpcService> tower::Service<Request> for KillsBetween<S> {
    type Response = Reply;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Reply, Infallible>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let service = self.0.clone();
        Box::pin(async move {
            if request.method.as_str() == "event.subscribe" {
                let (peer, connection) = (request.peer.clone(), request.connection.clone());
                let mut kill = Request::new(Text::from_static("agent.kill"), peer, connection);
                kill.id = Some(Id::Null);
                kill.params = Params::from_json(r#"{"agent_id":"worker"}"#.into());
                let killed = service.clone().oneshot(kill).await;
                assert!(killed.unwrap().response.unwrap().outcome.is_ok());
            }
            service.oneshot(request).await
        })
    }
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_ends_while_its_log_is_asked_for_from_now_on_ends_the_stream() {
    let service = KillsBetween(fake_service(0).await);
    let limits = ConnectionLimits::default();
    let mut talk = Talk::with(service, Peer::owner("test"), limits);
    talk.spawn("worker").await;
    let payload = CommandPayload { after: Some("now".into()), ..CommandPayload::default() };
    let answer = talk.command(command("worker", Command::StreamLogs, payload)).await;
    assert_eq!(answer.status, Some(AgentStatus::Running));
    assert_eq!(talk.piece().await.ended.as_deref(), Some("agent_ended"));
}
