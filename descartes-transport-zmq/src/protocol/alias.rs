//! The older flat form of `spawn_request.config`: one table of which member stands for what.

use descartes_rpc::decode::ParamFault;
use serde_json::{Value as Json, map::Entry};

use super::caller::Members;

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
const MARK: &str = "model_backend";

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
