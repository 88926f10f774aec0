//! What happens when there is too much to do.

use std::{sync::Arc, time::Duration};

use serde_json::{Value, json};

use super::serving::Client;
use crate::{
    fixture::Fixture,
    layer::SlotLimits,
    service::{Dispatch, Rpc},
};

fn with_slots(change: impl FnOnce(&mut SlotLimits)) -> (Arc<Fixture>, Rpc) {
    let fixture = Arc::new(Fixture::default());
    let dispatch: Arc<dyn Dispatch> = Arc::<Fixture>::clone(&fixture);
    let mut limits = SlotLimits::default();
    change(&mut limits);
    (fixture, Rpc::over(dispatch).slots(limits).build())
}

#[tokio::test]
async fn the_sixty_fifth_call_of_a_connection_is_refused_at_once_and_control_still_passes() {
    let mut client = Client::of(Fixture::service());
    for id in 0..65 {
        client.call(id, "hold", "a").await;
    }
    assert_eq!(client.answer().await, (64, json!(-32011)));
    client.call(65, "kill", "a").await;
    client.call(66, "echo", "a").await;
    let (first, second) = (client.answer().await, client.answer().await);
    assert!([first.0, second.0].contains(&65) && [first.0, second.0].contains(&66));
    client.nothing().await;
}

#[tokio::test]
async fn waiting_calls_give_back_their_slot() {
    let (fixture, rpc) = with_slots(|limits| limits.calls = 2);
    let mut client = Client::of(rpc.clone());
    for id in 0..200 {
        client.call(id, "wait", "w").await;
    }
    client.call(500, "later", "a").await;
    assert_eq!(client.answer().await, (500, json!("a")));
    assert_eq!((rpc.slots().waits(), rpc.slots().at_work()), (200, 0));
    fixture.open("w", 200);
    for _ in 0..200 {
        assert_eq!(client.answer().await.1, json!("w"));
    }
    assert_eq!(rpc.slots().waits(), 0);
}

#[tokio::test]
async fn the_waiting_call_too_many_is_refused() {
    let mut client = Client::of(Fixture::service());
    for id in 0..513 {
        client.call(id, "wait", "w").await;
    }
    assert_eq!(client.answer().await, (512, json!(-32011)));
    let (_, rpc) = with_slots(|limits| limits.waits = 1);
    let mut client = Client::of(rpc);
    client.call(1, "wait", "w").await;
    client.call(2, "wait", "w").await;
    assert_eq!(client.answer().await, (2, json!(-32011)));
}

#[tokio::test(start_paused = true)]
async fn a_call_waits_its_time_for_a_slot_and_is_then_unavailable() {
    let (fixture, rpc) = with_slots(|limits| limits.calls = 1);
    let mut client = Client::of(rpc);
    client.call(1, "later", "a").await;
    client.answer().await;
    client.call(2, "change", "held").await;
    client.call(3, "hold", "b").await;
    client.call(4, "kill", "c").await;
    assert_eq!(client.answer().await, (4, json!("c")));
    tokio::time::sleep(Duration::from_secs(29)).await;
    client.nothing().await;
    fixture.open("held", 1);
    assert_eq!(client.answer().await, (2, json!("held")));
    fixture.open("b", 1);
    assert_eq!(client.answer().await, (3, json!("b")));
}

#[tokio::test]
async fn without_patience_a_call_over_the_bound_is_refused_at_once() {
    let (_, rpc) = with_slots(|limits| {
        limits.calls = 1;
        limits.patience = Duration::ZERO;
    });
    let mut client = Client::of(rpc);
    client.call(1, "hold", "a").await;
    client.call(2, "hold", "b").await;
    let refused = client.next().await;
    assert_eq!(refused["id"], 2);
    assert_eq!(refused["error"]["data"]["reason"], "no_slot");
}

#[tokio::test(start_paused = true)]
async fn a_call_that_takes_too_long_times_out_and_what_it_began_keeps_its_slot() {
    let (fixture, rpc) = with_slots(|limits| limits.calls = 1);
    let mut client = Client::of(rpc.clone());
    client.call(1, "detach", "a").await;
    let timed_out: Value = client.next().await;
    assert_eq!(timed_out["error"]["code"], -32009);
    assert_eq!(timed_out["error"]["data"]["idempotency_key"], "the-key");
    assert_eq!(rpc.slots().at_work(), 1);
    fixture.open("a", 1);
    client.nothing().await;
    assert_eq!(rpc.slots().at_work(), 0);
}

#[tokio::test(start_paused = true)]
async fn the_request_timeout_is_not_for_calls_that_wait() {
    let (fixture, rpc) = Fixture::rpc();
    let mut client = Client::of(rpc);
    client.call(1, "wait", "a").await;
    tokio::time::sleep(Duration::from_secs(3000)).await;
    client.nothing().await;
    fixture.open("a", 1);
    assert_eq!(client.answer().await, (1, json!("a")));
}

#[tokio::test]
async fn a_lost_connection_gives_back_everything() {
    let (_, rpc) = Fixture::rpc();
    let mut client = Client::of(rpc.clone());
    for id in 0..30 {
        client.call(id, if id % 2 == 0 { "hold" } else { "wait" }, "a").await;
    }
    client.nothing().await;
    assert_eq!((rpc.slots().at_work(), rpc.slots().waits()), (15, 15));
    client.served.abort();
    assert!(client.served.await.unwrap_err().is_cancelled());
    assert_eq!((rpc.slots().at_work(), rpc.slots().waits()), (0, 0));
}

#[tokio::test]
async fn the_ninth_batch_at_work_is_refused_call_by_call() {
    let mut client = Client::of(Fixture::service());
    let call = |id| json!({"jsonrpc": "2.0", "id": id, "method": "wait", "params": ["a"]});
    for id in 0..9 {
        client.send(&json!([call(id)])).await;
    }
    let refused = client.next().await;
    assert_eq!(refused[0]["id"], 8);
    assert_eq!(refused[0]["error"]["code"], -32011);
}
