//! Methods that do what a test of the protocol needs, without any core.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    task::Poll,
};

use bytes::Bytes;
use futures_util::{FutureExt, stream};
use tokio::sync::Semaphore;

use crate::{
    auth::Scope,
    connection::OrderKey,
    error::{ErrorKind, RpcError},
    message::{Id, Notification, NotificationStream, Params, Text},
    service::{CallContext, Dispatch, Dispatched, Found, MethodTraits, Outcome, Rpc},
};

/// The methods, what they noted, and the gates they stand at.
#[derive(Default)]
pub(crate) struct Fixture {
    gates: Mutex<HashMap<String, Arc<Semaphore>>>,
    log: Mutex<Vec<String>>,
}

const PLAIN: MethodTraits = MethodTraits {
    name: "",
    scope: Scope::Authenticated,
    mutating: false,
    waits: false,
    control: false,
    immediate: false,
    ordered: false,
    open: false,
};
const NOW: MethodTraits = MethodTraits { immediate: true, ..PLAIN };
const ORDERED: MethodTraits = MethodTraits { ordered: true, mutating: true, ..PLAIN };

const METHODS: &[(&str, MethodTraits)] = &[
    ("echo", NOW),
    ("later", PLAIN),
    ("hold", PLAIN),
    ("wait", MethodTraits { waits: true, ..PLAIN }),
    ("kill", MethodTraits { control: true, ..PLAIN }),
    ("change", ORDERED),
    ("place", ORDERED),
    ("stop", MethodTraits { control: true, ..ORDERED }),
    ("subscribe", PLAIN),
    ("flood", PLAIN),
    ("unsubscribe", NOW),
    ("cancel", NOW),
    ("panic", PLAIN),
    ("panic_now", NOW),
    ("big", PLAIN),
    ("admin", MethodTraits { scope: Scope::Admin, ..NOW }),
    ("decide", MethodTraits { scope: Scope::Approve, ..NOW }),
    ("fail", NOW),
    ("detach", PLAIN),
];

impl Fixture {
    pub(crate) fn rpc() -> (Arc<Self>, Rpc) {
        let fixture = Arc::new(Self::default());
        let dispatch: Arc<dyn Dispatch> = Arc::<Self>::clone(&fixture);
        (fixture, Rpc::over(dispatch).build())
    }

    pub(crate) fn service() -> Rpc {
        Self::rpc().1
    }

    /// Lets `count` calls pass that stand at `gate`.
    pub(crate) fn open(&self, gate: &str, count: usize) {
        self.gate(gate).add_permits(count);
    }

    /// What the methods noted so far.
    pub(crate) fn log(&self) -> Vec<String> {
        self.log.lock().unwrap().clone()
    }

    fn gate(&self, name: &str) -> Arc<Semaphore> {
        Arc::clone(
            self.gates
                .lock()
                .unwrap()
                .entry(name.to_owned())
                .or_insert_with(|| Arc::new(Semaphore::new(0))),
        )
    }

    fn note(&self, what: String) {
        self.log.lock().unwrap().push(what);
    }
}

/// Each params text of these methods is `["name"]`.
fn name_of(params: &Params) -> String {
    let bytes = params.as_bytes().unwrap_or(b"[\"\"]");
    let names: Vec<String> = serde_json::from_slice(bytes).unwrap();
    names.into_iter().next().unwrap_or_default()
}

fn result(json: &str) -> Result<Outcome, RpcError> {
    Ok(Outcome::of(Bytes::copy_from_slice(json.as_bytes())))
}

impl Dispatch for Fixture {
    fn find(&self, method: &str) -> Option<Found> {
        let index = METHODS.iter().position(|(name, _)| *name == method)?;
        let (name, traits) = METHODS[index];
        Some(Found { index, traits: MethodTraits { name, ..traits } })
    }

    fn order_key(&self, _found: Found, params: &Params) -> Option<OrderKey> {
        Some(OrderKey::of("thing", &name_of(params)))
    }

    fn call(&self, found: Found, cx: CallContext, params: Params) -> Dispatched {
        match found.traits.name {
            "echo" | "admin" | "decide" => {
                let json = params.into_bytes().unwrap_or_else(|| Bytes::from_static(b"null"));
                Dispatched::Now(Ok(Outcome::of(json)))
            }
            "fail" => Dispatched::Now(Err(RpcError::new(ErrorKind::Conflict, "no")
                .reason("busy")
                .hint("wait"))),
            "unsubscribe" => {
                let found = cx.connection.unsubscribe(&name_of(&params));
                Dispatched::Now(result(if found { "true" } else { "false" }))
            }
            "cancel" => {
                let id = Id::from_json(&name_of(&params)).unwrap();
                let found = cx.connection.cancel(&id);
                Dispatched::Now(result(if found { "true" } else { "false" }))
            }
            "panic_now" => panic!("on the spot"),
            name => self.later(name, cx, &params),
        }
    }
}

impl Fixture {
    fn later(&self, name: &'static str, cx: CallContext, params: &Params) -> Dispatched {
        if name == "subscribe" || name == "flood" {
            return Dispatched::Now(subscribe(&cx, name == "flood"));
        }
        let what = name_of(params);
        let gate = self.gate(&what);
        self.note(format!("begin {name} {what}"));
        Dispatched::Later(
            async move {
                match name {
                    "panic" => panic!("later"),
                    "big" => return result(&format!("\"{}\"", "x".repeat(100 * 1024))),
                    "later" | "kill" => tokio::task::yield_now().await,
                    "place" => {
                        cx.effect_placed();
                        gate.acquire().await.unwrap().forget();
                    }
                    "detach" => {
                        cx.announce_key("the-key");
                        let task = tokio::spawn(async move {
                            gate.acquire().await.unwrap().forget();
                            drop(cx);
                        });
                        task.await.unwrap();
                    }
                    _ => gate.acquire().await.unwrap().forget(),
                }
                result(&format!("{what:?}"))
            }
            .boxed(),
        )
    }
}

/// Three events and then nothing until it is ended; or events without end.
fn subscribe(cx: &CallContext, flood: bool) -> Result<Outcome, RpcError> {
    let ticket = cx.open_subscription()?;
    let subscription_id = ticket.id().clone();
    let reply = format!("{{\"subscription_id\":\"{subscription_id}\"}}");
    let (mut sent, mut ended) = (0_u64, false);
    let stream = stream::poll_fn(move |cx| {
        let cursor = Text::from(format!("c-{sent}"));
        let subscription_id = subscription_id.clone();
        if ended {
            return Poll::Ready(None);
        }
        if let Poll::Ready(reason) = ticket.poll_ended(cx) {
            ended = true;
            return Poll::Ready(Some(Notification::Ended { subscription_id, reason, cursor }));
        }
        if sent == 3 && !flood {
            return Poll::Pending;
        }
        sent += 1;
        let filler = if flood { "x".repeat(1000) } else { String::new() };
        let event = Bytes::from(format!("{{\"seq\":{sent},\"text\":\"{filler}\"}}"));
        Poll::Ready(Some(Notification::Event { subscription_id, cursor, event }))
    });
    let stream: NotificationStream = Box::pin(stream);
    let mut outcome = result(&reply)?;
    outcome.stream = Some(stream);
    Ok(outcome)
}
