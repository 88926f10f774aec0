//! Actions as lines that people compare.

use crate::dialect::{Action, AskRequest, TurnEnd};
use crate::event::{ChunkBody, ChunkError, StreamChunk, Usage};

/// One line for each of `actions`, what was sent left out (it is in [`super::Played::sent`]).
pub(crate) fn script(actions: &[Action]) -> Vec<String> {
    let said = actions.iter().filter(|action| !matches!(action, Action::Send(_)));
    said.map(line).collect()
}

/// The same with neighbouring pieces of one block as one line: how a text was cut says nothing.
pub(crate) fn merged(actions: &[Action]) -> Vec<String> {
    let mut whole: Vec<Action> = Vec::new();
    for action in actions.iter().filter(|action| !matches!(action, Action::Send(_))) {
        if let (Some(Action::Emit(last)), Action::Emit(next)) = (whole.last_mut(), action)
            && last.turn == next.turn
            && last.parent_tool_id == next.parent_tool_id
            && let Some(body) = joined(&last.body, &next.body)
        {
            last.body = body;
            continue;
        }
        whole.push(action.clone());
    }
    script(&whole)
}

/// The same without what the agent is busy with.
pub(crate) fn told(actions: &[Action]) -> Vec<String> {
    let is_told = |action: &&Action| !matches!(action, Action::Activity(_));
    merged(&actions.iter().filter(is_told).cloned().collect::<Vec<_>>())
}

/// The same without what was not understood, or not read.
pub(crate) fn known(actions: &[Action]) -> Vec<String> {
    let is_known = |action: &&Action| match action {
        Action::Emit(chunk) => {
            !matches!(chunk.body, ChunkBody::Raw { .. } | ChunkBody::Oversize { .. })
        }
        _ => true,
    };
    told(&actions.iter().filter(is_known).cloned().collect::<Vec<_>>())
}

fn joined(last: &ChunkBody, next: &ChunkBody) -> Option<ChunkBody> {
    match (last, next) {
        (
            ChunkBody::Text { content: first, block },
            ChunkBody::Text { content: second, block: same },
        ) if block == same => {
            Some(ChunkBody::Text { content: format!("{first}{second}").into(), block: *block })
        }
        (
            ChunkBody::Thinking { content: first, block },
            ChunkBody::Thinking { content: second, block: same },
        ) if block == same => {
            Some(ChunkBody::Thinking { content: format!("{first}{second}").into(), block: *block })
        }
        _ => None,
    }
}

fn line(action: &Action) -> String {
    match action {
        Action::Send(bytes) => format!("send {}", String::from_utf8_lossy(bytes).trim_end()),
        Action::Ready(can) => {
            let words = [
                (can.turns, " turns"),
                (can.resume, " resume"),
                (can.approvals, " approvals"),
                (can.cancel, " cancel"),
                (can.models, " models"),
                (can.pause, " pause"),
            ];
            let can = words.iter().filter(|(can, _)| *can).map(|(_, word)| *word);
            format!("ready{}", can.collect::<String>())
        }
        Action::Session(id) => format!("session {id}"),
        Action::Emit(chunk) => chunk_line(chunk),
        Action::Mark => "mark".into(),
        Action::Retract => "retract".into(),
        Action::Activity(None) => "activity none".into(),
        Action::Activity(Some(activity)) => format!("activity {activity:?}").to_lowercase(),
        Action::Ask { ask, request } => format!("ask {} {}", ask.0, ask_words(request)),
        Action::Withdraw { ask } => format!("withdraw {}", ask.0),
        Action::TurnEnded(end) => end_line(end),
        Action::Signal(signal) => format!("signal {signal:?}").to_lowercase(),
        Action::CloseStdin => "close stdin".into(),
        Action::Paused => "paused".into(),
        Action::Resumed => "resumed".into(),
    }
}

fn chunk_line(chunk: &StreamChunk) -> String {
    let mut text = chunk.turn.to_string();
    if let Some(parent) = &chunk.parent_tool_id {
        text += &format!("<{parent}>");
    }
    let body = match &chunk.body {
        ChunkBody::Text { content, block } => format!("text[{block}] {content:?}"),
        ChunkBody::Thinking { content, block } => format!("thinking[{block}] {content:?}"),
        ChunkBody::ToolUseStart { tool_name, tool_id } => format!("tool {tool_name} {tool_id}"),
        ChunkBody::ToolUseInput { tool_id, content, input: None } => {
            format!("input {tool_id} {content:?}")
        }
        ChunkBody::ToolUseInput { tool_id, content, input: Some(input) } => {
            format!("input {tool_id} {content:?} {input}")
        }
        ChunkBody::ToolResult { tool_id, result, is_error } => {
            let failed = if *is_error { "failed " } else { "" };
            format!("result {tool_id} {failed}{result:?}")
        }
        ChunkBody::Usage(usage) => format!("usage{}", usage_words(usage)),
        ChunkBody::Error(error) => format!("error {}", error_words(error)),
        ChunkBody::Raw { line } => format!("raw {line:?}"),
        ChunkBody::Oversize { bytes, .. } => format!("oversize {bytes}"),
        other => format!("{other:?}"),
    };
    format!("{text} {body}")
}

fn end_line(end: &TurnEnd) -> String {
    let mut text = format!("end {} {}", end.turn, end.outcome.as_str());
    if let Some(usage) = &end.usage {
        text += &usage_words(usage);
    }
    if let Some(error) = &end.error {
        text += &format!(" {}", error_words(error));
    }
    text
}

fn usage_words(usage: &Usage) -> String {
    let mut text = String::new();
    let tokens =
        [("in", usage.input_tokens), ("cached", usage.cached_tokens), ("out", usage.output_tokens)];
    for (name, count) in tokens {
        if let Some(count) = count {
            text += &format!(" {name}={count}");
        }
    }
    if let Some(cost) = usage.cost_usd {
        text += &format!(" cost={cost:.6}");
    }
    text
}

fn error_words(error: &ChunkError) -> String {
    let mut text = format!("{} {:?}", error.kind.as_str(), error.message);
    if let Some(hint) = &error.hint {
        text += &format!(" hint {hint:?}");
    }
    text
}

fn ask_words(ask: &AskRequest) -> String {
    let options = ask.options.iter().map(|option| format!("{}={:?}", option.id, option.effect));
    let mut text = format!("{:?} {} {:?}", ask.kind, ask.tool, ask.effect).to_lowercase();
    if let Some(id) = &ask.tool_id {
        text += &format!(" of {id}");
    }
    let options = options.collect::<Vec<_>>().join(" ");
    text += &format!(" {:?} {} [{options}]", ask.title, ask.arguments);
    if let Some(rule) = &ask.rule {
        text += &format!(" rule {rule:?}");
    }
    text
}
