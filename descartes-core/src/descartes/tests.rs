//! All of core in memory: fake agents, a paused clock, no process, no file.

mod elsewhere;
mod history;
mod settings;
mod trouble;

use std::sync::Arc;
use std::time::Duration;

use super::{Descartes, Kill, WaitFor};
use crate::agent::AgentRecord;
use crate::agent::{
    AgentError, AgentFilter, AgentSpec, AgentStatus, ExitReason, PageRequest, RestartPolicy,
    RestartWhen, StatusFilter, Want,
};
use crate::event::{EventKind, StreamName, Topic, TopicFilter};
use crate::journal::{After, Item, ReadRequest, SubscribeRequest};
use crate::output::{LogQuery, OutputSearch};
use crate::runner::{Adoption, AgentDriver, AgentRunner, Launch, RunExit, SpawnError, Started};
use crate::store::{MemoryStore, StateStore};
use crate::testing::{FakeInput, FakeRunner};

async fn host(runner: FakeRunner) -> Descartes {
    Descartes::builder().runner(Arc::new(runner)).build().await.expect("a host in memory")
}

fn spec() -> AgentSpec {
    AgentSpec::command(["fake"])
}

async fn kinds(host: &Descartes, topic: Topic) -> Vec<EventKind> {
    let follow = SubscribeRequest::new(vec![TopicFilter::Exact(topic)], After::Start);
    let page = host.journal().read(ReadRequest::new(follow)).await.expect("a page");
    page.events.into_iter().map(|event| event.kind).collect()
}

#[tokio::test(start_paused = true)]
async fn an_agent_is_followed_from_its_beginning_to_its_end() {
    let host = host(FakeRunner::new(|mut agent| async move {
        agent.say("one\ntwo\n").await;
        agent.say("rest").await;
        agent.exit(0).await;
    }))
    .await;
    let agent = host.spawn(spec(), "me").await.expect("it starts");
    let id = agent.record.id;
    let ended = host.wait(id, WaitFor::Exit).await.expect("it ends");
    assert_eq!(ended.status, AgentStatus::Completed);
    let status = kinds(&host, Topic::agent_status(id)).await;
    let expected = [EventKind::AgentSpawned, EventKind::AgentStatusChanged, EventKind::AgentExited];
    assert_eq!(status, expected);
    let page = host.logs(id, &LogQuery::default(), Duration::ZERO).await.expect("its log");
    let rows: Vec<_> =
        page.rows.iter().map(|row| (row.line, &row.bytes[..], row.partial)).collect();
    assert_eq!(rows, [(0, &b"one"[..], false), (1, b"two", false), (2, b"rest", true)]);
    assert_eq!(page.total, 3);
}

#[tokio::test(start_paused = true)]
async fn everything_from_the_cursor_of_a_spawn_on_is_its_own_beginning() {
    let host = host(FakeRunner::echo()).await;
    let agent = host.spawn(spec(), "me").await.expect("it starts");
    let everything = SubscribeRequest::new(vec![TopicFilter::All], After::Cursor(agent.cursor));
    let mut events = host.journal().subscribe(everything).await.expect("a subscription");
    let Some(Ok(Item::Events(batch))) = events.next().await else { panic!("events come first") };
    assert_eq!(batch.get(0).map(|event| event.kind.clone()), Some(EventKind::AgentSpawned));
    assert!(matches!(events.next().await, Some(Ok(Item::Synced(_)))));
}

#[tokio::test(start_paused = true)]
async fn a_kill_is_answered_when_the_end_is_written_and_a_second_one_says_so() {
    let host = host(FakeRunner::echo()).await;
    let id = host.spawn(spec(), "me").await.expect("it starts").record.id;
    let killed = host.kill(id, Kill::default(), "you").await.expect("it is killed");
    assert_eq!(killed.record.status, AgentStatus::Killed);
    assert!(killed.recorded && !killed.already_ended);
    let exit = killed.record.exit.clone().expect("an exit");
    assert_eq!((exit.reason, exit.by.as_deref()), (ExitReason::Killed, Some("you")));
    assert_eq!(kinds(&host, Topic::agent_status(id)).await.last(), Some(&EventKind::AgentExited));
    let again = host.kill(id, Kill::default(), "you").await.expect("that is no error");
    assert!(again.already_ended);
}

#[tokio::test(start_paused = true)]
async fn a_program_that_cannot_be_started_leaves_nothing() {
    let host = host(FakeRunner::echo()).await;
    let error = host.spawn(AgentSpec::command(["/missing"]), "me").await;
    assert!(matches!(error, Err(AgentError::Spawn(_))));
    let all = AgentFilter::status(StatusFilter::Any);
    let page = host.list(&all, &PageRequest::default()).expect("a list");
    assert_eq!(page.total, 0);
}

#[tokio::test(start_paused = true)]
async fn a_policy_begins_runs_until_its_intensity_is_reached() {
    let host = host(FakeRunner::new(|mut agent| async move {
        agent.say("up\n").await;
        agent.exit(1).await;
    }))
    .await;
    let mut spec = spec();
    let (when, max_restarts) = (RestartWhen::OnFailure, 2);
    spec.restart = RestartPolicy { when, max_restarts, ..RestartPolicy::default() };
    let id = host.spawn(spec, "me").await.expect("it starts").record.id;
    let ended = host.wait(id, WaitFor::Exit).await.expect("it ends");
    assert_eq!((ended.status, ended.run), (AgentStatus::Failed, 3));
    assert_eq!(ended.exit.as_ref().map(|exit| exit.reason), Some(ExitReason::RestartLimit));
    let page = host.logs(id, &LogQuery::default(), Duration::ZERO).await.expect("its log");
    assert_eq!(page.rows.iter().map(|row| row.line).collect::<Vec<_>>(), [0, 1, 2]);
}

#[tokio::test(start_paused = true)]
async fn an_ended_agent_begins_another_run_under_its_own_identity() {
    let host = host(FakeRunner::echo()).await;
    let id = host.spawn(spec().named("w"), "me").await.expect("it starts").record.id;
    host.write_stdin(id, "one\n".into(), true).await.expect("it takes that");
    host.wait(id, WaitFor::Exit).await.expect("it ends");
    assert!(matches!(host.resolve("w", Want::Live), Err(AgentError::WrongStatus { .. })));
    let again = host.restart(id, None, "me").await.expect("another run");
    assert_eq!((again.run, again.status), (2, AgentStatus::Running));
    host.write_stdin(id, "two\n".into(), true).await.expect("it takes that");
    host.wait(id, WaitFor::Exit).await.expect("it ends");
    let page = host.logs(id, &LogQuery::default(), Duration::ZERO).await.expect("its log");
    let rows: Vec<_> = page.rows.iter().map(|row| (row.line, &row.bytes[..])).collect();
    assert_eq!(rows, [(0, &b"one"[..]), (1, b"two")]);
}

#[tokio::test(start_paused = true)]
async fn a_live_agent_is_restarted_and_a_paused_one_is_killed() {
    let host = host(FakeRunner::echo()).await;
    let id = host.spawn(spec(), "me").await.expect("it starts").record.id;
    assert_eq!(host.restart(id, None, "me").await.expect("another run").run, 2);
    let paused = host.pause(id, false, "me").await.expect("it pauses");
    assert_eq!(paused.status, AgentStatus::Paused);
    let killed = host.kill(id, Kill::default(), "me").await.expect("it is killed");
    assert_eq!(killed.record.status, AgentStatus::Killed);
}

#[tokio::test(start_paused = true)]
async fn what_was_acknowledged_is_there_for_the_next_host_and_live_agents_are_lost() {
    let store: Arc<dyn StateStore> = Arc::new(MemoryStore::new());
    let runner = || Arc::new(FakeRunner::echo());
    let first = Descartes::builder().store(Arc::clone(&store)).runner(runner());
    let first = first.build().await.expect("a host");
    let id = first.spawn(spec().named("w"), "me").await.expect("it starts").record.id;
    let cursor = first.journal().head();
    drop(first);
    let second = Descartes::builder().store(store).runner(runner());
    let second = second.build().await.expect("another host on the same store");
    let (view, _) = second.agent(id).expect("it is still known");
    assert_eq!(view.record.status, AgentStatus::Lost);
    let reason = view.record.exit.as_ref().map(|exit| exit.reason);
    assert_eq!(reason, Some(ExitReason::HostDied));
    let follow = SubscribeRequest::new(vec![TopicFilter::All], After::Cursor(cursor));
    let page = second.journal().read(ReadRequest::new(follow)).await.expect("the cursor holds");
    let kinds: Vec<_> = page.events.iter().map(|event| event.kind.as_str()).collect();
    assert_eq!(kinds, ["agent.status_changed", "agent.exited", "system.started"]);
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_writes_more_than_it_may_is_ended() {
    let host = host(FakeRunner::new(|mut agent| async move {
        agent.say("far too much\n").await;
        while agent.next().await != FakeInput::Killed {}
        agent.die().await;
    }))
    .await;
    let mut spec = spec();
    spec.limits.output_bytes = Some(5);
    let id = host.spawn(spec, "me").await.expect("it starts").record.id;
    let ended = host.wait(id, WaitFor::Exit).await.expect("it ends");
    assert_eq!(ended.exit.as_ref().map(|exit| exit.reason), Some(ExitReason::OutputLimit));
}

#[tokio::test(start_paused = true)]
async fn pages_of_both_streams_give_every_byte_once_in_order() {
    let host = host(FakeRunner::new(|mut agent| async move {
        for n in 0..20 {
            agent.write(StreamName::Stdout, format!("out {n}").as_bytes()).await;
            tokio::time::sleep(Duration::from_millis(60)).await;
            agent.write(StreamName::Stderr, format!("err {n}\n").as_bytes()).await;
            agent.write(StreamName::Stdout, b" end\n").await;
        }
        agent.exit(0).await;
    }))
    .await;
    let id = host.spawn(spec(), "me").await.expect("it starts").record.id;
    host.wait(id, WaitFor::Exit).await.expect("it ends");
    for limit in 1..5 {
        let mut query = LogQuery { limit, ..LogQuery::default() };
        let mut texts = [String::new(), String::new()];
        loop {
            let page = host.logs(id, &query, Duration::ZERO).await.expect("a page");
            for row in &page.rows {
                let text = &mut texts[row.stream as usize];
                text.push_str(std::str::from_utf8(&row.bytes).expect("text"));
                if !row.partial {
                    text.push('\n');
                }
            }
            query.after = Some(page.cursor);
            if page.rows.is_empty() {
                break;
            }
        }
        let expected = |line: &dyn Fn(u32) -> String| (0..20).map(line).collect::<String>();
        assert_eq!(texts[0], expected(&|n| format!("out {n} end\n")), "limit {limit}");
        assert_eq!(texts[1], expected(&|n| format!("err {n}\n")), "limit {limit}");
    }
    let query =
        LogQuery { offset: Some(-3), stream: Some(StreamName::Stdout), ..LogQuery::default() };
    let page = host.logs(id, &query, Duration::ZERO).await.expect("the last lines");
    assert_eq!(page.rows.iter().map(|row| row.line).collect::<Vec<_>>(), [17, 18, 19]);
    for offset in 0..40 {
        let query = LogQuery { offset: Some(offset), ..LogQuery::default() };
        let page = host.logs(id, &query, Duration::ZERO).await.expect("rows from there on");
        assert_eq!(page.rows.len() as i64, 40 - offset);
    }
    let search = OutputSearch { filter: Some("1[0-9] end$".into()), ..OutputSearch::default() };
    assert_eq!(host.search(id, search).await.expect("matches").total, 10);
}

/// Has kept its agents while their host was away.
struct Keeper;

#[async_trait::async_trait]
impl AgentRunner for Keeper {
    async fn spawn(&self, _: Launch, driver: AgentDriver) -> Result<Started, SpawnError> {
        tokio::spawn(async move {
            let (_controls, events) = driver.split();
            events.output(StreamName::Stdout, 0, b"before\n").await;
            std::future::pending::<()>().await;
        });
        Ok(Started::process(7))
    }

    async fn adopt(&self, _: &AgentRecord, driver: AgentDriver) -> Adoption {
        tokio::spawn(async move {
            let (_controls, events) = driver.split();
            // A holder that tells everything again: what is journalled is not taken twice.
            events.output(StreamName::Stdout, 0, b"before\nafter\n").await;
            assert_eq!(events.journalled(StreamName::Stdout), 13);
            events.exited(RunExit::code(0)).await;
        });
        Adoption::Adopted(Started::process(8))
    }
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_outlived_its_host_is_taken_over_where_its_journal_ends() {
    let store: Arc<dyn StateStore> = Arc::new(MemoryStore::new());
    let build = || Descartes::builder().store(Arc::clone(&store)).runner(Arc::new(Keeper)).build();
    let first = build().await.expect("a host");
    let id = first.spawn(spec(), "me").await.expect("it starts").record.id;
    first.logs(id, &LogQuery::default(), Duration::from_secs(5)).await.expect("its first line");
    let second = build().await.expect("another host on the same store");
    let ended = second.wait(id, WaitFor::Exit).await.expect("it ends");
    assert_eq!((ended.status, ended.run), (AgentStatus::Completed, 1));
    let page = second.logs(id, &LogQuery::default(), Duration::ZERO).await.expect("its log");
    let rows: Vec<_> = page.rows.iter().map(|row| (row.line, &row.bytes[..])).collect();
    assert_eq!(rows, [(0, &b"before"[..]), (1, b"after")]);
}
