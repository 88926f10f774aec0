//! What the program says: the members that are read; everything else is passed over.
//!
//! Every member may be missing or null: what then cannot be understood is shown raw.

use serde::Deserialize;
use serde_json::value::RawValue;

/// One line: a notification (method), a request (method and id) or an answer (id).
#[derive(Deserialize)]
pub(super) struct Line<'a> {
    #[serde(borrow)]
    pub(super) id: Option<&'a RawValue>,
    pub(super) method: Option<String>,
    #[serde(borrow)]
    pub(super) params: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) result: Option<&'a RawValue>,
    pub(super) error: Option<RpcFault>,
}

/// Why a request of ours was refused.
#[derive(Deserialize)]
pub(super) struct RpcFault {
    pub(super) message: Option<String>,
}

/// What answers `thread/start` and `thread/resume`.
#[derive(Deserialize)]
pub(super) struct Joined {
    pub(super) thread: Option<Named>,
}

/// What answers `turn/start`.
#[derive(Deserialize)]
pub(super) struct Accepted {
    pub(super) turn: Option<Named>,
}

/// Something with an id, of which nothing else is read.
#[derive(Deserialize)]
pub(super) struct Named {
    pub(super) id: Option<String>,
}

/// The next piece of an item.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Delta {
    pub(super) thread_id: Option<String>,
    pub(super) turn_id: Option<String>,
    pub(super) item_id: Option<String>,
    pub(super) delta: Option<String>,
    /// Which part of a summary.
    pub(super) summary_index: Option<u32>,
    /// Which part of raw thoughts.
    pub(super) content_index: Option<u32>,
}

/// An item began or is complete.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ItemNews<'a> {
    pub(super) thread_id: Option<String>,
    pub(super) turn_id: Option<String>,
    #[serde(borrow)]
    pub(super) item: Option<&'a RawValue>,
}

/// Which item it is.
#[derive(Deserialize)]
pub(super) struct ItemHead {
    #[serde(rename = "type")]
    pub(super) kind: Option<String>,
    pub(super) id: Option<String>,
}

/// The text of a message or of a plan.
#[derive(Deserialize)]
pub(super) struct MessageItem {
    pub(super) text: Option<String>,
}

/// What the model thought.
#[derive(Deserialize)]
pub(super) struct ReasoningItem {
    pub(super) summary: Option<Vec<String>>,
    pub(super) content: Option<Vec<String>>,
}

/// Any use of a tool: its members are those of all kinds.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ToolItem<'a> {
    pub(super) status: Option<String>,
    pub(super) command: Option<String>,
    pub(super) cwd: Option<String>,
    pub(super) aggregated_output: Option<String>,
    #[serde(borrow)]
    pub(super) changes: Option<&'a RawValue>,
    pub(super) server: Option<String>,
    pub(super) tool: Option<String>,
    #[serde(borrow)]
    pub(super) arguments: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) result: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) content_items: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) error: Option<&'a RawValue>,
    pub(super) success: Option<bool>,
    pub(super) query: Option<String>,
    #[serde(borrow)]
    pub(super) results: Option<&'a RawValue>,
    pub(super) path: Option<String>,
    pub(super) prompt: Option<String>,
    pub(super) receiver_thread_ids: Option<Vec<String>>,
    #[serde(borrow)]
    pub(super) agents_states: Option<&'a RawValue>,
}

/// One file of a `fileChange`.
#[derive(Deserialize)]
pub(super) struct Change {
    pub(super) path: Option<String>,
    pub(super) kind: Option<ChangeKind>,
}

/// What becomes of it.
#[derive(Deserialize)]
pub(super) struct ChangeKind {
    pub(super) move_path: Option<String>,
}

/// A turn began or ended.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct TurnNews<'a> {
    pub(super) thread_id: Option<String>,
    #[serde(borrow)]
    pub(super) turn: Option<TurnState<'a>>,
}

/// How it stands.
#[derive(Deserialize)]
pub(super) struct TurnState<'a> {
    pub(super) id: Option<String>,
    pub(super) status: Option<String>,
    #[serde(borrow)]
    pub(super) error: Option<Fault<'a>>,
    #[serde(borrow)]
    pub(super) items: Option<Vec<&'a RawValue>>,
}

/// What went wrong.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Fault<'a> {
    pub(super) message: Option<String>,
    pub(super) additional_details: Option<String>,
    #[serde(borrow)]
    pub(super) codex_error_info: Option<&'a RawValue>,
}

/// An attempt of the model failed, or all of them.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct FaultNews<'a> {
    pub(super) thread_id: Option<String>,
    pub(super) turn_id: Option<String>,
    #[serde(borrow)]
    pub(super) error: Option<Fault<'a>>,
    pub(super) will_retry: Option<bool>,
}

/// What a thread used so far.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct UsageNews {
    pub(super) thread_id: Option<String>,
    pub(super) turn_id: Option<String>,
    pub(super) token_usage: Option<TokenUsage>,
}

/// In all, and with the last call of the model.
#[derive(Deserialize)]
pub(super) struct TokenUsage {
    pub(super) total: Option<Tokens>,
    pub(super) last: Option<Tokens>,
}

/// Tokens of a thread.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Tokens {
    pub(super) input_tokens: Option<u64>,
    pub(super) cached_input_tokens: Option<u64>,
    pub(super) output_tokens: Option<u64>,
}

impl Tokens {
    /// What a thread has used that has just begun.
    pub(super) fn nothing() -> Self {
        Self { input_tokens: Some(0), cached_input_tokens: Some(0), output_tokens: Some(0) }
    }
}

/// A request of the program needs no answer any more.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Resolved<'a> {
    #[serde(borrow)]
    pub(super) request_id: Option<&'a RawValue>,
}

/// What a thread is busy with.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct StatusNews {
    pub(super) thread_id: Option<String>,
    pub(super) status: Option<ThreadStatus>,
}

/// Idle, active, or something else.
#[derive(Deserialize)]
pub(super) struct ThreadStatus {
    #[serde(rename = "type")]
    pub(super) kind: Option<String>,
}

/// The program asks for a permission or an answer: the members of all its questions.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Question<'a> {
    pub(super) thread_id: Option<String>,
    pub(super) item_id: Option<String>,
    pub(super) kind: Option<String>,
    pub(super) command: Option<String>,
    pub(super) cwd: Option<String>,
    pub(super) reason: Option<String>,
    #[serde(borrow)]
    pub(super) network_approval_context: Option<&'a RawValue>,
    pub(super) grant_root: Option<String>,
    #[serde(borrow)]
    pub(super) permissions: Option<&'a RawValue>,
    pub(super) server_name: Option<String>,
    pub(super) message: Option<String>,
    pub(super) mode: Option<String>,
    #[serde(borrow)]
    pub(super) requested_schema: Option<&'a RawValue>,
    #[serde(borrow, rename = "_meta")]
    pub(super) meta: Option<&'a RawValue>,
    pub(super) questions: Option<Vec<Inquiry>>,
}

/// One question to a person.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Inquiry {
    pub(super) id: Option<String>,
    pub(super) question: Option<String>,
    pub(super) options: Option<Vec<Choice>>,
}

/// One of the answers that it offers.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Choice {
    pub(super) label: Option<String>,
}

/// The fields that a form of an MCP server asks for.
#[derive(Default, Deserialize)]
pub(super) struct Form {
    pub(super) required: Option<Vec<String>>,
}
