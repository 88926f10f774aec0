//! What a reader of the journal may see: each topic by the scope of its kind, within its reach.

use descartes_core::{
    Descartes,
    agent::Reach,
    event::Topic,
    journal::{Seen, Sight},
};

use super::{Principal, Scope, authorize};

/// The scope that reading `topic` needs, a topic or the beginning of one.
pub(crate) fn scope_of(topic: &str) -> Scope {
    match topic.split('/').next().unwrap_or_default() {
        "agent" => Scope::AgentRead,
        "chat" | "approval" => Scope::ChatRead,
        "task" => Scope::TaskRead,
        "workflow" => Scope::WorkflowRead,
        "system" => Scope::Authenticated,
        "audit" => Scope::Audit,
        _ => Scope::Admin,
    }
}

/// How far a reader sees into topics of each kind.
#[derive(Debug)]
pub(crate) struct Eyes {
    agents: Option<Reach>,
    chats: Option<Reach>,
    tasks: Option<Reach>,
    workflows: Option<Reach>,
    audit: Option<Reach>,
    others: Option<Reach>,
}

impl Eyes {
    /// The eyes of `principal`.
    pub(crate) fn of(principal: &Principal) -> Self {
        let reach = |scope| authorize(Some(principal), scope).ok();
        Self {
            agents: reach(Scope::AgentRead),
            chats: reach(Scope::ChatRead),
            tasks: reach(Scope::TaskRead),
            workflows: reach(Scope::WorkflowRead),
            audit: reach(Scope::Audit),
            others: reach(Scope::Admin),
        }
    }

    fn reach(&self, scope: Scope) -> Option<&Reach> {
        const EVERYTHING: &Reach = &Reach::all();
        match scope {
            Scope::Authenticated => Some(EVERYTHING),
            Scope::AgentRead => self.agents.as_ref(),
            Scope::ChatRead => self.chats.as_ref(),
            Scope::TaskRead => self.tasks.as_ref(),
            Scope::WorkflowRead => self.workflows.as_ref(),
            Scope::Audit => self.audit.as_ref(),
            _ => self.others.as_ref(),
        }
    }

    /// Whether they see everything.
    fn see_all(&self) -> bool {
        let all =
            [&self.agents, &self.chats, &self.tasks, &self.workflows, &self.audit, &self.others];
        all.into_iter().all(|reach| reach.as_ref().is_some_and(Reach::is_all))
    }

    /// What a subscription shows to them; none when that is everything.
    pub(crate) fn sight(self, descartes: &Descartes) -> Option<Sight> {
        if self.see_all() {
            return None;
        }
        let descartes = descartes.clone();
        Some(Sight::new(move |seen| self.sees(&descartes, seen)))
    }

    fn sees(&self, descartes: &Descartes, seen: Seen<'_>) -> bool {
        let within = |topic: &Topic| self.reach(scope_of(topic.as_str()));
        match seen {
            Seen::Event(event) => {
                within(&event.topic).is_some_and(|reach| descartes.reaches_event(event, reach))
            }
            Seen::Gap(topic) => {
                within(topic).is_some_and(|reach| descartes.reaches_topic(topic, reach))
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_topic_needs_the_right_of_its_kind() {
        let cases = [
            ("agent/x/output", Scope::AgentRead),
            ("agent/", Scope::AgentRead),
            ("chat/x", Scope::ChatRead),
            ("approval/", Scope::ChatRead),
            ("task/x", Scope::TaskRead),
            ("workflow/x", Scope::WorkflowRead),
            ("system", Scope::Authenticated),
            ("audit", Scope::Audit),
            ("agents/", Scope::Admin),
            ("app/x", Scope::Admin),
            ("", Scope::Admin),
        ];
        for (topic, scope) in cases {
            assert_eq!(scope_of(topic), scope, "{topic}");
        }
    }
}
