//! Effects without a key of their caller's: somebody may leave before they end, and come back.

use std::collections::HashMap;
use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use descartes_core::idempotency::Begin;
use tokio::runtime::Handle;
use tokio::sync::{oneshot, watch};
use tracing::Instrument;

use super::{Answer, outcome};
use crate::decode::decode;
use crate::error::RpcError;
use crate::message::Params;
use crate::method::{Method, MethodParams};
use crate::router::Host;

/// Effects under way under a made key. Bounded by the calls that may be at work.
#[derive(Debug, Default)]
pub(crate) struct Running(Mutex<HashMap<String, watch::Receiver<()>>>);

impl Running {
    /// Waits while the effect that was given this key is under way.
    pub(super) async fn wait(&self, by: &str, method: &str, key: &str) {
        let earlier = self.lock().get(&name(by, method, key)).cloned();
        if let Some(mut earlier) = earlier {
            // It ends with an error when the sender is dropped, which is what is waited for.
            while earlier.changed().await.is_ok() {}
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, watch::Receiver<()>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn name(by: &str, method: &str, key: &str) -> String {
    format!("{by}\u{1f}{method}\u{1f}{key}")
}

/// What is needed to keep an outcome that nobody waited for.
pub(super) struct Left {
    pub(super) host: Arc<Host>,
    pub(super) by: Arc<str>,
    pub(super) method: &'static str,
    pub(super) key: String,
}

impl Left {
    fn name(&self) -> String {
        name(&self.by, self.method, &self.key)
    }

    async fn try_keep<M: Method>(&self, raw: &Params, answer: Answer) -> Result<(), RpcError> {
        let mut params: M::Params = decode(raw)?;
        params.take_idempotency_key();
        let descartes = &self.host.descartes;
        let digest = self.host.digest.of(descartes, &params).await?;
        let names = (self.method, &*self.key);
        if let Begin::New(ticket) = descartes.idempotency().begin(&self.by, names, &digest).await? {
            drop(outcome::store_of::<M>(Some(ticket), answer).await);
        }
        Ok(())
    }
}

/// An effect in the table: until its caller has the answer, or that is kept.
struct Entry {
    left: Left,
    _done: watch::Sender<()>,
}

impl Entry {
    fn new(left: Left) -> Self {
        let (done, wait) = watch::channel(());
        left.host.running.lock().insert(left.name(), wait);
        Self { left, _done: done }
    }

    /// Keeps `answer` for the caller that left, who may come back with the made key.
    async fn keep<M: Method>(self, raw: Params, answer: Answer) {
        if let Err(error) = self.left.try_keep::<M>(&raw, answer).await {
            tracing::warn!(%error, "an outcome that nobody waited for is not kept");
        }
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.left.host.running.lock().remove(&self.left.name());
    }
}

/// Runs `effect` in a task of its own. If its caller leaves before the answer, that is kept under
/// the made key.
pub(super) async fn attended<M: Method>(
    left: Left,
    raw: Params,
    effect: impl Future<Output = Answer> + Send + 'static,
) -> Answer {
    let (answer, answered) = oneshot::channel();
    let entry = Entry::new(left);
    let kept = raw.clone();
    let work = async move {
        let outcome = effect.await;
        if let Err((outcome, entry)) = answer.send((outcome, entry)) {
            entry.keep::<M>(kept, outcome).await;
        }
    };
    tokio::spawn(work.in_current_span());
    Attending::<M> { answered, late: Some(raw), method: PhantomData }.await
}

/// A caller that waits for its effect.
struct Attending<M: Method> {
    /// With the answer comes its entry: whoever repeats the call waits until it is kept, if its
    /// caller leaves in the moment in which it comes.
    answered: oneshot::Receiver<(Answer, Entry)>,
    late: Option<Params>,
    method: PhantomData<fn() -> M>,
}

impl<M: Method> Future for Attending<M> {
    type Output = Answer;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Answer> {
        let answered = ready!(Pin::new(&mut self.answered).poll(cx));
        self.late = None;
        Poll::Ready(answered.map_or_else(
            |_| Err(RpcError::internal(&"the task of an effect ended without an answer")),
            |(answer, _entry)| answer,
        ))
    }
}

/// The answer may have come in the moment in which its caller left.
impl<M: Method> Drop for Attending<M> {
    fn drop(&mut self) {
        let Some(raw) = self.late.take() else { return };
        self.answered.close();
        if let (Ok((answer, entry)), Ok(runtime)) =
            (self.answered.try_recv(), Handle::try_current())
        {
            runtime.spawn(entry.keep::<M>(raw, answer));
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use descartes_core::Descartes;
    use descartes_core::store::MemoryStore;
    use descartes_core::testing::FakeRunner;
    use futures_util::FutureExt;

    use super::*;
    use crate::methods::typed::StatePut;
    use crate::router::{About, Router};

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_comes_as_its_caller_leaves_is_waited_for_until_it_is_kept() {
        let builder = Descartes::builder().runner(Arc::new(FakeRunner::echo()));
        let descartes = builder.store(Arc::new(MemoryStore::new())).build().await.unwrap();
        let host = Router::new(descartes, About::default()).host;
        let (by, method, key) = (Arc::from("ann"), "state.put", "made".to_owned());
        let left = Left { host: Arc::clone(&host), by, method, key };
        let raw = Params::from_json(Bytes::from_static(br#"{"key":"a","value":1}"#));
        let effect = std::future::ready(Ok(Bytes::from_static(b"{}")));

        let mut waits = Box::pin(attended::<StatePut>(left, raw.clone(), effect));
        assert!(waits.as_mut().now_or_never().is_none());
        // The effect ends; then its caller leaves, before it looks for the answer.
        tokio::task::yield_now().await;
        drop(waits);
        let mut repeated = Box::pin(host.running.wait("ann", method, "made"));
        assert!(repeated.as_mut().now_or_never().is_none(), "it is not kept yet");
        repeated.await;
        let params: <StatePut as Method>::Params = decode(&raw).unwrap();
        let digest = host.digest.of(&host.descartes, &params).await.unwrap();
        let kept = host.descartes.idempotency().begin("ann", (method, "made"), &digest).await;
        assert!(matches!(kept, Ok(Begin::Done(_))), "{kept:?}");
        assert!(host.running.lock().is_empty());
    }
}
