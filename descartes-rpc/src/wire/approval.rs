//! Approvals: what agents ask before they do something.

use super::state::Json;
use super::{params, shape, words};

words! {
    /// What became of an approval.
    pub enum ApprovalStatus {
        /// It waits for a decision.
        Pending = "pending",
        /// It was allowed.
        Allowed = "allowed",
        /// It was denied.
        Denied = "denied",
        /// Nobody decided in time: the default was taken.
        Expired = "expired",
        /// Nobody waits for the decision any more.
        Cancelled = "cancelled",
    }
}

words! {
    /// What is decided.
    pub enum DecisionWord {
        /// It may, this once.
        AllowOnce = "allow_once",
        /// It may, and its like until the session ends.
        AllowSession = "allow_session",
        /// It may not, and the turn goes on.
        Deny = "deny",
        /// It may not, and the turn ends.
        Cancel = "cancel",
    }
}

shape! {
    /// Something that an agent asked, and what became of it.
    pub struct Approval {
        /// Its identifier.
        approval_id: String,
        /// `permission` or `question`.
        kind: String,
        /// The agent that asks.
        agent_id: String,
        /// The chat it asks in.
        session_id?: String,
        /// The turn it asks in.
        turn: u32,
        /// The tool that it would use.
        tool: String,
        /// One line for people.
        title: String,
        /// The arguments, exactly as they would be used.
        arguments: Json,
        /// Where it would be done.
        cwd?: String,
        /// What it is about, as a number that another question has not.
        digest: String,
        /// What can be answered.
        options: Vec<ApprovalOption>,
        /// What an allow for the whole session would cover.
        rule?: String,
        /// When it was asked.
        requested_at: String,
        /// When it is decided by default.
        deadline: String,
        /// What is decided then: `allow` or `deny`.
        default: String,
        /// What became of it.
        status: ApprovalStatus,
        /// Who decided.
        decided_by?: String,
        /// Why, or what was said besides.
        reason?: String,
    }
}

shape! {
    /// One of the answers that can be given.
    pub struct ApprovalOption {
        /// Its name.
        id: String,
        /// What people are shown.
        label: String,
        /// What it means: `allow_once`, `allow_session`, `deny` or `answer`.
        effect: String,
    }
}

params! {
    /// Parameters of `approval.list`.
    #[derive(Default)]
    pub struct ApprovalListParams {
        /// In this status.
        status?: String,
        /// Of this agent.
        agent_id?: String,
        /// Of this chat.
        session_id?: String,
    }
}

shape! {
    /// Approvals, oldest first.
    pub struct ApprovalList {
        /// The approvals.
        approvals: Vec<Approval>,
        /// How many.
        count: u64,
        /// The position of the journal that this reflects.
        cursor: String,
    }
}

params! {
    /// Parameters of `approval.get`.
    pub struct ApprovalParams {
        /// The approval.
        approval_id: String,
    }
}

params! {
    /// Parameters of `approval.decide`.
    mutating pub struct DecideParams {
        /// The approval.
        approval_id: String,
        /// What is decided; `option_id` or `answer` may stand for it.
        decision?: String,
        /// One of the options that are offered.
        option_id?: String,
        /// The answer to a question.
        answer?: String,
        /// What the agent is told besides.
        message?: String,
        /// Decide only if it is about this.
        expected_digest?: String,
    }
}
