//! A hundred files that are wrong: each is refused with line, column and reason, and the code 78.

use super::{Case, Config, Flags, Surroundings};
use crate::config::family::FAMILIES;
use crate::config::keys::KEYS;
use crate::daemon::Failure;

/// A file, where it is wrong, and a part of the reason.
type Broken = (String, (usize, usize), &'static str);

/// How the names of durations end.
const DURATIONS: [&str; 2] = ["secs", "days"];

/// Whether a duration is one of half a day at most.
fn short(name: &str) -> bool {
    ["stall_secs", "idle_stop_secs", "deadline_secs"].contains(&name)
}

/// Where `needle` begins in `file`, as line and column.
fn place(file: &str, needle: &str) -> (usize, usize) {
    let at = file.find(needle).expect("the needle is in the file");
    let line = file[..at].matches('\n').count() + 1;
    (line, at - file[..at].rfind('\n').map_or(0, |newline| newline + 1) + 1)
}

/// For each key a value of a type that no key has, one that is not TOML, the key twice, and a name
/// that is no key's.
fn of_every_key() -> Vec<Broken> {
    let mut all = Vec::new();
    for key in KEYS.iter().filter(|key| key.missing().is_none()) {
        let head = format!("# of {}\n[{}]\n", key.name, key.section);
        let time = format!("{head}{} = 1979-05-27\n", key.name);
        let at = place(&time, "1979");
        // What was written for a secret is not repeated.
        let (is_time, is_fraction) = match key.is_secret() {
            true => ("not what it is", "not what it is"),
            false => ("not a time", "not a number with a fraction"),
        };
        all.push((time, at, is_time));
        // Of money there may be a fraction, and not less than nothing.
        let (fraction, found) = match key.name == "cost_usd_per_day" {
            true => ("-0.5", "an amount in USD"),
            false => ("0.5", is_fraction),
        };
        let file = format!("{head}  {}  =  {fraction}\n", key.name);
        let at = place(&file, fraction);
        all.push((file, at, found));
        let misspelt = format!("{head}{}z = 1\n", key.name);
        let at = place(&misspelt, &format!("{}z", key.name));
        all.push((misspelt, at, "did you mean"));
        // What is so long that a clock cannot count it.
        if let Some(unit) = key.name.rsplit('_').next().filter(|unit| DURATIONS.contains(unit)) {
            let reason =
                if key.name == "token_expiry_secs" { "31622400" } else { "a hundred years" };
            for long in [i64::MAX, if unit == "days" { 36_526 } else { 3_155_760_001 }] {
                let file = format!("{head}{} = {long}\n", key.name);
                let at = place(&file, &long.to_string());
                all.push((file, at, if short(key.name) { "from 1 to 43200" } else { reason }));
            }
        }
    }
    all
}

/// For each key of a backend and of a remote likewise.
fn of_every_member() -> Vec<Broken> {
    let mut all = Vec::new();
    for family in FAMILIES {
        for key in family.keys.iter().filter(|_| cfg!(feature = "zmq")) {
            let time = format!("[{}.mine]\n{} = 1979-05-27\n", family.section, key.name);
            let at = place(&time, "1979");
            let found = if key.is_secret() { "not what it is" } else { "not a time" };
            all.push((time, at, found));
            if key.name == "lost_after_secs" {
                let long = format!("[remotes.mine]\n{} = {}\n", key.name, i64::MAX);
                let at = place(&long, "9223");
                all.push((long, at, "at most 3155760000 (a hundred years)"));
            }
        }
    }
    all
}

/// What people write.
fn by_hand() -> Vec<Broken> {
    const FILES: &[(&str, (usize, usize), &str)] = &[
        ("[server\n", (1, 8), ""),
        ("server]\n", (1, 7), ""),
        ("[limits]\ncost_usd_per_day = nan\n", (2, 20), "an amount in USD"),
        ("[limits]\ncost_usd_per_day = inf\n", (2, 20), "an amount in USD"),
        ("[limits]\ncost_usd_per_day = '5'\n", (2, 20), "an amount in USD"),
        ("[limits]\ncost_usd_per_day = -1\n", (2, 20), "an amount in USD"),
        ("[agents]\nmax_running\n", (2, 12), ""),
        ("[agents]\nmax_running = \n", (2, 15), ""),
        ("[agents]\nmax_running = 3\nmax_running = 4\n", (3, 1), "duplicate"),
        ("[agents]\n[agents]\n", (2, 2), "duplicate"),
        ("[logging]\nlevel = 'info\n", (2, 14), ""),
        ("[logging]\nlevel = info\n", (2, 9), ""),
        ("[logging]\nlevel = \"in\\qfo\"\n", (2, 13), ""),
        ("[sevrer]\n", (1, 2), "unknown section `sevrer`; did you mean `server`?"),
        ("[agent]\n", (1, 2), "did you mean `agents`?"),
        ("[tls]\ncert = 'x'\n", (1, 2), "unknown section `tls`"),
        ("level = 'info'\n", (1, 1), "unknown section `level`"),
        ("agents = 3\n", (1, 10), "should be a section, not 3"),
        ("[[agents]]\n", (1, 1), "should be a section"),
        ("[logging]\nLevel = 'info'\n", (2, 1), "did you mean `level`?"),
        ("[logging]\nlevel = 'loud'\n", (2, 9), "\"loud\""),
        ("[logging]\nlevel = 3\n", (2, 9), "not 3"),
        ("[logging]\nstdout = 'yes'\n", (2, 10), "true or false"),
        ("[logging]\nstdout = 1\n", (2, 10), "true or false"),
        ("[logging]\nformat = 'xml'\n", (2, 10), "\"xml\""),
        ("[logging]\nfile = 'here.log'\n", (2, 8), "an absolute path"),
        ("[logging]\nfile = ''\n", (2, 8), "an absolute path"),
        ("[agents]\nmax_running = -1\n", (2, 15), "0 or more"),
        ("[agents]\nmax_running = 0\n", (2, 15), "1 or more, not 0"),
        ("[agents]\nmax_running = '7'\n", (2, 15), "0 or more"),
        ("[agents]\nmax_running = 99999999999999999999\n", (2, 15), "too large"),
        ("[agents]\nmax_running = [7]\n", (2, 15), "not an array"),
        ("[agents]\nmax_running = { is = 7 }\n", (2, 15), "not a table"),
        ("[agents]\ndefault_dir = 'here'\n", (2, 15), "an absolute path"),
        ("[agents]\ndefault_backend = ''\n", (2, 19), "a text"),
        ("[agents]\ndefault_backend = 7\n", (2, 19), "a text"),
        ("[agents]\non_shutdown = 'keep'\n", (2, 1), "unknown key `on_shutdown`"),
        ("[server]\nrequest_timeout_secs = 0\n", (2, 24), "1 or more"),
        ("[server]\nmax_connections = 0\n", (2, 19), "1 or more"),
        ("[pool]\nmax_size = 0\n", (2, 12), "1 or more"),
        ("[pool]\nmin_size = true\n", (2, 12), "a whole number"),
        ("[store]\ndurability = 'disk'\n", (2, 14), "\"disk\""),
        ("[approvals]\nmode = 'sometimes'\n", (2, 8), "\"sometimes\""),
        ("[approvals]\ndefault = 'maybe'\n", (2, 11), "\"maybe\""),
        ("[approvals]\ndeadline_secs = 0\n", (2, 17), "from 1 to 43200"),
        ("[chats]\nstall_secs = 43201\n", (2, 14), "from 1 to 43200"),
        ("[chats]\nidle_stop_secs = 0\n", (2, 18), "from 1 to 43200"),
        ("[backends]\nmine = 7\n", (2, 8), "a section"),
        ("[backends.\"a b\"]\ncommand = ['x']\n", (1, 11), "letters"),
        ("[backends.claude]\ncommand = ['x']\n", (1, 11), "claude-code"),
        ("[backends.mine]\ncommand = []\n", (2, 11), "a program"),
        ("[backends.mine]\ncommand = 'bin/x'\n", (2, 11), "a program"),
        ("[backends.mine]\ncomand = 'x'\n", (2, 1), "did you mean `command`?"),
        ("[backends.mine]\ncommand = 'x'\ndialect = 'french'\n", (3, 11), "one that there is"),
        ("[backends.mine]\ncommand = 'x'\nenv = ['A']\n", (3, 7), "a table of texts"),
        ("[backends.mine]\ncommand = 'x'\nenv = { A = 1 }\n", (3, 7), "a table of texts"),
        ("[backends.mine]\ncommand = 'x'\npass_env = ['A*B']\n", (3, 12), "names of variables"),
        ("[backends.mine]\ncommand = 'x'\npass_env = ['A B']\n", (3, 12), "names of variables"),
        ("[backends.mine]\ncommand = 'x'\npass_env = ['A=B']\n", (3, 12), "names of variables"),
        ("[backends.mine]\ncommand = 'x'\nrunner = 'farm'\n", (3, 10), "one that there is"),
        ("[backends.mine]\ncapabilities = 7\n", (2, 16), "a table"),
        ("[backends.mine.capabilities]\nturn = true\n", (2, 1), "did you mean `turns`?"),
        ("[backends.mine.capabilities]\nturns = 'yes'\n", (2, 9), "true or false"),
    ];
    FILES.iter().map(|(file, place, reason)| ((*file).to_owned(), *place, *reason)).collect()
}

#[test]
fn a_hundred_broken_files_are_refused_with_line_column_and_reason() {
    let mut all = by_hand();
    all.extend(of_every_key());
    all.extend(of_every_member());
    assert!(all.len() >= 100, "{} files", all.len());
    let wrong = |(file, (line, column), reason): &Broken| {
        let refused = refusal(file);
        let (code, told) = (refused.code() as u8, refused.to_string());
        let place = format!("daemon.toml:{line}:{column}: ");
        let right = code == 78 && told.contains(&place) && told.contains(reason);
        (!right).then(|| format!("{file}{code} {told}"))
    };
    let wrong: Vec<_> = all.iter().filter_map(wrong).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

fn refusal(file: &str) -> Failure {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("daemon.toml");
    std::fs::write(&path, file).unwrap();
    let flags = Flags { config: Some(path), ..Flags::default() };
    Config::load(&flags, &Surroundings::default()).expect_err(file).into()
}

#[test]
fn a_file_that_is_none_is_refused_too() {
    let dir = tempfile::tempdir().unwrap();
    let of = |path| Flags { config: Some(path), ..Flags::default() };
    let load = |path| Config::load(&of(path), &Surroundings::default());
    // The last one has no end.
    for path in [dir.path().to_owned(), dir.path().join("nothing.toml"), "/dev/zero".into()] {
        let failure = Failure::from(load(path).unwrap_err());
        assert_eq!(failure.code() as u8, 78, "{failure}");
    }
    let binary = dir.path().join("binary.toml");
    for (bytes, told) in [
        (&b"\xff\xfe[\0"[..], "binary.toml:1:1: the file is UTF-16"),
        (b"# \xc3\xa4\n[logging] # \xe4\n", "binary.toml:2:13: a byte that is not of UTF-8"),
    ] {
        std::fs::write(&binary, bytes).unwrap();
        let failure = Failure::from(load(binary.clone()).unwrap_err());
        assert_eq!(failure.code() as u8, 78);
        assert!(failure.to_string().contains(told), "{failure}");
    }
    // What is right is not refused.
    assert!(Case::file("").load().0.is_ok());
}

#[test]
fn of_what_is_very_long_the_beginning_is_repeated() {
    let long = "a".repeat(1_000_000);
    for (file, at) in [
        (format!("[agents]\n{long} = 1\n"), "2:1: unknown key `aaa"),
        (format!("[{long}]\n"), "1:2: unknown section `aaa"),
        (format!("[agents]\nmax_running = '{long}'\n"), "2:15: `agents.max_running` should be"),
        (format!("[backends.{long}]\n"), "1:11: `backends` should be called by"),
        (format!("[backends]\n{long} = 1\n"), "`backends.aaa"),
    ] {
        let told = refusal(&file).to_string();
        assert!(told.contains(at) && told.contains('…') && told.len() < 1000, "{}", told.len());
    }
}

#[test]
fn what_is_wrong_with_a_secret_is_told_with_its_place_and_not_repeated() {
    const GOOD: &str = "a secret of more than thirty-two bytes";
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("daemon.toml");
    let flags = Flags { config: Some(path.clone()), ..Flags::default() };
    let short = dir.path().join("short");
    std::fs::write(&short, "short\n").unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(&short, mode).unwrap();
    let short = short.display();
    for (file, code, at, why) in [
        ("jwt_secret = 'sh0rt'\n".to_owned(), 77, "2:14: `auth.jwt_secret`", "at least"),
        ("api_key = 'change-me-change-me'\n".to_owned(), 77, "2:11: `auth.api_key`", "placeholder"),
        (
            format!("jwt_secret_file = '/nowhere'\njwt_secret = '{GOOD}'\n"),
            78,
            "3:14: `auth.jwt_secret`",
            "are both set",
        ),
        ("\napi_key_file = '/nowhere'\n".to_owned(), 78, "3:16: ", "`auth.api_key_file`, /nowhere"),
        (format!("jwt_secret_file = '{short}'\n"), 77, "2:19: `auth.jwt_secret`", "at least"),
    ] {
        std::fs::write(&path, format!("[auth]\n{file}")).unwrap();
        let config = Config::load(&flags, &Surroundings::default()).expect("it can be read");
        let refused = Failure::from(config.secrets().expect_err(&file));
        let told = refused.to_string();
        assert_eq!(refused.code() as u8, code, "{told}");
        assert!(told.contains(&format!("daemon.toml:{at}")) && told.contains(why), "{told}");
        assert!(!told.contains("sh0rt") && !told.contains("change-me") && !told.contains(GOOD));
    }
}
