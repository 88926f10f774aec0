//! Uses of tools: what the program's items are called, given and gave.

use std::path::{Component, Path};

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::wire::{Change, ToolItem};
use crate::dialect::ToolEffect;
use crate::json::Json;

/// What an item is to us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ItemKind {
    /// A piece of the answer.
    Message,
    /// What the model thinks.
    Reasoning,
    /// The use of a tool.
    Tool,
    /// Nothing that is shown: what was asked, what the program says of itself, mere warnings.
    Silent,
}

/// What items of the type `name` are; none when that is not known.
pub(super) fn kind(name: &str) -> Option<ItemKind> {
    Some(match name {
        "agentMessage" | "plan" => ItemKind::Message,
        "reasoning" => ItemKind::Reasoning,
        "commandExecution"
        | "fileChange"
        | "mcpToolCall"
        | "dynamicToolCall"
        | "collabAgentToolCall"
        | "webSearch"
        | "imageView"
        | "imageGeneration"
        | "sleep" => ItemKind::Tool,
        "userMessage" | "hookPrompt" | "functionCallOutput" | "subAgentActivity"
        | "enteredReviewMode" | "exitedReviewMode" | "contextCompaction" | "error" => {
            ItemKind::Silent
        }
        _ => return None,
    })
}

/// What the tool is called.
pub(super) fn tool_name(kind: &str, item: &ToolItem<'_>) -> String {
    match (kind, item.server.as_deref(), item.tool.as_deref()) {
        ("mcpToolCall", Some(server), Some(tool)) => format!("{server}/{tool}"),
        ("mcpToolCall" | "dynamicToolCall" | "collabAgentToolCall", _, Some(tool)) => tool.into(),
        _ => kind.into(),
    }
}

/// Whether the arguments are known when the use begins.
pub(super) fn begins_with_input(kind: &str) -> bool {
    kind != "webSearch"
}

/// What the tool is given.
pub(super) fn tool_input(kind: &str, item: &ToolItem<'_>) -> Json {
    #[derive(Serialize)]
    struct Members<'a> {
        #[serde(skip_serializing_if = "Option::is_none")]
        command: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        cwd: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        query: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        path: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        prompt: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        changes: Option<&'a RawValue>,
    }
    if let ("mcpToolCall" | "dynamicToolCall", Some(arguments)) = (kind, item.arguments) {
        return Json::from(arguments);
    }
    json(&Members {
        command: item.command.as_deref(),
        cwd: item.cwd.as_deref(),
        query: item.query.as_deref(),
        path: item.path.as_deref(),
        prompt: item.prompt.as_deref(),
        changes: item.changes,
    })
}

/// What the tool gave, and whether it failed.
pub(super) fn tool_result(kind: &str, item: &ToolItem<'_>) -> (String, bool) {
    let status = item.status.as_deref().unwrap_or_default();
    let failed = matches!(status, "failed" | "declined" | "interrupted")
        || item.success == Some(false)
        || item.error.is_some();
    let text = match kind {
        "commandExecution" if status == "declined" => status.into(),
        "commandExecution" => item.aggregated_output.clone().unwrap_or_default(),
        "fileChange" => status.into(),
        "webSearch" => item.results.map(texts).unwrap_or_default(),
        "collabAgentToolCall" => item.agents_states.map(texts).unwrap_or_default(),
        _ => {
            let given = item.error.or(item.result).or(item.content_items);
            given.map(texts).unwrap_or_default()
        }
    };
    (text, failed)
}

/// The texts of `[{"text":…}]`, `{"content":[…]}` or `{"message":…}`; anything else as it is.
fn texts(raw: &RawValue) -> String {
    #[derive(Deserialize)]
    struct Part {
        text: String,
    }
    #[derive(Deserialize)]
    struct Content {
        content: Vec<Part>,
    }
    #[derive(Deserialize)]
    struct Message {
        message: String,
    }
    let joined =
        |parts: Vec<Part>| parts.into_iter().map(|part| part.text).collect::<Vec<_>>().join("\n");
    let text = raw.get();
    serde_json::from_str::<Vec<Part>>(text)
        .map(joined)
        .or_else(|_| serde_json::from_str::<Content>(text).map(|inside| joined(inside.content)))
        .or_else(|_| serde_json::from_str::<Message>(text).map(|inside| inside.message))
        .unwrap_or_else(|_| text.to_owned())
}

/// The files of `changes`, those that they are moved to included; none when that is not known.
pub(super) fn changed(changes: &Json) -> Option<Vec<String>> {
    let changes: Vec<Change> = serde_json::from_str(changes.as_str()).ok()?;
    let mut paths = Vec::with_capacity(changes.len());
    for change in changes {
        paths.push(change.path?);
        paths.extend(change.kind.and_then(|kind| kind.move_path));
    }
    Some(paths)
}

/// What changing `paths` does: an edit only where all of them are in `cwd`.
pub(super) fn effect_of_change(paths: &[String], cwd: Option<&Path>) -> ToolEffect {
    let inside = |path: &String| {
        let path = Path::new(path);
        let climbs = path.components().any(|part| part == Component::ParentDir);
        !climbs && (path.is_relative() || cwd.is_some_and(|cwd| path.starts_with(cwd)))
    };
    let edits = !paths.is_empty() && paths.iter().all(inside);
    if edits { ToolEffect::Edit } else { ToolEffect::Other }
}

/// `value` as it is carried.
pub(super) fn json(value: &impl Serialize) -> Json {
    let text = serde_json::to_string(value).expect("it is made of texts and of JSON that came in");
    Json::from_text(&text).expect("it was written just now")
}
