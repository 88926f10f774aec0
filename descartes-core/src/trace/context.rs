//! The context of a trace, as the W3C writes it (Trace Context, level 1,
//! <https://www.w3.org/TR/trace-context-1/>).

use std::fmt;
use std::sync::Arc;

use crate::limits::TRACE_STATE_BYTES;

/// Where in a trace something was asked for: the trace, the span above, and what vendors add. Cheap
/// to clone.
///
/// ```
/// use descartes_core::trace::TraceContext;
///
/// let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
/// let context = TraceContext::parse(parent, Some("vendor=1")).expect("it is well-formed");
/// assert_eq!((context.to_string().as_str(), context.state()), (parent, Some("vendor=1")));
/// assert!(TraceContext::parse("00-0-0-0", None).is_none());
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceContext(Arc<Inner>);

#[derive(Debug, PartialEq, Eq)]
struct Inner {
    trace: u128,
    parent: u64,
    sampled: bool,
    state: Option<Box<str>>,
}

/// The length of a `traceparent` of version 00.
const LENGTH: usize = 55;
/// List members that a `tracestate` may have (section 3.3.1.1).
const MEMBERS: usize = 32;
/// Characters of a key and of a value of a `tracestate` (sections 3.3.1.3.1 and 3.3.1.3.2).
const PART: usize = 256;

impl TraceContext {
    /// This span of this trace; none when one of the two is 0, which stands for nothing. A `state`
    /// that is not well-formed is left out.
    #[must_use]
    pub fn new(trace: u128, parent: u64, sampled: bool, state: Option<&str>) -> Option<Self> {
        if trace == 0 || parent == 0 {
            return None;
        }
        let state = state.map(str::trim).filter(|state| is_state(state)).map(Into::into);
        Some(Self(Arc::new(Inner { trace, parent, sampled, state })))
    }

    /// Reads `traceparent` and `tracestate`; none when the first is not well-formed. The second is
    /// left out when it is not, or is longer than
    /// [`TRACE_STATE_BYTES`](crate::limits::TRACE_STATE_BYTES).
    #[must_use]
    pub fn parse(parent: &str, state: Option<&str>) -> Option<Self> {
        let known = parent.get(..LENGTH)?;
        let behind = &parent[LENGTH..];
        let mut parts = known.split('-');
        let (version, trace) = (hex(parts.next()?, 2)?, hex(parts.next()?, 32)?);
        let (span, flags) = (hex(parts.next()?, 16)?, hex(parts.next()?, 2)?);
        // A later version may say more, behind another dash (section 4.3).
        let fits = match version {
            0 => behind.is_empty(),
            0xff => false,
            _ => behind.is_empty() || behind.starts_with('-'),
        };
        if !fits || parts.next().is_some() {
            return None;
        }
        Self::new(trace, u64::try_from(span).ok()?, flags & 1 == 1, state)
    }

    /// The trace.
    #[must_use]
    pub fn trace(&self) -> u128 {
        self.0.trace
    }

    /// The span above.
    #[must_use]
    pub fn parent(&self) -> u64 {
        self.0.parent
    }

    /// Whether whoever is above keeps what it knows of the trace.
    #[must_use]
    pub fn is_sampled(&self) -> bool {
        self.0.sampled
    }

    /// What vendors add: a well-formed `tracestate`.
    #[must_use]
    pub fn state(&self) -> Option<&str> {
        self.0.state.as_deref()
    }
}

/// As `traceparent`, of version 00.
impl fmt::Display for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner { trace, parent, sampled, .. } = &*self.0;
        write!(f, "00-{trace:032x}-{parent:016x}-{:02x}", u8::from(*sampled))
    }
}

/// A number of exactly so many digits, of which none is a capital letter.
fn hex(text: &str, digits: usize) -> Option<u128> {
    let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    let fits = text.len() == digits && text.bytes().all(is_digit);
    fits.then(|| u128::from_str_radix(text, 16).ok()).flatten()
}

/// Whether `state` is a list as in section 3.3.1.1: pairs of which no key is there twice.
fn is_state(state: &str) -> bool {
    if state.is_empty() || state.len() > TRACE_STATE_BYTES {
        return false;
    }
    let mut keys = Vec::new();
    // Members may be empty.
    for member in state.split(',').map(|member| member.trim_matches([' ', '\t'])) {
        if member.is_empty() {
            continue;
        }
        let Some((key, value)) = member.split_once('=') else { return false };
        if !is_key(key) || !is_value(value) || keys.contains(&key) {
            return false;
        }
        keys.push(key);
    }
    (1..=MEMBERS).contains(&keys.len())
}

fn is_key(key: &str) -> bool {
    let is_first = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let is_other = |byte: u8| is_first(&byte) || b"_-*/@".contains(&byte);
    key.len() <= PART && key.as_bytes().first().is_some_and(is_first) && key.bytes().all(is_other)
}

fn is_value(value: &str) -> bool {
    let is_visible = |byte: u8| (b' '..=b'~').contains(&byte) && byte != b'=';
    !value.is_empty() && value.len() <= PART && value.bytes().all(is_visible)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn a_parent_is_read_as_the_standard_writes_it_and_nothing_else_is() {
        for (given, read) in [
            (PARENT, PARENT),
            (
                "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-fe",
                "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00",
            ),
            ("cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", PARENT),
            ("cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-what-the-future", PARENT),
        ] {
            assert_eq!(TraceContext::parse(given, None).expect(given).to_string(), read);
        }
        for wrong in [
            "",
            "00",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01.",
            "cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01.what",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4bf92f3577b34da6a3ce929d0e0e473600f067aa0ba902b7-01--",
            "00-+bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00_4bf92f3577b34da6a3ce929d0e0e4736_00f067aa0ba902b7_01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0\u{e4}",
            " 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        ] {
            assert_eq!(TraceContext::parse(wrong, None), None, "{wrong:?}");
        }
    }

    #[test]
    fn a_state_that_is_not_well_formed_is_left_out_and_the_parent_is_kept() {
        let long = format!("a={}", "x".repeat(PART + 1));
        let many: Vec<String> = (0..=MEMBERS).map(|number| format!("k{number}=v")).collect();
        let much = ["a", "b", "c"].map(|key| format!("{key}={}", "x".repeat(PART))).join(",");
        for (given, kept) in [
            ("a=1", true),
            ("a=1,b=2 3", true),
            ("fw529a3039@dt=FfAAA, a=b , ,c=d", true),
            ("", false),
            (",", false),
            ("a", false),
            ("a=", false),
            ("=1", false),
            ("A=1", false),
            ("a=1,a=2", false),
            ("a=1=2", false),
            ("a=\u{e4}", false),
            ("a=\n", false),
            (&long, false),
            (&many.join(","), false),
            (&much, false),
        ] {
            let context = TraceContext::parse(PARENT, Some(given)).expect("the parent is fine");
            assert_eq!(context.state(), kept.then_some(given), "{given:?}");
        }
    }

    #[test]
    fn what_somebody_has_told_a_program_of_its_trace_stays() {
        let context = TraceContext::parse(PARENT, Some("a=1")).expect("it is fine");
        let mut env = BTreeMap::new();
        context.put_into(&mut env);
        assert_eq!(env["TRACEPARENT"], PARENT);
        assert_eq!(env["TRACESTATE"], "a=1");
        for name in ["TRACEPARENT", "TRACESTATE"] {
            let told = BTreeMap::from([(name.to_owned(), "mine".to_owned())]);
            let mut env = told.clone();
            context.put_into(&mut env);
            assert_eq!(env, told);
        }
    }
}
