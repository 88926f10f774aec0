//! Calls of a peer of whom it has to be found out first whether it is an agent's process.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use bytes::Bytes;
use descartes_core::agent::AgentId;
use descartes_core::runner::{CallerProcess, Whereabouts};
use futures_util::{FutureExt, future::BoxFuture};
use serde_json::json;
use tokio::sync::Semaphore;

use super::serving::Client;
use crate::{
    connection::{OrderKey, answer},
    fixture::Fixture,
    message::Params,
    peer::Peer,
    service::{CallContext, Dispatch, Dispatched, Found, Rpc},
};

/// The methods of the fixture, behind which there are agents.
struct Guarded {
    methods: Arc<Fixture>,
    agents: bool,
    found: Whereabouts,
    /// A look ends here.
    gate: Arc<Semaphore>,
    looks: AtomicUsize,
}

impl Dispatch for Guarded {
    fn find(&self, method: &str) -> Option<Found> {
        self.methods.find(method)
    }

    fn order_key(&self, found: Found, params: &Params) -> Option<OrderKey> {
        self.methods.order_key(found, params)
    }

    fn has_agents(&self) -> bool {
        self.agents
    }

    fn whereabouts(&self, _: CallerProcess) -> BoxFuture<'static, Whereabouts> {
        self.looks.fetch_add(1, Ordering::Relaxed);
        let (gate, found) = (Arc::clone(&self.gate), self.found);
        async move {
            gate.acquire().await.expect("it stays open").forget();
            found
        }
        .boxed()
    }

    fn call(&self, found: Found, cx: CallContext, params: Params) -> Dispatched {
        self.methods.call(found, cx, params)
    }
}

impl Guarded {
    /// A service whose looks find `found`, as often as `looks` says.
    fn service(agents: bool, found: Whereabouts, looks: usize) -> (Arc<Self>, Rpc) {
        let (methods, _) = Fixture::rpc();
        let (gate, looked) = (Arc::new(Semaphore::new(looks)), AtomicUsize::new(0));
        let guarded = Arc::new(Self { methods, agents, found, gate, looks: looked });
        let dispatch: Arc<dyn Dispatch> = Arc::<Self>::clone(&guarded);
        (guarded, Rpc::over(dispatch).build())
    }

    fn looks(&self) -> usize {
        self.looks.load(Ordering::Relaxed)
    }
}

fn process() -> Peer {
    Peer::owner("test").with_uid(0).with_pid(1)
}

async fn ask(rpc: &Rpc, peer: &Peer, method: &str) -> String {
    let message = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{method}"}}"#);
    let body = answer(rpc.clone(), peer.clone(), message.into()).await.body.expect("an answer");
    String::from_utf8(body.to_vec()).expect("text")
}

#[tokio::test]
async fn calls_wait_until_the_peer_is_found_and_begin_in_the_order_sent() {
    let (guarded, rpc) = Guarded::service(true, Whereabouts::Outside, 0);
    let mut client = Client::as_peer(rpc, process());
    client.call(1, "change", "a").await;
    client.call(2, "kill", "b").await;
    client.call(3, "change", "c").await;
    client.nothing().await;
    assert!(guarded.methods.log().is_empty());
    guarded.gate.add_permits(1);
    // It arrives while the others may not have begun yet.
    client.call(4, "change", "d").await;
    assert_eq!(client.answer().await, (2, json!("b")));
    client.nothing().await;
    let begun = ["begin change a", "begin kill b", "begin change c", "begin change d"];
    assert_eq!(guarded.methods.log(), begun);
    assert_eq!(guarded.looks(), 1);
}

#[tokio::test]
async fn an_agent_is_found_once_and_may_do_everything_but_decide() {
    let agent = AgentId::generate();
    let (guarded, rpc) = Guarded::service(true, Whereabouts::Inside(agent), 1);
    let peer = process();
    for _ in 0..2 {
        let refused = ask(&rpc, &peer, "decide").await;
        assert!(refused.contains("-32012") && refused.contains("inside_agent"), "{refused}");
        assert!(refused.contains(&format!("agent:{agent}")), "{refused}");
        assert!(ask(&rpc, &peer.clone().over("other"), "echo").await.contains("result"));
    }
    assert_eq!(guarded.looks(), 1);
}

#[tokio::test]
async fn nobody_is_looked_for_while_there_are_no_agents_or_no_process_is_told() {
    let nowhere = Whereabouts::Unknown;
    let (guarded, rpc) = Guarded::service(false, nowhere, 0);
    assert!(ask(&rpc, &process(), "decide").await.contains("result"));
    assert_eq!(guarded.looks(), 0);
    let (guarded, rpc) = Guarded::service(true, nowhere, 0);
    assert!(ask(&rpc, &Peer::owner("test"), "decide").await.contains("result"));
    assert_eq!(guarded.looks(), 0);
}

#[tokio::test]
async fn a_call_that_is_dropped_leaves_the_look_to_the_next() {
    let (guarded, rpc) = Guarded::service(true, Whereabouts::Outside, 0);
    let peer = process();
    assert!(ask(&rpc, &peer, "echo").now_or_never().is_none());
    guarded.gate.add_permits(1);
    assert!(ask(&rpc, &peer, "decide").await.contains("result"));
    assert_eq!(guarded.looks(), 2);
}

#[tokio::test]
async fn a_socket_that_was_closed_while_its_holder_was_looked_for_cannot_decide() {
    for (held, decides) in [(true, true), (false, false)] {
        let (_guarded, rpc) = Guarded::service(true, Whereabouts::Outside, 1);
        let peer = Peer::owner("test").with_socket(4711, move || held);
        let answered = ask(&rpc, &peer, "decide").await;
        assert_eq!(answered.contains("result"), decides, "{answered}");
        assert_eq!(answered.contains("caller_unknown"), !decides, "{answered}");
    }
}

#[tokio::test]
async fn a_batch_of_an_agent_is_refused_call_by_call() {
    let agent = Whereabouts::Inside(AgentId::generate());
    let (_guarded, rpc) = Guarded::service(true, agent, 1);
    let call = |id, method| json!({"jsonrpc": "2.0", "id": id, "method": method});
    let batch = json!([call(1, "echo"), call(2, "decide")]).to_string();
    let body = answer(rpc, process(), Bytes::from(batch)).await.body.expect("an answer");
    let answers: serde_json::Value = serde_json::from_slice(&body).expect("JSON");
    let answers = answers.as_array().expect("an array");
    let of = |id| answers.iter().find(|one| one["id"] == id).expect("each is answered");
    assert!(of(1).get("result").is_some());
    assert_eq!(of(2)["error"]["data"]["reason"], "inside_agent");
}
