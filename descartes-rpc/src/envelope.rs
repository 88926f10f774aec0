//! The request object, scanned without building anything.
//!
//! Members come in any order; parameters are found as a slice, whatever is inside. The text is
//! checked to be JSON to its end before anything of it is believed.

mod scan;

use std::{borrow::Cow, ops::Range};

pub(crate) use scan::{RawString, ScanError, Scanner};

use crate::limits::UNKNOWN_MEMBERS;

/// What stands in one request object. Ranges are positions in the scanned text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Envelope {
    pub(crate) version: Option<Range<usize>>,
    pub(crate) id: Option<Range<usize>>,
    pub(crate) method: Option<Method>,
    pub(crate) params: Option<Range<usize>>,
    /// The first thing that is wrong with the members as such.
    pub(crate) defect: Option<Defect>,
}

/// What stands where a method's name belongs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Method {
    Name(RawString),
    NotText,
}

/// What can be wrong with a well-formed object's members.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Defect {
    /// `id` stands there twice, so that no answer can be attributed.
    TwoIds,
    /// Another member stands there twice.
    Twice,
    /// More unknown members than can be watched for standing there twice.
    TooManyMembers,
}

impl Envelope {
    /// Takes the object that is next in `scanner`, which reads `text`.
    pub(crate) fn scan(scanner: &mut Scanner<'_>, text: &str) -> Result<Self, ScanError> {
        let mut envelope = Self::default();
        let mut unknown: Vec<Cow<'_, str>> = Vec::new();
        scanner.enter()?;
        if !scanner.take(b'}') {
            loop {
                let name = scanner.member_name()?;
                envelope.member(scanner, text, &name, &mut unknown)?;
                if !scanner.take(b',') {
                    scanner.expect(b'}')?;
                    break;
                }
            }
        }
        scanner.leave();
        Ok(envelope)
    }

    fn member<'t>(
        &mut self,
        scanner: &mut Scanner<'_>,
        text: &'t str,
        name: &RawString,
        unknown: &mut Vec<Cow<'t, str>>,
    ) -> Result<(), ScanError> {
        let name = meaning(text, name);
        match name.as_ref() {
            "jsonrpc" => {
                let value = scanner.value()?;
                self.once(Defect::Twice, |envelope| envelope.version.replace(value).is_some());
            }
            "id" => {
                let value = scanner.value()?;
                self.once(Defect::TwoIds, |envelope| envelope.id.replace(value).is_some());
            }
            "params" => {
                let value = scanner.value()?;
                self.once(Defect::Twice, |envelope| envelope.params.replace(value).is_some());
            }
            "method" => {
                let method = if scanner.peek() == Some(b'"') {
                    Method::Name(scanner.string()?)
                } else {
                    scanner.value()?;
                    Method::NotText
                };
                self.once(Defect::Twice, |envelope| envelope.method.replace(method).is_some());
            }
            _ => {
                scanner.value()?;
                if unknown.contains(&name) {
                    self.note(Defect::Twice);
                } else if unknown.len() == UNKNOWN_MEMBERS {
                    self.note(Defect::TooManyMembers);
                } else {
                    unknown.push(name);
                }
            }
        }
        Ok(())
    }

    fn once(&mut self, defect: Defect, was_there: impl FnOnce(&mut Self) -> bool) {
        if was_there(self) {
            self.note(defect);
        }
    }

    /// Two identifiers outweigh everything else: they decide whom the answer names.
    fn note(&mut self, defect: Defect) {
        if defect == Defect::TwoIds || self.defect.is_none() {
            self.defect = Some(defect);
        }
    }
}

/// What a string of `text` says. A lone surrogate has no meaning and stays as it is written.
pub(crate) fn meaning<'t>(text: &'t str, string: &RawString) -> Cow<'t, str> {
    if string.escaped
        && let Some(decoded) = decode(text, string)
    {
        return Cow::Owned(decoded);
    }
    Cow::Borrowed(&text[string.range.start + 1..string.range.end - 1])
}

/// Resolves the escapes of a string of `text`; `None` for a lone surrogate.
pub(crate) fn decode(text: &str, string: &RawString) -> Option<String> {
    serde_json::from_str(&text[string.range.clone()]).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde::Deserialize;
    use serde_json::value::RawValue;

    use super::*;

    fn scan(text: &str) -> Result<Envelope, ScanError> {
        let mut scanner = Scanner::new(text);
        scanner.peek();
        let envelope = Envelope::scan(&mut scanner, text)?;
        scanner.end()?;
        Ok(envelope)
    }

    /// The same by derive: what it accepts, ours must accept and see alike.
    #[derive(Debug, Deserialize)]
    struct Theirs<'a> {
        #[serde(borrow)]
        jsonrpc: Option<&'a RawValue>,
        #[serde(borrow)]
        id: Option<&'a RawValue>,
        method: Option<String>,
        #[serde(borrow)]
        params: Option<&'a RawValue>,
    }

    fn member() -> impl Strategy<Value = String> {
        let name = prop::sample::select(vec![
            "jsonrpc",
            "id",
            "method",
            "params",
            "m\\u0065thod",
            "extra",
            "",
            "ID",
        ]);
        let value = prop::sample::select(vec![
            "\"2.0\"",
            "1",
            "\"a\"",
            "null",
            "{}",
            "[]",
            "[1,{\"a\":\"}\"}]",
            "true",
            "1.5",
            "\"system.health\"",
            "\"sys\\u0074em\"",
            "{\"id\":3}",
            "\"\\\"}\"",
        ]);
        (name, value).prop_map(|(name, value)| format!("\"{name}\" : {value}"))
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 2048, ..ProptestConfig::default() })]

        #[test]
        fn the_scan_and_serde_see_the_same_members(
            members in prop::collection::vec(member(), 0..7),
            mangle in prop::option::weighted(0.2, any::<prop::sample::Index>()),
        ) {
            let mut text = format!("{{{}}}", members.join(" ,"));
            if let Some(at) = mangle {
                text.remove(at.index(text.len()));
            }
            let at = |range: Option<Range<usize>>| range.map(|range| text[range].to_owned());
            let raw = |value: Option<&RawValue>| value.map(|value| value.get().to_owned());
            let ours = scan(&text);
            let valid = serde_json::from_str::<serde::de::IgnoredAny>(&text).is_ok();
            prop_assert_eq!(ours.is_ok() , valid && text.starts_with('{'), "{}", text);
            if let (Ok(ours), Ok(theirs)) = (ours, serde_json::from_str::<Theirs<'_>>(&text))
                && ours.defect.is_none()
            {
                // Their option takes null for absent; ours keeps the two apart.
                let some = |text: Option<String>| text.filter(|text| text != "null");
                prop_assert_eq!(some(at(ours.version)), raw(theirs.jsonrpc));
                prop_assert_eq!(some(at(ours.id)), raw(theirs.id));
                prop_assert_eq!(some(at(ours.params)), raw(theirs.params));
                let method = ours.method.and_then(|method| match method {
                    Method::Name(name) => decode(&text, &name),
                    Method::NotText => None,
                });
                prop_assert_eq!(method, theirs.method);
            }
        }
    }

    #[test]
    fn members_come_in_any_order_and_under_any_spelling() {
        let text = r#" { "params" : [ 1 ] , "\u0069d":7,"method":"a","jsonrpc":"2.0"} "#;
        let envelope = scan(text).unwrap();
        assert_eq!(&text[envelope.params.unwrap()], "[ 1 ]");
        assert_eq!(&text[envelope.id.unwrap()], "7");
        assert_eq!(envelope.defect, None);
    }

    #[test]
    fn a_member_that_stands_there_twice_is_noticed_under_any_spelling() {
        for (text, defect) in [
            (r#"{"id":1,"\u0069d":1}"#, Defect::TwoIds),
            (r#"{"method":"a","method":"a","id":1,"id":2}"#, Defect::TwoIds),
            (r#"{"x":1,"y":2,"\u0078":3}"#, Defect::Twice),
            (r#"{"params":[],"params":[]}"#, Defect::Twice),
        ] {
            assert_eq!(scan(text).unwrap().defect, Some(defect), "{text}");
        }
        let many: Vec<_> = (0..17).map(|n| format!("\"m{n}\":0")).collect();
        let text = format!("{{{}}}", many.join(","));
        assert_eq!(scan(&text).unwrap().defect, Some(Defect::TooManyMembers));
    }
}
