//! The other side: connections for the typed client.
//!
//! [`ZmqConnect`] makes connections for the typed [`Client`](descartes_rpc::client::Client): every
//! method, subscriptions that resume, deadlines.

mod address;
mod connect;

pub use address::AddressError;
pub use connect::ZmqConnect;
