//! What was wrong with parameters, in the members that API.md names.

use std::borrow::Cow;

use serde_path_to_error::Error as TracedError;

/// Why parameters were refused; becomes error -32602 with these members in `data`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ParamFault {
    /// One sentence.
    pub message: String,
    /// Where, as `config.limits.wall_secs`; empty for the parameters themselves.
    pub path: String,
    /// What would have been right there.
    pub expected: Option<String>,
    /// The member that was unknown, missing or given twice.
    pub member: Option<String>,
    /// The members or words that exist there.
    pub available: Vec<String>,
}

impl ParamFault {
    /// A fault at `path`, where `expected` would have been right.
    #[must_use]
    pub fn at(path: &str, expected: &str) -> Self {
        let message = format!("{path}: expected {expected}");
        let (path, expected) = (path.to_owned(), Some(expected.to_owned()));
        Self { message, path, expected, member: None, available: Vec::new() }
    }

    pub(super) fn not_a_structure() -> Self {
        let mut fault = Self::at("", "an object or an array");
        fault.message = "params must be an object or an array".to_owned();
        fault
    }

    pub(super) fn malformed(reason: &str) -> Self {
        let mut fault = Self::not_a_structure();
        fault.message = format!("params cannot be read: {reason}");
        fault
    }

    pub(super) fn too_many_positions(given: usize, members: &[&str]) -> Self {
        let most = members.len();
        Self {
            message: format!("{given} positional parameters, this method has {most}"),
            path: String::new(),
            expected: Some(format!("at most {most} parameters")),
            member: None,
            available: members.iter().map(|&member| member.to_owned()).collect(),
        }
    }

    /// Reads serde's sentence about what went wrong; its wording is pinned by the table tests.
    #[must_use]
    pub fn explain<E: std::fmt::Display>(error: &TracedError<E>) -> Self {
        let sentence = error.inner().to_string();
        let sentence = sentence.rfind(" at line ").map_or(&*sentence, |end| &sentence[..end]);
        let sentence = &*without_text(sentence);
        let path = match error.path().to_string() {
            root if root == "." => String::new(),
            path => path,
        };
        let (what, expected) = match sentence.split_once(", expected ") {
            Some((what, expected)) => (what, Some(expected)),
            None => (sentence, None),
        };
        let member = ["unknown field `", "duplicate field `", "missing field `"]
            .iter()
            .find_map(|start| what.strip_prefix(start)?.split('`').next());
        let lists = member.is_some() || what.starts_with("unknown variant");
        let path = member.map_or(&*path, |member| holder(&path, member));
        let place = if path.is_empty() { String::new() } else { format!("{path}: ") };
        Self {
            message: format!("{place}{sentence}"),
            path: path.to_owned(),
            expected: expected.map(|words| plain(words).to_owned()),
            member: member.map(str::to_owned),
            available: expected.filter(|_| lists).map(quoted).unwrap_or_default(),
        }
    }
}

/// The sentence without the text that was found where something else belongs: whoever puts a secret
/// in the wrong place does not find it in errors and logs.
fn without_text(sentence: &str) -> Cow<'_, str> {
    let found = ["invalid type: string \"", "invalid value: string \""];
    let found = found.into_iter().find(|found| sentence.starts_with(found));
    match (found, sentence.rfind("\", expected ")) {
        (Some(found), Some(end)) => {
            let kind = found.trim_end_matches("string \"");
            format!("{kind}a string{}", &sentence[end + 1..]).into()
        }
        _ => sentence.into(),
    }
}

/// The path of the object that `member` was looked for in.
fn holder<'a>(path: &'a str, member: &str) -> &'a str {
    match path.strip_suffix(member) {
        Some("") => "",
        Some(outer) => outer.strip_suffix('.').unwrap_or(path),
        None => path,
    }
}

/// Words for people in place of names of types.
fn plain(expected: &str) -> &str {
    match expected {
        "u8" | "u16" | "u32" | "u64" => "a whole number, not negative",
        "i32" | "i64" => "a whole number",
        "f64" => "a number",
        other => other,
    }
}

/// The names between backticks.
fn quoted(list: &str) -> Vec<String> {
    list.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_in_the_wrong_place_is_not_told_again() {
        for (sentence, told) in [
            ("invalid type: string \"x\", expected u32", "invalid type: a string, expected u32"),
            (
                "invalid value: string \"a\\\", expected b\", expected a word",
                "invalid value: a string, expected a word",
            ),
            (
                "invalid type: integer `1`, expected a string",
                "invalid type: integer `1`, expected a string",
            ),
            ("unknown field `a`", "unknown field `a`"),
        ] {
            assert_eq!(without_text(sentence), told);
        }
    }
}
