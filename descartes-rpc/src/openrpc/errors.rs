//! Errors as components of the document: which a method can give, and what they carry.

use serde_json::{Map, Value, json};

use crate::error::ErrorKind as Kind;
use crate::method::{Declaration, Scope};

/// What any message can be answered with before its method is known.
const OF_MESSAGES: [Kind; 3] = [Kind::ParseError, Kind::InvalidRequest, Kind::MethodNotFound];

/// What every method can give.
const EVERYWHERE: [Kind; 3] = [Kind::InvalidParams, Kind::Internal, Kind::Unauthenticated];

/// The shape of a member of `data`.
#[derive(Clone, Copy)]
enum Shape {
    Text,
    Texts,
    Number,
    Exit,
}

type Member = (&'static str, Shape, &'static str);

/// What `data` may hold beside `kind`, `retryable`, `reason` and `hint`.
fn members(kind: Kind) -> &'static [Member] {
    use Shape::{Exit, Number, Text, Texts};
    match kind {
        Kind::InvalidRequest => &[
            ("use", Text, "The method that works here."),
            ("limit", Text, "Which bound was passed."),
            ("current", Number, "What was sent."),
            ("max", Number, "What is taken."),
        ],
        Kind::InvalidParams => &[
            ("path", Text, "Where, as `config.limits.wall_secs`; empty for the whole."),
            ("expected", Text, "What would have been right there."),
            ("member", Text, "The member that was unknown, missing or given twice."),
            ("available", Texts, "The members or words that exist there."),
            ("api_version", Text, "The version of the interface that refuses it."),
        ],
        Kind::Internal => &[("incident", Text, "Where the log has the cause.")],
        Kind::AgentNotFound => &[("similar", Texts, "Names that are like it.")],
        Kind::SpawnFailed => &[
            ("program", Text, "What was to be started."),
            ("errno", Number, "The number of the system's error."),
            ("errno_name", Text, "Its name, as `ENOENT`."),
            ("stage", Text, "At which step: lookup, directory, exec, terminal or sandbox."),
            ("searched", Texts, "Where the program was looked for."),
            ("cwd", Text, "The working directory that was asked for."),
        ],
        Kind::KillFailed => &[("left", Text, "What is left, and why.")],
        Kind::Timeout => &[
            ("idempotency_key", Text, "Repeat the call with it to get the outcome."),
            ("status", Text, "The agent's status now."),
        ],
        Kind::ResourceExhausted => &[
            ("limit", Text, "The configuration key of the bound."),
            ("current", Number, "How much there is."),
            ("max", Number, "How much there may be."),
            ("retry_after_ms", Number, "When to try again."),
        ],
        Kind::Forbidden => &[
            ("required", Text, "The scope or rule that is missing."),
            ("principal", Text, "Who asked."),
        ],
        Kind::NotFound => &[
            ("what", Text, "What sort of thing."),
            ("name", Text, "What was asked for."),
            ("cause", Text, "Why it cannot be used."),
            ("available", Texts, "What there is."),
        ],
        Kind::Conflict => &[
            ("agent_id", Text, "The agent in question."),
            ("agent_ids", Texts, "The agents that bear the name."),
            ("status", Text, "Its status now."),
            ("exit", Exit, "How it ended."),
            ("version", Number, "The version that the value has."),
            ("names", Texts, "The variables that are missing."),
        ],
        _ => &[],
    }
}

/// The errors of one method, as references to the components.
pub(super) fn of_method(declared: &Declaration, immediate: bool) -> Vec<Value> {
    let mut kinds: Vec<Kind> = EVERYWHERE.to_vec();
    let mut may = |condition: bool, more: &[Kind]| {
        if condition {
            kinds.extend(more);
        }
    };
    may(declared.scope != Scope::Authenticated, &[Kind::Forbidden]);
    // What is answered on the spot takes no slot and no time.
    may(!immediate, &[Kind::Unavailable, Kind::ResourceExhausted]);
    may(!immediate && !declared.waits, &[Kind::Timeout]);
    may(declared.waits, &[Kind::Cancelled]);
    // Its idempotency key may have been used with other parameters, or not be writable.
    may(declared.mutating, &[Kind::Conflict, Kind::StateError]);
    kinds.extend(declared.errors);
    kinds.sort_by_key(|kind| std::cmp::Reverse(kind.code()));
    kinds.dedup();
    let reference = |kind| json!({ "$ref": format!("#/components/errors/{}", name(kind)) });
    kinds.into_iter().map(reference).collect()
}

/// The components that `methods` refer to: the errors, and the schemas of their data.
pub(super) fn components(methods: &[Value]) -> (Map<String, Value>, Map<String, Value>) {
    let referred = serde_json::to_string(methods).unwrap_or_default();
    let is_referred =
        |kind: &Kind| referred.contains(&format!("#/components/errors/{}\"", name(*kind)));
    let kinds: Vec<Kind> = Kind::ALL
        .iter()
        .copied()
        .filter(|kind| OF_MESSAGES.contains(kind) || is_referred(kind))
        .collect();
    let (mut errors, mut schemas, mut any) = (Map::new(), Map::new(), Vec::new());
    for kind in kinds {
        let data = json!({ "$ref": format!("#/components/schemas/{}Data", name(kind)) });
        let error = json!({ "code": kind.code(), "message": kind.about(), "data": data });
        errors.insert(name(kind), error);
        schemas.insert(format!("{}Data", name(kind)), data_of(kind));
        schemas.insert(format!("{}Error", name(kind)), error_of(kind, &data));
        any.push(json!({ "$ref": format!("#/components/schemas/{}Error", name(kind)) }));
    }
    let about = "What went wrong, told apart by `code`; later daemons may have further codes.";
    schemas.insert("Error".to_owned(), json!({ "description": about, "oneOf": any }));
    (errors, schemas)
}

/// A kind's name among the components: `agent_not_found` is `AgentNotFound`.
fn name(kind: Kind) -> String {
    let words = kind.as_str().split('_');
    words.map(|word| word[..1].to_uppercase() + &word[1..]).collect()
}

fn error_of(kind: Kind, data: &Value) -> Value {
    json!({
        "description": kind.about(),
        "type": "object",
        "required": ["code", "message", "data"],
        "properties": {
            "code": { "type": "integer", "const": kind.code() },
            "message": { "type": "string", "description": "One sentence for people." },
            "data": data,
        },
        "x-http-status": kind.http_status(),
    })
}

fn data_of(kind: Kind) -> Value {
    let text = |about: &str| json!({ "type": "string", "description": about });
    let mut properties = Map::new();
    let mut put = |name: &str, schema: Value| properties.insert(name.to_owned(), schema);
    put("kind", json!({ "type": "string", "const": kind.as_str() }));
    put(
        "retryable",
        json!({
            "type": "boolean",
            "default": kind.retryable(),
            "description": "Whether the same call may succeed later.",
        }),
    );
    put("reason", text("The case within the kind; stable."));
    put("hint", text("One sentence on what to do."));
    for (name, shape, about) in members(kind) {
        put(
            name,
            match shape {
                Shape::Text => text(about),
                Shape::Number => json!({ "type": "integer", "description": about }),
                Shape::Texts => {
                    json!({ "type": "array", "items": { "type": "string" }, "description": about })
                }
                Shape::Exit => {
                    json!({ "allOf": [{ "$ref": "#/components/schemas/Exit" }], "description": about })
                }
            },
        );
    }
    json!({
        "description": format!("What is known of an error `{kind}`."),
        "type": "object",
        "required": ["kind", "retryable"],
        "properties": properties,
    })
}
