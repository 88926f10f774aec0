//! What a line looks like: text for people, an object for machines. Nothing in it can end the line,
//! move a cursor or be taken for another field, whoever made it up.

use std::fmt::{self, Write as _};
use std::io::Stdout;
use std::sync::Arc;

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

use super::console::Console;
use super::file::LogFile;
use super::sink::Sink;
use crate::config::LogFormat;
use crate::output::is_plain;

/// Letters of a value that are written; the rest is left out.
const VALUE_CHARS: usize = 2048;
/// Who says what the log says of itself.
const OWN_TARGET: &str = "descartes_bin::daemon::logs";

/// How a line is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    Text,
    Json,
}

impl Shape {
    pub(super) const fn of(format: LogFormat) -> Self {
        match format {
            LogFormat::Text => Self::Text,
            LogFormat::Json => Self::Json,
        }
    }

    /// A warning of the log itself.
    pub(super) fn own(self, message: &str, name: &'static str, value: &dyn fmt::Display) -> String {
        let mut fields = Fields::new(self);
        fields.add(name, format_args!("{value}"));
        fields.message.push_str(message);
        self.line(Level::WARN, OWN_TARGET, &fields, false)
    }

    /// A whole line.
    fn line(self, level: Level, target: &str, fields: &Fields, colours: bool) -> String {
        let Fields { message, text, .. } = fields;
        let now = jiff::Timestamp::now();
        match self {
            Self::Text if colours => {
                let colour = colour(level);
                format!(
                    "\x1b[2m{now:.6}\x1b[0m {colour}{level:>5}\x1b[0m {target}: {message}{text}\n"
                )
            }
            Self::Text => format!("{now:.6} {level:>5} {target}: {message}{text}\n"),
            Self::Json => format!(
                "{{\"timestamp\":\"{now:.6}\",\"level\":\"{level}\",\"target\":\"{target}\",\
                 \"message\":\"{message}\"{text}}}\n"
            ),
        }
    }
}

const fn colour(level: Level) -> &'static str {
    match level {
        Level::ERROR => "\x1b[31m",
        Level::WARN => "\x1b[33m",
        Level::INFO => "\x1b[32m",
        Level::DEBUG => "\x1b[34m",
        Level::TRACE => "\x1b[35m",
    }
}

/// Writes every event with the fields of the spans that it happened in.
pub(super) struct Lines {
    pub(super) shape: Shape,
    pub(super) colours: bool,
    pub(super) console: Option<Sink<Console<Stdout>>>,
    pub(super) file: Option<Arc<Sink<LogFile>>>,
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Lines {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, cx: Context<'_, S>) {
        let Some(span) = cx.span(id) else { return };
        let mut fields = Fields::new(self.shape);
        attributes.record(&mut fields);
        span.extensions_mut().insert(fields);
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, cx: Context<'_, S>) {
        let Some(span) = cx.span(id) else { return };
        if let Some(fields) = span.extensions_mut().get_mut::<Fields>() {
            values.record(fields);
        }
    }

    fn on_event(&self, event: &Event<'_>, cx: Context<'_, S>) {
        let mut fields = Fields::new(self.shape);
        event.record(&mut fields);
        for span in cx.event_scope(event).into_iter().flatten() {
            if let Some(of_span) = span.extensions().get::<Fields>() {
                fields.append(of_span);
            }
        }
        let (level, target) = (*event.metadata().level(), event.metadata().target());
        let line = |colours| self.shape.line(level, target, &fields, colours);
        if let Some(console) = &self.console {
            console.write(&line(self.colours));
        }
        if let Some(file) = &self.file {
            file.write(&line(false));
        }
    }
}

/// The fields of an event or a span, as they are written.
struct Fields {
    shape: Shape,
    message: String,
    text: String,
    /// The name of each field in `text`, and where it ends there.
    ends: Vec<(&'static str, usize)>,
}

impl Fields {
    const fn new(shape: Shape) -> Self {
        Self { shape, message: String::new(), text: String::new(), ends: Vec::new() }
    }

    /// Takes over those of `others` whose names are not there yet.
    fn append(&mut self, others: &Self) {
        let mut begin = 0;
        for &(name, end) in &others.ends {
            if !self.ends.iter().any(|(taken, _)| *taken == name) {
                self.text.push_str(&others.text[begin..end]);
                self.ends.push((name, self.text.len()));
            }
            begin = end;
        }
    }

    fn add(&mut self, name: &'static str, value: fmt::Arguments<'_>) {
        match self.shape {
            Shape::Text => {
                let begin = self.text.len() + name.len() + 2;
                self.text.extend([" ", name, "="]);
                escape(&mut self.text, value, within_quotes);
                let written = &self.text[begin..];
                let bare = |c: char| !(c.is_whitespace() || matches!(c, '"' | '\\' | '='));
                if written.is_empty() || !written.chars().all(bare) {
                    self.text.insert(begin, '"');
                    self.text.push('"');
                }
            }
            Shape::Json => {
                self.text.extend([",\"", name, "\":\""]);
                escape(&mut self.text, value, within_quotes);
                self.text.push('"');
            }
        }
        self.ends.push((name, self.text.len()));
    }

    /// A number or a truth value, which needs no quotes.
    fn add_bare(&mut self, name: &'static str, value: fmt::Arguments<'_>) {
        match self.shape {
            Shape::Text => self.add(name, value),
            Shape::Json => {
                self.text.push_str(&format!(",\"{name}\":{value}"));
                self.ends.push((name, self.text.len()));
            }
        }
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            let special = if self.shape == Shape::Json { within_quotes } else { |_| None };
            escape(&mut self.message, format_args!("{value:?}"), special);
        } else {
            self.add(field.name(), format_args!("{value:?}"));
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.record_debug(field, &format_args!("{value}"));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.add_bare(field.name(), format_args!("{value}"));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.add_bare(field.name(), format_args!("{value}"));
    }

    fn record_u128(&mut self, field: &Field, value: u128) {
        self.add_bare(field.name(), format_args!("{value}"));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.add_bare(field.name(), format_args!("{value}"));
    }
}

/// What would end a quoted value, or be taken for something that is escaped.
fn within_quotes(c: char) -> Option<&'static str> {
    match c {
        '"' => Some("\\\""),
        '\\' => Some("\\\\"),
        _ => None,
    }
}

/// Writes at most [`VALUE_CHARS`] of `value`, each that is not plain by its number.
fn escape(out: &mut String, value: fmt::Arguments<'_>, special: fn(char) -> Option<&'static str>) {
    let mut escaping = Escaping { out, special, left: VALUE_CHARS };
    // It fails when there is no room left, or the value does: what is there stays.
    if escaping.write_fmt(value).is_err() && escaping.left == 0 {
        out.push('…');
    }
}

struct Escaping<'a> {
    out: &'a mut String,
    special: fn(char) -> Option<&'static str>,
    left: usize,
}

impl fmt::Write for Escaping<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for c in text.chars() {
            self.left = self.left.checked_sub(1).ok_or(fmt::Error)?;
            match (self.special)(c) {
                Some(text) => self.out.push_str(text),
                None if is_plain(c) => self.out.push(c),
                None => write!(self.out, "\\u{:04x}", u32::from(c))?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;
    use tracing_subscriber::layer::SubscriberExt;

    use super::super::file::Rotation;
    use super::*;

    /// What is logged while `work` runs.
    fn logged(shape: Shape, work: impl FnOnce()) -> String {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let file = LogFile::open(path.clone(), Rotation { bytes: 0, keep: 0 }).unwrap();
        let file = Some(Arc::new(Sink::new(file, shape)));
        let lines = Lines { shape, colours: true, console: None, file };
        tracing::subscriber::with_default(tracing_subscriber::registry().with(lines), work);
        std::fs::read_to_string(path).unwrap()
    }

    fn call() {
        let span = tracing::error_span!("call", method = "agent.spawn", request_id = "a\"b\n");
        let _inside = span.enter();
        let inner = tracing::error_span!("agent", agent_id = %7, method = "another");
        let _deeper = inner.enter();
        tracing::warn!(agent_id = %8, error = %"it \"is\" so", count = 3, yes = true, "what");
    }

    #[test]
    fn a_line_has_the_fields_of_all_that_it_happened_in_the_innermost_first() {
        let line = logged(Shape::Json, call);
        let line: Value = serde_json::from_str(&line).expect("JSON");
        assert_eq!(line["message"], "what");
        assert_eq!((&line["level"], &line["count"]), (&"WARN".into(), &3.into()));
        assert_eq!((&line["error"], &line["yes"]), (&"it \"is\" so".into(), &true.into()));
        assert_eq!((&line["agent_id"], &line["method"]), (&"8".into(), &"another".into()));
        assert_eq!(line["request_id"], "a\"b\n");
        assert!(line["timestamp"].as_str().expect("a time").ends_with('Z'));

        let text = logged(Shape::Text, call);
        let rest = text.split_once("tests: ").expect("a target").1;
        assert_eq!(
            rest,
            "what agent_id=8 error=\"it \\\"is\\\" so\" count=3 yes=true method=another \
             request_id=\"a\\\"b\\u000a\"\n"
        );
        assert!(!text.contains('\x1b'), "a file has no colours: {text:?}");
    }

    #[test]
    fn no_value_ends_its_quotes_to_be_taken_for_another_field() {
        let evil = "a\\\" method=agent.kill";
        let text = logged(Shape::Text, || tracing::warn!(evil, plain = "b", path = "c\\d", "x"));
        let rest = text.split_once("tests: ").expect("a target").1;
        let escaped = r#"x evil="a\\\" method=agent.kill" plain=b path="c\\d""#;
        assert_eq!(rest.trim_end(), escaped);
    }

    #[test]
    fn nothing_that_is_said_ends_a_line_or_steers_a_terminal() {
        for shape in [Shape::Json, Shape::Text] {
            let bad = "\x1b[2J\r\n\u{7}\u{9b}\u{202e}\u{2028}x".repeat(1000);
            let log = logged(shape, || tracing::error!(%bad, "and {bad}"));
            assert_eq!(log.lines().count(), 1);
            assert!(log.ends_with('\n') && log.trim_end().chars().all(is_plain), "{log:?}");
            assert!(log.len() < 2 * 6 * VALUE_CHARS + 500, "{}", log.len());
            if shape == Shape::Json {
                let line: Value = serde_json::from_str(&log).expect("JSON");
                assert!(line["bad"].as_str().unwrap().starts_with("\x1b[2J\r\n\u{7}"), "{line}");
            }
        }
    }
}
