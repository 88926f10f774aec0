//! Output is exact: whatever a program writes comes back byte for byte, from everywhere.

use serde_json::json;

use crate::rig::agents::{await_output, log, output, spawn, wait};
use crate::rig::daemon::{Daemon, Setup};
use crate::rig::{Caller, parrot, torture};

/// Bytes that are hard to keep, with a name for the failure.
pub(crate) fn hard_bytes() -> Vec<(&'static str, Vec<u8>)> {
    let every_byte: Vec<u8> = (0..=255).collect();
    vec![
        ("nothing", Vec::new()),
        ("one line", b"hello\n".to_vec()),
        ("no final newline", b"hello".to_vec()),
        ("empty lines", b"\n\n\n".to_vec()),
        ("carriage returns", b"a\r\nb\rc\r\n".to_vec()),
        ("a zero", b"a\0b\n\0".to_vec()),
        ("every byte", every_byte.clone()),
        ("every byte often", every_byte.repeat(1_000)),
        ("half a character at the end", b"caf\xc3".to_vec()),
        ("only continuation bytes", vec![0x80; 5_000]),
        ("wide characters", "\u{1f600}é\n".repeat(20_000).into_bytes()),
        ("a line of exactly a chunk", [vec![b'x'; 65_536], vec![b'\n']].concat()),
        ("a chunk without newline", vec![b'x'; 65_536]),
        ("a chunk and a byte", vec![b'x'; 65_537]),
        ("escapes of terminals", b"\x1b[31mred\x1b[0m\x07\x08\n".to_vec()),
        ("line separators of Unicode", "a\u{2028}b\u{85}c\n".as_bytes().to_vec()),
    ]
}

#[test]
fn every_byte_that_an_agent_writes_comes_back() {
    let daemon = Daemon::start();
    let (mut http, mut socket) = (daemon.http(), daemon.socket());
    for (name, bytes) in hard_bytes() {
        for stream in ["stdout", "stderr"] {
            let file = daemon.home.file("said", &bytes);
            let id = spawn(&mut socket, &parrot::say(stream, &file));
            assert_eq!(wait(&mut socket, &id)["status"], "completed", "{name}");
            assert!(output(&mut socket, &id, stream) == bytes, "{name} in events of {stream}");
            assert!(log(&mut http, &id, stream) == bytes, "{name} in rows of {stream}");
        }
    }
}

#[test]
fn a_character_that_is_split_over_reads_stays_whole_in_text() {
    let daemon = Daemon::start();
    let mut socket = daemon.socket();
    let said = "zwölf Boxkämpfer 🥊\nund noch einer\n";
    let file = daemon.home.file("said", said.as_bytes());
    let id = spawn(&mut socket, &parrot::byte_by_byte(&file));
    wait(&mut socket, &id);
    assert_eq!(output(&mut socket, &id, "stdout"), said.as_bytes());
    assert_eq!(log(&mut socket, &id, "stdout"), said.as_bytes());
    let rows = socket.ok("agent.logs", json!({"agent_id": id}));
    let whole: Vec<_> = rows["logs"].as_array().expect("rows").iter().collect();
    assert!(whole.iter().all(|row| row.get("data").is_none()), "{rows}");
}

#[test]
fn one_line_of_300_megabytes_is_one_line() {
    // More than that is kept of one agent only when asked for.
    let keep = "[retention]\noutput_bytes_per_agent = 1000000000\n";
    let daemon = Setup::new().config(keep).start();
    let mut socket = daemon.socket();
    let size = torture(300 * 1024 * 1024);
    let id = spawn(&mut socket, &parrot::long_line(size));
    assert_eq!(wait(&mut socket, &id)["status"], "completed");
    let bytes = output(&mut socket, &id, "stdout");
    assert_eq!(bytes.len(), size + 1);
    assert!(bytes[..size].iter().all(|&byte| byte == bytes[0]), "the line is of one letter");
    assert_eq!(bytes[size], b'\n');
    let details = socket.ok("agent.get", json!({"agent_id": id}));
    assert_eq!(details["output"]["lines"], 1, "{}", details["output"]);
    assert_eq!(details["output"]["bytes"], size + 1);
}

#[test]
fn the_two_streams_keep_their_own_line_numbers() {
    let daemon = Daemon::start();
    let mut socket = daemon.socket();
    let script = "echo out0; echo err0 >&2; echo out1; echo err1 >&2; printf out2";
    let id = spawn(&mut socket, &parrot::shell(script));
    wait(&mut socket, &id);
    assert_eq!(log(&mut socket, &id, "stdout"), b"out0\nout1\nout2");
    assert_eq!(log(&mut socket, &id, "stderr"), b"err0\nerr1\n");
    let rows = socket.ok("agent.logs", json!({"agent_id": id, "stream": "both"}));
    assert_eq!(rows["total"], 5);
    let errors = rows["logs"].as_array().expect("rows").iter();
    let errors: Vec<_> = errors.filter(|row| row["level"] == "error").collect();
    assert_eq!(errors.len(), 2, "{rows}");
}

#[test]
fn rows_page_by_offset_tail_and_cursor() {
    let daemon = Daemon::start();
    let mut socket = daemon.socket();
    let id = spawn(&mut socket, &parrot::shell("seq 0 249"));
    wait(&mut socket, &id);
    let mut page = |params: serde_json::Value| {
        let mut all = json!({"agent_id": id, "stream": "stdout"});
        all.as_object_mut()
            .expect("an object")
            .extend(params.as_object().expect("an object").clone());
        let rows = socket.ok("agent.logs", all);
        let rows = rows["logs"].as_array().expect("rows").clone();
        rows.iter().map(|row| row["message"].as_str().expect("text").to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(page(json!({"offset": 10, "limit": 2})), ["10", "11"]);
    assert_eq!(page(json!({"offset": -2})), ["248", "249"]);
    assert_eq!(page(json!({"tail": 3})), ["247", "248", "249"]);
    assert_eq!(page(json!({"offset": 1_000})), Vec::<String>::new());
    assert_eq!(page(json!({})).len(), 100);
    assert_eq!(page(json!({"limit": 1_000})).len(), 250);
}

#[test]
fn a_half_line_is_shown_while_the_agent_waits() {
    let daemon = Daemon::start();
    let mut socket = daemon.socket();
    let id = spawn(&mut socket, &parrot::shell("printf 'password: '; read answer; echo $answer"));
    await_output(&mut socket, &id, "password: ");
    let rows = socket.ok("agent.logs", json!({"agent_id": id}));
    assert_eq!(rows["logs"][0]["partial"], true, "{rows}");
    socket.ok("agent.write_stdin", json!({"agent_id": id, "text": "secret\n"}));
    wait(&mut socket, &id);
    assert_eq!(log(&mut socket, &id, "stdout"), b"password: secret\n");
}

#[test]
fn lines_are_found_by_regular_expression_in_all_that_is_kept() {
    let daemon = Daemon::start();
    let mut socket = daemon.socket();
    let id = spawn(&mut socket, &parrot::shell("seq 1 20000; echo 'an ERROR here' >&2"));
    wait(&mut socket, &id);
    let mut find = |params: serde_json::Value| {
        let mut all = json!({"agent_id": id});
        all.as_object_mut()
            .expect("an object")
            .extend(params.as_object().expect("an object").clone());
        socket.ok("agent.output", all)
    };
    let found = find(json!({"filter": "^1999[0-9]$"}));
    assert_eq!((&found["total_lines"], &found["has_more"]), (&json!(10), &json!(false)));
    assert_eq!(found["lines"][0], "19990");
    assert_eq!(found["matches"][0]["line"], 19_989);
    let found = find(json!({"filter": "9", "limit": 3, "offset": 1}));
    assert_eq!(found["lines"], json!(["19", "29", "39"]));
    assert_eq!(found["has_more"], true);
    let found = find(json!({"filter": "(?i)error", "stream": "stderr"}));
    assert_eq!(found["lines"], json!(["an ERROR here"]));
    assert_eq!(find(json!({"filter": "ERROR", "stream": "stdout"}))["total_lines"], 0);
}

#[test]
fn output_precedes_the_exit_of_its_run() {
    let daemon = Daemon::start();
    let mut socket = daemon.socket();
    for _ in 0..torture(200) {
        let id = spawn(&mut socket, &parrot::shell("echo last words; exit 3"));
        wait(&mut socket, &id);
        let both = crate::rig::agents::events(&mut socket, &format!("agent/{id}/"), "start");
        let kinds: Vec<_> = both.iter().map(|event| event["type"].as_str()).collect();
        let output = kinds.iter().rposition(|kind| *kind == Some("agent.output"));
        let exited = kinds.iter().position(|kind| *kind == Some("agent.exited"));
        assert!(output.is_some() && output < exited, "{kinds:?}");
    }
}
