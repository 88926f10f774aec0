//! Documents that are published, held against what they were.

use serde_json::Value;

/// Compares `now` with the file `name` in `golden/` of the crate at `root`, which is `package`; or
/// writes it when that is asked for.
///
/// # Panics
///
/// When they differ.
#[track_caller]
pub fn assert_unchanged((root, package): (&str, &str), name: &str, now: &str) {
    assert_file_unchanged(&format!("{root}/golden/{name}"), package, now);
}

/// The same with a file anywhere.
///
/// # Panics
///
/// When they differ.
#[track_caller]
pub fn assert_file_unchanged(path: &str, package: &str, now: &str) {
    if std::env::var_os("DESCARTES_BLESS").is_some() {
        std::fs::write(path, now).expect("the golden file is written");
    }
    let golden = std::fs::read_to_string(path).unwrap_or_default();
    let first = golden.lines().zip(now.lines()).find(|(old, new)| old != new);
    assert!(
        golden == now,
        "{path} has changed, first here: {first:#?}. Within version 1 nothing may be removed, \
         renamed or made required. If the change is meant: DESCARTES_BLESS=1 cargo test -p {package} \
         published, for descartes-rpc before what is made of it, and commit it"
    );
}

/// Looks whether every `$ref` of `document` leads somewhere in it.
///
/// # Panics
///
/// When one does not.
#[track_caller]
pub fn assert_references_lead_somewhere(document: &Value) {
    walk(document, document);
}

#[track_caller]
fn walk(value: &Value, root: &Value) {
    match value {
        Value::Object(members) => {
            if let Some(Value::String(reference)) = members.get("$ref") {
                let pointer = reference.strip_prefix('#').expect("a local reference");
                assert!(root.pointer(pointer).is_some(), "{reference}");
            }
            members.values().for_each(|value| walk(value, root));
        }
        Value::Array(items) => items.iter().for_each(|value| walk(value, root)),
        _ => {}
    }
}
