//! How far an agent may go in what it lets other agents do.

use descartes_core::{Descartes, dialect::ApprovalMode};

use super::{Principal, Scope};
use crate::error::{ErrorKind, RpcError};

/// The mode that a new agent of `principal` gets, who asked for `asked`: an agent cannot give
/// another what it was not given itself.
///
/// # Errors
///
/// `forbidden` when an agent asks for more, or one that may have been an agent's process.
pub(crate) fn ceiling(
    principal: &Principal,
    asked: Option<ApprovalMode>,
    descartes: &Descartes,
) -> Result<Option<ApprovalMode>, RpcError> {
    let Some(agent) = principal.agent() else {
        let widens = |asked| freedom(asked) > freedom(descartes.approval_mode());
        return match asked {
            Some(asked) if principal.is_lost() && widens(asked) => {
                Err(super::caller_unknown(principal, Scope::Approve))
            }
            asked => Ok(asked),
        };
    };
    let own = descartes.approval_mode_of(agent);
    let Some(asked) = asked else {
        let usual = descartes.approval_mode();
        return Ok((freedom(usual) > freedom(own)).then_some(own));
    };
    if freedom(asked) <= freedom(own) {
        return Ok(Some(asked));
    }
    let told = format!("an agent whose approvals are {} cannot give others more", own.as_str());
    Err(RpcError::new(ErrorKind::Forbidden, told)
        .reason("inside_agent")
        .with("required", format!("approvals: {}", own.as_str()))
        .with("principal", principal.name())
        .hint("start it from a terminal or client that no agent has started"))
}

/// How much a mode lets happen without a person.
const fn freedom(mode: ApprovalMode) -> u8 {
    match mode {
        ApprovalMode::Deny => 0,
        ApprovalMode::Ask => 1,
        ApprovalMode::AllowEdits => 2,
        ApprovalMode::AllowAll => 3,
    }
}
