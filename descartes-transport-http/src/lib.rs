//! Descartes over HTTP/1.1: every route as one [`service`] to be mounted in an application, and
//! [`HttpTransport`], the daemon's own server around it. With the feature `client` (default) there
//! is the other side too: `HttpClient`.
//!
//! The server knows its callers by the kernel's word: on loopback the owner of the peer's socket
//! must be the user that runs the server. Pages of browsers are kept out by `Host`, `Origin` and
//! content type. Nothing here knows a method; what a route means is asked from the
//! [`RpcService`](descartes_rpc::service::RpcService) that is served.

mod caller;
#[cfg(feature = "client")]
mod client;
mod guard;
mod limits;
mod options;
mod query;
mod refusal;
mod request_body;
mod response_body;
mod route;
mod same_user;
mod serve;
mod service;
mod sse;

#[cfg(feature = "client")]
pub use client::{AddressError, HttpClient};
pub use limits::HttpLimits;
pub use options::HttpOptions;
pub use response_body::ResponseBody;
pub use same_user::{KernelLookup, PeerSocket, UidLookup};
pub use serve::{BindError, HttpConfig, HttpTransport};
pub use service::{HttpService, service};
