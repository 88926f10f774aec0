//! What the built-in agent says in a chat: a state machine without input, output or clock.
//!
//! It is told `prompt TEXT`, `cancel`, `allow N`, `deny N TEXT`; core's dialect `basic` has the other
//! side of it. In TEXT a newline is `\n` and a backslash is `\\`.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::script::Next;

/// Between two pieces of a slow answer.
const PIECE_INTERVAL: Duration = Duration::from_millis(100);

const HELP: &[&str] = &[
    "help            this list",
    "count N         the numbers from 1 to N, a piece each",
    "slow N          N pieces, one every 100 ms",
    "think TEXT      thinks before it answers",
    "write PATH      asks, then writes a line to that file",
    "run TEXT        asks, then says that it ran it",
    "break           withdraws what it said and says it again",
    "fail TEXT       fails the turn",
    "wait            says nothing more until it is cancelled",
    "deaf            as wait, and hears no cancel either",
    "exit CODE       ends in the middle of the turn",
    "anything else is answered with itself",
];

/// The conversation so far.
#[derive(Debug)]
pub(super) struct Chat {
    due: VecDeque<Step>,
    /// Calls of tools, counted.
    calls: u64,
    asked: Option<Asked>,
    in_turn: bool,
    deaf: bool,
}

#[derive(Debug)]
enum Step {
    Say(String),
    /// Says it, and with it the turn ends.
    End(String),
    Wait(Option<Instant>),
    Exit(u8),
}

/// What waits for a decision.
#[derive(Debug)]
struct Asked {
    call: u64,
    what: What,
}

#[derive(Debug)]
enum What {
    Write(String),
    Run(String),
}

impl Chat {
    /// The conversation called `name`.
    pub(super) fn new(name: &str) -> Self {
        let begin = [format!("session {name}"), "ready".to_owned()];
        let due = begin.into_iter().map(Step::Say).collect();
        Self { due, calls: 0, asked: None, in_turn: false, deaf: false }
    }

    /// A line of input has arrived, with or without its end.
    pub(super) fn line(&mut self, line: &[u8]) {
        let text = String::from_utf8_lossy(line);
        let text = text.trim_end_matches(['\n', '\r']);
        let (word, rest) = text.split_once(' ').unwrap_or((text, ""));
        match word {
            "prompt" if !self.in_turn => self.prompt(&unescaped(rest)),
            "cancel" if self.in_turn && !self.deaf => {
                self.due.clear();
                self.asked = None;
                self.end("cancelled");
            }
            "allow" | "deny" => self.decided(word == "allow", rest),
            _ => {}
        }
    }

    /// What is to be done at `now`.
    pub(super) fn next(&mut self, now: Instant) -> Next {
        match self.due.front_mut() {
            None => Next::Nothing,
            Some(Step::Wait(due)) => {
                let at = *due.get_or_insert(now + PIECE_INTERVAL);
                if now < at {
                    return Next::At(at);
                }
                self.due.pop_front();
                self.next(now)
            }
            Some(_) => match self.due.pop_front() {
                Some(Step::Say(line)) => Next::Say(line.into_bytes()),
                Some(Step::End(line)) => {
                    self.in_turn = false;
                    Next::Say(line.into_bytes())
                }
                Some(Step::Exit(code)) => Next::Exit(code),
                _ => Next::Nothing,
            },
        }
    }

    fn prompt(&mut self, text: &str) {
        (self.in_turn, self.deaf) = (true, false);
        let (verb, rest) = text.split_once(' ').unwrap_or((text, ""));
        let number = || rest.trim().parse::<u64>().ok();
        match verb {
            "help" if rest.is_empty() => self.answer(&HELP.join("\n")),
            "wait" if rest.is_empty() => self.say("text waiting"),
            "deaf" if rest.is_empty() => self.deaf = true,
            "break" if rest.is_empty() => {
                ["mark", "text this is ", "retract"].iter().for_each(|line| self.say(line));
                self.answer("this is the whole answer");
            }
            "think" => {
                self.say(&format!("think {}", escaped(rest)));
                self.answer(&format!("I thought: {rest}"));
            }
            "fail" => self.end(&format!("failed {}", escaped(rest))),
            "write" if !rest.is_empty() => self.ask(What::Write(rest.to_owned())),
            "run" if !rest.is_empty() => self.ask(What::Run(rest.to_owned())),
            "count" | "slow" | "exit" => match (verb, number()) {
                ("exit", Some(code)) => match u8::try_from(code) {
                    Ok(code) => self.due.push_back(Step::Exit(code)),
                    Err(_) => self.answer("that should be `exit CODE` (0 to 255)"),
                },
                (verb, Some(last)) => self.pieces(verb == "slow", last),
                (verb, None) => self.answer(&format!("that should be `{verb} N`")),
            },
            _ => self.answer(&format!("you said: {text}")),
        }
    }

    fn pieces(&mut self, slow: bool, last: u64) {
        for piece in 1..=last.min(PIECES_MOST) {
            if slow {
                self.due.push_back(Step::Wait(None));
            }
            self.say(&format!("text {piece} "));
        }
        self.end("done");
    }

    fn ask(&mut self, what: What) {
        self.calls += 1;
        let call = self.calls;
        let (tool, member, about) = match &what {
            What::Write(path) => ("write", "path", path),
            What::Run(command) => ("run", "command", command),
        };
        let about = about.clone();
        self.say(&format!("tool {call} {tool} {{\"{member}\":{}}}", quoted(&about)));
        self.say(&format!("ask {call} {tool} {}", escaped(&about)));
        self.asked = Some(Asked { call, what });
    }

    fn decided(&mut self, allowed: bool, rest: &str) {
        let (call, message) = rest.split_once(' ').unwrap_or((rest, ""));
        let Some(Asked { call, what }) = self.asked.take_if(|asked| asked.call.to_string() == call)
        else {
            return;
        };
        let result = match what {
            _ if !allowed => format!("denied: {}", unescaped(message)),
            What::Write(path) => match std::fs::write(&path, "written by basic\n") {
                Ok(()) => format!("wrote {path}"),
                Err(error) => format!("could not write {path}: {error}"),
            },
            What::Run(command) => format!("ran {command}"),
        };
        self.say(&format!("result {call} {}", escaped(&result)));
        self.answer(&result);
    }

    fn answer(&mut self, text: &str) {
        self.say(&format!("text {}", escaped(text)));
        self.end("done");
    }

    fn end(&mut self, word: &str) {
        self.due.push_back(Step::End(word.to_owned()));
    }

    fn say(&mut self, line: &str) {
        self.due.push_back(Step::Say(line.to_owned()));
    }
}

/// The most pieces of one answer.
const PIECES_MOST: u64 = 100_000;

/// `text` as a JSON string.
fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for letter in text.chars() {
        match letter {
            '"' | '\\' => quoted.extend(['\\', letter]),
            control if control.is_control() => {
                quoted.push_str(&format!("\\u{:04x}", u32::from(control)));
            }
            letter => quoted.push(letter),
        }
    }
    quoted + "\""
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('\n', "\\n")
}

fn unescaped(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        match (letter, letter == '\\') {
            (_, true) => match letters.next() {
                Some('n') => plain.push('\n'),
                Some(other) => plain.push(other),
                None => plain.push('\\'),
            },
            (letter, false) => plain.push(letter),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(chat: &mut Chat) -> Vec<String> {
        let mut all = Vec::new();
        while let Next::Say(line) = chat.next(Instant::now()) {
            all.push(String::from_utf8(line).unwrap());
        }
        all
    }

    #[test]
    fn a_prompt_is_answered_with_itself_and_the_turn_ends() {
        let mut chat = Chat::new("x");
        assert_eq!(said(&mut chat), ["session x", "ready"]);
        chat.line(b"prompt two\\nlines\n");
        assert_eq!(said(&mut chat), ["text you said: two\\nlines", "done"]);
    }

    #[test]
    fn what_it_would_do_is_asked_for_and_a_denial_is_no_end() {
        let mut chat = Chat::new("x");
        said(&mut chat);
        chat.line(b"prompt run rm \"a\"\n");
        let asked = [r#"tool 1 run {"command":"rm \"a\""}"#, r#"ask 1 run rm "a""#];
        assert_eq!(said(&mut chat), asked);
        chat.line(b"deny 2 other\n");
        assert_eq!(said(&mut chat), Vec::<String>::new());
        chat.line(b"deny 1 not now\n");
        assert_eq!(said(&mut chat), ["result 1 denied: not now", "text denied: not now", "done"]);
    }

    #[test]
    fn a_cancel_ends_what_is_still_to_be_said() {
        let mut chat = Chat::new("x");
        said(&mut chat);
        chat.line(b"prompt slow 5\n");
        chat.line(b"cancel\n");
        assert_eq!(said(&mut chat), ["cancelled"]);
        chat.line(b"prompt deaf\n");
        chat.line(b"cancel\n");
        assert_eq!(said(&mut chat), Vec::<String>::new());
    }
}
