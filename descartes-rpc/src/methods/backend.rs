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
        // Whether a program of somebody else is logged in only a prompt would tell.
        login: if status.dialect == "lines" { wire::Login::Ok } else { wire::Login::Unknowable },
        install_hint: status.install_hint.map(str::to_owned),
        capabilities: wire::Capabilities {
            turns: status.capabilities.turns,
            resume: status.capabilities.resume,
            approvals: status.capabilities.approvals,
            cancel: status.capabilities.cancel,
            pause: status.capabilities.pause,
            models: Vec::new(),
        },
    }
}
