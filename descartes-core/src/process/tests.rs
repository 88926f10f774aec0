//! Real processes: what they write, how they end, and that nothing of them stays.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::time::{Duration, Instant};

use super::os::table;
use super::{ProcessRunner, marker};
use crate::agent::{AgentError, AgentId, AgentSpec, AgentStatus, PauseMode, StdinMode};
use crate::event::StreamName;
use crate::output::{LogQuery, OutputSink};
use crate::runner::{AgentDriver, AgentRunner, CallerProcess, Launch, SpawnStage, Whereabouts};
use crate::store::format::OutputMark;
use crate::time::Clock;
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

fn seen(pid: u32) -> Option<table::Entry> {
    table::entry(pid).expect("a descriptor to look with")
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

#[test]
fn no_descriptor_and_no_child_is_left_over() {
    // In a process of its own: other tests of this one have descriptors of their own.
    let program = std::env::current_exe().expect("a program");
    let inside = "process::tests::none_is_left_over_in_a_process_of_its_own";
    let run = std::process::Command::new(program)
        .args(["--exact", inside, "--ignored", "--nocapture"])
        .output()
        .expect("it runs");
    let said = String::from_utf8_lossy(&run.stdout);
    assert!(run.status.success() && said.contains("1 passed"), "{said}");
}

#[tokio::test]
#[ignore = "run by the test above, in a process of its own"]
async fn none_is_left_over_in_a_process_of_its_own() {
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
        assert!(seen(pid).is_none_or(|entry| entry.parent != std::process::id()));
    }
    assert!(open() < before + agents.len(), "{before} before, {} after", open());
}

fn lives(pid: u32) -> bool {
    seen(pid).is_some_and(|entry| !entry.is_dead())
}

/// The pids that the agent has written, once it has written `count` of them.
async fn pids(host: &Descartes, id: AgentId, count: usize) -> Vec<u32> {
    let until = Instant::now() + Duration::from_secs(20);
    loop {
        let text = written(host, id, StreamName::Stdout).await;
        let all: Vec<u32> = String::from_utf8_lossy(&text)
            .lines()
            .map(|line| line.parse().expect("a pid"))
            .collect();
        if all.len() >= count && text.ends_with(b"\n") {
            return all;
        }
        assert!(Instant::now() < until, "{} of {count} pids", all.len());
        tokio::task::yield_now().await;
    }
}

/// Prints the pids of itself; of a child that left group, session, parent and environment, and of
/// a child of that; of one that only forked twice. All are deaf and hold the pipe.
const ESCAPEES: &str = "trap '' TERM
echo $$
( setsid env -i /bin/sh -c 'echo $$; sleep 1000 & echo $!; wait' & )
( ( sleep 1000 & echo $! ) & )
while :; do sleep 1000; done";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_kills_at_once_end_every_tree() {
    let host = host().await;
    let mut agents = Vec::new();
    for _ in 0..8 {
        agents.push(host.spawn(shell(ESCAPEES), "test").await.expect("it starts").record.id);
    }
    let mut kills = tokio::task::JoinSet::new();
    for (n, id) in agents.into_iter().enumerate() {
        let tree = pids(&host, id, 4).await;
        assert!(tree.iter().all(|pid| lives(*pid)));
        let host = host.clone();
        kills.spawn(async move {
            let kill = Kill { force: n % 2 == 0, grace: Some(Duration::from_millis(50)) };
            let killed = host.kill(id, kill, "test").await.expect("it is killed");
            let left: Vec<u32> = tree.into_iter().filter(|pid| lives(*pid)).collect();
            (left, killed.record.exit.clone().expect("an exit"))
        });
    }
    while let Some(done) = kills.join_next().await {
        let (left, exit) = done.expect("a kill");
        assert!(left.is_empty() && exit.forced && exit.swept >= 3, "{left:?} {exit:?}");
    }
}

/// What bears the mark of a run because it was started while the host did is no part of that run:
/// an application's own programs, and what those start, outlive the agents that begin beside them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn programs_of_the_application_are_not_taken_for_an_agents() {
    const ROUNDS: usize = 30;
    let host = host().await;
    let is_over = Arc::new(AtomicBool::new(false));
    let application = std::thread::spawn({
        let is_over = Arc::clone(&is_over);
        move || {
            let mut ends = Vec::new();
            while !is_over.load(Ordering::Relaxed) {
                let script = "( /bin/true; exec /bin/true ) && /bin/true && exec /bin/true";
                let ended = std::process::Command::new("/bin/sh").args(["-c", script]).status();
                ends.push(ended.expect("a shell"));
            }
            ends
        }
    });
    for _ in 0..ROUNDS {
        let id = host.spawn(shell("sleep 1000"), "test").await.expect("it starts").record.id;
        host.kill(id, Kill { force: true, grace: None }, "test").await.expect("it is killed");
    }
    is_over.store(true, Ordering::Relaxed);
    let ends = application.join().expect("the application goes on");
    assert!(ends.iter().all(|end| end.success()), "{ends:?}");
}

#[tokio::test]
async fn a_paused_tree_stands_still_and_goes_on() {
    let host = host().await;
    let script = "sleep 1000 & echo $$; echo $!; wait";
    let id = host.spawn(shell(script), "test").await.expect("it starts").record.id;
    let tree = pids(&host, id, 2).await;
    let stopped = |pid: &u32| seen(*pid).is_some_and(|entry| entry.is_stopped());
    let paused = host.pause(id, true, "test").await.expect("it pauses");
    assert_eq!(paused.pause.map(|(mode, _)| mode), Some(PauseMode::Forced));
    assert!(tree.iter().all(stopped));
    host.resume(id, "test").await.expect("it goes on");
    assert!(!tree.iter().any(stopped));
    host.kill(id, Kill::default(), "test").await.expect("it is killed");
    assert!(!tree.into_iter().any(lives));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tree_that_goes_on_forking_is_ended() {
    let host = host().await;
    let token = format!("bomb-{}", AgentId::generate());
    // Each generation outlives its parent, so that there are always some and never the same.
    let bomb = format!(
        "f() {{ ( sleep 0.05; f ) & ( sleep 0.05 ) & }}; f; f; f; echo $$; wait; sleep 1000; : {token}"
    );
    let id = host.spawn(shell(&bomb), "test").await.expect("it starts").record.id;
    pids(&host, id, 1).await;
    host.kill(id, Kill { force: true, grace: None }, "test").await.expect("it is killed");
    assert_eq!(bearers(&token), 0);
}

#[tokio::test]
async fn a_run_whose_caller_went_away_is_ended() {
    let host = host().await;
    let token = format!("orphaned-{}", AgentId::generate());
    let agent = AgentId::generate();
    let script = format!("sleep 1000; : {token}");
    let argv = ["/bin/sh", "-c", &script].map(str::to_owned).to_vec();
    let (asks, controls) = tokio::sync::mpsc::channel(1);
    let (exit, _) = tokio::sync::oneshot::channel();
    let journal = (host.journal().clone(), Clock::default());
    let sink = OutputSink::new(agent, OutputMark::default(), journal, None);
    let driver = AgentDriver::new(controls, sink, (exit, tokio::sync::watch::channel(None).0));
    let runner = ProcessRunner::new();
    let spawn = runner.spawn(Launch::new(1, (agent, 1), argv), driver);
    // Dropped while it is under way, and with it whoever could ask for the end.
    tokio::select! {
        biased;
        _ = spawn => panic!("it waits for the program to be started"),
        () = std::future::ready(()) => drop(asks),
    }
    let until = Instant::now() + Duration::from_secs(20);
    let mut seen = false;
    while !seen || bearers(&token) > 0 {
        seen = seen || bearers(&token) > 0 || runner.shared.registry.has_ended_one();
        assert!(Instant::now() < until);
        tokio::task::yield_now().await;
    }
    let until = Instant::now() + Duration::from_secs(20);
    while bearers(&token) > 0 {
        assert!(Instant::now() < until);
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn what_an_earlier_host_left_is_ended_and_counted() {
    // Of this process alone: the same test in another process would sweep it as well.
    let (instance, known) = (0x7e57_0000 ^ std::process::id(), AgentId::generate());
    let mark = marker::Marker { instance, agent: known, run: 1 };
    // Orphans of nobody here: their parent ends at once.
    let script = "setsid /bin/sh -c 'echo $$; env -i sleep 1000 & echo $!; wait' &";
    let mut left = std::process::Command::new("/bin/sh")
        .args(["-c", script])
        .env(marker::VARIABLE, mark.value(None))
        .stdout(std::process::Stdio::piped())
        .spawn()
        .expect("a shell");
    let output = std::io::BufReader::new(left.stdout.take().expect("a pipe"));
    let lines = std::io::BufRead::lines(output).take(2);
    let pids: Vec<u32> = lines.map(|line| line.expect("a line").parse().expect("a pid")).collect();
    left.wait().expect("it ends");
    let runner = ProcessRunner::new();
    assert!(runner.sweep_leftovers(!instance, &[known]).await.is_empty());
    assert!(pids.iter().all(|pid| lives(*pid)));
    let swept = runner.sweep_leftovers(instance, &[known]).await;
    assert!(swept.get(&known).is_some_and(|count| *count >= 2), "{swept:?}");
    // They are nobody's children here: who collects them is process 1, when it comes to it.
    let until = Instant::now() + Duration::from_secs(60);
    while pids.iter().any(|pid| lives(*pid)) {
        assert!(Instant::now() < until, "{pids:?}");
        tokio::task::yield_now().await;
    }
}

/// A child of this process, in a group of its own, and the number of the socket that it holds.
fn holder_of_a_socket() -> (std::process::Child, u64) {
    let (held, _other) = std::os::unix::net::UnixStream::pair().expect("a pair of sockets");
    let number = rustix::fs::fstat(&held).expect("an open socket").st_ino;
    let mut command = std::process::Command::new("sleep");
    std::os::unix::process::CommandExt::process_group(&mut command, 0);
    let held: std::os::fd::OwnedFd = held.into();
    (command.arg("1000").stdin(held).spawn().expect("it starts"), number)
}

#[tokio::test]
async fn who_connects_before_its_process_is_claimed_is_looked_at_when_it_is() {
    let runner = ProcessRunner::new();
    let registry = Arc::clone(&runner.shared.registry);
    let marker = marker::Marker { instance: 1, agent: AgentId::generate(), run: 1 };
    let beginning = registry.begin_start();
    let (mut child, number) = holder_of_a_socket();
    let process = CallerProcess::Process { pid: child.id(), seen: Instant::now() };
    for caller in [CallerProcess::Socket { number }, process] {
        let mut look = std::pin::pin!(runner.whereabouts(1, caller));
        let waits = std::future::poll_fn(|cx| Poll::Ready(look.as_mut().poll(cx).is_pending()));
        assert!(waits.await, "{caller:?}");
    }
    let registration = registry.register(child.id(), marker);
    drop(beginning);
    let inside = Whereabouts::Inside(marker.agent);
    for caller in [CallerProcess::Socket { number }, process] {
        assert_eq!(runner.whereabouts(1, caller).await, inside, "{caller:?}");
    }
    child.kill().expect("it is ours");
    registration.end(|| child.wait().expect("it is ours"));
}

#[tokio::test]
async fn whoever_left_the_tree_is_still_inside_and_this_process_is_not() {
    let host = host().await;
    let caller = |pid| CallerProcess::Process { pid, seen: Instant::now() };
    let me = caller(std::process::id());
    assert_eq!(host.whereabouts(me).await, Whereabouts::Outside);
    let leave = "sh -c 'echo $$; exec sleep 1000'";
    // The leader, a child, one in a session of its own, and one without its environment.
    let script =
        format!("echo $$; {leave} & (setsid {leave} &) & (env -i setsid {leave} &) & sleep 1000");
    let id = host.spawn(shell(&script), "test").await.expect("it starts").record.id;
    let query = LogQuery { stream: Some(StreamName::Stdout), limit: 10, ..LogQuery::default() };
    let mut pids = Vec::new();
    for _ in 0..6000 {
        let rows = host.logs(id, &query, Duration::from_millis(10)).await.expect("its log").rows;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().parse().ok();
        pids = rows.iter().filter(|row| !row.partial).filter_map(|row| text(&row.bytes)).collect();
        if pids.len() == 4 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(pids.len(), 4, "{pids:?}");
    for pid in &pids {
        assert_eq!(host.whereabouts(caller(*pid)).await, Whereabouts::Inside(id), "{pid}");
    }
    // One that came after it was seen has taken the place of another.
    let before = Instant::now().checked_sub(Duration::from_secs(1000)).expect("an earlier time");
    let late = CallerProcess::Process { pid: pids[0], seen: before };
    assert_eq!(host.whereabouts(late).await, Whereabouts::Unknown);
    assert_eq!(host.whereabouts(me).await, Whereabouts::Outside);
    let nobodys = CallerProcess::Socket { number: u64::MAX };
    assert_eq!(host.whereabouts(nobodys).await, Whereabouts::Outside);
    host.kill(id, Kill { force: true, grace: None }, "test").await.expect("it is killed");
}
