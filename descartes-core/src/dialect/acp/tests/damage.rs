//! Whatever an agent writes: nothing panics, and what is known stays the same.

use std::sync::Arc;

use super::{AcpWire, session};
use crate::dialect::acp::Acp;
use crate::dialect::transcript::{Entry, Subject};
use crate::dialect::{Dialect, LaunchWords, SessionSpec};

static ACP: Subject = Subject {
    prefix: "acp-",
    wire: &AcpWire,
    make,
    prepare,
    strange: &[
        r#"{"method":"session/update","params":{"update":{"sessionUpdate":"new"}}}"#,
        r#"{"method":"session/update","params":[1]}"#,
        r#"{"method":"session/update","params":{"sessionId":"x","update":5}}"#,
        r#"{"method":"fs/read_text_file","id":{"a":1},"params":null}"#,
        r#"{"method":"session/request_permission","id":"odd"}"#,
        r#"{"method":"session/request_permission","id":1,"params":{"options":[]}}"#,
        r#"{"method":"$/cancel_request","params":{"requestId":"never"}}"#,
        r#"[{"id":3}]"#,
    ],
};

fn make(name: &str) -> Box<dyn Dialect> {
    let mut acp = Acp::new();
    if name.contains("gemini") {
        acp = acp.with_auth_method("gemini-api-key").with_model_argument("-m");
    }
    let native = name.contains("-load").then(|| Arc::from("old"));
    acp.launch(&SessionSpec { native, ..session() }, &mut LaunchWords::default());
    Box::new(acp)
}

/// We would not have sent the first prompt of a loaded conversation before its history was over.
fn prepare(name: &str, entries: &mut Vec<Entry>) {
    let is_prompt = |entry: &Entry| entry.dir == "in" && entry.data["method"] == "session/prompt";
    let late = if name == "acp-gemini-load" { 4 } else { 0 };
    if let Some(at) = entries.iter().position(is_prompt).filter(|_| name.contains("-load")) {
        entries[at..=at + late].rotate_left(1);
        let tick = Entry { t: 0.0, dir: "tick".into(), data: serde_json::Value::Null };
        entries.insert(at + late, tick);
    }
}

#[test]
fn its_recordings_replay() {
    ACP.recordings_replay();
}

#[test]
fn splits_strange_lines_and_ticks_change_nothing() {
    ACP.noise_changes_nothing();
}

#[test]
fn no_order_of_lines_prompts_and_ticks_breaks_a_promise() {
    ACP.no_order_breaks_a_promise();
}
