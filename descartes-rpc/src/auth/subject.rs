//! What somebody may be called.

/// Characters of a name, at most.
const CHARS: usize = 128;
/// Names of ours, which records and events carry for others than those who log in.
const TAKEN: [&str; 4] = ["local", "system", "nobody", "api_key"];
/// How names of ours begin.
const PREFIXES: [&str; 2] = ["agent:", "key:"];

/// What is expected of a name, for errors.
pub(crate) const EXPECTED: &str =
    "1 to 128 characters without control characters, none of the names of the daemon's own";

/// What the bearer of the key `name` is called.
pub(crate) fn of_key(name: &str) -> String {
    format!("key:{name}")
}

/// Whether somebody may be called `name`.
pub(crate) fn is_valid(name: &str) -> bool {
    (1..=CHARS).contains(&name.chars().count())
        && !name.contains(char::is_control)
        && name.trim() == name
        && !TAKEN.contains(&name)
        && !PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}
