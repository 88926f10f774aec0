//! What the built-in agent says to what: a state machine without input, output or clock.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Between two pieces of a slow answer.
const PIECE_INTERVAL: Duration = Duration::from_millis(100);
/// Lines that wait while an earlier one is being answered or the agent is paused.
const WAITING_LINES: usize = 1024;

const HELP: &[&str] = &[
    "help          this list",
    "count N       the numbers from 1 to N",
    "slow N        N pieces, one every 100 ms",
    "exit CODE     end with this exit code",
    "pause         say nothing until resume",
    "anything else is answered with itself",
];

/// What is to be done next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Say this line.
    Say(Vec<u8>),
    /// End with this exit code.
    Exit(u8),
    /// Ask again then, or when a line has arrived.
    At(Instant),
    /// Ask again when a line has arrived.
    Nothing,
}

/// The conversation so far.
#[derive(Debug, Default)]
pub(super) struct Script {
    /// Answers to `pause` and `resume`, which overtake everything.
    acknowledgements: VecDeque<&'static [u8]>,
    waiting: VecDeque<Vec<u8>>,
    answer: Option<Answer>,
    paused: bool,
    /// Lines that came while as many as may wait were waiting.
    dropped: u64,
}

#[derive(Debug)]
enum Answer {
    Line(Vec<u8>),
    Help { next: usize },
    Count { next: u64, last: u64 },
    Slow { next: u64, last: u64, due: Option<Instant> },
    Exit(u8),
}

impl Script {
    /// Whether another line can be kept. While not, it stays in the pipe.
    pub(super) fn has_room(&self) -> bool {
        self.waiting.len().max(self.acknowledgements.len()) < WAITING_LINES
    }

    /// A line of input has arrived, with or without its end.
    pub(super) fn line(&mut self, line: &[u8]) {
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        match line {
            b"pause" => {
                self.paused = true;
                self.acknowledgements.push_back(b"paused");
            }
            b"resume" => {
                self.paused = false;
                self.acknowledgements.push_back(b"resumed");
            }
            other if self.has_room() => self.waiting.push_back(other.to_vec()),
            _ => self.dropped += 1,
        }
    }

    /// What is to be done at `now`.
    pub(super) fn next(&mut self, now: Instant) -> Next {
        if let Some(acknowledgement) = self.acknowledgements.pop_front() {
            return Next::Say(acknowledgement.to_vec());
        }
        while !self.paused {
            if self.answer.is_none() {
                self.answer = match self.waiting.pop_front() {
                    Some(line) => Some(answer_to(&line)),
                    None if self.dropped > 0 => Some(dropped(std::mem::take(&mut self.dropped))),
                    None => break,
                };
            }
            if let Some(next) = self.answer.as_mut().and_then(|answer| answer.step(now)) {
                return next;
            }
            self.answer = None;
        }
        Next::Nothing
    }
}

impl Answer {
    /// The next step of the answer; `None` when it has been given.
    fn step(&mut self, now: Instant) -> Option<Next> {
        match self {
            Self::Line(text) if text.is_empty() => None,
            Self::Line(text) => Some(Next::Say(std::mem::take(text))),
            Self::Help { next } => {
                let line = HELP.get(*next)?;
                *next += 1;
                Some(Next::Say(line.as_bytes().to_vec()))
            }
            Self::Count { next, last } => {
                (*next <= *last).then(|| Next::Say(number("", next).into_bytes()))
            }
            Self::Slow { next, last, .. } if *next > *last => None,
            Self::Slow { next, due, .. } => {
                let at = *due.get_or_insert(now + PIECE_INTERVAL);
                if now < at {
                    return Some(Next::At(at));
                }
                *due = Some(at.max(now) + PIECE_INTERVAL);
                Some(Next::Say(number("piece ", next).into_bytes()))
            }
            Self::Exit(code) => Some(Next::Exit(*code)),
        }
    }
}

fn number(before: &str, next: &mut u64) -> String {
    let text = format!("{before}{next}");
    *next += 1;
    text
}

fn answer_to(line: &[u8]) -> Answer {
    let text = String::from_utf8_lossy(line);
    let mut words = text.split_ascii_whitespace();
    let (verb, argument, more) = (words.next(), words.next(), words.next());
    match (verb, argument, more) {
        (Some("help"), None, None) => Answer::Help { next: 0 },
        (Some("count"), Some(last), None) => {
            last.parse().map_or_else(|_| usage("count N"), |last| Answer::Count { next: 1, last })
        }
        (Some("slow"), Some(last), None) => last
            .parse()
            .map_or_else(|_| usage("slow N"), |last| Answer::Slow { next: 1, last, due: None }),
        (Some("exit"), Some(code), None) => {
            code.parse().map_or_else(|_| usage("exit CODE (0 to 255)"), Answer::Exit)
        }
        _ => Answer::Line([b"you said: ", line].concat()),
    }
}

fn dropped(lines: u64) -> Answer {
    Answer::Line(format!("basic: {lines} lines too many were waiting and are lost").into_bytes())
}

fn usage(of: &str) -> Answer {
    Answer::Line(format!("basic: that should be `{of}`").into_bytes())
}

#[cfg(test)]
mod tests {
    use super::{Next, PIECE_INTERVAL, Script};
    use std::time::Instant;

    fn said(script: &mut Script, now: Instant) -> Vec<String> {
        let mut all = Vec::new();
        while let Next::Say(line) = script.next(now) {
            all.push(String::from_utf8(line).unwrap());
        }
        all
    }

    #[test]
    fn a_line_is_answered_with_its_exact_bytes() {
        let mut script = Script::default();
        script.line(b"caf\xff \xc3\xa9\r\n");
        assert_eq!(script.next(Instant::now()), Next::Say(b"you said: caf\xff \xc3\xa9".to_vec()));
        assert_eq!(script.next(Instant::now()), Next::Nothing);
    }

    #[test]
    fn counting_is_answered_number_by_number_and_lines_wait_their_turn() {
        let mut script = Script::default();
        script.line(b"count 3\n");
        script.line(b"hello\n");
        script.line(b"count x");
        let all = said(&mut script, Instant::now());
        assert_eq!(all, ["1", "2", "3", "you said: hello", "basic: that should be `count N`"]);
    }

    #[test]
    fn slow_pieces_come_at_their_interval() {
        let mut script = Script::default();
        let start = Instant::now();
        script.line(b"slow 2");
        let (first, second) = (start + PIECE_INTERVAL, start + 2 * PIECE_INTERVAL);
        assert_eq!(script.next(start), Next::At(first));
        assert_eq!(said(&mut script, first), ["piece 1"]);
        assert_eq!(script.next(first), Next::At(second));
        assert_eq!(said(&mut script, second), ["piece 2"]);
        assert_eq!(script.next(second), Next::Nothing);
    }

    #[test]
    fn a_pause_overtakes_what_is_still_to_be_said_and_resume_goes_on_with_it() {
        let mut script = Script::default();
        let now = Instant::now();
        script.line(b"count 2");
        assert_eq!(script.next(now), Next::Say(b"1".to_vec()));
        script.line(b"hello");
        script.line(b"pause");
        assert_eq!(said(&mut script, now), ["paused"]);
        assert_eq!(script.next(now), Next::Nothing);
        script.line(b"resume");
        assert_eq!(said(&mut script, now), ["resumed", "2", "you said: hello"]);
    }

    #[test]
    fn lines_beyond_the_bound_are_counted_and_said_to_be_lost() {
        let mut script = Script::default();
        script.line(b"pause");
        (0..super::WAITING_LINES + 2).for_each(|_| script.line(b"x"));
        script.line(b"resume");
        let all = said(&mut script, Instant::now());
        assert_eq!(all.len(), 2 + super::WAITING_LINES + 1);
        assert_eq!(all.last().unwrap(), "basic: 2 lines too many were waiting and are lost");
    }

    #[test]
    fn exit_gives_its_code_and_refuses_what_is_none() {
        let mut script = Script::default();
        script.line(b"exit 256");
        script.line(b"exit 3");
        let now = Instant::now();
        assert_eq!(said(&mut script, now), ["basic: that should be `exit CODE (0 to 255)`"]);
        assert_eq!(script.next(now), Next::Exit(3));
    }
}
