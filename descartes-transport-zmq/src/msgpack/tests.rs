use proptest::prelude::*;
use serde_json::Value;

use super::*;

fn json(message: &[u8]) -> Result<String, MsgPackError> {
    let text = to_json(message, 1 << 20).map_err(|unreadable| unreadable.error)?;
    Ok(String::from_utf8(text.to_vec()).unwrap())
}

fn packed(text: &str) -> Vec<u8> {
    from_json(text.as_bytes()).unwrap().to_vec()
}

/// The same by the crate that others use.
fn theirs(text: &str) -> Vec<u8> {
    rmp_serde::to_vec(&serde_json::from_str::<Value>(text).unwrap()).unwrap()
}

#[test]
fn what_is_written_is_what_others_write() {
    let long = format!("\"{}\"", "x".repeat(70_000));
    let many = format!("[{}]", vec!["1"; 70_000].join(","));
    for text in [
        "null",
        "true",
        "false",
        "0",
        "127",
        "128",
        "255",
        "256",
        "65535",
        "65536",
        "4294967295",
        "4294967296",
        "18446744073709551615",
        "-1",
        "-32",
        "-33",
        "-128",
        "-129",
        "-32768",
        "-32769",
        "-2147483648",
        "-2147483649",
        "-9223372036854775808",
        "1.5",
        "-0.0",
        "1e300",
        "\"\"",
        "\"a\"",
        "\"\\u00e9\\n\\\"\\\\\\/\\ud83e\\udd80\"",
        "[]",
        "{}",
        "[[],{}]",
        "{\"a\":{\"b\":[1,2,{\"c\":null}]}}",
        " [ 1 , { \"a\" : 2 } ] ",
        &long,
        &many,
        "[0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16]",
        "\"01234567890123456789012345678901\"",
    ] {
        let head: String = text.chars().take(60).collect();
        assert!(packed(text) == theirs(text), "{head}");
        let same: Value =
            serde_json::from_slice(&to_json(&packed(text), 1 << 20).unwrap()).unwrap();
        assert!(same == serde_json::from_str::<Value>(text).unwrap(), "{head}");
    }
}

#[test]
fn numbers_are_exact_and_keep_their_sort() {
    for text in ["18446744073709551615", "-9223372036854775808", "2.0", "-0.0", "0.1", "1e300"] {
        assert_eq!(json(&packed(text)).unwrap(), text.replace("1e300", "1e+300"), "{text}");
    }
    assert_eq!(json(&[0xd0, 5]).unwrap(), "5");
    assert_eq!(json(&[0xca, 0x3f, 0x80, 0, 0]).unwrap(), "1.0");
}

#[test]
fn numbers_beyond_64_bits_keep_their_text() {
    for (text, head) in [
        ("18446744073709551616", &b"\xc7\x14N"[..]),
        ("-9223372036854775809", b"\xc7\x14N"),
        ("1e400", b"\xc7\x05N"),
        ("-0", b"\xd5N"),
        ("1e-999999", b"\xc7\x09N"),
        ("1e999", b"\xc7\x05N"),
        ("-1e99999", b"\xd7N"),
        ("-1e9999999999999", b"\xd8N"),
        ("3.14159265358979323846264338327950288", b"\xc7\x25N"),
    ] {
        let there = packed(text);
        assert_eq!(there, [head, text.as_bytes()].concat(), "{text}");
        assert_eq!(json(&there).unwrap(), text);
    }
    let long = format!("{}.5", "7".repeat(70_000));
    let inside = format!("{{\"a\":[{long}]}}");
    assert!(packed(&long).starts_with(b"\xc9\x00\x01\x11\x72N7"));
    assert!(json(&packed(&inside)).unwrap() == inside);
}

#[test]
fn what_is_wrong_is_said_with_its_place() {
    for (message, said) in [
        (&b"\x81\xa1a\x92\x01\x81\xa1b\xcb\x7f\xf0\0\0\0\0\0\0"[..], "a[1].b: "),
        (b"\x93\xc0\x81\xa1a\x01\xc1", "[2]: "),
        (b"\x82\xa1a\x01\x02\x03", ""),
        (b"\x81\xa1a\x82\xa1b\x01\xc0\x01", "a: "),
        (b"\x81\xa1a", "a: "),
        (b"\xc1", ""),
        (b"\x80\x80", ""),
    ] {
        let unreadable = to_json(message, 100).unwrap_err();
        let text = unreadable.to_string();
        assert_eq!(text, format!("{said}{}", unreadable.error), "{message:x?}");
        let answer = unreadable.answer();
        assert_eq!(answer.kind(), ErrorKind::ParseError);
        let path = answer.detail("path").map_or("", |path| path.as_str().unwrap());
        assert_eq!(path, said.trim_end_matches(": "), "{message:x?}");
    }
    let name = [b"\x81\xda\x40\x00", &[b'x'; 0x4000][..]].concat();
    let long = [vec![0x91; 100], name.repeat(20)].concat();
    assert!(to_json(&long, 1 << 20).unwrap_err().path.len() < 1024);
}

#[test]
fn members_that_stand_there_twice_stay_both() {
    let twice = r#"{"id":1,"id":2}"#;
    assert_eq!(json(&packed(twice)).unwrap(), twice);
}

#[test]
fn bytes_become_the_base64_that_json_has_in_their_place() {
    assert_eq!(json(&[0x81, 0xa1, b'd', 0xc4, 3, 0xff, 0, 1]).unwrap(), r#"{"d":"/wAB"}"#);
}

#[test]
fn a_lone_surrogate_is_replaced() {
    for text in ["\"\\ud800\"", "\"\\udc00\"", "\"\\ud800\\ud800\"", "\"\\ud800x\""] {
        assert!(json(&packed(text)).unwrap().contains('\u{fffd}'), "{text}");
    }
}

#[test]
fn what_json_cannot_say_is_refused_and_said_so() {
    for (message, error) in [
        (&b""[..], MsgPackError::Truncated),
        (&[0x81], MsgPackError::Truncated),
        (&[0x81, 0xa1], MsgPackError::Truncated),
        (&[0x92, 1], MsgPackError::Truncated),
        (&[0xdd, 0xff, 0xff, 0xff, 0xff, 1], MsgPackError::Truncated),
        (&[0xdb, 0xff, 0xff, 0xff, 0xff, b'x'], MsgPackError::Truncated),
        (&[0xc6, 0xff, 0xff, 0xff, 0xff, b'x'], MsgPackError::Truncated),
        (&[0x80, 0x80], MsgPackError::Trailing),
        (&[0x91, 0xc1], MsgPackError::Reserved),
        (&[0xa1, 0xff], MsgPackError::NotText),
        (&[0x81, 0xa1, 0xff, 1], MsgPackError::NotText),
        (&[0x81, 1, 1], MsgPackError::NameNotText),
        (&[0x81, 0xc4, 1, b'a', 1], MsgPackError::NameNotText),
        (&[0x81, 0x80, 1], MsgPackError::NameNotText),
        (&[0x91, 0xd4, 1, 2], MsgPackError::Extension),
        (&[0x91, 0xc7, 1, 5, 2], MsgPackError::Extension),
        (b"\xd4Nx", MsgPackError::Extension),
        (b"\xc7\x00N", MsgPackError::Extension),
        (b"\xd5N1,", MsgPackError::Extension),
        (b"\xd5N01", MsgPackError::Extension),
        (b"\xd5N 1", MsgPackError::Extension),
        (b"\xc7\x03NNaN", MsgPackError::Extension),
        (&[0xcb, 0x7f, 0xf0, 0, 0, 0, 0, 0, 0], MsgPackError::NotFinite),
    ] {
        assert_eq!(json(message), Err(error), "{message:x?}");
    }
}

#[test]
fn nesting_is_bounded_like_that_of_json_and_never_recurses() {
    let nested = |depth: usize| [vec![0x91; depth - 1], vec![0x90]].concat();
    assert!(json(&nested(128)).is_ok());
    for depth in [129, 100_000] {
        assert_eq!(json(&nested(depth)), Err(MsgPackError::TooDeep), "{depth}");
    }
    let deep = to_json(&nested(129), 1 << 20).unwrap_err();
    assert_eq!(deep.answer().kind(), ErrorKind::InvalidRequest);
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    assert_eq!(packed(&deep), nested(100_000));
    let mut hidden = vec![0x82, 0xa1, b'x'];
    hidden.extend(nested(100_000));
    hidden.extend(b"\xa4type\xa1y");
    assert_eq!(map_kind(&hidden), MapKind::Agent);
}

#[test]
fn what_would_become_too_long_is_not_made() {
    let text = packed(&format!("\"{}\"", "x".repeat(98)));
    assert!(to_json(&text, 100).is_ok());
    let long = to_json(&text, 99).unwrap_err();
    assert_eq!(long.error, MsgPackError::TooLong { max: 99 });
    assert_eq!(long.answer().kind(), ErrorKind::ResourceExhausted);
}

#[test]
fn a_map_is_what_its_first_telling_member_says() {
    for (text, kind) in [
        (r#"{"jsonrpc":"2.0","type":"x"}"#, MapKind::JsonRpc),
        (r#"{"id":[1,{"type":2}],"jsonrpc":"2.0"}"#, MapKind::JsonRpc),
        (r#"{"request_id":"a","type":"spawn_request"}"#, MapKind::Agent),
        (r#"{"type":7}"#, MapKind::Agent),
        ("{}", MapKind::JsonRpc),
        (r#"["type"]"#, MapKind::JsonRpc),
    ] {
        assert_eq!(map_kind(&packed(text)), kind, "{text}");
    }
    assert_eq!(map_kind(b"\x8f\xa4type"), MapKind::Agent);
    assert_eq!(map_kind(b"\x81\x01"), MapKind::JsonRpc);
}

#[test]
fn what_is_not_json_is_not_packed() {
    for text in [
        "",
        " ",
        "x",
        "[",
        "[1",
        "[1,]",
        "{\"a\"}",
        "{1:2}",
        "1 2",
        "\"a",
        "[1}",
        "\"\\x\"",
        "-",
        "01",
        "1.",
        ".5",
        "+1",
        "1e",
        "NaN",
        "-Infinity",
        "\"\t\"",
        "\"a\n\"",
        "[1,,2]",
        "{,}",
        "'a'",
        "{\"a\":1,}",
        "tru",
        "nulll",
        "\u{feff}{}",
        "\"\\u12\"",
        "\"\\",
    ] {
        assert!(from_json(text.as_bytes()).is_err(), "{text:?}");
    }
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<i32>().prop_map(|eighths| Value::from(f64::from(eighths) / 8.0)),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 64, 20, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..20).prop_map(Value::from),
            prop::collection::vec((any::<String>(), inner), 0..20)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn there_and_back_is_the_same(value in value()) {
        let text = value.to_string();
        let there = packed(&text);
        prop_assert_eq!(&there, &theirs(&text));
        let back: Value = serde_json::from_slice(&to_json(&there, 1 << 24).unwrap()).unwrap();
        prop_assert_eq!(back, serde_json::from_str::<Value>(&text).unwrap());
    }

    #[test]
    fn what_is_packed_is_json_and_what_is_not_packed_is_none(text in r#"[\[\]{}:,"\\ue1-9.\- \t]{0,12}"#) {
        let is_json = serde_json::from_str::<Vec<&serde_json::value::RawValue>>(&format!("[{text}]"))
            .is_ok_and(|values| values.len() == 1);
        // Lone surrogates are replaced; a raw value does not look at them.
        prop_assert_eq!(from_json(text.as_bytes()).is_ok(), is_json, "{}", text);
    }

    #[test]
    fn whatever_comes_becomes_json_or_an_error(message in prop::collection::vec(any::<u8>(), 0..64)) {
        let _kind = map_kind(&message);
        if let Ok(text) = to_json(&message, 1 << 20) {
            prop_assert!(serde_json::from_slice::<serde::de::IgnoredAny>(&text).is_ok());
        }
    }
}
