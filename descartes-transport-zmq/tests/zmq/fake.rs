//! A service with a handful of methods, so that the transport is tested without core.

use std::{convert::Infallible, sync::Arc, time::Duration};

use bytes::Bytes;
use descartes_rpc::{
    error::{ErrorKind, RpcError},
    message::{Notification, NotificationStream, Reply, Request, Response, Text},
    service::RpcService,
};
use futures_util::{StreamExt, stream};
use tokio::sync::Semaphore;

/// What a test can see and steer from outside.
#[derive(Debug)]
pub(crate) struct Stage {
    /// A permit for each call of `held` that has begun.
    pub(crate) begun: Semaphore,
    /// `held` ends when there is a permit.
    pub(crate) release: Semaphore,
}

impl Default for Stage {
    fn default() -> Self {
        Self { begun: Semaphore::new(0), release: Semaphore::new(0) }
    }
}

/// Longer than anything here takes, for a test that would otherwise never end.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
/// What `flood` and `bulk` send at once.
pub(crate) const BULK: usize = 4096;

/// The service.
pub(crate) fn service(stage: Arc<Stage>) -> impl RpcService {
    tower::service_fn(move |request: Request| {
        let stage = Arc::clone(&stage);
        async move { Ok::<_, Infallible>(reply(&stage, request).await) }
    })
}

async fn reply(stage: &Stage, request: Request) -> Reply {
    let params = request.params.as_bytes().map(Bytes::copy_from_slice);
    let mut notifications: Option<NotificationStream> = None;
    let result = match &*request.method {
        "echo" => Ok(params.unwrap_or(Bytes::from_static(b"null"))),
        "held" => {
            stage.begun.add_permits(1);
            stage.release.acquire().await.unwrap().forget();
            Ok(Bytes::from_static(b"\"released\""))
        }
        "whoami" => {
            let uid = request.peer.credentials().map_or(u32::MAX, |found| found.uid);
            Ok(Bytes::from(format!("\"{} {uid}\"", request.peer.transport())))
        }
        "principal" => {
            let principal = request.peer.principal();
            let name = principal.as_ref().map_or("nobody", |principal| principal.name());
            Ok(Bytes::from(format!("\"{name}\"")))
        }
        "bulk" => Ok(bulk()),
        "event.subscribe" => {
            notifications = Some(Box::pin(events(3).chain(stream::pending())));
            Ok(Bytes::from_static(b"{\"subscription_id\":\"s\"}"))
        }
        "flood" => {
            notifications = Some(Box::pin(events(usize::MAX)));
            Ok(Bytes::from_static(b"{\"subscription_id\":\"s\"}"))
        }
        _ => Err(RpcError::new(ErrorKind::MethodNotFound, "no such method")),
    };
    Reply { response: request.id.map(|id| Response { id, outcome: result }), notifications }
}

fn bulk() -> Bytes {
    Bytes::from(format!("\"{}\"", "x".repeat(BULK)))
}

fn events(count: usize) -> impl futures_core::Stream<Item = Notification> + Send {
    stream::iter((0..count).map(|at| Notification::Event {
        subscription_id: Text::from("s"),
        cursor: Text::from(at.to_string()),
        event: bulk(),
    }))
}
