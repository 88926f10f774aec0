//! The text format 0.0.4 of Prometheus:
//! <https://prometheus.io/docs/instrumenting/exposition_formats/>.

use std::fmt::{Display, Write as _};
use std::time::Duration;

use descartes_core::tally::Times;

/// What a family is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Counter,
    Gauge,
    Histogram,
}

impl Kind {
    fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// A page in the making.
#[derive(Debug, Default)]
pub(crate) struct Text(String);

/// Labels with their values.
pub(super) type Labels<'a> = &'a [(&'a str, &'a str)];

impl Text {
    /// Begins a family; its samples follow.
    pub(super) fn family(&mut self, name: &str, kind: Kind, help: &str) {
        self.line(format_args!("# HELP {name} {help}"));
        self.line(format_args!("# TYPE {name} {}", kind.as_str()));
    }

    /// A sample.
    pub(super) fn sample(&mut self, name: &str, labels: Labels<'_>, value: impl Display) {
        if labels.is_empty() {
            return self.line(format_args!("{name} {value}"));
        }
        let pair = |(label, value): &(&str, &str)| format!("{label}=\"{}\"", escaped(value));
        let labels = labels.iter().map(pair).collect::<Vec<_>>().join(",");
        self.line(format_args!("{name}{{{labels}}} {value}"));
    }

    /// A family of one sample without labels.
    pub(super) fn single(&mut self, name: &str, kind: Kind, help: &str, value: impl Display) {
        self.family(name, kind, help);
        self.sample(name, &[], value);
    }

    /// Times as the samples of a histogram, with `labels`.
    pub(super) fn times(&mut self, name: &str, labels: Labels<'_>, times: &Times) {
        self.histogram(name, labels, times.buckets(), (times.took(), times.count()));
    }

    /// The samples of a histogram: its upper ends with how many are not above each, the sum, and how
    /// many there are.
    pub(super) fn histogram(
        &mut self,
        name: &str,
        labels: Labels<'_>,
        buckets: impl Iterator<Item = (Duration, u64)>,
        (sum, count): (Duration, u64),
    ) {
        let bucket = format!("{name}_bucket");
        for (end, so_far) in buckets {
            let end = end.as_secs_f64().to_string();
            self.sample(&bucket, &[labels, &[("le", end.as_str())]].concat(), so_far);
        }
        self.sample(&bucket, &[labels, &[("le", "+Inf")]].concat(), count);
        self.sample(&format!("{name}_sum"), labels, sum.as_secs_f64());
        self.sample(&format!("{name}_count"), labels, count);
    }

    pub(super) fn finish(self) -> String {
        self.0
    }

    fn line(&mut self, line: std::fmt::Arguments<'_>) {
        writeln!(self.0, "{line}").expect("a String can always be written to");
    }
}

/// A label's value: backslash, quotation mark and newline are escaped.
fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_written_as_the_format_has_them() {
        let mut text = Text::default();
        text.single("up", Kind::Gauge, "Whether it is up.", 1);
        text.family("calls_total", Kind::Counter, "Calls.");
        text.sample("calls_total", &[("method", "a\"b\\c\nd"), ("kind", "x")], 0.5);
        let expected = "# HELP up Whether it is up.\n# TYPE up gauge\nup 1\n\
                        # HELP calls_total Calls.\n# TYPE calls_total counter\n\
                        calls_total{method=\"a\\\"b\\\\c\\nd\",kind=\"x\"} 0.5\n";
        assert_eq!(text.finish(), expected);
    }
}
