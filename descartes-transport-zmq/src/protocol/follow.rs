//! Following: statuses and output, as messages of the protocol.

mod output;
mod status;

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use descartes_rpc::decode::ParamFault;
use descartes_rpc::error::RpcError;
use descartes_rpc::message::{Notification, NotificationStream};
use descartes_rpc::service::RpcService;
use descartes_rpc::wire::agent::AgentDetails;
use descartes_rpc::wire::event::Subscribed;
use futures_core::Stream;
use serde::Deserialize;
use serde_json::{Value as Json, json};

use super::answer::{Answer, done, given, no_agent};
use super::caller::{Caller, Members, read};
use super::command::sent_path;
use super::fail::{Asked, at};
use super::value::Value;
use super::wire::{CommandResponse, StatusUpdate, UpdateType, ZmqMessage, ZmqOutputStream};
use crate::limits::SKIPPED_PER_TURN;

/// What follows an answer. Dropping it unsubscribes.
pub(super) type Following = Pin<Box<dyn Stream<Item = ZmqMessage> + Send>>;

/// The agent that means all of them.
const ALL: &str = "*";

/// What becomes of one notification.
enum Said {
    /// Nothing: the follower did not ask for it.
    Nothing,
    /// This.
    Message(ZmqMessage),
    /// This, and no more.
    Last(ZmqMessage),
}

/// How notifications become messages.
trait Follower: Send + Unpin {
    /// What `notification` says.
    fn say(&mut self, notification: &Notification) -> Said;
    /// Something to say although nothing happened.
    fn poll_silence(&mut self, cx: &mut Context<'_>) -> Poll<ZmqMessage>;
}

/// The messages of one subscription. Nothing is pulled before it is polled.
struct Follow<F> {
    notifications: Option<NotificationStream>,
    follower: F,
}

impl<F: Follower> Stream for Follow<F> {
    type Item = ZmqMessage;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<ZmqMessage>> {
        let Self { notifications, follower } = &mut *self;
        let Some(stream) = notifications else { return Poll::Ready(None) };
        for _ in 0..SKIPPED_PER_TURN {
            let Poll::Ready(next) = stream.as_mut().poll_next(cx) else {
                return Poll::Ready(Some(ready!(follower.poll_silence(cx))));
            };
            let said = next.as_ref().map_or(Said::Nothing, |next| follower.say(next));
            match said {
                Said::Message(message) => return Poll::Ready(Some(message)),
                Said::Last(message) => {
                    *notifications = None;
                    return Poll::Ready(Some(message));
                }
                Said::Nothing if next.is_some() => {}
                Said::Nothing => {
                    *notifications = None;
                    return Poll::Ready(None);
                }
            }
        }
        // What was not asked for must not keep the connection from everything else.
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

fn follow(
    notifications: NotificationStream,
    follower: impl Follower + 'static,
) -> Option<Following> {
    Some(Box::pin(Follow { notifications: Some(notifications), follower }))
}

/// The event types that tell what becomes of an agent.
const STATUS_TYPES: [&str; 4] =
    ["agent.spawned", "agent.status_changed", "agent.exited", "agent.removed"];

/// `get_status`, of one agent or of all, once or for as long as there is something to tell.
pub(super) async fn status<S: RpcService>(
    caller: &Caller<S>,
    asked: Asked,
    mut params: Members,
) -> Result<Answer, RpcError> {
    let follow = take_flag(&mut params, "follow");
    let output = take_flag(&mut params, "output");
    if output && !follow {
        return Err(ParamFault::at("payload.output", "nothing without `follow`").into());
    }
    match asked.agent_id.clone().filter(|asked| asked != ALL) {
        Some(agent) => status_of(caller, asked, agent, (follow, output)).await,
        None => status_of_all(caller, asked, (follow, output)).await,
    }
}

fn take_flag(params: &mut Members, name: &str) -> bool {
    params.remove(name) == Some(Json::Bool(true))
}

async fn status_of<S: RpcService>(
    caller: &Caller<S>,
    asked: Asked,
    agent: String,
    (follows, output): (bool, bool),
) -> Result<Answer, RpcError> {
    let details = caller.call("agent.get", given([("agent_id", Some(agent.into()))])).await?;
    let answer = |asked| read(&details).map(|data| done(asked, data));
    if !follows {
        return Ok((answer(asked)?.into(), None));
    }
    let shown: AgentDetails = read(&details)?;
    let (id, now) = (shown.agent.id.clone(), shown.agent.status);
    if now.is_terminal() {
        let last = status::ended(&asked, &shown);
        let last = futures_util::stream::once(std::future::ready(last.into()));
        return Ok((answer(asked)?.into(), Some(Box::pin(last))));
    }
    let topics = match output {
        true => vec![status_topic(&id), output_topic(&id)],
        false => vec![status_topic(&id)],
    };
    let request = subscription(&topics, &types(output), &shown.cursor);
    let (subscribed, notifications) = caller.subscribe(request).await?;
    let follower = status::Statuses::new(asked.request_id.clone(), Some((id, now)));
    let answer = with_subscription(answer(asked)?, &subscribed)?;
    Ok((answer.into(), follow(notifications, follower)))
}

async fn status_of_all<S: RpcService>(
    caller: &Caller<S>,
    asked: Asked,
    (follows, output): (bool, bool),
) -> Result<Answer, RpcError> {
    let listed = caller.call("agent.list", given([("limit", Some(1000.into()))])).await?;
    let answer = done(asked.clone(), read(&listed)?);
    if !follows {
        return Ok((answer.into(), None));
    }
    let Reflects { cursor } = read(&listed)?;
    let request = subscription(&["agent/".to_owned()], &types(output), &cursor);
    let (subscribed, notifications) = caller.subscribe(request).await?;
    let answer = with_subscription(answer, &subscribed)?;
    let follower = status::Statuses::new(asked.request_id, None);
    Ok((answer.into(), follow(notifications, follower)))
}

fn types(output: bool) -> Vec<&'static str> {
    let mut types = STATUS_TYPES.to_vec();
    if output {
        types.push("agent.output");
    }
    types
}

/// `stream_logs`.
pub(super) async fn logs<S: RpcService>(
    caller: &Caller<S>,
    asked: Asked,
    mut params: Members,
) -> Result<Answer, RpcError> {
    let agent = asked.agent_id.clone().ok_or_else(no_agent)?;
    let stream = params.remove("stream").and_then(|word| serde_json::from_value(word).ok());
    let stream: ZmqOutputStream = stream.unwrap_or_default();
    let details = caller.ask("agent.get", given([("agent_id", Some(agent.into()))])).await;
    let AgentDetails { agent, cursor, .. } = details?;
    if params.get("after").is_some_and(|after| after == "now") && !params.contains_key("tail") {
        // From where the agent was seen, so that its end cannot lie between the two.
        params.insert("after".to_owned(), cursor.into());
    }
    let topics = [output_topic(&agent.id), status_topic(&agent.id)];
    let types = ["agent.output", "agent.exited", "agent.removed"];
    params.insert("topics".to_owned(), json!(topics));
    params.insert("types".to_owned(), json!(types));
    let subscribed = caller.subscribe(params).await;
    let (subscribed, notifications) = subscribed.map_err(|error| at(error, sent_path))?;
    let Subscribed { subscription_id, cursor, .. } = read(&subscribed)?;
    let data = json!({
        "subscription_id": subscription_id,
        "cursor": cursor,
        "agent_id": agent.id,
        "status": agent.status,
    });
    let follower = output::Output::new(asked.request_id.clone(), &agent, stream);
    Ok((done(asked, data.into()).into(), follow(notifications, follower)))
}

fn status_topic(id: &str) -> String {
    format!("agent/{id}/status")
}

fn output_topic(id: &str) -> String {
    format!("agent/{id}/output")
}

fn subscription(topics: &[String], types: &[&str], after: &str) -> Members {
    given([
        ("topics", Some(json!(topics))),
        ("types", Some(json!(types))),
        ("after", Some(after.into())),
    ])
}

/// What every result that shows state has.
#[derive(Deserialize)]
struct Reflects {
    cursor: String,
}

/// The answer with the name by which the stream is ended.
fn with_subscription(
    mut answer: CommandResponse,
    subscribed: &Bytes,
) -> Result<CommandResponse, RpcError> {
    let subscribed: Subscribed = read(subscribed)?;
    if let Some(Value::Map(members)) = &mut answer.data {
        members.insert("subscription_id".to_owned(), subscribed.subscription_id.into());
    }
    Ok(answer)
}

/// An update that no event says.
fn update(request_id: Option<String>, agent_id: String, update_type: UpdateType) -> StatusUpdate {
    let timestamp = descartes_rpc::wire::now();
    StatusUpdate { request_id, agent_id, update_type, timestamp, ..StatusUpdate::default() }
}
