//! Every type of event with what its data is, as schemas that a reader can tell apart by `type`.

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde_json::{Map, Value, json};

use super::{
    AgentExited, EventHead, NoData, OutputBlock, StatusChanged, SystemDegraded, SystemReloaded,
    SystemStarted,
};
use crate::wire::agent::Agent;
use crate::wire::approval::Approval;
use crate::wire::audit::AuditEntry;
use crate::wire::chunk::Chunk;

/// A row: the type on the wire, the name of its schema, and the schema of its data.
type Row = (&'static str, &'static str, fn(&mut SchemaGenerator) -> Schema);

/// What this daemon writes. An application that embeds it may add types of its own.
const TYPES: [Row; 20] = [
    ("agent.spawned", "AgentSpawnedEvent", data::<Agent>),
    ("agent.status_changed", "AgentStatusChangedEvent", data::<StatusChanged>),
    ("agent.exited", "AgentExitedEvent", data::<AgentExited>),
    ("agent.output", "AgentOutputEvent", data::<OutputBlock>),
    ("agent.removed", "AgentRemovedEvent", data::<NoData>),
    ("chat.chunk", "ChatChunkEvent", data::<Chunk>),
    ("approval.requested", "ApprovalRequestedEvent", data::<Approval>),
    ("approval.resolved", "ApprovalResolvedEvent", data::<Approval>),
    ("system.started", "SystemStartedEvent", data::<SystemStarted>),
    ("system.degraded", "SystemDegradedEvent", data::<SystemDegraded>),
    ("system.recovered", "SystemRecoveredEvent", data::<NoData>),
    ("system.draining", "SystemDrainingEvent", data::<NoData>),
    ("system.reloaded", "SystemReloadedEvent", data::<SystemReloaded>),
    ("audit.denied", "AuditDeniedEvent", data::<AuditEntry>),
    ("audit.dropped", "AuditDroppedEvent", data::<AuditEntry>),
    ("audit.spawn", "AuditSpawnEvent", data::<AuditEntry>),
    ("audit.kill", "AuditKillEvent", data::<AuditEntry>),
    ("audit.decision", "AuditDecisionEvent", data::<AuditEntry>),
    ("audit.key", "AuditKeyEvent", data::<AuditEntry>),
    ("audit.configuration", "AuditConfigurationEvent", data::<AuditEntry>),
];

fn data<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<T>()
}

/// An event of any type: one of the named schemas, told apart by `type`.
pub(super) fn any(generator: &mut SchemaGenerator) -> Schema {
    let path = generator.settings().definitions_path.clone();
    let (mut one_of, mut mapping) = (Vec::new(), Map::new());
    for (word, name, data) in TYPES {
        let data = data(generator);
        let schema = of_type(generator, word, data);
        generator.definitions_mut().insert(name.to_owned(), schema.into());
        let reference = format!("#{path}/{name}");
        mapping.insert(word.to_owned(), reference.as_str().into());
        one_of.push(json!({ "$ref": reference }));
    }
    schemars::json_schema!({
        "description": "An event of the journal. Later daemons, and applications that embed one, \
                        may send types that are not listed here: readers take the members of \
                        `EventHead` from them and pass over the rest.",
        "oneOf": one_of,
        "discriminator": { "propertyName": "type", "mapping": mapping },
    })
}

/// The members of every event, with this type and this data.
fn of_type(generator: &mut SchemaGenerator, word: &str, data: Schema) -> Schema {
    let mut schema = EventHead::json_schema(generator);
    if let Some(Value::Object(members)) = schema.get_mut("properties") {
        let tag = json!({ "type": "string", "const": word, "description": "What happened." });
        members.insert("type".to_owned(), tag);
        members.insert("data".to_owned(), data.into());
    }
    if let Some(Value::Array(required)) = schema.get_mut("required") {
        required.push("data".into());
    }
    schema.insert("description".to_owned(), format!("An event `{word}`.").into());
    schema
}

/// The types of events that have a schema of their own.
#[cfg(test)]
pub(crate) fn words() -> impl Iterator<Item = &'static str> {
    TYPES.into_iter().map(|(word, ..)| word)
}
