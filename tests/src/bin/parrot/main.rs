//! `parrot`, the scripted agent of the tests: it does what its arguments say, in their order.
//!
//! See `parrot --help`, which is the constant [`HELP`]. It is std and a few system calls, so that
//! what it does is what is seen.

mod forward;
mod output;
mod tree;

use std::io::{self, BufRead as _, Write as _};
use std::process::ExitCode;
use std::time::Duration;

use rustix::process::{Signal, getpid, kill_process};

/// What `parrot --help` prints.
const HELP: &str = "\
parrot STEP... [--token WORD]

Does the steps in their order, then exits 0. A step takes as many words as it is shown with.
Every process of parrot's keeps all its arguments, so that a WORD finds them in /proc.

output
  say TEXT            TEXT and a newline, in one write, to stdout
  complain TEXT       the same to stderr
  print TEXT          TEXT without a newline; \\n \\r \\t \\0 \\\\ and \\xHH are what they are in C
  split TEXT          as print, one byte to a write, a millisecond apart
  bytewise FILE       the bytes of FILE, one to a write
  file FILE           the bytes of FILE
  count N MS          N numbered lines, MS milliseconds apart
  lines N             N numbered lines, one to a write, as fast as possible
  blocks BYTES        as many bytes of 80 byte lines, 64 KiB to a write
  pieces N BYTES      N times BYTES of 64 byte lines, each write when the one before was taken
  long BYTES          as many bytes without a newline, 64 KiB to a write
  noise SEED BYTES    as many bytes of every value; the same SEED gives the same
  env | args | cwd | pid    what it is, a line each

input
  echo                writes every line it reads, until end of file
  line                waits for a line
  obey                reads steps, one to a line with its words parted by blanks, until end of file

itself
  sleep MS            | forever
  deaf                ignores SIGTERM, SIGHUP and SIGINT from here on, and so do its children
  close STREAM        closes stdin, stdout or stderr
  exit CODE           ends with CODE
  crash SIGNAL        ends by the signal with this number
  stop                stops itself by SIGSTOP

others (each says `ready` when all of its tree stands)
  flee MANNER         double-fork | setsid | setsid-env | deaf | hold-pipe | all: all of it deaf,
                      and lives on
  leave-behind        starts a process that left group, session and environment and holds nothing
  hold-pipe           starts a grandchild that holds stdout and stderr; exits 0 after a line
  brood N             starts N children that live on
  forward PLACES      listens on a port for each of PLACES (addresses and paths of sockets, with
                      commas), says their numbers, and passes on what comes
";

/// Why no step follows.
enum End {
    /// It was told to end so.
    Exit(u8),
    /// Something failed.
    Failed(io::Error),
    /// The arguments make no sense.
    Usage(String),
}

impl From<io::Error> for End {
    fn from(error: io::Error) -> Self {
        Self::Failed(error)
    }
}

fn main() -> ExitCode {
    let mut words: Vec<String> = std::env::args().skip(1).collect();
    if let Some(role) = words.first().and_then(|word| word.strip_prefix("--role=")) {
        return match tree::play(role, &words) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => fail(&error.to_string()),
        };
    }
    if words.iter().any(|word| word == "--help") || words.is_empty() {
        return match io::stdout().write_all(HELP.as_bytes()) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => fail(&error.to_string()),
        };
    }
    if let Some(at) = words.iter().position(|word| word == "--token") {
        words.drain(at..(at + 2).min(words.len()));
    }
    match run(&mut words.into_iter()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(End::Exit(code)) => ExitCode::from(code),
        // What a program that does not handle it would look like to a shell.
        Err(End::Failed(error)) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::from(141),
        Err(End::Failed(error)) => fail(&error.to_string()),
        Err(End::Usage(word)) => fail(&format!("what is `{word}`? see parrot --help")),
    }
}

fn fail(message: &str) -> ExitCode {
    // There is nowhere to tell that stderr cannot be written to.
    drop(writeln!(io::stderr(), "parrot: {message}"));
    ExitCode::from(2)
}

fn run(words: &mut dyn Iterator<Item = String>) -> Result<(), End> {
    while let Some(step) = words.next() {
        let done = print(&step, words)?
            || flood(&step, words)?
            || listen(&step)?
            || behave(&step, words)?
            || others(&step, words)?;
        if !done {
            return Err(End::Usage(step));
        }
    }
    Ok(())
}

fn print(step: &str, words: &mut dyn Iterator<Item = String>) -> Result<bool, End> {
    match step {
        "say" => output::stdout(format!("{}\n", text(words)?).as_bytes())?,
        "complain" => io::stderr().write_all(format!("{}\n", text(words)?).as_bytes())?,
        "print" => output::stdout(&output::unescape(&text(words)?))?,
        "split" => output::bytewise(&output::unescape(&text(words)?), Duration::from_millis(1))?,
        "bytewise" => output::bytewise(&std::fs::read(text(words)?)?, Duration::ZERO)?,
        "file" => output::stdout(&std::fs::read(text(words)?)?)?,
        "env" => {
            for (name, value) in std::env::vars_os() {
                output::stdout(format!("{}={}\n", name.display(), value.display()).as_bytes())?;
            }
        }
        "args" => output::stdout(format!("{:?}\n", std::env::args_os()).as_bytes())?,
        "cwd" => output::stdout(format!("{}\n", std::env::current_dir()?.display()).as_bytes())?,
        "pid" => output::stdout(format!("{}\n", std::process::id()).as_bytes())?,
        _ => return Ok(false),
    }
    Ok(true)
}

fn flood(step: &str, words: &mut dyn Iterator<Item = String>) -> Result<bool, End> {
    match step {
        "count" => output::count(number(words)?, Duration::from_millis(number(words)?))?,
        "lines" => output::count(number(words)?, Duration::ZERO)?,
        "blocks" => output::blocks(
            number(words)?,
            b"the quick brown parrot jumps over the lazy cat and says so to all who will hear\n",
        )?,
        "pieces" => output::pieces(number(words)?, number(words)?)?,
        "long" => output::blocks(number(words)?, b"x")?,
        "noise" => output::noise(number(words)?, number(words)?)?,
        _ => return Ok(false),
    }
    Ok(true)
}

fn listen(step: &str) -> Result<bool, End> {
    match step {
        "echo" => {
            let mut line = Vec::new();
            while io::stdin().lock().read_until(b'\n', &mut line)? > 0 {
                output::stdout(&line)?;
                line.clear();
            }
        }
        "line" => drop(read_line()?),
        "obey" => {
            while let Some(line) = read_line()? {
                run(&mut line.split_whitespace().map(str::to_owned))?;
            }
        }
        _ => return Ok(false),
    }
    Ok(true)
}

fn behave(step: &str, words: &mut dyn Iterator<Item = String>) -> Result<bool, End> {
    match step {
        "sleep" => sleep(Duration::from_millis(number(words)?)),
        "forever" => forever(),
        "deaf" => return Err(tree::become_deaf(words).into()),
        "close" => tree::close(&text(words)?)?,
        "exit" => return Err(End::Exit(number(words)?)),
        "crash" => {
            let number: i32 = number(words)?;
            let signal = Signal::from_named_raw(number);
            let signal = signal.ok_or_else(|| End::Usage(number.to_string()))?;
            kill_process(getpid(), signal).map_err(io::Error::from)?;
            forever();
        }
        "stop" => kill_process(getpid(), Signal::STOP).map_err(io::Error::from)?,
        _ => return Ok(false),
    }
    Ok(true)
}

fn others(step: &str, words: &mut dyn Iterator<Item = String>) -> Result<bool, End> {
    match step {
        "flee" => {
            let manner = text(words)?;
            if !tree::is_deaf() {
                let mut again = ["flee".to_owned(), manner].into_iter();
                return Err(tree::become_deaf(&mut again).into());
            }
            tree::flee(&manner)?;
            forever();
        }
        "leave-behind" => tree::leave_behind()?,
        "hold-pipe" => {
            tree::hold_pipe()?;
            drop(read_line()?);
            return Err(End::Exit(0));
        }
        "brood" => tree::brood(number(words)?)?,
        "forward" => {
            forward::forward(&text(words)?)?;
            forever();
        }
        _ => return Ok(false),
    }
    Ok(true)
}

fn text(words: &mut dyn Iterator<Item = String>) -> Result<String, End> {
    words.next().ok_or_else(|| End::Usage("nothing".into()))
}

fn number<N: std::str::FromStr>(words: &mut dyn Iterator<Item = String>) -> Result<N, End> {
    let word = text(words)?;
    word.parse().or(Err(End::Usage(word)))
}

fn read_line() -> io::Result<Option<String>> {
    let mut line = String::new();
    let length = io::stdin().lock().read_line(&mut line)?;
    Ok((length > 0).then_some(line))
}

#[expect(clippy::disallowed_methods, reason = "there is no runtime here whose worker would wait")]
fn sleep(time: Duration) {
    std::thread::sleep(time);
}

fn forever() -> ! {
    loop {
        sleep(Duration::from_secs(3600));
    }
}
