//! Events of applications, and of what is in front of this.

use super::Descartes;
use crate::event::{EventBody, EventKind, NewEvent, News, Topic};
use crate::store::{Batch, StoreError};

impl Descartes {
    /// Writes `news` under `topic`, all of it or none; when this returns it is durable and visible.
    ///
    /// # Errors
    /// When the store does not take it.
    ///
    /// # Cancel safety
    /// Dropped early, all of it is written or none.
    pub async fn publish(&self, topic: &Topic, news: Vec<News>) -> Result<(), StoreError> {
        let at = self.core.clock.now();
        let event = |News { kind, by, json }| {
            let body = EventBody::Other(EventKind::Other(kind), json);
            NewEvent::new(topic.clone(), by, at, &body)
        };
        let mut batch = Batch::control();
        batch.events = news.into_iter().map(event).collect();
        self.core.journal.commit(batch).await.map(drop)
    }
}
