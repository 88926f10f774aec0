//! What the service manager is told, where there is one (sd_notify(3)).

use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

use crate::config::Surroundings;

/// A service manager that wants to be told how the daemon is. Agents do not inherit it.
#[derive(Debug)]
pub(super) struct Manager {
    socket: UnixDatagram,
    address: SocketAddr,
    /// How often it wants a sign of life.
    pub(super) watchdog: Option<Duration>,
}

impl Manager {
    /// The one that has started us, if it wants to be told anything.
    pub(super) fn of(surroundings: &Surroundings) -> Option<Self> {
        let address = address(surroundings.var("NOTIFY_SOCKET")?);
        let socket = address.and_then(|address| Ok((UnixDatagram::unbound()?, address)));
        match socket {
            Ok((socket, address)) => {
                Some(Self { socket, address, watchdog: watchdog(surroundings) })
            }
            Err(error) => {
                tracing::warn!(%error, "the service manager cannot be told anything");
                None
            }
        }
    }

    /// The daemon serves.
    pub(super) fn ready(&self) {
        self.say("READY=1");
        self.status("serving");
    }

    /// What `systemctl status` shows; one line.
    pub(super) fn status(&self, status: &str) {
        self.say(&format!("STATUS={status}"));
    }

    /// It reads its configuration anew; [`ready`](Self::ready) ends that.
    pub(super) fn reloading(&self) {
        let now = clock_gettime(ClockId::Monotonic);
        let micros = Duration::try_from(now).unwrap_or_default().as_micros();
        self.say(&format!(
            "RELOADING=1\nMONOTONIC_USEC={micros}\nSTATUS=reading its configuration"
        ));
    }

    /// It is about to end.
    pub(super) fn stopping(&self) {
        self.say("STOPPING=1");
        self.status("stopping");
    }

    /// It is still about to end, and wants to be waited for so long from now on.
    pub(super) fn still_stopping(&self, more: Duration) {
        self.say(&format!("EXTEND_TIMEOUT_USEC={}", more.as_micros()));
    }

    /// It lives.
    pub(super) fn lives(&self) {
        self.say("WATCHDOG=1");
    }

    fn say(&self, state: &str) {
        // Nobody waits for a manager that does not read.
        let sent = self.socket.set_nonblocking(true);
        let sent = sent.and_then(|()| self.socket.send_to_addr(state.as_bytes(), &self.address));
        if let Err(error) = sent {
            tracing::debug!(%error, state, "the service manager was not told");
        }
    }
}

/// A path, or a name behind `@` that is in no directory.
fn address(text: &str) -> io::Result<SocketAddr> {
    match text.strip_prefix('@') {
        Some(name) => SocketAddr::from_abstract_name(name),
        None => SocketAddr::from_pathname(text),
    }
}

/// Half of the time that the manager waits, so that one late sign does no harm.
fn watchdog(surroundings: &Surroundings) -> Option<Duration> {
    let of_us =
        surroundings.var("WATCHDOG_PID").is_none_or(|pid| pid == std::process::id().to_string());
    let micros: u64 = surroundings.var("WATCHDOG_USEC").filter(|_| of_us)?.parse().ok()?;
    (micros > 0).then(|| Duration::from_micros(micros) / 2)
}

/// Gives signs of life as often as the manager wants them; for ever.
pub(super) async fn watch(manager: Option<&Manager>) {
    let every = manager.and_then(|manager| Some((manager, manager.watchdog?)));
    let Some((manager, every)) = every else { return std::future::pending().await };
    loop {
        manager.lives();
        tokio::time::sleep(every).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_told_at_a_path_and_at_a_name_without_a_directory() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notify");
        let name = format!("descartes-test-{}", std::process::id());
        let listeners = [
            (path.to_str().unwrap().to_owned(), UnixDatagram::bind(&path).unwrap()),
            (format!("@{name}"), {
                UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap()
            }),
        ];
        for (address, listener) in listeners {
            let manager = Manager::of(&Surroundings::with(&[("NOTIFY_SOCKET", &address)])).unwrap();
            manager.ready();
            manager.reloading();
            let mut heard = [0; 128];
            let count = listener.recv(&mut heard).unwrap();
            assert_eq!(&heard[..count], b"READY=1");
            let count = listener.recv(&mut heard).unwrap();
            assert_eq!(&heard[..count], b"STATUS=serving");
            let count = listener.recv(&mut heard).unwrap();
            assert!(heard[..count].starts_with(b"RELOADING=1\nMONOTONIC_USEC="), "{address}");
            manager.still_stopping(Duration::from_secs(15));
            let count = listener.recv(&mut heard).unwrap();
            assert_eq!(&heard[..count], b"EXTEND_TIMEOUT_USEC=15000000");
        }
        assert!(Manager::of(&Surroundings::with(&[])).is_none());
    }

    #[test]
    fn signs_of_life_come_twice_as_often_as_they_are_wanted_of_this_process_alone() {
        let own = std::process::id().to_string();
        let of = |env: &[(&str, &str)]| watchdog(&Surroundings::with(env));
        assert_eq!(of(&[("WATCHDOG_USEC", "3000000")]), Some(Duration::from_millis(1500)));
        let ours = [("WATCHDOG_USEC", "3000000"), ("WATCHDOG_PID", own.as_str())];
        assert_eq!(of(&ours), Some(Duration::from_millis(1500)));
        assert_eq!(of(&[("WATCHDOG_USEC", "3000000"), ("WATCHDOG_PID", "1")]), None);
        assert_eq!(of(&[("WATCHDOG_USEC", "0")]), None);
        assert_eq!(of(&[]), None);
    }
}
