//! The other side: connections for the typed client, and a client that queues.
//!
//! [`ZmqConnect`] makes connections for the typed [`Client`](descartes_rpc::client::Client): every
//! method, subscriptions that resume, deadlines. [`ZmqClient`] puts a queue in front of one: commands
//! wait while the daemon is away, and are executed once.

mod address;
mod config;
mod connect;
mod driver;
mod error;
mod file;
mod handle;
mod limits;
mod queue;

pub use address::AddressError;
pub use config::{ZmqConfigError, ZmqRunnerConfig};
pub use connect::{Encoding, ZmqConnect};
pub use error::ZmqError;
pub use handle::{CallbackError, CallbackFuture, StreamGuard, ZmqAgentRunner, ZmqClient};
