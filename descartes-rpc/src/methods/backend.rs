//! `backend.*`

use std::path::Path;

use descartes_core::backend::{BackendStatus, Login};

use crate::error::RpcError;
use crate::router::Call;
use crate::wire::backend as wire;

/// `backend.list`
pub(crate) async fn list(
    call: Call,
    params: wire::BackendsParams,
) -> Result<wire::BackendList, RpcError> {
    let backends = call.descartes().backends(params.refresh.unwrap_or(false)).await;
    Ok(wire::BackendList { backends: backends.into_iter().map(entry).collect() })
}

fn entry(status: BackendStatus) -> wire::Backend {
    wire::Backend {
        name: status.name.as_ref().to_owned(),
        dialect: status.dialect.to_owned(),
        runner: status.runner.as_ref().to_owned(),
        available: status.is_available(),
        reason: status.trouble.map(|trouble| trouble.as_str().to_owned()),
        program: status.program.as_deref().map(text),
        searched: (!status.searched.is_empty())
            .then(|| status.searched.iter().map(|folder| text(folder)).collect()),
        version: status.version.map(|version| version.as_ref().to_owned()),
        login: match status.login {
            Login::Ok => wire::Login::Ok,
            Login::Missing => wire::Login::Missing,
            Login::Unknown => wire::Login::Unknowable,
        },
        install_hint: status.install_hint.map(str::to_owned),
        capabilities: wire::Capabilities {
            turns: status.capabilities.turns,
            resume: status.capabilities.resume,
            approvals: status.capabilities.approvals,
            cancel: status.capabilities.cancel,
            pause: status.capabilities.pause,
            models: status.models,
        },
    }
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}
