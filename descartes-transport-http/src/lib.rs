//! Descartes over HTTP/1.1.
mod guard;
mod limits;
mod query;
mod route;
mod same_user;
pub use limits::HttpLimits;
pub use same_user::{KernelLookup, PeerSocket, UidLookup};
