//! The table of aliases: a route is a name, a method, and how its parameters are mapped.
//!
//! A new route is a row here. How a row's answer is written is [`AnswerAs`]; nothing else knows
//! which method a path stands for.

mod asked;

pub(crate) use asked::{Asked, Mapped};

/// One row.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Alias {
    /// The path; `{name}` stands for one segment.
    pub(crate) path: &'static str,
    /// What it does, for the OpenAPI document.
    pub(crate) about: &'static str,
    /// The method that answers.
    pub(crate) method: &'static str,
    pub(crate) parameters: &'static [Parameter],
    pub(crate) answer: AnswerAs,
}

/// How the answer is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AnswerAs {
    /// The bare result as JSON.
    Result,
    /// The OpenAPI document, made from the result.
    OpenApi,
    /// The notifications of a subscription as server-sent events.
    Events,
    /// The rows of a log as the bytes that they were.
    Bytes,
}

/// Where a parameter stands in the request, and what it becomes in the call.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Parameter {
    pub(crate) name: &'static str,
    pub(crate) place: Place,
    pub(crate) becomes: Becomes,
}

/// Where a parameter stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Path,
    Query,
    Header,
}

/// What a parameter becomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Becomes {
    /// The member of this name, a text.
    Text(&'static str),
    /// The member of this name, a number.
    Number(&'static str),
    /// An element of the array of this name; may be repeated.
    Element(&'static str),
    /// Elements of the array of this name, separated by commas; may be repeated.
    Elements(&'static str),
    /// Where a reader really is: `after`, and whatever else said where to begin is void.
    Position,
    /// Nothing in the call: the answer goes on with what comes later.
    Follow,
}

const fn path(name: &'static str, becomes: Becomes) -> Parameter {
    Parameter { name, place: Place::Path, becomes }
}

const fn query(name: &'static str, becomes: Becomes) -> Parameter {
    Parameter { name, place: Place::Query, becomes }
}

const fn header(name: &'static str, becomes: Becomes) -> Parameter {
    Parameter { name, place: Place::Header, becomes }
}

/// A subscription, for `EventSource`.
pub(crate) static EVENTS: Alias = Alias {
    path: "/events",
    about: "Follows topics as server-sent events: `id` is the cursor, `data` the event; gap, \
            synced and ended come as events of that name. A cursor of another store is answered \
            204, so that an `EventSource` stops coming back.",
    method: "event.subscribe",
    parameters: &[
        query("topic", Becomes::Element("topics")),
        query("after", Becomes::Text("after")),
        query("types", Becomes::Elements("types")),
        query("tail", Becomes::Number("tail")),
        header("Last-Event-ID", Becomes::Position),
    ],
    answer: AnswerAs::Events,
};

/// What an agent wrote, byte for byte.
pub(crate) static LOGS: Alias = Alias {
    path: "/agents/{agent}/logs",
    about: "What an agent wrote, byte for byte. With `follow=1` it goes on until the agent has \
            ended. An answer that breaks off (the daemon stops, history was trimmed under the \
            reader) ends without its last chunk; what is no longer kept before its beginning is \
            named in the header `Descartes-Gap`.",
    method: "agent.logs",
    parameters: &[
        path("agent", Becomes::Text("agent_id")),
        query("stream", Becomes::Text("stream")),
        query("tail", Becomes::Number("tail")),
        query("follow", Becomes::Follow),
    ],
    answer: AnswerAs::Bytes,
};

/// The interface description.
pub(crate) static OPENRPC: Alias = Alias {
    path: "/openrpc.json",
    about: "The OpenRPC document: every method with its parameters, result and errors.",
    method: "rpc.discover",
    parameters: &[],
    answer: AnswerAs::Result,
};

/// The interface description for those who call over HTTP alone.
pub(crate) static OPENAPI: Alias = Alias {
    path: "/openapi.json",
    about: "The OpenAPI document: every route, and every method under its own path.",
    method: "rpc.discover",
    parameters: &[],
    answer: AnswerAs::OpenApi,
};

/// Every row.
pub(crate) static ALIASES: [&Alias; 4] = [&EVENTS, &LOGS, &OPENRPC, &OPENAPI];

impl Alias {
    /// What stands in `path` where this row has a parameter (nothing if it has none); `None` when
    /// the path is another.
    pub(crate) fn value_in<'p>(&self, path: &'p str) -> Option<&'p str> {
        let Some((before, rest)) = self.path.split_once('{') else {
            return (path == self.path).then_some("");
        };
        let (_, after) = rest.split_once('}')?;
        let value = path.strip_prefix(before)?.strip_suffix(after)?;
        (!value.is_empty() && !value.contains('/')).then_some(value)
    }

    /// The names that its query may have.
    pub(crate) fn query_names(&self) -> String {
        let queried = self.parameters.iter().filter(|one| one.place == Place::Query);
        let names: Vec<&str> = queried.map(|one| one.name).collect();
        names.join(", ")
    }
}
