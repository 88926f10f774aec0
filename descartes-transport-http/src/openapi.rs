//! The OpenAPI 3.1 document, made from the OpenRPC document and the table of aliases.
//!
//! What a method takes, gives and fails with is told by the service itself; only what is HTTP
//! (paths, statuses, media types) is said here.

mod methods;
mod routes;

use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use serde_json::{Map, Value, json};

use crate::{alias::ALIASES, route::NUMBERS};

/// The last document that was made, and what from.
#[derive(Debug, Default)]
pub(crate) struct OpenApi {
    /// Whether the page of numbers is served.
    numbers: bool,
    made: Mutex<Option<(Bytes, Bytes)>>,
}

impl OpenApi {
    pub(crate) fn new(numbers: bool) -> Self {
        Self { numbers, made: Mutex::default() }
    }

    /// The document that describes the methods of `openrpc`; made anew only when that has changed.
    pub(crate) fn of(&self, openrpc: &Bytes) -> serde_json::Result<Bytes> {
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((from, document)) = made.as_ref()
            && from == openrpc
        {
            return Ok(document.clone());
        }
        let document = Bytes::from(document(openrpc, self.numbers)?.to_string());
        *made = Some((openrpc.clone(), document.clone()));
        Ok(document)
    }
}

/// What is read of the OpenRPC document.
struct Source {
    document: Value,
}

impl Source {
    fn methods(&self) -> impl Iterator<Item = &Value> {
        self.document["methods"].as_array().into_iter().flatten()
    }

    fn method(&self, name: &str) -> &Value {
        self.methods().find(|method| method["name"] == name).unwrap_or(&Value::Null)
    }

    /// The schema of the parameter `name` of a method.
    fn parameter(&self, method: &str, name: &str) -> &Value {
        let mut params = self.method(method)["params"].as_array().into_iter().flatten();
        params.find(|param| param["name"] == name).unwrap_or(&Value::Null)
    }

    fn schema(&self, name: &str) -> &Value {
        &self.document["components"]["schemas"][name]
    }
}

fn document(openrpc: &[u8], numbers: bool) -> serde_json::Result<Value> {
    let source = Source { document: serde_json::from_slice(openrpc)? };
    let mut paths = routes::fixed();
    if numbers {
        paths.insert(NUMBERS.to_owned(), json!({ "get": routes::numbers() }));
    }
    for alias in ALIASES {
        let operation = routes::alias(alias, &source);
        paths.insert(alias.path.to_owned(), json!({ "get": operation }));
    }
    for method in source.methods() {
        let name = method["name"].as_str().unwrap_or_default();
        let operation = methods::operation(method, &source);
        paths.insert(format!("/rpc/{name}"), json!({ "post": operation }));
    }
    let mut schemas = source.document["components"]["schemas"].as_object().cloned();
    schemas.get_or_insert_default().extend(routes::schemas());
    Ok(json!({
        "openapi": "3.1.0",
        "info": source.document["info"],
        // Beside this document, under whatever prefix it is mounted.
        "servers": [{ "url": "./" }],
        "tags": tags(&source),
        "paths": paths,
        "components": { "schemas": schemas, "responses": routes::responses() },
    }))
}

fn tags(source: &Source) -> Vec<Value> {
    let mut names: Vec<&str> = vec!["http"];
    for method in source.methods() {
        let name = method["name"].as_str().unwrap_or_default();
        let group = name.split('.').next().unwrap_or_default();
        if !names.contains(&group) {
            names.push(group);
        }
    }
    names.into_iter().map(|name| json!({ "name": name })).collect()
}

/// What never reached a method, whatever the status.
fn refused() -> Value {
    json!({ "$ref": "#/components/responses/Refused" })
}

/// A body of one media type.
fn content(media: &str, schema: &Value) -> Map<String, Value> {
    Map::from_iter([(media.to_owned(), json!({ "schema": schema }))])
}

#[cfg(test)]
mod tests {
    use descartes_rpc::testing::published;

    use super::*;

    const SOURCE: &str = include_str!("../../descartes-rpc/golden/openrpc.json");

    fn now() -> Value {
        document(SOURCE.as_bytes(), true).unwrap()
    }

    #[test]
    fn the_published_document_changes_only_on_purpose() {
        let this = (env!("CARGO_MANIFEST_DIR"), env!("CARGO_PKG_NAME"));
        published::assert_unchanged(this, "openapi.json", &format!("{:#}\n", now()));
    }

    #[test]
    fn every_method_has_its_path_and_every_reference_leads_somewhere() {
        let (document, source) = (now(), serde_json::from_str::<Value>(SOURCE).unwrap());
        published::assert_references_lead_somewhere(&document);
        for method in source["methods"].as_array().unwrap() {
            let path = format!("/rpc/{}", method["name"].as_str().unwrap());
            assert_eq!(document["paths"][&path]["post"]["operationId"], method["name"]);
        }
        let spawn = &document["paths"]["/rpc/agent.spawn"]["post"]["responses"];
        assert!(spawn["422"].is_object() && spawn["409"].is_object(), "{spawn}");
        let logs = &document["paths"]["/agents/{agent}/logs"]["get"]["parameters"];
        let schema = |name: &str| {
            let found = logs.as_array().unwrap().iter().find(|one| one["name"] == name);
            found.unwrap()["schema"].clone()
        };
        assert_eq!(schema("stream"), json!({ "$ref": "#/components/schemas/StreamChoice" }));
    }

    #[test]
    fn the_page_of_numbers_is_described_where_it_is_served() {
        assert!(now()["paths"][NUMBERS]["get"].is_object());
        assert!(document(SOURCE.as_bytes(), false).unwrap()["paths"].get(NUMBERS).is_none());
    }

    #[test]
    fn the_document_is_made_once_for_each_description_of_the_service() {
        let made = OpenApi::default();
        let of = |text: &'static str| made.of(&Bytes::from_static(text.as_bytes())).unwrap();
        let first = of(SOURCE);
        assert_eq!(first.as_ptr(), of(SOURCE).as_ptr());
        assert_ne!(first, of(r#"{"methods":[],"components":{"schemas":{}}}"#));
        assert!(made.of(&Bytes::from_static(b"rubbish")).is_err());
    }
}
