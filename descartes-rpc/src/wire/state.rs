//! Keys and values that applications and agents keep in the daemon.

use std::collections::BTreeMap;

use serde_json::value::RawValue;

use super::agent::AgentStatus;
use super::{params, shape};
use crate::decode::guard;

/// Any JSON value as its exact text.
#[derive(Clone, Debug)]
pub struct Json(pub Box<RawValue>);

impl PartialEq for Json {
    fn eq(&self, other: &Self) -> bool {
        self.0.get() == other.0.get()
    }
}

impl serde::Serialize for Json {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de> serde::Deserialize<'de> for Json {
    fn deserialize<D: serde::Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        guard::json(input).map(Self)
    }
}

impl schemars::JsonSchema for Json {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Json".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        true.into()
    }
}

params! {
    /// Parameters of `state.query`.
    #[derive(Default)]
    pub struct QueryParams {
        /// Whose keys; absent, the global ones.
        agent_id?: String,
        /// Only this key.
        key?: String,
        /// Only keys that begin so.
        prefix?: String,
    }
}

shape! {
    /// Keys and values. Nothing found is an empty object.
    pub struct StateView {
        /// The values by key. Without `agent_id` the global keys and, under `agents`, every live
        /// agent as an [`AgentBrief`]; with it the agent's keys and, read-only, `name`, `status`
        /// and `updated_at`.
        state: BTreeMap<String, Json>,
        /// When this was read.
        timestamp: String,
        /// The position of the journal that this reflects.
        cursor: String,
    }
}

shape! {
    /// An agent in few words.
    pub struct AgentBrief {
        /// Its label.
        name: String,
        /// Its status.
        status: AgentStatus,
        /// When its record last changed.
        updated_at: String,
    }
}

params! {
    /// Parameters of `state.put`.
    mutating pub struct PutParams {
        /// Whose key; absent, a global one.
        agent_id?: String,
        /// The key.
        key: String,
        /// The value: any JSON, 64 KiB at most.
        value: Json,
        /// Only if this is the value's version now; 0 when there must be none.
        expected_version?: u64,
    }
}

params! {
    /// Parameters of `state.delete`.
    mutating pub struct DeleteParams {
        /// Whose key; absent, a global one.
        agent_id?: String,
        /// The key.
        key: String,
        /// Only if this is the value's version now.
        expected_version?: u64,
    }
}

shape! {
    /// The version of a value.
    pub struct Version {
        /// Grows with every change; 0 when there is no value.
        version: u64,
    }
}
