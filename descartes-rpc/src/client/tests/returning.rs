//! Coming back: what passes is sat out, what does not is told, and nobody is asked in a hurry.

use tokio::time::Instant;

use super::*;

fn refused(call: &Value, kind: ErrorKind, retryable: bool) -> Value {
    let data = json!({"kind": kind.as_str(), "retryable": retryable});
    let error = json!({"code": kind.code(), "message": "no", "data": data});
    json!({"jsonrpc": "2.0", "id": call["id"], "error": error})
}

fn ended(reason: &str, cursor: &str) -> Value {
    let params = json!({"subscription_id": "s", "reason": reason, "cursor": cursor});
    json!({"jsonrpc": "2.0", "method": "event.ended", "params": params})
}

fn next_event(seq: u64) -> Value {
    let params = json!({"subscription_id": "s", "event": event(seq)});
    json!({"jsonrpc": "2.0", "method": "event.next", "params": params})
}

/// Reads a call of `event.subscribe` and answers it; gives the place that it asked for.
async fn open(daemon: &mut Pipe) -> Value {
    let call = daemon.read().await.unwrap();
    assert_eq!(call["method"], "event.subscribe");
    let after = call["params"]["after"].clone();
    let cursor = after.as_str().unwrap_or("0");
    daemon.answer(&call, &json!({"subscription_id": "s", "cursor": cursor}));
    after
}

async fn seq(subscription: &mut Subscription) -> u64 {
    match subscription.next().await.unwrap().unwrap() {
        Update::Event(event) => event.head().seq,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_subscription_goes_on_through_an_orderly_restart() {
    for reason in ["shutdown", "store_error"] {
        let doors = Doors::default();
        let mut daemon = doors.open();
        let client = Client::connect(doors.clone());
        let script = async {
            open(&mut daemon).await;
            daemon.write(&next_event(1));
            daemon.write(&ended(reason, "5"));
            let mut again = doors.open();
            drop(daemon);
            assert_eq!(open(&mut again).await, "5");
            again.write(&next_event(6));
            again
        };
        let reader = async {
            let mut subscription = client.subscribe(SubscribeParams::default()).await.unwrap();
            (seq(&mut subscription).await, seq(&mut subscription).await)
        };
        assert_eq!(tokio::join!(script, reader).1, (1, 6), "{reason}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_store_that_recovers_is_read_on_over_the_same_connection() {
    let doors = Doors::default();
    let mut daemon = doors.open();
    let client = Client::connect(doors);
    let script = async {
        open(&mut daemon).await;
        daemon.write(&ended("store_error", "3"));
        let call = daemon.read().await.unwrap();
        daemon.write(&refused(&call, ErrorKind::StateError, true));
        assert_eq!(open(&mut daemon).await, "3");
        daemon.write(&next_event(4));
        daemon
    };
    let reader = async {
        let mut subscription = client.subscribe(SubscribeParams::default()).await.unwrap();
        seq(&mut subscription).await
    };
    assert_eq!(tokio::join!(script, reader).1, 4);
}

#[tokio::test(start_paused = true)]
async fn told_so_a_subscription_ends_with_the_daemon() {
    let doors = Doors::default();
    let mut daemon = doors.open();
    let reconnect = Reconnect { restarts: false, ..Reconnect::default() };
    let client = Client::connect_with(doors, reconnect);
    let script = async {
        open(&mut daemon).await;
        daemon.write(&ended("shutdown", "7"));
    };
    let reader = async {
        let mut subscription = client.subscribe(SubscribeParams::default()).await.unwrap();
        let last = subscription.next().await.unwrap().unwrap();
        assert!(matches!(last, Update::Ended { cursor, .. } if cursor == "7"));
        assert!(subscription.next().await.is_none());
    };
    tokio::join!(script, reader);
}

#[tokio::test(start_paused = true)]
async fn a_daemon_that_will_not_open_it_again_has_the_last_word() {
    for kind in [ErrorKind::Conflict, ErrorKind::Forbidden, ErrorKind::AgentNotFound] {
        let doors = Doors::default();
        let mut daemon = doors.open();
        let client = Client::connect(doors.clone());
        let script = async {
            open(&mut daemon).await;
            let mut again = doors.open();
            drop(daemon);
            let call = again.read().await.unwrap();
            again.write(&refused(&call, kind, kind.retryable()));
        };
        let reader = async {
            let mut subscription = client.subscribe(SubscribeParams::default()).await.unwrap();
            let last = subscription.next().await.unwrap().unwrap_err();
            assert_eq!(last.kind(), kind);
            assert!(subscription.next().await.is_none());
        };
        tokio::join!(script, reader);
    }
}

#[tokio::test(start_paused = true)]
async fn a_daemon_that_is_not_ready_yet_is_asked_again_but_not_for_ever() {
    let doors = Doors::default();
    let mut daemon = doors.open();
    let client = Client::connect(doors.clone());
    let script = async {
        open(&mut daemon).await;
        let mut again = doors.open();
        drop(daemon);
        let mut asked = 0;
        while let Some(call) = again.read().await {
            asked += 1;
            again.write(&refused(&call, ErrorKind::Unavailable, true));
        }
        asked
    };
    let reader = async {
        let mut subscription = client.subscribe(SubscribeParams::default()).await.unwrap();
        let began = Instant::now();
        let last = subscription.next().await.unwrap().unwrap_err();
        assert_eq!(last.kind(), ErrorKind::Unavailable);
        drop(client);
        began.elapsed()
    };
    let (asked, waited) = tokio::join!(script, reader);
    let Reconnect { attempts, most, .. } = Reconnect::default();
    assert_eq!(asked, attempts);
    assert!(waited > most * 5 && waited < most * attempts, "{waited:?}");
}

#[tokio::test(start_paused = true)]
async fn a_call_with_a_key_that_comes_back_too_early_is_sent_once_more() {
    let doors = Doors::default();
    let mut daemon = doors.open();
    let client = Client::connect(doors.clone());
    let keyed = raw(&json!({"idempotency_key": "k"}));
    let script = async {
        daemon.read().await.unwrap();
        let mut again = doors.open();
        drop(daemon);
        let call = again.read().await.unwrap();
        again.write(&refused(&call, ErrorKind::Unavailable, true));
        let call = again.read().await.unwrap();
        again.answer(&call, &json!(5));
        again
    };
    let (answer, _again) = tokio::join!(client.call_raw("a", &keyed), script);
    assert_eq!(answer.unwrap().get(), "5");
    // Sent once, it has had no effect: that is the outcome.
    let doors = Doors::default();
    let mut daemon = doors.open();
    let client = Client::connect(doors);
    let script = async {
        let call = daemon.read().await.unwrap();
        daemon.write(&refused(&call, ErrorKind::Unavailable, true));
    };
    let (answer, ()) = tokio::join!(client.call_raw("a", &keyed), script);
    assert_eq!(answer.unwrap_err().kind(), ErrorKind::Unavailable);
}

/// Accepts everybody, answers `event.subscribe` if it is to, and hangs up.
#[derive(Clone)]
struct Rude {
    answers: bool,
    visits: Arc<Mutex<u32>>,
}

#[async_trait]
impl Connect for Rude {
    async fn connect(&self) -> io::Result<Box<dyn FrameIo>> {
        let (mut near, far) = pipe();
        *self.visits.lock().unwrap() += 1;
        let answers = self.answers;
        tokio::spawn(async move {
            if answers {
                open(&mut near).await;
            } else {
                near.read().await;
            }
        });
        Ok(Box::new(far))
    }
    fn transport_name(&self) -> &'static str {
        "rude"
    }
}

#[async_trait]
impl Exchange for Rude {
    async fn exchange(&self, _: Bytes) -> io::Result<Bytes> {
        *self.visits.lock().unwrap() += 1;
        Err(io::ErrorKind::ConnectionReset.into())
    }
    async fn stream(&self, message: Bytes) -> io::Result<BoxStream<'static, io::Result<Bytes>>> {
        *self.visits.lock().unwrap() += 1;
        let call: Value = serde_json::from_slice(&message).unwrap();
        let result = json!({"subscription_id": "s", "cursor": "0"});
        let answer = json!({"jsonrpc": "2.0", "id": call["id"], "result": result});
        let answer = Ok(Bytes::from(answer.to_string()));
        Ok(Box::pin(futures_util::stream::iter(self.answers.then_some(answer))))
    }
    fn transport_name(&self) -> &'static str {
        "rude"
    }
}

#[tokio::test(start_paused = true)]
async fn a_daemon_that_hangs_up_at_once_is_visited_ever_more_rarely_and_then_given_up() {
    let most = Reconnect::default().attempts;
    let keyed = raw(&json!({"idempotency_key": "k"}));
    let rude = |answers| Rude { answers, visits: Arc::default() };
    let clients = |rude: &Rude| {
        let long = Duration::from_secs(600);
        [Client::connect(rude.clone()), Client::exchange(rude.clone())]
            .map(|client| client.with_deadline(long))
    };
    for over in 0..2 {
        let calls = rude(false);
        let began = Instant::now();
        let lost = clients(&calls)[over].call_raw("a", &keyed).await.unwrap_err();
        assert!(matches!(lost, ClientError::ConnectionLost { .. }), "{lost:?}");
        assert_eq!(*calls.visits.lock().unwrap(), most);
        assert!(began.elapsed() > Duration::from_secs(30), "{:?}", began.elapsed());

        let streams = rude(true);
        let client = &clients(&streams)[over];
        let began = Instant::now();
        let mut subscription = client.subscribe(SubscribeParams::default()).await.unwrap();
        let lost = subscription.next().await.unwrap().unwrap_err();
        assert!(matches!(lost, ClientError::ConnectionLost { .. }), "{lost:?}");
        let visits = *streams.visits.lock().unwrap();
        assert!(visits.abs_diff(most) <= 1, "{visits}");
        assert!(began.elapsed() > Duration::from_secs(30), "{:?}", began.elapsed());
    }
}

/// A pipe of which nothing is taken before it breaks.
struct Refusing(Pipe);

impl Stream for Refusing {
    type Item = io::Result<Bytes>;
    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Pin::new(&mut self.0).poll_next(cx)
    }
}

impl Sink<Bytes> for Refusing {
    type Error = io::Error;
    fn poll_ready(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()))
    }
    fn start_send(self: Pin<&mut Self>, _: Bytes) -> io::Result<()> {
        unreachable!("it is never ready")
    }
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Pending
    }
    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Pending
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_never_handed_over_is_sent_again_without_a_key() {
    /// The first connection takes nothing.
    struct Second(Doors, Mutex<bool>);
    #[async_trait]
    impl Connect for Second {
        async fn connect(&self) -> io::Result<Box<dyn FrameIo>> {
            if std::mem::take(&mut *self.1.lock().unwrap()) {
                let (near, far) = pipe();
                // Broken for writing only: it must not be the reading side that tells.
                std::mem::forget(near);
                return Ok(Box::new(Refusing(far)));
            }
            self.0.connect().await
        }
        fn transport_name(&self) -> &'static str {
            "second"
        }
    }
    let doors = Doors::default();
    tokio::spawn(serve(doors.open(), 0, usize::MAX));
    let client = Client::connect(Second(doors, Mutex::new(true)));
    client.call_raw("system.health", &raw(&json!({}))).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_daemon_that_has_fallen_silent_is_left_for_another_connection() {
    let doors = Doors::default();
    let mut daemon = doors.open();
    let client = Client::connect(doors.clone());
    let script = async {
        open(&mut daemon).await;
        // As long as it answers it may have nothing to say.
        for _ in 0..3 {
            let probe = daemon.read().await.unwrap();
            assert_eq!(probe["method"], "system.health");
            daemon.answer(&probe, &json!({}));
        }
        let mut again = doors.open();
        assert_eq!(open(&mut again).await, "0");
        again.write(&next_event(1));
        (daemon, again)
    };
    let began = Instant::now();
    let reader = async {
        let mut subscription = client.subscribe(SubscribeParams::default()).await.unwrap();
        seq(&mut subscription).await
    };
    assert_eq!(tokio::join!(script, reader).1, 1);
    // Four silences, and the answer that did not come.
    assert_eq!(began.elapsed().as_secs(), 90);
}

#[tokio::test(start_paused = true)]
async fn an_idle_client_asks_for_nothing() {
    let doors = Doors::default();
    let mut daemon = doors.open();
    let client = Client::connect(doors);
    let script = async {
        let call = daemon.read().await.unwrap();
        daemon.answer(&call, &json!({}));
        let long = Duration::from_secs(3600);
        assert!(tokio::time::timeout(long, daemon.read()).await.is_err());
    };
    let params = raw(&json!({}));
    let (answer, ()) = tokio::join!(client.call_raw("a", &params), script);
    answer.unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_read_is_read_again_and_not_left_out() {
    let doors = Doors::default();
    let mut daemon = doors.open();
    let client = Client::connect(doors.clone());
    let script = async {
        open(&mut daemon).await;
        daemon.write(&next_event(1));
        drop(daemon.out.try_send(Bytes::from_static(b"{\"method\":\"event.next\",\"params\":{}}")));
        daemon.write(&next_event(3));
        let mut again = doors.open();
        assert_eq!(open(&mut again).await, "1");
        again.write(&next_event(2));
        (daemon, again)
    };
    let reader = async {
        let mut subscription = client.subscribe(SubscribeParams::default()).await.unwrap();
        (seq(&mut subscription).await, seq(&mut subscription).await)
    };
    assert_eq!(tokio::join!(script, reader).1, (1, 2));
}

#[tokio::test(start_paused = true)]
async fn the_tail_of_a_topic_does_not_begin_again_later() {
    for (topic, again) in [("agent/a/output", json!(["5", null])), ("agent/", json!([null, 3]))] {
        let doors = Doors::default();
        let mut daemon = doors.open();
        let client = Client::connect(doors.clone());
        let script = async {
            let call = daemon.read().await.unwrap();
            assert_eq!(call["params"]["tail"], 3);
            daemon.answer(&call, &json!({"subscription_id": "s", "cursor": "5"}));
            let mut next = doors.open();
            drop(daemon);
            let call = next.read().await.unwrap();
            json!([call["params"]["after"], call["params"]["tail"]])
        };
        let topics = vec![topic.to_owned()];
        let params = SubscribeParams { topics, tail: Some(3), ..SubscribeParams::default() };
        let (asked, opened) = tokio::join!(script, client.subscribe(params));
        opened.unwrap();
        assert_eq!(asked, again, "{topic}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_name_is_asked_for_once() {
    let doors = Doors::default();
    let mut daemon = doors.open();
    let client = Client::connect(doors.clone());
    let script = async {
        let call = daemon.read().await.unwrap();
        assert_eq!(call["params"]["topics"], json!(["agent/worker/"]));
        let topics = json!(["agent/0192aaaa/"]);
        let opened = json!({"subscription_id": "s", "cursor": "5", "topics": topics});
        daemon.answer(&call, &opened);
        let mut next = doors.open();
        drop(daemon);
        // Another agent may bear the name by now.
        assert_eq!(next.read().await.unwrap()["params"]["topics"], topics);
    };
    let topics = vec!["agent/worker/".to_owned()];
    let params = SubscribeParams { topics, ..SubscribeParams::default() };
    let ((), opened) = tokio::join!(script, client.subscribe(params));
    opened.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_quiet_subscription_outlives_any_number_of_restarts() {
    for duplex in [true, false] {
        let doors = Doors::default();
        let client = match duplex {
            true => Client::connect(doors.clone()),
            false => Client::exchange(Lasting(doors.clone())),
        };
        let script = async {
            let mut daemon = doors.open();
            for _ in 0..Reconnect::default().attempts * 2 {
                open(&mut daemon).await;
                tokio::time::sleep(Duration::from_secs(10)).await;
                daemon.write(&ended("shutdown", "0"));
                daemon = doors.open();
            }
            open(&mut daemon).await;
            daemon.write(&next_event(1));
            daemon
        };
        let reader = async {
            let mut subscription = client.subscribe(SubscribeParams::default()).await.unwrap();
            seq(&mut subscription).await
        };
        assert_eq!(tokio::join!(script, reader).1, 1);
    }
}

/// Streams over connections that a test made before.
struct Lasting(Doors);

#[async_trait]
impl Exchange for Lasting {
    async fn exchange(&self, _: Bytes) -> io::Result<Bytes> {
        Err(io::ErrorKind::Unsupported.into())
    }
    async fn stream(&self, message: Bytes) -> io::Result<BoxStream<'static, io::Result<Bytes>>> {
        let next = self.0.0.lock().unwrap().pop_front();
        let mut pipe = next.ok_or(io::ErrorKind::ConnectionRefused)?;
        pipe.out.try_send(message).or(Err(io::ErrorKind::BrokenPipe))?;
        Ok(Box::pin(futures_util::stream::poll_fn(move |cx| Pin::new(&mut pipe).poll_next(cx))))
    }
    fn transport_name(&self) -> &'static str {
        "lasting"
    }
}
