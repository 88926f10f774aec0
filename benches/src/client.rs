//! Clients that cost little and check what they are given.

mod chats;
mod http;
mod lines;
mod sse;
pub mod zmq;

pub use chats::{ChatClient, Piped};
pub use http::{HttpClient, OpenLoop, http_request};
pub use lines::LinesClient;
pub use sse::SseClients;
