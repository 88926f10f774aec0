use super::*;
use crate::config::{Flags, Surroundings};

#[test]
fn each_transport_has_the_bounds_that_are_configured() {
    let env = [
        ("LIMITS__CALLS_PER_CONNECTION", "11"),
        ("LIMITS__WAITS_PER_CONNECTION", "12"),
        ("LIMITS__SUBSCRIPTIONS_PER_CONNECTION", "13"),
        ("LIMITS__NEWCOMERS", "14"),
        ("SERVER__MAX_CONNECTIONS_PER_ADDRESS", "15"),
        ("POOL__IDLE_TIMEOUT_SECS", "16"),
    ];
    let env = env.map(|(key, value)| (format!("DESCARTES_{key}"), value.to_owned()));
    let dir = tempfile::tempdir().unwrap();
    let data = ("XDG_DATA_HOME".to_owned(), dir.path().to_str().unwrap().to_owned());
    let surroundings = Surroundings { env: env.into_iter().chain([data]).collect() };
    let flags = Flags { config: Some("/dev/null".into()), ..Flags::default() };
    let config = Config::load(&flags, &surroundings).unwrap();
    let directories = Directories::find(None, &surroundings).unwrap();
    let ground = Ground {
        config: &config,
        directories: &directories,
        connections: Arc::new(Semaphore::new(1)),
        auth: descartes_rpc::auth::Authenticator::default(),
        trust_loopback: false,
        scrape: crate::metrics::Scrape::default(),
        meter: Meter::default(),
        drain: Duration::from_secs(17),
        closing: CancellationToken::new(),
        given: &Given::default(),
    };
    let places = || places::Places { tcp: None, given: None, ipc: None };
    let http = http::config(&ground, "127.0.0.1:0".parse().unwrap()).unwrap();
    let (zmq, publisher) = (zmq::config(&ground, places()), publish::config(&ground, places()));
    let unix = unix::config(&ground);
    for limits in [http.options.limits.websocket, zmq.limits, unix.limits] {
        assert_eq!((limits.calls, limits.waits, limits.subscriptions), (11, 12, 13));
    }
    let newcomers = [http.options.limits.newcomers, zmq.newcomers, publisher.newcomers];
    assert_eq!(newcomers, [14; 3]);
    let of_http = http.options.limits.connections_per_address;
    let per_address = [of_http, zmq.connections_per_address, publisher.connections_per_address];
    assert_eq!(per_address, [15; 3]);
    assert_eq!(http.options.limits.idle_timeout, Duration::from_secs(16));
    let drains = [http.options.limits.drain, zmq.drain, publisher.drain, unix.drain];
    assert_eq!(drains, [Duration::from_secs(17); 4]);
    assert!(!http.trust_loopback && !zmq.trust_loopback && !publisher.trust_loopback);
}
