//! Descartes over a Unix socket.
mod claim;
pub use claim::BindError;
