//! Real processes: what they write, how they end, and that nothing of them stays.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::ProcessRunner;
use super::os::table;
use crate::agent::{AgentError, AgentId, AgentSpec, AgentStatus, StdinMode};
use crate::event::StreamName;
use crate::output::LogQuery;
use crate::runner::{AgentRunner, SpawnStage};
use crate::{Descartes, Kill, WaitFor};

async fn host() -> Descartes {
    let runner: Arc<dyn AgentRunner> = Arc::new(ProcessRunner::new());
    Descartes::builder().runner(runner).build().await.expect("a host")
}

fn shell(script: &str) -> AgentSpec {
    AgentSpec::command(["/bin/sh", "-c", script])
}

async fn run(host: &Descartes, spec: AgentSpec) -> (AgentId, Arc<crate::agent::AgentRecord>) {
    let id = host.spawn(spec, "test").await.expect("it starts").record.id;
    let ended = host.wait(id, WaitFor::Exit).await.expect("it ends");
    (id, ended)
}

async fn written(host: &Descartes, id: AgentId, stream: StreamName) -> Vec<u8> {
    let query = LogQuery { stream: Some(stream), limit: 1000, ..LogQuery::default() };
    let page = host.logs(id, &query, Duration::ZERO).await.expect("its log");
    let mut all = Vec::new();
    for row in page.rows {
        all.extend_from_slice(&row.bytes);
        if !row.partial {
            all.push(b'\n');
        }
    }
    all
}

/// Processes that run a program with `token` among its words.
fn bearers(token: &str) -> usize {
    let entries = table::entries().expect("the process table");
    let bears = |pid: u32| {
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        memchr::memmem::find(&line, token.as_bytes()).is_some()
    };
    entries.iter().filter(|entry| !entry.is_dead() && bears(entry.pid)).count()
}

#[tokio::test]
async fn bytes_exit_codes_and_signals_are_what_the_program_made_them() {
    let host = host().await;
    let (id, ended) = run(&host, shell(r"printf 'a\000\377\r\nb'; echo oops >&2; exit 7")).await;
    assert_eq!(written(&host, id, StreamName::Stdout).await, b"a\0\xff\r\nb");
    let exit = ended.exit.as_ref().expect("an exit");
    assert_eq!((exit.code, &exit.stderr_tail[..]), (Some(7), &b"oops\n"[..]));
    assert_eq!(ended.status, AgentStatus::Failed);
    let (_, ended) = run(&host, shell("kill -9 $$")).await;
    assert_eq!(ended.exit.as_ref().and_then(|exit| exit.signal), Some(9));
    assert_eq!(ended.status, AgentStatus::Killed);
}

#[tokio::test]
async fn what_cannot_be_started_says_why_and_leaves_nothing() {
    let host = host().await;
    let long = "x".repeat(3 << 20);
    let mut nowhere = shell("true");
    nowhere.cwd = Some("/no/such/place".into());
    let table = [
        (AgentSpec::command(["/no/such/program"]), SpawnStage::Lookup, 2),
        (AgentSpec::command(["no-such-program"]), SpawnStage::Lookup, 2),
        (AgentSpec::command(["/etc/passwd"]), SpawnStage::Exec, 13),
        (AgentSpec::command(["/bin/echo", &long]), SpawnStage::Exec, 7),
        (nowhere, SpawnStage::Directory, 2),
    ];
    for (spec, stage, errno) in table {
        match host.spawn(spec, "test").await {
            Err(AgentError::Spawn(error)) => {
                assert_eq!((error.stage, error.source.raw_os_error()), (stage, Some(errno)));
            }
            other => panic!("{stage:?} was expected, not {other:?}"),
        }
    }
    assert_eq!(host.counts().total, 0);
}

#[tokio::test]
async fn standard_input_arrives_in_order_and_ends() {
    let host = host().await;
    let mut spec = AgentSpec::command(["/bin/cat"]);
    spec.task = Some("first".into());
    let id = host.spawn(spec, "test").await.expect("it starts").record.id;
    host.write_stdin(id, "second\n".into(), false).await.expect("it is taken");
    host.write_stdin(id, "third".into(), true).await.expect("it is taken");
    let closed = host.write_stdin(id, "late".into(), false).await;
    assert!(matches!(closed, Err(AgentError::Stdin(_) | AgentError::WrongStatus { .. })));
    host.wait(id, WaitFor::Exit).await.expect("it ends");
    assert_eq!(written(&host, id, StreamName::Stdout).await, b"first\nsecond\nthird");
    let mut spec = AgentSpec::command(["/bin/cat"]);
    spec.stdin = StdinMode::Closed;
    let (_, ended) = run(&host, spec).await;
    assert_eq!(ended.status, AgentStatus::Completed);
}

#[tokio::test]
async fn a_full_queue_of_input_is_an_error_and_not_a_wait() {
    let host = host().await;
    let id = host.spawn(shell("sleep 1000"), "test").await.expect("it starts").record.id;
    let block = bytes::Bytes::from(vec![b'x'; 512 * 1024]);
    let mut results = Vec::new();
    for _ in 0..4 {
        results.push(host.write_stdin(id, block.clone(), false).await);
    }
    assert!(results[0].is_ok());
    assert!(matches!(results[3], Err(AgentError::Stdin(_))));
    host.kill(id, Kill { force: true, grace: None }, "test").await.expect("it is killed");
}

#[tokio::test]
async fn a_grandchild_that_holds_the_pipe_delays_nothing_and_is_swept() {
    let host = host().await;
    let token = format!("holder-{}", AgentId::generate());
    let script = format!("sh -c 'sleep 1000; : {token}' & exit 4");
    let began = Instant::now();
    let (_, ended) = run(&host, shell(&script)).await;
    assert!(began.elapsed() < Duration::from_secs(5), "it took {:?}", began.elapsed());
    let exit = ended.exit.as_ref().expect("an exit");
    assert_eq!(exit.code, Some(4));
    assert!(exit.swept >= 1);
    assert_eq!(bearers(&token), 0);
}

#[tokio::test]
async fn nothing_that_fled_its_tree_survives_a_kill() {
    let host = host().await;
    let token = format!("fled-{}", AgentId::generate());
    let deaf = format!("trap \"\" TERM; while :; do sleep 1; done; : {token}");
    let script = format!(
        "trap '' TERM
        (setsid sh -c '{deaf}' &)
        (setsid env -i /bin/sh -c '{deaf}' >/dev/null 2>&1 </dev/null &)
        sleep 0.2; echo ready; while :; do sleep 1; done"
    );
    let id = host.spawn(shell(&script), "test").await.expect("it starts").record.id;
    let wait = Duration::from_secs(20);
    host.logs(id, &LogQuery::default(), wait).await.expect("it is ready");
    assert!(bearers(&token) >= 3);
    host.pause(id, true, "test").await.expect("it is stopped");
    let kill = Kill { grace: Some(Duration::from_millis(200)), force: false };
    let killed = host.kill(id, kill, "test").await.expect("it is killed");
    assert_eq!(bearers(&token), 0);
    let exit = killed.record.exit.clone().expect("an exit");
    assert!(exit.forced && exit.swept >= 2, "{exit:?}");
}

#[tokio::test]
async fn no_descriptor_and_no_child_is_left_over() {
    let host = host().await;
    run(&host, shell("exit 0")).await;
    let open = || std::fs::read_dir("/proc/self/fd").expect("descriptors").count();
    let before = open();
    let mut agents = Vec::new();
    for n in 0..20 {
        agents.push(host.spawn(shell(&format!("echo {n}")), "test").await.expect("it starts"));
    }
    for agent in &agents {
        host.wait(agent.record.id, WaitFor::Exit).await.expect("it ends");
        let pid = agent.record.pid.expect("a process");
        assert!(table::entry(pid).is_none_or(|entry| entry.parent != std::process::id()));
    }
    // Other tests of this process open and close descriptors of their own.
    assert!(open() < before + 60, "{} before, {} after", before, open());
}
