//! Keys and tokens: who gets in with them, who does not, and when that ends.

mod rotation;
mod tricks;
mod websocket;
mod zeromq;

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use crate::house::root;
use crate::readme::{Step, blocks, matches, session, steps};
use crate::rig::Caller;
use crate::rig::daemon::{Daemon, Setup};
use crate::rig::http::Reply;
use crate::rig::processes::eventually;
use crate::rig::websocket::WebSocket;

const SECRET: &str = "a secret of this test, of more than 32 bytes";
pub(crate) const API_KEY: &str = "a configured key of this test";
const CANARIES: [&str; 2] = [SECRET, API_KEY];

/// A daemon with authentication on, whose secrets are in files.
fn guarded() -> Daemon {
    guarded_as(Setup::new())
}

pub(crate) fn guarded_as(setup: Setup) -> Daemon {
    let setup = setup.config("[auth]\nenabled = true\n");
    let home = setup.home();
    let (secret, key) = (home.file("jwt", SECRET.as_bytes()), home.file("key", API_KEY.as_bytes()));
    for path in [&secret, &key] {
        fs::set_permissions(path, Permissions::from_mode(0o600)).expect("it is ours");
    }
    let files = format!(
        "jwt_secret_file = {:?}\napi_key_file = {:?}\n",
        secret.display().to_string(),
        key.display().to_string()
    );
    setup.config(&files).start()
}

fn ask(daemon: &Daemon, headers: &[(&str, &str)]) -> Reply {
    let call = br#"{"jsonrpc":"2.0","id":1,"method":"auth.whoami"}"#;
    let json = [&[("Content-Type", "application/json")], headers].concat();
    daemon.http().request("POST", "/", &json, call)
}

/// Who the daemon takes the bearer for; nothing where it is refused.
fn bearer(daemon: &Daemon, token: &str) -> Option<String> {
    let reply = ask(daemon, &[("Authorization", &format!("Bearer {token}"))]);
    match reply.status {
        200 => {
            let answer = reply.json();
            let name = answer["result"]["principal"].as_str();
            // What was good at the door may be over at the method.
            let over = answer["error"]["data"]["kind"] == "unauthenticated";
            assert!(name.is_some() || over, "{answer}");
            name.map(str::to_owned)
        }
        401 => None,
        other => panic!("{other}: {}", reply.text()),
    }
}

fn token(daemon: &Daemon, params: Value) -> String {
    let made = daemon.socket().ok("auth.token.create", params);
    made["token"].as_str().expect("a token").to_owned()
}

#[test]
fn a_key_or_token_that_is_over_makes_nobody_the_owner_where_none_is_needed() {
    let daemon = Daemon::start();
    let mut owner = daemon.socket();
    let made = owner.ok("auth.key.create", json!({"name": "v", "role": "viewer"}));
    let key = made["key"].as_str().expect("a key");
    assert_eq!(bearer(&daemon, key).as_deref(), Some("key:v"));
    owner.ok("auth.key.revoke", json!({"key_id": made["key_id"]}));
    let junk = URL_SAFE_NO_PAD.encode("{}");
    for bad in [key, &format!("{junk}.{junk}.{junk}"), "x"] {
        let field = ("Authorization", &*format!("Bearer {bad}"));
        assert_eq!(ask(&daemon, &[field]).status, 401, "{bad}");
        assert_eq!(daemon.http().request("GET", "/events", &[field], b"").status, 401, "{bad}");
        let mut socket = WebSocket::connect(daemon.http_address(), &[field])
            .unwrap_or_else(|reply| panic!("{}", reply.text()));
        assert_eq!((socket.next(), socket.code), (None, Some(4401)), "{bad}");
        assert_eq!(daemon.http().request("GET", "/health", &[field], b"").status, 200, "{bad}");
    }
    let whoami = ask(&daemon, &[]).json();
    assert_eq!(whoami["result"]["principal"], "local");
}

#[test]
fn over_tcp_everybody_needs_credentials_and_the_sockets_owner_does_not() {
    let daemon = guarded();
    let made = daemon.socket().ok("auth.key.create", json!({"name": "ci", "role": "viewer"}));
    let key = made["key"].as_str().expect("a key");
    let token = token(&daemon, json!({"sub": "ann", "scopes": ["agent:read"]}));
    for (credentials, principal) in [(key, "key:ci"), (&*token, "ann"), (API_KEY, "api_key")] {
        assert_eq!(bearer(&daemon, credentials).as_deref(), Some(principal));
        let reply = ask(&daemon, &[("X-API-Key", credentials)]);
        assert_eq!(reply.json()["result"]["principal"], principal);
    }
    let both: &[(&str, &str)] = &[("X-API-Key", key), ("Authorization", &format!("Bearer {key}"))];
    let basic: &[(&str, &str)] = &[("Authorization", "Basic YTpi")];
    for headers in [&[][..], &[("X-API-Key", "x")], both, basic] {
        let reply = ask(&daemon, headers);
        assert_eq!(reply.status, 401, "{headers:?}");
        assert_eq!(reply.header("www-authenticate"), Some("Bearer realm=\"descartes\""));
        assert_eq!(reply.json()["error"]["code"], -32001);
    }
    for path in ["/", "/events?topic=system", "/openrpc.json", "/agents/x/logs", "/nothing"] {
        assert_eq!(daemon.http().get(path).status, 401, "{path}");
    }
    assert_eq!(daemon.http().get("/health").text(), "OK");
    assert_eq!(daemon.http().get("/ready").text(), "READY");
    let who = daemon.socket().ok("auth.whoami", json!({}));
    assert_eq!((&who["principal"], &who["scopes"]), (&json!("local"), &json!(["*"])));

    // What a role does not have is refused as such, and not as a stranger.
    let mut socket = daemon.socket();
    assert_eq!(socket.ok("auth.login", json!({"token": key}))["principal"], "key:ci");
    let refused = socket.refused("forbidden", "system.shutdown", json!({}));
    assert_eq!(refused["data"]["required"], "admin");
}

#[test]
fn a_revoked_key_is_over_at_once_and_a_token_when_its_time_is() {
    let daemon = guarded();
    let mut owner = daemon.socket();
    let made = owner.ok("auth.key.create", json!({"name": "ci", "scopes": ["*"]}));
    let (key, id) = (made["key"].as_str().expect("a key"), &made["key_id"]);
    let mut socket = daemon.socket();
    socket.ok("auth.login", json!({"token": key}));
    owner.ok("auth.key.revoke", json!({"key_id": id}));
    assert_eq!(bearer(&daemon, key), None);
    assert_eq!(socket.line(), None, "its connection ends");

    let token = token(&daemon, json!({"sub": "ann", "scopes": ["agent:read"], "ttl_secs": 2}));
    let mut socket = daemon.socket();
    let login = socket.call("auth.login", json!({"token": token}));
    eventually("the token is over", || bearer(&daemon, &token).is_none());
    // A machine may be so slow that it was over before.
    if login.is_ok() {
        assert_eq!(socket.line(), None, "its connection ends");
    }
}

#[test]
fn what_was_made_and_revoked_is_known_after_a_restart() {
    let daemon = Setup::new().config("[auth]\nenabled = true\n").start();
    let mut owner = daemon.socket();
    let mut key = |name| {
        let made = owner.ok("auth.key.create", json!({"name": name, "role": "viewer"}));
        (made["key"].as_str().expect("a key").to_owned(), made["key_id"].clone())
    };
    let ((kept, _), (revoked, id)) = (key("kept"), key("revoked"));
    let make = || token(&daemon, json!({"sub": "ann", "role": "viewer"}));
    let (kept_token, revoked_token) = (make(), make());
    owner.ok("auth.key.revoke", json!({"key_id": id}));
    owner.ok("auth.token.revoke", json!({"token": revoked_token}));
    let made = daemon.home.data().join("secrets/jwt_secret");
    let mode = fs::metadata(&made).expect("a secret was made").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let home = daemon.kill9();
    let daemon = Setup::at(&home).config("[auth]\nenabled = true\n").start();
    for (credentials, known) in
        [(kept, true), (kept_token, true), (revoked, false), (revoked_token, false)]
    {
        assert_eq!(bearer(&daemon, &credentials).is_some(), known, "{credentials}");
    }
}

#[test]
fn secrets_are_in_no_log_journal_configuration_or_command_line() {
    let daemon = guarded();
    let made = daemon.socket().ok("auth.key.create", json!({"name": "ci", "scopes": ["*"]}));
    let key = made["key"].as_str().expect("a key").to_owned();
    let token = token(&daemon, json!({"sub": "ann", "scopes": ["*"]}));
    for credentials in [&*key, &token, API_KEY, &format!("{API_KEY}x"), &token[1..]] {
        drop(bearer(&daemon, credentials));
        drop(daemon.socket().call("auth.login", json!({"token": credentials})));
    }
    let config = daemon.home.path().join("daemon.toml");
    let mut command = daemon.home.command("descartes-daemon");
    let printed = command.arg("--print-config").arg("--config").arg(config).output();
    let printed = String::from_utf8(printed.expect("it runs").stdout).expect("text");
    assert!(printed.contains("[auth]\nenabled = true\n"), "{printed}");
    let cmdline = fs::read_to_string(format!("/proc/{}/cmdline", daemon.number())).expect("ours");
    let (ended, home) = daemon.stop();
    let secret = key.rsplit_once('_').expect("a key has parts").1;
    let hidden = [CANARIES[0], CANARIES[1], secret, token.rsplit_once('.').expect("parts").1];
    for canary in hidden {
        assert!(!printed.contains(canary) && !cmdline.contains(canary));
        assert!(!ended.log.contains(canary), "{}", ended.log);
        for path in files(&home.data()) {
            let content = fs::read(&path).expect("it is ours");
            let found = content.windows(canary.len()).any(|window| window == canary.as_bytes());
            assert!(!found, "{}", path.display());
        }
    }
}

fn files(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    let mut all = Vec::new();
    for entry in fs::read_dir(folder).expect("it is ours") {
        let path = entry.expect("it is ours").path();
        if path.is_dir() { all.extend(files(&path)) } else { all.push(path) }
    }
    all
}

#[test]
fn a_start_that_would_not_be_safe_is_refused() {
    let long = "x".repeat(40);
    for (config, flags, code) in [
        ("[server]\nhttp_addr = \"0.0.0.0\"\n", vec![], 77),
        ("[server]\nzmq_addr = \"0.0.0.0\"\n", vec!["--zmq-port=0"], 77),
        ("[auth]\njwt_secret = \"short\"\n", vec![], 77),
        ("[auth]\njwt_secret = \"change-me-in-production-please-now\"\n", vec![], 77),
        ("", vec!["--jwt-secret=your-secret-key-your-secret-key-!!"], 77),
        ("[auth]\napi_key = \"short\"\n", vec![], 77),
        ("[auth]\njwt_secret_file = \"/etc/passwd\"\n", vec![], 77),
        ("[auth]\njwt_secret_file = \"/nowhere/at/all\"\n", vec![], 78),
        ("[auth]\ntoken_expiry_secs = 0\n", vec![], 78),
    ] {
        let mut setup = Setup::new().config(config);
        for flag in &flags {
            setup = setup.flag(flag);
        }
        let ended = setup.try_start().err().unwrap_or_else(|| panic!("{config} {flags:?} started"));
        assert_eq!(ended.status.code(), Some(code), "{config} {flags:?}: {}", ended.log);
    }
    let daemon = Setup::new().flag("--enable-auth").flag(&format!("--jwt-secret={long}"));
    let daemon = daemon.config("[server]\nhttp_addr = \"0.0.0.0\"\n").start();
    assert!(daemon.log().contains("--jwt-secret"), "{}", daemon.log());
    let port = daemon.http_address().port();
    let near = format!("127.0.0.1:{port}").parse().expect("an address");
    assert_eq!(crate::rig::http::Http::connect(near).get("/").status, 401);
}

#[test]
fn every_command_of_the_guide_gives_what_it_shows() {
    let daemon = Setup::new().config("[auth]\nenabled = true\n").start();
    let guide = fs::read_to_string(root().join("docs/authentication.md")).expect("a guide");
    let guide = guide.replace("localhost:8080", &daemon.http_address().to_string());
    let steps: Vec<Step> = blocks(&guide, "console").iter().flat_map(|b| steps(b)).collect();
    assert!(steps.len() > 10, "the guide has a session");
    let run: Vec<&Step> = steps.iter().collect();
    for (step, printed) in run.iter().zip(session(&daemon.home, &run)) {
        let (command, shown) = (&step.command, &step.shown);
        // Who looks at a page does not see spaces at the end of a line.
        let printed = printed.replace(" \n", "\n");
        assert!(matches(shown, &printed), "$ {command}\n{printed}--- shown is:\n{shown}");
    }
}

#[test]
fn tokens_are_for_whom_and_last_as_long_as_is_configured() {
    let setup = Setup::new();
    let secret = setup.home().file("jwt", SECRET.as_bytes());
    fs::set_permissions(&secret, Permissions::from_mode(0o600)).expect("it is ours");
    let file = format!("jwt_secret_file = {:?}\n", secret.display().to_string());
    let said = format!("[auth]\n{file}audience = 'others'\ntoken_expiry_secs = 77\n");
    let daemon = setup.config(&said).start();
    let token = token(&daemon, json!({"sub": "ann", "scopes": ["agent:read"]}));
    let claims = token.split('.').nth(1).expect("a token has three parts");
    let claims = URL_SAFE_NO_PAD.decode(claims).expect("base64url");
    let claims: Value = serde_json::from_slice(&claims).expect("JSON");
    assert_eq!(claims["aud"], "others", "{claims}");
    let age = claims["exp"].as_u64().expect("a time") - claims["iat"].as_u64().expect("a time");
    assert_eq!(age, 77, "{claims}");
}
