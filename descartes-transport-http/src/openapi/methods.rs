//! `POST /rpc/<method>` for each method.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::{Source, content, refused};

/// What is carried over as it is.
const EXTENSIONS: [&str; 4] = ["x-scope", "x-mutating", "x-waits", "x-since"];

pub(super) fn operation(method: &Value, source: &Source) -> Value {
    let mut operation = Map::new();
    let mut put = |name: &str, value: Value| operation.insert(name.to_owned(), value);
    let name = method["name"].as_str().unwrap_or_default();
    put("operationId", name.into());
    put("tags", json!([name.split('.').next()]));
    put("summary", method["summary"].clone());
    put("description", method["description"].clone());
    put("requestBody", body(method));
    put("responses", responses(method, source));
    for extension in EXTENSIONS {
        put(extension, method[extension].clone());
    }
    Value::Object(operation)
}

/// The parameters by name; by position they are an array.
fn body(method: &Value) -> Value {
    let (mut properties, mut required) = (Map::new(), Vec::new());
    for param in method["params"].as_array().into_iter().flatten() {
        let name = param["name"].as_str().unwrap_or_default();
        properties.insert(name.to_owned(), described(param));
        if param["required"] == true {
            required.push(name);
        }
    }
    let mut schema = json!({
        "type": "object",
        "properties": properties,
        "additionalProperties": false,
    });
    if !required.is_empty() {
        schema["required"] = json!(required);
    }
    json!({
        "description": "The parameters by name. An array of them in this order is taken too; \
                        nothing at all is no parameters.",
        "required": !required.is_empty(),
        "content": content("application/json", &schema),
    })
}

/// A parameter's schema with its description.
fn described(param: &Value) -> Value {
    let mut schema = param["schema"].clone();
    if let (Some(schema), Some(about)) = (schema.as_object_mut(), param.get("description")) {
        schema.insert("description".to_owned(), about.clone());
    }
    schema
}

fn responses(method: &Value, source: &Source) -> Value {
    let mut answer = content("application/json", &method["result"]["schema"]);
    if method.get("x-notifications").is_some() {
        // Without it the call is refused: nothing could follow.
        answer = content("text/event-stream", &json!({ "type": "string" }));
    }
    let mut responses = Map::new();
    let about = if method.get("x-notifications").is_some() {
        "With `Accept: text/event-stream`: each `data` is a JSON-RPC message, the response first."
    } else {
        "The bare result."
    };
    responses.insert("200".to_owned(), json!({ "description": about, "content": answer }));
    for (status, names) in errors(method, source) {
        let about = names.iter().map(|name| source.schema(name)["description"].as_str());
        let about: Vec<&str> = about.map(Option::unwrap_or_default).collect();
        let reference = |name: &String| json!({ "$ref": format!("#/components/schemas/{name}") });
        let mut schemas: Vec<Value> = names.iter().map(reference).collect();
        let schema =
            if schemas.len() == 1 { schemas.remove(0) } else { json!({ "oneOf": schemas }) };
        let response = json!({
            "description": about.join(" "),
            "content": content("application/json", &schema),
        });
        responses.insert(status.to_string(), response);
    }
    responses.insert("default".to_owned(), refused());
    Value::Object(responses)
}

/// The schemas of the errors by status: those of the method, and those of every message.
fn errors(method: &Value, source: &Source) -> BTreeMap<u64, Vec<String>> {
    const OF_MESSAGES: [&str; 2] = ["ParseError", "InvalidRequest"];
    let references = method["errors"].as_array().into_iter().flatten();
    let own = references.filter_map(|error| error["$ref"].as_str()?.rsplit('/').next());
    let mut by_status: BTreeMap<u64, Vec<String>> = BTreeMap::new();
    for name in own.chain(OF_MESSAGES) {
        let name = format!("{name}Error");
        let Some(status) = source.schema(&name)["x-http-status"].as_u64() else { continue };
        let names = by_status.entry(status).or_default();
        if !names.contains(&name) {
            names.push(name);
        }
    }
    by_status
}
