//! A conversation as a whole: order, bounds, slow readers, the end.

use std::convert::Infallible;
use std::sync::Arc;

use descartes_rpc::message::{Reply, Request, Response};
use tokio::sync::Semaphore;

use super::*;
use crate::limits::LONG_MESSAGES_KEY;
use crate::protocol::HealthCheckRequest;

#[tokio::test(start_paused = true)]
async fn what_is_sent_to_one_agent_takes_effect_in_the_order_sent() {
    let mut talk = Talk::start().await;
    talk.spawn("worker").await;
    let mut expected = Vec::new();
    for round in 0..20 {
        let line = format!("line {round}\n");
        expected.extend_from_slice(line.as_bytes());
        talk.send(write("worker", line.as_bytes())).await;
        talk.send(plain("worker", if round % 2 == 0 { Command::Pause } else { Command::Resume }))
            .await;
    }
    let mut seen = 0;
    for _ in 0..40 {
        let answer = response(talk.next().await);
        assert!(answer.success, "{answer:?}");
        seen += usize::from(answer.request_id.as_deref() == Some("write_stdin"));
    }
    assert_eq!(seen, 20);
    written(&mut talk, "worker", &expected).await;
}

#[tokio::test(start_paused = true)]
async fn requests_run_beside_each_other_and_answers_come_as_they_are_ready() {
    let mut talk = Talk::start().await;
    talk.spawn("worker").await;
    let payload = CommandPayload { wait_ms: Some(30_000), ..CommandPayload::default() };
    talk.send(command("worker", Command::ReadStdout, payload)).await;
    let health = talk.ask(HealthCheckRequest { request_id: "h".into() }).await;
    assert_eq!(health.request_id(), Some("h"));
    talk.send(write("worker", b"now\n")).await;
    let (one, two) = (response(talk.next().await), response(talk.next().await));
    let mut kinds = [one.request_id.unwrap(), two.request_id.unwrap()];
    kinds.sort();
    assert_eq!(kinds, ["read_stdout", "write_stdin"]);
}

#[tokio::test(start_paused = true)]
async fn over_the_bound_of_a_connection_a_request_is_told_so_at_once() {
    let mut limits = ConnectionLimits::default();
    limits.waits = 3;
    let mut talk = Talk::with(fake_service(0).await, Peer::owner("test"), limits);
    talk.spawn("worker").await;
    let payload = CommandPayload { wait_ms: Some(30_000), ..CommandPayload::default() };
    for _ in 0..5 {
        talk.send(command("worker", Command::ReadStdout, payload.clone())).await;
    }
    for _ in 0..2 {
        let refused = response(talk.next().await).error.unwrap();
        assert_eq!(refused.kind, "resource_exhausted");
        assert_eq!(refused.data.get("max").unwrap().as_u64(), Some(3));
    }
    assert!(talk.command(plain("worker", Command::Kill)).await.success);
}

#[tokio::test(start_paused = true)]
async fn long_messages_that_wait_are_bounded_for_a_connection_and_commands_get_through() {
    let release = Arc::new(Semaphore::new(0));
    let held = Arc::clone(&release);
    let service = tower::service_fn(move |request: Request| {
        let held = Arc::clone(&held);
        async move {
            if request.method.as_str() == "agent.write_stdin" {
                held.acquire().await.unwrap().forget();
            }
            let outcome = Ok(Bytes::from_static(br#"{"bytes_written":1}"#));
            let response = request.id.map(|id| Response { id, outcome });
            Ok::<_, Infallible>(Reply { response, notifications: None })
        }
    });
    let room = Room::default();
    let talk = || {
        let limits = ConnectionLimits::default();
        Talk::sharing(room.clone(), service.clone(), Peer::owner("test"), limits)
    };
    let mut talks = [talk(), talk()];
    let long = write("worker", &[7; 9 << 20]);
    for at in [0, 1, 0] {
        talks[at].send(long.clone()).await;
        // What is answered behind it shows that it has begun.
        talks[at].send(plain("worker", Command::Pause)).await;
        assert!(response(talks[at].next().await).success);
    }
    let refused = talks[1].command(long.clone()).await;
    assert_eq!(refused.request_id.as_deref(), Some("write_stdin"));
    let error = refused.error.unwrap();
    let limit = error.data.get("limit").and_then(Value::as_str);
    assert_eq!((&*error.kind, limit), ("resource_exhausted", Some(LONG_MESSAGES_KEY)));
    talks[1].send(write("worker", &[7; 1 << 19])).await;
    assert!(talks[1].command(plain("worker", Command::Kill)).await.success);
    release.add_permits(5);
    for at in [0, 0, 1, 1] {
        assert!(response(talks[at].next().await).success);
    }
    assert!(talks[1].command(long).await.success);
}

#[tokio::test(start_paused = true)]
async fn waits_and_streams_end_with_a_word_when_the_daemon_goes_down() {
    let mut talk = Talk::start().await;
    talk.spawn("worker").await;
    let payload = CommandPayload { wait_ms: Some(30_000), ..CommandPayload::default() };
    talk.send(command("worker", Command::ReadStdout, payload)).await;
    assert!(talk.command(plain("worker", Command::StreamLogs)).await.success);
    let payload = CommandPayload { follow: Some(true), ..CommandPayload::default() };
    assert!(talk.command(command("worker", Command::GetStatus, payload)).await.success);
    talk.stop.send_replace(true);
    let mut said = Vec::new();
    for _ in 0..3 {
        said.push(match talk.next().await {
            ZmqMessage::CommandResponse(answer) => answer.error.unwrap().kind,
            ZmqMessage::LogStream(last) => format!("log {}", last.ended.unwrap()),
            ZmqMessage::StatusUpdate(last) => format!("status {}", last.ended.unwrap()),
            other => panic!("{other:?}"),
        });
    }
    said.sort();
    assert_eq!(said, ["log shutdown", "status shutdown", "unavailable"]);
    assert!(talk.io.next().await.is_none());
    talk.served.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_leaves_ends_its_conversation_and_not_its_agents() {
    let service = fake_service(0).await;
    let limits = ConnectionLimits::default();
    let mut talk = Talk::with(service.clone(), Peer::owner("test"), limits);
    talk.spawn("worker").await;
    assert!(talk.command(plain("worker", Command::StreamLogs)).await.success);
    talk.send(write("worker", b"the last word\n")).await;
    drop(talk.io);
    // Whether the peer left while it was answered or before is up to the moment.
    drop(timeout(PATIENCE, talk.served).await.expect("the conversation ends").unwrap());
    let mut next = Talk::with(service, Peer::owner("test"), limits);
    written(&mut next, "worker", b"the last word\n").await;
}

#[tokio::test(start_paused = true)]
async fn a_slow_reader_holds_up_nobody_and_loses_nothing() {
    const LINES: usize = 400;
    let service = fake_service(0).await;
    let mut limits = ConnectionLimits::default();
    // Virtual time flies while everything rests.
    limits.stall = Duration::from_secs(100_000);
    let mut slow = Talk::with(service.clone(), Peer::owner("test"), limits);
    slow.spawn("worker").await;
    assert!(slow.command(plain("worker", Command::StreamLogs)).await.success);
    let mut other = Talk::with(service, Peer::owner("test"), limits);
    let line = [vec![b'x'; 4095], vec![b'\n']].concat();
    let mut sent = 0;
    for _ in 0..LINES {
        let answer = other.command(write("worker", &line)).await;
        if answer.success {
            sent += line.len();
        } else {
            assert_eq!(answer.error.unwrap().kind, "resource_exhausted");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
    let (mut got, mut next) = (0, None);
    while got < sent {
        let piece = slow.piece().await;
        assert_eq!(*next.get_or_insert(piece.sequence), piece.sequence);
        assert_eq!(piece.byte_offset, Some(got as u64));
        next = next.map(|place| place + 1);
        got += piece.data.len();
    }
    assert_eq!(got, sent);
}
