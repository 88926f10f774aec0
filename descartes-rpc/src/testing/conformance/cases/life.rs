//! Connections come, go, and come back.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use futures_core::{Stream, stream::BoxStream};
use futures_util::{Sink, StreamExt};
use serde_json::json;

use super::{CLOSING, Case, Needs, agents, calls, case, fresh_key, fresh_name, quiet_topic};
use crate::{
    client::{Client, Connect, Exchange, FrameIo, Reconnect, Update},
    testing::conformance::{
        Harness, Link, Outcome,
        expect::{Failure, check, failure},
        session::Session,
    },
    wire::event::SubscribeParams,
};

pub(super) fn cases() -> Vec<Case> {
    vec![
        case!("who leaves takes back nothing that was asked for", Duplex, effects_stay),
        case!("a call repeated after lost connections takes effect once", Duplex, once_only),
        case!("a connection ends when its client says goodbye", Duplex, goodbye),
        case!("a hundred connections come and go", Nothing, come_and_go),
        let_go_case(),
        case!("who leaves in the middle of an answer disturbs nobody", Nothing, leaves_early),
        case!("the typed client goes on wherever it is cut off", Nothing, cut_off),
    ]
}

async fn effects_stay(harness: &dyn Harness) -> Result<(), Failure> {
    let prefix = fresh_key("leaving");
    let mut duplex = Session::open(harness).await?.duplex()?;
    let puts = (0..20).map(|number| json!({"key": format!("{prefix}/{number}"), "value": number}));
    duplex.begin_all("state.put", puts).await?;
    drop(duplex);
    calls::keys_of(&mut Session::open(harness).await?, &prefix, 20).await.map(drop)
}

async fn once_only(harness: &dyn Harness) -> Result<(), Failure> {
    let mut params = harness.agent();
    params["idempotency_key"] = fresh_key("once").into();
    params["name"] = fresh_name().into();
    for _ in 0..3 {
        let mut lost = Session::open(harness).await?.duplex()?;
        lost.begin("agent.spawn", params.clone()).await?;
    }
    let mut session = Session::open(harness).await?;
    let spawned = session.call("agent.spawn", params.clone()).await?;
    let listed = session.call("agent.list", json!({"status": "any", "limit": 1000})).await?;
    agents::kill(&mut session, spawned["agent_id"].as_str().unwrap_or_default()).await?;
    let entries = listed["agents"].as_array().ok_or_else(|| failure("no agents"))?;
    let named = entries.iter().filter(|entry| entry["name"] == params["name"]).count();
    check(named == 1, || format!("{named} agents"))
}

async fn goodbye(harness: &dyn Harness) -> Result<(), Failure> {
    let params = json!({"topics": [quiet_topic()], "after": "now"});
    let mut feed = Session::open(harness).await?.follow(params.clone()).await?;
    feed.expect("event.synced").await?;
    let duplex = feed.duplex()?;
    let mut wait = params;
    wait["wait_ms"] = 30_000.into();
    duplex.begin("event.read", wait).await?;
    duplex.call("system.health", json!({})).await?;
    duplex.close().await?;
    let ended = async {
        // What is still said on the way out is welcome; that it ends with an error is too.
        while let Ok(Some(_)) = duplex.frame().await {}
    };
    let closed = tokio::time::timeout(CLOSING, ended).await;
    closed.map_err(|_elapsed| failure(format!("still open {} s after it", CLOSING.as_secs())))
}

async fn come_and_go(harness: &dyn Harness) -> Result<(), Failure> {
    for _ in 0..100 {
        Session::open(harness).await?.call("system.health", json!({})).await?;
    }
    Ok(())
}

/// Connections that are lost at once, and how often it is looked whether they are gone.
const LOST: u64 = 8;
const LOOKS: usize = 500;
const LOOK_AGAIN: Duration = Duration::from_millis(20);

fn let_go_case() -> Case {
    Case {
        name: "connections that are lost are let go".to_owned(),
        needs: Needs::Nothing,
        run: Box::new(|harness| Box::pin(let_go(harness))),
    }
}

async fn let_go(harness: &dyn Harness) -> Result<Outcome, Failure> {
    let mut session = Session::open(harness).await?;
    let mut lost = Vec::new();
    for _ in 0..LOST {
        let params = json!({"topics": [quiet_topic()], "after": "now"});
        lost.push(Session::open(harness).await?.follow(params).await?);
    }
    let most = connections(&mut session).await?;
    if most < LOST {
        return Ok(Outcome::Skipped("this service does not count its connections"));
    }
    drop(lost);
    for _ in 0..LOOKS {
        if connections(&mut session).await? <= most - LOST {
            return Ok(Outcome::Passed);
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
    Err(failure(format!("{} of {most} are still open", connections(&mut session).await?)))
}

/// How many connections the daemon says it has.
async fn connections(session: &mut Session) -> Result<u64, Failure> {
    let metrics = session.call("system.metrics", json!({})).await?;
    Ok(metrics["system"]["active_connections"].as_u64().unwrap_or_default())
}

async fn leaves_early(harness: &dyn Harness) -> Result<(), Failure> {
    let agent = agents::told(harness, 4).await?;
    for _ in 0..10 {
        let params = json!({"topics": [format!("agent/{agent}/")]});
        drop(Session::open(harness).await?.follow(params).await?);
    }
    Session::open(harness).await?.call("rpc.discover", json!({})).await.map(drop)
}

/// A history whose events are many more than the frames that a connection lives for.
const LINES: usize = 8;

async fn cut_off(harness: &dyn Harness) -> Result<(), Failure> {
    let agent = agents::told(harness, LINES).await?;
    let whole = cursors(client(harness.link(), usize::MAX), &agent).await?;
    check(whole.len() > LINES, || format!("a history of {} events", whole.len()))?;
    // One frame is the answer: with two, every event is followed by a cut.
    for lives in 2..6 {
        let pieces = cursors(client(harness.link(), lives), &agent).await?;
        check(pieces == whole, || {
            format!("{} events instead of {}, cut every {lives} frames", pieces.len(), whole.len())
        })?;
    }
    Ok(())
}

/// The typed client over connections that are lost after `lives` frames each.
fn client(link: Link, lives: usize) -> Client {
    // Quick, and far more attempts than there are cuts.
    let (first, most) = (Duration::from_millis(1), Duration::from_millis(5));
    let reconnect = Reconnect { first, most, attempts: 1000, ..Reconnect::default() };
    match link {
        Link::Duplex(whole) => Client::connect_with(ShortLived { whole, lives }, reconnect),
        Link::Exchange(whole) => Client::exchange_with(ShortLived { whole, lives }, reconnect),
    }
}

/// The cursors of all events of an agent, as the typed client is told them.
async fn cursors(client: Client, agent: &str) -> Result<Vec<String>, Failure> {
    let topics = vec![format!("agent/{agent}/")];
    let params = SubscribeParams { topics, ..SubscribeParams::default() };
    let failed = |error| failure(format!("the typed client gave up: {error}"));
    let mut subscription = client.subscribe(params).await.map_err(failed)?;
    let mut cursors = Vec::new();
    while let Some(update) = subscription.next().await {
        match update.map_err(failed)? {
            Update::Event(event) => cursors.push(event.head().cursor.clone()),
            Update::Synced { .. } => return Ok(cursors),
            other => return Err(failure(format!("it was told {other:?}"))),
        }
    }
    Err(failure("the subscription ended"))
}

/// A way to the daemon whose connections end after some frames.
struct ShortLived<W: ?Sized> {
    whole: Arc<W>,
    lives: usize,
}

#[async_trait]
impl Connect for ShortLived<dyn Connect> {
    async fn connect(&self) -> io::Result<Box<dyn FrameIo>> {
        Ok(Box::new(ShortLivedIo { whole: self.whole.connect().await?, left: self.lives }))
    }

    fn transport_name(&self) -> &'static str {
        self.whole.transport_name()
    }
}

#[async_trait]
impl Exchange for ShortLived<dyn Exchange> {
    async fn exchange(&self, message: Bytes) -> io::Result<Bytes> {
        self.whole.exchange(message).await
    }

    async fn stream(&self, message: Bytes) -> io::Result<BoxStream<'static, io::Result<Bytes>>> {
        Ok(Box::pin(self.whole.stream(message).await?.take(self.lives)))
    }

    fn transport_name(&self) -> &'static str {
        self.whole.transport_name()
    }
}

struct ShortLivedIo {
    whole: Box<dyn FrameIo>,
    left: usize,
}

impl Stream for ShortLivedIo {
    type Item = io::Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        let frame = ready!(self.whole.poll_next_unpin(cx));
        self.left -= 1;
        Poll::Ready(frame)
    }
}

impl Sink<Bytes> for ShortLivedIo {
    type Error = io::Error;

    fn poll_ready(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.whole).poll_ready(cx)
    }

    fn start_send(mut self: Pin<&mut Self>, frame: Bytes) -> io::Result<()> {
        Pin::new(&mut self.whole).start_send(frame)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.whole).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.whole).poll_close(cx)
    }
}
