//! What a transport serves: one message, or one duplex connection.

mod state;
mod subscriptions;
mod turns;
mod waits;

pub(crate) use state::{CallClass, CallTicket};
pub use state::{Connection, ConnectionLimits};
pub use subscriptions::SubscriptionTicket;
pub use turns::OrderKey;
pub(crate) use turns::Turn;
pub(crate) use waits::WaitTicket;
