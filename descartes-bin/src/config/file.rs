//! `daemon.toml`: read with line and column, written by `--print-config`.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Read as _};
use std::ops::Range;
use std::path::{Path, PathBuf};

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::error::{ConfigError, Place};
use super::family::{self, FAMILIES, Family};
use super::layers::Layers;
use super::setting::Value;
use super::{Config, keys};

/// Bytes of a configuration; what is longer is another file, or has no end.
const CONFIG_BYTES: u64 = 1024 * 1024;

/// Reads `path` into `layers`.
pub(super) fn read(layers: &mut Layers, path: PathBuf) -> Result<(), ConfigError> {
    match bytes(&path) {
        Ok(bytes) => apply(layers, &Source { path: &path, text: text(&path, &bytes)? })?,
        Err(source) => return Err(ConfigError::Unreadable { path, source }),
    }
    layers.config.file = Some(path);
    Ok(())
}

fn bytes(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(CONFIG_BYTES + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > CONFIG_BYTES {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "it is longer than 1 MiB"));
    }
    Ok(bytes)
}

/// The text of the file of that path, which is UTF-8.
fn text<'a>(path: &Path, bytes: &'a [u8]) -> Result<&'a str, ConfigError> {
    str::from_utf8(bytes).map_err(|error| {
        let (good, _) = bytes.split_at(error.valid_up_to());
        let text = str::from_utf8(good).unwrap_or_default();
        let utf_16 = [[0xff, 0xfe], [0xfe, 0xff]].iter().any(|mark| bytes.starts_with(mark));
        let is = if utf_16 { "the file is UTF-16" } else { "a byte that is not of UTF-8" };
        let place = Source { path, text }.place(&(good.len()..good.len()));
        ConfigError::Syntax { place, message: format!("{is}: it should be a text of UTF-8") }
    })
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
        match family::find(name.get_ref()) {
            Some(family) => apply_family(layers, source, (family, table))?,
            None => apply_section(layers, source, (name.get_ref(), table))?,
        }
    }
    Ok(())
}

fn apply_family(
    layers: &mut Layers,
    source: &Source<'_>,
    (family, members): (&'static Family, &DeTable<'_>),
) -> Result<(), ConfigError> {
    for (member, section) in members {
        let Some(table) = section.get_ref().as_table() else {
            let key = format!("{}.{}", family.section, member.get_ref());
            return Err(source.value(key, "a section", section));
        };
        let name = member.get_ref();
        layers.begin(family, name, source.place(&member.span()))?;
        apply_member(layers, source, (family, name, ""), table)?;
    }
    Ok(())
}

/// The keys of a member, or of a table in it that is called `within` (with a dot behind it).
fn apply_member(
    layers: &mut Layers,
    source: &Source<'_>,
    (family, member, within): (&'static Family, &str, &str),
    table: &DeTable<'_>,
) -> Result<(), ConfigError> {
    for (name, found) in table {
        let path = format!("{within}{}", name.get_ref());
        match (family.key(&path), found.get_ref().as_table()) {
            (Some(key), _) => {
                let place = source.place(&found.span());
                layers.set_in((family, member), key, &value(found.get_ref()), place)?;
            }
            (None, Some(inner)) if family.has_table(&path) => {
                let within = format!("{path}.");
                apply_member(layers, source, (family, member, &within), inner)?;
            }
            (None, _) if family.has_table(&path) => {
                let key = format!("{}.{member}.{path}", family.section);
                return Err(source.value(key, "a table", found));
            }
            _ => return Err(source.unknown(("key", name), family.names_in(within))),
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
        DeValue::Float(number) => {
            number.as_str().parse().map_or(Value::Other("number"), Value::Fraction)
        }
        DeValue::Datetime(_) => Value::Other("time"),
        DeValue::Table(all) => {
            let pair = |(name, member): (&Spanned<Cow<'_, str>>, &Spanned<DeValue<'_>>)| {
                (name.get_ref().to_string(), value(member.get_ref()))
            };
            Value::Table(all.iter().map(pair).collect())
        }
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
        setting(&mut text, (key.name, key.is_secret()), (key.show)(config));
    }
    for family in FAMILIES {
        for member in (family.names)(config) {
            line(&mut text, format_args!("\n[{}.{member:?}]", family.section));
            for key in family.keys {
                setting(&mut text, (key.name, key.is_secret()), (key.show)(config, member));
            }
        }
    }
    text.trim_start().to_owned()
}

fn setting(text: &mut String, (name, is_secret): (&str, bool), value: Option<String>) {
    match value {
        Some(_) if is_secret => line(text, format_args!("# {name} is set, and not shown")),
        Some(value) => line(text, format_args!("{name} = {value}")),
        None => line(text, format_args!("# {name} is not set")),
    }
}

fn line(text: &mut String, line: std::fmt::Arguments<'_>) {
    writeln!(text, "{line}").expect("a String can always be written to");
}
