//! Questions of the agent: may it?

use std::collections::BTreeMap;
use std::path::{Component, Path};
use std::sync::Arc;

use serde::Serialize;
use serde_json::value::RawValue;

use super::peer::{INVALID_PARAMS, Peer, REQUEST_CANCELLED};
use super::tools::{is_empty, name_of_call};
use super::wire::{Permission, PermissionOption, Update, Withdrawn, contents, read};
use super::{Acp, Action};
use crate::dialect::raw::cut;
use crate::dialect::{
    AskKind, AskOption, AskRequest, AskToken, Decision, OptionEffect, ToolEffect,
};
use crate::json::Json;
use crate::limits;

/// Questions that wait for a decision.
#[derive(Debug, Default)]
pub(super) struct Asks(BTreeMap<AskToken, Ask>);

#[derive(Debug)]
struct Ask {
    /// The agent's name of its request.
    request: Json,
    call: Option<Arc<str>>,
    options: Vec<PermissionOption>,
}

/// The answer to `session/request_permission`.
#[derive(Debug, Serialize)]
pub(super) struct Outcome {
    outcome: Chosen,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "snake_case", tag = "outcome")]
enum Chosen {
    #[serde(rename_all = "camelCase")]
    Selected {
        option_id: String,
    },
    Cancelled,
}

impl Outcome {
    pub(super) fn cancelled() -> Self {
        Self { outcome: Chosen::Cancelled }
    }
}

impl Asks {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All that are open, and the agent's requests behind them; none is open after it.
    pub(super) fn take_all(&mut self) -> Vec<(AskToken, Json)> {
        std::mem::take(&mut self.0).into_iter().map(|(ask, open)| (ask, open.request)).collect()
    }

    pub(super) fn into_requests(self) -> impl Iterator<Item = Json> {
        self.0.into_values().map(|open| open.request)
    }

    /// Those for which `is` holds; they are not open any more.
    fn take_if(&mut self, is: impl Fn(&Ask) -> bool) -> Vec<(AskToken, Json)> {
        let all = std::mem::take(&mut self.0).into_iter();
        let (taken, kept): (Vec<_>, Vec<_>) = all.partition(|(_, open)| is(open));
        self.0 = kept.into_iter().collect();
        taken.into_iter().map(|(ask, open)| (ask, open.request)).collect()
    }
}

impl Acp {
    /// The agent asks request `id`.
    pub(super) fn permission(
        &mut self,
        id: Json,
        params: Option<&RawValue>,
        out: &mut Vec<Action>,
    ) {
        let asked = params.and_then(|raw| serde_json::from_str::<Permission<'_>>(raw.get()).ok());
        let call =
            |asked: &Permission<'_>| read::<Option<Update<'_>>>(Some(asked.tool_call)).is_some();
        let Some(asked) = asked.filter(call) else {
            Peer::refuse(&id, INVALID_PARAMS, "a tool call and options are needed", out);
            return;
        };
        let full = |turn: &super::Turn| turn.asks.0.len() >= limits::ACP_OPEN_ASKS;
        let open = self.turn.as_ref().is_some_and(|turn| {
            turn.sent && !turn.cancelled && !full(turn) && !asked.options.is_empty()
        });
        if !open || self.is_of_another(asked.session_id.as_deref()) {
            Peer::answer(&id, &Outcome::cancelled(), out);
            return;
        }
        let update: Update<'_> = read(Some(asked.tool_call));
        let call = name_of_call(&update).map(Arc::<str>::from);
        if let Some(call) = &call
            && self.know(call, &update, out)
        {
            self.show_input(call, out);
        }
        self.asked += 1;
        let ask = AskToken(self.asked);
        let request = Box::new(self.request(&asked, &update, call.clone()));
        let Some(turn) = &mut self.turn else { return };
        turn.asks.0.insert(ask, Ask { request: id, call, options: asked.options });
        out.push(Action::Ask { ask, request });
        self.work(out);
    }

    fn request(
        &self,
        asked: &Permission<'_>,
        update: &Update<'_>,
        call: Option<Arc<str>>,
    ) -> AskRequest {
        let known = self.turn.as_ref().zip(call.as_deref());
        let known = known.and_then(|(turn, id)| turn.tools.call(id));
        let tool = self.tool_name(call.as_deref().unwrap_or_default(), update);
        let title = update.title.as_deref().or(known.and_then(|call| call.title.as_deref()));
        let title = one_line(title.unwrap_or(&tool));
        let told = update.raw_input.filter(|input| !is_empty(input)).map(Json::from);
        let told = told.or_else(|| known.and_then(|call| call.input.clone()));
        let kind = update.kind.as_deref().or(known.and_then(|call| call.kind.as_deref()));
        let knows = asked.options.iter().any(|option| effect(option) != OptionEffect::Answer);
        AskRequest {
            kind: if knows { AskKind::Permission } else { AskKind::Question },
            tool,
            tool_id: call,
            effect: self.tool_effect(kind, update),
            rule: Some(rule(&asked.options).unwrap_or(&title).into()),
            title: title.into(),
            // Where the arguments are not told, the call as it is: what it changes is in there.
            arguments: told.unwrap_or_else(|| Json::from(asked.tool_call)),
            options: asked.options.iter().map(offer).collect(),
        }
    }

    /// What the tool does to the world. A change outside of the working directory is more than an
    /// edit.
    fn tool_effect(&self, kind: Option<&str>, update: &Update<'_>) -> ToolEffect {
        match kind {
            Some("read" | "search" | "think") => ToolEffect::Read,
            Some("execute") => ToolEffect::Execute,
            Some("fetch") => ToolEffect::Fetch,
            Some("edit" | "delete" | "move") => {
                let diffs = update.content.map(contents).unwrap_or_default();
                let diffs = diffs.iter().filter_map(|item| item.path.as_deref());
                let places = update.locations.iter().map(|place| place.path.as_str());
                let cwd = self.session.as_ref().map(|session| session.cwd.as_path());
                let inside = |path: &str| cwd.is_none_or(|cwd| is_inside(Path::new(path), cwd));
                if places.chain(diffs).all(inside) { ToolEffect::Edit } else { ToolEffect::Other }
            }
            _ => ToolEffect::Other,
        }
    }

    /// A question was decided.
    pub(super) fn decide(&mut self, ask: AskToken, decision: &Decision, out: &mut Vec<Action>) {
        let Some(turn) = &mut self.turn else { return };
        let Some(open) = turn.asks.0.remove(&ask) else { return };
        let chosen = choice(decision, &open.options);
        let is_chosen = |option: &&PermissionOption| chosen.as_ref() == Some(&option.option_id);
        let effect = open.options.iter().find(is_chosen).map(effect);
        if let (Some(call), None | Some(OptionEffect::Deny)) = (&open.call, effect) {
            turn.tools.deny(call, denial(decision));
        }
        let outcome = match chosen {
            Some(option_id) => Chosen::Selected { option_id },
            None => Chosen::Cancelled,
        };
        Peer::answer(&open.request, &Outcome { outcome }, out);
        self.work(out);
    }

    /// The agent does not wait for an answer any more.
    pub(super) fn withdrawn(&mut self, params: Option<&RawValue>, out: &mut Vec<Action>) {
        let which: Withdrawn<'_> = read(params);
        let Some(id) = which.request_id.or(which.id).map(Json::from) else { return };
        let Some(turn) = &mut self.turn else { return };
        for (ask, request) in turn.asks.take_if(|open| open.request == id) {
            Peer::refuse(&request, REQUEST_CANCELLED, "withdrawn", out);
            out.push(Action::Withdraw { ask });
        }
        self.work(out);
    }

    /// A call has ended: nobody waits for what was asked about it.
    pub(super) fn forget_asks_of(&mut self, call: &str, out: &mut Vec<Action>) {
        let Some(turn) = &mut self.turn else { return };
        for (ask, request) in turn.asks.take_if(|open| open.call.as_deref() == Some(call)) {
            Peer::answer(&request, &Outcome::cancelled(), out);
            out.push(Action::Withdraw { ask });
        }
    }
}

/// The option that says `decision`; none when only "cancelled" is left to be said.
fn choice(decision: &Decision, options: &[PermissionOption]) -> Option<String> {
    let first = |kinds: &[&str]| {
        let of = |kind: &&str| options.iter().find(|option| option.kind.as_deref() == Some(kind));
        kinds.iter().find_map(of).map(|option| option.option_id.clone())
    };
    match decision {
        // Where there is no "once", the agent will not ask again.
        Decision::AllowOnce | Decision::AllowSession => first(&["allow_once", "allow_always"]),
        Decision::Deny { .. } | Decision::Cancel => first(&["reject_once", "reject_always"]),
        Decision::Option { id } => {
            let named = options.iter().find(|option| *option.option_id == **id);
            named.map(|option| option.option_id.clone()).or_else(|| first(&["reject_once"]))
        }
        Decision::Answer { text } => {
            let is = |option: &&PermissionOption| {
                *option.option_id == **text || option.name.as_deref() == Some(text)
            };
            options.iter().find(is).map(|option| option.option_id.clone())
        }
    }
}

/// What is told of a call that was denied, where its agent tells nothing.
fn denial(decision: &Decision) -> Arc<str> {
    match decision {
        Decision::Deny { message: Some(message) } => Arc::clone(message),
        _ => "it was denied".into(),
    }
}

fn effect(option: &PermissionOption) -> OptionEffect {
    match option.kind.as_deref() {
        Some("allow_once") => OptionEffect::AllowOnce,
        Some("allow_always") => OptionEffect::AllowSession,
        Some("reject_once" | "reject_always") => OptionEffect::Deny,
        _ => OptionEffect::Answer,
    }
}

fn offer(option: &PermissionOption) -> AskOption {
    let label = option.name.as_deref().unwrap_or(&option.option_id);
    AskOption::new(option.option_id.as_str(), one_line(label), effect(option))
}

/// What an allow for ever would cover, where the agent says that with more than "always allow".
fn rule(options: &[PermissionOption]) -> Option<&str> {
    let mut ever = options.iter().filter(|option| effect(option) == OptionEffect::AllowSession);
    let name = ever.next().filter(|_| ever.next().is_none())?.name.as_deref()?;
    let says_nothing = |word: &str| {
        let word = word.to_lowercase();
        ["always", "allow", "for", "this", "session", "yes", "all", "tool"].contains(&word.as_str())
    };
    (!name.split_whitespace().all(says_nothing)).then(|| cut(name, limits::ASK_TITLE_BYTES))
}

fn one_line(text: &str) -> String {
    let words = text.split(char::is_control).filter(|part| !part.trim().is_empty());
    cut(&words.collect::<Vec<_>>().join(" "), limits::ASK_TITLE_BYTES).to_owned()
}

/// Whether `path`, which may be relative to `cwd`, is in it by its words alone.
fn is_inside(path: &Path, cwd: &Path) -> bool {
    let climbs = path.components().any(|part| part == Component::ParentDir);
    !climbs && (path.is_relative() || path.starts_with(cwd))
}
