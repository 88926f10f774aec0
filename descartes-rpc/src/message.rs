//! JSON-RPC 2.0 as data: what comes in, what goes out, and nothing about how it travels.
//!
//! Everything here shares the bytes of the message it came from or is already encoded; no tree of
//! values is ever built from what a peer sent.

mod id;
mod notification;
mod params;
mod reply;
mod request;
mod text;

pub use id::{Id, IdText};
pub use notification::{EndReason, Notification, NotificationStream};
pub use params::{Params, ParamsShape};
pub use reply::{Reply, Response};
pub use request::Request;
pub use text::Text;
