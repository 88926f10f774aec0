//! What is on disk: the encodings of event bodies and documents.
//!
//! Nothing outside this file decides how a core type looks on disk, and a golden file fails when a
//! shape changes unnoticed. A change that older versions cannot read gets a new [`SHAPE`].

mod approval;
mod body;
mod chat;
mod chunk;
mod cost;
mod record;

use std::sync::Arc;

pub use approval::{decode_approval, encode_approval};
pub use body::{decode_body, encode_body};
pub use chat::{decode_chat, encode_chat};
pub use cost::{decode_cost, encode_cost};
pub use record::{OutputMark, decode_mark, decode_record, encode_mark, encode_record};

/// The version of the encodings that this library writes.
pub const SHAPE: u16 = 1;

/// Bytes that are not of a shape that this library reads.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("could not read a stored {what}: {cause}")]
#[non_exhaustive]
pub struct FormatError {
    /// What was read.
    pub what: &'static str,
    /// What was wrong with it.
    pub cause: Arc<str>,
}

impl FormatError {
    pub(crate) fn new(what: &'static str, cause: impl std::fmt::Display) -> Self {
        Self { what, cause: cause.to_string().into() }
    }
}
