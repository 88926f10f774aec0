//! `event.*`: reading the journal.

use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use descartes_core::Descartes;
use descartes_core::agent::{Reach, Want};
use descartes_core::event::{Topic, TopicFilter};
use descartes_core::journal::{After, ReadRequest, SubscribeRequest};

use crate::auth::{Eyes, Scope, scope_of};
use crate::decode::ParamFault;
use crate::error::{ErrorKind, RpcError};
use crate::limits::TOPICS_OF_READER;
use crate::message::NotificationStream;
use crate::router::Call;
use crate::subscription::Notifications;
use crate::wire::encode;
use crate::wire::event::{
    ReadParams, SubscribeParams, Subscribed, UnsubscribeParams, Unsubscribed,
};

/// The longest wait for a first event or row.
const WAIT_MOST: Duration = Duration::from_secs(30);

/// `event.subscribe`
pub(crate) async fn subscribe(
    call: Call,
    params: SubscribeParams,
) -> Result<(Subscribed, NotificationStream), RpcError> {
    let ticket = call.cx.open_subscription()?;
    let mut request =
        request(&call, &params.topics, params.after.as_deref(), params.types.as_deref()).await?;
    request.tail = params.tail;
    let topics = request.topics.iter().map(text_of).collect();
    let decides = call.cx.reach(Scope::Approve).ok();
    let attending =
        decides.map(|reach| call.descartes().attendance().begin(request.topics.clone(), reach));
    let journal = call.descartes().journal();
    let subscription = journal.subscribe(request).await?;
    let subscribed = Subscribed {
        subscription_id: ticket.id().as_str().to_owned(),
        cursor: subscription.begin().to_string(),
        topics,
    };
    let notifications =
        Notifications::new(journal.clone(), subscription, ticket, encode::event_json)
            .attending(attending)
            .valid_for(call.cx.principal.validity());
    Ok((subscribed, Box::pin(notifications)))
}

/// `event.unsubscribe`
#[expect(clippy::unnecessary_wraps, reason = "every method of the table is called the same way")]
pub(crate) fn unsubscribe(
    call: &Call,
    params: &UnsubscribeParams,
) -> Result<Unsubscribed, RpcError> {
    let unsubscribed = call.cx.connection.unsubscribe(&params.subscription_id);
    Ok(Unsubscribed { unsubscribed })
}

/// `event.read`
pub(crate) async fn read(call: Call, params: ReadParams) -> Result<Bytes, RpcError> {
    let wait = wait_ms(params.wait_ms)?;
    let request =
        request(&call, &params.topics, params.after.as_deref(), params.types.as_deref()).await?;
    let mut request = ReadRequest::new(request);
    request.limit = super::page_limit(params.limit)?;
    request.wait = wait;
    let journal = call.descartes().journal();
    let page = journal.read(request).await?;
    let mut out = BytesMut::with_capacity(1024);
    out.put_slice(b"{\"events\":[");
    for (index, event) in page.events.iter().enumerate() {
        if index > 0 {
            out.put_u8(b',');
        }
        out.put_slice(&encode::event_json(event, &|| journal.cursor(event.position)));
    }
    let gaps: Vec<_> = page.gaps.iter().map(|gap| encode::gap(gap, page.cursor)).collect();
    out.put_slice(b"],\"gaps\":");
    out.put_slice(&super::encode(&gaps)?);
    let tail = format!(",\"cursor\":\"{}\",\"synced\":{}}}", page.cursor, page.synced);
    out.put_slice(tail.as_bytes());
    Ok(out.freeze())
}

/// How long to wait for a first event or row.
pub(crate) fn wait_ms(wait: Option<u64>) -> Result<Duration, ParamFault> {
    let wait = Duration::from_millis(wait.unwrap_or(0));
    if wait > WAIT_MOST {
        return Err(ParamFault::at("wait_ms", "at most 30000 milliseconds"));
    }
    Ok(wait)
}

/// What both ways of reading ask the journal for, if the caller may.
async fn request(
    call: &Call,
    topics: &[String],
    after: Option<&str>,
    types: Option<&[String]>,
) -> Result<SubscribeRequest, RpcError> {
    if topics.is_empty() {
        return Err(ParamFault::at("topics", "at least one topic").into());
    }
    for (name, given) in [("topics", topics.len()), ("types", types.map_or(0, <[String]>::len))] {
        if given > TOPICS_OF_READER {
            return Err(ParamFault::at(name, "at most 1024").into());
        }
    }
    let mut filters = Vec::with_capacity(topics.len());
    for (index, topic) in topics.iter().enumerate() {
        filters.push(filter(call, index, topic).await.map_err(|error| {
            let denied = error.kind() == ErrorKind::Forbidden;
            if denied { call.denied(Some(topic), error) } else { error }
        })?);
    }
    if topics.iter().any(|topic| shows_audit(topic)) {
        call.host.audit.written().await;
    }
    let mut request = SubscribeRequest::new(filters, self::after(after)?);
    request.sight = Eyes::of(&call.cx.principal).sight(call.descartes());
    request.types = types.unwrap_or_default().iter().map(|word| word.as_str().into()).collect();
    Ok(request)
}

/// Whether whoever reads `topic` sees the audit, if it may.
fn shows_audit(topic: &str) -> bool {
    let audit = Topic::audit();
    topic
        .strip_suffix('*')
        .map_or(topic == audit.as_str(), |prefix| audit.as_str().starts_with(prefix))
}

/// Where a reader begins.
fn after(text: Option<&str>) -> Result<After, ParamFault> {
    match text {
        None | Some("start") => Ok(After::Start),
        Some("now") => Ok(After::Now),
        Some(text) => {
            let cursor = text.parse().ok().map(After::Cursor);
            cursor.ok_or_else(|| ParamFault::at("after", "a cursor, `start` or `now`"))
        }
    }
}

/// The topics that `text` means, if the caller may read topics of their kind; in `agent/<name>/…`
/// the name stands for the identifier, unless it ends in `*`: then it is taken letter by letter, and
/// where it stands for topics of many kinds, shows those that the caller may read.
async fn filter(call: &Call, index: usize, text: &str) -> Result<TopicFilter, RpcError> {
    if text.is_empty() || text == "/" {
        let path = format!("topics[{index}]");
        return Err(ParamFault::at(&path, "a topic, or a prefix that ends in `/` or `*`").into());
    }
    if text.ends_with('*') && !text.contains('/') {
        return Ok(TopicFilter::from_text(text));
    }
    let reach = call.cx.reach(scope_of(text))?;
    if text.ends_with('*') {
        return Ok(TopicFilter::from_text(text));
    }
    let Some((agent, rest)) = text.strip_prefix("agent/").and_then(|rest| rest.split_once('/'))
    else {
        look_up(call.descartes(), text, &reach).await?;
        return Ok(TopicFilter::from_text(text));
    };
    let agent = match agent.parse() {
        // An identifier is taken as it is: what was removed can still be read.
        Ok(agent) if call.descartes().reaches_agent(agent, &reach) => agent,
        _ => call.descartes().resolve_within(agent, Want::Any, &reach)?,
    };
    Ok(match rest {
        "output" => TopicFilter::Exact(Topic::agent_output(agent)),
        "status" => TopicFilter::Exact(Topic::agent_status(agent)),
        rest => TopicFilter::from_text(&format!("agent/{agent}/{rest}")),
    })
}

/// Refuses the topic of one chat or approval that is out of reach as one that is not there.
async fn look_up(descartes: &Descartes, topic: &str, reach: &Reach) -> Result<(), RpcError> {
    if reach.is_all() {
        return Ok(());
    }
    if let Some(chat) = topic.strip_prefix("chat/").and_then(|id| id.parse().ok()) {
        descartes.chat_within(chat, reach)?;
    } else if let Some(id) = topic.strip_prefix("approval/").and_then(|id| id.parse().ok()) {
        descartes.approval_within(id, reach).await?;
    }
    Ok(())
}

/// The topics as the wire names them.
fn text_of(filter: &TopicFilter) -> Option<String> {
    match filter {
        TopicFilter::Exact(topic) => Some(topic.to_string()),
        TopicFilter::Prefix(prefix) if prefix.ends_with('/') => Some(prefix.to_string()),
        TopicFilter::Prefix(beginning) => Some(format!("{beginning}*")),
        TopicFilter::All => Some("*".to_owned()),
        _ => None,
    }
}
