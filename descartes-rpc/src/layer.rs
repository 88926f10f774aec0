//! Layers around the methods, each a tower layer of its own.
//!
//! [`CatchError`] turns what the others refuse into answers. The stack that
//! [`Rpc`](crate::service::Rpc) uses is, from outside: [`Trace`], [`CatchError`], [`GiveUp`],
//! [`Ordered`], [`LoadShed`], [`Timeout`]. All of them are for
//! [`Request`](crate::message::Request)s and serve applications that put services of their own
//! behind a transport as well.

mod catch_error;
mod crowd;
mod give_up;
mod load_shed;
mod ordered;
mod rate;
mod slots;
mod timeout;
mod trace;

pub(crate) use catch_error::panicked;
pub use catch_error::{CatchError, CatchErrorFuture};
pub use crowd::Crowd;
pub(crate) use crowd::Seat;
pub(crate) use give_up::given_up;
pub use give_up::{GiveUp, GiveUpFuture, GivenUp};
pub use load_shed::{LoadShed, LoadShedFuture};
pub use ordered::{Ordered, OrderedFuture};
pub use rate::{RateLimit, Rates};
pub(crate) use slots::Slot;
pub use slots::{SlotLimits, Slots};
pub use timeout::{Deadline, Timeout, TimeoutFuture};
pub(crate) use trace::{Noted, Watch};
pub use trace::{Trace, TraceFuture};
