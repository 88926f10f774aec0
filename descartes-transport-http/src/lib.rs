//! Descartes over HTTP/1.1 and WebSocket: every route as one [`service`] to be mounted in an
//! application, and [`HttpTransport`], the daemon's own server around it. With the feature `client`
//! (default) there is the other side too: `HttpClient` and `WsClient`.
//!
//! The server knows its callers by the kernel's word: on loopback the owner of the peer's socket
//! must be the user that runs the server. Pages of browsers are kept out by `Host`, `Origin`,
//! `Sec-Fetch-Site` and content type. What a route means is asked from the
//! [`RpcService`](descartes_rpc::service::RpcService) that is served: which method answers, and how
//! path and query become its parameters, is one row of one table.
//!
//! | route | answers |
//! | --- | --- |
//! | `POST /`, `POST /rpc` | JSON-RPC: a call, a notification or a batch |
//! | `POST /rpc/<method>` | body = parameters, answer = the bare result or the error object |
//! | `GET /` | what this is, and which methods there are |
//! | `GET /health`, `GET /ready` | one word, to anyone |
//! | `GET /events?topic=&after=&types=&tail=` | a subscription as server-sent events |
//! | `GET /agents/{agent}/logs?stream=&tail=&follow=1` | what an agent wrote, byte for byte |
//! | `GET /openrpc.json`, `GET /openapi.json` | the interface descriptions |
//!
//! A `POST` that accepts `text/event-stream` may subscribe: each `data:` is a JSON-RPC message, the
//! response first.

mod alias;
mod caller;
#[cfg(feature = "client")]
mod client;
mod cors;
mod guard;
mod limits;
mod openapi;
mod options;
mod query;
mod refusal;
mod request_body;
mod response_body;
mod route;
mod serve;
mod service;
mod sse;
#[cfg(feature = "test-util")]
#[doc(hidden)]
pub mod testing;
#[cfg(feature = "tls")]
mod tls;
mod ws;

#[cfg(feature = "client")]
pub use client::{AddressError, HttpClient};
pub use descartes_rpc::same_user::{KernelLookup, PeerSocket, UidLookup};
pub use limits::HttpLimits;
pub use options::{Allowed, HttpOptions, Numbers, Routes};
pub use response_body::{Interrupted, ResponseBody};
pub use serve::{BindError, HttpConfig, HttpTransport};
pub use service::{HttpService, service};
#[cfg(feature = "tls")]
pub use tls::{Identity, IdentityError, Roots, RootsError};
#[cfg(feature = "client")]
pub use ws::client::WsClient;
