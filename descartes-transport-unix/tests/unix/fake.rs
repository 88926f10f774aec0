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
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

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
            drop(stage.release.acquire().await);
            Ok(Bytes::from_static(b"\"released\""))
        }
        "whoami" => Ok(Bytes::from(format!("\"{:?}\"", request.peer.credentials()))),
        "event.subscribe" => {
            let events = (0..3).map(|at| Notification::Event {
                subscription_id: Text::from("s"),
                cursor: Text::from("c"),
                event: Bytes::from(at.to_string()),
            });
            notifications = Some(Box::pin(stream::iter(events).chain(stream::pending())));
            Ok(Bytes::from_static(b"{\"subscription_id\":\"s\",\"cursor\":\"c\"}"))
        }
        _ => Err(RpcError::new(ErrorKind::MethodNotFound, "no such method")),
    };
    Reply { response: request.id.map(|id| Response { id, outcome: result }), notifications }
}
