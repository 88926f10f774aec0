//! Traces over fake agents: what becomes a span, below which, and what programs are told of it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use tokio::sync::{mpsc, oneshot};

use super::{End, TraceContext, TraceSpan, Tracer, Work};
use crate::agent::AgentSpec;
use crate::chat::ChatSpec;
use crate::dialect::{ApprovalMode, Prompt};
use crate::testing::{FakeChat, FakeRunner};
use crate::{Caller, Descartes, PromptRequest, WaitFor};

const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

/// Writes down each span when it ends: its number, that of the one above, what it was of, how it
/// ended.
#[derive(Clone, Default)]
struct Notes(Arc<(AtomicU64, Mutex<Vec<String>>)>);

struct Noted {
    notes: Notes,
    number: u64,
    above: u64,
    what: String,
}

impl Notes {
    fn taken(&self) -> Vec<String> {
        self.0.1.lock().expect("nobody panicked").clone()
    }
}

impl Tracer for Notes {
    fn begin(&self, work: &Work<'_>, parent: Option<&TraceContext>) -> Box<dyn TraceSpan> {
        let what = match work {
            Work::Create(actor) => format!("create {}", actor.name),
            Work::Invoke(actor) => format!("invoke {}", actor.name),
            Work::Tool { name, id } => format!("tool {name} {id}"),
        };
        let number = self.0.0.fetch_add(1, Ordering::Relaxed) + 1;
        let above = parent.map_or(0, TraceContext::parent);
        Box::new(Noted { notes: self.clone(), number, above, what })
    }
}

impl TraceSpan for Noted {
    fn context(&self) -> Option<TraceContext> {
        TraceContext::new(7, self.number, true, None)
    }

    fn end(self: Box<Self>, end: &End<'_>) {
        let Self { notes, number, above, what } = *self;
        let above = if above == caller().parent() { "caller".into() } else { above.to_string() };
        let error = end.error.map(|error| format!(" ({error})")).unwrap_or_default();
        let note = format!("{number} below {above}: {what}: {}{error}", end.outcome);
        notes.0.1.lock().expect("nobody panicked").push(note);
    }
}

fn caller() -> TraceContext {
    TraceContext::parse(PARENT, Some("vendor=1")).expect("it is fine")
}

fn me() -> Caller {
    Caller::new("me").within(Some(caller()))
}

async fn turn(host: &Descartes, chat: crate::chat::ChatId, text: &str) {
    let (done, result) = oneshot::channel();
    let request = PromptRequest::new(Prompt::text(text));
    host.chat_prompt(chat, request, &mut me(), Some(done)).await.expect("it is taken");
    result.await.expect("it ends");
}

#[tokio::test(start_paused = true)]
async fn a_turn_is_a_span_below_its_callers_and_its_tools_are_below_it() {
    let notes = Notes::default();
    let host = Descartes::builder()
        .runner(Arc::new(FakeChat::runner()))
        .backend(FakeChat::backend())
        .tracer(Arc::new(notes.clone()));
    let host = host.build().await.expect("it begins");
    let mut spec = ChatSpec::backend("fake");
    spec.agent.name = Some("ada".into());
    spec.agent.chat.approvals = Some(ApprovalMode::AllowAll);
    let chat = host.chat_create(spec, &mut me()).await.expect("a chat").record.id;
    turn(&host, chat, "write").await;
    turn(&host, chat, "die").await;
    let expected = [
        "2 below 1: tool write tool-1: ok",
        "1 below caller: invoke ada: completed",
        "3 below caller: invoke ada: interrupted (agent_crashed)",
    ];
    assert_eq!(notes.taken(), expected);
}

/// A host whose agents end at once, and what their environments were.
async fn host(tracer: Option<Notes>) -> (Descartes, mpsc::Receiver<BTreeMap<String, String>>) {
    let (send, environments) = mpsc::channel(8);
    let runner = FakeRunner::new(move |agent| {
        let send = send.clone();
        async move {
            let env = agent.launch.env.clone();
            send.send(env).await.expect("somebody looks");
            agent.exit(3).await;
        }
    });
    let mut builder = Descartes::builder().runner(Arc::new(runner));
    if let Some(tracer) = tracer {
        builder = builder.tracer(Arc::new(tracer));
    }
    (builder.build().await.expect("it begins"), environments)
}

#[tokio::test(start_paused = true)]
async fn a_program_belongs_to_its_callers_trace_and_to_the_span_of_its_run_where_there_is_one() {
    let notes = Notes::default();
    let spanned = "00-00000000000000000000000000000007-0000000000000002-01";
    for (tracer, parent, state) in
        [(None, PARENT, Some("vendor=1")), (Some(notes.clone()), spanned, None)]
    {
        let (host, mut environments) = host(tracer).await;
        let spec = AgentSpec::command(["x"]).named("ada");
        let (spawned, _) = host.spawn_with(spec, me()).await;
        let id = spawned.expect("it begins").record.id;
        let env = environments.recv().await.expect("it was started");
        assert_eq!((&*env["TRACEPARENT"], env.get("TRACESTATE").map(|it| &**it)), (parent, state));
        host.wait(id, WaitFor::Exit).await.expect("it ends");
        // The names of what the caller has set are shown; this is not the caller's.
        assert!(host.agent(id).expect("it is known").0.record.spec.env.is_empty());
    }
    let expected =
        ["1 below caller: create ada: running", "2 below caller: invoke ada: exited (exited)"];
    assert_eq!(notes.taken(), expected);
}

#[tokio::test(start_paused = true)]
async fn who_asks_outside_of_a_trace_and_who_sets_one_for_the_program_is_left_alone() {
    let (host, mut environments) = host(None).await;
    host.spawn(AgentSpec::command(["x"]), "me").await.expect("it begins");
    assert!(!environments.recv().await.expect("it was started").contains_key("TRACEPARENT"));
    let mut spec = AgentSpec::command(["x"]);
    spec.env.insert("TRACEPARENT".into(), "mine".into());
    let (spawned, _) = host.spawn_with(spec, me()).await;
    spawned.expect("it begins");
    let env = environments.recv().await.expect("it was started");
    assert_eq!((&*env["TRACEPARENT"], env.contains_key("TRACESTATE")), ("mine", false));
}
