//! The server over real sockets, in front of a service that is played by the test.

mod admission;
mod bounds;
mod fake;
mod mounted;
mod raw;
mod server;
mod streams;
