//! What a transport serves: one message, or one duplex connection.
//!
//! A transport moves bytes and vouches for its peer; everything else is here. Per message it calls
//! [`answer`] or [`answer_streaming`], for a duplex connection [`serve_connection`]. Where the
//! method is said outside of the message (a path of HTTP, say), it calls [`call_until`]; where
//! something else than JSON-RPC is spoken, [`serve_language`].

mod answer;
mod bare;
mod batch;
mod driver;
mod exchange;
mod language;
mod outbox;
mod state;
mod subscriptions;
#[cfg(test)]
mod tests;
mod turns;
mod waits;

pub use answer::{Answer, answer, answer_streaming, answer_until, oversize_body};
pub use bare::{BareCall, Outcome, call_until};
pub use driver::{serve_connection, serve_language};
pub use language::{Language, Spoken};
pub(crate) use state::{CallClass, CallTicket};
pub use state::{Connection, ConnectionLimits};
pub use subscriptions::SubscriptionTicket;
pub use turns::OrderKey;
pub(crate) use turns::Turn;
pub(crate) use waits::{WaitEnd, WaitTicket};
