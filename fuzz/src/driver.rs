//! The stable driver: replays the corpus, then mutates it for a while. No coverage is measured, so
//! it finds what cargo-fuzz has found before, and what lies near; hunting is cargo-fuzz's.
//!
//! `DESCARTES_FUZZ_SECONDS` is how long each target is mutated (3), `DESCARTES_FUZZ_SEED` where its
//! random numbers begin (1): the same seed gives the same inputs on every machine.

mod mutation;

use std::{
    env, fs,
    io::{self, Write},
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    process::ExitCode,
    time::{Duration, Instant},
};

use crate::{TARGETS, Target};
use mutation::Mutator;

/// How long each target is mutated when nothing else is said.
const SECONDS: u64 = 3;
/// An input that takes longer than this is a finding: the slowest honest one takes milliseconds,
/// on a busy machine in a debug build tens of them.
const SLOW: Duration = Duration::from_secs(5);

/// How long to mutate, and from where.
#[derive(Clone, Debug)]
pub struct Run {
    /// At most so many inputs.
    pub executions: u64,
    /// At most so long.
    pub time: Duration,
    /// Where the random numbers begin.
    pub seed: u64,
}

impl Default for Run {
    fn default() -> Self {
        Self { executions: u64::MAX, time: Duration::from_secs(SECONDS), seed: 1 }
    }
}

impl Run {
    fn from_environment() -> Self {
        let number = |name| env::var(name).ok().and_then(|text| text.parse().ok());
        let time = Duration::from_secs(number("DESCARTES_FUZZ_SECONDS").unwrap_or(SECONDS));
        let seed = number("DESCARTES_FUZZ_SEED").unwrap_or(1);
        Self { time, seed, ..Self::default() }
    }
}

/// What a run has seen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Seen {
    /// How many inputs were tried.
    pub executions: u64,
    /// The input that broke a promise. The run ended there.
    pub finding: Option<Vec<u8>>,
}

/// The program: `[TARGET [FILE...]]`, all targets when none is named; files are replayed.
pub fn main(target: Option<&str>) -> ExitCode {
    let mut arguments = env::args_os().skip(1);
    let named = target.map(Into::into).or_else(|| arguments.next());
    let files: Vec<PathBuf> = arguments.map(PathBuf::from).collect();
    let of_name = |target: &&Target| named.as_ref().is_none_or(|name| name == target.name);
    let chosen: Vec<&Target> = TARGETS.iter().filter(of_name).collect();
    let mut out = io::stdout().lock();
    let done = match chosen.as_slice() {
        [] => tell_targets(&mut out),
        [target] if !files.is_empty() => replay(target, &files, &mut out),
        all => all.iter().try_fold(true, |sound, target| Ok(work(target, &mut out)? && sound)),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            drop(writeln!(out, "{error}"));
            ExitCode::from(2)
        }
    }
}

/// The seeds of a target, in the order of their names.
///
/// # Errors
/// When the folder cannot be read.
pub fn corpus(target: &str) -> io::Result<Vec<(PathBuf, Vec<u8>)>> {
    let folder = home().join("corpus").join(target);
    let mut paths: Vec<PathBuf> = fs::read_dir(&folder)
        .and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect())
        .map_err(|error| io::Error::other(format!("{}: {error}", folder.display())))?;
    paths.sort();
    paths.into_iter().map(|path| fs::read(&path).map(|seed| (path, seed))).collect()
}

/// Whether `input` breaks no promise of `target`. The broken one is told on standard error.
#[must_use]
pub fn passes(target: &Target, input: &[u8]) -> bool {
    let began = Instant::now();
    let unbroken = catch_unwind(AssertUnwindSafe(|| (target.run)(input))).is_ok();
    unbroken && began.elapsed() < SLOW
}

/// Tries mutations of the corpus of `target` until one breaks a promise or the run is over.
///
/// # Errors
/// When the corpus cannot be read.
pub fn mutate(target: &Target, run: &Run) -> io::Result<Seen> {
    let seeds = corpus(target.name)?.into_iter().map(|(_, seed)| seed).collect();
    let mut mutator = Mutator::new(seeds, target.words, run.seed);
    let (began, mut seen) = (Instant::now(), Seen::default());
    while seen.executions < run.executions && began.elapsed() < run.time {
        let input = mutator.next();
        seen.executions += 1;
        if !passes(target, &input) {
            seen.finding = Some(input);
            break;
        }
    }
    Ok(seen)
}

/// The folder of this package.
fn home() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn tell_targets(out: &mut impl Write) -> io::Result<bool> {
    let names: Vec<&str> = TARGETS.iter().map(|target| target.name).collect();
    writeln!(out, "no such target; there are {}", names.join(", "))?;
    Ok(false)
}

fn replay(target: &Target, files: &[PathBuf], out: &mut impl Write) -> io::Result<bool> {
    let mut sound = true;
    for file in files {
        let passes = passes(target, &fs::read(file)?);
        let word = if passes { "passes" } else { "FAILS" };
        writeln!(out, "{}: {word} {}", target.name, file.display())?;
        sound &= passes;
    }
    Ok(sound)
}

/// The corpus, then mutations of it; a finding is written to a file.
fn work(target: &Target, out: &mut impl Write) -> io::Result<bool> {
    let seeds = corpus(target.name)?;
    for (path, seed) in &seeds {
        if !passes(target, seed) {
            writeln!(out, "{}: FAILS {}", target.name, path.display())?;
            return Ok(false);
        }
    }
    let run = Run::from_environment();
    let seen = mutate(target, &run)?;
    let (name, seeds, executions) = (target.name, seeds.len(), seen.executions);
    writeln!(out, "{name}: {seeds} seeds, {executions} mutations from seed {}", run.seed)?;
    let Some(finding) = seen.finding else { return Ok(true) };
    let folder = home().join("artifacts").join(name);
    fs::create_dir_all(&folder)?;
    let file = folder.join(format!("stable-{}-{executions}", run.seed));
    fs::write(&file, finding)?;
    let file = file.display();
    writeln!(
        out,
        "{name}: a finding; again by `cargo run -p descartes-fuzz --example stable -- {name} {file}`"
    )?;
    Ok(false)
}
