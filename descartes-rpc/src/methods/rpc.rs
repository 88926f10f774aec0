//! `rpc.*`: calls about calls.

use bytes::Bytes;

use crate::decode::ParamFault;
use crate::error::RpcError;
use crate::message::Id;
use crate::router::Call;
use crate::wire::system::{CancelParams, CancelResult, NoParams};

/// `rpc.discover`
pub(crate) async fn discover(call: Call, _: NoParams) -> Result<Bytes, RpcError> {
    Ok(call.host.document())
}

/// `rpc.cancel`
pub(crate) fn cancel(call: &Call, params: &CancelParams) -> Result<CancelResult, RpcError> {
    let id = Id::from_json(params.id.0.get())
        .ok_or_else(|| ParamFault::at("id", "a string, an integer or null"))?;
    Ok(CancelResult { cancelled: call.cx.connection.cancel(&id) })
}
