//! No key without an effect: each is wired to a part of the daemon, or shown by a test that is named
//! here. What the parts make of it is shown by their own tests.

use std::path::Path;

use super::setting::Value;
use super::{Config, keys};

/// Keys whose effect is shown by a test of its own: the file, and the test.
const SHOWN: &[(&str, &str, &str)] = &[
    ("server.http_addr", LISTENING, "it_listens_at_each_address_that_it_is_told"),
    ("server.http_port", LISTENING, "a_taken_port_is_told_with_its_flag"),
    ("server.ws_addr", LISTENING, "it_listens_at_each_address_that_it_is_told"),
    ("server.ws_port", LISTENING, "it_listens_at_each_address_that_it_is_told"),
    ("server.zmq_addr", LISTENING, "it_listens_at_each_address_that_it_is_told"),
    ("server.zmq_port", LISTENING, "it_listens_at_each_address_that_it_is_told"),
    ("server.pub_addr", LISTENING, "it_listens_at_each_address_that_it_is_told"),
    ("server.pub_port", LISTENING, "it_listens_at_each_address_that_it_is_told"),
    ("server.unix_socket", LISTENING, "the_socket_is_where_and_for_whom_it_is_told"),
    ("server.unix_socket_group", LISTENING, "the_socket_is_where_and_for_whom_it_is_told"),
    (
        "server.max_connections",
        "tests/it/exhausted.rs",
        "connections_leave_descriptors_to_the_rest_of_the_daemon",
    ),
    (
        "server.max_connections_per_address",
        TRANSPORTS,
        "each_transport_has_the_bounds_that_are_configured",
    ),
    (
        "server.allowed_hosts",
        "tests/it/reload.rs",
        "good_changes_take_effect_and_no_connection_is_dropped",
    ),
    (
        "server.allowed_origins",
        "tests/it/reload.rs",
        "good_changes_take_effect_and_no_connection_is_dropped",
    ),
    (
        "server.enable_metrics",
        NUMBERS,
        "the_page_is_not_for_pages_of_browsers_and_can_be_turned_off",
    ),
    ("server.tls_cert", TLS, "both_ports_speak_it_and_the_files_are_read_anew_at_a_reload"),
    ("server.tls_key", TLS, "both_ports_speak_it_and_the_files_are_read_anew_at_a_reload"),
    ("server.metrics_addr", NUMBERS, "it_is_shown_at_its_own_address"),
    ("server.metrics_port", NUMBERS, "it_is_shown_at_its_own_address"),
    (
        "server.metrics_public",
        NUMBERS,
        "the_page_is_not_for_pages_of_browsers_and_can_be_turned_off",
    ),
    (
        "auth.enabled",
        KEYS_AND_TOKENS,
        "over_tcp_everybody_needs_credentials_and_the_sockets_owner_does_not",
    ),
    ("auth.jwt_secret", KEYS_AND_TOKENS, "a_start_that_would_not_be_safe_is_refused"),
    (
        "auth.jwt_secret_file",
        KEYS_AND_TOKENS,
        "over_tcp_everybody_needs_credentials_and_the_sockets_owner_does_not",
    ),
    ("auth.audience", KEYS_AND_TOKENS, "tokens_are_for_whom_and_last_as_long_as_is_configured"),
    (
        "auth.token_expiry_secs",
        KEYS_AND_TOKENS,
        "tokens_are_for_whom_and_last_as_long_as_is_configured",
    ),
    ("auth.api_key", KEYS_AND_TOKENS, "a_start_that_would_not_be_safe_is_refused"),
    (
        "auth.api_key_file",
        KEYS_AND_TOKENS,
        "over_tcp_everybody_needs_credentials_and_the_sockets_owner_does_not",
    ),
    ("auth.trust_loopback", "descartes-transport-http/tests/http/admission.rs", ""),
    ("pool.idle_timeout_secs", TRANSPORTS, "each_transport_has_the_bounds_that_are_configured"),
    ("logging.level", "tests/it/reload.rs", "the_signal_reloads_and_everybody_is_told"),
    ("logging.stdout", LISTENING, "logs_go_where_they_are_told_in_the_shape_that_is_told"),
    ("logging.file", LISTENING, "logs_go_where_they_are_told_in_the_shape_that_is_told"),
    ("logging.format", LISTENING, "logs_go_where_they_are_told_in_the_shape_that_is_told"),
    ("logging.rotate_bytes", LOGS, "the_file_is_put_aside_when_it_is_large_as_often_as_is_said"),
    ("logging.keep", LOGS, "the_file_is_put_aside_when_it_is_large_as_often_as_is_said"),
    (
        "limits.calls_per_connection",
        TRANSPORTS,
        "each_transport_has_the_bounds_that_are_configured",
    ),
    (
        "limits.waits_per_connection",
        TRANSPORTS,
        "each_transport_has_the_bounds_that_are_configured",
    ),
    (
        "limits.subscriptions_per_connection",
        TRANSPORTS,
        "each_transport_has_the_bounds_that_are_configured",
    ),
    ("limits.newcomers", TRANSPORTS, "each_transport_has_the_bounds_that_are_configured"),
];
const KEYS_AND_TOKENS: &str = "tests/it/credentials.rs";
const LISTENING: &str = "tests/it/start.rs";
const LOGS: &str = "tests/it/logging.rs";
const NUMBERS: &str = "tests/it/metrics.rs";
const TLS: &str = "tests/it/tls.rs";
const TRANSPORTS: &str = "descartes-bin/src/transports/tests.rs";

/// A value of every kind; each key takes one of them that is not its default.
fn values() -> Vec<Value> {
    let texts =
        ["/some/where", "debug", "json", "power", "deny", "allow", "basic", "off", "10.0.0.1"];
    let mut all = vec![Value::Integer(7), Value::Integer(0), Value::Bool(true), Value::Bool(false)];
    all.extend(texts.map(|text| Value::Text(text.to_owned())));
    all.push(Value::List(vec![Value::Text("https://a.example".to_owned())]));
    all
}

/// What a key is changed in: a burst is one of a rate.
fn before(key: &keys::Key) -> Config {
    let mut config = Config::default();
    config.limits.rate_per_second = (key.path() == "limits.burst").then_some(1000);
    config
}

fn changed(key: &keys::Key) -> Config {
    let default = before(key);
    let other = values().into_iter().find_map(|value| {
        let mut config = default.clone();
        let taken = (key.set)(&mut config, &value).is_ok() && !(key.same)(&config, &default);
        taken.then_some(config)
    });
    other.unwrap_or_else(|| panic!("no other value for {}", key.path()))
}

#[test]
fn every_key_has_an_effect_that_a_test_shows() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    for key in keys::KEYS {
        let path = key.path();
        let Some((_, file, test)) = SHOWN.iter().find(|(shown, ..)| *shown == path) else {
            let (mut config, before) = (changed(key), before(key));
            let default = crate::daemon::wired(&before);
            assert_ne!(crate::daemon::wired(&config), default, "{path} changes nothing");
            // And nothing but it does.
            (key.keep)(&mut config, &before);
            assert_eq!(crate::daemon::wired(&config), default, "{path}");
            continue;
        };
        let source = std::fs::read_to_string(root.join(file)).expect(file);
        assert!(source.contains(&format!("fn {test}")), "{path}: {file} has no test {test}");
    }
    for (path, ..) in SHOWN {
        assert!(keys::KEYS.iter().any(|key| key.path() == *path), "{path} is no key any more");
    }
}
