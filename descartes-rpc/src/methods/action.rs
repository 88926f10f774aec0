//! `agent.action` and `action.list`.

use std::time::Duration;

use descartes_core::action::{ActionError, RunActionError};
use descartes_core::agent::Want;

use crate::decode::ParamFault;
use crate::error::{ErrorKind, RpcError};
use crate::idempotency::Effect;
use crate::router::Call;
use crate::wire::action as wire;
use crate::wire::duration::Secs;
use crate::wire::state::Json;
use crate::wire::system::NoParams;

/// How long an action may take unless it is told.
const ACTION_DEFAULT: Duration = Duration::from_secs(30);
/// The longest that it may take.
const ACTION_MOST: Duration = Duration::from_secs(3600);

/// `agent.action`
pub(crate) async fn run(
    effect: Effect,
    params: wire::ActionParams,
) -> (Effect, Result<wire::ActionResult, RpcError>) {
    let result = ran(&effect, params).await;
    (effect, result)
}

async fn ran(effect: &Effect, params: wire::ActionParams) -> Result<wire::ActionResult, RpcError> {
    let limit = params.timeout_secs.map_or(ACTION_DEFAULT, Secs::duration);
    if limit > ACTION_MOST {
        return Err(ParamFault::at("timeout_secs", "at most 3600 seconds").into());
    }
    let descartes = effect.descartes();
    let id = effect.call.agent(&params.agent_id, Want::Any)?;
    // It may take long; what comes behind it need only not overtake its beginning.
    effect.call.cx.effect_placed();
    let given = params.params.map(|json| json.0);
    let ran = descartes.run_action(id, (&params.action, given), limit, effect.by()).await;
    let data = ran.map_err(|error| failed(&params.action, error))?;
    Ok(wire::ActionResult { data: Json(data) })
}

fn failed(action: &str, error: RunActionError) -> RpcError {
    let sentence = error.to_string();
    match error {
        RunActionError::Agent(error) | RunActionError::Action(ActionError::Agent(error)) => {
            error.into()
        }
        RunActionError::Unknown { name, available } => RpcError::new(ErrorKind::NotFound, sentence)
            .with("what", "action")
            .with("name", name)
            .with("available", available.iter().map(ToString::to_string).collect::<Vec<_>>())
            .hint("action.list names the actions"),
        RunActionError::Timeout => RpcError::new(ErrorKind::Timeout, sentence)
            .hint("the action was ended where it stood; give it more with timeout_secs"),
        RunActionError::Action(ActionError::Params(_)) => {
            RpcError::new(ErrorKind::InvalidParams, format!("params: {sentence}"))
                .with("path", "params")
        }
        _ => {
            RpcError::new(ErrorKind::Other, format!("{action}: {sentence}")).reason("action_failed")
        }
    }
}

/// `action.list`
pub(crate) async fn list(call: Call, _: NoParams) -> Result<wire::ActionList, RpcError> {
    let info = |action: descartes_core::action::ActionInfo| wire::ActionInfo {
        name: action.name.as_ref().to_owned(),
        description: action.about.as_ref().to_owned(),
    };
    Ok(wire::ActionList { actions: call.descartes().actions().into_iter().map(info).collect() })
}
