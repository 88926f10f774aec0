//! From core's objects to the structs and bytes of the wire.

mod agent;
pub(crate) mod chat;
mod event;

pub(crate) use agent::{entry, exit, stamp, status};
pub(crate) use event::{event_json, gap, stream};
