//! Starts of a runner's agents, in the queue of a client.

use std::{
    sync::{Arc, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use descartes_rpc::{
    methods::typed::AgentSpawn,
    remote::{StartOutcome, StartQueue},
    wire::agent::SpawnParams,
};
use futures_util::future::BoxFuture;

use super::{Leave, ZmqClient, outcome};
use crate::client::driver::LeftBehind;

#[async_trait]
impl StartQueue for ZmqClient {
    async fn start(&self, params: SpawnParams, deadline: Duration) -> StartOutcome {
        Ok(self.call::<AgentSpawn>(&params, deadline).await?)
    }

    fn left_behind(
        &self,
        wanted: &dyn Fn(&str) -> bool,
    ) -> Option<BoxFuture<'static, StartOutcome>> {
        let mut left_behind =
            self.shared.left_behind.lock().unwrap_or_else(PoisonError::into_inner);
        let at = left_behind.iter().position(|start| wanted(&start.key))?;
        let LeftBehind { ticket, answered, .. } = left_behind.swap_remove(at);
        // Made here, so that it also leaves if nobody ever waits.
        let leave = Leave { left: Some(Arc::clone(&self.shared.left)), ticket };
        let client = self.clone();
        Some(Box::pin(async move {
            let outcome = outcome::<AgentSpawn>(answered, leave).await;
            drop(client);
            Ok(outcome?)
        }))
    }

    fn forget_left_behind(&self) {
        let mut left_behind =
            self.shared.left_behind.lock().unwrap_or_else(PoisonError::into_inner);
        for LeftBehind { ticket, key, .. } in left_behind.drain(..) {
            tracing::info!(%key, "nobody has the agent that was to start: it is started no more");
            self.shared.left.leave(ticket);
        }
    }
}
