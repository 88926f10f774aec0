//! ZMTP from outside: what a peer may do, and what it cannot do to us.
#![expect(clippy::unwrap_used, reason = "a helper of a test fails by panicking")]

mod attacks;
mod conversation;
mod handshake;
mod liveness;
mod raw;
