//! `docs/configuration.md`: made of the table of keys and of what their fields say of themselves.
//! `DESCARTES_BLESS=1` writes it.

use std::fmt::Write as _;

use super::family::FAMILIES;
use super::{Config, keys};

const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/configuration.md");

const HEAD: &str = "\
# Configuration

The daemon reads `daemon.toml`: the file of `--config`, else of `DESCARTES_CONFIG`, else
`$XDG_CONFIG_HOME/descartes/daemon.toml` (`~/.config`), else `/etc/descartes/daemon.toml`. Every key is
optional. What is said later wins: defaults, the file, `DESCARTES_<SECTION>__<KEY>` in the environment,
flags. A key that there is not is refused with its line, column and the nearest name (exit code 78).

Durations are in the unit that ends the name of their key, and at most a hundred years.

`descartes-daemon --print-config` prints what would be used, `--check-config` only looks whether it is
right.

`SIGHUP` and `system.reload` read the configuration anew: all of it is checked, then everything marked
*at once* is in force for what begins from then on; the rest is named as `needs_restart` and takes a
restart. A configuration with a mistake changes nothing. The environment and the flags are those that
the daemon was started with.

This page is generated.
";

/// The sources of the structs whose fields are keys.
const SOURCES: [&str; 4] = [
    include_str!("../config.rs"),
    include_str!("auth.rs"),
    include_str!("backend.rs"),
    include_str!("remote.rs"),
];

/// What the field `name` of the struct `of` says of itself.
fn said(of: &str, name: &str) -> String {
    let head = format!("pub struct {of} {{\n");
    let body = SOURCES.iter().find_map(|source| source.split_once(&head)).expect(of).1;
    let body = body.split_once("\n}").expect("a struct ends").0;
    let mut told = String::new();
    for line in body.lines().map(str::trim) {
        if let Some(more) = line.strip_prefix("/// ") {
            told = if told.is_empty() { more.to_owned() } else { format!("{told} {more}") };
        } else if line.starts_with(&format!("pub {name}:")) {
            return told.replace('|', "\\|");
        } else {
            told.clear();
        }
    }
    panic!("{of} has no field {name}");
}

fn struct_of(section: &str) -> String {
    let (first, rest) = section.split_at(1);
    first.to_uppercase() + rest
}

fn row(page: &mut String, (name, default): (&str, Option<String>), when: &str, what: &str) {
    let default = default.map_or_else(|| "not set".to_owned(), |value| format!("`{value}`"));
    writeln!(page, "| `{name}` | {default} | {when} | {what} |").unwrap();
}

fn reference() -> String {
    const TABLE: &str = "\n| key | default | changed | what |\n| --- | --- | --- | --- |\n";
    let (mut page, config, mut section) = (HEAD.to_owned(), Config::default(), "");
    for key in keys::KEYS {
        if key.section != section {
            section = key.section;
            write!(page, "\n## `[{section}]`\n{TABLE}").unwrap();
        }
        let what = said(&struct_of(section), key.name);
        let when = if key.restart { "after a restart" } else { "at once" };
        row(&mut page, (key.name, (key.show)(&config)), when, &what);
    }
    for family in FAMILIES {
        let mut config = Config::default();
        (family.begin)(&mut config, "NAME").expect("it may be called so");
        write!(page, "\n## `[{}.NAME]`\n{TABLE}", family.section).unwrap();
        for key in family.keys {
            let (of, field) = match key.name.split_once('.') {
                Some((_, field)) => ("CapabilitiesConfig", field),
                None if family.section == "backends" => ("BackendConfig", key.name),
                None => ("Remote", key.name),
            };
            let when = if family.section == "backends" { "at once" } else { "after a restart" };
            row(&mut page, (key.name, (key.show)(&config, "NAME")), when, &said(of, field));
        }
    }
    page
}

#[test]
#[cfg(all(feature = "http", feature = "unix", feature = "zmq"))]
fn the_reference_lists_every_key_as_it_is() {
    let page = reference();
    if std::env::var_os("DESCARTES_BLESS").is_some() {
        std::fs::write(PATH, &page).unwrap();
    }
    let written = std::fs::read_to_string(PATH).expect("docs/configuration.md is there");
    assert!(written == page, "docs/configuration.md is not what DESCARTES_BLESS=1 would write");
}
