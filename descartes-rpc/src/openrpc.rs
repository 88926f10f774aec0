//! The OpenRPC 1.3 document, made from the declarations.

mod errors;
#[cfg(test)]
mod reference;
mod tidy;

use bytes::Bytes;
use schemars::SchemaGenerator;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use crate::method::{Method, MethodParams, Scope};
use crate::wire::{event, state};

/// The version of the interface; a daemon's own version may be newer.
pub const API_VERSION: &str = "1.0";

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

    /// Adds one method; `immediate` if it is answered on the spot.
    pub(crate) fn add<M: Method>(&mut self, immediate: bool) {
        let declared = M::DECLARATION;
        let result = self.schemas.subschema_for::<M::Result>();
        let mut entry = Map::new();
        let mut put = |member: &str, value: Value| entry.insert(member.to_owned(), value);
        put("name", declared.name.into());
        put("summary", declared.summary().into());
        put("description", declared.doc.into());
        let group = declared.name.split('.').next().unwrap_or_default();
        put("tags", json!([{ "name": group }]));
        put("paramStructure", "either".into());
        put("params", Value::Array(self.params::<M::Params>()));
        put("result", json!({ "name": "result", "schema": result }));
        put("errors", Value::Array(errors::of_method(&declared, immediate)));
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
                if !needed {
                    tidy::without_null(&mut member);
                }
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
        let notifications = self.notifications();
        // What only a description or a reader of unknown events refers to.
        self.schemas.subschema_for::<event::EventHead>();
        self.schemas.subschema_for::<state::AgentBrief>();
        let (errors, of_errors) = errors::components(&self.methods);
        let mut schemas = self.schemas.take_definitions(true);
        schemas.extend(of_errors);
        schemas.values_mut().for_each(tidy::absent_is_not_null);
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
            "components": { "schemas": schemas, "errors": errors },
            "x-notifications": notifications,
        });
        tidy::unwrap_descriptions(&mut document);
        Bytes::from(document.to_string())
    }

    /// What follows the response of `event.subscribe`.
    fn notifications(&mut self) -> Value {
        let schemas = &mut self.schemas;
        json!([
            { "name": "event.next", "params": schemas.subschema_for::<event::EventNext>() },
            { "name": "event.synced", "params": schemas.subschema_for::<event::EventSynced>() },
            { "name": "event.gap", "params": schemas.subschema_for::<event::EventGap>() },
            { "name": "event.ended", "params": schemas.subschema_for::<event::EventEnded>() },
        ])
    }
}

fn scope(scope: Scope) -> Value {
    match scope {
        Scope::Authenticated => Value::Null,
        named => named.as_str().into(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use crate::{methods, testing::published};

    fn document() -> Value {
        serde_json::from_slice(&methods::document("golden")).unwrap()
    }

    #[test]
    fn the_published_document_changes_only_on_purpose() {
        let now = format!("{:#}\n", document());
        let this = (env!("CARGO_MANIFEST_DIR"), env!("CARGO_PKG_NAME"));
        published::assert_unchanged(this, "openrpc.json", &now);
    }

    #[test]
    fn the_published_reference_is_made_of_the_document() {
        let page = super::reference::page(&document());
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/api.md");
        published::assert_file_unchanged(file, env!("CARGO_PKG_NAME"), &page);
    }

    #[test]
    fn every_reference_of_the_document_leads_somewhere() {
        let document = document();
        published::assert_references_lead_somewhere(&document);
        for name in ["Agent", "AgentBrief", "Event", "EventHead", "EventNext", "Exit", "Error"] {
            assert!(document["components"]["schemas"].get(name).is_some(), "{name}");
        }
    }

    #[test]
    fn events_are_told_apart_by_a_constant() {
        let document = document();
        let schemas = &document["components"]["schemas"];
        for (word, reference) in schemas["Event"]["discriminator"]["mapping"].as_object().unwrap() {
            let pointer = reference.as_str().unwrap().strip_prefix('#').unwrap();
            let schema = document.pointer(pointer).unwrap();
            assert_eq!(schema["properties"]["type"]["const"], word.as_str());
        }
    }

    #[test]
    fn a_method_has_only_the_errors_that_it_can_give() {
        let document = document();
        let errors = |name: &str| {
            let mut methods = document["methods"].as_array().unwrap().iter();
            let method = methods.find(|method| method["name"] == name).unwrap();
            let errors = method["errors"].as_array().unwrap().iter();
            let names = errors.map(|error| error["$ref"].as_str().unwrap().rsplit('/').next());
            names.map(Option::unwrap).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(errors("system.health"), "Unauthenticated InvalidParams Internal");
        assert_eq!(
            errors("agent.wait"),
            "Other Unauthenticated AgentNotFound Unavailable Timeout ResourceExhausted Forbidden \
             Cancelled InvalidParams Internal"
        );
        assert!(errors("event.subscribe").contains("InvalidRequest"));
        assert!(!errors("agent.list").contains("Conflict"));
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
