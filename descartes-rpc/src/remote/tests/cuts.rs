//! The connection is lost at every point of a life, and nothing shows of it.

use descartes_core::Kill;
use descartes_core::agent::AgentStatus;
use descartes_core::runner::Signal;

use super::*;

/// A whole life with every control in it, over a road that breaks as it is told.
async fn live(frames: Vec<usize>) {
    let told = format!("{frames:?}");
    let there = Far::new().await;
    let road = Road::to(there.rpc());
    road.break_after(frames);
    let here = near(Client::connect(road)).await;
    let id = start(&here, "echo").await;
    write(&here, id, "one\n", false).await;
    here.pause(id, true, "me").await.unwrap();
    here.resume(id, "me").await.unwrap();
    here.write_stdin(id, b"\xff\xc3".to_vec().into(), false).await.unwrap();
    here.signal(id, Signal::Usr1).await.unwrap();
    write(&here, id, "two\n", true).await;
    let end = ended(&here, id).await;
    assert_eq!(end.status, AgentStatus::Completed, "{told}");
    let all = output(&here, id, StreamName::Stdout).await;
    assert_eq!(all.escape_ascii().to_string(), r"one\n\xff\xc3usr1\ntwo\n", "{told}");
    assert_eq!(there.agents(StatusFilter::Any).len(), 1, "{told}");
    let id = start(&here, "echo").await;
    let killed = here.kill(id, Kill::default(), "me").await.unwrap();
    assert_eq!(killed.record.status, AgentStatus::Killed, "{told}");
    assert_eq!(there.agents(StatusFilter::Any).len(), 2, "{told}");
    assert_eq!(there.agents(StatusFilter::Live).len(), 0, "{told}");
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_is_lost_after_any_frame_changes_nothing() {
    for first in 0..40 {
        live(vec![first]).await;
    }
}

#[tokio::test(start_paused = true)]
async fn connections_that_are_lost_again_and_again_change_nothing() {
    for first in 1..8 {
        for second in 1..8 {
            live(vec![first + second, 1, second, first]).await;
        }
    }
}
