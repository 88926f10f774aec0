//! Which agents a call means.

use descartes_core::agent::{AgentFilter, AgentStatus, StatusFilter as Core, Want};

use crate::error::RpcError;
use crate::router::Call;
use crate::wire::agent::{Selection, StatusFilter as Wire};

/// The filter of core that means the same, among what the caller reaches; live agents when no
/// status was given.
pub(crate) fn selection(call: &Call, select: Selection) -> Result<AgentFilter, RpcError> {
    let parent = select.parent_agent_id.map(|asked| call.agent(&asked, Want::Any));
    let mut filter = AgentFilter::default();
    filter.status = statuses(select.status.as_ref().map(|status| &*status.0));
    filter.labels = select.labels.unwrap_or_default();
    filter.backend = select.agent_type;
    filter.parent = parent.transpose()?;
    filter.within = call.reach.clone();
    Ok(filter)
}

fn statuses(words: Option<&[Wire]>) -> Core {
    match words {
        None | Some([] | [Wire::Live]) => Core::Live,
        Some([Wire::Stopped]) => Core::Stopped,
        Some([Wire::Any]) => Core::Any,
        Some(words) => {
            let all = AgentStatus::ALL.into_iter();
            Core::These(
                all.filter(|status| words.iter().any(|word| covers(*word, *status))).collect(),
            )
        }
    }
}

fn covers(word: Wire, status: AgentStatus) -> bool {
    match word {
        Wire::Live => !status.is_terminal(),
        Wire::Stopped => status.is_terminal(),
        Wire::Any => true,
        Wire::Starting => status == AgentStatus::Starting,
        Wire::Running => status == AgentStatus::Running,
        Wire::Paused => status == AgentStatus::Paused,
        Wire::Stopping => status == AgentStatus::Stopping,
        Wire::Restarting => status == AgentStatus::Restarting,
        Wire::Completed => status == AgentStatus::Completed,
        Wire::Failed => status == AgentStatus::Failed,
        Wire::Killed => status == AgentStatus::Killed,
        Wire::Lost => status == AgentStatus::Lost,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_and_words_may_be_mixed() {
        assert_eq!(statuses(None), Core::Live);
        assert_eq!(statuses(Some(&[Wire::Any])), Core::Any);
        let mixed = statuses(Some(&[Wire::Running, Wire::Stopped]));
        let these = vec![
            AgentStatus::Running,
            AgentStatus::Completed,
            AgentStatus::Failed,
            AgentStatus::Killed,
            AgentStatus::Lost,
        ];
        assert_eq!(mixed, Core::These(these));
    }
}
