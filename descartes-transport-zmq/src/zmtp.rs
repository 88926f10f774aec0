//! ZMTP 3.x: greeting, handshake, commands and messages over any stream of bytes.

mod message;

pub use message::{Multipart, Received, SocketType};
