//! Chats and approvals: turns, their chunks, and who decides what is asked.

use futures_util::future::join;
use serde_json::{Value, json};

use super::{Case, case};
use crate::testing::conformance::{
    Harness,
    expect::{Failure, check, failure},
    session::{Feed, Session},
};

pub(super) fn cases() -> Vec<Case> {
    vec![
        case!(
            "a turn's chunks say what its answer says, and the chat's end comes last",
            Nothing,
            turn
        ),
        case!("a turn is cancelled from elsewhere and the next one works", Nothing, cancelled),
        case!("a prompt waits for the turn before it, or is refused", Nothing, busy),
        case!("what an agent asks is decided from elsewhere, once", Nothing, decided),
        case!("a chat becomes an agent, and what that is sent is its next turn", Nothing, upgraded),
        case!("what there is no chat for is refused with its reason", Nothing, refused),
    ]
}

/// A chat, and what follows it from its beginning.
struct Chat {
    session: Session,
    id: Value,
    feed: Feed,
}

impl Chat {
    async fn open(harness: &dyn Harness) -> Result<Self, Failure> {
        let mut session = Session::open(harness).await?;
        let created = session.call("chat.create", harness.chat()).await?;
        let follow = json!({"topics": [created["topic"]], "after": created["cursor"]});
        let feed = Session::open(harness).await?.follow(follow).await?;
        Ok(Self { session, id: created["session_id"].clone(), feed })
    }

    /// Parameters of a prompt whose turn is waited for.
    fn asking(&self, prompt: &str) -> Value {
        json!({"session_id": self.id, "prompt": prompt, "wait": true, "timeout_secs": 60})
    }

    async fn ask(&mut self, prompt: &str) -> Result<Value, Failure> {
        let params = self.asking(prompt);
        self.session.call("chat.prompt", params).await
    }

    /// The next chunk that is one of `kinds`; what agents are busy with is left out.
    async fn chunk(&mut self, kind: &str) -> Result<Value, Failure> {
        loop {
            let (method, params) = self.feed.said().await?;
            let chunk = &params["event"]["data"];
            if method == "event.synced" || chunk["type"] == "status" {
                continue;
            }
            check(chunk["type"] == kind, || {
                format!("{kind} should have come instead of {params}")
            })?;
            return Ok(chunk.clone());
        }
    }

    /// Ends it, and reads what is left to hear.
    async fn stop(mut self) -> Result<(), Failure> {
        let params = json!({"session_id": self.id});
        let stopped = self.session.call("chat.stop", params).await?;
        check(stopped["success"] == true, || format!("it stopped with {stopped}"))?;
        self.chunk("complete").await?;
        self.chunk("closed").await.map(drop)
    }
}

/// Fails unless `found` has these members.
fn expect(found: &Value, expected: &Value) -> Result<(), Failure> {
    let members = expected.as_object().into_iter().flatten();
    for (name, value) in members {
        check(found[name] == *value, || format!("{name} should be {value}: {found}"))?;
    }
    Ok(())
}

async fn turn(harness: &dyn Harness) -> Result<(), Failure> {
    let mut chat = Chat::open(harness).await?;
    let answered = chat.ask("hello").await?;
    let expected =
        json!({"turn": 1, "queued": false, "content": "you said: hello", "outcome": "completed"});
    expect(&answered, &expected)?;
    expect(&chat.chunk("turn_started").await?, &json!({"turn": 1, "prompt": "hello"}))?;
    let mut text = String::new();
    while text != "you said: hello" {
        let chunk = chat.chunk("text").await?;
        text += chunk["content"].as_str().unwrap_or_default();
        check("you said: hello".starts_with(&text), || format!("{text:?} was said"))?;
    }
    let expected = json!({"turn_number": 1, "outcome": "completed"});
    expect(&chat.chunk("turn_complete").await?, &expected)?;
    let params = json!({"session_id": chat.id});
    let history = chat.session.call("chat.history", params).await?;
    expect(&history["messages"][1], &json!({"role": "assistant", "content": text}))?;
    chat.stop().await
}

async fn cancelled(harness: &dyn Harness) -> Result<(), Failure> {
    let mut chat = Chat::open(harness).await?;
    let mut other = Session::open(harness).await?;
    let (id, asking) = (chat.id.clone(), chat.asking("wait"));
    let asked = chat.session.call("chat.prompt", asking);
    let cancel = async {
        // Before it has begun there is nothing to cancel.
        let mut cancelled = Value::Null;
        while cancelled["cancelled"] != true {
            cancelled = other.call("chat.cancel", json!({"session_id": id})).await?;
        }
        Ok::<_, Failure>(())
    };
    let (asked, cancelled) = join(asked, cancel).await;
    cancelled?;
    expect(&asked?, &json!({"turn": 1, "outcome": "cancelled"}))?;
    expect(&chat.ask("hello").await?, &json!({"turn": 2, "content": "you said: hello"}))
}

async fn busy(harness: &dyn Harness) -> Result<(), Failure> {
    let mut chat = Chat::open(harness).await?;
    let prompt = json!({"session_id": chat.id, "prompt": "wait"});
    chat.session.call("chat.prompt", prompt).await?;
    let mut next = json!({"session_id": chat.id, "prompt": "hello", "when_busy": "reject"});
    let refused = chat.session.try_call("chat.prompt", next.clone()).await?;
    expect_error(refused, &json!({"kind": "conflict", "reason": "busy", "turn": 1}))?;
    next["when_busy"] = json!("queue");
    let queued = chat.session.call("chat.prompt", next).await?;
    expect(&queued, &json!({"turn": 2, "queued": true}))?;
    chat.session.call("chat.cancel", json!({"session_id": chat.id, "turn": 2})).await?;
    let expected = json!({"turn": 1, "prompt": "wait"});
    expect(&chat.chunk("turn_started").await?, &expected)
}

async fn decided(harness: &dyn Harness) -> Result<(), Failure> {
    let mut chat = Chat::open(harness).await?;
    let mut other = Session::open(harness).await?;
    let (id, asking) = (chat.id.clone(), chat.asking("run x"));
    let asked = chat.session.call("chat.prompt", asking);
    let decide = async {
        let list = json!({"session_id": id, "status": "pending"});
        let approval = loop {
            let found = other.call("approval.list", list.clone()).await?;
            if let Some(approval) = found["approvals"].get(0) {
                break approval.clone();
            }
        };
        let mut params = json!({"approval_id": approval["approval_id"], "decision": "allow_once",
            "expected_digest": "of something else"});
        let wrong = other.try_call("approval.decide", params.clone()).await?;
        expect_error(wrong, &json!({"kind": "conflict", "reason": "digest_mismatch"}))?;
        params["expected_digest"] = approval["digest"].clone();
        let first = other.call("approval.decide", params.clone()).await?;
        expect(&first, &json!({"status": "allowed", "tool": "run"}))?;
        let second = other.try_call("approval.decide", params).await?;
        expect_error(second, &json!({"kind": "conflict", "reason": "already_decided"}))
    };
    let (asked, decided) = join(asked, decide).await;
    decided?;
    expect(&asked?, &json!({"content": "ran x", "outcome": "completed"}))?;
    chat.chunk("turn_started").await?;
    let tool = chat.chunk("tool_use_start").await?["tool_id"].clone();
    expect(&chat.chunk("tool_use_input").await?, &json!({"tool_id": tool}))?;
    let asked = chat.chunk("approval_requested").await?["approval_id"].clone();
    let resolved = json!({"approval_id": asked, "status": "allowed"});
    expect(&chat.chunk("approval_resolved").await?, &resolved)?;
    expect(&chat.chunk("tool_result").await?, &json!({"tool_id": tool, "is_error": false}))
}

async fn upgraded(harness: &dyn Harness) -> Result<(), Failure> {
    let mut chat = Chat::open(harness).await?;
    let params = json!({"session_id": chat.id});
    let upgraded = chat.session.call("chat.upgrade_to_agent", params).await?;
    expect(&upgraded, &json!({"success": true, "mode": "agent"}))?;
    let agent = upgraded["agent_id"].clone();
    let params = json!({"agent_id": agent, "content": "hello", "timeout_secs": 60});
    let sent = chat.session.call("agent.send", params).await?;
    expect(&sent, &json!({"content": "you said: hello", "outcome": "completed"}))?;
    let params = json!({"agent_id": agent, "for": "idle", "timeout_secs": 60});
    expect(&chat.session.call("agent.wait", params).await?, &json!({"status": "running"}))?;
    expect(&chat.chunk("turn_started").await?, &json!({"turn": 1, "prompt": "hello"}))?;
    chat.chunk("text").await?;
    chat.chunk("turn_complete").await?;
    chat.stop().await
}

async fn refused(harness: &dyn Harness) -> Result<(), Failure> {
    let mut session = Session::open(harness).await?;
    let nobody = json!({"session_id": uuid::Uuid::now_v7().to_string()});
    let unknown = session.try_call("chat.get", nobody).await?;
    expect_error(unknown, &json!({"kind": "not_found", "what": "chat"}))?;
    let nothing = json!({"approval_id": uuid::Uuid::now_v7().to_string(), "decision": "deny"});
    let unknown = session.try_call("approval.decide", nothing).await?;
    expect_error(unknown, &json!({"kind": "not_found", "what": "approval"}))?;
    let created = session.call("chat.create", harness.chat()).await?;
    let id = created["session_id"].clone();
    session.call("chat.stop", json!({"session_id": id})).await?;
    let late =
        session.try_call("chat.prompt", json!({"session_id": id, "prompt": "hello"})).await?;
    expect_error(late, &json!({"kind": "conflict", "reason": "closed"}))?;
    session.call("chat.remove", json!({"session_id": id})).await?;
    let gone = session.try_call("chat.get", json!({"session_id": id})).await?;
    expect_error(gone, &json!({"kind": "not_found", "what": "chat"}))
}

/// Fails unless it was refused, with these members in the error's `data`.
fn expect_error(answered: Result<Value, Value>, data: &Value) -> Result<(), Failure> {
    match answered {
        Ok(result) => Err(failure(format!("it was not refused: {result}"))),
        Err(error) => expect(&error["data"], data),
    }
}
