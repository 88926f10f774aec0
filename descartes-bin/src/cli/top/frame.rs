//! What is shown, as text of a given size.

use std::cmp::Ordering;
use std::fmt::Write as _;

use clap::ValueEnum;

use super::keys::Key;
use super::screen::Size;
use super::source::{Row, Snapshot, Totals};
use crate::cli::show::duration;
use crate::output::{Table, fitted};

const KEYS: &str = "q quit · sort: n name s status b backend a age o output t tokens c cost e event (again: reverse)";
const HEADINGS: [&str; 9] =
    ["NAME", "STATUS", "ACTIVITY", "BACKEND", "AGE", "OUT/s", "TOKENS", "COST", "LAST EVENT"];
/// How wide the columns between the first and the last are, where there is little room and where not.
const NARROW: [usize; 7] = [10, 10, 11, 6, 8, 7, 7];
const WIDE: [usize; 7] = [10, 16, 14, 7, 9, 9, 9];
/// From so many columns on there is room.
const ROOM: usize = 110;
/// The narrowest that a name is cut to.
const NAME: usize = 12;
const LAST: usize = 28;
/// Lines that are no agents: the totals, an empty one, the headings, the keys.
const AROUND: usize = 4;

/// What agents are sorted by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum Order {
    Name,
    Status,
    Backend,
    /// The youngest first
    #[default]
    Age,
    /// Who writes most first
    Output,
    /// Who uses most first
    Tokens,
    /// Who costs most first
    Cost,
    /// Of whom something was last heard first
    Event,
}

impl Order {
    pub(super) const fn of_key(key: char) -> Option<Self> {
        Some(match key {
            'n' => Self::Name,
            's' => Self::Status,
            'b' => Self::Backend,
            'a' => Self::Age,
            'o' => Self::Output,
            't' => Self::Tokens,
            'c' => Self::Cost,
            'e' => Self::Event,
            _ => return None,
        })
    }

    fn compare(self, one: &Row, other: &Row) -> Ordering {
        let most = |one: Option<f64>, other: Option<f64>| {
            other.unwrap_or(-1.0).total_cmp(&one.unwrap_or(-1.0))
        };
        match self {
            Self::Name => one.name.cmp(&other.name),
            Self::Status => one.status.as_str().cmp(other.status.as_str()),
            Self::Backend => one.backend.cmp(&other.backend),
            // Identifiers are in the order of making.
            Self::Age => other.id.cmp(&one.id),
            Self::Output => most(one.bytes_per_second, other.bytes_per_second),
            Self::Tokens => other.tokens.cmp(&one.tokens),
            Self::Cost => most(one.cost_usd, other.cost_usd),
            Self::Event => {
                let ago =
                    |row: &Row| row.last_event.as_ref().map_or(u64::MAX, |last| last.secs_ago);
                ago(one).cmp(&ago(other))
            }
        }
    }
}

/// What somebody wants to see.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct View {
    pub(super) order: Order,
    pub(super) reversed: bool,
    /// Agents above the first that is shown.
    pub(super) above: usize,
}

impl View {
    /// Does what `key` says, of so many agents.
    pub(super) fn press(&mut self, key: Key, agents: usize) {
        match key {
            Key::Sort(order) if order == self.order => self.reversed = !self.reversed,
            Key::Sort(order) => *self = Self { order, ..Self::default() },
            Key::Up => self.above = self.above.saturating_sub(1),
            Key::Down => self.above = (self.above + 1).min(agents.saturating_sub(1)),
            Key::Quit => {}
        }
    }

    pub(super) fn sort(&self, rows: &mut [Row]) {
        rows.sort_by(|one, other| {
            let order = self.order.compare(one, other);
            let order = if self.reversed { order.reverse() } else { order };
            order.then_with(|| one.id.cmp(&other.id))
        });
    }
}

/// How many agents have room.
pub(super) const fn rows_that_fit(rows: usize) -> usize {
    rows.saturating_sub(AROUND)
}

/// Everything that is on the screen.
pub(super) struct Frame<'a> {
    pub(super) snapshot: &'a Snapshot,
    pub(super) view: &'a View,
    /// Why what is shown is old.
    pub(super) trouble: Option<&'a str>,
}

impl Frame<'_> {
    /// The lines, no more and no wider than `size`.
    pub(super) fn lines(&self, size: Size) -> Vec<String> {
        let Snapshot { totals: counts, rows } = self.snapshot;
        let columns = Columns::of(size.columns);
        let mut lines = vec![totals(counts), self.trouble.unwrap_or_default().to_owned()];
        lines.push(columns.line(&HEADINGS.map(str::to_owned)));
        let visible = rows.iter().skip(self.view.above).take(rows_that_fit(size.rows));
        lines.extend(visible.map(|row| columns.line(&cells(row))));
        lines.resize((size.rows.saturating_sub(1)).max(lines.len()), String::new());
        lines.push(KEYS.to_owned());
        lines.truncate(size.rows);
        lines.iter_mut().for_each(|line| *line = fitted(line, size.columns).trim_end().to_owned());
        lines
    }
}

/// How wide each column is.
struct Columns {
    name: usize,
    between: [usize; 7],
    last: usize,
}

impl Columns {
    /// The name and the last event share what the others leave; where that is little, there is no
    /// last event.
    fn of(columns: usize) -> Self {
        let between = if columns < ROOM { NARROW } else { WIDE };
        let fixed: usize = between.iter().map(|width| width + 1).sum();
        let rest = columns.saturating_sub(fixed);
        let last = LAST.min(rest.saturating_sub(NAME + 1));
        let last = if last < NAME { 0 } else { last };
        let name = rest.saturating_sub(last + usize::from(last > 0)).max(NAME);
        Self { name, between, last }
    }

    fn line(&self, cells: &[String; 9]) -> String {
        let mut line = fitted(&cells[0], self.name);
        for (cell, width) in cells[1..8].iter().zip(self.between) {
            line.push(' ');
            line.push_str(&fitted(cell, width));
        }
        line.push(' ');
        line.push_str(&fitted(&cells[8], self.last));
        line.trim_end().to_owned()
    }
}

fn cells(row: &Row) -> [String; 9] {
    let event =
        |last: &super::source::LastEvent| format!("{} {} ago", last.kind, duration(last.secs_ago));
    [
        row.name.clone(),
        row.status.to_string(),
        row.activity.clone().unwrap_or_default(),
        row.backend.clone(),
        duration(row.age_secs),
        row.bytes_per_second.map_or_else(String::new, bytes),
        row.tokens.map_or_else(String::new, |tokens| tokens.to_string()),
        row.cost_usd.map_or_else(String::new, |cost| format!("${cost:.2}")),
        row.last_event.as_ref().map_or_else(String::new, event),
    ]
}

/// One table, for pipes.
pub(super) fn table(rows: &[Row]) -> Table {
    let mut table = Table::new(HEADINGS);
    for row in rows {
        table.row(cells(row).map(|cell| fitted(&cell, cell.len()).trim_end().to_owned()));
    }
    table
}

/// What there is in all, in one line; what may not be seen is not there.
pub(super) fn totals(totals: &Totals) -> String {
    let mut text = "descartes".to_owned();
    let mut add = |part: Option<String>| {
        if let Some(part) = part {
            write!(text, "  {part}").expect("a text takes everything");
        }
    };
    add(totals.uptime_secs.map(|secs| format!("up {}", duration(secs))));
    add(totals
        .agents
        .as_ref()
        .map(|counts| format!("agents {} running, {} paused", counts.running, counts.paused)));
    add(totals.calls_per_second.map(|rate| format!("calls {rate:.0}/s")));
    add(totals.connections.map(|count| format!("connections {count}")));
    add(totals.store_bytes.map(|count| format!("store {}", bytes(count as f64))));
    add(totals.approvals.map(|count| format!("approvals {count} waiting")));
    text
}

/// So many bytes, in the unit that gives a short number.
fn bytes(count: f64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let (mut count, mut unit) = (count, 0);
    while count >= 1000.0 && unit + 1 < UNITS.len() {
        count /= 1024.0;
        unit += 1;
    }
    let digits = usize::from(unit > 0 && count < 10.0);
    format!("{count:.digits$} {}", UNITS[unit])
}

#[cfg(test)]
mod tests {
    use descartes_rpc::wire::agent::AgentStatus;

    use super::super::source::LastEvent;
    use super::*;
    use crate::output::width;

    fn row(name: &str, rate: f64, cost: Option<f64>) -> Row {
        Row {
            id: name.to_owned(),
            name: name.to_owned(),
            backend: "claude-code".to_owned(),
            status: AgentStatus::Running,
            activity: Some("tool".to_owned()),
            age_secs: 75,
            output_bytes: Some(5),
            bytes_per_second: Some(rate),
            tokens: None,
            cost_usd: cost,
            last_event: Some(LastEvent { kind: "agent.spawned".to_owned(), secs_ago: 9 }),
        }
    }

    #[test]
    fn whatever_the_size_and_the_names_are_everything_fits_and_nothing_steers() {
        let evil = "\x1b[2J\u{202e}\r\n名前名前名前名前e\u{301}🦀".repeat(20);
        let snapshot =
            Snapshot { totals: Totals::default(), rows: vec![row(&evil, 1.0, None); 50] };
        for (columns, rows) in [(1, 1), (20, 3), (80, 24), (200, 60)] {
            let frame =
                Frame { snapshot: &snapshot, view: &View::default(), trouble: Some("no\nanswer") };
            let lines = frame.lines(Size { columns, rows });
            assert_eq!(lines.len(), rows);
            for line in lines {
                assert!(width(&line) <= columns, "{columns}: {line:?}");
                assert!(line.chars().all(crate::output::is_plain), "{line:?}");
            }
        }
    }

    #[test]
    fn keys_sort_and_the_same_key_turns_the_order() {
        let mut rows =
            vec![row("b", 1.0, Some(2.0)), row("a", 3.0, None), row("c", 2.0, Some(9.0))];
        let mut view = View::default();
        let mut names = |keys: &[Order]| {
            for order in keys {
                view.press(Key::Sort(*order), 3);
            }
            view.sort(&mut rows);
            rows.iter().map(|row| &*row.name).collect::<String>()
        };
        assert_eq!(names(&[Order::Name]), "abc");
        assert_eq!(names(&[Order::Name]), "cba");
        assert_eq!(names(&[Order::Output]), "acb");
        assert_eq!(names(&[Order::Cost]), "cba", "what is unknown is last");
    }

    #[test]
    fn a_line_says_what_is_known_and_nothing_else() {
        let snapshot = Snapshot {
            totals: Totals { connections: Some(3), ..Totals::default() },
            rows: vec![row("one", 2048.0, Some(0.5))],
        };
        let frame = Frame { snapshot: &snapshot, view: &View::default(), trouble: None };
        let lines = frame.lines(Size { columns: 140, rows: 10 });
        assert_eq!(lines[0], "descartes  connections 3");
        let words: Vec<_> = lines[3].split_whitespace().collect();
        assert_eq!(
            words,
            [
                "one",
                "running",
                "tool",
                "claude-code",
                "1m15s",
                "2.0",
                "KiB",
                "$0.50",
                "agent.spawned",
                "9s",
                "ago"
            ]
        );
        let narrow = frame.lines(Size { columns: 80, rows: 10 });
        assert!(narrow[2].ends_with("COST") && narrow[3].ends_with("$0.50"), "{narrow:?}");
        assert_eq!((bytes(999.0), bytes(1000.0)), ("999 B".into(), "1.0 KiB".into()));
    }
}
