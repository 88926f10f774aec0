//! `daemon.toml`: read with line and column, written by `--print-config`.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::ops::Range;
use std::path::{Path, PathBuf};

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::error::{ConfigError, Place};
use super::layers::Layers;
use super::setting::Value;
use super::{Config, keys, remote};

/// Reads `path` into `layers`.
pub(super) fn read(layers: &mut Layers, path: PathBuf) -> Result<(), ConfigError> {
    match std::fs::read_to_string(&path) {
        Ok(text) => apply(layers, &Source { path: &path, text: &text })?,
        Err(source) => return Err(ConfigError::Unreadable { path, source }),
    }
    layers.config.file = Some(path);
    Ok(())
}

/// A file and its text, to turn byte offsets into places.
struct Source<'a> {
    path: &'a Path,
    text: &'a str,
}

impl Source<'_> {
    fn place(&self, span: &Range<usize>) -> Place {
        let before = self.text.get(..span.start).unwrap_or(self.text);
        let line = before.matches('\n').count() + 1;
        let start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let column = before[start..].chars().count() + 1;
        Place::File { path: self.path.to_owned(), line, column }
    }

    fn unknown<'n>(
        &self,
        (what, key): (&'static str, &Spanned<Cow<'_, str>>),
        names: impl IntoIterator<Item = &'n str>,
    ) -> ConfigError {
        let name = key.get_ref().to_string();
        let nearest = keys::nearest(&name, names);
        ConfigError::Unknown { place: self.place(&key.span()), what, name, nearest }
    }

    fn value(&self, key: String, expected: &str, found: &Spanned<DeValue<'_>>) -> ConfigError {
        ConfigError::Value {
            place: self.place(&found.span()),
            key,
            expected: expected.to_owned(),
            found: value(found.get_ref()).shown(),
        }
    }
}

fn apply(layers: &mut Layers, source: &Source<'_>) -> Result<(), ConfigError> {
    let root = DeTable::parse(source.text).map_err(|error| ConfigError::Syntax {
        place: source.place(&error.span().unwrap_or_default()),
        message: error.message().to_owned(),
    })?;
    for (name, section) in root.get_ref() {
        if !keys::sections().contains(&name.get_ref().as_ref()) {
            return Err(source.unknown(("section", name), keys::sections()));
        }
        let Some(table) = section.get_ref().as_table() else {
            return Err(source.value(name.get_ref().to_string(), "a section", section));
        };
        if name.get_ref() == remote::SECTION {
            apply_remotes(layers, source, table)?;
        } else {
            apply_section(layers, source, (name.get_ref(), table))?;
        }
    }
    Ok(())
}

fn apply_remotes(
    layers: &mut Layers,
    source: &Source<'_>,
    remotes: &DeTable<'_>,
) -> Result<(), ConfigError> {
    for (remote, section) in remotes {
        let Some(table) = section.get_ref().as_table() else {
            let key = format!("{}.{}", remote::SECTION, remote.get_ref());
            return Err(source.value(key, "a section", section));
        };
        layers.remote(remote.get_ref(), source.place(&remote.span()))?;
        for (name, found) in table {
            let Some(key) = remote::find(name.get_ref()) else {
                return Err(source.unknown(("key", name), remote::names()));
            };
            let place = source.place(&found.span());
            layers.set_remote(remote.get_ref(), key, &value(found.get_ref()), place)?;
        }
    }
    Ok(())
}

fn apply_section(
    layers: &mut Layers,
    source: &Source<'_>,
    (section, table): (&str, &DeTable<'_>),
) -> Result<(), ConfigError> {
    for (name, found) in table {
        let Some(key) = keys::find(section, name.get_ref()) else {
            return Err(source.unknown(("key", name), keys::names(section)));
        };
        layers.set(key, &value(found.get_ref()), source.place(&found.span()))?;
    }
    Ok(())
}

fn value(found: &DeValue<'_>) -> Value {
    match found {
        DeValue::String(text) => Value::Text(text.to_string()),
        DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix())
            .map_or(Value::Other("number that is too large"), Value::Integer),
        DeValue::Boolean(truth) => Value::Bool(*truth),
        DeValue::Array(all) => {
            Value::List(all.iter().map(|member| value(member.get_ref())).collect())
        }
        DeValue::Float(_) => Value::Other("number with a fraction"),
        DeValue::Datetime(_) => Value::Other("time"),
        DeValue::Table(_) => Value::Other("table"),
    }
}

/// Writes `config` as a file that reads back as the same.
pub(super) fn write(config: &Config) -> String {
    let mut text = String::new();
    if let Some(file) = &config.file {
        line(&mut text, format_args!("# read from {}", file.display()));
    }
    let mut section = "";
    for key in keys::KEYS.iter().filter(|key| key.missing().is_none()) {
        if key.section != section {
            section = key.section;
            line(&mut text, format_args!("\n[{section}]"));
        }
        setting(&mut text, key.name, (key.show)(config));
    }
    for (name, remote) in &config.remotes {
        line(&mut text, format_args!("\n[{}.{name:?}]", remote::SECTION));
        for key in remote::KEYS {
            setting(&mut text, key.name, (key.show)(remote));
        }
    }
    text.trim_start().to_owned()
}

fn setting(text: &mut String, name: &str, value: Option<String>) {
    match value {
        Some(value) => line(text, format_args!("{name} = {value}")),
        None => line(text, format_args!("# {name} is not set")),
    }
}

fn line(text: &mut String, line: std::fmt::Arguments<'_>) {
    writeln!(text, "{line}").expect("a String can always be written to");
}
