//! MessagePack (<https://github.com/msgpack/msgpack/blob/master/spec.md>) into JSON and back,
//! without a value in between.
//!
//! JSON-RPC is served as JSON; a peer that speaks MessagePack is translated at the edge. What is said
//! goes over exactly: integers of 64 bits, floats of 64, texts, members that stand there twice.
//! `bin` becomes the base64 text that JSON has in its place, so that `agent.write_stdin {data}` takes
//! bytes as they are; what goes back is text. A number of JSON that 64 bits cannot say (a longer
//! integer, `1e400`, more digits than a float has) is an extension of type 78 (`N`) whose data is its
//! text, in both directions, so that nothing is rounded. How something is spelt is not kept:
//! `0.10` becomes `0.1`, `"\u0061"` becomes `"a"`, and of two shortest decimals of one float that are
//! equally near the even one comes back; neither are lone surrogates, which become U+FFFD.
//! Of MessagePack alone are names of members that are no text, infinite numbers, NaN and other
//! extensions: refused, with their place.
//!
//! Neither way recurses, and no length is believed before its bytes are there.

mod from_json;
mod number;
mod read;
mod to_json;

pub(crate) use from_json::from_json;
pub(crate) use to_json::to_json;

use descartes_rpc::{
    error::{ErrorKind, RpcError},
    limits::{JSON_DEPTH, REQUEST_BYTES_KEY},
};
use read::{Reader, Token};

/// Why a message could not be put into JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum MsgPackError {
    /// It ends too early.
    #[error("MessagePack that ends before it is whole")]
    Truncated,
    /// More than one value.
    #[error("MessagePack with something behind it")]
    Trailing,
    /// The one byte that means nothing.
    #[error("MessagePack with the byte 0xc1, which means nothing")]
    Reserved,
    /// A text that is none.
    #[error("MessagePack with a text that is not UTF-8")]
    NotText,
    /// The name of a member is a number, say.
    #[error("MessagePack with a member whose name is no text")]
    NameNotText,
    /// JSON has nothing for it.
    #[error("MessagePack with an extension for which there is nothing in JSON")]
    Extension,
    /// JSON has neither infinity nor NaN.
    #[error("MessagePack with a number that is not finite")]
    NotFinite,
    /// Nested too deep.
    #[error("nested deeper than {JSON_DEPTH} levels")]
    TooDeep,
    /// The JSON would be longer than was allowed.
    #[error("a message that is too long")]
    TooLong {
        /// The bound.
        max: usize,
    },
}

/// A [`MsgPackError`] and where it was met.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}{}{error}", path, if path.is_empty() { "" } else { ": " })]
pub(crate) struct Unreadable {
    pub(crate) error: MsgPackError,
    /// As `params.value[3]`; empty for the message itself.
    pub(crate) path: String,
}

impl Unreadable {
    /// What the peer is told.
    pub(crate) fn answer(self) -> RpcError {
        let text = self.to_string();
        match self.error {
            MsgPackError::TooDeep => {
                RpcError::new(ErrorKind::InvalidRequest, self.error.to_string())
                    .with("limit", "limits.json_depth")
                    .with("max", JSON_DEPTH)
            }
            MsgPackError::TooLong { max } => RpcError::oversize(REQUEST_BYTES_KEY, max as u64),
            _ if self.path.is_empty() => RpcError::new(ErrorKind::ParseError, text),
            _ => RpcError::new(ErrorKind::ParseError, text).with("path", self.path),
        }
    }
}

/// What a MessagePack map is, by whichever of the two members comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MapKind {
    /// `jsonrpc`, or neither, or nothing that can be read.
    JsonRpc,
    /// `type`: the agent protocol.
    Agent,
}

/// Looks at the names of a map as far as is needed.
pub(crate) fn map_kind(message: &[u8]) -> MapKind {
    let mut reader = Reader::new(message);
    let Ok(Token::Map(count)) = reader.token() else { return MapKind::JsonRpc };
    for _ in 0..count {
        match reader.token() {
            Ok(Token::Text(b"type")) => return MapKind::Agent,
            Ok(Token::Text(name)) if name != b"jsonrpc" => {}
            _ => return MapKind::JsonRpc,
        }
        if reader.skip().is_err() {
            return MapKind::JsonRpc;
        }
    }
    MapKind::JsonRpc
}

#[cfg(test)]
mod tests;
