//! What is said to the program: one JSON object a line, without the member `jsonrpc`.

use serde::Serialize;

use crate::dialect::{Prompt, PromptPart, SessionSpec, Thinking};
use crate::json::Json;

/// Notifications that nothing is made of: the output of tools as it comes, the whole difference of
/// the working tree after each change, quotas.
const UNWANTED: [&str; 6] = [
    "account/rateLimits/updated",
    "item/commandExecution/outputDelta",
    "item/fileChange/outputDelta",
    "thread/started",
    "turn/diff/updated",
    "turn/plan/updated",
];

/// A request of ours.
#[derive(Serialize)]
struct Request<'a, P> {
    id: u64,
    method: &'a str,
    params: P,
}

/// A notification of ours.
#[derive(Serialize)]
struct Notification<'a> {
    method: &'a str,
}

/// The answer to a request of the program.
#[derive(Serialize)]
struct Answer<'a, R> {
    id: &'a serde_json::value::RawValue,
    result: R,
}

/// The refusal of a request of the program.
#[derive(Serialize)]
struct Refusal<'a> {
    id: &'a serde_json::value::RawValue,
    error: RefusalWords,
}

#[derive(Serialize)]
struct RefusalWords {
    code: i32,
    message: &'static str,
}

/// JSON-RPC 2.0: the method does not exist.
const METHOD_NOT_FOUND: i32 = -32601;

/// `initialize`.
pub(super) fn initialize(id: u64) -> Vec<u8> {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Params {
        client_info: Client,
        capabilities: Wishes,
    }
    #[derive(Serialize)]
    struct Client {
        name: &'static str,
        title: &'static str,
        version: &'static str,
    }
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Wishes {
        // Without it tools that outlive a turn cannot be ended.
        experimental_api: bool,
        opt_out_notification_methods: [&'static str; UNWANTED.len()],
    }
    let client =
        Client { name: "descartes", title: "Descartes", version: env!("CARGO_PKG_VERSION") };
    let capabilities = Wishes { experimental_api: true, opt_out_notification_methods: UNWANTED };
    request(id, "initialize", Params { client_info: client, capabilities })
}

/// `initialized`.
pub(super) fn initialized() -> Vec<u8> {
    line(&Notification { method: "initialized" })
}

/// `thread/start`, or `thread/resume` where the conversation has a name already.
///
/// The program is told to ask before everything that is not known to be harmless, and not to fence
/// in what was allowed: who decides is the daemon, and its fence does not work everywhere.
pub(super) fn join(id: u64, session: Option<&SessionSpec>) -> Vec<u8> {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Params<'a> {
        #[serde(skip_serializing_if = "Option::is_none")]
        thread_id: Option<&'a str>,
        // Without it the whole conversation comes back in one line.
        #[serde(skip_serializing_if = "Option::is_none")]
        exclude_turns: Option<bool>,
        #[serde(skip_serializing_if = "Option::is_none")]
        cwd: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        model: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        developer_instructions: Option<&'a str>,
        approval_policy: &'static str,
        approvals_reviewer: &'static str,
        sandbox: &'static str,
    }
    let native = session.and_then(|session| session.native.as_deref());
    let params = Params {
        thread_id: native,
        exclude_turns: native.map(|_| true),
        cwd: session.map(|session| session.cwd.to_string_lossy().into_owned()),
        model: session.and_then(|session| session.model.as_deref()),
        developer_instructions: session.and_then(|session| session.system_prompt.as_deref()),
        approval_policy: "untrusted",
        approvals_reviewer: "user",
        sandbox: "danger-full-access",
    };
    request(id, if native.is_some() { "thread/resume" } else { "thread/start" }, params)
}

/// `turn/start`.
pub(super) fn turn(id: u64, thread: &str, prompt: &Prompt, thinking: Thinking) -> Vec<u8> {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Params<'a> {
        thread_id: &'a str,
        input: Vec<Part<'a>>,
        #[serde(skip_serializing_if = "Option::is_none")]
        effort: Option<&'static str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        summary: Option<&'static str>,
    }
    let (effort, summary) = effort(thinking);
    let input = prompt.parts.iter().map(part).collect();
    request(id, "turn/start", Params { thread_id: thread, input, effort, summary })
}

/// How hard the model is told to think, and whether it shows it.
///
/// Which efforts there are is the model's own: nearly all know `low`, `high` and `xhigh`; most
/// refuse `none` and `minimal`, many refuse `max`, and what is refused fails the turn.
pub(in crate::dialect) fn effort(
    thinking: Thinking,
) -> (Option<&'static str>, Option<&'static str>) {
    match thinking {
        Thinking::Off => (Some("low"), Some("none")),
        Thinking::Normal => (None, None),
        Thinking::Hard => (Some("high"), None),
        Thinking::Harder | Thinking::Ultra => (Some("xhigh"), None),
    }
}

/// A part of what is asked.
#[derive(Serialize)]
#[serde(tag = "type", rename_all = "camelCase")]
enum Part<'a> {
    Text { text: &'a str },
    Image { url: String },
    Mention { name: String, path: String },
}

fn part(part: &PromptPart) -> Part<'_> {
    match part {
        PromptPart::Text(text) => Part::Text { text },
        PromptPart::Image { media_type, data } => {
            Part::Image { url: format!("data:{media_type};base64,{data}") }
        }
        PromptPart::File { path } => Part::Mention {
            name: path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned(),
            path: path.to_string_lossy().into_owned(),
        },
    }
}

/// `turn/interrupt`.
pub(super) fn interrupt(id: u64, thread: &str, turn: &str) -> Vec<u8> {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Params<'a> {
        thread_id: &'a str,
        turn_id: &'a str,
    }
    request(id, "turn/interrupt", Params { thread_id: thread, turn_id: turn })
}

/// `thread/backgroundTerminals/clean`: ends the commands that still run.
pub(super) fn end_commands(id: u64, thread: &str) -> Vec<u8> {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Params<'a> {
        thread_id: &'a str,
    }
    request(id, "thread/backgroundTerminals/clean", Params { thread_id: thread })
}

/// The answer `result` to the request `id` of the program.
pub(super) fn answer(id: &Json, result: impl Serialize) -> Vec<u8> {
    line(&Answer { id: &id.to_raw(), result })
}

/// The answer to a request that is not served.
pub(super) fn not_served(id: &Json) -> Vec<u8> {
    let error = RefusalWords { code: METHOD_NOT_FOUND, message: "method not found" };
    line(&Refusal { id: &id.to_raw(), error })
}

fn request(id: u64, method: &str, params: impl Serialize) -> Vec<u8> {
    line(&Request { id, method, params })
}

fn line(said: &impl Serialize) -> Vec<u8> {
    let mut bytes = serde_json::to_vec(said).expect("what is said is made of texts and numbers");
    bytes.push(b'\n');
    bytes
}
