//! Guides: how to do what takes more than one call.
//!
//! They are the pages of the folder `docs`; each of their Rust blocks is a test of this crate.

#[doc = include_str!("guide/write-a-transport.md")]
///
/// ---
///
/// What was used: [`accept`](crate::accept::accept),
/// [`serve_connection`](crate::connection::serve_connection),
/// [`answer`](crate::connection::answer), [`Peer`](crate::peer::Peer),
/// [`ConnectionLimits`](crate::connection::ConnectionLimits), [`Connect`](crate::client::Connect),
/// [`Exchange`](crate::client::Exchange), [`LineCodec`](crate::codec::LineCodec).
pub mod write_a_transport {}

#[doc = include_str!("guide/test-your-application.md")]
///
/// ---
///
/// What was used: [`Client::in_memory`](crate::client::Client::in_memory),
/// [`memory::pair`](crate::memory::pair), [`Descartes::builder`](descartes_core::Descartes::builder).
pub mod test_your_application {}

#[doc = include_str!("guide/follow-events.md")]
///
/// ---
///
/// What was used: [`Client::subscribe`](crate::client::Client::subscribe),
/// [`Update`](crate::client::Update), [`SubscribeParams`](crate::wire::event::SubscribeParams),
/// [`ReadParams`](crate::wire::event::ReadParams).
pub mod follow_events {}

#[doc = include_str!("guide/remote-agents.md")]
///
/// ---
///
/// What was used: [`RemoteRunner`](crate::remote::RemoteRunner),
/// [`Backend::on`](descartes_core::backend::Backend::on),
/// [`Builder::runner_named`](descartes_core::Builder::runner_named).
pub mod remote_agents {}

#[doc = include_str!("guide/record-and-replay.md")]
///
/// ---
///
/// What was used: [`Recording`](descartes_core::recording::Recording),
/// [`Backend::replay`](descartes_core::backend::Backend::replay),
/// [`ChatOptions::record`](descartes_core::chat::ChatOptions::record).
pub mod record_and_replay {}
