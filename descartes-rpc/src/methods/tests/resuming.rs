//! A reader of the real dispatcher that is cut off after each frame, and comes back.

use std::io;
use std::pin::Pin;
use std::sync::Mutex;
use std::task::{Context, Poll};

use async_trait::async_trait;
use bytes::Bytes;
use futures_core::Stream;
use futures_util::Sink;

use super::*;
use crate::client::{Connect, FrameIo};
use crate::connection::{ConnectionLimits, serve_connection};
use crate::memory::{self, MemoryIo};
use crate::peer::Peer;

/// A connection that breaks after so many frames from the daemon.
struct Fragile {
    io: MemoryIo,
    left: usize,
}

impl Stream for Fragile {
    type Item = io::Result<Bytes>;
    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let Some(left) = self.left.checked_sub(1) else { return Poll::Ready(None) };
        let frame = std::task::ready!(Pin::new(&mut self.io).poll_next(cx));
        self.left = left;
        Poll::Ready(frame)
    }
}

impl Sink<Bytes> for Fragile {
    type Error = io::Error;
    fn poll_ready(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_ready(cx)
    }
    fn start_send(mut self: Pin<&mut Self>, frame: Bytes) -> io::Result<()> {
        Pin::new(&mut self.io).start_send(frame)
    }
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }
    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_close(cx)
    }
}

/// Gives connections that last for so many frames; the last of them for good.
struct Doors {
    rpc: Rpc,
    frames: Mutex<Vec<usize>>,
}

#[async_trait]
impl Connect for Doors {
    async fn connect(&self) -> io::Result<Box<dyn FrameIo>> {
        let (near, far) = memory::pair();
        let (rpc, peer) = (self.rpc.clone(), Peer::owner("test"));
        let limits = ConnectionLimits::default();
        tokio::spawn(serve_connection(rpc, peer, far, limits, std::future::pending()));
        let left = self.frames.lock().unwrap().pop().unwrap_or(usize::MAX);
        Ok(Box::new(Fragile { io: near, left }))
    }

    fn transport_name(&self) -> &'static str {
        "fragile"
    }
}

async fn history(client: Client, events: usize) -> Vec<u64> {
    let topics = vec!["agent/".to_owned(), "system".to_owned()];
    let follow = SubscribeParams { topics, ..SubscribeParams::default() };
    let mut subscription = client.subscribe(follow).await.unwrap();
    let mut seen = Vec::new();
    let mut synced = false;
    while !synced || seen.len() < events {
        match subscription.next().await.unwrap().unwrap() {
            Update::Event(event) => seen.push(event.head().seq),
            Update::Synced { .. } => assert!(!std::mem::replace(&mut synced, true)),
            other => panic!("{other:?}"),
        }
    }
    seen
}

#[tokio::test(start_paused = true)]
async fn a_reader_cut_off_after_any_frame_sees_all_of_history_once() {
    let descartes = descartes().await;
    let rpc = Rpc::builder(descartes).build();
    let client = Client::in_memory(rpc.clone());
    for name in ["a", "b"] {
        client.agent_spawn(echo(name)).await.unwrap();
        let write = json!({"agent_id": name, "text": "x\n", "close": true});
        client.agent_write_stdin(params::<WriteParams>(write)).await.unwrap();
        client.agent_wait(params::<WaitParams>(json!({"agent_id": name}))).await.unwrap();
    }
    let whole = history(client, 9).await;
    assert!(whole.is_sorted_by(|one, next| one < next), "{whole:?}");
    for first in 1..=whole.len() + 2 {
        for second in 1..=3 {
            let frames = Mutex::new(vec![second, first]);
            let fragile = Client::connect(Doors { rpc: rpc.clone(), frames });
            assert_eq!(history(fragile, whole.len()).await, whole, "{first}, {second}");
        }
    }
}

/// How many readers follow how many agents.
const PAIRS: usize = 20;
/// How often each reader is cut off.
const CUTS: usize = 25;

/// Everything that `topic` says until its agent has ended.
async fn to_the_end(client: Client, topic: String) -> Vec<String> {
    let follow = SubscribeParams { topics: vec![topic], ..SubscribeParams::default() };
    let mut subscription = client.subscribe(follow).await.unwrap();
    let mut seen = Vec::new();
    loop {
        if let Update::Event(event) = subscription.next().await.unwrap().unwrap() {
            seen.push(event.json().to_owned());
            if event.kind() == "agent.exited" {
                return seen;
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn readers_of_agents_that_print_see_everything_once_however_often_they_are_cut_off() {
    let rpc = Rpc::builder(descartes().await).build();
    let own = Client::in_memory(rpc.clone());
    let mut readers = Vec::new();
    for at in 0..PAIRS {
        let name = format!("agent-{at}");
        let id = own.agent_spawn(echo(&name)).await.unwrap().agent_id;
        // The last connection of the list is the first that is made; the first frame of each is
        // an answer, so that some get nowhere.
        let frames = (0..CUTS).map(|cut| 1 + (at * 7 + cut * 11) % 13).collect();
        let fragile = Client::connect(Doors { rpc: rpc.clone(), frames: Mutex::new(frames) });
        let topic = format!("agent/{name}/");
        readers.push((id, tokio::spawn(to_the_end(fragile, topic))));
    }
    for line in 0..200 {
        for at in 0..PAIRS {
            let write = json!({"agent_id": format!("agent-{at}"), "text": format!("{line}\n")});
            own.agent_write_stdin(params::<WriteParams>(write)).await.unwrap();
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    for (id, reader) in readers {
        let close = json!({"agent_id": id, "close": true});
        own.agent_write_stdin(params::<WriteParams>(close)).await.unwrap();
        let whole = to_the_end(own.clone(), format!("agent/{id}/")).await;
        let lines = whole.iter().filter(|event| event.contains("agent.output")).count();
        assert!(lines > 100, "{lines} blocks of output");
        assert_eq!(reader.await.unwrap(), whole);
    }
}

#[tokio::test(start_paused = true)]
async fn a_subscription_says_which_agents_its_names_mean() {
    let client = client().await;
    let id = client.agent_spawn(echo("worker")).await.unwrap().agent_id;
    let params = json!({"topics": ["agent/worker/output", "agent/worker/", "agent/", "system"]});
    let params = serde_json::value::to_raw_value(&params).unwrap();
    let subscribed = client.call_raw("event.subscribe", &params).await.unwrap();
    let subscribed: Value = serde_json::from_str(subscribed.get()).unwrap();
    let named = [format!("agent/{id}/output"), format!("agent/{id}/")];
    assert_eq!(subscribed["topics"], json!([named[0], named[1], "agent/", "system"]));
}
