//! The dialect of programs that answer a line with lines.

use std::time::{Duration, Instant};

use super::LineTalk;
use crate::dialect::transcript::{Played, Stdin, Subject, told};
use crate::dialect::{Dialect, Input};
use crate::event::StreamName;
use crate::limits;

fn says(played: &mut Played<LineTalk>, line: &str) {
    let bytes = line.as_bytes();
    played.input(&Stdin, Input::Line { stream: StreamName::Stdout, bytes });
}

/// A program that was asked something.
fn asked() -> Played<LineTalk> {
    let mut played = Played::open(&Stdin, LineTalk::new());
    played.prompt(&Stdin, "hello");
    played.actions.clear();
    played
}

#[test]
fn an_answer_is_every_line_until_nothing_more_comes() {
    let mut played = Played::open(&Stdin, LineTalk::new());
    played.prompt(&Stdin, "hello");
    assert_eq!(played.sent, ["hello"]);
    says(&mut played, "one");
    played.wait(&Stdin, limits::LINES_QUIET - Duration::from_millis(1));
    says(&mut played, "");
    says(&mut played, " two");
    assert_eq!(played.ends().len(), 0, "it has just spoken");
    played.wait(&Stdin, limits::LINES_QUIET);
    says(&mut played, "late");
    let expected =
        ["ready turns", "1 text[0] \"one\\n\\n two\\n\"", "end 1 completed", "1 raw \"late\""];
    assert_eq!(told(&played.actions), expected);
    played.prompt(&Stdin, "again");
    says(&mut played, "three");
    played.input(&Stdin, Input::Ended { code: Some(0), signal: None });
    assert_eq!(played.text(2), "three\n");
}

#[test]
fn a_program_that_says_nothing_is_waited_for_and_one_that_dies_interrupts_the_turn() {
    let mut played = asked();
    assert_eq!(played.dialect.deadline(), None);
    played.input(&Stdin, Input::Ended { code: Some(0), signal: None });
    let end = "end 1 interrupted agent_crashed \"the agent ended with exit code 0\"";
    assert_eq!(told(&played.actions), [end]);
}

#[test]
fn a_cancel_is_a_signal_and_then_another() {
    let mut played = asked();
    says(&mut played, "one");
    played.actions.clear();
    played.input(&Stdin, Input::Cancel { turn: 1 });
    played.wait(&Stdin, limits::ONE_SHOT_CANCEL);
    played.input(&Stdin, Input::Ended { code: None, signal: Some(15) });
    assert_eq!(told(&played.actions), ["signal interrupt", "signal terminate", "end 1 cancelled"]);
}

#[test]
fn a_prompt_that_was_not_written_is_cancelled_at_once() {
    let (mut talk, now, mut out) = (LineTalk::new(), Instant::now(), Vec::new());
    let prompt = crate::dialect::Prompt::text("x");
    talk.handle(now, Input::Prompt { turn: 1, prompt: &prompt }, &mut out);
    talk.handle(now, Input::Cancel { turn: 1 }, &mut out);
    talk.handle(now, Input::Opened, &mut out);
    assert_eq!(told(&out), ["end 1 cancelled", "ready turns"]);
}

static LINES: Subject = Subject {
    prefix: "lines-",
    wire: &Stdin,
    make: |_| Box::new(LineTalk::new()),
    prepare: |_, _| {},
    // To it nothing is strange: every line is an answer.
    strange: &[],
};

#[test]
fn no_order_of_lines_prompts_and_ticks_breaks_a_promise() {
    LINES.no_order_breaks_a_promise();
}
