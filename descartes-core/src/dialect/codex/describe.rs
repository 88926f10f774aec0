//! What the program asks, as people and rules see it.

use std::path::Path;

use serde::Serialize;
use serde_json::value::RawValue;

use super::ask::{ACCEPT, DECLINE};
use super::item;
use super::wire::{Inquiry, Question};
use crate::dialect::{AskKind, AskOption, AskRequest, OptionEffect, ToolEffect};
use crate::json::Json;
use crate::limits;

/// May it, where it works in `cwd` and the item that it asks about would make `changes`?
///
/// The rule is the whole of what was asked: the prefixes that the program proposes cover more than
/// a person would see (`sleep 30` for `sleep 30; rm -r .`).
pub(super) fn permission(
    method: &str,
    question: &Question<'_>,
    cwd: Option<&Path>,
    changes: Option<&Json>,
) -> AskRequest {
    let mut ask = match method {
        "item/commandExecution/requestApproval" => command(question),
        "item/fileChange/requestApproval" => file_change(question, cwd, changes),
        "item/permissions/requestApproval" => {
            let asked = question.permissions.map_or_else(|| item::json(&()), Json::from);
            request("permissions", ToolEffect::Other, "more permissions", asked)
        }
        _ => elicitation(question),
    };
    if let Some(reason) = question.reason.as_deref().filter(|reason| !reason.is_empty()) {
        ask.title = one_line(&format!("{} ({reason})", ask.title)).into();
    }
    ask.tool_id = question.item_id.as_deref().map(Into::into);
    ask.options = vec![
        AskOption::new(ACCEPT, "Allow", OptionEffect::AllowOnce),
        AskOption::new(DECLINE, "Deny", OptionEffect::Deny),
    ];
    ask
}

/// What is to be known of a person.
pub(super) fn inquiry(inquiry: &Inquiry) -> AskRequest {
    #[derive(Serialize)]
    struct Arguments<'a> {
        question: Option<&'a str>,
    }
    let asked = inquiry.question.as_deref();
    let title = asked.unwrap_or("a question");
    let arguments = item::json(&Arguments { question: asked });
    let mut ask = request("requestUserInput", ToolEffect::Other, title, arguments);
    ask.kind = AskKind::Question;
    ask.rule = None;
    let labels = inquiry.options.iter().flatten().filter_map(|choice| choice.label.as_deref());
    ask.options = labels.map(|label| AskOption::new(label, label, OptionEffect::Answer)).collect();
    ask
}

fn command(question: &Question<'_>) -> AskRequest {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Arguments<'a> {
        #[serde(skip_serializing_if = "Option::is_none")]
        kind: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        command: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        cwd: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        network_approval_context: Option<&'a RawValue>,
    }
    let network = question.network_approval_context;
    let effect = if network.is_some() { ToolEffect::Fetch } else { ToolEffect::Execute };
    let arguments = item::json(&Arguments {
        kind: question.kind.as_deref().filter(|kind| *kind != "command"),
        command: question.command.as_deref(),
        cwd: question.cwd.as_deref(),
        network_approval_context: network,
    });
    let title = question.command.as_deref().unwrap_or("a command");
    request("commandExecution", effect, title, arguments)
}

fn file_change(question: &Question<'_>, cwd: Option<&Path>, changes: Option<&Json>) -> AskRequest {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Arguments<'a> {
        #[serde(skip_serializing_if = "Option::is_none")]
        changes: Option<Box<RawValue>>,
        #[serde(skip_serializing_if = "Option::is_none")]
        item_id: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        grant_root: Option<&'a str>,
    }
    let grant_root = question.grant_root.as_deref();
    let paths = changes.and_then(item::changed);
    let effect = match (&paths, grant_root) {
        (Some(paths), None) => item::effect_of_change(paths, cwd),
        _ => ToolEffect::Other,
    };
    let arguments = item::json(&Arguments {
        changes: changes.map(Json::to_raw),
        // Nobody knows what it would change: no two of these are alike.
        item_id: question.item_id.as_deref().filter(|_| paths.is_none()),
        grant_root,
    });
    let title = match &paths {
        Some(paths) => format!("change {}", paths.join(", ")),
        None => "change files".into(),
    };
    let mut ask = request("fileChange", effect, &title, arguments);
    if let (Some(paths), None) = (paths, grant_root) {
        ask.rule = Some(paths.join("\n").into());
    }
    ask
}

fn elicitation(question: &Question<'_>) -> AskRequest {
    #[derive(Serialize)]
    struct Arguments<'a> {
        message: Option<&'a str>,
        #[serde(rename = "_meta", skip_serializing_if = "Option::is_none")]
        meta: Option<&'a RawValue>,
    }
    let message = question.message.as_deref();
    let arguments = item::json(&Arguments { message, meta: question.meta });
    let tool = question.server_name.as_deref().unwrap_or("mcp");
    request(tool, ToolEffect::Other, message.unwrap_or("a question of an MCP server"), arguments)
}

/// A permission whose rule is all of its arguments.
fn request(tool: &str, effect: ToolEffect, title: &str, arguments: Json) -> AskRequest {
    let rule = Some(arguments.as_str().into());
    AskRequest { rule, ..AskRequest::permission(tool, effect, one_line(title), arguments) }
}

/// `text` in one line that is not too long.
fn one_line(text: &str) -> String {
    let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if words.chars().count() <= limits::NAME_CHARS {
        return words;
    }
    words.chars().take(limits::NAME_CHARS - 1).chain(['…']).collect()
}
