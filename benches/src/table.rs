//! The one table in which everything ends.

use std::fmt;

/// What a ratio should be.
#[derive(Clone, Copy, Debug)]
pub enum Aim {
    /// At most so much: a cost.
    AtMost(f64),
    /// At least so much: a rate.
    AtLeast(f64),
    /// Our own figure, in nanoseconds, should be below this; the ratio is told beside it.
    NanosBelow(f64),
    /// Nobody has set one.
    None,
}

/// One line of the table.
#[derive(Clone, Debug)]
pub struct Row {
    /// What was measured.
    pub what: String,
    /// Our figure, with its unit.
    pub ours: Figure,
    /// The figure of the floor or peer, and who that is.
    pub reference: Figure,
    /// Who the reference is.
    pub whose: &'static str,
    /// Ours to the reference's, round by round.
    pub ratio: f64,
    /// What it should be.
    pub aim: Aim,
}

/// A number with its unit.
#[derive(Clone, Copy, Debug)]
pub struct Figure(pub f64, pub &'static str);

impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(value, unit) = *self;
        match value {
            value if unit == "ns" => write!(f, "{value:.0} ns"),
            value if value >= 1e6 => write!(f, "{:.2} M{unit}", value / 1e6),
            value if value >= 1e4 => write!(f, "{:.1} k{unit}", value / 1e3),
            value if value >= 100.0 => write!(f, "{value:.0} {unit}"),
            value => write!(f, "{value:.2} {unit}"),
        }
    }
}

impl fmt::Display for Aim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AtMost(most) => write!(f, "<= {most}"),
            Self::AtLeast(least) => write!(f, ">= {least}"),
            Self::NanosBelow(nanos) => write!(f, "< {} us", nanos / 1000.0),
            Self::None => f.write_str("-"),
        }
    }
}

impl Row {
    /// Whether the aim was reached; none where there is no aim.
    #[must_use]
    pub fn met(&self) -> Option<bool> {
        match self.aim {
            Aim::AtMost(most) => Some(self.ratio <= most),
            Aim::AtLeast(least) => Some(self.ratio >= least),
            Aim::NanosBelow(nanos) => Some(self.ours.0 < nanos),
            Aim::None => None,
        }
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let met = match self.met() {
            Some(true) => "yes",
            Some(false) => "NO",
            None => "-",
        };
        let reference = format!("{} ({})", self.reference, self.whose);
        let (what, ours) = (&self.what, self.ours.to_string());
        let aim = self.aim.to_string();
        write!(
            f,
            "| {what:<44} | {ours:>12} | {reference:<36} | {:>7.2} | {aim:>8} | {met:>4} |",
            self.ratio
        )
    }
}

/// The heading over the rows.
#[must_use]
pub fn heading() -> String {
    let (what, ours, reference) = ("what", "ours", "floor or peer");
    let (ratio, aim, met) = ("ratio", "aim", "met");
    let names =
        format!("| {what:<44} | {ours:>12} | {reference:<36} | {ratio:>7} | {aim:>8} | {met:>4} |");
    let rule: String = names.chars().map(|c| if c == '|' { '|' } else { '-' }).collect();
    format!("{names}\n{rule}")
}
