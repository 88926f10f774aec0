//! What the program asks, and the answers in its words.

use std::collections::BTreeMap;
use std::path::{Component, Path};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::say::{self, Permission};
use super::wire::{Request, Rule, read};
use crate::dialect::{
    Action, AskKind, AskOption, AskRequest, AskToken, Decision, OptionEffect, ToolEffect,
};
use crate::json::Json;
use crate::limits;

/// The tool by which the model asks people.
const QUESTION: &str = "AskUserQuestion";
/// What the model is told of a denial without a word.
const DENIED: &str = "This was denied.";
/// What people are shown of a request in one line.
const TITLE_CHARS: usize = 200;

/// The open questions.
#[derive(Debug, Default)]
pub(super) struct Questions {
    made: u64,
    open: BTreeMap<AskToken, Open>,
}

#[derive(Debug)]
struct Open {
    request_id: String,
    input: Json,
    /// What people are asked, when it is no permission.
    questions: Option<Vec<Question>>,
}

/// The arguments of [`QUESTION`].
#[derive(Debug, Deserialize)]
struct Questionnaire {
    questions: Vec<Question>,
}

#[derive(Clone, Debug, Deserialize)]
struct Question {
    question: String,
    #[serde(default)]
    options: Vec<Choice>,
    #[serde(default, rename = "multiSelect")]
    several: bool,
}

#[derive(Clone, Debug, Deserialize)]
struct Choice {
    label: String,
}

impl Questions {
    /// The program asks whether it may use a tool, in `cwd`.
    pub(super) fn ask(
        &mut self,
        request_id: String,
        request: &Request<'_>,
        cwd: &Path,
        out: &mut Vec<Action>,
    ) {
        if self.open.values().any(|open| open.request_id == request_id) {
            return;
        }
        let Some(input) = request.input else {
            let reason = "can_use_tool needs input";
            return out.push(Action::Send(say::refusal(&request_id, reason)));
        };
        if self.open.len() >= limits::CLAUDE_OPEN_QUESTIONS {
            let message = "Too many questions are open.";
            let answer = say::permission(&request_id, Permission::Deny { message });
            return out.push(Action::Send(answer));
        }
        let tool = request.tool_name.as_deref().unwrap_or("unknown");
        let asked = (tool == QUESTION).then(|| read::<Questionnaire>(Some(input))).flatten();
        let questions = asked.map(|asked| asked.questions).filter(|asked| !asked.is_empty());
        let rule = rule(request);
        let words = AskRequest {
            kind: if questions.is_some() { AskKind::Question } else { AskKind::Permission },
            tool: tool.into(),
            tool_id: request.tool_use_id.as_deref().map(Arc::from),
            effect: effect(tool, input, cwd),
            title: title(tool, request, questions.as_deref()),
            arguments: Json::from(input),
            options: questions.as_deref().map_or_else(|| permissions(rule.is_some()), choices),
            rule,
        };
        self.made += 1;
        let ask = AskToken(self.made);
        self.open.insert(ask, Open { request_id, input: words.arguments.clone(), questions });
        out.push(Action::Ask { ask, request: Box::new(words) });
    }

    /// A question was decided.
    pub(super) fn decide(&mut self, ask: AskToken, decision: &Decision, out: &mut Vec<Action>) {
        let Some(open) = self.open.remove(&ask) else { return };
        let answered = match (decision, &open.questions) {
            (Decision::AllowOnce | Decision::AllowSession, None) => Some(open.input.to_raw()),
            (Decision::Option { id }, None)
                if &**id == "allow_once" || &**id == "allow_session" =>
            {
                Some(open.input.to_raw())
            }
            (Decision::Option { id: words } | Decision::Answer { text: words }, Some(asked)) => {
                answers(&open.input, asked, words)
            }
            _ => None,
        };
        let message = match decision {
            Decision::Deny { message: Some(message) } => message,
            Decision::Answer { text } if open.questions.is_none() => text,
            _ => DENIED,
        };
        let answer = match &answered {
            Some(input) => Permission::Allow { updated_input: input },
            None => Permission::Deny { message },
        };
        out.push(Action::Send(say::permission(&open.request_id, answer)));
    }

    /// The program does not wait for an answer any more.
    pub(super) fn withdraw(&mut self, request_id: &str, out: &mut Vec<Action>) {
        let asked = self.open.iter().find(|(_, open)| open.request_id == request_id);
        if let Some(ask) = asked.map(|(ask, _)| *ask) {
            self.open.remove(&ask);
            out.push(Action::Withdraw { ask });
        }
    }

    /// The turn has ended: nobody waits for answers.
    pub(super) fn clear(&mut self) {
        self.open.clear();
    }
}

/// The arguments with the answers in them: `words` for every question, or an object of its own that
/// says which answer is to which question.
fn answers(input: &Json, asked: &[Question], words: &str) -> Option<Box<RawValue>> {
    #[derive(Serialize)]
    struct Answered<'a> {
        questions: &'a RawValue,
        answers: BTreeMap<String, String>,
    }
    #[derive(Deserialize)]
    struct Asked<'a> {
        #[serde(borrow)]
        questions: &'a RawValue,
    }
    let asked_for = |name: &String| asked.iter().any(|question| question.question == *name);
    let each = serde_json::from_str::<BTreeMap<String, String>>(words).ok();
    let each = each.filter(|each| !each.is_empty() && each.keys().all(asked_for));
    let answers = each.unwrap_or_else(|| {
        asked.iter().map(|question| (question.question.clone(), words.to_owned())).collect()
    });
    let questions = serde_json::from_str::<Asked<'_>>(input.as_str()).ok()?.questions;
    serde_json::value::to_raw_value(&Answered { questions, answers }).ok()
}

fn permissions(with_session: bool) -> Vec<AskOption> {
    let mut options = vec![AskOption::new("allow_once", "Allow once", OptionEffect::AllowOnce)];
    if with_session {
        let label = "Allow for this session";
        options.push(AskOption::new("allow_session", label, OptionEffect::AllowSession));
    }
    options.push(AskOption::new("deny", "Deny", OptionEffect::Deny));
    options
}

/// The choices of a single question; several questions, and several choices, are answered by text.
fn choices(asked: &[Question]) -> Vec<AskOption> {
    let [Question { options, several: false, .. }] = asked else { return Vec::new() };
    let options = options.iter();
    options.map(|o| AskOption::new(&*o.label, &*o.label, OptionEffect::Answer)).collect()
}

/// What an allow for the session would cover: the rules that the program would add.
fn rule(request: &Request<'_>) -> Option<Arc<str>> {
    let suggestions = request.permission_suggestions.iter().flatten();
    let adding = suggestions.filter(|suggestion| {
        suggestion.kind.as_deref() == Some("addRules")
            && suggestion.behavior.as_deref() == Some("allow")
    });
    let rules = adding.flat_map(|suggestion| suggestion.rules.iter().flatten());
    let rules: Vec<String> = rules.filter_map(in_words).collect();
    (!rules.is_empty()).then(|| rules.join(", ").into())
}

fn in_words(rule: &Rule) -> Option<String> {
    let tool = rule.tool_name.as_deref()?;
    Some(match rule.rule_content.as_deref() {
        Some(content) => format!("{tool}({content})"),
        None => tool.to_owned(),
    })
}

fn title(tool: &str, request: &Request<'_>, asked: Option<&[Question]>) -> Arc<str> {
    let text = match (asked, request.description.as_deref()) {
        (Some(asked), _) => {
            asked.iter().map(|question| &*question.question).collect::<Vec<_>>().join(" ")
        }
        (None, Some(description)) if !description.trim().is_empty() => {
            format!("{tool}: {description}")
        }
        (None, _) => tool.to_owned(),
    };
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(TITLE_CHARS) {
        Some((end, _)) => format!("{}…", &line[..end]).into(),
        None => line.into(),
    }
}

/// What a tool of the program does to the world.
fn effect(tool: &str, input: &RawValue, cwd: &Path) -> ToolEffect {
    match tool {
        "Read" | "Grep" | "Glob" | "LS" | "NotebookRead" | "TaskOutput" | "BashOutput" => {
            ToolEffect::Read
        }
        "Edit" | "MultiEdit" | "Write" | "NotebookEdit" if edits_inside(input, cwd) => {
            ToolEffect::Edit
        }
        "Bash" => ToolEffect::Execute,
        "WebFetch" | "WebSearch" => ToolEffect::Fetch,
        _ => ToolEffect::Other,
    }
}

/// Whether the file that is changed lies below `cwd`, as far as its name tells.
fn edits_inside(input: &RawValue, cwd: &Path) -> bool {
    #[derive(Deserialize)]
    struct Place {
        #[serde(alias = "notebook_path")]
        file_path: String,
    }
    let Some(Place { file_path }) = read::<Place>(Some(input)) else { return false };
    let path = Path::new(&file_path);
    let plain = path.components().all(|part| !matches!(part, Component::ParentDir));
    plain && (path.is_relative() || path.starts_with(cwd))
}
