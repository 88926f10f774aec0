//! Keys over the end of a daemon's life.

use std::sync::Arc;

use descartes_core::Descartes;
use descartes_core::store::{MemoryStore, StateStore};
use descartes_core::testing::FakeRunner;
use serde_json::{Value, json};

use crate::client::{Client, ClientError};
use crate::service::Rpc;
use crate::wire::agent::{AgentStatus, ListParams, SpawnParams, Spawned, StatusFilter};
use crate::wire::control::WriteParams;
use crate::wire::state::PutParams;

async fn life(store: &Arc<MemoryStore>) -> Client {
    let store: Arc<dyn StateStore> = Arc::<MemoryStore>::clone(store);
    let builder = Descartes::builder().runner(Arc::new(FakeRunner::echo())).store(store);
    Client::in_memory(Rpc::builder(builder.build().await.unwrap()).build())
}

fn params<P: serde::de::DeserializeOwned>(params: Value) -> P {
    serde_json::from_value(params).unwrap()
}

fn spawn(key: &str) -> SpawnParams {
    let config = json!({"command": ["echo"], "env": {"TOKEN": "s3cret"}});
    params(json!({"agent_type": "process", "config": config, "idempotency_key": key}))
}

async fn agents(client: &Client) -> u64 {
    let any = ListParams { status: Some(StatusFilter::Any.into()), ..ListParams::default() };
    client.agent_list(any).await.unwrap().total
}

#[tokio::test(start_paused = true)]
async fn a_key_gives_the_same_agent_after_the_daemon_died() {
    let store = Arc::new(MemoryStore::new());
    let first: Spawned = life(&store).await.agent_spawn(spawn("k")).await.unwrap();
    let after = life(&Arc::new(store.reopen())).await;
    assert_eq!(after.agent_spawn(spawn("k")).await.unwrap(), first);
    assert_eq!(agents(&after).await, 1);
    let other = SpawnParams { name: Some("other".into()), ..spawn("k") };
    match after.agent_spawn(other).await.unwrap_err() {
        ClientError::Rpc(error) => {
            assert_eq!(error.reason_text(), Some("idempotency_mismatch"));
        }
        other => panic!("{other:?}"),
    }
}

/// Forgets the outcome of every key, as if the daemon had died just before it was written.
async fn lose_outcomes(store: &MemoryStore) {
    use descartes_core::store::{Batch, KeyRange, Put, Space};
    let page = store.list(&KeyRange::new(Space::IDEMPOTENCY, "", 100)).await.unwrap();
    for document in page.documents {
        let mut record: Value = serde_json::from_slice(&document.body).unwrap();
        record.as_object_mut().unwrap().remove("outcome");
        let body = record.to_string().into();
        let put = Put::new(document.key, document.owner, body);
        store.commit(Batch::control().put(put)).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_spawn_that_the_daemon_died_in_is_the_agent_that_became_of_it() {
    let store = Arc::new(MemoryStore::new());
    let first = life(&store).await.agent_spawn(spawn("k")).await.unwrap();
    lose_outcomes(&store).await;
    let after = life(&Arc::new(store.reopen())).await;
    let again = after.agent_spawn(spawn("k")).await.unwrap();
    assert_eq!(again.agent_id, first.agent_id);
    assert_eq!(again.status, AgentStatus::Lost);
    assert_eq!(agents(&after).await, 1);
    assert_eq!(after.agent_spawn(spawn("k")).await.unwrap(), again);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_written_to_an_agent_twice_when_nobody_knows() {
    let store = Arc::new(MemoryStore::new());
    let before = life(&store).await;
    let agent = before.agent_spawn(spawn("k")).await.unwrap().agent_id;
    let write = json!({"agent_id": agent, "text": "x", "idempotency_key": "w"});
    before.agent_write_stdin(params::<WriteParams>(write.clone())).await.unwrap();
    lose_outcomes(&store).await;
    let after = life(&Arc::new(store.reopen())).await;
    for _ in 0..2 {
        match after.agent_write_stdin(params::<WriteParams>(write.clone())).await.unwrap_err() {
            ClientError::Rpc(error) => assert_eq!(error.reason_text(), Some("outcome_unknown")),
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn no_secret_is_kept_in_clear_with_a_key() {
    use descartes_core::store::{KeyRange, Space};
    let store = Arc::new(MemoryStore::new());
    life(&store).await.agent_spawn(spawn("k")).await.unwrap();
    for space in [Space::IDEMPOTENCY, Space::AGENT, Space::META] {
        for document in store.list(&KeyRange::new(space, "", 100)).await.unwrap().documents {
            let text = String::from_utf8_lossy(&document.body).into_owned();
            assert!(!text.contains("s3cret"), "{}: {text}", document.key);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn absent_members_and_another_order_are_the_same_call() {
    let client = life(&Arc::new(MemoryStore::new())).await;
    let named = json!({"value": 1, "idempotency_key": "k", "key": "a"});
    let first = client.state_put(params::<PutParams>(named)).await.unwrap();
    let positional = json!([null, "a", 1, null, "k"]);
    let raw = serde_json::value::to_raw_value(&positional).unwrap();
    let again = client.call_raw("state.put", &raw).await.unwrap();
    assert_eq!(again.get(), serde_json::to_string(&first).unwrap());
}
