use super::*;
use crate::wire::agent::{ListParams, SpawnParams, WaitFor, WaitParams};
use crate::wire::control::{BatchParams, WriteParams};
use crate::wire::state::PutParams;
use crate::wire::system::NoParams;

fn read<P: MethodParams>(text: &str) -> Result<P, ParamFault> {
    decode(&Params::from_json(bytes::Bytes::copy_from_slice(text.as_bytes())))
}

fn fault<P: MethodParams + std::fmt::Debug>(text: &str) -> ParamFault {
    read::<P>(text).expect_err(text)
}

#[test]
fn names_and_positions_mean_the_same() {
    let named: SpawnParams =
        read(r#"{"name":"a","agent_type":"process","config":{"command":["x"]}}"#).unwrap();
    let positional: SpawnParams = read(r#"["a","process",{"command":["x"]}]"#).unwrap();
    assert_eq!(named, positional);
    let waiting: WaitParams = read(r#"["a","run",1.5]"#).unwrap();
    assert_eq!(waiting.r#for, Some(WaitFor::Run));
    assert_eq!(waiting, read(r#"{"agent_id":"a","for":"run","timeout_secs":1.5}"#).unwrap());
}

#[test]
fn absent_parameters_are_an_empty_object() {
    assert_eq!(decode::<NoParams>(&Params::ABSENT).unwrap(), NoParams {});
    assert_eq!(decode::<ListParams>(&Params::ABSENT).unwrap(), ListParams::default());
    assert_eq!(read::<NoParams>("[]").unwrap(), NoParams {});
    let fault = decode::<WaitParams>(&Params::ABSENT).unwrap_err();
    assert_eq!(fault.member.as_deref(), Some("agent_id"));
}

#[test]
fn an_optional_position_may_be_null() {
    let params: SpawnParams = read(r#"[null,"basic"]"#).unwrap();
    assert_eq!((params.name, params.agent_type.as_deref()), (None, Some("basic")));
}

#[test]
fn an_unknown_member_is_named_with_what_there_is() {
    let fault = fault::<SpawnParams>(r#"{"name":"a","colour":"red"}"#);
    assert_eq!(fault.member.as_deref(), Some("colour"));
    assert_eq!(fault.path, "");
    assert!(fault.available.contains(&"unique_name".to_owned()), "{fault:?}");
    let nested = self::fault::<SpawnParams>(r#"{"config":{"limits":{"ram":1}}}"#);
    assert_eq!(nested.member.as_deref(), Some("ram"));
    assert_eq!(nested.path, "config.limits");
    assert!(nested.available.contains(&"wall_secs".to_owned()));
    let none = self::fault::<NoParams>(r#"{"a":1}"#);
    assert_eq!(none.member.as_deref(), Some("a"));
}

#[test]
fn a_wrong_type_names_its_path_and_what_was_expected() {
    for (text, path, expected) in [
        (r#"{"name":5}"#, "name", "a string"),
        (r#"{"config":{"env":{"A":1}}}"#, "config.env.A", "a string"),
        (r#"{"config":{"command":["a",2]}}"#, "config.command[1]", "a string"),
        (r#"{"config":{"command":7}}"#, "config.command", "an array of texts, or one text"),
        (r#"{"config":{"limits":{"wall_secs":"x"}}}"#, "config.limits.wall_secs", "a number"),
        (
            r#"{"config":{"limits":{"wall_secs":-1}}}"#,
            "config.limits.wall_secs",
            "seconds, not negative",
        ),
        (
            r#"{"config":{"limits":{"output_bytes":1.5}}}"#,
            "config.limits.output_bytes",
            "a whole number, not negative",
        ),
        (r#"["a","b",{},"yes"]"#, "unique_name", "a boolean"),
    ] {
        let fault = fault::<SpawnParams>(text);
        assert_eq!(fault.path, path, "{text}");
        assert_eq!(fault.expected.as_deref(), Some(expected), "{text}");
    }
}

#[test]
fn an_unknown_word_is_refused_with_the_words_there_are() {
    let fault = fault::<WaitParams>(r#"{"agent_id":"a","for":"ever"}"#);
    assert_eq!(fault.path, "for");
    assert_eq!(fault.available, ["exit", "run", "turn", "idle"]);
    let list = self::fault::<ListParams>(r#"{"status":["running","gone"]}"#);
    assert_eq!(list.path, "status[1]");
    assert!(list.available.contains(&"stopped".to_owned()));
}

#[test]
fn one_status_and_several_are_both_taken() {
    let one: ListParams = read(r#"{"status":"any"}"#).unwrap();
    let several: ListParams = read(r#"{"status":["any"]}"#).unwrap();
    assert_eq!(one, several);
}

#[test]
fn a_member_given_twice_is_refused_at_every_depth() {
    for (text, member, path) in [
        (r#"{"name":"a","name":"b"}"#, "name", ""),
        (r#"{"name":"a","n\u0061me":"b"}"#, "name", ""),
        (r#"{"config":{"cwd":"/","cwd":"/"}}"#, "cwd", "config"),
        (r#"{"config":{"env":{"A":"1","A":"2"}}}"#, "A", "config.env"),
        (r#"{"config":{"labels":{"a":"1","a":"1"}}}"#, "a", "config.labels"),
    ] {
        let fault = fault::<SpawnParams>(text);
        assert_eq!(fault.member.as_deref(), Some(member), "{text}");
        assert_eq!(fault.path, path, "{text}");
    }
    let value = fault::<PutParams>(r#"{"key":"k","value":{"a":[{"b":1,"b":2}]}}"#);
    assert_eq!(value.member.as_deref(), Some("b"));
    assert_eq!(value.path, "value");
}

#[test]
fn a_synonym_is_taken_and_both_spellings_are_a_duplicate() {
    let params: SpawnParams =
        read(r#"{"backend":"basic","config":{"working_dir":"/tmp"}}"#).unwrap();
    assert_eq!(params.agent_type.as_deref(), Some("basic"));
    assert_eq!(params.config.unwrap().cwd.as_deref(), Some("/tmp"));
    let twice = fault::<SpawnParams>(r#"{"backend":"a","agent_type":"a"}"#);
    assert_eq!(twice.member.as_deref(), Some("agent_type"));
    let nested = fault::<SpawnParams>(r#"{"config":{"cwd":"/","working_dir":"/"}}"#);
    assert_eq!(nested.member.as_deref(), Some("cwd"));
}

#[test]
fn an_array_is_not_an_object() {
    for text in [
        r#"{"config":[]}"#,
        r#"{"config":["task"]}"#,
        r#"{"config":{"limits":[1]}}"#,
        r#"{"config":{"restart":["never"]}}"#,
        r#"{"config":{"env":[]}}"#,
    ] {
        let fault = fault::<SpawnParams>(text);
        assert_eq!(fault.expected.as_deref(), Some("an object"), "{text}");
    }
    let select = r#"{"command":"status","select":[null]}"#;
    assert_eq!(fault::<BatchParams>(select).path, "select");
    let payload = r#"{"command":"signal","payload":[true]}"#;
    assert_eq!(fault::<BatchParams>(payload).path, "payload");
}

#[test]
fn scalars_and_too_many_positions_are_refused() {
    for text in ["1", "\"a\"", "null", "true"] {
        assert_eq!(
            fault::<WriteParams>(text).expected.as_deref(),
            Some("an object or an array"),
            "{text}"
        );
    }
    let many = fault::<NoParams>("[1]");
    assert_eq!(many.expected.as_deref(), Some("at most 0 parameters"));
    assert!(fault::<WriteParams>(r#"["a","b","c",true,"k",6]"#).available.len() == 5);
    let waiting = fault::<WaitParams>(r#"["a","exit",1,2]"#);
    assert_eq!(waiting.available, ["agent_id", "for", "timeout_secs"]);
}

#[test]
fn any_value_is_kept_as_its_exact_text() {
    for value in ["1.0", "12345678901234567890123", "{\"b\":1,  \"a\":[null]}", "\"\\u00e9\""] {
        let text = format!(r#"{{"key":"k","value":{value}}}"#);
        let params: PutParams = read(&text).unwrap();
        assert_eq!(params.value.0.get(), value);
    }
}

#[test]
fn the_key_is_taken_out_of_what_is_compared() {
    let mut with: WriteParams = read(r#"["a","text",null,false,"key-1"]"#).unwrap();
    assert_eq!(with.idempotency_key().map(str::to_owned), with.take_idempotency_key());
    assert_eq!(with, read(r#"{"agent_id":"a","text":"text","close":false}"#).unwrap());
}

#[test]
fn the_agent_of_a_call_is_told_before_it_is_decoded() {
    let of = |text: &'static str| {
        let params = Params::from_json(bytes::Bytes::from_static(text.as_bytes()));
        agent_of(PutParams::MEMBERS, &params).map(|agent| agent.into_owned())
    };
    assert_eq!(of(r#"{"key":"k","agent_id":"\u0061"}"#).as_deref(), Some("a"));
    assert_eq!(of(r#"["b","k"]"#).as_deref(), Some("b"));
    assert_eq!(of(r#"{"key":"k"}"#).as_deref(), Some(""));
    assert_eq!(of("[]"), None);
    assert_eq!(of(r#"{"agent_id":5}"#), None);
}
