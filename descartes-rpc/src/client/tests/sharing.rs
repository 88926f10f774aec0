//! Many calls and readers on one connection: nobody waits for another.

use super::*;

/// Answers subscriptions without end, and calls at once. Says how often it was asked for a
/// subscription.
async fn flood(mut daemon: Pipe, asked: Arc<Mutex<usize>>) {
    let mut open: VecDeque<(String, u64)> = VecDeque::new();
    loop {
        let call = match open.pop_front() {
            None => daemon.read().await,
            Some((id, last)) => {
                let next = json!({"subscription_id": id, "event": event(last + 1)});
                daemon.write(&json!({"jsonrpc": "2.0", "method": "event.next", "params": next}));
                open.push_back((id, last + 1));
                tokio::task::yield_now().await;
                match daemon.frames.try_recv() {
                    Ok(frame) => Some(serde_json::from_slice(&frame).unwrap()),
                    Err(mpsc::error::TryRecvError::Empty) => continue,
                    Err(mpsc::error::TryRecvError::Disconnected) => None,
                }
            }
        };
        let Some(call) = call else { return };
        match call["method"].as_str() {
            Some("event.subscribe") => {
                let id = uuid::Uuid::now_v7().to_string();
                *asked.lock().unwrap() += 1;
                let after = call["params"]["after"].as_str().unwrap_or("0").to_owned();
                daemon.answer(&call, &json!({"subscription_id": id, "cursor": after}));
                open.push_back((id, after.parse().unwrap()));
            }
            Some("event.unsubscribe") => {
                open.retain(|(id, _)| *id != call["params"]["subscription_id"]);
            }
            _ => daemon.answer(&call, &json!({})),
        }
    }
}

async fn next(subscription: &mut Subscription) -> u64 {
    match subscription.next().await.unwrap().unwrap() {
        Update::Event(event) => event.data().unwrap(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_never_reads_holds_up_no_call_and_no_other_reader() {
    let (doors, asked) = (Doors::default(), Arc::default());
    tokio::spawn(flood(doors.open(), Arc::clone(&asked)));
    let client = Client::connect(doors);
    let began = tokio::time::Instant::now();
    let mut idle = client.subscribe(SubscribeParams::default()).await.unwrap();
    let mut busy = client.subscribe(SubscribeParams::default()).await.unwrap();
    for seq in 1..=5_000 {
        assert_eq!(next(&mut busy).await, seq);
        if seq % 50 == 0 {
            client.call_raw("system.health", &raw(&json!({}))).await.unwrap();
        }
    }
    // The clock stands: nobody waited for anything but the other tasks.
    assert_eq!(began.elapsed(), Duration::ZERO);
    let before = *asked.lock().unwrap();
    drop(busy);
    // The idle reader was closed when its queue was full, and comes back for the rest.
    for seq in 1..=5_000 {
        assert_eq!(next(&mut idle).await, seq);
    }
    assert!(*asked.lock().unwrap() > before);
}

#[test]
fn a_client_outlives_the_runtime_that_it_was_first_used_in() {
    let doors = Doors::default();
    let client = Client::connect(doors.clone());
    for _ in 0..2 {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            tokio::spawn(serve(doors.open(), 0, usize::MAX));
            client.call_raw("system.health", &raw(&json!({}))).await.unwrap();
        });
    }
}
