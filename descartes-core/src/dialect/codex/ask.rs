//! The program's questions that wait for a decision, and its words for what was decided.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use serde::Serialize;
use serde_json::value::RawValue;

use super::describe;
use super::say;
use super::wire::{Form, Inquiry, Question};
use crate::dialect::{Action, AskRequest, AskToken, Decision};
use crate::json::Json;
use crate::limits;

/// The questions that wait for a decision.
#[derive(Debug, Default)]
pub(super) struct Asks {
    last: u64,
    open: Vec<Open>,
}

#[derive(Debug)]
struct Open {
    token: AskToken,
    /// The program's name of its request.
    request: Json,
    /// The thread that waits for it.
    thread: Option<String>,
    words: Words,
}

/// In which words a question is answered.
#[derive(Debug)]
pub(super) enum Words {
    /// `accept`, `decline` or `cancel`.
    Decision,
    /// What of this is granted.
    Permissions(Json),
    /// What a person did with a form.
    Elicitation,
    /// Answers by the names of the questions; these are left.
    Answers { left: VecDeque<Inquiry>, given: BTreeMap<String, Given> },
}

/// What was answered to one question.
#[derive(Debug, Serialize)]
pub(super) struct Given {
    answers: Vec<Arc<str>>,
}

impl Words {
    /// How requests of `method` are answered; none where they are no questions that are known.
    pub(super) fn of(method: &str, question: &mut Question<'_>) -> Option<Self> {
        Some(match method {
            "item/commandExecution/requestApproval" | "item/fileChange/requestApproval" => {
                Self::Decision
            }
            "item/permissions/requestApproval" => Self::Permissions(question.permissions?.into()),
            "mcpServer/elicitation/request" => Self::Elicitation,
            "item/tool/requestUserInput" => {
                let left = VecDeque::from(question.questions.take()?);
                left.front()?;
                Self::Answers { left, given: BTreeMap::new() }
            }
            _ => return None,
        })
    }
}

/// Whether somebody can answer it with a yes: a form with fields to fill in and a page to be
/// visited cannot be shown.
pub(super) fn can_be_shown(question: &Question<'_>) -> bool {
    let form = question.requested_schema.map(|schema| serde_json::from_str::<Form>(schema.get()));
    let fields = form.and_then(Result::ok).unwrap_or_default().required.unwrap_or_default();
    fields.is_empty() && question.mode.as_deref() != Some("url")
}

impl Asks {
    /// Whether the request is one that waits already.
    pub(super) fn waits(&self, request: &RawValue) -> bool {
        self.open.iter().any(|open| open.request.as_str() == request.get())
    }

    /// Asks `about`, to be answered in `words`; denied at once when too many wait.
    pub(super) fn ask(
        &mut self,
        request: Json,
        thread: Option<String>,
        (about, words): (AskRequest, Words),
        out: &mut Vec<Action>,
    ) {
        if self.open.len() == limits::CODEX_OPEN_ITEMS {
            return out.push(Action::Send(denial(&request, words)));
        }
        self.last += 1;
        let token = AskToken(self.last);
        self.open.push(Open { token, request, thread, words });
        out.push(Action::Ask { ask: token, request: Box::new(about) });
    }

    /// Answers the question `token`, or asks the next one of the same request; false when it does
    /// not wait any more.
    pub(super) fn decide(
        &mut self,
        token: AskToken,
        decision: &Decision,
        out: &mut Vec<Action>,
    ) -> bool {
        let Some(at) = self.open.iter().position(|open| open.token == token) else { return false };
        let Open { request, thread, words, .. } = self.open.remove(at);
        match words {
            Words::Answers { left, given } => {
                self.answer((request, thread), (left, given), decision, out);
            }
            words => out.push(Action::Send(reply(&request, &words, decision))),
        }
        true
    }

    fn answer(
        &mut self,
        (request, thread): (Json, Option<String>),
        (mut left, mut given): (VecDeque<Inquiry>, BTreeMap<String, Given>),
        decision: &Decision,
        out: &mut Vec<Action>,
    ) {
        let name = left.pop_front().and_then(|asked| asked.id);
        let answers = match decision {
            Decision::Answer { text } => vec![Arc::clone(text)],
            Decision::Option { id } => vec![Arc::clone(id)],
            Decision::AllowOnce | Decision::AllowSession => Vec::new(),
            Decision::Deny { .. } | Decision::Cancel => {
                left.clear();
                Vec::new()
            }
        };
        given.extend(name.map(|name| (name, Given { answers })));
        match left.front().map(describe::inquiry) {
            Some(about) => self.ask(request, thread, (about, Words::Answers { left, given }), out),
            None => out.push(Action::Send(answered(&request, &given))),
        }
    }

    /// The program needs no answer to `request` any more.
    pub(super) fn resolved(&mut self, request: &RawValue, out: &mut Vec<Action>) {
        let Some(at) = self.open.iter().position(|open| open.request.as_str() == request.get())
        else {
            return;
        };
        out.push(Action::Withdraw { ask: self.open.remove(at).token });
    }

    /// The turn is over: what was asked in `thread` the program knows to be void, and whoever else
    /// waits is denied.
    pub(super) fn close(&mut self, thread: Option<&str>, out: &mut Vec<Action>) {
        for open in std::mem::take(&mut self.open) {
            if open.thread.is_some() && open.thread.as_deref() != thread {
                out.push(Action::Send(denial(&open.request, open.words)));
            }
        }
    }
}

/// What says no to `request`.
pub(super) fn denial(request: &Json, words: Words) -> Vec<u8> {
    match words {
        Words::Answers { given, .. } => answered(request, &given),
        words => reply(request, &words, &Decision::Deny { message: None }),
    }
}

fn answered(request: &Json, answers: &BTreeMap<String, Given>) -> Vec<u8> {
    #[derive(Serialize)]
    struct Answers<'a> {
        answers: &'a BTreeMap<String, Given>,
    }
    say::answer(request, Answers { answers })
}

fn reply(request: &Json, words: &Words, decision: &Decision) -> Vec<u8> {
    #[derive(Serialize)]
    struct Decided {
        decision: &'static str,
    }
    #[derive(Serialize)]
    struct Granted {
        permissions: Box<RawValue>,
        scope: &'static str,
    }
    #[derive(Serialize)]
    struct Elicited {
        action: &'static str,
        #[serde(skip_serializing_if = "Option::is_none")]
        content: Option<BTreeMap<(), ()>>,
    }
    let word = word(decision);
    let allowed = word == ACCEPT;
    match words {
        Words::Permissions(asked) => {
            let nothing = || RawValue::from_string("{}".into()).expect("it is an object");
            let permissions = if allowed { asked.to_raw() } else { nothing() };
            say::answer(request, Granted { permissions, scope: "turn" })
        }
        Words::Elicitation => {
            let content = allowed.then(BTreeMap::new);
            say::answer(request, Elicited { action: word, content })
        }
        Words::Decision | Words::Answers { .. } => say::answer(request, Decided { decision: word }),
    }
}

/// The program's word for a yes.
pub(super) const ACCEPT: &str = "accept";
/// Its word for a no after which the turn goes on.
pub(super) const DECLINE: &str = "decline";
/// Its word for a no that ends the turn besides.
const CANCEL: &str = "cancel";

fn word(decision: &Decision) -> &'static str {
    match decision {
        Decision::AllowOnce | Decision::AllowSession => ACCEPT,
        Decision::Option { id } if **id == *ACCEPT => ACCEPT,
        Decision::Cancel => CANCEL,
        Decision::Deny { .. } | Decision::Option { .. } | Decision::Answer { .. } => DECLINE,
    }
}
