//! Schemas as they are derived say a little less, and a little more, than what is meant.

use serde_json::Value;

/// Makes every description running text: in the source its lines are wrapped, and code is linked.
pub(super) fn unwrap_descriptions(value: &mut Value) {
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
    joined.collect::<Vec<_>>().join("\n\n").replace("[`", "`").replace("`]", "`")
}

/// A member that is not there is absent, never null: takes null from all members that need not be
/// there.
pub(super) fn absent_is_not_null(schema: &mut Value) {
    let Value::Object(object) = schema else { return };
    let required = match object.get("required") {
        Some(Value::Array(names)) => names.clone(),
        _ => Vec::new(),
    };
    if let Some(Value::Object(members)) = object.get_mut("properties") {
        for (name, member) in members {
            if !required.iter().any(|one| one == name) {
                without_null(member);
            }
        }
    }
    for part in object.values_mut() {
        match part {
            Value::Object(_) => absent_is_not_null(part),
            Value::Array(items) => items.iter_mut().for_each(absent_is_not_null),
            _ => {}
        }
    }
}

/// The same schema, but not for null.
pub(super) fn without_null(schema: &mut Value) {
    let Value::Object(object) = schema else { return };
    if let Some(Value::Array(types)) = object.get_mut("type") {
        types.retain(|one| one != "null");
        if let [one] = types.as_slice() {
            let one = one.clone();
            object.insert("type".to_owned(), one);
        }
    }
    let Some(Value::Array(mut any)) = object.remove("anyOf") else { return };
    any.retain(|one| one.get("type").is_none_or(|one| one != "null"));
    match any.as_mut_slice() {
        // Beside a reference draft 7 reads nothing else.
        [one] if one.get("$ref").is_some() && !object.is_empty() => {
            object.insert("allOf".to_owned(), any.into());
        }
        [Value::Object(one)] => object.append(one),
        _ => {
            object.insert("anyOf".to_owned(), any.into());
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_may_be_absent_is_not_null() {
        let mut schema = json!({
            "type": "object",
            "required": ["id"],
            "properties": {
                "id": { "type": ["string", "integer", "null"] },
                "pid": { "type": ["integer", "null"], "minimum": 0 },
                "exit": { "anyOf": [{ "$ref": "#/Exit" }, { "type": "null" }], "description": "e" },
                "bare": { "anyOf": [{ "$ref": "#/Exit" }, { "type": "null" }] },
                "many": { "anyOf": [{ "anyOf": [{ "$ref": "#/A" }, true] }, { "type": "null" }] },
            },
        });
        absent_is_not_null(&mut schema);
        assert_eq!(
            schema["properties"],
            json!({
                "id": { "type": ["string", "integer", "null"] },
                "pid": { "type": "integer", "minimum": 0 },
                "exit": { "allOf": [{ "$ref": "#/Exit" }], "description": "e" },
                "bare": { "$ref": "#/Exit" },
                "many": { "anyOf": [{ "$ref": "#/A" }, true] },
            })
        );
    }
}
