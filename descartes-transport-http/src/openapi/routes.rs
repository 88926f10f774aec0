//! The routes that are not a method's own path, and the shapes that only HTTP has.

use serde_json::{Map, Value, json};

use super::{Source, content, refused};
use crate::alias::{Alias, AnswerAs, Becomes, Parameter, Place};

/// A row of the table of aliases.
pub(super) fn alias(alias: &Alias, source: &Source) -> Value {
    let parameters: Vec<Value> =
        alias.parameters.iter().map(|one| parameter(alias, one, source)).collect();
    let mut responses = json!({ "200": answer(alias, source), "default": refused() });
    if alias.answer == AnswerAs::Events {
        let about = "The cursor belongs to another store: do not come back with it.";
        responses["204"] = json!({ "description": about });
    }
    json!({
        "operationId": alias.path.trim_matches('/').replace(['/', '.'], "_").replace(['{', '}'], ""),
        "tags": ["http"],
        "summary": alias.about.split(['.', ':']).next(),
        "description": alias.about,
        "parameters": parameters,
        "responses": responses,
        "x-method": alias.method,
    })
}

fn parameter(alias: &Alias, one: &Parameter, source: &Source) -> Value {
    let place = match one.place {
        Place::Path => "path",
        Place::Query => "query",
        Place::Header => "header",
    };
    let (about, schema) = match one.becomes {
        Becomes::Text(member)
        | Becomes::Number(member)
        | Becomes::Element(member)
        | Becomes::Elements(member) => {
            let declared = source.parameter(alias.method, member);
            (declared["description"].clone(), declared["schema"].clone())
        }
        Becomes::Position => {
            let about = "Where the reader is; wins over whatever says where to begin.";
            (about.into(), json!({ "type": "string" }))
        }
        Becomes::Follow => {
            let about = "Whether the answer goes on with what comes later.";
            (about.into(), json!({ "type": "integer", "enum": [0, 1], "default": 0 }))
        }
    };
    let required = one.place == Place::Path || matches!(one.becomes, Becomes::Element(_));
    let mut parameter = json!({
        "name": one.name, "in": place, "description": about, "required": required, "schema": schema,
    });
    if let Becomes::Element(_) | Becomes::Elements(_) = one.becomes {
        parameter["style"] = "form".into();
        parameter["explode"] = matches!(one.becomes, Becomes::Element(_)).into();
    }
    parameter
}

fn answer(alias: &Alias, source: &Source) -> Value {
    match alias.answer {
        AnswerAs::Result => {
            let schema = &source.method(alias.method)["result"]["schema"];
            json!({ "description": "The bare result.", "content": content("application/json", schema) })
        }
        AnswerAs::OpenApi => {
            let schema = json!({ "type": "object" });
            json!({ "description": "This document.", "content": content("application/json", &schema) })
        }
        AnswerAs::Events => json!({
            "description": "Server-sent events, until one of the two ends it.",
            "content": content("text/event-stream", &json!({ "type": "string" })),
        }),
        AnswerAs::Bytes => json!({
            "description": "The bytes as they were written.",
            "headers": { "Descartes-Gap": {
                "description": "What is no longer kept before the beginning, as offsets of events.",
                "schema": { "type": "string" },
            } },
            "content": { "text/plain": {} },
        }),
    }
}

/// The routes that stand for no single method.
pub(super) fn fixed() -> Map<String, Value> {
    let mut paths = Map::new();
    let mut put = |path: &str, item: Value| paths.insert(path.to_owned(), item);
    put("/", json!({ "get": front_page(), "post": call("call") }));
    put("/rpc", json!({ "post": call("rpc") }));
    put("/health", json!({ "get": word("health", "OK, to anyone.", None) }));
    let not_ready = Some("`NOT READY: ` and which checks say no.");
    put("/ready", json!({ "get": word("ready", "READY, to anyone.", not_ready) }));
    put("/ws", json!({ "get": websocket() }));
    paths
}

/// The page of numbers.
pub(super) fn numbers() -> Value {
    let page = content("text/plain", &json!({ "type": "string" }));
    json!({
        "operationId": "metrics",
        "tags": ["http"],
        "summary": "What is counted, as Prometheus reads it (text format 0.0.4).",
        "description": "For whoever may have `system.metrics`: the scope `metrics`.",
        "responses": {
            "200": { "description": "The numbers.", "content": page },
            "default": refused(),
        },
    })
}

fn websocket() -> Value {
    json!({
        "operationId": "websocket",
        "tags": ["http"],
        "summary": "JSON-RPC both ways over WebSocket (RFC 6455), with subscriptions.",
        "description": "One message, or batch, in each text frame. Closed with 1000, 1001 (the \
                        server stops), 1002, 1003 (bytes), 1007 (not UTF-8), 1009 (too long), 1013 \
                        (no room), 4401 (not admitted). `openrpc.json` describes the messages.",
        "responses": {
            "101": { "description": "The connection is a WebSocket." },
            "default": refused(),
        },
    })
}

fn front_page() -> Value {
    let schema = json!({
        "type": "object",
        "required": ["name", "version", "methods"],
        "properties": {
            "name": { "type": "string" },
            "version": { "type": "string" },
            "methods": { "type": "array", "items": { "type": "string" } },
            "transports": {
                "type": "array", "items": { "$ref": "#/components/schemas/TransportInfo" },
            },
        },
    });
    let page = json!({ "description": "A page.", "content": content("application/json", &schema) });
    json!({
        "operationId": "information",
        "tags": ["http"],
        "summary": "What this is, and which methods there are.",
        "responses": { "200": page, "default": refused() },
    })
}

/// A route that says one word.
fn word(name: &str, about: &str, unavailable: Option<&str>) -> Value {
    let text = |about: &str| {
        json!({
            "description": about, "content": content("text/plain", &json!({ "type": "string" })),
        })
    };
    let mut responses = json!({ "200": text(about) });
    if let Some(about) = unavailable {
        responses["503"] = text(about);
    }
    json!({ "operationId": name, "tags": ["http"], "summary": about, "responses": responses })
}

/// JSON-RPC as such.
fn call(name: &str) -> Value {
    let one_or_many = |name: &str| {
        let one = json!({ "$ref": format!("#/components/schemas/{name}") });
        let many = json!({ "type": "array", "minItems": 1, "maxItems": 128, "items": one });
        json!({ "oneOf": [one, many] })
    };
    let mut answer = content("application/json", &one_or_many("Response"));
    answer.extend(content("text/event-stream", &json!({ "type": "string" })));
    let asked = content("application/json", &one_or_many("Request"));
    json!({
        "operationId": name,
        "tags": ["http"],
        "summary": "JSON-RPC 2.0: a call, a notification or a batch of at most 128.",
        "description": "With `Accept: text/event-stream` the answer is a stream: each `data` is a \
                        JSON-RPC message, the response first, then the notifications of a \
                        subscription.",
        "requestBody": { "required": true, "content": asked },
        "responses": {
            "200": { "description": "Every answered call, also with an error.", "content": answer },
            "204": { "description": "Notifications alone are not answered." },
            "default": refused(),
        },
    })
}

pub(super) fn responses() -> Value {
    json!({ "Refused": {
        "description": "What never reached a method: 400, 401, 403, 404, 405, 413, 415, 421, 429 \
                        or 503.",
        "content": content("application/json", &json!({ "$ref": "#/components/schemas/Refusal" })),
    } })
}

pub(super) fn schemas() -> Map<String, Value> {
    let version = json!({ "type": "string", "const": "2.0" });
    let id = json!({ "type": ["string", "integer", "null"] });
    let error = json!({ "$ref": "#/components/schemas/Error" });
    let object = |about: &str, required: &[&str], properties: Value| {
        json!({
            "description": about, "type": "object", "required": required, "properties": properties,
        })
    };
    let mut schemas = Map::new();
    let mut put = |name: &str, schema: Value| schemas.insert(name.to_owned(), schema);
    let params = json!({ "type": ["object", "array"], "description": "By name or by position." });
    put(
        "Request",
        object(
            "A call; without `id` a notification.",
            &["jsonrpc", "method"],
            json!({ "jsonrpc": version, "id": id, "method": { "type": "string" }, "params": params }),
        ),
    );
    put(
        "Response",
        object(
            "The answer to a call: `result` or `error`.",
            &["jsonrpc", "id"],
            json!({ "jsonrpc": version, "id": id, "result": {}, "error": error }),
        ),
    );
    put(
        "Refusal",
        object(
            "An error that belongs to no call.",
            &["jsonrpc", "id", "error"],
            json!({ "jsonrpc": version, "id": { "type": "null" }, "error": error }),
        ),
    );
    schemas
}
