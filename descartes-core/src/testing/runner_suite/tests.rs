//! Our runners pass; runners that are broken on purpose, each in one way, do not.

use async_trait::async_trait;

use super::*;
use crate::runner::{
    AgentDriver, AgentEvents, Control, ControlOutcome, Controls, Launch, RunExit, SpawnError,
    SpawnStage, Started,
};
use crate::testing::{FakeAgent, FakeInput, FakeRunner};

fn scripted(part: Part) -> AgentSpec {
    AgentSpec::command([match part {
        Part::Echo => "echo",
        Part::Says => "says",
        Part::Missing => "/missing",
    }])
}

async fn play(mut agent: FakeAgent) {
    if agent.launch.argv[0] == "says" {
        agent.write(StreamName::Stdout, SAYS_STDOUT).await;
        agent.write(StreamName::Stderr, SAYS_STDERR).await;
        return agent.exit(SAYS_CODE).await;
    }
    loop {
        match agent.next().await {
            FakeInput::Bytes(bytes) => agent.write(StreamName::Stdout, &bytes).await,
            FakeInput::Signal(_) => {}
            FakeInput::Eof => return agent.exit(0).await,
            FakeInput::Killed => return agent.die().await,
        }
    }
}

#[cfg(all(feature = "process", target_os = "linux"))]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn processes_pass() {
    let runner = async || Arc::new(crate::process::ProcessRunner::new()) as _;
    let says = r"printf 'a\000\377\r\nb'; echo oops >&2; exit 7";
    let failures = check(runner, |part| match part {
        Part::Echo => AgentSpec::command(["cat"]),
        Part::Says => AgentSpec::command(["/bin/sh", "-c", says]),
        Part::Missing => AgentSpec::command(["/no/such/program"]),
    });
    assert_eq!(failures.await, []);
}

#[tokio::test(start_paused = true)]
async fn fakes_pass() {
    let failures = check(async || Arc::new(FakeRunner::new(play)) as _, scripted).await;
    let failed: Vec<_> = failures.iter().map(|failure| failure.claim).collect();
    assert_eq!(failed, Vec::<&str>::new(), "{failures:?}");
}

#[derive(Clone, Copy, Debug)]
enum Fault {
    LosesTheLastByte,
    WritesTwice,
    MixesStreams,
    ChangesTheCode,
    StartsWhatIsMissing,
    NeverEnds,
    SwapsInput,
    ForgetsTheEnd,
    DropsPauses,
    DropsSignals,
    KeepsItsInputOpen,
}

struct Broken(Fault);

#[async_trait]
impl AgentRunner for Broken {
    async fn spawn(&self, launch: Launch, driver: AgentDriver) -> Result<Started, SpawnError> {
        if launch.argv[0] == "/missing" && !matches!(self.0, Fault::StartsWhatIsMissing) {
            let missing = std::io::Error::from_raw_os_error(2);
            return Err(SpawnError::new("/missing", SpawnStage::Lookup, missing));
        }
        let (controls, events) = driver.split();
        tokio::spawn(run(self.0, launch, controls, events));
        Ok(Started::default())
    }
}

async fn run(fault: Fault, launch: Launch, controls: Controls, events: AgentEvents) {
    if launch.argv[0] != "says" {
        return echo(fault, controls, events).await;
    }
    let stdout = match fault {
        Fault::LosesTheLastByte => &SAYS_STDOUT[..SAYS_STDOUT.len() - 1],
        _ => SAYS_STDOUT,
    };
    let stderr = match fault {
        Fault::MixesStreams => StreamName::Stdout,
        _ => StreamName::Stderr,
    };
    events.output(StreamName::Stdout, 0, stdout).await;
    let at = if stderr == StreamName::Stdout { stdout.len() as u64 } else { 0 };
    events.output(stderr, at, SAYS_STDERR).await;
    if matches!(fault, Fault::WritesTwice) {
        events.output(StreamName::Stdout, stdout.len() as u64, stdout).await;
    }
    let code = if matches!(fault, Fault::ChangesTheCode) { 1 } else { SAYS_CODE };
    events.exited(RunExit::code(code)).await;
}

async fn echo(fault: Fault, mut controls: Controls, events: AgentEvents) {
    let (mut at, mut held, mut closed) = (0, Bytes::new(), false);
    while let Some(request) = controls.next().await {
        match request.control.clone() {
            Control::Kill { .. } if matches!(fault, Fault::NeverEnds) => drop(request),
            Control::Kill { .. } => {
                request.done(ControlOutcome::Killed { forced: false, swept: 0 });
                return events.exited(RunExit::signal(15)).await;
            }
            Control::Pause | Control::Resume if matches!(fault, Fault::DropsPauses) => {}
            Control::Signal(_) if matches!(fault, Fault::DropsSignals) => {}
            Control::Pause => {
                request.done(ControlOutcome::Paused(crate::agent::PauseMode::Forced));
            }
            Control::WriteStdin { .. } if closed && !matches!(fault, Fault::KeepsItsInputOpen) => {
                request.fail(StdinError::Closed.into());
            }
            Control::WriteStdin { bytes, close } => {
                closed = close;
                request.done(ControlOutcome::Done);
                let write = match fault {
                    Fault::SwapsInput if !close => std::mem::replace(&mut held, bytes),
                    _ => bytes,
                };
                events.output(StreamName::Stdout, at, &write).await;
                at += write.len() as u64;
                if close && !matches!(fault, Fault::ForgetsTheEnd | Fault::KeepsItsInputOpen) {
                    return events.exited(RunExit::code(0)).await;
                }
            }
            Control::Resume | Control::Signal(_) => request.done(ControlOutcome::Done),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn whatever_is_broken_is_found_where_it_is() {
    let table = [
        (Fault::LosesTheLastByte, "output_is_exact_and_precedes_the_exit"),
        (Fault::WritesTwice, "output_is_exact_and_precedes_the_exit"),
        (Fault::MixesStreams, "output_is_exact_and_precedes_the_exit"),
        (Fault::ChangesTheCode, "output_is_exact_and_precedes_the_exit"),
        (Fault::StartsWhatIsMissing, "a_start_that_fails_leaves_nothing"),
        (Fault::NeverEnds, "a_kill_is_answered_when_the_run_has_ended"),
        (Fault::SwapsInput, "input_arrives_in_order_and_ends"),
        (Fault::ForgetsTheEnd, "input_arrives_in_order_and_ends"),
        (Fault::DropsPauses, "a_pause_and_a_resume_are_answered_and_change_nothing_else"),
        (Fault::DropsSignals, "a_signal_is_answered"),
        (Fault::KeepsItsInputOpen, "input_that_is_closed_or_full_is_refused"),
    ];
    for (fault, claim) in table {
        let failures = check(async || Arc::new(Broken(fault)) as _, scripted).await;
        let found = failures.iter().any(|failure| failure.claim == claim);
        assert!(found, "{fault:?} is not found by {claim}: {failures:?}");
    }
}
