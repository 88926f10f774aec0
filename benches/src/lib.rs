//! What benches and the load generator share: series, processor time, the table, clients, and
//! the servers that are measured and measured against.
//!
//! Nothing here is judged by a bare time. Every figure is a ratio to a floor or a peer that was
//! measured in the same run, in turns, so that a busy machine troubles both alike.

pub mod client;
pub mod corpus;
pub mod host;
pub mod no_store;
pub mod process;
pub mod series;
pub mod servers;
pub mod size;
pub mod table;
pub mod talker;
