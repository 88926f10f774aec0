//! Traces of the real daemon, as a collector of our own gets them.
#![expect(clippy::unwrap_used, reason = "a helper of a test fails by panicking")]

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value::Value};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, Span, span::SpanKind};
use prost::Message;
use rustix::process::{Pid, Signal, kill_process};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned, crypto::ring};
use serde_json::{Value as Json, json};

const DAEMON: &str = env!("CARGO_BIN_EXE_descartes-daemon");
/// In every place that is no span's business.
const CANARY: &str = "canary-5d20e7";
const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const CALLER: &str = "00f067aa0ba902b7";
/// How long a machine with much to do may take for anything.
const PATIENCE: Duration = Duration::from_secs(60);

#[track_caller]
fn eventually(what: &str, mut settled: impl FnMut() -> bool) {
    let began = Instant::now();
    while !settled() {
        assert!(began.elapsed() < PATIENCE, "not in time: {what}");
        thread::park_timeout(Duration::from_millis(20));
    }
}

/// A request as a collector gets it.
struct Taken {
    head: String,
    body: Vec<u8>,
}

/// A collector on this machine, until the test ends.
struct Collector {
    address: SocketAddr,
    taken: Arc<Mutex<Vec<Taken>>>,
}

impl Collector {
    /// One that answers with these codes, and 200 from then on; with none of them it never answers.
    fn start(codes: Option<&'static [u16]>, tls: Option<Arc<ServerConfig>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (address, taken) = (listener.local_addr().unwrap(), Arc::default());
        let all: Arc<Mutex<Vec<Taken>>> = Arc::clone(&taken);
        thread::spawn(move || {
            let mut left_open = Vec::new();
            for stream in listener.incoming() {
                let stream = stream.unwrap();
                let Some(codes) = codes else {
                    left_open.push(stream);
                    continue;
                };
                let code = codes.get(all.lock().unwrap().len()).copied().unwrap_or(200);
                let request = match &tls {
                    None => serve(stream, code),
                    Some(config) => {
                        let tls = ServerConnection::new(Arc::clone(config)).unwrap();
                        serve(StreamOwned::new(tls, stream), code)
                    }
                };
                // Somebody who connects and goes away is none of ours.
                if let Ok(request) = request {
                    all.lock().unwrap().push(request);
                }
            }
        });
        Self { address, taken }
    }

    fn requests(&self) -> usize {
        self.taken.lock().unwrap().len()
    }
}

/// Reads one request and answers it.
fn serve(mut stream: impl Read + Write, code: u16) -> io::Result<Taken> {
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).unwrap();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
    let mut body = vec![0; length.parse().unwrap()];
    stream.read_exact(&mut body)?;
    write!(stream, "HTTP/1.1 {code} X\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")?;
    stream.flush()?;
    Ok(Taken { head, body })
}

/// What a collector shows, and the file that believes it.
fn identity(home: &Path) -> (Arc<ServerConfig>, String) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let file = home.join("collector.pem");
    fs::write(&file, made.cert.pem()).unwrap();
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
    let builder = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let config = builder
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    (Arc::new(config), file.to_str().unwrap().to_owned())
}

struct Daemon {
    home: tempfile::TempDir,
    child: Child,
    http: String,
}

impl Daemon {
    #[track_caller]
    fn start(home: tempfile::TempDir, env: &[(&str, &str)]) -> Self {
        let log = fs::File::create(home.path().join("log")).unwrap();
        let mut command = Command::new(DAEMON);
        command.env_clear().env("HOME", home.path()).stdin(Stdio::null());
        for port in ["HTTP", "WS", "ZMQ", "PUB", "METRICS"] {
            let value = if port == "HTTP" { "0" } else { "off" };
            command.env(format!("DESCARTES_SERVER__{port}_PORT"), value);
        }
        // Tests may run in a container, where loopback is not trusted by itself.
        command.env("DESCARTES_AUTH__TRUST_LOOPBACK", "true").env("RUST_LOG", "trace");
        command.envs(env.iter().copied()).current_dir(home.path());
        command.stdout(log.try_clone().unwrap()).stderr(log);
        let child = command.spawn().unwrap();
        let mut daemon = Self { home, child, http: String::new() };
        let told = daemon.home.path().join(".local/share/descartes/run/endpoints.json");
        eventually("it is ready", || {
            assert!(daemon.child.try_wait().unwrap().is_none(), "{}", daemon.log());
            let text = fs::read(&told).unwrap_or_default();
            let told: Json = serde_json::from_slice(&text).unwrap_or_default();
            daemon.http = told["http"].as_str().unwrap_or_default().replace("http://", "");
            !daemon.http.is_empty()
        });
        daemon
    }

    fn log(&self) -> String {
        fs::read_to_string(self.home.path().join("log")).unwrap()
    }

    /// Calls a method within the trace of [`CALLER`]; the answer, whatever it is.
    #[track_caller]
    fn call(&self, method: &str, params: &Json) -> Json {
        self.post(&json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}))
    }

    #[track_caller]
    fn post(&self, message: &Json) -> Json {
        let body = message.to_string();
        let mut stream = TcpStream::connect(&self.http).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        write!(
            stream,
            "POST / HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\nConnection: close\r\n\
             traceparent: 00-{TRACE}-{CALLER}-01\r\ntracestate: vendor=1\r\n\
             Content-Length: {}\r\n\r\n{body}",
            self.http,
            body.len()
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (_, body) = answer.split_once("\r\n\r\n").unwrap();
        serde_json::from_str(body).unwrap()
    }

    /// Tells it to end; how long it took.
    #[track_caller]
    fn stop(&mut self) -> Duration {
        let began = Instant::now();
        kill_process(Pid::from_child(&self.child), Signal::TERM).unwrap();
        let mut status = None;
        eventually("it ends", || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        assert!(status.unwrap().success(), "{}", self.log());
        began.elapsed()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // It has ended, unless the test fails.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn text(attributes: &[KeyValue], name: &str) -> String {
    let found = attributes.iter().find(|attribute| attribute.key == name);
    match found.and_then(|attribute| attribute.value.as_ref()?.value.as_ref()) {
        Some(Value::StringValue(text)) => text.clone(),
        Some(Value::IntValue(number)) => number.to_string(),
        Some(other) => panic!("{name} is {other:?}"),
        None => String::new(),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The spans of all requests that were taken.
fn spans(all: &[ResourceSpans]) -> Vec<Span> {
    let scopes = all.iter().flat_map(|of| &of.scope_spans);
    scopes.flat_map(|scope| scope.spans.clone()).collect()
}

#[track_caller]
fn named<'a>(spans: &'a [Span], name: &str) -> Vec<&'a Span> {
    let found: Vec<_> = spans.iter().filter(|span| span.name == name).collect();
    let names: BTreeSet<_> = spans.iter().map(|span| &span.name).collect();
    assert!(!found.is_empty(), "no {name}: {names:?}");
    found
}

/// What is done in the first test: a turn with a tool, one that fails, a process, a call that fails.
#[track_caller]
fn work(daemon: &Daemon) -> Vec<String> {
    let chat = daemon.call(
        "chat.create",
        &json!({"backend": "basic", "model": "m-1", "approvals": "allow_all",
                "system_prompt": CANARY, "env": {"SECRET": CANARY}}),
    );
    let session = chat["result"]["session_id"].as_str().unwrap_or_else(|| panic!("{chat}"));
    for prompt in ["run", "fail"] {
        let prompt = format!("{prompt} {CANARY}");
        let params = json!({"session_id": session, "prompt": prompt, "wait": true});
        let said = daemon.call("chat.prompt", &params);
        assert!(said["result"]["outcome"].is_string(), "{said}");
    }
    let config = json!({"command": ["/usr/bin/env"], "env": {"SECRET": CANARY}});
    let params = json!({"agent_type": "process", "name": "ada", "config": config});
    let spawned = daemon.call("agent.spawn", &params);
    let agent = spawned["result"]["agent_id"].as_str().unwrap_or_else(|| panic!("{spawned}"));
    let ended = daemon.call("agent.wait", &json!({"agent_id": agent}));
    assert_eq!(ended["result"]["exit"]["code"], 0, "{ended}");
    let unknown = daemon.call(&format!("no.{CANARY}"), &json!({}));
    assert_eq!(unknown["error"]["code"], -32601);
    let logs = daemon.call("agent.logs", &json!({"agent_id": agent}));
    let lines = logs["result"]["logs"].as_array().unwrap().iter();
    lines.map(|line| line["message"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn agents_tools_and_calls_are_spans_of_their_callers_trace_and_say_no_secret() {
    let home = tempfile::tempdir().unwrap();
    let (tls, believed) = identity(home.path());
    // The first request is refused for the moment, and made again.
    let collector = Collector::start(Some(&[503]), Some(tls));
    let endpoint = format!("https://localhost:{}", collector.address.port());
    let headers = format!("authorization=Bearer%20{CANARY}");
    let mut daemon = Daemon::start(
        home,
        &[
            ("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint),
            ("OTEL_EXPORTER_OTLP_CERTIFICATE", &believed),
            ("OTEL_EXPORTER_OTLP_HEADERS", &headers),
            ("OTEL_RESOURCE_ATTRIBUTES", "team=blue%2Cgreen"),
        ],
    );
    let environment = work(&daemon);
    // What has ended last is sent last; what comes behind it at the end of the daemon has two seconds.
    eventually("the collector has the last call's span", || {
        let taken = collector.taken.lock().unwrap();
        let last = b"agent.logs";
        taken[1.min(taken.len())..]
            .iter()
            .any(|it| it.body.windows(last.len()).any(|at| at == last))
    });
    daemon.stop();

    let taken = collector.taken.lock().unwrap();
    assert_eq!(taken[0].body, taken[1].body, "what was refused is sent again");
    let mut all = Vec::new();
    for request in &taken[1..] {
        assert!(request.head.starts_with("POST /v1/traces HTTP/1.1\r\n"), "{}", request.head);
        assert!(request.head.contains("content-type: application/x-protobuf\r\n"));
        assert!(request.head.contains(&format!("authorization: Bearer {CANARY}\r\n")));
        let body = String::from_utf8_lossy(&request.body);
        assert!(!body.contains(CANARY), "a secret is in a span");
        let sent = ExportTraceServiceRequest::decode(&*request.body).unwrap();
        all.extend(sent.resource_spans);
    }
    let resource = &all[0].resource.as_ref().unwrap().attributes;
    assert_eq!(text(resource, "service.name"), "descartes-daemon");
    assert_eq!(text(resource, "team"), "blue,green");
    let spans = spans(&all);
    for span in &spans {
        assert_eq!(hex(&span.trace_id), TRACE, "{}", span.name);
        assert_eq!(span.trace_state, "vendor=1", "{}", span.name);
        assert!(span.start_time_unix_nano <= span.end_time_unix_nano, "{}", span.name);
    }
    calls_are_below_their_caller(&spans);
    turns_and_tools(&spans);
    // A program is below the span of its run.
    let [run] = named(&spans, "invoke_agent ada")[..] else { panic!("one run") };
    let parent = format!("TRACEPARENT=00-{TRACE}-{}-01", hex(&run.span_id));
    assert!(environment.contains(&parent), "{parent}: {environment:?}");
    assert!(environment.iter().any(|line| line == "TRACESTATE=vendor=1"), "{environment:?}");

    let log = daemon.log();
    assert!(log.contains("traces are sent"), "{log}");
    assert!(!log.contains(CANARY), "a secret is in the log");
}

#[track_caller]
fn calls_are_below_their_caller(spans: &[Span]) {
    for name in ["chat.create", "agent.spawn", "jsonrpc"] {
        let [call] = named(spans, name)[..] else { panic!("one {name}") };
        assert_eq!(call.kind(), SpanKind::Server);
        assert_eq!(hex(&call.parent_span_id), CALLER);
        assert_eq!(text(&call.attributes, "rpc.system.name"), "jsonrpc");
        assert_eq!(text(&call.attributes, "descartes.transport"), "http");
    }
    let unknown = named(spans, "jsonrpc")[0];
    assert_eq!(text(&unknown.attributes, "rpc.method"), "_OTHER");
    assert_eq!(text(&unknown.attributes, "rpc.response.status_code"), "-32601");
    assert_eq!(text(&unknown.attributes, "error.type"), "-32601");
    let spawn = named(spans, "agent.spawn")[0];
    assert_eq!(text(&spawn.attributes, "rpc.method"), "agent.spawn");
    for below in ["create_agent ada", "invoke_agent ada"] {
        assert_eq!(named(spans, below)[0].parent_span_id, spawn.span_id, "{below}");
    }
}

#[track_caller]
fn turns_and_tools(spans: &[Span]) {
    let prompts = named(spans, "chat.prompt");
    let [done, failed] = named(spans, "invoke_agent basic")[..] else { panic!("two turns") };
    for (turn, outcome, error) in [(done, "completed", ""), (failed, "failed", "model_error")] {
        assert_eq!(turn.kind(), SpanKind::Client);
        assert!(prompts.iter().any(|prompt| prompt.span_id == turn.parent_span_id));
        let attribute = |name| text(&turn.attributes, name);
        assert_eq!(attribute("gen_ai.operation.name"), "invoke_agent");
        assert_eq!(attribute("gen_ai.provider.name"), "basic");
        assert_eq!(attribute("gen_ai.agent.name"), "basic");
        assert_eq!(attribute("gen_ai.request.model"), "m-1");
        assert_eq!(attribute("gen_ai.agent.id").len(), 36);
        assert_eq!(attribute("gen_ai.conversation.id").len(), 36);
        assert_eq!((&*attribute("descartes.outcome"), &*attribute("error.type")), (outcome, error));
    }
    let [tool] = named(spans, "execute_tool run")[..] else { panic!("one tool") };
    assert_eq!((&tool.parent_span_id, tool.kind()), (&done.span_id, SpanKind::Internal));
    let attribute = |name| text(&tool.attributes, name);
    assert_eq!(attribute("gen_ai.operation.name"), "execute_tool");
    assert_eq!(attribute("gen_ai.tool.name"), "run");
    assert_eq!(attribute("gen_ai.tool.type"), "function");
    assert!(!attribute("gen_ai.tool.call.id").is_empty());
    assert!(done.start_time_unix_nano <= tool.start_time_unix_nano);
    assert!(tool.end_time_unix_nano <= done.end_time_unix_nano);
}

#[test]
fn a_collector_that_never_answers_costs_spans_and_nothing_else() {
    let collector = Collector::start(None, None);
    let endpoint = format!("http://{}", collector.address);
    let env = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", &*endpoint),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "60000"),
        ("RUST_LOG", "info"),
    ];
    let mut daemon = Daemon::start(tempfile::tempdir().unwrap(), &env);
    let call = |id| json!({"jsonrpc": "2.0", "id": id, "method": "system.health"});
    let calls: Vec<Json> = (0..50).map(call).collect();
    // More than wait at once: what is too many is dropped, and the calls are answered.
    for _ in 0..80 {
        let answered = daemon.post(&json!(calls));
        assert_eq!(answered.as_array().unwrap().len(), calls.len());
    }
    // One attempt may take a minute here; the end waits for it for a moment only.
    let took = daemon.stop();
    assert!(took < Duration::from_secs(30), "{took:?}: {}", daemon.log());
    let log = daemon.log();
    assert!(log.contains("did not take the last spans in time"), "{log}");
    assert!(log.contains("were dropped"), "{log}");
}

#[test]
fn nothing_is_sent_where_the_environment_says_so() {
    let collector = Collector::start(Some(&[]), None);
    let endpoint = format!("http://{}", collector.address);
    for more in [("OTEL_SDK_DISABLED", "true"), ("OTEL_TRACES_SAMPLER", "always_off")] {
        let env = [("OTEL_EXPORTER_OTLP_ENDPOINT", &*endpoint), more];
        let mut daemon = Daemon::start(tempfile::tempdir().unwrap(), &env);
        assert_eq!(daemon.call("system.health", &json!({}))["result"]["status"], "healthy");
        daemon.stop();
    }
    assert_eq!(collector.requests(), 0);
}
