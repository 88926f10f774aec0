//! Other processes: how much processor time they took, and our own servers among them.

use std::io::{self, BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// The processor time that process `pid` and its living threads have taken.
///
/// To the nanosecond where the kernel keeps scheduling statistics, else to its tick of 10 ms.
///
/// # Errors
/// When there is no such process.
pub fn cpu_of(pid: u32) -> io::Result<Duration> {
    scheduled(pid).or_else(|_| ticked(pid))
}

/// The processor time that the calling thread has taken.
///
/// # Errors
/// Where the kernel keeps no scheduling statistics.
pub fn cpu_of_this_thread() -> io::Result<Duration> {
    Ok(Duration::from_nanos(on_cpu(Path::new("/proc/thread-self"))?))
}

fn scheduled(pid: u32) -> io::Result<Duration> {
    let mut nanos = 0;
    for thread in std::fs::read_dir(format!("/proc/{pid}/task"))? {
        nanos += on_cpu(&thread?.path())?;
    }
    Ok(Duration::from_nanos(nanos))
}

/// Nanoseconds that the thread of this folder has run.
fn on_cpu(thread: &Path) -> io::Result<u64> {
    let text = std::fs::read_to_string(thread.join("schedstat"))?;
    let first = text.split_whitespace().next().and_then(|first| first.parse().ok());
    first.ok_or_else(|| io::ErrorKind::InvalidData.into())
}

fn ticked(pid: u32) -> io::Result<Duration> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The name may hold anything; fields are counted behind its closing parenthesis.
    let fields = stat.rsplit_once(')').map_or("", |(_, rest)| rest).split_whitespace();
    let ticks: u64 = fields.skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
    Ok(Duration::from_secs_f64(ticks as f64 / rustix::param::clock_ticks_per_second() as f64))
}

/// Waits, on a thread that has nothing else to do.
#[expect(clippy::disallowed_methods, reason = "a bench's own thread, no worker of a runtime")]
pub fn pause(time: Duration) {
    std::thread::sleep(time);
}

/// A server of ours in a process of its own, so that its processor time can be told from that of
/// its clients. Ends when it is dropped.
#[derive(Debug)]
pub struct Server {
    child: Child,
    address: String,
}

impl Server {
    /// Starts `program serve` with `arguments` and waits until it says where it listens.
    ///
    /// # Errors
    /// When it does not start.
    pub fn start(program: &Path, arguments: &[&str]) -> io::Result<Self> {
        let mut child = Command::new(program)
            .arg("serve")
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut line = String::new();
        if let Some(stdout) = child.stdout.take() {
            BufReader::new(stdout).read_line(&mut line)?;
        }
        let address = line.trim().to_owned();
        let server = Self { child, address };
        if server.address.is_empty() {
            return Err(io::Error::other(format!("{arguments:?} did not start")));
        }
        Ok(server)
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The processor time it has taken so far.
    ///
    /// # Errors
    /// When it is gone.
    pub fn cpu(&self) -> io::Result<Duration> {
        cpu_of(self.child.id())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It ends at the end of its input, too, should this fail.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
