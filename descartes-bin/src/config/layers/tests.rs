mod broken;

use std::path::PathBuf;

#[cfg(feature = "zmq")]
use super::super::Endpoint;
use super::super::{BackendConfig, Config, ConfigError, FEATURES, Flags, Surroundings, Variables};
#[cfg(feature = "http")]
use super::super::{Durability, LogLevel, Port};

struct Case {
    file: &'static str,
    env: &'static [(&'static str, &'static str)],
    flags: Flags,
}

impl Case {
    fn file(file: &'static str) -> Self {
        Self { file, env: &[], flags: Flags::default() }
    }

    fn env(env: &'static [(&'static str, &'static str)]) -> Self {
        Self { file: "", env, flags: Flags::default() }
    }

    fn load(self) -> (Result<Config, ConfigError>, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("daemon.toml");
        std::fs::write(&path, self.file).unwrap();
        let flags = Flags { config: Some(path.clone()), ..self.flags };
        (Config::load(&flags, &Surroundings::with(self.env)), path)
    }

    #[track_caller]
    fn config(self) -> Config {
        self.load().0.unwrap()
    }

    /// The message, with the file called `daemon.toml`.
    #[track_caller]
    fn refusal(self) -> String {
        let (result, path) = self.load();
        result.unwrap_err().to_string().replace(path.to_str().unwrap(), "daemon.toml")
    }
}

#[test]
#[cfg(feature = "http")]
fn an_origin_that_no_browser_sends_is_refused() {
    for origin in [
        "*",
        "null",
        "console.example",
        "https://console.example/",
        "https://console.example:443",
        "http://console.example:80",
        "https://*.example",
        "://console.example",
        "https://",
    ] {
        let env = Surroundings::with(&[("DESCARTES_SERVER__ALLOWED_ORIGINS", origin)]);
        let refused = Config::load(&Flags::default(), &env).expect_err(origin).to_string();
        assert!(refused.contains("should be an array of origins"), "{refused}");
    }
    let file = "[server]\nallowed_origins = [\"https://console.example\", \"http://[::1]:3000\"]\n";
    let origins = Case::file(file).config().server.allowed_origins;
    assert_eq!(origins.0, ["https://console.example", "http://[::1]:3000"]);
}

#[test]
#[cfg(feature = "http")]
fn a_host_that_no_request_names_is_refused() {
    for host in ["*", "https://a.example", "a b", "a.example/", "a.example:x", ":80", "[::1", "::1"]
    {
        let env = Surroundings::with(&[("DESCARTES_SERVER__ALLOWED_HOSTS", host)]);
        let refused = Config::load(&Flags::default(), &env).expect_err(host).to_string();
        assert!(refused.contains("should be an array of names of hosts"), "{refused}");
    }
    let file = "[server]\nallowed_hosts = ['a.example', 'b_c.:8443', '10.0.0.1', '[fd00::1]:80']\n";
    let hosts = Case::file(file).config().server.allowed_hosts;
    assert_eq!(hosts.0, ["a.example", "b_c.:8443", "10.0.0.1", "[fd00::1]:80"]);
}

#[test]
fn a_backend_that_is_given_to_those_who_name_none_is_there() {
    for section in ["agents", "chats"] {
        let with = |more: &str| Case::file(format!("[{section}]\ndefault_backend = {more}").leak());
        let refused = with("'nosuch'\n").refusal();
        let expected = format!("daemon.toml:2:19: `{section}.default_backend` should be one that ");
        assert!(refused.starts_with(&expected) && refused.contains("codex"), "{refused}");
        for fine in ["'basic'\n", "'claude'\n", "'mine'\n[backends.mine]\ncommand = 'x'\n"] {
            with(fine).config();
        }
    }
}

#[test]
#[cfg(feature = "http")]
fn each_layer_wins_over_the_one_before() {
    let file = "[server]\nhttp_port = 1001\nrequest_timeout_secs = 5\n[logging]\nlevel = 'warn'\n";
    let config = Case::file(file).config();
    assert_eq!(config.server.http_port, Port::Number(1001));
    assert_eq!(config.server.request_timeout_secs, 5);

    const ENV: &[(&str, &str)] = &[
        ("DESCARTES_SERVER__HTTP_PORT", "1002"),
        ("DESCARTES_STORE__DURABILITY", "power"),
        ("DESCARTES_RUNTIME_DIR", "/somewhere"),
    ];
    let config = Case { env: ENV, ..Case::file(file) }.config();
    assert_eq!(config.server.http_port, Port::Number(1002));
    assert_eq!(config.store.durability, Durability::Power);
    assert_eq!(config.server.request_timeout_secs, 5);

    let flags = Flags { http_port: Some("0".into()), verbose: true, ..Flags::default() };
    let config = Case { env: ENV, flags, ..Case::file(file) }.config();
    assert_eq!(config.server.http_port, Port::Number(0));
    assert_eq!(config.logging.level, LogLevel::Debug);
}

#[test]
fn mistakes_are_refused_with_their_place_and_the_nearest_name() {
    let table: &[(&'static str, &str)] = &[
        ("[sevrer]\n", "daemon.toml:1:2: unknown section `sevrer`; did you mean `server`?"),
        (
            "[logging]\n  levle = 'info'\n",
            "daemon.toml:2:3: unknown key `levle`; did you mean `level`?",
        ),
        ("[logging]\ncolour = true\n", "daemon.toml:2:1: unknown key `colour`"),
        (
            "[agents]\nmax_running = 'many'\n",
            "daemon.toml:2:15: `agents.max_running` should be a whole number, 0 or more, not \"many\"",
        ),
        (
            "[agents]\nmax_running = 0\n",
            "daemon.toml:2:15: `agents.max_running` should be 1 or more, not 0",
        ),
        (
            "[agents]\ndefault_dir = 'here'\n",
            "daemon.toml:2:15: `agents.default_dir` should be an absolute path, not \"here\"",
        ),
        ("agents = 3\n", "daemon.toml:1:10: `agents` should be a section, not 3"),
    ];
    for (file, message) in table {
        assert_eq!(Case::file(file).refusal(), *message, "{file}");
    }
    assert!(Case::file("[server\n").refusal().starts_with("daemon.toml:1:"), "syntax has a place");
}

#[test]
fn mistakes_in_the_environment_name_the_variable() {
    let table: &[(&'static [(&'static str, &'static str)], &str)] = &[
        (
            &[("DESCARTES_LOGGING__LEVLE", "info")],
            "DESCARTES_LOGGING__LEVLE in the environment: unknown key `levle`; \
             did you mean `level`?",
        ),
        (
            &[("DESCARTES_LOGING__LEVEL", "info")],
            "DESCARTES_LOGING__LEVEL in the environment: unknown section `loging`; \
             did you mean `logging`?",
        ),
        (
            &[("DESCARTES_LOGGING__STDOUT", "yes")],
            "DESCARTES_LOGGING__STDOUT in the environment: `logging.stdout` should be \
             true or false, not \"yes\"",
        ),
    ];
    for (env, message) in table {
        assert_eq!(Case::env(env).refusal(), *message);
    }
}

#[test]
#[cfg(feature = "http")]
fn a_bind_beyond_loopback_is_refused_for_safety() {
    let (result, _) = Case::file("[server]\nhttp_addr = '0.0.0.0'\n").load();
    let error = result.unwrap_err();
    assert!(error.is_safety(), "{error}");
    assert!(error.to_string().contains("daemon.toml:2:13: refusing to listen on 0.0.0.0"));

    let ws = Case::file("[server]\nws_addr = '0.0.0.0'\n").load().0.unwrap_err();
    assert!(ws.is_safety(), "{ws}");

    let off = "[server]\nhttp_addr = '0.0.0.0'\nhttp_port = 'off'\nws_port = 'off'\n";
    let off = Case::file(off);
    #[cfg(any(feature = "unix", feature = "zmq"))]
    assert!(off.load().0.is_ok(), "an address that nobody listens on harms nobody");
    #[cfg(not(any(feature = "unix", feature = "zmq")))]
    assert!(matches!(off.load().0, Err(ConfigError::Unreachable)));
}

#[test]
#[cfg(not(feature = "http"))]
fn a_transport_that_was_left_out_is_refused_with_its_feature() {
    let message = Case::file("[server]\nhttp_port = 8080\n").refusal();
    assert_eq!(
        message,
        "daemon.toml:2:13: `server.http_port` needs the cargo feature `http`, \
         which this build does not have"
    );
    assert!(Case::file("[server]\nhttp_port = 'off'\n").load().0.is_ok());
}

#[test]
#[cfg(not(feature = "unix"))]
fn a_socket_that_was_left_out_is_refused_with_its_feature() {
    let message = Case::file("[server]\nunix_socket = '/x'\n").refusal();
    assert_eq!(
        message,
        "daemon.toml:2:15: `server.unix_socket` needs the cargo feature `unix`, \
         which this build does not have"
    );
}

#[test]
#[cfg(feature = "zmq")]
fn zeromq_beyond_loopback_is_refused_for_safety_too() {
    for file in ["[server]\nzmq_addr = '0.0.0.0'\n", "[server]\npub_addr = '::'\n"] {
        let error = Case::file(file).load().0.unwrap_err();
        assert!(error.is_safety(), "{error}");
    }
    let off = "[server]\nzmq_addr = '0.0.0.0'\nzmq_port = 'off'\n";
    assert!(Case::file(off).load().0.is_ok());
}

#[test]
#[cfg(feature = "zmq")]
fn ports_are_chosen_by_whoever_names_them() {
    const ENV: &[(&str, &str)] = &[("DESCARTES_SERVER__PUB_PORT", "19480")];
    let flags = Flags { zmq_port: Some("5555".into()), ..Flags::default() };
    let config = Case { env: ENV, flags, file: "" }.config();
    assert_eq!(config.chosen_ports, ["pub_port", "zmq_port"].into());
}

#[test]
#[cfg(feature = "zmq")]
fn remotes_are_read_from_every_layer() {
    const ENV: &[(&str, &str)] = &[
        ("DESCARTES_REMOTES__FARM__LOST_AFTER_SECS", "60"),
        ("DESCARTES_REMOTES__FARM__AUTO_RECONNECT", "false"),
        ("DESCARTES_REMOTES__FARM__MAX_RECONNECT_ATTEMPTS", "0"),
        ("DESCARTES_REMOTES__LAB__ENDPOINT", "ipc:///run/lab"),
    ];
    let file = "[remotes.farm]\nendpoint = 'tcp://farm:5555'\nrequest_timeout_secs = 7\n\
                queue_path = '/var/queue'\nmax_queue_size = 2\n";
    let config = Case { env: ENV, ..Case::file(file) }.config();
    let farm = &config.remotes["farm"];
    assert_eq!(farm.endpoint, Some(Endpoint("tcp://farm:5555".into())));
    assert_eq!((farm.request_timeout_secs.0, farm.lost_after_secs), (7, 60));
    assert_eq!(farm.heartbeat_interval_secs.0, 30, "the default");
    assert_eq!((farm.auto_reconnect, farm.max_reconnect_attempts), (false, 0));
    assert_eq!(
        (farm.max_queue_size.0, farm.queue_path.as_deref()),
        (2, Some("/var/queue".as_ref()))
    );
    assert_eq!(config.remotes["lab"].endpoint, Some(Endpoint("ipc:///run/lab".into())));
}

#[test]
#[cfg(feature = "zmq")]
fn mistakes_in_remotes_are_refused_with_their_place() {
    let table: &[(&'static str, &str)] = &[
        ("[remotes.x]\nendpiont = 'a'\n", "2:1: unknown key `endpiont`; did you mean `endpoint`?"),
        (
            "[remotes.x]\nendpoint = 'http://x'\n",
            "2:12: `remotes.x.endpoint` should be tcp://HOST:PORT, or ipc:// and an absolute \
             path, not \"http://x\"",
        ),
        (
            "[remotes.x]\nendpoint = 'tcp://x:1'\nlost_after_secs = 1\nheartbeat_interval_secs = 0\n",
            "4:27: `remotes.x.heartbeat_interval_secs` should be a whole number from 1 to 43200, not 0",
        ),
        (
            "[remotes.x]\nendpoint = 'tcp://x:1'\nmax_queue_size = 100001\n",
            "3:18: `remotes.x.max_queue_size` should be a whole number from 1 to 100000, not 100001",
        ),
        (
            "[remotes.x]\nendpoint = 'tcp://x:1'\nqueue_path = 'queue'\n",
            "3:14: `remotes.x.queue_path` should be an absolute path, not \"queue\"",
        ),
        (
            "[remotes.x]\nendpoint = 'tcp://x:1'\ntoken_file = 't'\n",
            "3:14: `remotes.x.token_file` should be an absolute path, not \"t\"",
        ),
        ("[remotes.x]\nlost_after_secs = 1\n", "1:10: `remotes.x` needs `endpoint`"),
        ("[remotes]\nx = 1\n", "2:5: `remotes.x` should be a section, not 1"),
        (
            "[remotes.'a b']\n",
            "1:10: `remotes` should be called by letters, digits, `-`, `_` and `.`, at most 64, \
             and not as a backend, not \"a b\"",
        ),
        (
            "[remotes.basic]\n",
            "1:10: `remotes` should be called by letters, digits, `-`, `_` and `.`, at most 64, \
             and not as a backend, not \"basic\"",
        ),
    ];
    for (file, message) in table {
        assert_eq!(Case::file(file).refusal(), format!("daemon.toml:{message}"), "{file}");
    }
}

#[test]
#[cfg(not(feature = "zmq"))]
fn zeromq_that_was_left_out_is_refused_with_its_feature() {
    let table: &[(&'static str, &str)] = &[
        ("[server]\npub_port = 0\n", "2:12: `server.pub_port`"),
        ("[remotes.x]\nendpoint = 'tcp://x:1'\n", "1:10: `remotes.x`"),
    ];
    for (file, what) in table {
        let message = format!(
            "daemon.toml:{what} needs the cargo feature `zmq`, which this build does not have"
        );
        assert_eq!(Case::file(file).refusal(), message);
    }
    assert!(Case::file("[server]\nzmq_port = 'off'\n").load().0.is_ok());
}

#[test]
fn backends_are_read_from_every_layer_and_every_key_counts() {
    const ENV: &[(&str, &str)] = &[
        ("DESCARTES_BACKENDS__MINE__PASS_ENV", "MY_*,OTHER"),
        ("DESCARTES_BACKENDS__MINE__CAPABILITIES__CANCEL", "false"),
        ("DESCARTES_BACKENDS__PLAIN__COMMAND", "tool"),
    ];
    let file = "[backends.mine]\ncommand = ['/opt/agent', '--stdio', '']\ndialect = 'acp'\n\
                runner = 'process'\nenv = { KEY = 'secret', EMPTY = '' }\n\
                [backends.mine.capabilities]\nturns = true\nresume = true\napprovals = false\n\
                pause = false\nmodels = ['a', 'b']\n\
                [backends.claude-code]\ncapabilities.cancel = false\n";
    let config = Case { env: ENV, ..Case::file(file) }.config();
    let mine = config.backends["mine"].backend("mine", None).expect("it can be");
    let can = mine.capabilities();
    assert_eq!((can.turns, can.resume, can.approvals, can.cancel), (true, true, false, false));
    assert_eq!((&**mine.name(), mine.runner()), ("mine", None));
    let BackendConfig { command, env, pass_env, capabilities, .. } = &config.backends["mine"];
    assert_eq!(command.as_ref().expect("a command").0, ["/opt/agent", "--stdio", ""]);
    assert_eq!((&*env.0["KEY"], &*env.0["EMPTY"]), ("secret", ""));
    assert_eq!(
        (&pass_env.0[..], &capabilities.models[..]),
        (&text(["MY_*", "OTHER"])[..], &text(["a", "b"])[..])
    );
    let plain = &config.backends["plain"];
    assert_eq!(plain.command.as_ref().expect("a command").0, ["tool"], "a program, never split");
    assert!(!plain.backend("plain", None).expect("it can be").has_turns());
    let claude = config.backends["claude-code"].backend("claude-code", None).expect("it can be");
    assert!(claude.has_turns() && !claude.capabilities().cancel, "the rest stays");
}

fn text<const N: usize>(words: [&str; N]) -> [String; N] {
    words.map(str::to_owned)
}

#[test]
fn mistakes_in_backends_are_refused_with_their_place() {
    let table: &[(&'static str, &str)] = &[
        ("[backends.x]\ncomand = 'a'\n", "2:1: unknown key `comand`; did you mean `command`?"),
        (
            "[backends.x.capabilities]\ntrns = true\n",
            "2:1: unknown key `trns`; did you mean `turns`?",
        ),
        (
            "[backends.x]\ncapabilities = 3\n",
            "2:16: `backends.x.capabilities` should be a table, not 3",
        ),
        (
            "[backends.x]\ncommand = './x'\n",
            "2:11: `backends.x.command` should be a program (a name, or an absolute path), or an \
             array of one and its arguments, not \"./x\"",
        ),
        (
            "[backends.x]\nenv = ['A']\n",
            "2:7: `backends.x.env` should be a table of texts in the file, their names without \
             `=`, not what it is",
        ),
        (
            "[backends.x]\npass_env = ['A*B']\n",
            "2:12: `backends.x.pass_env` should be an array of names of variables, or of \
             beginnings such as \"MY_*\", not an array",
        ),
        (
            "[backends.x]\ndialect = 'klingon'\n",
            "2:11: `backends.x.dialect` should be one that there is (acp, claude, codex, \
             codex-exec, gemini, line-talk, opencode, lines), not \"klingon\"",
        ),
        (
            "[backends.x]\nrunner = 'farm'\n",
            "2:10: `backends.x.runner` should be one that there is (process), not \"farm\"",
        ),
        (
            "[backends.x.capabilities]\nturns = true\n",
            "2:9: `backends.x.capabilities.turns` should be false or absent: the dialect `lines` \
             cannot, not true",
        ),
        (
            "[backends.basic]\ncommand = 'x'\n",
            "2:11: `backends.basic.command` should be absent: that of `basic` cannot be changed, \
             not \"x\"",
        ),
        (
            "[backends.claude]\n",
            "1:11: `backends` should be called by letters, digits, `-`, `_` and `.`, at most 64, \
             and one that is known by its first name (`claude-code`), not \"claude\"",
        ),
    ];
    for (file, message) in table {
        assert_eq!(Case::file(file).refusal(), format!("daemon.toml:{message}"), "{file}");
    }
    let env = Case::env(&[("DESCARTES_BACKENDS__X__ENV", "A=b")]).refusal();
    assert!(env.contains("`backends.x.env` should be a table of texts in the file"), "{env}");
}

#[test]
#[cfg(feature = "zmq")]
fn a_backend_may_be_started_by_a_remote_and_inherits_nothing_there() {
    const FARM: &str = "[remotes.farm]\nendpoint = 'tcp://farm:5555'\n";
    let with = |more: &str| Case::file(format!("{FARM}{more}").leak());
    let config = with("[backends.x]\ncommand = 'x'\nrunner = 'farm'\n").config();
    let backend = config.backends["x"].backend("x", None).expect("it can be");
    assert_eq!((config.backends["x"].remote(), backend.runner()), (Some("farm"), Some("farm")));
    let table = [
        (
            "[backends.x]\nrunner = 'farm'\npass_env = ['A']\n",
            "5:12: `backends.x.pass_env` should be absent: nothing is inherited from here at \
             `farm`, not an array",
        ),
        (
            "[backends.x]\nrunner = 'fram'\n",
            "4:10: `backends.x.runner` should be one that there is (process, farm), not \"fram\"",
        ),
        (
            "[backends.farm]\n",
            "3:11: `backends.farm` should be called otherwise than a remote, not \"farm\"",
        ),
    ];
    for (more, message) in table {
        assert_eq!(with(more).refusal(), format!("daemon.toml:{message}"), "{more}");
    }
    let known = Case::file("[remotes.codex]\nendpoint = 'tcp://x:1'\n").refusal();
    assert!(known.contains("and not as a backend"), "{known}");
}

#[test]
#[cfg(feature = "zmq")]
fn the_configuration_of_the_guide_is_one() {
    let guide = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/backends.md");
    let guide = std::fs::read_to_string(guide).expect("the guide");
    let file = guide.split("```toml\n").nth(1).and_then(|rest| rest.split("```").next());
    let remote = "[remotes.gpu]\nendpoint = 'tcp://gpu:5555'\n";
    let file = format!("{}{remote}", file.expect("a configuration"));
    let config = Case::file(file.leak()).config();
    assert_eq!(config.backends.keys().collect::<Vec<_>>(), ["claude-code", "mine", "trainer"]);
}

#[test]
fn what_is_printed_reads_back_as_the_same() {
    let file = "[agents]\nmax_running = 7\ndefault_backend = 'my.own'\n\
                [backends.'my.own']\ncommand = ['x', \"a 'b'\"]\nenv = { 'A.B' = '\"' }\n\
                pass_env = ['C*']\ncapabilities = { pause = true, models = ['m'] }\n\
                [backends.codex]\n";
    #[cfg(feature = "zmq")]
    let file = &*format!(
        "{file}[remotes.'build.farm']\nendpoint = 'tcp://farm:5555'\nlost_after_secs = 5\n\
         queue_path = '/q'\nenable_heartbeat = false\n"
    )
    .leak();
    let config = Case::file(file).config();
    assert_eq!(config.agents.default_backend.as_deref(), Some("my.own"));

    let printed = config.to_toml();
    assert!(printed.contains("# env is set, and not shown") && !printed.contains("A.B"));
    let again = Case::file(Box::leak(printed.into_boxed_str())).config();
    // Whoever writes everything down has chosen everything.
    let doors = config.server.ports();
    let built = doors.iter().filter(|door| FEATURES.contains(&door.feature));
    let chosen_ports = built.map(|door| door.port_key).collect();
    let mut config = Config { file: None, chosen_ports, ..config };
    config.backends.get_mut("my.own").expect("it is there").env = Variables::default();
    assert_eq!(Config { file: None, ..again }, config);
}

#[test]
fn a_named_file_must_exist() {
    let flags = Flags { config: Some("/nowhere/daemon.toml".into()), ..Flags::default() };
    let error = Config::load(&flags, &Surroundings::default()).unwrap_err();
    assert!(matches!(error, ConfigError::Unreadable { .. }));
}

#[test]
fn money_has_a_fraction_or_none_and_is_printed_as_it_is() {
    for (written, usd) in
        [("2", 2.0), ("0", 0.0), ("0.5", 0.5), ("1_000.25", 1000.25), ("1e300", 1e300)]
    {
        let file = format!("[limits]\ncost_usd_per_day = {written}\n");
        let config = Case::file(file.leak()).config();
        assert_eq!(config.limits.cost_usd_per_day.map(|read| read.0), Some(usd), "{written}");
        let again = Case::file(config.to_toml().leak()).config();
        assert_eq!(again.limits, config.limits, "{written}");
    }
}
