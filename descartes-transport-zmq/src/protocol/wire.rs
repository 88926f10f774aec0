//! The messages: what is on the wire, and how it is written and read.

mod message;
mod request;
mod response;
mod word;

pub use message::ZmqMessage;
pub use request::{
    BatchControlCommand, CommandPayload, ControlCommand, CustomActionRequest, HealthCheckRequest,
    ListAgentsRequest, OutputQueryRequest, SpawnRequest,
};
pub use response::{
    BatchAgentResult, BatchControlResponse, CommandResponse, HealthCheckResponse,
    ListAgentsResponse, LogStream, OutputQueryResponse, ProtocolError, SpawnResponse, StatusUpdate,
};
pub use word::{ControlCommandType, UpdateType, ZmqOutputStream};

/// Declares a struct of the wire whose optional members are marked `name?: Type`; a member that is
/// absent is not written. `strict` refuses an unknown member, `open` ignores it.
macro_rules! wire {
    ($(#[$meta:meta])* strict pub struct $Name:ident { $($body:tt)* }) => {
        $crate::protocol::wire::wire!(@munch
            [$(#[$meta])*] [#[serde(deny_unknown_fields)]] $Name [] $($body)*);
    };
    ($(#[$meta:meta])* open pub struct $Name:ident { $($body:tt)* }) => {
        $crate::protocol::wire::wire!(@munch
            [$(#[$meta])*] [#[non_exhaustive]] $Name [] $($body)*);
    };
    (@munch $meta:tt $more:tt $Name:ident [$($done:tt)*]
        $(#[$field_meta:meta])* $field:ident ? : $ty:ty, $($rest:tt)*) => {
        $crate::protocol::wire::wire!(@munch $meta $more $Name
            [$($done)* $(#[$field_meta])* #[serde(default, skip_serializing_if = "Option::is_none")]
                pub $field: Option<$ty>,]
            $($rest)*);
    };
    (@munch $meta:tt $more:tt $Name:ident [$($done:tt)*]
        $(#[$field_meta:meta])* $field:ident : $ty:ty, $($rest:tt)*) => {
        $crate::protocol::wire::wire!(@munch $meta $more $Name
            [$($done)* $(#[$field_meta])* pub $field: $ty,] $($rest)*);
    };
    (@munch [$($meta:tt)*] [$($more:tt)*] $Name:ident [$($done:tt)*]) => {
        $($meta)*
        #[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
        $($more)*
        pub struct $Name { $($done)* }
    };
}

pub(crate) use wire;
