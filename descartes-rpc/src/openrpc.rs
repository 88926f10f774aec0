//! The OpenRPC 1.3 document, made from the declarations.

use bytes::Bytes;
use schemars::SchemaGenerator;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use crate::error::ErrorKind;
use crate::method::{Declaration, Method, MethodParams, Scope};
use crate::wire;

/// The version of the interface; a daemon's own version may be newer.
pub const API_VERSION: &str = "1.0";

/// Errors that any method may answer with.
const EVERYWHERE: [ErrorKind; 8] = [
    ErrorKind::InvalidParams,
    ErrorKind::Internal,
    ErrorKind::Unauthenticated,
    ErrorKind::Forbidden,
    ErrorKind::Unavailable,
    ErrorKind::Timeout,
    ErrorKind::ResourceExhausted,
    ErrorKind::Cancelled,
];

/// Collects methods into a document.
#[derive(Debug)]
pub(crate) struct Document {
    schemas: SchemaGenerator,
    methods: Vec<Value>,
}

impl Document {
    /// A document without methods.
    pub(crate) fn new() -> Self {
        let mut settings = SchemaSettings::draft07();
        settings.definitions_path = "/components/schemas".into();
        settings.meta_schema = None;
        Self { schemas: settings.into_generator(), methods: Vec::new() }
    }

    /// Adds one method.
    pub(crate) fn add<M: Method>(&mut self) {
        let declared = M::DECLARATION;
        let result = self.schemas.subschema_for::<M::Result>();
        let mut entry = Map::new();
        let mut put = |member: &str, value: Value| entry.insert(member.to_owned(), value);
        put("name", declared.name.into());
        put("summary", declared.summary().into());
        put("description", declared.doc.into());
        put("paramStructure", "either".into());
        put("params", Value::Array(self.params::<M::Params>()));
        put("result", json!({ "name": "result", "schema": result }));
        put("errors", Value::Array(errors(&declared)));
        put("x-since", declared.since.into());
        put("x-scope", scope(declared.scope));
        put("x-mutating", declared.mutating.into());
        put("x-waits", declared.waits.into());
        if !declared.notifications.is_empty() {
            put("x-notifications", declared.notifications.into());
        }
        self.methods.push(Value::Object(entry));
    }

    /// One entry for each parameter, in the order of their positions.
    fn params<P: MethodParams>(&mut self) -> Vec<Value> {
        let schema = P::json_schema(&mut self.schemas);
        let empty = Map::new();
        let members = schema.get("properties").and_then(Value::as_object).unwrap_or(&empty);
        let required = schema.get("required").and_then(Value::as_array);
        let names = P::MEMBERS.iter().copied();
        names
            .map(|name| {
                let mut member = members.get(name).cloned().unwrap_or_else(|| json!({}));
                let about = member.as_object_mut().and_then(|member| member.remove("description"));
                let needed = required.is_some_and(|names| names.iter().any(|one| one == name));
                let mut entry = json!({ "name": name, "required": needed, "schema": member });
                if let Some(about) = about {
                    entry["description"] = about;
                }
                entry
            })
            .collect()
    }

    /// The finished document as JSON.
    pub(crate) fn finish(mut self, version: &str) -> Bytes {
        self.notifications();
        let schemas = self.schemas.take_definitions(true);
        let mut document = json!({
            "openrpc": "1.3.2",
            "info": {
                "title": "Descartes",
                "version": API_VERSION,
                "description": "Starts, follows and controls command-line coding agents.",
                "license": { "name": "MIT OR Apache-2.0" },
                "x-daemon-version": version,
            },
            "methods": self.methods,
            "components": { "schemas": schemas },
            "x-notifications": notifications(),
        });
        unwrap_descriptions(&mut document);
        Bytes::from(document.to_string())
    }

    /// Names the schemas that only notifications and events refer to.
    fn notifications(&mut self) {
        self.schemas.subschema_for::<wire::event::Event>();
        self.schemas.subschema_for::<wire::output::Gap>();
        self.schemas.subschema_for::<wire::event::EndReason>();
        self.schemas.subschema_for::<wire::event::StatusChanged>();
        self.schemas.subschema_for::<wire::event::AgentExited>();
        self.schemas.subschema_for::<wire::event::OutputBlock>();
    }
}

/// Makes every description running text: in the source its lines are wrapped.
fn unwrap_descriptions(value: &mut Value) {
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                match member {
                    Value::String(text) if name == "description" => *text = prose(text),
                    member => unwrap_descriptions(member),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(unwrap_descriptions),
        _ => {}
    }
}

/// Doc comments as running text: lines joined, paragraphs kept.
fn prose(doc: &str) -> String {
    let paragraphs = doc.trim().split("\n\n");
    let joined = paragraphs.map(|text| text.split_whitespace().collect::<Vec<_>>().join(" "));
    joined.collect::<Vec<_>>().join("\n\n")
}

fn scope(scope: Scope) -> Value {
    match scope {
        Scope::Authenticated => Value::Null,
        named => named.as_str().into(),
    }
}

fn errors(declared: &Declaration) -> Vec<Value> {
    let mut kinds: Vec<ErrorKind> = EVERYWHERE.to_vec();
    kinds.extend(declared.errors.iter().filter(|kind| !EVERYWHERE.contains(kind)));
    if declared.mutating && !kinds.contains(&ErrorKind::Conflict) {
        // An idempotency key that was used with other parameters.
        kinds.push(ErrorKind::Conflict);
    }
    kinds.sort_by_key(|kind| std::cmp::Reverse(kind.code()));
    let entry = |kind: ErrorKind| {
        json!({
            "code": kind.code(),
            "message": kind.as_str(),
            "data": { "kind": kind.as_str(), "retryable": kind.retryable() },
        })
    };
    kinds.into_iter().map(entry).collect()
}

/// What follows the response of `event.subscribe`.
fn notifications() -> Value {
    let text = json!({ "type": "string" });
    let of = |name: &str, members: Value| json!({ "name": name, "params": members });
    let schema = |name: &str| json!({ "$ref": format!("#/components/schemas/{name}") });
    json!([
        of("event.next", json!({ "subscription_id": text, "event": schema("Event") })),
        of("event.synced", json!({ "subscription_id": text, "cursor": text })),
        of(
            "event.gap",
            json!({
                "subscription_id": text, "topic": text, "from_offset": { "type": "integer" },
                "to_offset": { "type": "integer" }, "cursor": text,
            })
        ),
        of(
            "event.ended",
            json!({ "subscription_id": text, "reason": schema("EndReason"), "cursor": text })
        ),
    ])
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use crate::methods;

    fn document() -> Value {
        serde_json::from_slice(&methods::document("golden")).unwrap()
    }

    #[test]
    fn the_published_document_changes_only_on_purpose() {
        let now = format!("{:#}\n", document());
        crate::wire::published::assert_unchanged("openrpc.json", &now);
    }

    #[test]
    fn every_reference_of_the_document_leads_somewhere() {
        fn walk(value: &Value, root: &Value) {
            match value {
                Value::Object(members) => {
                    if let Some(Value::String(reference)) = members.get("$ref") {
                        let pointer = reference.strip_prefix('#').expect("a local reference");
                        assert!(root.pointer(pointer).is_some(), "{reference}");
                    }
                    members.values().for_each(|value| walk(value, root));
                }
                Value::Array(items) => items.iter().for_each(|value| walk(value, root)),
                _ => {}
            }
        }
        let document = document();
        walk(&document, &document);
        for name in ["Agent", "Event", "Exit", "Gap"] {
            assert!(document["components"]["schemas"].get(name).is_some(), "{name}");
        }
    }

    #[test]
    fn every_mutating_method_takes_an_idempotency_key_as_its_last_parameter() {
        for method in document()["methods"].as_array().unwrap() {
            let last = method["params"].as_array().unwrap().last().map(|last| &last["name"]);
            let takes = last.is_some_and(|name| name == "idempotency_key");
            assert_eq!(takes, method["x-mutating"].as_bool().unwrap(), "{}", method["name"]);
        }
    }
}
