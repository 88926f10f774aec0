//! The messages of the agent, as far as they are read. What is missing or of another type than
//! expected is absent; only the skeleton of a message must be right.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

/// Any message.
#[derive(Debug, Deserialize)]
pub(super) struct Message<'a> {
    #[serde(borrow, default)]
    pub(super) id: Option<&'a RawValue>,
    #[serde(default)]
    pub(super) method: Option<String>,
    #[serde(borrow, default)]
    pub(super) params: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub(super) result: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub(super) error: Option<&'a RawValue>,
}

/// A value of type `T`, or nothing when it is anything else.
fn lenient<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: DeserializeOwned,
{
    let raw = <&RawValue>::deserialize(deserializer)?;
    Ok(serde_json::from_str(raw.get()).ok())
}

/// The elements of an array that are of type `T`.
fn elements<'de, D, T>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: DeserializeOwned,
{
    let raw = <&RawValue>::deserialize(deserializer)?;
    let all: Vec<&RawValue> = serde_json::from_str(raw.get()).unwrap_or_default();
    Ok(all.into_iter().filter_map(|one| serde_json::from_str(one.get()).ok()).collect())
}

/// `T` from the text of a value; its default when that is nothing like it.
pub(super) fn read<'a, T: Deserialize<'a> + Default>(raw: Option<&'a RawValue>) -> T {
    raw.and_then(|raw| serde_json::from_str(raw.get()).ok()).unwrap_or_default()
}

/// The answer to `initialize`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Initialized {
    #[serde(deserialize_with = "lenient")]
    pub(super) protocol_version: Option<u64>,
    #[serde(deserialize_with = "lenient")]
    pub(super) agent_capabilities: Option<AgentCapabilities>,
    #[serde(deserialize_with = "lenient")]
    pub(super) agent_info: Option<AgentInfo>,
    #[serde(deserialize_with = "elements")]
    pub(super) auth_methods: Vec<AuthMethod>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct AgentInfo {
    #[serde(deserialize_with = "lenient")]
    pub(super) name: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct AgentCapabilities {
    #[serde(deserialize_with = "lenient")]
    pub(super) load_session: Option<bool>,
    #[serde(deserialize_with = "lenient")]
    pub(super) prompt_capabilities: Option<PromptCapabilities>,
    #[serde(deserialize_with = "lenient")]
    pub(super) session_capabilities: Option<SessionCapabilities>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct PromptCapabilities {
    #[serde(deserialize_with = "lenient")]
    pub(super) image: Option<bool>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct SessionCapabilities {
    /// An object where it is offered.
    resume: Option<Box<RawValue>>,
}

impl SessionCapabilities {
    pub(super) fn offers_resume(&self) -> bool {
        self.resume.as_ref().is_some_and(|offer| offer.get().starts_with('{'))
    }
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct AuthMethod {
    pub(super) id: String,
    #[serde(deserialize_with = "lenient")]
    pub(super) name: Option<String>,
    #[serde(deserialize_with = "lenient")]
    pub(super) description: Option<String>,
    #[serde(rename = "type", deserialize_with = "lenient")]
    pub(super) kind: Option<String>,
}

/// The answer to `session/new`, `session/load` and `session/resume`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Session {
    #[serde(deserialize_with = "lenient")]
    pub(super) session_id: Option<String>,
    #[serde(deserialize_with = "lenient")]
    pub(super) modes: Option<Modes>,
    #[serde(deserialize_with = "lenient")]
    pub(super) models: Option<Models>,
    #[serde(deserialize_with = "elements")]
    pub(super) config_options: Vec<ConfigOption>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Modes {
    #[serde(deserialize_with = "lenient")]
    pub(super) current_mode_id: Option<String>,
    #[serde(deserialize_with = "elements")]
    pub(super) available_modes: Vec<Mode>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Mode {
    pub(super) id: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Models {
    #[serde(deserialize_with = "lenient")]
    pub(super) current_model_id: Option<String>,
}

/// Something of a session that can be chosen.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ConfigOption {
    pub(super) id: String,
    #[serde(default, deserialize_with = "lenient")]
    pub(super) category: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    pub(super) current_value: Option<String>,
    #[serde(default, deserialize_with = "elements")]
    pub(super) options: Vec<ConfigValue>,
}

/// A value, or a group of them.
#[derive(Debug, Deserialize)]
pub(super) struct ConfigValue {
    #[serde(default, deserialize_with = "lenient")]
    pub(super) value: Option<String>,
    #[serde(default, deserialize_with = "elements")]
    pub(super) options: Vec<ConfigValue>,
}

/// The parameters of `session/update`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Updated<'a> {
    #[serde(default, deserialize_with = "lenient")]
    pub(super) session_id: Option<String>,
    #[serde(borrow)]
    pub(super) update: &'a RawValue,
}

/// A `session/update`, or a tool call in a question.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Update<'a> {
    #[serde(deserialize_with = "lenient")]
    pub(super) session_update: Option<String>,
    #[serde(borrow)]
    pub(super) content: Option<&'a RawValue>,
    #[serde(deserialize_with = "lenient")]
    pub(super) message_id: Option<String>,
    #[serde(deserialize_with = "lenient")]
    pub(super) tool_call_id: Option<String>,
    #[serde(deserialize_with = "lenient")]
    pub(super) title: Option<String>,
    #[serde(deserialize_with = "lenient")]
    pub(super) kind: Option<String>,
    #[serde(deserialize_with = "lenient")]
    pub(super) status: Option<String>,
    #[serde(borrow)]
    pub(super) raw_input: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) raw_output: Option<&'a RawValue>,
    #[serde(deserialize_with = "elements")]
    pub(super) locations: Vec<Location>,
    #[serde(deserialize_with = "lenient")]
    pub(super) cost: Option<Cost>,
    #[serde(rename = "_meta", deserialize_with = "lenient")]
    pub(super) meta: Option<Meta>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Location {
    pub(super) path: String,
}

#[derive(Debug, Deserialize)]
pub(super) struct Cost {
    pub(super) amount: f64,
    #[serde(default, deserialize_with = "lenient")]
    pub(super) currency: Option<String>,
}

/// What one agent adds to tool calls: claude-agent-acp names the tool and the call it is under.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Meta {
    #[serde(deserialize_with = "lenient")]
    pub(super) claude_code: Option<ToolMeta>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct ToolMeta {
    #[serde(deserialize_with = "lenient")]
    pub(super) tool_name: Option<String>,
    #[serde(deserialize_with = "lenient")]
    pub(super) parent_tool_use_id: Option<String>,
}

/// A block of content, or an item of a tool call's content.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Content {
    #[serde(deserialize_with = "lenient")]
    pub(super) text: Option<String>,
    /// A block inside an item.
    #[serde(deserialize_with = "lenient")]
    pub(super) content: Option<Box<Content>>,
    /// The file that an item changes.
    #[serde(deserialize_with = "lenient")]
    pub(super) path: Option<String>,
    #[serde(deserialize_with = "lenient")]
    pub(super) uri: Option<String>,
}

/// The items of a tool call's content.
pub(super) fn contents(raw: &RawValue) -> Vec<Content> {
    let all: Vec<&RawValue> = serde_json::from_str(raw.get()).unwrap_or_default();
    all.into_iter().filter_map(|one| serde_json::from_str(one.get()).ok()).collect()
}

/// The parameters of `session/request_permission`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Permission<'a> {
    #[serde(default, deserialize_with = "lenient")]
    pub(super) session_id: Option<String>,
    #[serde(borrow)]
    pub(super) tool_call: &'a RawValue,
    #[serde(default, deserialize_with = "elements")]
    pub(super) options: Vec<PermissionOption>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PermissionOption {
    pub(super) option_id: String,
    #[serde(default, deserialize_with = "lenient")]
    pub(super) name: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    pub(super) kind: Option<String>,
}

/// The parameters of a notification that withdraws a request.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Withdrawn<'a> {
    #[serde(borrow)]
    pub(super) request_id: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) id: Option<&'a RawValue>,
}

/// The answer to `session/prompt`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Prompted {
    #[serde(deserialize_with = "lenient")]
    pub(super) stop_reason: Option<String>,
    #[serde(deserialize_with = "lenient")]
    pub(super) usage: Option<Tokens>,
    #[serde(rename = "_meta", deserialize_with = "lenient")]
    pub(super) meta: Option<PromptedMeta>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Tokens {
    #[serde(deserialize_with = "lenient")]
    pub(super) input_tokens: Option<u64>,
    #[serde(deserialize_with = "lenient")]
    pub(super) output_tokens: Option<u64>,
    #[serde(deserialize_with = "lenient")]
    pub(super) cached_read_tokens: Option<u64>,
    #[serde(deserialize_with = "lenient")]
    pub(super) cached_write_tokens: Option<u64>,
    #[serde(deserialize_with = "lenient")]
    pub(super) thought_tokens: Option<u64>,
    #[serde(deserialize_with = "lenient")]
    pub(super) total_tokens: Option<u64>,
}

/// Where Gemini says what was used.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct PromptedMeta {
    #[serde(deserialize_with = "lenient")]
    pub(super) quota: Option<Quota>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Quota {
    #[serde(deserialize_with = "lenient")]
    pub(super) token_count: Option<TokenCount>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct TokenCount {
    #[serde(deserialize_with = "lenient")]
    pub(super) input_tokens: Option<u64>,
    #[serde(deserialize_with = "lenient")]
    pub(super) output_tokens: Option<u64>,
}

/// The `error` of an answer.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Failure {
    #[serde(deserialize_with = "lenient")]
    pub(super) code: Option<i64>,
    #[serde(deserialize_with = "lenient")]
    pub(super) message: Option<String>,
    #[serde(deserialize_with = "lenient")]
    pub(super) data: Option<FailureData>,
}

/// What agents add to an error: claude-agent-acp a kind, others the details.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct FailureData {
    #[serde(deserialize_with = "lenient")]
    pub(super) error_kind: Option<String>,
    #[serde(deserialize_with = "lenient")]
    pub(super) details: Option<String>,
    #[serde(deserialize_with = "lenient")]
    pub(super) message: Option<String>,
}
