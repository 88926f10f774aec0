//! A service with a handful of methods, so that the transport is tested without core.

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use descartes_rpc::{
    error::{ErrorKind, RpcError},
    message::{Notification, NotificationStream, Reply, Request, Response, Text},
    service::RpcService,
};
use futures_util::{StreamExt, stream};
use tokio::sync::Semaphore;

/// Events that a subscription to `agent/large` sends before it waits, and the size of each.
pub(crate) const LARGE: (u64, usize) = (4096, 16 << 10);

/// What a test can see and steer from outside.
#[derive(Debug)]
pub(crate) struct Stage {
    /// A permit for each call of `held` that has begun.
    pub(crate) begun: Semaphore,
    /// `held` ends when there is a permit.
    pub(crate) release: Semaphore,
    /// How many calls have reached the service.
    pub(crate) reached: AtomicUsize,
    /// Whether `system.ready` says yes.
    pub(crate) ready: bool,
}

impl Default for Stage {
    fn default() -> Self {
        Self {
            begun: Semaphore::new(0),
            release: Semaphore::new(0),
            reached: AtomicUsize::new(0),
            ready: true,
        }
    }
}

/// The service.
pub(crate) fn service(stage: Arc<Stage>) -> impl RpcService {
    tower::service_fn(move |request: Request| {
        let stage = Arc::clone(&stage);
        async move { Ok::<_, Infallible>(reply(&stage, request).await) }
    })
}

async fn reply(stage: &Stage, request: Request) -> Reply {
    stage.reached.fetch_add(1, Ordering::Relaxed);
    let params = request.params.as_bytes().map(Bytes::copy_from_slice).unwrap_or_default();
    let result = match &*request.method {
        "echo" if params.is_empty() => Ok(Bytes::from_static(b"null")),
        "echo" => Ok(params),
        "held" => {
            stage.begun.add_permits(1);
            drop(stage.release.acquire().await);
            Ok(Bytes::from_static(b"\"released\""))
        }
        "whoami" => Ok(whoami(&request)),
        "large" => {
            stage.begun.add_permits(1);
            Ok(Bytes::from(format!("\"{}\"", "x".repeat(8 << 20))))
        }
        "system.ready" if stage.ready => Ok(Bytes::from_static(br#"{"ready":true,"checks":{}}"#)),
        "system.ready" => Ok(Bytes::from_static(
            br#"{"ready":false,"checks":{"runner":"ok","store":"disk full at /secret"}}"#,
        )),
        "system.info" => Ok(Bytes::from_static(br#"{"version":"9.9.9","transports":[]}"#)),
        "rpc.discover" => Ok(Bytes::from_static(br#"{"methods":[{"name":"echo"}]}"#)),
        "event.subscribe" => return subscribe(request, &params),
        _ => Err(RpcError::new(ErrorKind::MethodNotFound, "no such method")),
    };
    Reply { response: request.id.map(|id| Response { id, outcome: result }), notifications: None }
}

fn whoami(request: &Request) -> Bytes {
    let principal = request.peer.principal();
    let name = principal.as_ref().map_or("nobody", |principal| principal.name());
    let uid = request.peer.credentials().map(|credentials| credentials.uid);
    Bytes::from(format!("\"{name} {uid:?}\""))
}

fn subscribe(request: Request, params: &Bytes) -> Reply {
    let text = String::from_utf8(params.to_vec()).unwrap_or_default();
    let after = |name: &str| text.contains(&format!("\"after\":\"{name}\""));
    if after("foreign") {
        let error = RpcError::new(ErrorKind::Conflict, "foreign cursor").reason("cursor_foreign");
        return Reply::failed(request.id, error);
    }
    if !request.streams || text.contains("\"topics\":[]") {
        return Reply::failed(request.id, RpcError::new(ErrorKind::InvalidParams, "no topics"));
    }
    let from = if after("c2") { 3 } else { 1 };
    let notifications: NotificationStream = if text.contains("agent/large") {
        let body = "x".repeat(LARGE.1);
        let events = (0..LARGE.0).map(move |at| event(at, &body));
        Box::pin(stream::iter(events).chain(stream::pending()))
    } else if text.contains("agent/ended") {
        Box::pin(stream::iter([event(1, "a")]))
    } else {
        let history = stream::iter((from..=3).map(|at| event(at, "a")));
        let gap = Notification::Gap {
            subscription_id: Text::from("s"),
            topic: Text::from("agent/a"),
            from_offset: 0,
            to_offset: 1,
            cursor: Text::from("c0"),
        };
        let synced =
            Notification::Synced { subscription_id: Text::from("s"), cursor: Text::from("c3") };
        let gap = stream::iter((from == 1).then_some(gap));
        Box::pin(gap.chain(history).chain(stream::iter([synced])).chain(stream::pending()))
    };
    let result = Bytes::from_static(br#"{"subscription_id":"s","cursor":"c0"}"#);
    let response = request.id.map(|id| Response { id, outcome: Ok(result) });
    Reply { response, notifications: Some(notifications) }
}

fn event(at: u64, text: &str) -> Notification {
    Notification::Event {
        subscription_id: Text::from("s"),
        cursor: Text::from(format!("c{at}").as_str()),
        event: Bytes::from(format!(r#"{{"cursor":"c{at}","data":"{text}"}}"#)),
    }
}

/// Longer than anything here takes, for a test that would otherwise never end.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);
