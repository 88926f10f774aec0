//! A store that cannot write: agents wait, control works, everything comes back by itself.

use std::sync::Arc;
use std::time::Duration;

use super::spec;
use crate::agent::{AgentError, AgentStatus};
use crate::event::{EventKind, Topic, TopicFilter};
use crate::journal::{After, ReadRequest, SubscribeRequest};
use crate::output::LogQuery;
use crate::store::{MemoryStore, StoreError};
use crate::testing::{FakeInput, FakeRunner, Fault, FaultSwitch, FaultyStore};
use crate::{Descartes, HealthStatus, Kill, WaitFor};

/// Writes a line whenever it is written one, as many bytes as fit.
async fn host() -> (Descartes, FaultSwitch) {
    let (store, fault) = FaultyStore::new(MemoryStore::new());
    let builder = Descartes::builder().store(Arc::new(store));
    let runner = FakeRunner::new(|mut agent| async move {
        loop {
            match agent.next().await {
                FakeInput::Bytes(bytes) => agent.say(&String::from_utf8_lossy(&bytes)).await,
                FakeInput::Killed => return agent.die().await,
                FakeInput::Eof => return agent.exit(0).await,
                FakeInput::Signal(_) => {}
            }
        }
    });
    (builder.runner(Arc::new(runner)).build().await.expect("a host"), fault)
}

async fn degraded(host: &Descartes) {
    let mut trouble = host.journal().watch_trouble();
    trouble.wait_for(Option::is_some).await.expect("the host lives");
}

async fn system_events(host: &Descartes) -> Vec<EventKind> {
    let system = SubscribeRequest::new(vec![TopicFilter::Exact(Topic::system())], After::Start);
    let page = host.journal().read(ReadRequest::new(system)).await.expect("a page");
    page.events.into_iter().map(|event| event.kind).collect()
}

#[tokio::test(start_paused = true)]
async fn output_waits_for_space_and_not_a_byte_of_it_is_lost() {
    let (host, fault) = host().await;
    let id = host.spawn(spec(), "me").await.expect("it starts").record.id;
    fault.set(Fault::OutputFull);
    host.write_stdin(id, "one\n".into(), false).await.expect("control works");
    degraded(&host).await;
    assert_eq!(host.health().status, HealthStatus::Degraded);
    assert!(host.health().reasons[0].contains("space"));
    host.write_stdin(id, "two\n".into(), false).await.expect("control works");
    let refused = host.spawn(spec(), "me").await;
    assert!(matches!(refused, Err(AgentError::Store(StoreError::Full { .. }))));
    fault.set(Fault::None);
    host.journal().works().await;
    host.write_stdin(id, "three\n".into(), true).await.expect("it takes that");
    host.wait(id, WaitFor::Exit).await.expect("it ends");
    let page = host.logs(id, &LogQuery::default(), Duration::ZERO).await.expect("its log");
    let lines: Vec<_> = page.rows.iter().map(|row| row.bytes.to_vec()).collect();
    assert_eq!(lines, [b"one".to_vec(), b"two".to_vec(), b"three".to_vec()]);
    let told = [EventKind::SystemStarted, EventKind::SystemDegraded, EventKind::SystemRecovered];
    assert_eq!(system_events(&host).await, told);
}

#[tokio::test(start_paused = true)]
async fn a_kill_works_on_a_store_that_cannot_write_and_is_written_down_later() {
    for broken in [Fault::Full, Fault::Broken] {
        let (host, fault) = host().await;
        let id = host.spawn(spec(), "me").await.expect("it starts").record.id;
        fault.set(broken);
        let killed = host.kill(id, Kill::default(), "me").await.expect("it is killed");
        assert!(!killed.recorded, "{broken:?}");
        assert_eq!(killed.record.status, AgentStatus::Killed);
        let (view, cursor) = host.agent(id).expect("it is known");
        assert_eq!(view.record.status, AgentStatus::Killed);
        fault.set(Fault::None);
        let follow = vec![TopicFilter::Exact(Topic::agent_status(id))];
        let mut news = ReadRequest::new(SubscribeRequest::new(follow, After::Cursor(cursor)));
        news.wait = Duration::from_secs(60);
        let page = host.journal().read(news).await.expect("a page");
        let kinds: Vec<_> = page.events.iter().map(|event| event.kind.as_str()).collect();
        let all = ["agent.status_changed", "agent.status_changed", "agent.exited"];
        assert_eq!(kinds, all, "{broken:?}");
    }
}
