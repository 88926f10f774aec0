//! Our own host dies, and the next one takes its agents over.

use descartes_core::agent::{Activity, AgentStatus, ExitReason};
use descartes_core::event::EventKind;

use super::*;

/// This machine, with a road of its own, so that it can die.
struct Near {
    store: Arc<MemoryStore>,
    road: Road,
    host: Descartes,
}

impl Near {
    async fn new(there: &Far) -> Self {
        Self::on(Arc::new(MemoryStore::new()), Road::to(there.rpc())).await
    }

    async fn on(store: Arc<MemoryStore>, road: Road) -> Self {
        let runner = RemoteRunner::new("far", Client::connect(road.clone()));
        let host = near_on(Arc::clone(&store), runner).await;
        Self { store, road, host }
    }

    /// Dies without a word.
    fn dies(self) -> Arc<MemoryStore> {
        self.road.close();
        Arc::new(self.store.reopen())
    }
}

#[tokio::test(start_paused = true)]
async fn an_agent_goes_on_under_the_next_host() {
    let there = Far::new().await;
    let first = Near::new(&there).await;
    let id = start(&first.host, "echo").await;
    write(&first.host, id, "one\nhalf", false).await;
    wrote(&first.host, id, 8).await;
    let store = first.dies();
    let id_there = there.agents(StatusFilter::Live)[0].id;
    there.host.write_stdin(id_there, " two\n".into(), false).await.unwrap();
    let second = Near::on(store, Road::to(there.rpc())).await;
    assert_eq!(record(&second.host, id).status, AgentStatus::Running);
    write(&second.host, id, "three\n", true).await;
    let end = ended(&second.host, id).await;
    assert_eq!((end.status, end.run), (AgentStatus::Completed, 1));
    let all = output(&second.host, id, StreamName::Stdout).await;
    assert_eq!(String::from_utf8(all).unwrap(), "one\nhalf two\nthree\n");
    assert_eq!(there.agents(StatusFilter::Any).len(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_ended_meanwhile_gives_the_rest_of_its_output_and_its_exit() {
    let there = Far::new().await;
    let first = Near::new(&there).await;
    let id = start(&first.host, "bytes").await;
    wrote(&first.host, id, 5).await;
    let store = first.dies();
    let id_there = there.agents(StatusFilter::Any)[0].id;
    ended(&there.host, id_there).await;
    let second = Near::on(store, Road::to(there.rpc())).await;
    let end = ended(&second.host, id).await;
    let exit = end.exit.as_ref().unwrap();
    assert_eq!((exit.code, &exit.stderr_tail[..]), (Some(3), &BYTES.concat()[..]));
    for stream in StreamName::ALL {
        assert_eq!(output(&second.host, id, stream).await, BYTES.concat(), "{stream:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_remote_that_is_away_at_the_start_is_waited_for() {
    let there = Far::new().await;
    let first = Near::new(&there).await;
    let id = start(&first.host, "echo").await;
    let store = first.dies();
    let road = Road::to(there.rpc());
    road.close();
    let second = Near::on(store, road.clone()).await;
    let away = Some(Activity::Unreachable);
    until("it shows", || record(&second.host, id).activity == away).await;
    assert_eq!(record(&second.host, id).status, AgentStatus::Running);
    assert!(is_lost(&second.host.write_stdin(id, "x".into(), false).await.unwrap_err()));
    tokio::time::sleep(Duration::from_secs(200)).await;
    road.open(there.rpc());
    until("it is back", || record(&second.host, id).activity.is_none()).await;
    write(&second.host, id, "on\n", true).await;
    assert_eq!(ended(&second.host, id).await.status, AgentStatus::Completed);
    assert_eq!(output(&second.host, id, StreamName::Stdout).await, b"on\n");
    // And one that stays away has lost it.
    let third = Near::new(&there).await;
    let id = start(&third.host, "echo").await;
    let fourth = Near::on(third.dies(), {
        road.close();
        road
    })
    .await;
    assert_eq!(ended(&fourth.host, id).await.status, AgentStatus::Lost);
}

#[tokio::test(start_paused = true)]
async fn what_the_remote_no_longer_knows_is_lost() {
    let there = Far::new().await;
    let first = Near::new(&there).await;
    let id = start(&first.host, "echo").await;
    let store = first.dies();
    let second = Near::on(store, Road::to(Far::new().await.rpc())).await;
    let end = ended(&second.host, id).await;
    assert_eq!(
        (end.status, end.exit.as_ref().unwrap().reason),
        (AgentStatus::Lost, ExitReason::Lost)
    );
    let last = changes(&second.host, id).await.pop().unwrap();
    assert_eq!(last.reason.as_deref(), Some("the remote does not know the agent"));
}

/// The host dies while the remote starts an agent for it; whether that is answered or not.
async fn dies_while_it_starts(is_asked: bool) {
    let there = Far::new().await;
    let first = Near::new(&there).await;
    // A road that was never used: the intent is written, and then nothing comes back.
    first.road.mute(true);
    if !is_asked {
        first.road.break_after(vec![0; 100]);
    }
    let starting = tokio::spawn({
        let host = first.host.clone();
        async move { host.spawn(far("echo"), "me").await.map(|_| ()) }
    });
    if is_asked {
        until("it arrived", || there.agents(StatusFilter::Live).len() == 1).await;
    } else {
        first.road.close();
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let store = first.dies();
    assert!(starting.await.unwrap().is_err());
    let second = Near::on(store, Road::to(there.rpc())).await;
    let known = agents(&second.host, StatusFilter::Any);
    let kinds: Vec<_> = events(&second.host).await.iter().map(|event| event.kind.clone()).collect();
    let spawned = kinds.iter().filter(|kind| **kind == EventKind::AgentSpawned).count();
    assert_eq!(spawned, known.len(), "{kinds:?}");
    for agent in known.iter().filter(|_| !is_asked) {
        assert_eq!(ended(&second.host, agent.id).await.status, AgentStatus::Lost);
        let last = changes(&second.host, agent.id).await.pop().unwrap();
        assert_eq!(last.reason.as_deref(), Some("the remote never began it"));
    }
    for agent in known.iter().filter(|_| is_asked) {
        write(&second.host, agent.id, "on\n", true).await;
        assert_eq!(ended(&second.host, agent.id).await.status, AgentStatus::Completed);
    }
    tokio::time::sleep(Duration::from_secs(100)).await;
    assert_eq!(there.agents(StatusFilter::Live).len(), 0);
    assert_eq!(known.len(), 1);
    assert_eq!(there.agents(StatusFilter::Any).len(), usize::from(is_asked));
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_was_just_being_started_is_found_by_its_labels() {
    dies_while_it_starts(true).await;
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_was_never_started_leaves_nothing() {
    dies_while_it_starts(false).await;
}

#[tokio::test(start_paused = true)]
async fn a_host_that_died_while_it_stopped_an_agent_has_it_stopped_by_the_next() {
    let there = Far::new().await;
    let first = Near::new(&there).await;
    let id = start(&first.host, "echo").await;
    first.road.break_after(vec![0; 100]);
    first.road.mute(true);
    let killing = tokio::spawn({
        let host = first.host.clone();
        async move { host.kill(id, descartes_core::Kill::default(), "me").await.map(|_| ()) }
    });
    until("it is about to stop", || record(&first.host, id).status == AgentStatus::Stopping).await;
    let store = first.dies();
    let second = Near::on(store, Road::to(there.rpc())).await;
    let end = ended(&second.host, id).await;
    assert_eq!(end.status, AgentStatus::Killed);
    assert_eq!(there.agents(StatusFilter::Live).len(), 0);
    drop(killing.await);
}

#[tokio::test(start_paused = true)]
async fn a_host_that_dies_between_two_runs_leaves_none_there() {
    let there = Far::new().await;
    let first = Near::new(&there).await;
    let mut spec = far("bytes");
    spec.restart.when = descartes_core::agent::RestartWhen::Always;
    spec.restart.backoff.first = Duration::from_secs(20);
    spec.restart.backoff.most = Duration::from_secs(20);
    let id = first.host.spawn(spec, "me").await.unwrap().record.id;
    until("it waits", || record(&first.host, id).status == AgentStatus::Restarting).await;
    let store = first.dies();
    let second = Near::on(store, Road::to(there.rpc())).await;
    assert_eq!(record(&second.host, id).status, AgentStatus::Lost);
    tokio::time::sleep(Duration::from_secs(100)).await;
    assert_eq!(there.agents(StatusFilter::Live).len(), 0);
}
