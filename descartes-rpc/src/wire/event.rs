//! Reading the journal: `event.subscribe`, `event.unsubscribe`, `event.read`, and events themselves.

pub(crate) mod kinds;

use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;

use super::output::Gap;
use super::{params, shape, words};

params! {
    /// Parameters of `event.subscribe`.
    #[derive(Default)]
    pub struct SubscribeParams {
        /// Names of topics, or prefixes that end in `/` or `*` (`*` alone: all). An agent's name
        /// may stand for its identifier. 1024 at most.
        topics: Vec<String>,
        /// Where to begin: a cursor, `start` (the oldest that is kept; the default) or `now`.
        after?: String,
        /// Begin with the last so many events of each topic.
        tail?: u64,
        /// Only these types: exact, or ending in `.*`. 1024 at most.
        types?: Vec<String>,
    }
}

shape! {
    /// A subscription; its notifications follow.
    pub struct Subscribed {
        /// Names it in its notifications and in `event.unsubscribe`.
        subscription_id: String,
        /// Where it begins.
        cursor: String,
        /// What it follows: the topics that were asked for, with identifiers in the place of
        /// agents' names. Whoever comes back with these follows the same agents, whoever bears
        /// their names by then.
        topics?: Vec<String>,
    }
}

params! {
    /// Parameters of `event.unsubscribe`.
    pub struct UnsubscribeParams {
        /// Which subscription of this connection.
        subscription_id: String,
    }
}

shape! {
    /// Whether there was such a subscription.
    pub struct Unsubscribed {
        /// False when it had ended already.
        unsubscribed: bool,
    }
}

params! {
    /// Parameters of `event.read`.
    #[derive(Default)]
    pub struct ReadParams {
        /// Names of topics, or prefixes that end in `/` or `*` (`*` alone: all). An agent's name
        /// may stand for its identifier. 1024 at most.
        topics: Vec<String>,
        /// Where to begin: a cursor, `start` (the oldest that is kept; the default) or `now`.
        after?: String,
        /// Only these types: exact, or ending in `.*`. 1024 at most.
        types?: Vec<String>,
        /// How many events at most: 100 unless given, 1000 at most.
        limit?: u32,
        /// How long to wait for a first event when there is none; 30,000 at most.
        wait_ms?: u64,
    }
}

shape! {
    /// A page of events.
    pub struct EventPage {
        /// The events, in order.
        events: Vec<Event>,
        /// What was asked for and is no longer kept, one entry for each topic.
        gaps: Vec<Gap>,
        /// Read up to here, also when nothing matched.
        cursor: String,
        /// Whether this was all that there is now.
        synced: bool,
    }
}

/// An event of the journal: its exact JSON, with the members that every reader needs beside it.
#[derive(Clone, Debug)]
pub struct Event {
    head: EventHead,
    json: Arc<RawValue>,
}

shape! {
    /// The members that every event has.
    pub struct EventHead {
        /// Where to read on after it.
        cursor: String,
        /// Its place in the whole journal.
        seq: u64,
        /// Where it is read.
        topic: String,
        /// Its place in its topic, without holes.
        offset: u64,
        /// When the daemon saw it.
        timestamp: String,
        /// The principal or agent behind it.
        by: String,
        /// What happened.
        r#type: String,
    }
}

#[derive(Deserialize)]
struct DataOf<'a> {
    #[serde(borrow)]
    data: &'a RawValue,
}

impl Event {
    /// Reads the event's JSON.
    ///
    /// # Errors
    /// When it is not an event.
    pub fn from_json(json: Box<RawValue>) -> serde_json::Result<Self> {
        let head = serde_json::from_str(json.get())?;
        serde_json::from_str::<DataOf<'_>>(json.get())?;
        Ok(Self { head, json: json.into() })
    }

    /// The members that every event has.
    #[must_use]
    pub fn head(&self) -> &EventHead {
        &self.head
    }

    /// What happened, as `agent.exited`.
    #[must_use]
    pub fn kind(&self) -> &str {
        &self.head.r#type
    }

    /// The whole event as JSON, as the daemon wrote it.
    #[must_use]
    pub fn json(&self) -> &str {
        self.json.get()
    }

    /// What the event says, read as `T`.
    ///
    /// # Errors
    /// When it is something else.
    pub fn data<'a, T: Deserialize<'a>>(&'a self) -> serde_json::Result<T> {
        let DataOf { data } = serde_json::from_str(self.json.get())?;
        serde_json::from_str(data.get())
    }
}

impl PartialEq for Event {
    fn eq(&self, other: &Self) -> bool {
        self.json.get() == other.json.get()
    }
}

impl Serialize for Event {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.json.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Event {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        let json = Box::<RawValue>::deserialize(input)?;
        Self::from_json(json).map_err(serde::de::Error::custom)
    }
}

impl schemars::JsonSchema for Event {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Event".into()
    }
    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        kinds::any(generator)
    }
}

words! {
    /// Why a subscription ended.
    pub enum EndReason {
        /// It was asked to.
        Unsubscribed = "unsubscribed",
        /// The credentials that it was opened with ran out.
        TokenExpired = "token_expired",
        /// Its reader may no longer see it.
        Forbidden = "forbidden",
        /// The daemon stops.
        Shutdown = "shutdown",
        /// The journal cannot be read.
        StoreError = "store_error",
    }
}

shape! {
    /// Data of `agent.status_changed`.
    pub struct StatusChanged {
        /// The status before.
        from: super::agent::AgentStatus,
        /// The status now.
        to: super::agent::AgentStatus,
        /// What it means for people.
        activity?: String,
        /// Why.
        reason?: String,
        /// In which run.
        run: u32,
    }
}

shape! {
    /// Data of `agent.exited`.
    pub struct AgentExited {
        /// Which run.
        run: u32,
        /// How it ended.
        exit: super::agent::Exit,
        /// Whether another run follows.
        will_restart: bool,
        /// When that begins.
        next_start_at?: String,
    }
}

shape! {
    /// Data of `agent.output`.
    pub struct OutputBlock {
        /// Which stream.
        stream: super::output::Stream,
        /// Which run wrote it.
        run: u32,
        /// Where the block begins in its stream.
        byte_offset: u64,
        /// The number of its first line in its stream.
        first_line: u64,
        /// How many newlines are inside.
        lines: u64,
        /// The bytes, when they are UTF-8.
        text?: String,
        /// The bytes as base64, when they are not.
        data?: String,
        /// Whether the last line goes on.
        partial: bool,
    }
}

words! {
    /// How the daemon before ended.
    pub enum PreviousEnd {
        /// In order.
        Clean = "clean",
        /// Otherwise.
        Crashed = "crashed",
    }
}

shape! {
    /// Data of `system.started`.
    pub struct SystemStarted {
        /// The daemon's version.
        version: String,
        /// How the one before ended.
        previous: PreviousEnd,
    }
}

shape! {
    /// Data of `system.degraded`.
    pub struct SystemDegraded {
        /// What does not work.
        reasons: Vec<String>,
    }
}

shape! {
    /// Data of `system.reloaded`: names of keys of the configuration.
    pub struct SystemReloaded {
        /// Those whose new values are in force.
        applied: Vec<String>,
        /// Those whose new values take a restart.
        needs_restart: Vec<String>,
    }
}

shape! {
    /// Data of an event whose type says it all.
    pub struct NoData {}
}

shape! {
    /// Parameters of the notification `event.next`: something happened.
    pub struct EventNext {
        /// Which subscription this belongs to.
        subscription_id: String,
        /// What happened.
        event: Event,
    }
}

shape! {
    /// Parameters of the notification `event.synced`: all history has been delivered.
    pub struct EventSynced {
        /// Which subscription this belongs to.
        subscription_id: String,
        /// The position reached.
        cursor: String,
    }
}

shape! {
    /// Parameters of the notification `event.gap`: history between the reader's position and the
    /// next event of a topic is no longer kept.
    pub struct EventGap {
        /// Which subscription this belongs to.
        subscription_id: String,
        /// The topic that lost events.
        topic: String,
        /// The first offset that is missing.
        from_offset: u64,
        /// The first offset that is there again.
        to_offset: u64,
        /// The position to come back with.
        cursor: String,
    }
}

shape! {
    /// Parameters of the notification `event.ended`, the last of its subscription.
    pub struct EventEnded {
        /// Which subscription this belongs to.
        subscription_id: String,
        /// Why.
        reason: EndReason,
        /// The position to come back with.
        cursor: String,
    }
}
