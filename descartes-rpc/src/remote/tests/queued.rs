//! Starts that wait in a queue while the remote is away.

use std::sync::Mutex;

use async_trait::async_trait;
use descartes_core::agent::{Activity, AgentStatus, ExitReason};
use futures_util::future::BoxFuture;
use tokio::sync::watch;
use tokio::time::Instant;

use super::super::{StartOutcome, StartQueue};
use super::*;
use crate::client::ClientError;
use crate::error::{ErrorKind, RpcError};
use crate::wire::agent::{SpawnParams, Spawned};

/// Holds starts until it is opened, and remembers those that nobody fetched.
#[derive(Clone)]
struct Queue(Arc<Shared>);

struct Shared {
    client: Client,
    open: watch::Sender<bool>,
    /// What was given to it: the "file" that the next queue reads.
    taken: Mutex<Vec<SpawnParams>>,
    left_behind: Mutex<Vec<SpawnParams>>,
}

impl Queue {
    fn to(client: Client, left_behind: Vec<SpawnParams>) -> Self {
        let left_behind = Mutex::new(left_behind);
        let (open, taken) = (watch::Sender::new(false), Mutex::default());
        Self(Arc::new(Shared { client, open, taken, left_behind }))
    }

    fn open(&self) {
        self.0.open.send_replace(true);
    }

    fn taken(&self) -> Vec<SpawnParams> {
        self.0.taken.lock().unwrap().clone()
    }

    async fn send(self, params: SpawnParams) -> StartOutcome {
        drop(self.0.open.subscribe().wait_for(|open| *open).await);
        self.0.client.call::<crate::methods::typed::AgentSpawn>(params).await
    }
}

#[async_trait]
impl StartQueue for Queue {
    async fn start(&self, params: SpawnParams, _deadline: Duration) -> StartOutcome {
        self.0.taken.lock().unwrap().push(params.clone());
        self.clone().send(params).await
    }

    fn left_behind(
        &self,
        wanted: &dyn Fn(&str) -> bool,
    ) -> Option<BoxFuture<'static, StartOutcome>> {
        let mut left_behind = self.0.left_behind.lock().unwrap();
        let key = |start: &SpawnParams| start.idempotency_key.clone().unwrap();
        let at = left_behind.iter().position(|start| wanted(&key(start)))?;
        Some(Box::pin(self.clone().send(left_behind.swap_remove(at))))
    }

    fn forget_left_behind(&self) {
        self.0.left_behind.lock().unwrap().clear();
    }
}

/// This machine, whose starts go through `queue`.
async fn near_through(store: Arc<MemoryStore>, road: &Road, queue: &Queue) -> Descartes {
    let builder = RemoteRunner::builder("far", Client::connect(road.clone()));
    near_on(store, builder.starts_through(Arc::new(queue.clone())).build()).await
}

/// Another machine that is away, a queue for it, and a start that waits in it.
async fn waiting() -> (Far, Arc<MemoryStore>, Road, Queue) {
    let there = Far::new().await;
    let (store, road) = (Arc::new(MemoryStore::new()), Road::to(there.rpc()));
    road.close();
    let queue = Queue::to(Client::connect(road.clone()), Vec::new());
    let here = near_through(Arc::clone(&store), &road, &queue).await;
    let starting = tokio::spawn(async move { here.spawn(far("echo"), "me").await.map(|_| ()) });
    until("it waits", || queue.taken().len() == 1).await;
    // The host dies without a word.
    starting.abort();
    (there, Arc::new(store.reopen()), road, queue)
}

#[tokio::test(start_paused = true)]
async fn a_start_waits_for_as_long_as_its_queue_holds_it() {
    let there = Far::new().await;
    let road = Road::to(there.rpc());
    let queue = Queue::to(Client::connect(road.clone()), Vec::new());
    let here = near_through(Arc::new(MemoryStore::new()), &road, &queue).await;
    let starting = tokio::spawn(async move {
        let id = start(&here, "echo").await;
        (here, id)
    });
    tokio::time::sleep(Duration::from_secs(3600)).await;
    assert!(!starting.is_finished());
    assert_eq!(there.agents(StatusFilter::Any).len(), 0);
    queue.open();
    let (here, id) = starting.await.unwrap();
    write(&here, id, "on\n", true).await;
    assert_eq!(ended(&here, id).await.status, AgentStatus::Completed);
    assert_eq!(there.agents(StatusFilter::Any).len(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_begins_when_the_remote_is_just_back_was_never_without_it() {
    let there = Far::new().await;
    let road = Road::to(there.rpc());
    let queue = Queue::to(Client::connect(road.clone()), Vec::new());
    queue.open();
    let here = near_through(Arc::new(MemoryStore::new()), &road, &queue).await;
    let first = start(&here, "echo").await;
    road.close();
    queue.0.open.send_replace(false);
    assert_eq!(ended(&here, first).await.status, AgentStatus::Lost);
    let starting = tokio::spawn(async move {
        let next = start(&here, "echo").await;
        (here, next)
    });
    until("it waits", || queue.taken().len() == 2).await;
    // Whoever asks for a sign of life now and then has had none for long.
    road.open(there.rpc());
    queue.open();
    let (here, next) = starting.await.unwrap();
    write(&here, next, "on\n", true).await;
    assert_eq!(ended(&here, next).await.status, AgentStatus::Completed);
}

#[tokio::test(start_paused = true)]
async fn what_waited_when_its_host_died_is_the_next_hosts_agent() {
    let (there, store, road, queue) = waiting().await;
    let queue = Queue::to(Client::connect(road.clone()), queue.taken());
    let here = near_through(store, &road, &queue).await;
    let id = agents(&here, StatusFilter::Live)[0].id;
    let away = Some(Activity::Unreachable);
    until("it shows", || record(&here, id).activity == away).await;
    assert!(is_lost(&here.write_stdin(id, "x".into(), false).await.unwrap_err()));
    road.open(there.rpc());
    queue.open();
    until("it is there", || record(&here, id).activity.is_none()).await;
    write(&here, id, "on\n", true).await;
    assert_eq!(ended(&here, id).await.status, AgentStatus::Completed);
    assert_eq!(output(&here, id, StreamName::Stdout).await, b"on\n");
    assert_eq!(there.agents(StatusFilter::Any).len(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_waited_and_is_nobodys_agent_is_forgotten() {
    let (_, _, road, queue) = waiting().await;
    let queue = Queue::to(Client::connect(road.clone()), queue.taken());
    // Another store: the host knows nothing of it.
    let here = near_through(Arc::new(MemoryStore::new()), &road, &queue).await;
    assert_eq!(agents(&here, StatusFilter::Any).len(), 0);
    assert!(queue.0.left_behind.lock().unwrap().is_empty());
}

/// A queue whose starts have all failed.
struct Failing(ErrorKind);

#[async_trait]
impl StartQueue for Failing {
    async fn start(&self, _: SpawnParams, _: Duration) -> Result<Spawned, ClientError> {
        Err(RpcError::new(self.0, "no").into())
    }

    fn left_behind(&self, _: &dyn Fn(&str) -> bool) -> Option<BoxFuture<'static, StartOutcome>> {
        let error = RpcError::new(self.0, "no");
        Some(Box::pin(async { Err(error.into()) }))
    }
}

#[tokio::test(start_paused = true)]
async fn what_waited_and_could_not_be_started_has_failed_and_says_why() {
    let table = [
        (ErrorKind::SpawnFailed, AgentStatus::Failed, ExitReason::ExecFailed),
        (ErrorKind::ResourceExhausted, AgentStatus::Lost, ExitReason::Lost),
        // Perhaps it was started: then it would be found, but it is not.
        (ErrorKind::StateError, AgentStatus::Lost, ExitReason::Lost),
    ];
    for (kind, status, reason) in table {
        let (there, store, road, _) = waiting().await;
        road.open(there.rpc());
        let builder = RemoteRunner::builder("far", Client::connect(road));
        let runner = builder.starts_through(Arc::new(Failing(kind))).build();
        let here = near_on(store, runner).await;
        let id = agents(&here, StatusFilter::Any)[0].id;
        let end = ended(&here, id).await;
        assert_eq!((end.status, end.exit.as_ref().unwrap().reason), (status, reason), "{kind:?}");
        let why = changes(&here, id).await.pop().unwrap().reason;
        assert!(why.is_some_and(|why| why.contains("the remote")), "{kind:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_later_run_does_not_wait_in_the_queue() {
    let there = Far::new().await;
    let road = Road::to(there.rpc());
    let queue = Queue::to(Client::connect(road.clone()), Vec::new());
    queue.open();
    let here = near_through(Arc::new(MemoryStore::new()), &road, &queue).await;
    let id = start(&here, "echo").await;
    let again = here.restart(id, None, "me").await.unwrap();
    assert_eq!((again.run, queue.taken().len()), (2, 1));
}

#[tokio::test(start_paused = true)]
async fn a_remote_that_is_not_to_be_asked_is_left_in_peace() {
    let there = Far::new().await;
    let silent = |probes: bool| {
        let rpc = there.rpc();
        async move {
            let road = Road::to(rpc);
            let builder = RemoteRunner::builder("far", Client::connect(road.clone()));
            let runner = if probes { builder } else { builder.without_probes() }.build();
            let here = near_on(Arc::new(MemoryStore::new()), runner.clone()).await;
            start(&here, "echo").await;
            // Strays of an earlier host are looked for at first, in any case.
            tokio::time::sleep(Duration::from_secs(120)).await;
            road.mute(true);
            let began = Instant::now();
            while runner.is_reachable() && began.elapsed() < Duration::from_secs(300) {
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
            runner.is_reachable()
        }
    };
    assert!(!silent(true).await, "whoever asks learns that nobody answers");
    assert!(silent(false).await, "nobody has asked");
}
