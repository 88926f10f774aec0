//! `approval.*`

use std::sync::Arc;

use descartes_core::DecideRequest;
use descartes_core::agent::Want;
use descartes_core::approval::{ApprovalFilter, ApprovalStatus};
use descartes_core::dialect::Decision;

use crate::auth::Scope;
use crate::decode::ParamFault;
use crate::error::RpcError;
use crate::idempotency::Effect;
use crate::router::Call;
use crate::wire::approval as wire;
use crate::wire::encode::chat as encode;

/// `approval.list`
pub(crate) async fn list(
    call: Call,
    params: wire::ApprovalListParams,
) -> Result<wire::ApprovalList, RpcError> {
    let descartes = call.descartes();
    let mut filter = ApprovalFilter::default();
    if let Some(word) = &params.status {
        let expected = || ParamFault::at("status", "a status of approvals");
        filter.status = Some(ApprovalStatus::from_text(word).ok_or_else(expected)?);
    }
    let agent = params.agent_id.map(|asked| call.agent(&asked, Want::Any));
    filter.agent = agent.transpose()?;
    let chat = params.session_id.map(|asked| call.chat(&asked));
    filter.chat = chat.transpose()?.map(|chat| chat.id);
    filter.within = call.reach.clone();
    if let Ok(reach) = call.cx.reach(Scope::Approve) {
        descartes.attendance().asked(reach);
    }
    let (found, cursor) = descartes.approvals(&filter).await?;
    let approvals: Vec<_> = found.iter().map(|approval| encode::approval(approval)).collect();
    Ok(wire::ApprovalList {
        count: u64::try_from(approvals.len()).unwrap_or(u64::MAX),
        cursor: cursor.to_string(),
        approvals,
    })
}

/// `approval.get`
pub(crate) async fn get(
    call: Call,
    params: wire::ApprovalParams,
) -> Result<wire::Approval, RpcError> {
    Ok(encode::approval(&*call.approval(&params.approval_id).await?))
}

/// `approval.decide`
pub(crate) async fn decide(
    effect: Effect,
    params: wire::DecideParams,
) -> (Effect, Result<wire::Approval, RpcError>) {
    let result = decided(&effect, params).await;
    (effect, result)
}

async fn decided(effect: &Effect, params: wire::DecideParams) -> Result<wire::Approval, RpcError> {
    let descartes = effect.descartes();
    let id = effect.call.approval(&params.approval_id).await?.id;
    let expected = params.expected_digest.as_deref().map(Arc::from);
    let mut request = DecideRequest::new(decision(params)?);
    request.expected_digest = expected;
    let approval = descartes.approval_decide(id, request, effect.by()).await?;
    Ok(encode::approval(&approval))
}

/// What is decided: exactly one of `decision`, `option_id` and `answer`.
fn decision(params: wire::DecideParams) -> Result<Decision, ParamFault> {
    let wire::DecideParams { decision, option_id, answer, message, .. } = params;
    match (decision.as_deref(), option_id, answer) {
        (Some("allow_once"), None, None) => Ok(Decision::AllowOnce),
        (Some("allow_session"), None, None) => Ok(Decision::AllowSession),
        (Some("deny"), None, None) => Ok(Decision::Deny { message: message.map(Into::into) }),
        (Some("cancel"), None, None) => Ok(Decision::Cancel),
        (None, Some(id), None) => Ok(Decision::Option { id: id.into() }),
        (None, None, Some(text)) => Ok(Decision::Answer { text: text.into() }),
        (Some(_), None, None) => {
            Err(ParamFault::at("decision", "allow_once, allow_session, deny or cancel"))
        }
        _ => Err(ParamFault::at("decision", "one of `decision`, `option_id` and `answer`")),
    }
}
