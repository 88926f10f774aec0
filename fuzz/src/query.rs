//! Paths and query strings of the routes that stand for methods: what is asked is what a browser
//! meant, all else is refused.

use descartes_transport_http::testing;
use serde_json::{Map, Value, json};
use url::form_urlencoded;

pub(crate) const WORDS: &[&str] = &[
    "/events?",
    "/agents/",
    "/logs?",
    "topic=",
    "types=",
    "after=",
    "tail=",
    "stream=",
    "follow=",
    "&",
    "=",
    "+",
    "%2B",
    "%2F",
    "%25",
    "%00",
    "%ff",
    "%c3%a4",
    ",",
    "18446744073709551616",
];

/// More pairs are refused.
const PAIRS: usize = 128;

/// What a request asks for: parameters, and whether it follows.
type Asked = (Map<String, Value>, bool);

/// The whole input is a path and a query behind the first `?`.
pub fn query(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let (path, query) = text.split_once('?').unwrap_or((text, ""));
    let asked = testing::asked(path, query);
    let Some(expected) = reference(path, query) else {
        assert!(asked.is_none(), "{path:?} is no route");
        return;
    };
    match (asked.expect(path), expected) {
        (Ok((params, follow)), Some((expected, follows))) => {
            let params: Map<String, Value> = serde_json::from_slice(&params).expect(text);
            assert_eq!((params, follow), (expected, follows), "{text:?}");
        }
        (Err(why), None) => {
            assert!(!why.is_empty() && why.len() < query.len() + 100, "{why}");
        }
        (asked, expected) => panic!("{text:?}: {asked:?}, expected {expected:?}"),
    }
}

/// Nothing for a path that is no route, then nothing for what is refused.
fn reference(path: &str, query: &str) -> Option<Option<Asked>> {
    if path == "/events" {
        return Some(events(query));
    }
    if ["/openrpc.json", "/openapi.json"].contains(&path) {
        let nothing = query.bytes().all(|byte| byte == b'&');
        return Some(nothing.then(|| (Map::new(), false)));
    }
    let agent = path.strip_prefix("/agents/")?.strip_suffix("/logs")?;
    (!agent.is_empty() && !agent.contains('/')).then(|| logs(agent, query))
}

fn events(query: &str) -> Option<Asked> {
    let mut read = Map::from_iter([("topics".to_owned(), json!([]))]);
    for (name, value) in pairs(query)? {
        match name.as_str() {
            "topic" => add(&mut read, "topics", &value),
            "types" if !value.contains(',') => add(&mut read, "types", &value),
            "types" => {
                read.entry("types").or_insert_with(|| json!([]));
                for part in value.split(',').filter(|part| !part.is_empty()) {
                    add(&mut read, "types", part);
                }
            }
            _ => once(&mut read, &name, &value, "after")?,
        }
    }
    Some((read, false))
}

fn logs(agent: &str, query: &str) -> Option<Asked> {
    // A plus in a path is a plus.
    let agent = decoded(&agent.replace('+', "%2B"))?;
    let mut read = Map::from_iter([("agent_id".to_owned(), json!(agent))]);
    let mut follow = false;
    for (name, value) in pairs(query)? {
        match (name.as_str(), value.as_str()) {
            ("follow", "1" | "true" | "") => follow = true,
            ("follow", "0" | "false") => follow = false,
            ("follow", _) => return None,
            _ => once(&mut read, &name, &value, "stream")?,
        }
    }
    Some((read, follow))
}

fn add(read: &mut Map<String, Value>, member: &str, value: &str) {
    let all = read.entry(member).or_insert_with(|| json!([]));
    all.as_array_mut().expect("it is made as one").push(json!(value));
}

/// `tail`, which is a number, and one text; neither of them twice, and no other.
fn once(read: &mut Map<String, Value>, name: &str, value: &str, text: &str) -> Option<()> {
    let value = match name {
        "tail" => json!(value.parse::<u64>().ok()?),
        name if name == text => json!(value),
        _ => return None,
    };
    read.insert(name.to_owned(), value).is_none().then_some(())
}

/// The pairs, by a parser of browsers, which forgives what is refused here.
fn pairs(query: &str) -> Option<Vec<(String, String)>> {
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    if pairs.clone().count() > PAIRS || !pairs.clone().all(|pair| decoded(pair).is_some()) {
        return None;
    }
    Some(form_urlencoded::parse(query.as_bytes()).into_owned().collect())
}

/// Nothing unless every `%` begins a byte, and the bytes are UTF-8.
fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::new();
    let mut pieces = text.split('%');
    bytes.extend(pieces.next().unwrap_or_default().bytes());
    for piece in pieces {
        let digits = piece.get(..2)?;
        if !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return None;
        }
        bytes.push(u8::from_str_radix(digits, 16).ok()?);
        bytes.extend(piece.bytes().skip(2));
    }
    String::from_utf8(bytes).ok()
}
