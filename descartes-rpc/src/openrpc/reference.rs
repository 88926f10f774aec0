//! The OpenRPC document as a page for people: `docs/api.md`.

use std::fmt::Write;

use serde_json::Value;

/// What stands before the methods.
const OPENING: &str = "\
# API reference

Made from the OpenRPC document that every daemon gives out (`rpc.discover`, `GET /openrpc.json`), by
`DESCARTES_BLESS=1 cargo test -p descartes-rpc published`; do not edit it. `?` marks what may be
absent. Parameters are given by name, or by position in the order of their table. A member that is
not listed is refused in parameters; in results, new ones may come. *Changes something* means that the
call runs on when its caller leaves, and takes an `idempotency_key`. *Waits* means that it has a time
limit of its own.
";

/// The page for `document`.
pub(super) fn page(document: &Value) -> String {
    let mut page = OPENING.to_owned();
    let mut group = "";
    for method in list(&document["methods"]) {
        let name = text(&method["name"]);
        let room = name.split('.').next().unwrap_or_default();
        if room != group {
            group = room;
            add(&mut page, format_args!("\n## Methods of {group}\n"));
        }
        add_method(&mut page, method);
    }
    add_errors(&mut page, document);
    add_notifications(&mut page, document);
    page.push_str("\n## Shapes\n");
    for (name, schema) in members(&document["components"]["schemas"]) {
        if !is_error(name, schema) {
            add_shape(&mut page, name, schema);
        }
    }
    page
}

fn add_method(page: &mut String, method: &Value) {
    add(
        page,
        format_args!("\n### {}\n\n{}\n", text(&method["name"]), text(&method["description"])),
    );
    let scope = method["x-scope"].as_str();
    let scope = scope.map_or("Any caller".to_owned(), |scope| format!("Scope `{scope}`"));
    let mut marks = vec![scope];
    marks.extend((method["x-mutating"] == true).then(|| "changes something".to_owned()));
    marks.extend((method["x-waits"] == true).then(|| "waits".to_owned()));
    marks.push(format!("since {}", text(&method["x-since"])));
    add(page, format_args!("\n{}.\n", marks.join(" · ")));
    let params: Vec<Row<'_>> = list(&method["params"])
        .filter(|param| param["name"] != "idempotency_key")
        .map(|param| Row {
            name: text(&param["name"]),
            needed: param["required"] == true,
            kind: kind(&param["schema"]),
            about: text(&param["description"]),
        })
        .collect();
    add_table(page, "parameter", &params);
    add(page, format_args!("\nResult: {}.\n", kind(&method["result"]["schema"])));
}

fn add_errors(page: &mut String, document: &Value) {
    page.push_str("\n## Errors\n\n| code | message | `data` |\n| --- | --- | --- |\n");
    for (_, error) in members(&document["components"]["errors"]) {
        let (code, message) = (&error["code"], text(&error["message"]));
        add(page, format_args!("| {code} | {message} | {} |\n", kind(&error["data"])));
    }
}

fn add_notifications(page: &mut String, document: &Value) {
    page.push_str("\n## Notifications\n\nWhat follows the answer to `event.subscribe`.\n\n");
    for notification in list(&document["x-notifications"]) {
        let name = text(&notification["name"]);
        add(page, format_args!("- `{name}`: {}\n", kind(&notification["params"])));
    }
}

fn add_shape(page: &mut String, name: &str, schema: &Value) {
    add(page, format_args!("\n### {name}\n\n"));
    let about = text(&schema["description"]);
    if !about.is_empty() {
        add(page, format_args!("{about}\n"));
    }
    let needed: Vec<&str> = list(&schema["required"]).map(text).collect();
    let rows: Vec<Row<'_>> = members(&schema["properties"])
        .map(|(name, member)| Row {
            name,
            needed: needed.contains(&name),
            kind: kind(member),
            about: text(&member["description"]),
        })
        .collect();
    if rows.is_empty() {
        add(page, format_args!("\n{}\n", kind(schema)));
    } else {
        add_table(page, "member", &rows);
    }
}

/// One line of a table.
struct Row<'a> {
    name: &'a str,
    needed: bool,
    kind: String,
    about: &'a str,
}

fn add_table(page: &mut String, title: &str, rows: &[Row<'_>]) {
    if rows.is_empty() {
        return;
    }
    add(page, format_args!("\n| {title} | is | |\n| --- | --- | --- |\n"));
    for Row { name, needed, kind, about } in rows {
        let mark = if *needed { "" } else { "?" };
        let about = about.replace('\n', " ").replace('|', "\\|");
        add(page, format_args!("| `{name}`{mark} | {kind} | {about} |\n"));
    }
}

/// What a value of this schema is, in words.
fn kind(schema: &Value) -> String {
    if let Some(reference) = schema["$ref"].as_str() {
        let name = reference.rsplit('/').next().unwrap_or_default();
        return format!("[{name}](#{})", name.to_lowercase());
    }
    if let Some(constant) = schema.get("const") {
        return format!("`{}`", constant.to_string().replace('"', ""));
    }
    for choice in ["allOf", "anyOf", "oneOf"] {
        if schema[choice].is_array() {
            return joined(list(&schema[choice]).map(kind));
        }
    }
    match &schema["type"] {
        Value::Array(types) => joined(types.iter().map(|name| text(name).to_owned())),
        Value::String(name) if name == "array" => format!("list of {}", kind(&schema["items"])),
        Value::String(name) if name == "object" && schema["additionalProperties"].is_object() => {
            format!("names with {}", kind(&schema["additionalProperties"]))
        }
        Value::String(name) if name == "string" => "text".to_owned(),
        Value::String(name) => name.clone(),
        _ => "anything".to_owned(),
    }
}

fn joined(kinds: impl Iterator<Item = String>) -> String {
    let mut all: Vec<String> = kinds.collect();
    all.dedup();
    all.join(", ")
}

/// Errors are one shape with many names, and have a table of their own.
fn is_error(name: &str, schema: &Value) -> bool {
    name == "Error" || schema.get("x-http-status").is_some()
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn members(value: &Value) -> impl Iterator<Item = (&str, &Value)> {
    value.as_object().into_iter().flatten().map(|(name, value)| (name.as_str(), value))
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn add(page: &mut String, words: std::fmt::Arguments<'_>) {
    page.write_fmt(words).expect("a text takes what is written");
}
