use std::sync::Arc;

use super::difference::Sent;
use super::player::{Next, Player};
use super::{Recording, What};
use crate::event::StreamName;
use crate::runner::Signal;

const HEAD: &str = r#"{"descartes_recording":1,"backend":"basic","dialect":"basic"}"#;
const START: &str = r#"{"at_ms":0,"what":"start","fresh":"01936f3c-0000-7000-8000-000000000000","cwd":"/w","args":["--model","small"]}"#;

fn parsed(rows: &[&str]) -> Arc<Recording> {
    let text = [&[HEAD, START], rows].concat().join("\n");
    Arc::new(Recording::parse("/r/session.jsonl", text.as_bytes()).expect("a recording"))
}

fn out(bytes: &[u8]) -> What {
    What::Out { stream: StreamName::Stdout, bytes: bytes.to_vec() }
}

#[test]
fn a_file_that_is_no_recording_is_refused_with_the_line_that_is_wrong() {
    let refused = |text: &str| {
        Recording::parse("/r/x.jsonl", text.as_bytes()).expect_err("no recording").to_string()
    };
    let row = |row: &str| refused(&format!("{HEAD}\n{START}\n\n{row}\n"));
    assert_eq!(
        refused(""),
        "/r/x.jsonl, line 1: not the beginning of a recording: EOF while parsing a value at line 1 \
         column 0"
    );
    assert_eq!(
        refused(r#"{"descartes_recording":7}"#),
        "/r/x.jsonl, line 1: version 7 of the format, and only 1 is known"
    );
    assert_eq!(
        refused(&format!("{HEAD}\n{}", r#"{"at_ms":1,"what":"close"}"#)),
        "/r/x.jsonl, line 2: something happened before a process began"
    );
    assert_eq!(
        row(r#"{"at_ms":1,"what":"signal","signal":"loud"}"#),
        "/r/x.jsonl, line 4: there is no signal `loud`"
    );
    assert_eq!(
        row(r#"{"at_ms":1,"what":"in"}"#),
        "/r/x.jsonl, line 4: a line is either `line` or `hex`"
    );
    assert!(
        row(r#"{"at_ms":1,"what":"said"}"#)
            .starts_with("/r/x.jsonl, line 4: unknown variant `said`")
    );
    assert!(row("{").starts_with("/r/x.jsonl, line 4: EOF"));
    assert!(
        row(r#"{"at_ms":1,"what":"out","hex":"0"}"#).ends_with("line 4: `hex` is no hexadecimal")
    );
}

#[test]
fn what_is_written_is_read_as_it_was_also_when_it_is_no_text() {
    let all = [
        What::Start(parsed(&[]).runs[0].start.clone()),
        out(b"\xff\x00 no text"),
        What::Out { stream: StreamName::Stderr, bytes: "\u{e4}\\\"\r".into() },
        What::Oversize { stream: StreamName::Stderr, bytes: 1 << 40 },
        What::In(b"hello".to_vec()),
        What::Tick,
        What::Signal(Signal::Interrupt),
        What::Close,
        What::Exit(super::Exit { code: None, signal: Some(9), killed: true }),
    ];
    let read = Recording::of("basic", &all);
    let whats: Vec<_> = read.entries.iter().map(|entry| entry.what.clone()).collect();
    assert_eq!(whats, all[1..]);
    assert_eq!(What::Start(read.runs[0].start.clone()), all[0]);
}

/// What is said when `sent` comes instead of what was recorded.
fn difference(recorded: &str, sent: &str) -> String {
    let row = serde_json::json!({"at_ms": 1, "what": "in", "line": recorded}).to_string();
    let mut player = Player::new(&parsed(&[&row]), 1).expect("a run");
    player.take(format!("{sent}\n").as_bytes()).expect_err("it differs").to_string()
}

#[test]
fn a_difference_says_where_it_is_what_was_recorded_and_what_was_sent() {
    let golden = [
        difference("prompt say hello", "prompt say hullo there"),
        difference(
            r#"{"id":3,"method":"session/prompt","params":{"prompt":[{"type":"text","text":"one"}]}}"#,
            r#"{"id":3,"method":"session/prompt","params":{"prompt":[{"type":"text","text":"two"}]}}"#,
        ),
        difference(r#"{"a":1}"#, r#"{"a":1,"b":[true]}"#),
        difference(r#"{"a":[1,2,3]}"#, r#"{"a":[1,2]}"#),
        difference(&format!("prompt {}", "x".repeat(400)), "prompt x"),
    ];
    let expected = r#"replay: /r/session.jsonl, line 3: the agent is sent something else than was recorded
  recorded: prompt say hello
  sent:     prompt say hullo there
  at character 13: recorded "ello", sent "ullo there"
replay: /r/session.jsonl, line 3: the agent is sent something else than was recorded
  recorded: {"id":3,"method":"session/prompt","params":{"prompt":[{"type":"text","text":"one"}]}}
  sent:     {"id":3,"method":"session/prompt","params":{"prompt":[{"type":"text","text":"two"}]}}
  at `params.prompt[0].text`: recorded "one", sent "two"
replay: /r/session.jsonl, line 3: the agent is sent something else than was recorded
  recorded: {"a":1}
  sent:     {"a":1,"b":[true]}
  at `b`: recorded nothing, sent [true]
replay: /r/session.jsonl, line 3: the agent is sent something else than was recorded
  recorded: {"a":[1,2,3]}
  sent:     {"a":[1,2]}
  at `a[2]`: recorded 3, sent nothing
"#;
    let told = golden[..4].iter().map(|text| format!("{text}\n")).collect::<String>();
    assert_eq!(told, expected);
    let long = &golden[4];
    assert!(long.len() < crate::limits::STDERR_TAIL_BYTES && long.contains('…'), "{long}");
}

#[test]
fn what_says_the_same_in_another_way_is_the_same() {
    let row = r#"{"at_ms":1,"what":"in","line":"{\"a\":1,\"clientInfo\":{\"name\":\"d\",\"version\":\"0.1\"}}"}"#;
    let mut player = Player::new(&parsed(&[row]), 1).expect("a run");
    let same = br#"{"clientInfo": {"version": "0.2", "name": "d"}, "a": 1}"#;
    player.take(same).expect("it has not ended yet");
    player.take(b"\n").expect("it is the same");
    assert!(player.is_over());
}

#[test]
fn other_arguments_another_signal_and_what_was_never_recorded_are_differences() {
    let rows = [r#"{"at_ms":1,"what":"signal","signal":"interrupt"}"#];
    let player = || Player::new(&parsed(&rows), 1).expect("a run");
    let args = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    player().begun(&args(&["--model", "small"])).expect("the same");
    let told = player().begun(&args(&["--model", "big", "-v"])).expect_err("others").to_string();
    assert!(told.ends_with("at `[1]`: recorded \"small\", sent \"big\""), "{told}");
    let told = player().signal(Signal::Hangup).expect_err("another").to_string();
    assert!(
        told.contains("recorded: (the signal `interrupt`)\n  sent:     (the signal `hangup`)"),
        "{told}"
    );
    let mut over = player();
    over.signal(Signal::Interrupt).expect("as it was");
    let told = over.take(b"more\n").expect_err("too much").to_string();
    let expected = "replay: /r/session.jsonl: the agent is sent something else than was recorded\n  \
                    recorded: (nothing more in this run)\n  sent:     more";
    assert_eq!(told, expected);
    assert_eq!(Sent::Close.to_string(), "(the end of standard input)");
}

#[test]
fn the_agent_says_nothing_before_it_was_told_what_it_had_been_told_and_may_be_told_it_early() {
    let rows = [
        r#"{"at_ms":1,"what":"out","line":"a"}"#,
        r#"{"at_ms":2,"what":"in","line":"go"}"#,
        r#"{"at_ms":3,"what":"out","line":"b"}"#,
        r#"{"at_ms":4,"what":"exit","code":0}"#,
    ];
    let recording = parsed(&rows);
    let mut late = Player::new(&recording, 1).expect("a run");
    late.done();
    assert_eq!(late.next(), Next::Waits);
    late.take(b"go\n").expect("as it was");
    assert_eq!(late.next(), Next::Write { stream: StreamName::Stdout, bytes: b"b" });
    let mut early = Player::new(&recording, 1).expect("a run");
    early.take(b"go\n").expect("as it was");
    assert_eq!(early.next(), Next::Write { stream: StreamName::Stdout, bytes: b"a" });
    early.done();
    early.done();
    assert!(matches!(early.next(), Next::Exit(_)));
    assert!(Player::new(&recording, 2).is_none() && Player::new(&recording, 0).is_none());
}
