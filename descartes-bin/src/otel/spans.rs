//! What happens to agents and calls, as spans in the words of the semantic conventions 1.41.0: for
//! generative AI (`docs/gen-ai/gen-ai-agent-spans.md`, `gen-ai-spans.md`), for JSON-RPC
//! (`docs/rpc/json-rpc.md`), for errors (`docs/general/recording-errors.md`). Names that begin with
//! `descartes.` are ours.
//!
//! Prompts, answers, arguments and results are in none: the conventions leave them out unless
//! somebody wants them, and here nobody can. What has no bound is cut or left out.

use std::borrow::Cow;
use std::str::FromStr;

use descartes_core::event::Usage;
use descartes_core::tally::tool_kind;
use descartes_core::trace::{Actor, End, TraceContext, TraceSpan, Tracer, Work};
use descartes_rpc::tracer::Called;
use opentelemetry::trace::{
    Span as _, SpanBuilder, SpanContext, SpanId, SpanKind, Status, TraceContextExt, TraceFlags,
    TraceId, TraceState, Tracer as _,
};
use opentelemetry::{Context, InstrumentationScope, KeyValue};
use opentelemetry_sdk::trace::{SdkTracer, Span};

/// Characters of a name that a program or a caller has made up; the rest is cut.
const NAME_CHARS: usize = 128;
/// Characters of the identifier of a use of a tool; a longer one is left out.
const CALL_ID_CHARS: usize = 128;

/// Begins spans.
#[derive(Debug)]
pub(super) struct Spans(SdkTracer);

/// A span that has begun.
struct Open {
    span: Span,
    is_call: bool,
}

/// What made the spans.
pub(super) fn scope() -> InstrumentationScope {
    InstrumentationScope::builder("descartes")
        .with_version(env!("CARGO_PKG_VERSION"))
        .with_schema_url("https://opentelemetry.io/schemas/1.41.0")
        .build()
}

impl Spans {
    pub(super) const fn new(tracer: SdkTracer) -> Self {
        Self(tracer)
    }

    /// The span of a call (`docs/rpc/json-rpc.md`, server span). What no method is called is a text
    /// of its caller's and told nobody, where the conventions would have `rpc.method_original`.
    pub(super) fn call(
        &self,
        called: &Called,
        parent: Option<&TraceContext>,
    ) -> Box<dyn TraceSpan> {
        let attributes = vec![
            KeyValue::new("rpc.system.name", "jsonrpc"),
            KeyValue::new("rpc.method", called.method.unwrap_or("_OTHER")),
            KeyValue::new("jsonrpc.protocol.version", "2.0"),
            KeyValue::new("descartes.transport", called.transport),
        ];
        let builder = self
            .0
            .span_builder(called.method.unwrap_or("jsonrpc"))
            .with_kind(SpanKind::Server)
            .with_attributes(attributes);
        self.open(builder, parent, true)
    }

    /// Begins the span; only a call's parent is somebody else's.
    fn open(
        &self,
        builder: SpanBuilder,
        parent: Option<&TraceContext>,
        is_call: bool,
    ) -> Box<dyn TraceSpan> {
        let above =
            parent.map(|parent| Context::new().with_remote_span_context(told(parent, is_call)));
        let span = self.0.build_with_context(builder, &above.unwrap_or_default());
        Box::new(Open { span, is_call })
    }
}

impl Tracer for Spans {
    fn begin(&self, work: &Work<'_>, parent: Option<&TraceContext>) -> Box<dyn TraceSpan> {
        let builder = match work {
            Work::Create(actor) => self.agent("create_agent", actor),
            Work::Invoke(actor) => self.agent("invoke_agent", actor),
            Work::Tool { name, id } => self.tool(name, id),
            // What comes later in core is shown when somebody says how.
            _ => self.0.span_builder("descartes"),
        };
        self.open(builder, parent, false)
    }
}

impl Spans {
    /// `create_agent` and `invoke_agent`: agents run in processes of their own, so we are clients.
    fn agent(&self, operation: &'static str, actor: &Actor<'_>) -> SpanBuilder {
        let name = cut(actor.name);
        let mut attributes = vec![
            KeyValue::new("gen_ai.operation.name", operation),
            KeyValue::new("gen_ai.provider.name", provider(actor.backend)),
            KeyValue::new("gen_ai.agent.id", actor.id.to_string()),
            KeyValue::new("gen_ai.agent.name", name.clone()),
            KeyValue::new("descartes.backend", actor.backend.to_owned()),
        ];
        let chat = actor.chat.map(|chat| chat.to_string());
        attributes.extend(chat.map(|chat| KeyValue::new("gen_ai.conversation.id", chat)));
        let model = actor.model.map(cut);
        attributes.extend(model.map(|model| KeyValue::new("gen_ai.request.model", model)));
        self.0
            .span_builder(format!("{operation} {name}"))
            .with_kind(SpanKind::Client)
            .with_attributes(attributes)
    }

    /// `execute_tool`: the agent's program runs it, on this machine or by asking a server of tools.
    fn tool(&self, name: &str, id: &str) -> SpanBuilder {
        let kind = tool_kind(name);
        // Where a program has no name for it, what it says is a title, of what it is about to do.
        let name = if is_name(name) { Cow::Owned(cut(name)) } else { Cow::Borrowed(kind) };
        let mut attributes = vec![
            KeyValue::new("gen_ai.operation.name", "execute_tool"),
            KeyValue::new("gen_ai.tool.name", name.to_string()),
            KeyValue::new("gen_ai.tool.type", if kind == "mcp" { "extension" } else { "function" }),
            KeyValue::new("descartes.tool.kind", kind),
        ];
        if id.chars().count() <= CALL_ID_CHARS {
            attributes.push(KeyValue::new("gen_ai.tool.call.id", id.to_owned()));
        }
        self.0
            .span_builder(format!("execute_tool {name}"))
            .with_kind(SpanKind::Internal)
            .with_attributes(attributes)
    }
}

impl TraceSpan for Open {
    fn context(&self) -> Option<TraceContext> {
        heard(self.span.span_context())
    }

    fn end(mut self: Box<Self>, end: &End<'_>) {
        if self.span.is_recording() {
            if !self.is_call {
                let outcome = KeyValue::new("descartes.outcome", end.outcome.to_owned());
                self.span.set_attribute(outcome);
            }
            if let Some(error) = end.error {
                self.span.set_attribute(KeyValue::new("error.type", error.to_owned()));
                if self.is_call {
                    let code = KeyValue::new("rpc.response.status_code", error.to_owned());
                    self.span.set_attribute(code);
                }
                self.span.set_status(Status::error(end.outcome.to_owned()));
            }
            self.span.set_attributes(end.usage.map(used).unwrap_or_default());
        }
        self.span.end();
    }
}

/// What models were used for (`gen-ai-spans.md`), as far as programs tell.
fn used(usage: &Usage) -> Vec<KeyValue> {
    let numbers = [
        ("gen_ai.usage.input_tokens", usage.input_tokens),
        ("gen_ai.usage.cache_read.input_tokens", usage.cached_tokens),
        ("gen_ai.usage.output_tokens", usage.output_tokens),
    ];
    let numbers = numbers.into_iter().filter_map(|(name, number)| Some((name, number?)));
    let mut used: Vec<_> = numbers
        .map(|(name, number)| KeyValue::new(name, i64::try_from(number).unwrap_or(i64::MAX)))
        .collect();
    used.extend(usage.cost_usd.map(|cost| KeyValue::new("descartes.cost_usd", cost)));
    used
}

/// Whose models a backend is for, in the words of the conventions; one that is for many is its own.
fn provider(backend: &str) -> String {
    let known = match backend {
        "claude-code" => "anthropic",
        "codex" => "openai",
        "gemini" | "gemini-run" => "gcp.gemini",
        other => other,
    };
    known.to_owned()
}

/// Whether a program's word for a tool is a name.
fn is_name(name: &str) -> bool {
    let is_of_name = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.:/".contains(&byte);
    !name.is_empty() && name.bytes().all(is_of_name)
}

fn cut(name: &str) -> String {
    name.chars().take(NAME_CHARS).collect()
}

fn told(context: &TraceContext, is_remote: bool) -> SpanContext {
    let flags = if context.is_sampled() { TraceFlags::SAMPLED } else { TraceFlags::NOT_SAMPLED };
    let state = context.state().and_then(|state| TraceState::from_str(state).ok());
    let (trace, span) = (TraceId::from(context.trace()), SpanId::from(context.parent()));
    SpanContext::new(trace, span, flags, is_remote, state.unwrap_or_default())
}

fn heard(context: &SpanContext) -> Option<TraceContext> {
    let trace = u128::from_be_bytes(context.trace_id().to_bytes());
    let span = u64::from_be_bytes(context.span_id().to_bytes());
    let state = context.trace_state().header();
    TraceContext::new(trace, span, context.is_sampled(), Some(&state))
}
