//! From a request to the parameters of the call that it stands for.

use std::{borrow::Cow, collections::BTreeMap};

use bytes::Bytes;
use http::HeaderValue;
use serde::Serialize;

use super::{Alias, Becomes, Place};
use crate::query::{QueryError, decode, pairs};

/// A value of the call's parameters.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub(crate) enum Mapped<'a> {
    Text(Cow<'a, str>),
    Texts(Vec<Cow<'a, str>>),
    Number(u64),
}

/// What a request asks for.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Asked<'a> {
    members: BTreeMap<&'static str, Mapped<'a>>,
    /// Whether the answer goes on with what comes later.
    pub(crate) follow: bool,
}

impl<'a> Asked<'a> {
    /// Reads the value in the path, the query and the position that a header tells.
    pub(crate) fn read(
        alias: &Alias,
        value: &'a str,
        query: &'a str,
        position: Option<&'a HeaderValue>,
    ) -> Result<Self, QueryError> {
        let mut asked = Self::default();
        for one in alias.parameters {
            match (one.place, one.becomes) {
                (Place::Path, becomes) => asked.put(one.name, becomes, decode(value, false)?)?,
                // A list is there although nothing is in it: the method says what is missing.
                (Place::Query, Becomes::Element(member)) => {
                    asked.members.insert(member, Mapped::Texts(Vec::new()));
                }
                (Place::Query | Place::Header, _) => {}
            }
        }
        for pair in pairs(query) {
            let (name, value) = pair?;
            let known =
                alias.parameters.iter().find(|one| one.place == Place::Query && one.name == name);
            let one = known.ok_or_else(|| QueryError::Unknown(name.into_owned()))?;
            asked.put(one.name, one.becomes, value)?;
        }
        if let Some(one) = alias.parameters.iter().find(|one| one.place == Place::Header)
            && let Some(position) = position
        {
            let position = position.to_str().ok().ok_or(QueryError::Encoding)?;
            asked.put(one.name, one.becomes, position.into())?;
        }
        Ok(asked)
    }

    /// Sets a member of the call.
    pub(crate) fn set(&mut self, member: &'static str, value: Mapped<'a>) {
        self.members.insert(member, value);
    }

    /// The call's parameters.
    pub(crate) fn params(&self) -> Bytes {
        // Writing texts and numbers to memory has no way to fail.
        serde_json::to_vec(&self.members).unwrap_or_default().into()
    }

    fn put(
        &mut self,
        name: &'static str,
        becomes: Becomes,
        value: Cow<'a, str>,
    ) -> Result<(), QueryError> {
        match becomes {
            Becomes::Text(member) => self.once(name, member, Mapped::Text(value)),
            Becomes::Number(member) => {
                let number = value.parse().ok().ok_or(QueryError::NotANumber(name))?;
                self.once(name, member, Mapped::Number(number))
            }
            Becomes::Element(member) => {
                self.add(member, [value]);
                Ok(())
            }
            Becomes::Elements(member) => {
                self.add(member, split(value));
                Ok(())
            }
            // An empty one is what an `EventSource` without a position sends.
            Becomes::Position if value.is_empty() => Ok(()),
            Becomes::Position => {
                // A tail is for the first visit: who comes back wants what is missing.
                self.members.remove("tail");
                self.set("after", Mapped::Text(value));
                Ok(())
            }
            Becomes::Follow => {
                self.follow = match &*value {
                    "1" | "true" | "" => true,
                    "0" | "false" => false,
                    _ => return Err(QueryError::NeitherYesNorNo(name)),
                };
                Ok(())
            }
        }
    }

    fn once(
        &mut self,
        name: &'static str,
        member: &'static str,
        value: Mapped<'a>,
    ) -> Result<(), QueryError> {
        match self.members.insert(member, value) {
            None => Ok(()),
            Some(_) => Err(QueryError::Repeated(name)),
        }
    }

    fn add(&mut self, member: &'static str, more: impl IntoIterator<Item = Cow<'a, str>>) {
        let empty = || Mapped::Texts(Vec::new());
        if let Mapped::Texts(texts) = self.members.entry(member).or_insert_with(empty) {
            texts.extend(more);
        }
    }
}

fn split(value: Cow<'_, str>) -> Vec<Cow<'_, str>> {
    if !value.contains(',') {
        return vec![value];
    }
    value.split(',').filter(|part| !part.is_empty()).map(|part| part.to_owned().into()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alias::{EVENTS, LOGS};

    fn params(alias: &Alias, value: &str, query: &str) -> (String, bool) {
        let asked = Asked::read(alias, value, query, None).unwrap();
        (String::from_utf8(asked.params().to_vec()).unwrap(), asked.follow)
    }

    #[test]
    fn a_query_becomes_the_parameters_of_its_method() {
        for (query, expected) in [
            (
                "topic=agent/a/status&topic=agent%2Fb%2Foutput&after=c.1&types=agent.*,x&types=y&tail=5",
                r#"{"after":"c.1","tail":5,"topics":["agent/a/status","agent/b/output"],"types":["agent.*","x","y"]}"#,
            ),
            ("", r#"{"topics":[]}"#),
            ("&&topic=a+b%22", r#"{"topics":["a b\""]}"#),
        ] {
            assert_eq!(params(&EVENTS, "", query), (expected.to_owned(), false), "{query}");
        }
        for (value, query, expected, follow) in [
            ("a", "", r#"{"agent_id":"a"}"#, false),
            ("a%20%2Bb+c", "follow", r#"{"agent_id":"a +b+c"}"#, true),
            (
                "a",
                "stream=stderr&tail=0&follow=1",
                r#"{"agent_id":"a","stream":"stderr","tail":0}"#,
                true,
            ),
            ("a", "follow=true", r#"{"agent_id":"a"}"#, true),
            ("a", "follow=0", r#"{"agent_id":"a"}"#, false),
        ] {
            assert_eq!(params(&LOGS, value, query), (expected.to_owned(), follow), "{query}");
        }
    }

    #[test]
    fn where_a_reader_was_wins_over_where_it_began() {
        let with = |last: &'static str| {
            let last = HeaderValue::from_static(last);
            let query = "topic=agent/&after=start&tail=3";
            Asked::read(&EVENTS, "", query, Some(&last)).unwrap().params()
        };
        assert_eq!(with(""), r#"{"after":"start","tail":3,"topics":["agent/"]}"#);
        assert_eq!(with("c.7"), r#"{"after":"c.7","topics":["agent/"]}"#);
        // What cannot be a cursor must not begin from the beginning in silence.
        let odd = HeaderValue::from_bytes(b"\xff").unwrap();
        let read = Asked::read(&EVENTS, "", "topic=a", Some(&odd));
        assert_eq!(read, Err(QueryError::Encoding));
    }

    #[test]
    fn what_is_not_understood_is_refused_by_name() {
        for (alias, query, expected) in [
            (&EVENTS, "topics=a", QueryError::Unknown("topics".to_owned())),
            (&EVENTS, "token=secret", QueryError::Unknown("token".to_owned())),
            (&EVENTS, "Last-Event-ID=c", QueryError::Unknown("Last-Event-ID".to_owned())),
            (&EVENTS, "after=a&after=b", QueryError::Repeated("after")),
            (&EVENTS, "tail=-1", QueryError::NotANumber("tail")),
            (&EVENTS, "tail=", QueryError::NotANumber("tail")),
            (&LOGS, "agent=b", QueryError::Unknown("agent".to_owned())),
            (&LOGS, "follow=maybe", QueryError::NeitherYesNorNo("follow")),
            (&LOGS, "stream=stdout&stream=stderr", QueryError::Repeated("stream")),
        ] {
            assert_eq!(Asked::read(alias, "a", query, None), Err(expected), "{query}");
        }
        assert_eq!(Asked::read(&LOGS, "%ff", "", None), Err(QueryError::Encoding));
    }
}
