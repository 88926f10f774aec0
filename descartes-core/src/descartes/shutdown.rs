//! The end of a host's life.

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

use tokio::task::JoinSet;

use super::{Descartes, Kill};
use crate::event::{EventBody, NewEvent, Topic};
use crate::limits::CHATS_SETTLE;
use crate::store::Batch;

impl Descartes {
    /// Refuses new agents from now on, and says so in the journal. Agents go on.
    pub async fn drain(&self) {
        if self.core.draining.swap(true, Ordering::AcqRel) {
            return;
        }
        let now = self.core.clock.now();
        let event =
            NewEvent::new(Topic::system(), "system".into(), now, &EventBody::SystemDraining);
        if let Err(error) = self.core.journal.commit(Batch::control().event(event)).await {
            tracing::warn!(%error, "that the host drains could not be written");
        }
    }

    /// Takes new agents again after [`drain`](Self::drain); no use once
    /// [`shutdown`](Self::shutdown) has begun.
    pub fn resume_intake(&self) {
        self.core.draining.store(false, Ordering::Release);
    }

    /// Whether new agents are refused.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.core.draining.load(Ordering::Acquire)
    }

    /// Stops every agent with its grace, commits what waits, and closes the store.
    ///
    /// Subscriptions end when everything was delivered to them. A second call finds nothing to do.
    pub async fn shutdown(&self) {
        self.drain().await;
        self.stop_agents(Kill::default()).await;
        self.settle_chats().await;
        let maintenance =
            self.core.maintenance.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(maintenance) = maintenance {
            maintenance.abort();
            // It ends as cancelled, or has ended.
            drop(maintenance.await);
        }
        self.core.journal.close().await;
        if let Err(error) = self.core.journal.store().close().await {
            tracing::warn!(%error, "the store was not closed cleanly");
        }
    }

    /// Waits until the chats have said that their agents have ended, which they do a moment after
    /// those have; at most a few seconds.
    pub async fn settle_chats(&self) {
        let settled = async {
            for chat in self.core.chats.all() {
                if let Some(mut record) = self.core.chats.watch(chat.id) {
                    drop(record.wait_for(|record| !record.is_active).await);
                }
            }
        };
        if tokio::time::timeout(CHATS_SETTLE, settled).await.is_err() {
            tracing::warn!("not every chat has said that its agent has ended");
        }
    }

    /// Ends every live agent; returns how many could not be.
    pub async fn stop_agents(&self, kill: Kill) -> usize {
        let mut work = JoinSet::new();
        for id in self.core.registry.live_ids() {
            let this = self.clone();
            work.spawn(async move { this.kill(id, kill, Arc::<str>::from("system")).await });
        }
        let mut failed = 0;
        while let Some(killed) = work.join_next().await {
            if !matches!(killed, Ok(Ok(_))) {
                failed += 1;
            }
        }
        failed
    }
}
