//! What was sent and what was recorded: whether they are the same, and what to say when not.

use std::fmt;
use std::sync::Arc;

use serde_json::Value;

use super::What;

/// Characters that are shown of a line, so that a difference fits in the tail of standard error.
const SHOWN_LINE: usize = 240;
/// Characters that are shown of a value in it.
const SHOWN_VALUE: usize = 120;
/// Members that say which version of ours speaks: they are not compared.
const OURS: [&str; 2] = ["clientInfo.version", "client_info.version"];

/// What was sent is not what was recorded.
#[derive(Debug)]
pub(super) struct Difference {
    /// The file.
    pub(super) name: Arc<str>,
    /// The line that was recorded; none behind the end.
    pub(super) line: Option<usize>,
    pub(super) recorded: String,
    pub(super) sent: String,
    /// Where they differ.
    pub(super) place: Option<String>,
}

/// As several lines for people.
impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "replay: {}", self.name)?;
        if let Some(line) = self.line {
            write!(f, ", line {line}")?;
        }
        writeln!(f, ": the agent is sent something else than was recorded")?;
        writeln!(f, "  recorded: {}", short(&self.recorded, SHOWN_LINE))?;
        write!(f, "  sent:     {}", short(&self.sent, SHOWN_LINE))?;
        match &self.place {
            Some(place) => write!(f, "\n  {place}"),
            None => Ok(()),
        }
    }
}

/// What our side does to an agent.
#[derive(Debug, PartialEq)]
pub(super) enum Sent {
    Line(Vec<u8>),
    Close,
    Signal(crate::runner::Signal),
}

impl fmt::Display for Sent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line(line) => f.write_str(&String::from_utf8_lossy(line)),
            Self::Close => f.write_str("(the end of standard input)"),
            Self::Signal(signal) => write!(f, "(the signal `{}`)", signal.as_str()),
        }
    }
}

/// Whether `sent` is what was recorded; otherwise what was, and where they differ.
pub(super) fn compare(recorded: &What, sent: &Sent) -> Result<(), (String, Option<String>)> {
    let known = match recorded {
        What::In(line) => Sent::Line(line.clone()),
        What::Close => Sent::Close,
        What::Signal(signal) => Sent::Signal(*signal),
        // Only what our side did is compared.
        _ => return Ok(()),
    };
    if known == *sent {
        return Ok(());
    }
    let place = match (&known, sent) {
        (Sent::Line(recorded), Sent::Line(sent)) => match (value(recorded), value(sent)) {
            (Some(recorded), Some(sent)) => match first("", Some(&recorded), Some(&sent)) {
                Some(place) => Some(place),
                None => return Ok(()),
            },
            _ => Some(character(recorded, sent)),
        },
        _ => None,
    };
    Err((known.to_string(), place))
}

/// Whether a process is started with the arguments that were recorded.
pub(super) fn compare_args(recorded: &[String], sent: &[String]) -> Option<String> {
    let value = |args: &[String]| Value::from(args.to_vec());
    first("", Some(&value(recorded)), Some(&value(sent)))
}

/// The object or array that `line` is: other lines are compared as text.
fn value(line: &[u8]) -> Option<Value> {
    serde_json::from_slice(line).ok().filter(|value: &Value| value.is_object() || value.is_array())
}

/// The first member that differs, and how.
fn first(path: &str, recorded: Option<&Value>, sent: Option<&Value>) -> Option<String> {
    if recorded == sent || OURS.iter().any(|ours| path.ends_with(ours)) {
        return None;
    }
    match (recorded, sent) {
        (Some(Value::Object(recorded)), Some(Value::Object(sent))) => {
            let new = sent.keys().filter(|key| !recorded.contains_key(*key));
            recorded.keys().chain(new).find_map(|key| {
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                first(&path, recorded.get(key), sent.get(key))
            })
        }
        (Some(Value::Array(recorded)), Some(Value::Array(sent))) => {
            (0..recorded.len().max(sent.len()))
                .find_map(|at| first(&format!("{path}[{at}]"), recorded.get(at), sent.get(at)))
        }
        _ => {
            let shown = |value: Option<&Value>| match value {
                Some(value) => short(&value.to_string(), SHOWN_VALUE),
                None => "nothing".to_owned(),
            };
            Some(format!("at `{path}`: recorded {}, sent {}", shown(recorded), shown(sent)))
        }
    }
}

/// Where two texts part.
fn character(recorded: &[u8], sent: &[u8]) -> String {
    let (recorded, sent) = (String::from_utf8_lossy(recorded), String::from_utf8_lossy(sent));
    let same = recorded.chars().zip(sent.chars()).take_while(|(a, b)| a == b).count();
    let rest = |text: &str| {
        let rest = text.chars().skip(same).collect::<String>();
        if rest.is_empty() {
            "nothing".to_owned()
        } else {
            format!("{:?}", short(&rest, SHOWN_VALUE))
        }
    };
    format!("at character {}: recorded {}, sent {}", same + 1, rest(&recorded), rest(&sent))
}

/// The beginning of `text`.
fn short(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
