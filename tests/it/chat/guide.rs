//! The guide "Chats with coding agents": every command gives what it shows.

use std::fs;

use crate::house::root;
use crate::readme::{Step, blocks, matches, session, steps};
use crate::rig::daemon::Daemon;

#[test]
fn every_command_of_the_guide_gives_what_it_shows() {
    let guide = fs::read_to_string(root().join("docs/chats.md")).expect("there is the guide");
    let daemon = Daemon::start();
    let steps: Vec<Step> = blocks(&guide, "console").iter().flat_map(|b| steps(b)).collect();
    assert!(steps.len() > 10, "the guide has a session: {}", steps.len());
    let run: Vec<&Step> = steps.iter().collect();
    for (step, printed) in run.iter().zip(session(&daemon.home, &run)) {
        let (command, shown) = (&step.command, &step.shown);
        assert!(matches(shown, &printed), "$ {command}\n{printed}--- shown is:\n{shown}");
    }
}
