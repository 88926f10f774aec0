//! The life of an agent whose program runs elsewhere is that of any other.

use async_trait::async_trait;
use descartes_core::Kill;
use descartes_core::agent::{AgentError, AgentStatus, ExitReason, RestartWhen, StdinMode};
use descartes_core::runner::{
    AgentDriver, AgentRunner, Control, ControlOutcome, Launch, RunExit, Signal, SpawnError,
    SpawnStage, Started,
};
use descartes_core::testing::runner_suite::{self, Part, SAYS_CODE, SAYS_STDERR, SAYS_STDOUT};

use super::*;
use crate::error::{ErrorKind, RpcError};

async fn plays_for_the_suite(mut agent: FakeAgent) {
    if agent.launch.argv[0] == "says" {
        agent.write(StreamName::Stdout, SAYS_STDOUT).await;
        agent.write(StreamName::Stderr, SAYS_STDERR).await;
        return agent.exit(SAYS_CODE).await;
    }
    play(agent).await;
}

#[tokio::test(start_paused = true)]
async fn the_suite_for_runners_passes() {
    let runner = async || {
        let runner = Arc::new(FakeRunner::new(plays_for_the_suite));
        let there = Descartes::builder().runner(runner).build().await.unwrap();
        let client = Client::in_memory(Rpc::builder(there).build());
        Arc::new(RemoteRunner::new("far", client)) as _
    };
    let failures = runner_suite::check(runner, |part| {
        AgentSpec::command([match part {
            Part::Echo => "echo",
            Part::Says => "says",
            _ => "/missing",
        }])
    });
    assert_eq!(failures.await, []);
}

#[tokio::test(start_paused = true)]
async fn output_is_the_remotes_byte_for_byte_and_precedes_the_exit() {
    let there = Far::new().await;
    let here = near(Client::in_memory(there.rpc())).await;
    let id = start(&here, "bytes").await;
    let end = ended(&here, id).await;
    let exit = end.exit.as_ref().unwrap();
    assert_eq!((end.status, exit.code), (AgentStatus::Failed, Some(3)));
    assert_eq!(exit.stderr_tail, BYTES.concat());
    let id_there = there.agents(StatusFilter::Any)[0].id;
    for stream in StreamName::ALL {
        assert_eq!(output(&here, id, stream).await, BYTES.concat(), "{stream:?}");
        assert_eq!(output(&there.host, id_there, stream).await, BYTES.concat(), "{stream:?}");
    }
    let reference = end.reference.clone().unwrap();
    assert_eq!(&*reference, format!("far/{id_there}"));
    assert_eq!((end.pid, &*end.containment), (None, "remote"));
}

#[tokio::test(start_paused = true)]
async fn what_is_launched_there_is_what_was_asked_for_here() {
    let there = Far::new().await;
    let here = near(Client::in_memory(there.rpc())).await;
    let mut spec = far("launch");
    spec.args = vec!["-x".into(), "a b".into()];
    spec.env = [("TOKEN".to_owned(), "hunter2".to_owned())].into();
    spec.cwd = Some("/there".into());
    spec.task = Some("first \u{1}".into());
    spec.limits.output_bytes = Some(5000);
    spec.limits.wall = Some(Duration::from_secs(500));
    spec.stdin = StdinMode::Closed;
    spec.labels = [("team".to_owned(), "blue".to_owned())].into();
    let id = here.spawn(spec, "me").await.unwrap().record.id;
    wrote(&here, id, 10).await;
    let told = output(&here, id, StreamName::Stdout).await;
    let told = String::from_utf8(told).unwrap();
    let first = r#"["launch", "-x", "a b"] [("TOKEN", "hunter2")] Some("/there") Closed"#;
    assert!(told.starts_with(first), "{told}");
    assert!(told.contains(r#""first \\x01\\n" AgentLimits"#), "{told}");
    assert!(told.contains("Some(500s), output_bytes: Some(5000)"), "{told}");
    let far = &there.agents(StatusFilter::Live)[0];
    let label = |name: &str| far.spec.labels.get(name).cloned().unwrap_or_default();
    assert_eq!((label("descartes.agent"), label("descartes.run")), (id.to_string(), "1".into()));
    assert_eq!(label("descartes.remote"), "far");
}

#[tokio::test(start_paused = true)]
async fn a_restart_is_another_agent_there_and_another_run_here() {
    let there = Far::new().await;
    let here = near(Client::in_memory(there.rpc())).await;
    let mut spec = far("bytes");
    spec.restart.when = RestartWhen::OnFailure;
    spec.restart.max_restarts = 1;
    let id = here.spawn(spec, "me").await.unwrap().record.id;
    let end = ended(&here, id).await;
    assert_eq!((end.run, end.exit.as_ref().unwrap().reason), (2, ExitReason::RestartLimit));
    let both = [BYTES.concat(), BYTES.concat()].concat();
    assert_eq!(output(&here, id, StreamName::Stdout).await, both);
    let far = there.agents(StatusFilter::Any);
    assert!(far.iter().all(|agent| agent.run == 1) && far.len() == 2, "{far:?}");
}

#[tokio::test(start_paused = true)]
async fn everything_that_is_asked_of_it_reaches_it() {
    let there = Far::new().await;
    let here = near(Client::in_memory(there.rpc())).await;
    let id = start(&here, "echo").await;
    let id_there = there.agents(StatusFilter::Live)[0].id;
    for signal in Signal::ALL {
        here.signal(id, signal).await.unwrap();
    }
    assert_eq!(here.pause(id, true, "me").await.unwrap().status, AgentStatus::Paused);
    assert_eq!(record(&there.host, id_there).status, AgentStatus::Paused);
    assert_eq!(here.resume(id, "me").await.unwrap().status, AgentStatus::Running);
    assert_eq!(record(&there.host, id_there).status, AgentStatus::Running);
    here.write_stdin(id, b"\xff\n".to_vec().into(), false).await.unwrap();
    write(&here, id, "", true).await;
    assert_eq!(ended(&here, id).await.status, AgentStatus::Completed);
    let all: Vec<u8> =
        Signal::ALL.iter().flat_map(|one| format!("{}\n", one.as_str()).into_bytes()).collect();
    assert_eq!(output(&here, id, StreamName::Stdout).await, [&all[..], b"\xff\n"].concat());
    let late = here.write_stdin(id, "late".into(), false).await;
    assert!(matches!(late, Err(AgentError::WrongStatus { .. })), "{late:?}");
}

/// Its agents have to be forced, and leave something behind.
struct Stubborn;

#[async_trait]
impl AgentRunner for Stubborn {
    async fn spawn(&self, launch: Launch, driver: AgentDriver) -> Result<Started, SpawnError> {
        if launch.argv[0] == "nowhere" {
            let source = std::io::Error::from_raw_os_error(20);
            let mut error = SpawnError::new("nowhere", SpawnStage::Directory, source);
            (error.searched, error.cwd) = (vec!["/bin".into()], Some("/there".into()));
            return Err(error);
        }
        tokio::spawn(async move {
            let (mut controls, events) = driver.split();
            while let Some(request) = controls.next().await {
                let Control::Kill { .. } = request.control else { continue };
                request.done(ControlOutcome::Killed { forced: true, swept: 3 });
                let mut exit = RunExit::signal(9);
                (exit.forced, exit.swept) = (true, 3);
                return events.exited(exit).await;
            }
        });
        Ok(Started::process(1))
    }
}

async fn stubborn() -> (Descartes, Descartes) {
    let there = Descartes::builder().runner(Arc::new(Stubborn)).build().await.unwrap();
    let here = near(Client::in_memory(Rpc::builder(there.clone()).build())).await;
    (there, here)
}

#[tokio::test(start_paused = true)]
async fn a_kill_tells_what_it_took() {
    let (there, here) = stubborn().await;
    let id = start(&here, "any").await;
    let killed = here.kill(id, Kill::default(), "me").await.unwrap();
    let exit = killed.record.exit.clone().unwrap();
    assert_eq!((exit.reason, exit.signal), (ExitReason::Killed, Some(9)));
    assert_eq!((exit.forced, exit.swept, exit.by.as_deref()), (true, 3, Some("me")));
    assert!(killed.recorded);
    assert_eq!(agents(&there, StatusFilter::Live).len(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_start_that_fails_there_fails_here_for_the_same_reason() {
    let (_, here) = stubborn().await;
    let AgentError::Spawn(error) = here.spawn(far("nowhere"), "me").await.unwrap_err() else {
        panic!("not an error of the start");
    };
    assert_eq!((&*error.program, error.stage), ("nowhere", SpawnStage::Directory));
    assert_eq!(error.source.raw_os_error(), Some(20));
    assert_eq!(error.searched, [std::path::PathBuf::from("/bin")]);
    assert_eq!(error.cwd.as_deref(), Some(std::path::Path::new("/there")));
    assert_eq!(agents(&here, StatusFilter::Any).len(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_remote_that_takes_no_more_agents_says_so_here() {
    let mut limits = descartes_core::limits::Limits::default();
    limits.agents_running = 0;
    let builder = Descartes::builder().limits(limits).runner(Arc::new(FakeRunner::echo()));
    let there = builder.build().await.unwrap();
    let here = near(Client::in_memory(Rpc::builder(there).build())).await;
    let error = here.spawn(far("echo"), "me").await.unwrap_err();
    let error = RpcError::from(error);
    assert_eq!(error.kind(), ErrorKind::SpawnFailed);
    assert_eq!(error.detail("stage").unwrap(), "remote");
    assert!(error.is_retryable());
}

#[tokio::test(start_paused = true)]
async fn an_end_that_others_bring_about_there_is_told_here() {
    let there = Far::new().await;
    let here = near(Client::in_memory(there.rpc())).await;
    let mut spec = far("echo");
    spec.restart.when = RestartWhen::Always;
    let id = here.spawn(spec, "me").await.unwrap().record.id;
    let id_there = there.agents(StatusFilter::Live)[0].id;
    there.host.kill(id_there, Kill::default(), "them").await.unwrap();
    let end = ended(&here, id).await;
    assert_eq!(end.run, 1, "a kill ends the policy");
    let exit = end.exit.as_ref().unwrap();
    assert_eq!((end.status, exit.reason), (AgentStatus::Killed, ExitReason::Killed));
    assert_eq!(exit.by, None);
}

#[tokio::test(start_paused = true)]
async fn a_second_run_that_others_begin_there_is_nobodys_and_is_stopped() {
    let there = Far::new().await;
    let here = near(Client::in_memory(there.rpc())).await;
    let id = start(&here, "echo").await;
    let id_there = there.agents(StatusFilter::Live)[0].id;
    there.host.restart(id_there, None, "them").await.unwrap();
    assert_eq!(ended(&here, id).await.status, AgentStatus::Killed);
    until("the second run is stopped", || there.agents(StatusFilter::Live).is_empty()).await;
    assert_eq!(record(&there.host, id_there).run, 2);
}

#[tokio::test(start_paused = true)]
async fn a_flood_arrives_whole() {
    let there = Far::new().await;
    let here = near(Client::in_memory(there.rpc())).await;
    let id = start(&here, "echo").await;
    let block: String = (0..60_000u32).map(|n| char::from(b'a' + (n % 26) as u8)).collect();
    for _ in 0..30 {
        write(&here, id, &block, false).await;
    }
    write(&here, id, "", true).await;
    ended(&here, id).await;
    let all = output(&here, id, StreamName::Stdout).await;
    assert_eq!(all.len(), 30 * block.len());
    assert!(all == block.repeat(30).as_bytes());
}

#[tokio::test(start_paused = true)]
async fn more_agents_than_a_connection_has_subscriptions_are_followed_all_the_same() {
    const AGENTS: usize = crate::limits::SUBSCRIPTIONS_PER_CONNECTION + 26;
    let there = Far::new().await;
    let road = Road::to(there.rpc());
    let here = near(Client::connect(road.clone())).await;
    let mut ids = Vec::new();
    for _ in 0..AGENTS {
        ids.push(start(&here, "echo").await);
    }
    for id in &ids {
        write(&here, *id, "one\n", false).await;
    }
    for id in &ids {
        wrote(&here, *id, 4).await;
    }
    road.cut();
    let (ending, killed) = ids.split_at(AGENTS / 2);
    for id in ending {
        write(&here, *id, "two\n", true).await;
    }
    for id in ending {
        assert_eq!(ended(&here, *id).await.status, AgentStatus::Completed);
        assert_eq!(output(&here, *id, StreamName::Stdout).await, b"one\ntwo\n");
    }
    assert_eq!(here.stop_agents(Kill::default()).await, 0);
    for id in killed {
        assert_eq!(ended(&here, *id).await.status, AgentStatus::Killed);
    }
    assert_eq!(there.agents(StatusFilter::Live).len(), 0);
    assert_eq!(there.agents(StatusFilter::Any).len(), AGENTS);
}
