//! The guides are a book: every page is in it, every link leads somewhere, and what it says is so.

mod links;

use std::collections::BTreeSet;
use std::fs;

use crate::house::{root, source_texts};
use crate::readme::{Step, blocks, matches, session, steps};
use crate::rig::daemon::Home;

fn page(name: &str) -> String {
    let path = root().join("docs").join(name);
    fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// The files of `docs/` that are pages.
fn pages() -> BTreeSet<String> {
    let entries = fs::read_dir(root().join("docs")).expect("there are guides");
    let names = entries.map(|entry| entry.expect("a readable folder").file_name());
    let names = names.map(|name| name.into_string().expect("file names are text"));
    names.filter(|name| name.ends_with(".md") && name != "SUMMARY.md").collect()
}

#[test]
fn every_page_is_in_the_book_once() {
    let listed: Vec<String> =
        links::of(&page("SUMMARY.md")).into_iter().map(|(to, _)| to).collect();
    let once: BTreeSet<String> = listed.iter().cloned().collect();
    assert_eq!(once.len(), listed.len(), "docs/SUMMARY.md lists a page twice: {listed:?}");
    assert_eq!(once, pages(), "docs/SUMMARY.md lists what lies in docs/, and nothing else");
}

#[test]
fn every_link_of_the_book_leads_somewhere() {
    let mut complaints = Vec::new();
    for from in pages() {
        let text = page(&from);
        for (to, anchor) in links::of(&text).into_iter().filter(|(to, _)| !to.starts_with("http")) {
            let to = if to.is_empty() { from.clone() } else { to };
            let found = pages().contains(&to);
            if !found || anchor.as_ref().is_some_and(|a| !links::anchors(&page(&to)).contains(a)) {
                complaints.push(format!("{from}: {to} {anchor:?}"));
            }
        }
    }
    assert!(complaints.is_empty(), "a book has only its own pages:\n{}", complaints.join("\n"));
}

#[test]
fn the_quick_start_gives_what_it_shows() {
    let steps: Vec<Step> =
        blocks(&page("quick-start.md"), "console").iter().flat_map(|b| steps(b)).collect();
    assert!(steps.len() > 8, "the quick start has a session: {}", steps.len());
    let run: Vec<&Step> = steps.iter().collect();
    for (step, printed) in run.iter().zip(session(&Home::new(), &run)) {
        let (command, shown) = (&step.command, &step.shown);
        assert!(matches(shown, &printed), "$ {command}\n{printed}--- shown is:\n{shown}");
    }
}

/// The messages that have a heading of their own.
fn messages(text: &str) -> Vec<&str> {
    let headings = text.lines().filter_map(|line| line.strip_prefix("### `"));
    headings.map(|rest| rest.strip_suffix('`').expect("a heading is one message")).collect()
}

/// How far apart the parts of one message may be in the code: what is put between them has a name.
const PUT_BETWEEN: usize = 60;

/// Whether `code` has the parts of a message one after the other.
fn says(code: &str, parts: &[&str]) -> bool {
    let Some((first, others)) = parts.split_first() else { return false };
    code.match_indices(first).any(|(at, _)| {
        let mut end = at + first.len();
        others.iter().all(|part| {
            let near: String = code[end..].chars().take(PUT_BETWEEN + part.len()).collect();
            let found = near.find(part);
            end += found.map_or(0, |at| at + part.len());
            found.is_some()
        })
    })
}

#[test]
fn every_message_of_the_troubleshooting_is_in_the_code() {
    let text = page("troubleshooting.md");
    let messages = messages(&text);
    assert!(messages.len() > 15, "there is much that can go wrong: {messages:?}");
    let sources = source_texts();
    let unsaid = messages.into_iter().filter(|message| {
        let parts = message.split('…').map(str::trim).filter(|part| !part.is_empty());
        let parts: Vec<&str> = parts.collect();
        !sources.iter().any(|code| says(code, &parts))
    });
    let unsaid: Vec<&str> = unsaid.collect();
    assert!(unsaid.is_empty(), "nobody says any of this: {unsaid:#?}");
}
