//! The older flat form of a `spawn_request`, in its `config` or beside `request_id`: one table of
//! which member stands for what.

use std::collections::BTreeMap;

use descartes_rpc::decode::ParamFault;
use serde_json::{Value as Json, map::Entry};

use super::caller::Members;
use super::value::Value;
use super::wire::ProtocolError;

/// What a member of the flat form means.
enum Means {
    /// The parameter of `agent.spawn` at this path.
    Is(&'static [&'static str]),
    /// Text that stands before the task.
    Before(&'static [&'static str]),
    /// Nothing that could be done yet.
    Nothing,
}

/// The member by which the flat form is known.
pub(super) const MARK: &str = "model_backend";

/// The members of a `spawn_request` that are none of the agent's.
const OF_REQUEST: [&str; 4] = ["type", "request_id", "timeout_secs", "metadata"];

/// What makes repeating a start safe; as in `agent.spawn`.
pub(super) const KEY: &str = "idempotency_key";

const FLAT: &[(&str, Means)] = &[
    ("name", Means::Is(&["name"])),
    (MARK, Means::Is(&["agent_type"])),
    ("task", Means::Is(&["config", "task"])),
    ("environment", Means::Is(&["config", "env"])),
    (KEY, Means::Is(&[KEY])),
    ("context", Means::Before(&["config", "task"])),
    ("system_prompt", Means::Nothing),
    ("model", Means::Nothing),
    ("tool_level", Means::Nothing),
];

/// What stands between the context and the task.
const BETWEEN: &str = "\n\n";

/// How the members of a `config` are called, so that errors name what was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// As `agent.spawn` calls them.
    Native,
    /// As the older clients do.
    Flat,
}

/// The message in which the members that stand beside `request_id` stand in `config`, where they are
/// read; `None` where it is not even a map.
pub(super) fn with_config(message: &[u8]) -> Option<Vec<u8>> {
    let Ok(Value::Map(members)) = rmp_serde::from_slice(message) else { return None };
    let is_of_request = |name: &str| OF_REQUEST.contains(&name);
    let (mut request, config): (BTreeMap<_, _>, _) =
        members.into_iter().partition(|(name, _)| is_of_request(name));
    request.insert("config".to_owned(), Value::Map(config));
    rmp_serde::to_vec_named(&Value::Map(request)).ok()
}

/// The same error about members that were sent beside `request_id`, and not in a `config`.
pub(super) fn without_config(mut error: ProtocolError) -> ProtocolError {
    let below = |text: &str| {
        let rest = text.strip_prefix("config")?;
        let said = rest.strip_prefix('.').or_else(|| rest.strip_prefix(": "));
        said.or(rest.is_empty().then_some("")).map(str::to_owned)
    };
    if let Some(message) = below(&error.message) {
        error.message = message;
    }
    if let Some(path) = error.path.as_deref().and_then(below) {
        if let Value::Map(data) = &mut error.data {
            data.insert("path".to_owned(), path.as_str().into());
        }
        error.path = Some(path);
    }
    error
}

/// The parameters of `agent.spawn` that `config` stands for.
pub(super) fn spawn_params(config: Members) -> Result<(Form, Members), ParamFault> {
    if !config.contains_key(MARK) {
        return Ok((Form::Native, config));
    }
    let (mut params, mut before) = (Members::new(), None);
    for (name, value) in config {
        let at = format!("config.{name}");
        let Some((_, means)) = FLAT.iter().find(|(known, _)| *known == name) else {
            let mut fault = ParamFault::at("config", "a member of the flat form");
            fault.message = format!("config: unknown field `{name}`");
            fault.member = Some(name);
            fault.available = FLAT.iter().map(|(known, _)| (*known).to_owned()).collect();
            return Err(fault);
        };
        match means {
            // Older clients write what they do not say as nil.
            _ if value.is_null() => {}
            Means::Is(path) => put(&mut params, path, value),
            Means::Before(path) => match value {
                Json::String(text) => before = Some((*path, text)),
                _ => return Err(ParamFault::at(&at, "text")),
            },
            Means::Nothing => {
                return Err(ParamFault::at(&at, "nothing: it has no effect on any backend yet"));
            }
        }
    }
    if let Some((path, context)) = before {
        let whole = match take(&mut params, path) {
            Some(Json::String(task)) => format!("{context}{BETWEEN}{task}"),
            Some(_) => return Err(ParamFault::at("config.task", "text")),
            None => context,
        };
        put(&mut params, path, whole.into());
    }
    Ok((Form::Flat, params))
}

/// Puts `value` at `path`, through objects that are made where they are missing.
fn put(into: &mut Members, path: &[&str], value: Json) {
    let Some((last, way)) = path.split_last() else { return };
    let mut at = into;
    for name in way {
        let entry = match at.entry(*name) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => entry.insert(Json::Object(Members::new())),
        };
        let Json::Object(inner) = entry else { return };
        at = inner;
    }
    at.insert((*last).to_owned(), value);
}

/// Takes what stands at `path`.
fn take(from: &mut Members, path: &[&str]) -> Option<Json> {
    let (last, way) = path.split_last()?;
    let mut at = from;
    for name in way {
        at = at.get_mut(*name)?.as_object_mut()?;
    }
    at.remove(*last)
}

/// Where in the message the parameter at `path` was given.
pub(super) fn sent_path(form: Form, path: &str) -> String {
    let rows = FLAT.iter().filter(|_| form == Form::Flat);
    let renamed = rows.filter_map(|(name, means)| match means {
        Means::Is(to) => Some((*name, path.strip_prefix(&*to.join("."))?)),
        Means::Before(_) | Means::Nothing => None,
    });
    let mut renamed = renamed.filter(|(_, rest)| rest.is_empty() || rest.starts_with(['.', '[']));
    match renamed.next() {
        Some((name, rest)) => format!("config.{name}{rest}"),
        None if path.is_empty() || form == Form::Flat => "config".to_owned(),
        None => format!("config.{path}"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn of(config: Json) -> Result<(Form, Json), ParamFault> {
        let Json::Object(config) = config else { panic!("an object") };
        spawn_params(config).map(|(form, params)| (form, Json::Object(params)))
    }

    #[test]
    fn the_flat_form_is_known_by_its_backend_and_every_member_has_a_meaning() {
        let native = json!({"name": "a", "config": {"task": "t"}});
        assert_eq!(of(native.clone()).unwrap(), (Form::Native, native));
        let flat = json!({
            "name": "a", "model_backend": "basic", "task": "go", "context": "Be kind.",
            "environment": {"A": "1"}, "system_prompt": null, "idempotency_key": "k",
        });
        let params = json!({
            "name": "a", "agent_type": "basic", "idempotency_key": "k",
            "config": {"task": "Be kind.\n\ngo", "env": {"A": "1"}},
        });
        assert_eq!(of(flat).unwrap(), (Form::Flat, params));
        let alone = json!({"model_backend": "basic", "context": "hi"});
        assert_eq!(of(alone).unwrap().1["config"]["task"], "hi");
    }

    #[test]
    fn what_has_no_effect_or_is_not_known_is_refused_by_name() {
        for name in ["system_prompt", "model", "tool_level"] {
            let refused = of(json!({"model_backend": "basic", name: "x"})).unwrap_err();
            assert_eq!(refused.path, format!("config.{name}"));
        }
        let refused = of(json!({"model_backend": "basic", "color": 1})).unwrap_err();
        assert_eq!(refused.member.as_deref(), Some("color"));
        let refused = of(json!({"model_backend": "basic", "context": 1})).unwrap_err();
        assert_eq!(refused.path, "config.context");
    }

    #[test]
    fn errors_name_the_member_that_was_sent() {
        assert_eq!(sent_path(Form::Flat, "config.env.A"), "config.environment.A");
        assert_eq!(sent_path(Form::Flat, "agent_type"), "config.model_backend");
        assert_eq!(sent_path(Form::Native, "config.env.A"), "config.config.env.A");
        assert_eq!(sent_path(Form::Flat, "config.command"), "config");
        assert_eq!(sent_path(Form::Native, ""), "config");
    }
}
