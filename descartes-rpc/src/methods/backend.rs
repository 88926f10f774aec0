//! `backend.*`

use descartes_core::backend::BackendStatus;

use crate::error::RpcError;
use crate::router::Call;
use crate::wire::backend as wire;

/// `backend.list`
pub(crate) async fn list(
    call: Call,
    _: wire::BackendsParams,
) -> Result<wire::BackendList, RpcError> {
    // What is installed is looked at with every call; there is nothing to refresh yet.
    let backends = call.descartes().backends().into_iter().map(entry).collect();
    Ok(wire::BackendList { backends })
}

fn entry(status: BackendStatus) -> wire::Backend {
    wire::Backend {
        name: status.name.as_ref().to_owned(),
        dialect: status.dialect.to_owned(),
        runner: status.runner.as_ref().to_owned(),
        available: status.available,
        reason: status.reason.map(str::to_owned),
        program: status.program.map(|program| program.to_string_lossy().into_owned()),
        searched: None,
        version: None,
        login: wire::Login::Ok,
        install_hint: None,
        capabilities: wire::Capabilities {
            pause: status.capabilities.pause,
            ..wire::Capabilities::default()
        },
    }
}
