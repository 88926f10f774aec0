//! Two hosts in one test, and a road between them that can be closed, cut and muted.

mod adoption;
mod away;
mod cuts;
mod life;
mod queued;
mod road;

use std::sync::Arc;
use std::time::Duration;

use descartes_core::agent::{
    AgentFilter, AgentId, AgentRecord, AgentSpec, PageRequest, StatusFilter,
};
use descartes_core::backend::Backend;
use descartes_core::event::{EventBody, StatusChange, StreamName, TopicFilter};
use descartes_core::journal::{After, ReadRequest, SubscribeRequest};
use descartes_core::store::MemoryStore;
use descartes_core::testing::{FakeAgent, FakeInput, FakeRunner};
use descartes_core::{Descartes, WaitFor};

use super::RemoteRunner;
use crate::client::Client;
use crate::service::Rpc;

use road::Road;

/// What no UTF-8 decoder likes: half characters, NUL, a lone continuation.
const BYTES: &[&[u8]] = &[b"a\0\xff\r\n", b"h\xc3", b"\xa9\n\x80", b"\xe2\x98", b"\x83 end"];

/// The other machine.
struct Far {
    store: Arc<MemoryStore>,
    host: Descartes,
}

impl Far {
    async fn new() -> Self {
        Self::on(Arc::new(MemoryStore::new())).await
    }

    async fn on(store: Arc<MemoryStore>) -> Self {
        let builder = Descartes::builder().store(Arc::<MemoryStore>::clone(&store));
        let host = builder.runner(Arc::new(FakeRunner::new(play))).build().await.unwrap();
        Self { store, host }
    }

    fn rpc(&self) -> Rpc {
        Rpc::builder(self.host.clone()).build()
    }

    /// The daemon is killed and started again, on what it had written.
    async fn restarted(&self) -> Self {
        Self::on(Arc::new(self.store.reopen())).await
    }

    fn agents(&self, status: StatusFilter) -> Vec<Arc<AgentRecord>> {
        agents(&self.host, status)
    }
}

fn agents(host: &Descartes, status: StatusFilter) -> Vec<Arc<AgentRecord>> {
    let page = host.list(&AgentFilter::status(status), &PageRequest::default()).unwrap();
    page.agents.into_iter().map(|view| view.record).collect()
}

/// The parts that agents of the other machine play.
async fn play(mut agent: FakeAgent) {
    match &*agent.launch.argv[0].clone() {
        "bytes" => {
            for bytes in BYTES {
                agent.write(StreamName::Stdout, bytes).await;
                tokio::time::sleep(Duration::from_millis(60)).await;
                agent.write(StreamName::Stderr, bytes).await;
            }
            return agent.exit(3).await;
        }
        "launch" => {
            let launch = agent.launch.clone();
            let env: Vec<_> = launch.env.iter().collect();
            let told = format!("{:?} {env:?} {:?} {:?}\n", launch.argv, launch.cwd, launch.stdin);
            agent.say(&told).await;
            agent
                .say(&format!(
                    "{:?} {:?}\n",
                    launch.first_input.escape_ascii().to_string(),
                    launch.limits
                ))
                .await;
        }
        _ => {}
    }
    loop {
        match agent.next().await {
            FakeInput::Bytes(bytes) => agent.write(StreamName::Stdout, &bytes).await,
            FakeInput::Signal(signal) => agent.say(&format!("{}\n", signal.as_str())).await,
            FakeInput::Eof => return agent.exit(0).await,
            FakeInput::Killed => return agent.die().await,
        }
    }
}

/// This machine, whose agents of backend `far` run on the other.
async fn near(client: Client) -> Descartes {
    near_on(Arc::new(MemoryStore::new()), RemoteRunner::new("far", client)).await
}

async fn near_on(store: Arc<MemoryStore>, runner: RemoteRunner) -> Descartes {
    Descartes::builder()
        .store(store)
        .runner(Arc::new(FakeRunner::echo()))
        .runner_named("far", Arc::new(runner))
        .backend(Backend::process().renamed("far").on("far"))
        .build()
        .await
        .unwrap()
}

fn far(program: &str) -> AgentSpec {
    let mut spec = AgentSpec::backend("far");
    spec.command = vec![program.to_owned()];
    spec
}

async fn start(host: &Descartes, program: &str) -> AgentId {
    host.spawn(far(program), "me").await.unwrap().record.id
}

async fn write(host: &Descartes, id: AgentId, text: &str, close: bool) {
    host.write_stdin(id, text.to_owned().into(), close).await.unwrap();
}

async fn ended(host: &Descartes, id: AgentId) -> Arc<AgentRecord> {
    host.wait(id, WaitFor::Exit).await.unwrap()
}

fn record(host: &Descartes, id: AgentId) -> Arc<AgentRecord> {
    host.agent(id).unwrap().0.record
}

/// Everything that is in the journal of `stream`, in its place; holes are zeros.
async fn output(host: &Descartes, id: AgentId, stream: StreamName) -> Vec<u8> {
    let mut all = Vec::new();
    for event in events(host).await {
        let topic = format!("agent/{id}/output");
        if let (EventBody::AgentOutput(chunk), true) =
            (event.decode().unwrap(), event.topic.as_str() == topic)
            && chunk.stream == stream
        {
            let at = usize::try_from(chunk.byte_offset()).unwrap();
            assert!(at >= all.len(), "nothing comes twice");
            all.resize(at, 0);
            all.extend_from_slice(&event.payload);
        }
    }
    all
}

async fn events(host: &Descartes) -> Vec<descartes_core::event::Event> {
    let mut all = Vec::new();
    let mut after = After::Start;
    loop {
        let mut request = ReadRequest::new(SubscribeRequest::new(vec![TopicFilter::All], after));
        request.limit = 1000;
        let page = host.journal().read(request).await.unwrap();
        all.extend(page.events.iter().cloned());
        if page.synced {
            return all;
        }
        after = After::Cursor(page.cursor);
    }
}

/// The status changes of an agent, in order.
async fn changes(host: &Descartes, id: AgentId) -> Vec<StatusChange> {
    let topic = format!("agent/{id}/status");
    let all = events(host).await;
    let bodies = all.iter().filter(|event| event.topic.as_str() == topic);
    bodies
        .filter_map(|event| match event.decode().unwrap() {
            EventBody::AgentStatusChanged(change) => Some(change),
            _ => None,
        })
        .collect()
}

/// Waits until `condition` holds; the clock is paused, or the test would take that long.
async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    for _ in 0..60_000 {
        if condition() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("never: {what}");
}

/// Waits until an agent has written so many bytes.
async fn wrote(host: &Descartes, id: AgentId, bytes: usize) {
    for _ in 0..60_000 {
        if output(host, id, StreamName::Stdout).await.len() >= bytes {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("it never wrote {bytes} bytes");
}

fn is_lost(error: &descartes_core::agent::AgentError) -> bool {
    use descartes_core::agent::AgentError;
    use descartes_core::runner::ControlError;
    matches!(error, AgentError::Control(ControlError::ConnectionLost(_)))
}
