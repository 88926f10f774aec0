//! Nothing is waited for longer than was said.

use tokio::time::Instant;

use super::*;
use crate::limits::CLIENT_DEADLINE;

/// A transport that takes requests and answers none.
struct Deaf;

#[async_trait]
impl Exchange for Deaf {
    async fn exchange(&self, _: Bytes) -> io::Result<Bytes> {
        std::future::pending().await
    }
    async fn stream(&self, _: Bytes) -> io::Result<BoxStream<'static, io::Result<Bytes>>> {
        std::future::pending().await
    }
    fn transport_name(&self) -> &'static str {
        "deaf"
    }
}

/// How long `call` took, and the key in the timeout that it ended with.
async fn ended<T: std::fmt::Debug>(
    call: impl Future<Output = Result<T, ClientError>>,
) -> (Duration, Option<String>) {
    let began = Instant::now();
    let error = call.await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
    let ClientError::Timeout { after, idempotency_key } = error else { panic!("{error:?}") };
    assert_eq!(began.elapsed().as_secs(), after.as_secs());
    (after, idempotency_key)
}

#[tokio::test(start_paused = true)]
async fn a_call_without_an_answer_ends_at_its_deadline_and_tells_its_key() {
    let doors = Doors::default();
    let _daemon = doors.open();
    let clients = [Client::exchange(Deaf), Client::connect(Quiet(doors))];
    let (plain, keyed) = (raw(&json!({})), raw(&json!({"idempotency_key": "k"})));
    let wait = raw(&json!({"agent_id": "a", "timeout_secs": 100}));
    let second = Duration::from_secs(1);
    for client in clients {
        assert_eq!(ended(client.call_raw("a", &plain)).await, (CLIENT_DEADLINE, None));
        let hasty = client.with_deadline(second);
        assert_eq!(ended(hasty.call_raw("a", &keyed)).await, (second, Some("k".to_owned())));
        assert_eq!(ended(hasty.call_raw("agent.wait", &wait)).await, (second * 101, None));
        assert_eq!(ended(hasty.subscribe(SubscribeParams::default())).await, (second, None));
        assert_eq!(ended(client.call_raw("a", &plain)).await, (CLIENT_DEADLINE, None));
    }
}

/// Connections that nobody can lose without being told.
struct Quiet(Doors);

#[async_trait]
impl Connect for Quiet {
    async fn connect(&self) -> io::Result<Box<dyn FrameIo>> {
        self.0.connect().await
    }
    fn transport_name(&self) -> &'static str {
        "quiet"
    }
    fn may_fall_silent(&self) -> bool {
        false
    }
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_takes_nothing_is_not_written_for_in_memory() {
    /// Takes nothing, says nothing.
    struct Stuck;
    impl Stream for Stuck {
        type Item = io::Result<Bytes>;
        fn poll_next(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Self::Item>> {
            Poll::Pending
        }
    }
    impl Sink<Bytes> for Stuck {
        type Error = io::Error;
        fn poll_ready(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Pending
        }
        fn start_send(self: Pin<&mut Self>, _: Bytes) -> io::Result<()> {
            Ok(())
        }
        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Pending
        }
        fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Pending
        }
    }
    struct Wall;
    #[async_trait]
    impl Connect for Wall {
        async fn connect(&self) -> io::Result<Box<dyn FrameIo>> {
            Ok(Box::new(Stuck))
        }
        fn transport_name(&self) -> &'static str {
            "wall"
        }
        fn may_fall_silent(&self) -> bool {
            false
        }
    }
    let client = Client::connect(Wall).with_deadline(Duration::from_millis(1));
    let large = raw(&json!({"x": "y".repeat(100_000)}));
    // The first mebibyte is taken and kept; then the callers wait, for no longer than they said.
    for _ in 0..300 {
        let error = client.call_raw("a", &large).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Timeout);
    }
}

#[tokio::test(start_paused = true)]
async fn an_attempt_to_connect_does_not_take_for_ever() {
    /// Nobody answers.
    struct Lost;
    #[async_trait]
    impl Connect for Lost {
        async fn connect(&self) -> io::Result<Box<dyn FrameIo>> {
            std::future::pending().await
        }
        fn transport_name(&self) -> &'static str {
            "lost"
        }
    }
    let client = Client::connect(Lost);
    let began = Instant::now();
    let error = client.call_raw("a", &raw(&json!({}))).await.unwrap_err();
    let ClientError::Unreachable { source, .. } = error else { panic!("{error:?}") };
    assert_eq!(source.kind(), io::ErrorKind::TimedOut);
    assert_eq!(began.elapsed().as_secs(), 10);
}
