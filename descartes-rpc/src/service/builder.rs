//! How a service is put together.

use std::{sync::Arc, time::Duration};

use super::{Dispatch, Rpc, methods::Methods, rpc::Shared};
use crate::{
    auth::Policy,
    layer::{
        CatchError, Crowd, Deadline, GiveUp, GivenUp, LoadShed, Ordered, RateLimit, Rates,
        SlotLimits, Slots, Timeout, Trace, Watch,
    },
    limits,
    meter::Meter,
    tracer::CallTracer,
};

/// Builds an [`Rpc`]; every setting has a default.
#[must_use]
pub struct RpcBuilder {
    dispatch: Arc<dyn Dispatch>,
    policy: Policy,
    slots: SlotLimits,
    rate: Option<RateLimit>,
    request_timeout: Duration,
    watch: Watch,
}

impl RpcBuilder {
    pub(super) fn new(dispatch: Arc<dyn Dispatch>) -> Self {
        Self {
            dispatch,
            policy: Policy::default(),
            slots: SlotLimits::default(),
            rate: None,
            request_timeout: limits::REQUEST_TIMEOUT,
            watch: Watch::default(),
        }
    }

    /// Takes peers that a transport vouches to run as `uid`, or as root, for the owner.
    pub const fn owner_uid(mut self, uid: u32) -> Self {
        self.policy.owner_uid = Some(uid);
        self
    }

    /// How long a call may take that does not wait by its nature. Default 30 s.
    pub const fn request_timeout(mut self, after: Duration) -> Self {
        self.request_timeout = after;
        self
    }

    /// How many calls are at work in all. Default 100 and 10 for control.
    pub const fn slots(mut self, limits: SlotLimits) -> Self {
        self.slots = limits;
        self
    }

    /// How often one principal may call, control calls aside. Default: as often as it likes.
    pub const fn rate(mut self, limit: Option<RateLimit>) -> Self {
        self.rate = limit;
        self
    }

    /// Counts in `meter`, which its transports may have as well. Default: one of its own.
    pub fn meter(mut self, meter: Meter) -> Self {
        self.watch.meter = meter;
        self
    }

    /// Has `tracer` begin a span for each call. Default: nobody.
    pub fn tracer(mut self, tracer: CallTracer) -> Self {
        self.watch.tracer = Some(tracer);
        self
    }

    /// The service.
    #[must_use]
    pub fn build(self) -> Rpc {
        let (slots, rates) = (Slots::new(self.slots), Rates::default());
        rates.set(self.rate);
        let methods = Methods::new(Arc::clone(&self.dispatch));
        let deadline = Deadline::new(self.request_timeout);
        let timed = Timeout::new(methods, deadline.clone());
        let shed = LoadShed::new(timed, Arc::clone(&slots));
        let given_up = GivenUp::default();
        let layers = CatchError::new(GiveUp::new(Ordered::new(shed), given_up.clone()));
        let stack = Trace::watching(layers, self.watch.clone());
        Rpc::from_shared(Shared {
            dispatch: self.dispatch,
            policy: self.policy,
            slots,
            rates,
            crowd: Crowd::default(),
            deadline,
            watch: self.watch,
            closed: false.into(),
            given_up,
            stack,
        })
    }
}

impl std::fmt::Debug for RpcBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RpcBuilder")
            .field("policy", &self.policy)
            .field("slots", &self.slots)
            .field("request_timeout", &self.request_timeout)
            .finish_non_exhaustive()
    }
}
