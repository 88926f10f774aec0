//! What Claude Code writes, as far as it is read.
//!
//! A member of another type than expected counts as absent: formats move, and a strange member must
//! not cost a line.

use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

/// One line.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Line<'a> {
    #[serde(rename = "type", deserialize_with = "loose")]
    pub(super) kind: Option<String>,
    #[serde(deserialize_with = "loose")]
    pub(super) subtype: Option<String>,
    #[serde(deserialize_with = "loose")]
    pub(super) uuid: Option<String>,
    #[serde(deserialize_with = "loose")]
    pub(super) session_id: Option<String>,
    /// The tool call whose sub-agent says it.
    #[serde(deserialize_with = "loose")]
    pub(super) parent_tool_use_id: Option<String>,
    #[serde(deserialize_with = "loose")]
    pub(super) request_id: Option<String>,
    /// What a `status` says, and which mode the program is in.
    #[serde(deserialize_with = "loose")]
    pub(super) status: Option<String>,
    #[serde(rename = "permissionMode", deserialize_with = "loose")]
    pub(super) permission_mode: Option<String>,
    /// Of an `api_retry`, and of an `assistant` line that is none of the model.
    #[serde(deserialize_with = "loose")]
    pub(super) error: Option<String>,
    #[serde(deserialize_with = "loose")]
    pub(super) error_status: Option<u16>,
    #[serde(borrow)]
    pub(super) event: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) message: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) request: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) response: Option<&'a RawValue>,
}

/// The members of a `result` line, which closes a turn.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Closing {
    #[serde(deserialize_with = "loose")]
    pub(super) subtype: Option<String>,
    #[serde(deserialize_with = "loose")]
    pub(super) is_error: Option<bool>,
    #[serde(deserialize_with = "loose")]
    pub(super) api_error_status: Option<u16>,
    #[serde(deserialize_with = "loose")]
    pub(super) result: Option<String>,
    #[serde(deserialize_with = "loose")]
    pub(super) terminal_reason: Option<String>,
    #[serde(deserialize_with = "loose")]
    pub(super) errors: Option<Vec<String>>,
    #[serde(deserialize_with = "loose")]
    pub(super) total_cost_usd: Option<f64>,
    #[serde(deserialize_with = "loose")]
    pub(super) usage: Option<Tokens>,
}

/// Tokens, of one call of the model or of a turn.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Tokens {
    #[serde(deserialize_with = "loose")]
    pub(super) input_tokens: Option<u64>,
    #[serde(deserialize_with = "loose")]
    pub(super) cache_creation_input_tokens: Option<u64>,
    #[serde(deserialize_with = "loose")]
    pub(super) cache_read_input_tokens: Option<u64>,
    #[serde(deserialize_with = "loose")]
    pub(super) output_tokens: Option<u64>,
}

/// The model's own event.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Event<'a> {
    #[serde(rename = "type", deserialize_with = "loose")]
    pub(super) kind: Option<String>,
    #[serde(deserialize_with = "loose")]
    pub(super) index: Option<u64>,
    #[serde(borrow)]
    pub(super) message: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) content_block: Option<&'a RawValue>,
    #[serde(deserialize_with = "loose")]
    pub(super) delta: Option<Delta>,
    #[serde(deserialize_with = "loose")]
    pub(super) usage: Option<Tokens>,
}

/// A piece of a block, or what is known at the end of a message.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Delta {
    #[serde(rename = "type", deserialize_with = "loose")]
    pub(super) kind: Option<String>,
    #[serde(deserialize_with = "loose")]
    pub(super) text: Option<String>,
    #[serde(deserialize_with = "loose")]
    pub(super) thinking: Option<String>,
    #[serde(deserialize_with = "loose")]
    pub(super) partial_json: Option<String>,
    #[serde(deserialize_with = "loose")]
    pub(super) stop_reason: Option<String>,
}

/// A message of the model or to it.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Message<'a> {
    #[serde(deserialize_with = "loose")]
    pub(super) id: Option<String>,
    #[serde(deserialize_with = "loose")]
    pub(super) model: Option<String>,
    #[serde(deserialize_with = "loose")]
    pub(super) stop_reason: Option<String>,
    #[serde(deserialize_with = "loose")]
    pub(super) usage: Option<Tokens>,
    #[serde(borrow)]
    pub(super) content: Option<&'a RawValue>,
}

impl Message<'_> {
    /// Its blocks; none when its content is a mere text.
    pub(super) fn blocks(&self) -> Vec<Block<'_>> {
        read::<Vec<&RawValue>>(self.content)
            .unwrap_or_default()
            .into_iter()
            .filter_map(|block| read(Some(block)))
            .collect()
    }
}

/// A block of a message.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Block<'a> {
    #[serde(rename = "type", deserialize_with = "loose")]
    pub(super) kind: Option<String>,
    #[serde(deserialize_with = "loose")]
    pub(super) text: Option<String>,
    #[serde(deserialize_with = "loose")]
    pub(super) thinking: Option<String>,
    #[serde(deserialize_with = "loose")]
    pub(super) id: Option<String>,
    #[serde(deserialize_with = "loose")]
    pub(super) name: Option<String>,
    #[serde(borrow)]
    pub(super) input: Option<&'a RawValue>,
    #[serde(deserialize_with = "loose")]
    pub(super) tool_use_id: Option<String>,
    #[serde(deserialize_with = "loose")]
    pub(super) is_error: Option<bool>,
    #[serde(borrow)]
    pub(super) content: Option<&'a RawValue>,
}

impl Block<'_> {
    /// What a tool gave, as text; parts that are none are named.
    pub(super) fn result(&self) -> String {
        if let Some(text) = read::<String>(self.content) {
            return text;
        }
        let parts = read::<Vec<&RawValue>>(self.content).unwrap_or_default();
        let parts = parts.into_iter().filter_map(|part| read::<Block<'_>>(Some(part)));
        let texts = parts.map(|part| match (part.text, part.kind) {
            (Some(text), _) => text,
            (None, kind) => format!("[{}]", kind.as_deref().unwrap_or("unknown")),
        });
        texts.collect::<Vec<_>>().join("\n")
    }
}

/// A request of the program.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Request<'a> {
    #[serde(deserialize_with = "loose")]
    pub(super) subtype: Option<String>,
    #[serde(deserialize_with = "loose")]
    pub(super) tool_name: Option<String>,
    #[serde(deserialize_with = "loose")]
    pub(super) description: Option<String>,
    #[serde(deserialize_with = "loose")]
    pub(super) tool_use_id: Option<String>,
    #[serde(deserialize_with = "loose")]
    pub(super) permission_suggestions: Option<Vec<Suggestion>>,
    #[serde(borrow)]
    pub(super) input: Option<&'a RawValue>,
}

/// What the program would remember of an allow.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Suggestion {
    #[serde(rename = "type", deserialize_with = "loose")]
    pub(super) kind: Option<String>,
    #[serde(deserialize_with = "loose")]
    pub(super) behavior: Option<String>,
    #[serde(deserialize_with = "loose")]
    pub(super) rules: Option<Vec<Rule>>,
}

/// A rule in the program's words: `Bash(npm test)`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Rule {
    #[serde(rename = "toolName", deserialize_with = "loose")]
    pub(super) tool_name: Option<String>,
    #[serde(rename = "ruleContent", deserialize_with = "loose")]
    pub(super) rule_content: Option<String>,
}

/// An answer to a request of ours.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Answer {
    #[serde(deserialize_with = "loose")]
    pub(super) subtype: Option<String>,
    #[serde(deserialize_with = "loose")]
    pub(super) request_id: Option<String>,
    #[serde(deserialize_with = "loose")]
    pub(super) error: Option<String>,
}

/// `raw` as a `T`, unless it is none.
pub(super) fn read<'a, T: Deserialize<'a>>(raw: Option<&'a RawValue>) -> Option<T> {
    raw.and_then(|raw| serde_json::from_str(raw.get()).ok())
}

fn loose<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    Ok(read(Some(<&RawValue>::deserialize(deserializer)?)))
}
