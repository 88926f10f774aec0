//! `events`: what has happened, and what happens.

use std::process::ExitCode;

use descartes_rpc::client::{Client, Update};
use descartes_rpc::wire::event::{EndReason, Event, ReadParams, SubscribeParams};
use descartes_rpc::wire::output::Gap;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::arguments::Events;
use super::failure::Failure;
use super::which;
use crate::exit::Code;
use crate::output::Output;

/// Events of one page.
const PAGE: u32 = 1000;
/// What is shown when nothing is asked for.
const EVERYTHING: &[&str] = &["agent/", "system"];
/// Topics that are one word. An agent of that name is meant by its id, or by `agent/NAME/`.
const WHOLE: &[&str] = &["system", "audit"];

pub(super) async fn events(
    client: &Client,
    asked: Events,
    output: &Output,
) -> Result<ExitCode, Failure> {
    let topics = topics(client, &asked.topics).await?;
    let types = (!asked.types.is_empty()).then_some(asked.types);
    if asked.follow {
        let Events { after, tail, .. } = asked;
        follow(client, SubscribeParams { topics, after, tail, types }, output).await
    } else {
        let params =
            ReadParams { topics, after: asked.after, types, limit: Some(PAGE), wait_ms: None };
        history(client, params, output).await
    }
}

/// Topics as they are, agents as everything about them.
async fn topics(client: &Client, asked: &[String]) -> Result<Vec<String>, Failure> {
    if asked.is_empty() {
        return Ok(EVERYTHING.iter().map(|topic| (*topic).to_owned()).collect());
    }
    let mut topics = Vec::new();
    for typed in asked {
        topics.push(match is_topic(typed) {
            true => typed.clone(),
            false => format!("agent/{}/", which::agent(client, typed).await?),
        });
    }
    Ok(topics)
}

/// Whether what was typed names topics; else it names an agent.
fn is_topic(typed: &str) -> bool {
    typed.contains('/') || typed.ends_with('*') || WHOLE.contains(&typed)
}

async fn history(
    client: &Client,
    mut params: ReadParams,
    output: &Output,
) -> Result<ExitCode, Failure> {
    loop {
        let page = client.event_read(params.clone()).await?;
        page.gaps.iter().for_each(|gap| say_gap(output, gap));
        page.events.iter().try_for_each(|event| print(output, event))?;
        if page.synced {
            return Ok(Code::Done.into());
        }
        params.after = Some(page.cursor);
    }
}

async fn follow(
    client: &Client,
    params: SubscribeParams,
    output: &Output,
) -> Result<ExitCode, Failure> {
    let mut subscription = client.subscribe(params).await?;
    while let Some(update) = subscription.next().await {
        match update? {
            Update::Event(event) => print(output, &event)?,
            Update::Gap(gap) => say_gap(output, &gap),
            Update::Ended { reason, cursor } => {
                output
                    .note(format_args!("descartes: ended ({reason}); go on with --after {cursor}"));
                let asked_for = matches!(reason, EndReason::Unsubscribed | EndReason::Shutdown);
                return Ok(if asked_for { Code::Done } else { Code::Failed }.into());
            }
            _ => {}
        }
    }
    Ok(Code::Done.into())
}

fn say_gap(output: &Output, gap: &Gap) {
    let Gap { topic, from_offset, to_offset, .. } = gap;
    let gone = to_offset.saturating_sub(*from_offset);
    output.note(format_args!("descartes: {gone} events of {topic} are no longer kept"));
}

fn print(output: &Output, event: &Event) -> Result<(), Failure> {
    Ok(if output.is_json() { output.line(event.json()) } else { output.line(&describe(event)) }?)
}

/// The event on one line: when, what, about whom, and what it says.
fn describe(event: &Event) -> String {
    let head = event.head();
    let time = head.timestamp.get(11..23).unwrap_or(&head.timestamp);
    let subject = match head.topic.strip_prefix("agent/").and_then(|rest| rest.split_once('/')) {
        Some((id, _)) => which::short(id),
        None => head.topic.as_str(),
    };
    format!("{time}  {:20}  {subject:8}  {}", event.kind(), say(event)).trim_end().to_owned()
}

/// The members of the events' data that people want to see.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Said {
    name: Option<String>,
    from: Option<String>,
    to: Option<String>,
    activity: Option<String>,
    reason: Option<String>,
    stream: Option<String>,
    text: Option<String>,
    will_restart: bool,
    exit: Option<descartes_rpc::wire::agent::Exit>,
}

fn say(event: &Event) -> String {
    let said: Said = event.data().unwrap_or_default();
    match event.kind() {
        "agent.spawned" => said.name.unwrap_or_default(),
        "agent.status_changed" => {
            let reason = said.reason.map_or_else(String::new, |reason| format!(" ({reason})"));
            let (from, to) = (said.from.unwrap_or_default(), said.to.unwrap_or_default());
            if from == to {
                return format!("{to}, {}", said.activity.as_deref().unwrap_or("as before"));
            }
            format!("{from} -> {to}{reason}")
        }
        "agent.exited" => {
            let next = if said.will_restart { ", will restart" } else { "" };
            format!("{}{next}", super::show::exit(said.exit.as_ref()))
        }
        "agent.output" => {
            let text = said.text.unwrap_or_else(|| "(bytes that are not UTF-8)".to_owned());
            format!("{}: {:?}", said.stream.unwrap_or_default(), text)
        }
        _ => match event.data::<&RawValue>() {
            Ok(data) if data.get() != "{}" && data.get() != "null" => data.get().to_owned(),
            _ => String::new(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::{Event, describe, is_topic};
    use serde_json::value::RawValue;

    fn event(kind: &str, topic: &str, data: &str) -> Event {
        let json = format!(
            r#"{{"cursor":"c","seq":1,"topic":"{topic}","offset":0,
            "timestamp":"2026-11-21T01:07:56.123Z","by":"local","type":"{kind}","data":{data}}}"#
        );
        Event::from_json(RawValue::from_string(json).unwrap()).unwrap()
    }

    #[test]
    fn what_is_typed_is_a_topic_or_an_agent() {
        for topic in ["system", "audit", "*", "au*", "agent/", "chat/x", "approval/", "agent/a/*"] {
            assert!(is_topic(topic), "{topic}");
        }
        for agent in ["worker", "auditor", "my-system", "eeee12345678"] {
            assert!(!is_topic(agent), "{agent}");
        }
    }

    #[test]
    fn an_event_is_one_line_that_says_what_matters() {
        let status = "agent/0192aaaa-bbbb-7ccc-8ddd-eeee12345678/status";
        let table = [
            (
                event(
                    "agent.status_changed",
                    status,
                    r#"{"from":"starting","to":"running","run":1}"#,
                ),
                "01:07:56.123  agent.status_changed  12345678  starting -> running",
            ),
            (
                event("agent.output", status, r#"{"stream":"stdout","text":"a\nb\n"}"#),
                "01:07:56.123  agent.output          12345678  stdout: \"a\\nb\\n\"",
            ),
            (
                event("system.started", "system", r#"{"version":"1"}"#),
                "01:07:56.123  system.started        system    {\"version\":\"1\"}",
            ),
            (event("agent.removed", status, "{}"), "01:07:56.123  agent.removed         12345678"),
        ];
        for (event, line) in table {
            assert_eq!(describe(&event), line);
        }
    }
}
