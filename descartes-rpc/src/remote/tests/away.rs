//! A remote that does not answer: shown, waited for, and given up at last.

use descartes_core::Kill;
use descartes_core::agent::{Activity, AgentError, AgentStatus, ExitReason};
use descartes_core::runner::SpawnStage;
use tokio::time::Instant;

use super::*;
use crate::error::{ErrorKind, RpcError};

/// Longer than any deadline of a call, and than it takes to see that nobody answers.
const SOON: Duration = Duration::from_secs(40);

async fn both() -> (Far, Road, Descartes) {
    let there = Far::new().await;
    let road = Road::to(there.rpc());
    let here = near(Client::connect(road.clone())).await;
    (there, road, here)
}

async fn unreachable(host: &Descartes, id: AgentId, expected: bool) {
    let activity = expected.then_some(Activity::Unreachable);
    until("it shows", || record(host, id).activity == activity).await;
}

/// Asks for everything, which nobody answers; none of it takes long.
async fn ask_in_vain(here: &Descartes, id: AgentId) {
    let began = Instant::now();
    assert!(is_lost(&here.write_stdin(id, "x".into(), false).await.unwrap_err()));
    assert!(is_lost(&here.pause(id, true, "me").await.unwrap_err()));
    assert!(is_lost(&here.signal(id, descartes_core::runner::Signal::Usr1).await.unwrap_err()));
    let killed = here.kill(id, Kill::default(), "me").await.unwrap_err();
    assert!(is_lost(&killed));
    assert_eq!(RpcError::from(killed).kind(), ErrorKind::ConnectionLost);
    assert!(began.elapsed() < SOON * 4, "{:?}", began.elapsed());
    assert_eq!(record(here, id).status, AgentStatus::Running);
}

#[tokio::test(start_paused = true)]
async fn a_remote_that_vanishes_and_comes_back_was_only_out_of_reach() {
    let (there, road, here) = both().await;
    let id = start(&here, "echo").await;
    let id_there = there.agents(StatusFilter::Live)[0].id;
    write(&here, id, "before\n", false).await;
    wrote(&here, id, 7).await;
    road.close();
    let began = Instant::now();
    unreachable(&here, id, true).await;
    assert!(began.elapsed() < SOON, "{:?}", began.elapsed());
    ask_in_vain(&here, id).await;
    there.host.write_stdin(id_there, "meanwhile\n".into(), false).await.unwrap();
    tokio::time::sleep(Duration::from_secs(300)).await;
    road.open(there.rpc());
    unreachable(&here, id, false).await;
    write(&here, id, "after\n", true).await;
    assert_eq!(ended(&here, id).await.status, AgentStatus::Completed);
    let all = output(&here, id, StreamName::Stdout).await;
    assert_eq!(String::from_utf8(all).unwrap(), "before\nmeanwhile\nafter\n");
    let activities: Vec<_> =
        changes(&here, id).await.iter().map(|change| (change.to, change.activity)).collect();
    let expected = [
        (AgentStatus::Running, Some(Activity::Unreachable)),
        (AgentStatus::Running, None),
        (AgentStatus::Completed, None),
    ];
    assert_eq!(activities, expected);
}

#[tokio::test(start_paused = true)]
async fn a_remote_that_falls_silent_hangs_nobody() {
    let (there, road, here) = both().await;
    let id = start(&here, "echo").await;
    road.mute(true);
    let began = Instant::now();
    let lost = here.write_stdin(id, "x\n".into(), false).await.unwrap_err();
    assert!(is_lost(&lost), "{lost}");
    assert!(began.elapsed() < SOON, "{:?}", began.elapsed());
    unreachable(&here, id, true).await;
    ask_in_vain(&here, id).await;
    road.mute(false);
    road.cut();
    unreachable(&here, id, false).await;
    // It was asked for before the road fell silent, and the answer alone was lost.
    let id_there = there.agents(StatusFilter::Live)[0].id;
    let written = output(&there.host, id_there, StreamName::Stdout).await;
    assert!(written.starts_with(b"x\n"));
    wrote(&here, id, written.len()).await;
    assert_eq!(output(&here, id, StreamName::Stdout).await, written);
}

#[tokio::test(start_paused = true)]
async fn a_remote_that_stays_away_loses_its_agents_for_good_and_what_it_still_runs_is_stopped() {
    let (there, road, here) = both().await;
    let others = there.host.spawn(AgentSpec::command(["echo"]), "them").await.unwrap();
    let id = start(&here, "echo").await;
    road.close();
    let began = Instant::now();
    let end = ended(&here, id).await;
    assert!((600..640).contains(&began.elapsed().as_secs()), "{:?}", began.elapsed());
    assert_eq!(end.status, AgentStatus::Lost);
    assert_eq!((end.activity, end.exit.as_ref().unwrap().reason), (None, ExitReason::Lost));
    let last = changes(&here, id).await.pop().unwrap();
    assert_eq!(last.reason.as_deref(), Some("the remote did not answer for too long"));
    tokio::time::sleep(Duration::from_secs(10_000)).await;
    assert_eq!(there.agents(StatusFilter::Live).len(), 2);
    road.open(there.rpc());
    until("it is stopped", || there.agents(StatusFilter::Live).len() == 1).await;
    assert_eq!(there.agents(StatusFilter::Live)[0].id, others.record.id);
    assert_eq!(record(&here, id).status, AgentStatus::Lost);
}

#[tokio::test(start_paused = true)]
async fn how_long_it_may_stay_away_can_be_set() {
    let there = Far::new().await;
    let road = Road::to(there.rpc());
    let runner = RemoteRunner::builder("far", Client::connect(road.clone()));
    let runner = runner.lost_after(Duration::from_secs(30)).build();
    let here = near_on(Arc::new(MemoryStore::new()), runner).await;
    let id = start(&here, "echo").await;
    let began = Instant::now();
    road.close();
    assert_eq!(ended(&here, id).await.status, AgentStatus::Lost);
    assert!((30..70).contains(&began.elapsed().as_secs()), "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn what_died_with_the_remotes_daemon_is_lost_here_as_there() {
    let (there, road, here) = both().await;
    let mut ids = Vec::new();
    for _ in 0..20 {
        let id = start(&here, "echo").await;
        write(&here, id, "written\n", false).await;
        ids.push(id);
    }
    for id in &ids {
        wrote(&here, *id, 8).await;
    }
    road.close();
    let again = there.restarted().await;
    tokio::time::sleep(Duration::from_secs(20)).await;
    road.open(again.rpc());
    for id in ids {
        let end = ended(&here, id).await;
        let exit = end.exit.as_ref().unwrap();
        assert_eq!((end.status, exit.reason), (AgentStatus::Lost, ExitReason::HostDied));
        assert_eq!(output(&here, id, StreamName::Stdout).await, b"written\n");
    }
    assert_eq!(again.agents(StatusFilter::Any).len(), 20);
    assert_eq!(again.agents(StatusFilter::Live).len(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_kill_that_meets_the_death_of_the_remote_is_answered() {
    let (there, road, here) = both().await;
    let id = start(&here, "echo").await;
    road.mute(true);
    let killing = tokio::spawn({
        let here = here.clone();
        async move { here.kill(id, Kill::default(), "me").await }
    });
    tokio::time::sleep(Duration::from_secs(2)).await;
    road.close();
    let again = there.restarted().await;
    road.mute(false);
    road.open(again.rpc());
    let killed = killing.await.unwrap();
    // It was killed, or died with the daemon: in either case it is gone, and that is known.
    let end = ended(&here, id).await;
    assert!(matches!(end.status, AgentStatus::Lost | AgentStatus::Killed), "{end:?} {killed:?}");
    assert_eq!(again.agents(StatusFilter::Live).len(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_remote_whose_data_was_replaced_has_lost_them_and_says_why() {
    let (_there, road, here) = both().await;
    let id = start(&here, "echo").await;
    road.close();
    let other = Far::new().await;
    road.open(other.rpc());
    assert_eq!(ended(&here, id).await.status, AgentStatus::Lost);
    let last = changes(&here, id).await.pop().unwrap();
    assert_eq!(last.reason.as_deref(), Some("the remote has another journal"));
}

#[tokio::test(start_paused = true)]
async fn a_start_that_nobody_answers_fails_in_time_and_leaves_nothing() {
    let (there, road, here) = both().await;
    road.mute(true);
    let began = Instant::now();
    let error = here.spawn(far("echo"), "me").await.unwrap_err();
    assert!(began.elapsed() < SOON, "{:?}", began.elapsed());
    assert!(matches!(&error, AgentError::Spawn(error) if error.stage == SpawnStage::Remote));
    let error = RpcError::from(error);
    assert_eq!(error.kind(), ErrorKind::ConnectionLost);
    assert!(error.is_retryable());
    assert_eq!(agents(&here, StatusFilter::Any).len(), 0);
    assert_eq!(there.agents(StatusFilter::Live).len(), 1, "it arrived, nobody knows");
    road.mute(false);
    road.cut();
    until("it is stopped", || there.agents(StatusFilter::Live).is_empty()).await;
    road.close();
    let error = RpcError::from(here.spawn(far("echo"), "me").await.unwrap_err());
    assert_eq!(error.kind(), ErrorKind::ConnectionLost);
    assert_eq!(there.agents(StatusFilter::Any).len(), 1);
}

#[tokio::test(start_paused = true)]
async fn agents_that_are_ours_are_never_taken_for_nobodys() {
    let (there, road, here) = both().await;
    let mut ids = Vec::new();
    for round in 0..10 {
        // One start in two is given up halfway, so that strays are looked for all the time.
        ids.push(start(&here, "echo").await);
        road.mute(round % 2 == 0);
        if round % 2 == 0 {
            assert!(here.spawn(far("echo"), "me").await.is_err());
            road.mute(false);
            road.cut();
        }
        tokio::time::sleep(Duration::from_secs(3)).await;
    }
    until("strays are stopped", || there.agents(StatusFilter::Live).len() == ids.len()).await;
    tokio::time::sleep(Duration::from_secs(200)).await;
    assert_eq!(there.agents(StatusFilter::Live).len(), ids.len());
    for id in ids {
        assert_eq!(record(&here, id).status, AgentStatus::Running);
    }
}
