//! What is written to Claude Code, line by line.

use serde::Serialize;
use serde_json::value::RawValue;

use crate::dialect::{Prompt, PromptPart};

/// A line with its newline.
fn line(said: &impl Serialize) -> Vec<u8> {
    let mut line = serde_json::to_vec(said).expect("text and numbers can be written");
    line.push(b'\n');
    line
}

#[derive(Serialize)]
struct User<'a> {
    r#type: &'a str,
    message: Said<'a>,
}

#[derive(Serialize)]
struct Said<'a> {
    role: &'a str,
    content: Vec<Part<'a>>,
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Part<'a> {
    Text { text: String },
    Image { source: Source<'a> },
}

#[derive(Serialize)]
struct Source<'a> {
    r#type: &'a str,
    media_type: &'a str,
    data: &'a str,
}

/// A turn.
pub(super) fn prompt(prompt: &Prompt) -> Vec<u8> {
    let content = prompt.parts.iter().map(|part| match part {
        PromptPart::Text(text) => Part::Text { text: text.to_string() },
        PromptPart::Image { media_type, data } => {
            Part::Image { source: Source { r#type: "base64", media_type, data } }
        }
        // The program reads what is mentioned so, and quotes allow spaces.
        PromptPart::File { path } => Part::Text { text: format!("@\"{}\"", path.display()) },
    });
    line(&User { r#type: "user", message: Said { role: "user", content: content.collect() } })
}

#[derive(Serialize)]
struct Control<'a> {
    r#type: &'a str,
    request_id: &'a str,
    request: Wanted<'a>,
}

/// What we ask of the program.
#[derive(Clone, Copy, Serialize)]
#[serde(tag = "subtype", rename_all = "snake_case")]
pub(super) enum Wanted<'a> {
    /// The handshake. No hooks: nothing of the program is to wait for us but its questions.
    Initialize { hooks: Option<()> },
    /// The end of the turn.
    Interrupt,
    /// Whether it asks before it does something.
    SetPermissionMode { mode: &'a str },
}

/// A request of ours.
pub(super) fn request(request_id: &str, request: Wanted<'_>) -> Vec<u8> {
    line(&Control { r#type: "control_request", request_id, request })
}

#[derive(Serialize)]
struct Answer<'a> {
    r#type: &'a str,
    response: Response<'a>,
}

#[derive(Serialize)]
#[serde(tag = "subtype", rename_all = "snake_case")]
enum Response<'a> {
    Success { request_id: &'a str, response: Permission<'a> },
    Error { request_id: &'a str, error: &'a str },
}

/// Whether the program may do what it asked for.
#[derive(Serialize)]
#[serde(tag = "behavior", rename_all = "snake_case")]
pub(super) enum Permission<'a> {
    /// With these arguments, which are its own.
    Allow {
        #[serde(rename = "updatedInput")]
        updated_input: &'a RawValue,
    },
    /// It may not; the model is told why.
    Deny { message: &'a str },
}

/// The answer to a question of the program.
pub(super) fn permission(request_id: &str, response: Permission<'_>) -> Vec<u8> {
    let response = Response::Success { request_id, response };
    line(&Answer { r#type: "control_response", response })
}

/// The answer to a request that we do not serve.
pub(super) fn refusal(request_id: &str, error: &str) -> Vec<u8> {
    line(&Answer { r#type: "control_response", response: Response::Error { request_id, error } })
}
