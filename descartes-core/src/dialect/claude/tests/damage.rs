//! Nothing that a program writes breaks anything.

use super::{Spoken, claude, greet};
use crate::dialect::transcript::{Entry, Subject};

static CLAUDE: Subject = Subject {
    prefix: "claude-",
    wire: &Spoken,
    make: |_| Box::new(claude()),
    prepare: |_, entries: &mut Vec<Entry>| greet(entries),
    strange: &[
        r#"{"type":"system","subtype":"brand_new","status":{"a":[1,2]}}"#,
        r#"{"type":"system"}"#,
        r#"{"type":7,"subtype":[],"uuid":{}}"#,
        r#"{"type":"stream_event","event":{"type":"brand_new"}}"#,
        r#"{"type":"stream_event","event":{"type":"content_block_delta","index":"x","delta":{"type":"y_delta","y":1}}}"#,
        r#"{"type":"control_response","response":{"subtype":"success","request_id":"descartes-99"}}"#,
        r#"{"type":"control_cancel_request","request_id":17}"#,
        r#"{"type":"user","message":{"content":[{"type":"tool_result","tool_use_id":"none"}]}}"#,
    ],
};

#[test]
fn its_recordings_replay() {
    CLAUDE.recordings_replay();
}

#[test]
fn splits_strange_lines_and_ticks_change_nothing() {
    CLAUDE.noise_changes_nothing();
}

#[test]
fn no_order_of_lines_prompts_and_ticks_breaks_a_promise() {
    CLAUDE.no_order_breaks_a_promise();
}
