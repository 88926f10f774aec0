//! What is there for whom: one's own things, and an agent's.

use std::sync::Arc;

use descartes_core::Descartes;
use descartes_core::runner::Whereabouts;
use descartes_core::testing::FakeChat;
use descartes_core::time::{Clock, Timestamp};
use serde_json::{Value, json};

use super::{params, refused};
use crate::auth::{Principal, Revocation, Validity};
use crate::client::{Client, Update};
use crate::error::{ErrorKind, RpcError};
use crate::limits::TOPICS_OF_READER;
use crate::service::Rpc;
use crate::wire::event::{EndReason, Event, EventPage};

async fn rpc() -> Rpc {
    let builder = Descartes::builder().runner(Arc::new(FakeChat::runner()));
    let descartes = builder.backend(FakeChat::backend()).default_backend("fake").build().await;
    Rpc::builder(descartes.unwrap()).build()
}

const OWN: [&str; 7] = [
    "agent:read:own",
    "agent:write:own",
    "chat:read:own",
    "chat:write:own",
    "approve:own",
    "state:read:own",
    "state:write:own",
];

fn own(rpc: &Rpc, name: &str) -> Client {
    Client::in_memory_as(rpc.clone(), Principal::new(name, OWN))
}

fn inside(rpc: &Rpc, agent: &str) -> Client {
    let inside = Whereabouts::Inside(agent.parse().unwrap());
    Client::in_memory_as(rpc.clone(), Principal::owner().found(inside))
}

async fn spawn(client: &Client, name: &str) -> String {
    client.agent_spawn(params(json!({"name": name}))).await.unwrap().agent_id
}

async fn names(client: &Client, list: Value) -> (Vec<String>, u64) {
    let list = client.agent_list(params(list)).await.unwrap();
    assert_eq!(list.count, u64::try_from(list.agents.len()).unwrap());
    (list.agents.into_iter().map(|agent| agent.name).collect(), list.total)
}

async fn read(client: &Client, topic: &str) -> EventPage {
    client.event_read(params(json!({"topics": [topic], "limit": 1000}))).await.unwrap()
}

/// The agents that a page tells of, once each.
fn told(page: &EventPage) -> Vec<&str> {
    fn agent(event: &Event) -> Option<&str> {
        event.head().topic.strip_prefix("agent/")?.split('/').next()
    }
    let mut told: Vec<&str> = page.events.iter().filter_map(agent).collect();
    told.sort_unstable();
    told.dedup();
    told
}

#[tokio::test(start_paused = true)]
async fn for_who_holds_its_own_things_there_is_nothing_else() {
    let rpc = rpc().await;
    let (ann, bob) = (own(&rpc, "ann"), own(&rpc, "bob"));
    let hers = spawn(&ann, "worker").await;
    let his = spawn(&bob, "worker").await;
    assert_eq!(names(&ann, json!({})).await, (vec!["worker".to_owned()], 1));
    // The name is not ambiguous: there is one that she can mean.
    for (client, id) in [(&ann, &hers), (&bob, &his)] {
        let meant = client.agent_get(params(json!({"agent_id": "worker"}))).await.unwrap();
        assert_eq!(&meant.agent.id, id);
    }
    spawn(&bob, "builder").await;
    let similar = refused(ann.agent_get(params(json!({"agent_id": "bulder"}))).await);
    assert_eq!(similar.kind(), ErrorKind::AgentNotFound);
    assert_eq!(similar.detail("similar"), None, "{similar:?}");
    let there = refused(ann.agent_get(params(json!({"agent_id": his}))).await);
    let nowhere = uuid::Uuid::now_v7().to_string();
    let nothing = refused(ann.agent_get(params(json!({"agent_id": nowhere}))).await);
    assert_eq!(there.to_string().replace(&his, &nowhere), nothing.to_string());

    let both = json!({"agent_ids": [hers, his], "command": "stop"});
    let batch = ann.agent_batch(params(both)).await.unwrap();
    assert_eq!((batch.successful, batch.failed), (1, 1));
    let select = json!({"select": {"status": "any"}, "command": "kill"});
    assert_eq!(ann.agent_batch(params(select)).await.unwrap().results.len(), 1);
    let prune = json!({"older_than_secs": 0});
    assert_eq!(bob.agent_prune(params(prune.clone())).await.unwrap().count, 0);
    assert_eq!(ann.agent_prune(params(prune)).await.unwrap().agent_ids, [hers]);
    assert_eq!(names(&bob, json!({"status": "any"})).await.1, 2);
}

#[tokio::test(start_paused = true)]
async fn a_name_that_is_to_be_the_only_one_is_so_among_those_within_reach() {
    let rpc = rpc().await;
    let (ann, bob, all) = (own(&rpc, "ann"), own(&rpc, "bob"), Client::in_memory(rpc.clone()));
    let claim = async |client: &Client, name: &str| {
        let asked = json!({"name": name, "unique_name": true});
        let claimed = client.agent_spawn(params(asked)).await;
        claimed.map(|agent| agent.agent_id).map_err(|error| refused(Err::<(), _>(error)))
    };
    let taken = |error: RpcError| {
        assert_eq!((error.kind(), error.reason_text()), (ErrorKind::Conflict, Some("name_taken")));
    };
    let hers = claim(&ann, "worker").await.unwrap();
    claim(&bob, "worker").await.unwrap();
    for client in [&ann, &bob, &all] {
        taken(claim(client, "worker").await.unwrap_err());
    }
    // An agent reaches itself and what it began.
    spawn(&ann, "builder").await;
    let agent = inside(&rpc, &hers);
    taken(claim(&agent, "worker").await.unwrap_err());
    claim(&agent, "builder").await.unwrap();
    taken(claim(&agent, "builder").await.unwrap_err());

    let restart = || params(json!({"agent_id": hers}));
    ann.agent_kill(params(json!({"agent_id": hers, "force": true}))).await.unwrap();
    taken(refused(all.agent_restart(restart()).await));
    ann.agent_restart(restart()).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn the_children_that_are_counted_are_those_that_are_shown() {
    let rpc = rpc().await;
    let (ann, all) = (own(&rpc, "ann"), Client::in_memory(rpc.clone()));
    let parent = spawn(&ann, "parent").await;
    let child = json!({"config": {"parent_agent_id": parent}});
    all.agent_spawn(params(child.clone())).await.unwrap();
    ann.agent_spawn(params(child)).await.unwrap();
    let of = json!({"parent_agent_id": parent});
    for (client, count) in [(&ann, 1), (&all, 2)] {
        let shown = client.agent_get(params(json!({"agent_id": parent}))).await.unwrap();
        assert_eq!(shown.agent.child_count, count);
        assert_eq!(names(client, of.clone()).await.1, u64::from(count));
    }
}

#[tokio::test(start_paused = true)]
async fn chats_approvals_and_keys_are_their_makers() {
    let rpc = rpc().await;
    let (ann, bob) = (own(&rpc, "ann"), own(&rpc, "bob"));
    let chat = ann.chat_create(params(json!({}))).await.unwrap().session_id;
    let asking = ann.clone();
    let prompt = json!({"session_id": chat, "prompt": "write", "wait": true});
    let turn = tokio::spawn(async move { asking.chat_prompt(params(prompt)).await });
    let waits = loop {
        let found = ann.approval_list(params(json!({"status": "pending"}))).await.unwrap();
        if let Some(first) = found.approvals.first() {
            break first.approval_id.clone();
        }
        tokio::task::yield_now().await;
    };
    assert_eq!(bob.approval_list(params(json!({}))).await.unwrap().count, 0);
    assert_eq!(bob.chat_list(params(json!({}))).await.unwrap().total, 0);
    let tail = &waits[waits.len() - 8..];
    for asked in [&*waits, tail] {
        let decide = json!({"approval_id": asked, "decision": "allow_once"});
        let refused = refused(bob.approval_decide(params(decide)).await);
        assert_eq!(refused.kind(), ErrorKind::NotFound, "{asked}");
    }
    let chat_tail = &chat[chat.len() - 8..];
    let get = |id: &str| params(json!({"session_id": id}));
    assert_eq!(refused(bob.chat_get(get(chat_tail)).await).kind(), ErrorKind::NotFound);
    assert_eq!(ann.chat_get(get(chat_tail)).await.unwrap().chat.session_id, chat);
    for topic in [format!("chat/{chat}"), format!("approval/{waits}")] {
        let subscribe = json!({"topics": [topic]});
        let refused = refused(bob.subscribe(params(subscribe)).await.map(drop));
        assert_eq!(refused.kind(), ErrorKind::NotFound, "{topic}");
        assert!(!read(&ann, &topic).await.events.is_empty(), "{topic}");
    }
    let decide = json!({"approval_id": tail, "decision": "allow_once"});
    ann.approval_decide(params(decide)).await.unwrap();
    turn.await.unwrap().unwrap();
    for prefix in ["chat/", "approval/", "*"] {
        assert!(!read(&ann, prefix).await.events.is_empty(), "{prefix}");
        let topics: Vec<_> = read(&bob, prefix).await.events;
        assert!(topics.iter().all(|event| event.head().topic == "system"), "{prefix}");
    }

    let put = |key: &str| params(json!({"key": key, "value": 1}));
    ann.state_put(put("plan")).await.unwrap();
    bob.state_put(put("other")).await.unwrap();
    let taken = refused(bob.state_put(put("plan")).await);
    assert_eq!((taken.kind(), taken.reason_text()), (ErrorKind::Forbidden, Some("not_owner")));
    let deleted = refused(bob.state_delete(params(json!({"key": "plan"}))).await);
    assert_eq!(deleted.kind(), ErrorKind::Forbidden);
    let keys = ann.state_query(params(json!({}))).await.unwrap().state;
    let keys: Vec<_> = keys.keys().map(String::as_str).collect();
    assert_eq!(keys, ["agents", "plan"]);
    // Who may write everything does not take over what it writes.
    Client::in_memory(rpc).state_put(put("plan")).await.unwrap();
    ann.state_put(put("plan")).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn the_same_key_of_two_callers_is_two_calls() {
    let rpc = rpc().await;
    let spawn = || params(json!({"idempotency_key": "k"}));
    let ann = own(&rpc, "ann").agent_spawn(spawn()).await.unwrap();
    let bob = own(&rpc, "bob").agent_spawn(spawn()).await.unwrap();
    assert_ne!(ann.agent_id, bob.agent_id);
    assert_eq!(own(&rpc, "ann").agent_spawn(spawn()).await.unwrap(), ann);
}

#[tokio::test(start_paused = true)]
async fn an_agent_sees_and_acts_on_itself_and_what_it_began() {
    let rpc = rpc().await;
    let ann = Client::in_memory_as(rpc.clone(), Principal::new("ann", ["*"]));
    let (one, two) = (spawn(&ann, "one").await, spawn(&ann, "two").await);
    let agent = inside(&rpc, &one);
    assert_eq!(names(&agent, json!({})).await, (vec!["one".to_owned()], 1));
    let child = spawn(&agent, "child").await;
    let shown = ann.agent_get(params(json!({"agent_id": child}))).await.unwrap().agent;
    assert_eq!(shown.parent_agent_id.as_deref(), Some(&*one));
    assert_eq!(shown.owner, "ann", "it is whose the agent is");
    let grandchild = spawn(&inside(&rpc, &child), "grandchild").await;
    let all = vec!["grandchild".to_owned(), "child".to_owned(), "one".to_owned()];
    assert_eq!(names(&agent, json!({})).await, (all, 3));
    for (client, asked) in [(&agent, &two), (&inside(&rpc, &child), &one)] {
        for refused in [
            refused(client.agent_get(params(json!({"agent_id": asked}))).await),
            refused(client.agent_kill(params(json!({"agent_id": asked}))).await),
        ] {
            assert_eq!(refused.kind(), ErrorKind::AgentNotFound);
        }
    }
    let elsewhere = json!({"config": {"parent_agent_id": two}});
    let elsewhere = refused(agent.agent_spawn(params(elsewhere)).await);
    assert_eq!(elsewhere.kind(), ErrorKind::AgentNotFound);

    // A chat that it makes is its own before anything was asked in it, and so is its agent after.
    let chat = agent.chat_create(params(json!({}))).await.unwrap().session_id;
    let get = || params(json!({"session_id": chat}));
    assert_eq!(agent.chat_get(get()).await.unwrap().chat.owner, "ann");
    assert!(inside(&rpc, &two).chat_get(get()).await.is_err());
    let prompt = json!({"session_id": chat, "prompt": "say a", "wait": true});
    let begun = agent.chat_prompt(params(prompt)).await.unwrap().agent_id.unwrap();
    assert!(agent.agent_get(params(json!({"agent_id": begun}))).await.is_ok());
    let mine = agent.chat_list(params(json!({}))).await.unwrap();
    assert_eq!(mine.total, 4, "one of its own, one it made, one of each that it began");

    // The line of parents holds where one of them is forgotten.
    agent.agent_kill(params(json!({"agent_id": child}))).await.unwrap();
    agent.agent_remove(params(json!({"agent_id": child}))).await.unwrap();
    agent.agent_kill(params(json!({"agent_id": grandchild}))).await.unwrap();

    for global in [json!({"key": "k", "value": 1}), json!({"key": "k"})] {
        let refused = match global.get("value") {
            Some(_) => refused(agent.state_put(params(global)).await),
            None => refused(agent.state_delete(params(global)).await),
        };
        assert_eq!(refused.kind(), ErrorKind::Forbidden);
    }
    agent.state_put(params(json!({"agent_id": one, "key": "k", "value": 1}))).await.unwrap();
    let view = agent.state_query(params(json!({}))).await.unwrap().state;
    assert_eq!(view.keys().collect::<Vec<_>>(), ["agents"]);
    assert!(!view["agents"].0.get().contains(&two));
    for (refused, required) in [
        (refused(agent.system_metrics(params(json!({}))).await), "metrics"),
        (refused(agent.system_shutdown(params(json!({}))).await), "admin"),
    ] {
        assert_eq!(refused.reason_text(), Some("inside_agent"));
        assert_eq!(refused.detail("required").unwrap(), required);
    }
}

#[tokio::test(start_paused = true)]
async fn a_prefix_shows_what_its_reader_may_see_to_the_last_event() {
    let rpc = rpc().await;
    let (ann, bob) = (own(&rpc, "ann"), own(&rpc, "bob"));
    let (hers, his) = (spawn(&ann, "a").await, spawn(&bob, "b").await);
    let agent = inside(&rpc, &hers);
    let child = spawn(&agent, "child").await;
    let mut family = [&*hers, &*child];
    family.sort_unstable();
    for topic in ["agent/", "agent/0*", "agent*", "*"] {
        assert_eq!(told(&read(&ann, topic).await), family, "{topic}");
        assert_eq!(told(&read(&agent, topic).await), family, "{topic}");
        assert_eq!(told(&read(&bob, topic).await), [&*his], "{topic}");
        assert_eq!(told(&read(&inside(&rpc, &child), topic).await), [&*child], "{topic}");
    }
    for topic in [format!("agent/{hers}/status"), format!("agent/{hers}/"), "agent/a/output".into()]
    {
        let subscribe = json!({"topics": [topic]});
        let refused = refused(bob.subscribe(params(subscribe)).await.map(drop));
        assert_eq!(refused.kind(), ErrorKind::AgentNotFound, "{topic}");
    }
    let page = read(&bob, "agent/").await;
    ann.agent_kill(params(json!({"agent_id": child}))).await.unwrap();
    ann.agent_remove(params(json!({"agent_id": child}))).await.unwrap();
    let last = read(&ann, "agent/").await;
    assert_eq!(last.events.last().map(Event::kind), Some("agent.removed"));
    // Who waits for a first event is not woken for what it may not see.
    let wait = json!({"topics": ["agent/"], "after": page.cursor, "wait_ms": 1000});
    let waited = bob.event_read(params(wait)).await.unwrap();
    assert!(waited.events.is_empty() && waited.synced);
}

#[tokio::test(start_paused = true)]
async fn a_reader_names_so_many_topics_and_types() {
    let client = Client::in_memory(rpc().await);
    let most = vec!["system"; TOPICS_OF_READER];
    let more = vec!["system"; TOPICS_OF_READER + 1];
    client.event_read(params(json!({"topics": most, "types": most}))).await.unwrap();
    for (named, request) in
        [("topics", json!({"topics": more})), ("types", json!({"topics": most, "types": more}))]
    {
        let read = refused(client.event_read(params(request.clone())).await.map(drop));
        let subscribed = refused(client.subscribe(params(request)).await.map(drop));
        for refused in [read, subscribed] {
            assert_eq!(refused.kind(), ErrorKind::InvalidParams);
            assert!(refused.to_string().contains(named), "{refused}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn each_topic_of_a_subscription_needs_its_scope() {
    let rpc = rpc().await;
    let viewer = Client::in_memory_as(rpc.clone(), Principal::new("ann", ["agent:read"]));
    spawn(&Client::in_memory(rpc), "a").await;
    for (topic, required) in [
        ("chat/", "chat:read"),
        ("approval/", "chat:read"),
        ("audit", "audit"),
        ("task/", "task:read"),
        ("app/x", "admin"),
        ("apps/*", "admin"),
    ] {
        let topics = json!({"topics": ["agent/", topic]});
        let refused = refused(viewer.subscribe(params(topics.clone())).await.map(drop));
        assert_eq!(refused.detail("required").unwrap(), required, "{topic}");
        assert!(viewer.event_read(params(topics)).await.is_err(), "{topic}");
    }
    // Of topics of every kind those are shown that may be read.
    let page = read(&viewer, "*").await;
    let seen = |event: &Event| {
        let topic = &event.head().topic;
        topic.starts_with("agent/") || topic == "system"
    };
    assert!(page.events.len() > 1 && page.events.iter().all(seen));
}

#[tokio::test(start_paused = true)]
async fn a_stream_ends_when_its_reader_is_believed_no_longer_and_says_why() {
    let rpc = rpc().await;
    let clock = Clock::fake(Timestamp::from_millis(0));
    let hour = Validity::until(Timestamp::from_millis(3_600_000), clock);
    let revocation = Revocation::default();
    let revocable = Validity::default().revoked_by(revocation.clone());
    for (validity, reason) in [(hour, EndReason::TokenExpired), (revocable, EndReason::Forbidden)] {
        let principal = Principal::new("ann", ["agent:read"]).valid_for(validity);
        let client = Client::in_memory_as(rpc.clone(), principal);
        let follow = params(json!({"topics": ["agent/"]}));
        let mut events = client.subscribe(follow).await.unwrap();
        spawn(&Client::in_memory(rpc.clone()), "a").await;
        if reason == EndReason::Forbidden {
            revocation.make();
        }
        let ended = loop {
            if let Update::Ended { reason, .. } = events.next().await.unwrap().unwrap() {
                break reason;
            }
        };
        assert_eq!(ended, reason);
        // Its connection has ended too, or is about to.
        let refused = client.agent_list(params(json!({}))).await.unwrap_err().kind();
        let kinds = [ErrorKind::Unauthenticated, ErrorKind::ConnectionLost];
        assert!(kinds.contains(&refused), "{refused}");
    }
}
