//! A hundred agents in one message.

use descartes_transport_zmq::protocol::{
    BatchControlCommand, BatchControlResponse, ControlCommandType, ZmqMessage,
};
use serde_json::json;

use crate::rig::agents::spawn;
use crate::rig::daemon::{Daemon, Setup};
use crate::rig::parrot;
use crate::rig::zmtp::{Zmtp, message};

const AGENTS: usize = 100;

fn start() -> (Daemon, Vec<String>) {
    let daemon = Setup::new().only_config("[agents]\nmax_running = 200\n").start();
    let mut socket = daemon.socket();
    let agents = (0..AGENTS).map(|_| spawn(&mut socket, &parrot::parrot(&["line"]))).collect();
    (daemon, agents)
}

/// One message there and one back.
#[track_caller]
fn round_trip(peer: &mut Zmtp, command: BatchControlCommand) -> BatchControlResponse {
    let asked = ZmqMessage::BatchControlCommand(command).encode();
    peer.write(&message(&[b"", &asked])).expect("the daemon reads");
    let answer = peer.receive().expect("the daemon answers");
    match ZmqMessage::decode(&answer[1]).expect("a message of the protocol") {
        ZmqMessage::BatchControlResponse(response) => response,
        other => panic!("{other:?}"),
    }
}

fn command(agents: &[String], kind: &str, fail_fast: bool) -> BatchControlCommand {
    let command_type: ControlCommandType = serde_json::from_value(json!(kind)).expect("a word");
    BatchControlCommand {
        request_id: kind.to_owned(),
        agent_ids: agents.to_vec(),
        command_type,
        fail_fast,
        ..BatchControlCommand::default()
    }
}

#[test]
fn a_hundred_agents_in_one_batch_are_answered_in_their_order() {
    let (daemon, agents) = start();
    let mut peer = Zmtp::connect(daemon.zmq(), "REQ");
    for (kind, status) in [("pause", "paused"), ("resume", "running"), ("kill", "killed")] {
        let done = round_trip(&mut peer, command(&agents, kind, false));
        assert_eq!(done.request_id.as_deref(), Some(kind));
        assert_eq!((done.success, done.successful, done.failed), (true, 100, 0), "{kind}");
        let answered: Vec<_> = done.results.iter().map(|one| one.agent_id.clone()).collect();
        assert_eq!(answered, agents, "{kind}");
        for one in done.results {
            let told = one.status.map(|status| status.as_str().to_owned());
            assert_eq!((one.success, told.as_deref()), (true, Some(status)), "{}", one.agent_id);
        }
    }
}

#[test]
fn a_batch_that_is_to_fail_fast_stops_at_the_first_failure() {
    let (daemon, agents) = start();
    let mut peer = Zmtp::connect(daemon.zmq(), "REQ");
    let asked = [&["nobody".to_owned()][..], &agents].concat();
    let done = round_trip(&mut peer, command(&asked, "kill", true));
    assert!(!done.success, "{done:?}");
    assert_eq!(done.results.len(), asked.len());
    assert_eq!(done.successful + done.failed, asked.len() as u64);
    let kinds: Vec<Option<&str>> = done
        .results
        .iter()
        .map(|one| one.error.as_ref().map(|error| error.kind.as_str()))
        .collect();
    assert_eq!(kinds[0], Some("agent_not_found"));
    // Those that were at work beside it are done; of the rest none was begun.
    let begun = kinds.iter().filter(|kind| **kind != Some("cancelled")).count();
    assert!(begun < AGENTS, "{begun} were begun after a failure");
    let alive = agents.iter().zip(&kinds[1..]).filter(|(_, kind)| kind.is_some());
    let alive: Vec<String> = alive.map(|(agent, _)| agent.clone()).collect();
    let status = round_trip(&mut peer, command(&alive, "get_status", false));
    let running = |one: &descartes_transport_zmq::protocol::BatchAgentResult| {
        one.status.is_some_and(|status| status.as_str() == "running")
    };
    assert!(status.results.iter().all(running), "{status:?}");
}
