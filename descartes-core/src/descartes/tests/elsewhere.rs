//! Agents whose runner is not always there: holes, activities, several runners, adoption.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use super::{host, spec};
use crate::agent::{Activity, AgentError, AgentRecord, AgentSpec, AgentStatus};
use crate::backend::Backend;
use crate::event::{EventBody, StatusChange, StreamName, TopicFilter};
use crate::journal::{After, ReadRequest, SubscribeRequest};
use crate::runner::{
    Adoption, AgentDriver, AgentRunner, Control, ControlError, ControlOutcome, Launch, RunExit,
    SpawnError, Started,
};
use crate::store::{MemoryStore, StateStore};
use crate::testing::FakeRunner;
use crate::{Descartes, Kill, StartError, WaitFor};

#[tokio::test(start_paused = true)]
async fn a_hole_in_a_stream_is_behind_what_came_before_it() {
    let host = host(FakeRunner::new(|agent| async move {
        agent.write_at(StreamName::Stdout, 0, b"half").await;
        agent.write_at(StreamName::Stdout, 10, b"").await;
        agent.write_at(StreamName::Stdout, 10, b"behind\n").await;
        agent.exit(0).await;
    }))
    .await;
    let id = host.spawn(spec(), "me").await.expect("it starts").record.id;
    host.wait(id, WaitFor::Exit).await.expect("it ends");
    let follow = SubscribeRequest::new(vec![TopicFilter::All], After::Start);
    let page = host.journal().read(ReadRequest::new(follow)).await.expect("a page");
    let blocks: Vec<_> = page
        .events
        .iter()
        .filter_map(|event| match event.decode() {
            Ok(EventBody::AgentOutput(chunk)) => Some((chunk.byte_offset(), event.payload.clone())),
            _ => None,
        })
        .collect();
    assert_eq!(blocks, [(0, "half".into()), (10, "behind\n".into())]);
}

/// The status changes of everything that happened.
async fn changes(host: &Descartes) -> Vec<StatusChange> {
    let follow = SubscribeRequest::new(vec![TopicFilter::All], After::Start);
    let page = host.journal().read(ReadRequest::new(follow)).await.expect("a page");
    let bodies = page.events.iter().map(|event| event.decode().expect("a body"));
    bodies
        .filter_map(|body| match body {
            EventBody::AgentStatusChanged(change) => Some(change),
            _ => None,
        })
        .collect()
}

/// Its agents cannot be reached from the beginning on; told to go on, they can, and end.
struct Distant;

#[async_trait]
impl AgentRunner for Distant {
    async fn spawn(&self, launch: Launch, driver: AgentDriver) -> Result<Started, SpawnError> {
        let (mut controls, events) = driver.split();
        assert_eq!(launch.cwd, None, "the default directory is one of another machine");
        tokio::spawn(async move {
            events.activity(Some(Activity::Unreachable));
            events.activity(Some(Activity::Unreachable));
            while let Some(request) = controls.next().await {
                if let Control::Signal(_) = request.control {
                    events.activity(None);
                    request.done(ControlOutcome::Done);
                    tokio::time::sleep(Duration::from_secs(1)).await;
                    return events.exited(RunExit::code(0)).await;
                }
                request.fail(ControlError::ConnectionLost("nobody answers".into()));
            }
        });
        Ok(Started::elsewhere("far/1"))
    }

    async fn adopt(&self, agent: &AgentRecord, driver: AgentDriver) -> Adoption {
        assert_eq!(agent.reference.as_deref(), Some("far/1"));
        tokio::spawn(async move { driver.split().1.exited(RunExit::code(0)).await });
        Adoption::Adopted(Started::elsewhere("far/1"))
    }

    fn containment(&self) -> Arc<str> {
        "remote".into()
    }
}

fn hosts() -> crate::Builder {
    Descartes::builder()
        .runner(Arc::new(FakeRunner::echo()))
        .runner_named("far", Arc::new(Distant))
        .backend(Backend::process().renamed("far").on("far"))
        .default_dir("/here".into())
}

fn far() -> AgentSpec {
    AgentSpec { command: vec!["fake".into()], ..AgentSpec::backend("far") }
}

#[tokio::test(start_paused = true)]
async fn agents_of_several_runners_live_in_one_host() {
    let host = hosts().build().await.expect("a host");
    let here = host.spawn(spec(), "me").await.expect("it starts").record;
    let there = host.spawn(far(), "me").await.expect("it starts").record;
    assert_eq!((here.pid, here.reference.as_deref()), (Some(1), None));
    assert_eq!((there.pid, there.reference.as_deref()), (None, Some("far/1")));
    assert_eq!((&*here.containment, &*there.containment), ("none", "remote"));
    let runners: Vec<_> =
        host.backends(false).await.into_iter().map(|one| (one.name, one.runner)).collect();
    assert!(runners.contains(&("process".into(), "process".into())), "{runners:?}");
    assert!(runners.contains(&("far".into(), "far".into())), "{runners:?}");
    let unknown = hosts().backend(Backend::process().renamed("x").on("nobody")).build().await;
    assert!(
        matches!(unknown, Err(StartError::UnknownRunner { runner, .. }) if &*runner == "nobody")
    );
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_cannot_be_reached_says_so_and_keeps_its_status() {
    let host = hosts().build().await.expect("a host");
    let id = host.spawn(far(), "me").await.expect("it starts").record.id;
    let activity = || host.agent(id).expect("it is known").0.record.activity;
    tokio::time::sleep(Duration::from_millis(10)).await;
    assert_eq!(activity(), Some(Activity::Unreachable));
    let lost = |error| matches!(error, AgentError::Control(ControlError::ConnectionLost(_)));
    assert!(lost(host.kill(id, Kill::default(), "me").await.unwrap_err()));
    assert!(lost(host.pause(id, true, "me").await.unwrap_err()));
    assert!(lost(host.write_stdin(id, "x".into(), false).await.unwrap_err()));
    let status = host.agent(id).expect("it is known").0.record.status;
    assert_eq!(status, AgentStatus::Running);
    host.signal(id, crate::runner::Signal::Continue).await.expect("it is back");
    tokio::time::sleep(Duration::from_millis(10)).await;
    assert_eq!(activity(), None);
    host.wait(id, WaitFor::Exit).await.expect("it ends");
    let seen: Vec<_> = changes(&host)
        .await
        .iter()
        .map(|change| (change.from, change.to, change.activity))
        .collect();
    let (running, completed) = (AgentStatus::Running, AgentStatus::Completed);
    let expected = [
        (running, running, Some(Activity::Unreachable)),
        (running, running, None),
        (running, completed, None),
    ];
    assert_eq!(seen, expected);
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_was_out_of_reach_when_its_host_died_is_taken_over_without_that() {
    let store: Arc<dyn StateStore> = Arc::new(MemoryStore::new());
    let first = hosts().store(Arc::clone(&store)).build().await.expect("a host");
    let id = first.spawn(far(), "me").await.expect("it starts").record.id;
    tokio::time::sleep(Duration::from_millis(10)).await;
    let second = hosts().store(store).build().await.expect("another host on the same store");
    second.wait(id, WaitFor::Exit).await.expect("it ends");
    let seen: Vec<_> = changes(&second).await.iter().map(|change| change.activity).collect();
    assert_eq!(seen, [Some(Activity::Unreachable), None, None]);
}
