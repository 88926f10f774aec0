//! A terminal with a program in it.

use std::fs::File;
use std::io::Read as _;
use std::os::fd::OwnedFd;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;

use rustix::process::{Pid, Signal, kill_process};
use rustix::pty::{OpenptFlags, grantpt, ioctl_tiocgptpeer, openpt, unlockpt};
use rustix::termios::{LocalModes, Termios, Winsize, tcgetattr, tcsetwinsize};

use super::processes::eventually;

/// A terminal, and the program whose input and output it is.
pub(crate) struct Terminal {
    screen: OwnedFd,
    /// The other side, held so that it can be looked at when the program has ended.
    side: OwnedFd,
    program: Child,
    shown: Arc<Mutex<Vec<u8>>>,
}

impl Terminal {
    /// Runs `command` in a terminal of its own.
    pub(crate) fn run(mut command: Command) -> Self {
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY;
        let screen = openpt(flags).expect("there are terminals");
        grantpt(&screen).and_then(|()| unlockpt(&screen)).expect("a terminal is ours");
        let side = ioctl_tiocgptpeer(&screen, flags).expect("it has another side");
        let end = || Stdio::from(side.try_clone().expect("a descriptor is left"));
        command.stdin(end()).stdout(end()).stderr(end()).env("TERM", "xterm");
        let shown = Arc::<Mutex<Vec<u8>>>::default();
        let terminal_size = size(120, 24);
        tcsetwinsize(&screen, terminal_size).expect("it has a size");
        let program = command.spawn().expect("the program is there");
        follow(screen.try_clone().expect("a descriptor is left"), Arc::clone(&shown));
        Self { screen, side, program, shown }
    }

    /// Types this.
    pub(crate) fn types(&self, text: &str) {
        rustix::io::write(&self.screen, text.as_bytes()).expect("a terminal takes keys");
    }

    /// Everything that was shown so far.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.shown.lock().expect("nobody panics")).into_owned()
    }

    /// What was shown last, from the top of the screen on.
    pub(crate) fn frame(&self) -> String {
        let text = self.text();
        let whole = text.rsplit("\x1b[H").find(|frame| frame.contains("\x1b[J"));
        whole.unwrap_or_default().replace("\x1b[K", "").replace("\x1b[J", "")
    }

    #[track_caller]
    pub(crate) fn shows(&self, what: &str) {
        eventually(what, || self.frame().contains(what));
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).expect("the program is ours to signal");
    }

    pub(crate) fn pid(&self) -> Pid {
        Pid::from_child(&self.program)
    }

    /// Another size, of which the program is told.
    pub(crate) fn resize(&self, columns: u16, rows: u16) {
        tcsetwinsize(&self.screen, size(columns, rows)).expect("it has a size");
        self.signal(Signal::WINCH);
    }

    pub(crate) fn modes(&self) -> Termios {
        tcgetattr(&self.side).expect("it is a terminal")
    }

    /// Whether what is typed is shown, as in a shell.
    pub(crate) fn echoes(&self) -> bool {
        self.modes().local_modes.contains(LocalModes::ECHO | LocalModes::ICANON)
    }

    /// Waits until the program has ended.
    pub(crate) fn ended(&mut self) -> ExitStatus {
        let mut status = None;
        eventually("the program ends", || {
            status = self.program.try_wait().expect("it is our child");
            status.is_some()
        });
        status.expect("it has ended")
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // It may have ended.
        drop(self.program.kill());
        drop(self.program.wait());
    }
}

fn size(columns: u16, rows: u16) -> Winsize {
    Winsize { ws_col: columns, ws_row: rows, ws_xpixel: 0, ws_ypixel: 0 }
}

/// Reads until the terminal is gone: one that is full would stop the program.
fn follow(screen: OwnedFd, shown: Arc<Mutex<Vec<u8>>>) {
    thread::spawn(move || {
        let (mut screen, mut bytes) = (File::from(screen), [0; 4096]);
        while let Ok(count @ 1..) = screen.read(&mut bytes) {
            shown.lock().expect("nobody panics").extend_from_slice(&bytes[..count]);
        }
    });
}
