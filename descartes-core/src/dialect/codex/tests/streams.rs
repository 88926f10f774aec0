//! What of the program's news becomes text, and what does not.

use serde_json::json;

use super::talk::{Talk, plain};
use crate::dialect::Input;
use crate::event::StreamName;

fn delta(talk: &mut Talk, id: &str, piece: &str) {
    talk.tells("item/agentMessage/delta", json!({"itemId": id, "delta": piece}));
}

fn started(talk: &mut Talk, id: &str) {
    talk.tells("item/started", json!({"item": {"type": "agentMessage", "id": id, "text": ""}}));
}

fn completed(talk: &mut Talk, id: &str, text: &str) {
    talk.tells("item/completed", json!({"item": {"type": "agentMessage", "id": id, "text": text}}));
}

#[test]
fn what_was_not_said_of_a_message_is_said_when_it_is_complete_and_only_once() {
    let mut talk = Talk::busy(&plain());
    started(&mut talk, "a");
    delta(&mut talk, "a", "one ");
    completed(&mut talk, "a", "one two");
    completed(&mut talk, "a", "one two");
    completed(&mut talk, "b", "three");
    assert_eq!(
        talk.did(),
        ["mark", "1 text[0] \"one \"", "1 text[0] \"two\"", "mark", "1 text[1] \"three\"",]
    );
}

#[test]
fn a_message_that_is_another_than_the_one_that_was_said_replaces_it() {
    let mut talk = Talk::busy(&plain());
    delta(&mut talk, "a", "one ");
    completed(&mut talk, "a", "two");
    assert_eq!(talk.did(), ["mark", "1 text[0] \"one \"", "retract", "1 text[0] \"two\""]);
}

#[test]
fn the_answer_that_only_the_end_tells_is_said() {
    let mut talk = Talk::busy(&plain());
    completed(&mut talk, "a", "one");
    talk.did();
    let items = json!([
        {"type": "agentMessage", "id": "a", "text": "one"},
        {"type": "agentMessage", "id": "b", "text": "two"},
    ]);
    let turn = json!({"id": "tu", "status": "completed", "items": items});
    talk.tells("turn/completed", json!({"turn": turn}));
    assert_eq!(talk.did(), ["mark", "1 text[1] \"two\"", "end 1 completed"]);
}

#[test]
fn what_was_said_of_an_attempt_that_broke_is_void_and_what_is_complete_stands() {
    let mut talk = Talk::busy(&plain());
    let broken = json!({"error": {"message": "Reconnecting... 1/5"}, "willRetry": true});
    completed(&mut talk, "a", "stands");
    talk.tells("error", broken.clone());
    assert_eq!(
        talk.did(),
        ["mark", "1 text[0] \"stands\"", "1 error model_error \"Reconnecting... 1/5\"",]
    );
    started(&mut talk, "b");
    delta(&mut talk, "b", "void");
    talk.tells("error", broken.clone());
    talk.tells("error", broken);
    started(&mut talk, "b");
    delta(&mut talk, "b", "new");
    completed(&mut talk, "b", "new");
    assert_eq!(
        talk.did(),
        [
            "mark",
            "1 text[1] \"void\"",
            "retract",
            "1 error model_error \"Reconnecting... 1/5\"",
            "1 error model_error \"Reconnecting... 1/5\"",
            "mark",
            "1 text[1] \"new\"",
        ]
    );
}

#[test]
fn a_message_that_begins_again_voids_its_first_beginning() {
    let mut talk = Talk::busy(&plain());
    started(&mut talk, "a");
    delta(&mut talk, "a", "void");
    started(&mut talk, "a");
    delta(&mut talk, "a", "new");
    assert_eq!(talk.did(), ["mark", "1 text[0] \"void\"", "retract", "mark", "1 text[0] \"new\"",]);
}

#[test]
fn a_pause_that_the_models_owner_asks_for_is_told() {
    let mut talk = Talk::busy(&plain());
    let error = json!({
        "message": "Reconnecting... 1/5", "additionalDetails": "429 Too Many Requests",
        "codexErrorInfo": {"responseStreamDisconnected": {"httpStatusCode": 429}},
    });
    talk.tells("error", json!({"error": error, "willRetry": true}));
    delta(&mut talk, "a", "on");
    assert_eq!(
        talk.did(),
        [
            "1 error rate_limited \"Reconnecting... 1/5: 429 Too Many Requests\"",
            "activity ratelimited",
            "mark",
            "1 text[0] \"on\"",
            "activity thinking",
        ]
    );
}

#[test]
fn thoughts_come_in_blocks_by_their_parts() {
    let mut talk = Talk::busy(&plain());
    let mut part = |index: u32, piece: &str| {
        let params = json!({"itemId": "r", "delta": piece, "summaryIndex": index});
        talk.tells("item/reasoning/summaryTextDelta", params);
    };
    part(0, "a");
    part(0, "b");
    part(1, "c");
    let item = json!({"type": "reasoning", "id": "r", "summary": ["ab", "c"], "content": []});
    talk.tells("item/completed", json!({"item": item}));
    talk.tells(
        "item/reasoning/textDelta",
        json!({"itemId": "s", "delta": "raw", "contentIndex": 0}),
    );
    let item = json!({"type": "reasoning", "id": "t", "summary": ["x", "", "y"]});
    talk.tells("item/completed", json!({"item": item}));
    assert_eq!(
        talk.did(),
        [
            "mark",
            "1 thinking[0] \"a\"",
            "1 thinking[0] \"b\"",
            "1 thinking[1] \"c\"",
            "mark",
            "1 thinking[2] \"raw\"",
            "1 thinking[3] \"x\"",
            "1 thinking[4] \"y\"",
        ]
    );
}

#[test]
fn tools_of_every_kind_are_shown_with_what_they_were_given_and_gave() {
    let mut talk = Talk::busy(&plain());
    let mut done = |item| talk.tells("item/completed", json!({"item": item}));
    done(json!({
        "type": "mcpToolCall", "id": "m", "server": "fs", "tool": "list", "status": "completed",
        "arguments": {"path":  "/"}, "result": {"content": [{"type": "text", "text": "a\nb"}]},
    }));
    done(json!({
        "type": "mcpToolCall", "id": "n", "server": "fs", "tool": "list", "status": "failed",
        "arguments": {}, "error": {"message": "no such server"},
    }));
    done(json!({
        "type": "dynamicToolCall", "id": "d", "tool": "look", "status": "completed",
        "arguments": [1], "success": false, "contentItems": [{"type": "inputText", "text": "t"}],
    }));
    done(json!({"type": "webSearch", "id": "w", "query": "rust"}));
    done(json!({"type": "imageView", "id": "v", "path": "/a.png"}));
    done(json!({"type": "contextCompaction", "id": "c"}));
    assert_eq!(
        talk.did(),
        [
            "1 tool fs/list m",
            "1 input m \"\" {\"path\":\"/\"}",
            "1 result m \"a\\nb\"",
            "1 tool fs/list n",
            "1 input n \"\" {}",
            "1 result n failed \"no such server\"",
            "1 tool look d",
            "1 input d \"\" [1]",
            "1 result d failed \"t\"",
            "1 tool webSearch w",
            "1 input w \"\" {\"query\":\"rust\"}",
            "1 result w \"\"",
            "1 tool imageView v",
            "1 input v \"\" {\"path\":\"/a.png\"}",
            "1 result v \"\"",
        ]
    );
}

#[test]
fn a_tool_that_gave_nothing_until_the_end_has_no_result() {
    let mut talk = Talk::busy(&plain());
    let item = json!({"type": "commandExecution", "id": "c", "command": "sleep 9", "cwd": "/proj"});
    talk.tells("item/started", json!({"item": item}));
    talk.tells("item/started", json!({"item": item}));
    talk.completes("completed", &json!(null));
    assert_eq!(
        talk.did(),
        [
            "1 tool commandExecution c",
            "1 input c \"\" {\"command\":\"sleep 9\",\"cwd\":\"/proj\"}",
            "activity tool",
            "end 1 completed",
        ]
    );
}

#[test]
fn what_is_not_understood_is_shown_in_part_and_ends_nothing() {
    let mut talk = Talk::busy(&plain());
    talk.line(b"not json");
    talk.line(b"  ");
    talk.line(b"{\"method\":\"x\xff\"}");
    talk.says(&json!({"method": "brand/new", "params": {}}));
    talk.says(&json!({"method": "item/started", "params": {"item": {"type": "novelty", "id": "x"}, "threadId": "th", "turnId": "tu"}}));
    talk.says(&json!({"method": "item/agentMessage/delta", "params": {"delta": 7}}));
    talk.says(&json!({"method": "turn/completed"}));
    talk.says(&json!({"id": 77, "result": {}}));
    talk.says(&json!({"id": "x", "result": {}}));
    talk.says(&json!([1, 2]));
    talk.line(&[b'y'; 100_000]);
    talk.input(Input::Oversize { stream: StreamName::Stdout, bytes: 2_000_000 });
    talk.input(Input::Oversize { stream: StreamName::Stderr, bytes: 2_000_000 });
    let did = talk.did();
    assert_eq!(did.len(), 11);
    assert!(did[..10].iter().all(|line| line.starts_with("1 raw ")), "{did:?}");
    assert_eq!(did[10], "1 oversize 2000000");
    assert_eq!(did[9].len(), 64 * 1024 + 8);
}

#[test]
fn words_under_the_name_of_a_tool_are_not_the_models_and_take_nothing_back() {
    let mut talk = Talk::busy(&plain());
    let item = json!({"type": "commandExecution", "id": "x", "command": "ls"});
    talk.says(&json!({"method": "item/started", "params": {"item": item, "threadId": "th", "turnId": "tu"}}));
    let delta = json!({"itemId": "x", "delta": "one", "threadId": "th", "turnId": "tu"});
    talk.says(&json!({"method": "item/agentMessage/delta", "params": delta}));
    let error =
        json!({"error": {"message": "again"}, "willRetry": true, "threadId": "th", "turnId": "tu"});
    talk.says(&json!({"method": "error", "params": error}));
    let did = talk.did();
    assert!(did.iter().any(|line| line.contains("tool")), "{did:?}");
    assert!(!did.iter().any(|line| line.contains("one") || line.contains("retract")), "{did:?}");
}

#[test]
fn members_that_are_new_missing_or_null_change_nothing() {
    let mut talk = Talk::busy(&plain());
    talk.says(&json!({
        "method": "item/agentMessage/delta", "emittedAtMs": 1, "new": {"deep": [1, {"x": null}]},
        "params": {"delta": "a", "itemId": "i", "novel": "x"},
    }));
    talk.tells(
        "item/completed",
        json!({"item": {"type": "agentMessage", "id": "i", "text": null}}),
    );
    talk.says(&json!({"method": "warning", "params": {"message": "x"}}));
    talk.says(&json!({"method": "thread/tokenUsage/updated", "params": {"threadId": "th", "turnId": "tu", "tokenUsage": {"total": {"inputTokens": null, "outputTokens": 3}}}}));
    assert_eq!(talk.did(), ["mark", "1 text[0] \"a\"", "retract", "1 usage out=3",]);
}

#[test]
fn what_another_turn_or_thread_says_is_not_of_this_turn() {
    let mut talk = Talk::busy(&plain());
    for (thread, turn) in [("th", "old"), ("else", "tu")] {
        let scope = json!({"threadId": thread, "turnId": turn, "itemId": "i", "delta": "x"});
        talk.says(&json!({"method": "item/agentMessage/delta", "params": scope}));
        let ended = json!({"threadId": thread, "turn": {"id": turn, "status": "completed"}});
        if thread == "else" {
            talk.says(&json!({"method": "turn/completed", "params": ended}));
        }
    }
    assert_eq!(talk.did(), [""; 0]);
}
