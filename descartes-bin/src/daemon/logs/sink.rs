//! Something that takes lines; what it cannot take is counted and told later.

use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::line::Shape;

/// Where lines end up. A line is taken whole or not at all.
pub(super) trait Output {
    /// Takes a line, its end included.
    ///
    /// # Errors
    /// When nothing of it was taken.
    fn put(&mut self, line: &str) -> io::Result<()>;

    /// What has gone wrong since this was last asked, beside lost lines.
    fn trouble(&mut self) -> Option<String> {
        None
    }
}

/// An output that loses lines rather than stop who logs, and says so when it takes lines again.
#[derive(Debug)]
pub(super) struct Sink<O> {
    shape: Shape,
    state: Mutex<State<O>>,
}

#[derive(Debug)]
struct State<O> {
    output: O,
    lost: u64,
}

impl<O: Output> Sink<O> {
    pub(super) const fn new(output: O, shape: Shape) -> Self {
        Self { shape, state: Mutex::new(State { output, lost: 0 }) }
    }

    pub(super) fn write(&self, line: &str) {
        let mut state = self.lock();
        if state.put(self.shape, line).is_err() {
            state.lost += 1;
        }
    }

    /// Lets `change` at the output between two lines.
    pub(super) fn with<T>(&self, change: impl FnOnce(&mut O) -> T) -> T {
        change(&mut self.lock().output)
    }

    fn lock(&self) -> MutexGuard<'_, State<O>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<O: Output> State<O> {
    fn put(&mut self, shape: Shape, line: &str) -> io::Result<()> {
        if self.lost > 0 {
            self.output.put(&shape.own("lines of the log were lost", "lines", &self.lost))?;
            self.lost = 0;
        }
        self.output.put(line)?;
        match self.output.trouble() {
            Some(error) => self.output.put(&shape.own("the log is not rotated", "error", &error)),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct Narrow {
        taken: String,
        full: bool,
        trouble: Option<String>,
    }

    impl Output for Narrow {
        fn put(&mut self, line: &str) -> io::Result<()> {
            if self.full {
                return Err(io::ErrorKind::StorageFull.into());
            }
            self.taken.push_str(line);
            Ok(())
        }

        fn trouble(&mut self) -> Option<String> {
            self.trouble.take()
        }
    }

    #[test]
    fn lost_lines_are_counted_and_told_before_the_next_one() {
        let sink = Sink::new(Narrow::default(), Shape::Json);
        sink.write("first\n");
        sink.with(|output| output.full = true);
        for _ in 0..3 {
            sink.write("nobody reads this\n");
        }
        sink.with(|output| output.full = false);
        sink.write("last\n");
        let taken = sink.with(|output| output.taken.clone());
        let [first, told, last] = taken.lines().collect::<Vec<_>>()[..] else { panic!("{taken}") };
        assert_eq!((first, last), ("first", "last"));
        let told: serde_json::Value = serde_json::from_str(told).expect("JSON");
        assert_eq!((&told["lines"], &told["level"]), (&"3".into(), &"WARN".into()), "{told}");
    }

    #[test]
    fn trouble_with_the_file_is_told_in_it() {
        let sink = Sink::new(Narrow::default(), Shape::Text);
        sink.with(|output| output.trouble = Some("no right".to_owned()));
        sink.write("one\n");
        sink.write("two\n");
        let taken = sink.with(|output| output.taken.clone());
        let lines: Vec<_> = taken.lines().collect();
        assert_eq!((lines.len(), lines[0], lines[2]), (3, "one", "two"));
        assert!(lines[1].ends_with("the log is not rotated error=\"no right\""), "{}", lines[1]);
    }
}
