//! A call works only with a slot; one that merely waits gives it back.

use std::{
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use futures_util::future::BoxFuture;
use pin_project_lite::pin_project;
use tower::{BoxError, Service, ServiceExt, util::Oneshot};

use super::slots::{Slot, Slots, Waiting};
use crate::{
    connection::{Connection, WaitTicket},
    error::RpcError,
    message::{Id, Reply, Request},
    service::CallState,
};

/// Gives each call a slot, and refuses it with `unavailable`/`no_slot` when none comes free.
///
/// Control calls have slots that nobody else gets. A method that waits keeps its slot only until it
/// is first not ready; from then on it counts against the bounds of waiting calls, and
/// `rpc.cancel` can end it.
#[derive(Clone, Debug)]
pub struct LoadShed<S> {
    inner: S,
    slots: Arc<Slots>,
}

impl<S> LoadShed<S> {
    /// Puts the layer around `inner`.
    pub const fn new(inner: S, slots: Arc<Slots>) -> Self {
        Self { inner, slots }
    }
}

impl<S> Service<Request> for LoadShed<S>
where
    S: Service<Request, Response = Reply> + Clone,
    S::Error: Into<BoxError>,
{
    type Response = Reply;
    type Error = BoxError;
    type Future = LoadShedFuture<S>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let traits = request.traits();
        let parking = traits
            .waits
            .then(|| Parking { connection: request.connection.clone(), id: request.id.clone() });
        LoadShedFuture {
            slots: Arc::clone(&self.slots),
            control: traits.control,
            stage: Stage::New,
            held: Held { state: request.admission.state.clone(), slot: None },
            parking,
            call: self.inner.clone().oneshot(request),
        }
    }
}

/// What a waiting call is entered under.
struct Parking {
    connection: Connection,
    id: Option<Id>,
}

/// Where the slot is kept: with the call's state, so that what the call leaves running keeps it.
struct Held {
    state: Option<Arc<CallState>>,
    slot: Option<Slot>,
}

impl Held {
    fn keep(&mut self, slot: Slot) {
        match &self.state {
            Some(state) => state.keep_slot(slot),
            None => self.slot = Some(slot),
        }
    }

    fn give_back(&mut self) {
        self.slot = None;
        if let Some(state) = &self.state {
            state.give_back();
        }
    }
}

enum Stage {
    New,
    Queued(BoxFuture<'static, Result<Slot, RpcError>>),
    Working,
    Parked { ticket: WaitTicket, _waiting: Waiting },
}

pin_project! {
    /// The future of [`LoadShed`].
    pub struct LoadShedFuture<S>
    where
        S: Service<Request>,
    {
        slots: Arc<Slots>,
        control: bool,
        stage: Stage,
        held: Held,
        parking: Option<Parking>,
        #[pin]
        call: Oneshot<S, Request>,
    }
}

impl<S> Future for LoadShedFuture<S>
where
    S: Service<Request, Response = Reply>,
    S::Error: Into<BoxError>,
{
    type Output = Result<Reply, BoxError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        if let Stage::New = this.stage {
            *this.stage = match this.slots.try_take(*this.control) {
                Some(slot) => {
                    this.held.keep(slot);
                    Stage::Working
                }
                None => Stage::Queued(Box::pin(Arc::clone(this.slots).take(*this.control))),
            };
        }
        if let Stage::Queued(slot) = this.stage {
            this.held.keep(ready!(slot.as_mut().poll(cx))?);
            *this.stage = Stage::Working;
        }
        if let Poll::Ready(outcome) = this.call.poll(cx) {
            return Poll::Ready(outcome.map_err(Into::into));
        }
        if let Stage::Working = this.stage
            && let Some(parking) = this.parking.take()
        {
            this.held.give_back();
            let waiting = this.slots.begin_wait()?;
            let ticket = parking.connection.begin_wait(parking.id.as_ref())?;
            *this.stage = Stage::Parked { ticket, _waiting: waiting };
        }
        if let Stage::Parked { ticket, .. } = this.stage {
            let end = ready!(ticket.poll_ended(cx));
            return Poll::Ready(Err(end.error().into()));
        }
        Poll::Pending
    }
}

impl<S: Service<Request>> fmt::Debug for LoadShedFuture<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stage = match &self.stage {
            Stage::New => "new",
            Stage::Queued(_) => "queued",
            Stage::Working => "working",
            Stage::Parked { .. } => "parked",
        };
        f.debug_struct("LoadShedFuture").field("stage", &stage).finish_non_exhaustive()
    }
}
