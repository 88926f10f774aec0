//! What is not asked by calls: topics as server-sent events, the other paths of HTTP, and the page
//! of numbers.

use std::io::Read;

use serde_json::Value;

use super::World;
use super::places::{Held, Places, fields};
use super::table::{needed_to_get, needed_to_read};
use super::who::Who;
use crate::rig::http::{Http, Reply};

/// Paths that are served in another way: doors of their own, and the topics.
const APART: [&str; 2] = ["/ws", "/events"];

/// The paths that answer `GET`, by a document of the daemon's own.
pub(super) fn routes(mut http: Http, held: &Held) -> Vec<String> {
    let reply = http.request("GET", "/openapi.json", &fields(&[held.bearer()]), b"");
    let document = reply.json();
    let paths = document["paths"].as_object().expect("paths");
    let served = paths.iter().filter(|(_, item)| item.get("get").is_some());
    let routes: Vec<String> = served.map(|(path, _)| path.clone()).collect();
    assert!(APART.iter().all(|path| routes.iter().any(|route| route == path)), "{routes:?}");
    routes.into_iter().filter(|path| !APART.contains(&&**path)).collect()
}

impl Who {
    /// Follows every topic from its beginning.
    pub(super) fn try_streams(&self, places: &Places, world: &World) {
        for topic in &world.topics {
            let path = format!("/events?topic={topic}&after=start");
            let stream = places.http().try_events(&path, &fields(&[self.held.bearer()]));
            let told = format!("{topic} by {} as server-sent events", self.name);
            let (stream, lacks) = match (stream, self.lacks(needed_to_read(topic))) {
                (Err(reply), Some(scope)) => {
                    self.check_refused_by_http(scope, &reply, &told);
                    continue;
                }
                (Err(reply), None) => {
                    let foreign = self.is_foreign() && topic.contains('/');
                    assert_eq!((foreign, reply.status), (true, 404), "{told}: {}", reply.text());
                    continue;
                }
                (Ok(stream), lacks) => (stream, lacks),
            };
            assert_eq!(lacks, None, "{told}");
            let past = stream.take_while(|event| event.event.as_deref() != Some("synced"));
            let shown = past.filter(|event| event.event.is_none()).count();
            if self.is_foreign() && topic.contains('/') {
                assert_eq!(shown, 0, "{told}");
            } else if world.made.contains(topic) {
                assert!(shown > 0, "{told}");
            }
        }
    }

    /// Asks for every path, also in the ways in which it may be asked for.
    pub(super) fn try_routes(&self, places: &Places, world: &World) {
        for route in &world.routes {
            let path = route.replace("{agent}", world.agent());
            let of_somebody = path != *route;
            let ways =
                if of_somebody { &["", "?follow=1", "?tail=1&stream=stdout"][..] } else { &[""] };
            for way in ways {
                let told = format!("GET {path}{way} by {}", self.name);
                let opened =
                    places.http().try_open(&format!("{path}{way}"), &fields(&[self.held.bearer()]));
                match (opened, self.lacks(needed_to_get(route))) {
                    (Err(reply), Some(scope)) => self.check_refused_by_http(scope, &reply, &told),
                    (Err(reply), None) => {
                        assert!(of_somebody && self.is_foreign(), "{told}: {}", reply.text());
                        assert_eq!(reply.status, 404, "{told}: {}", reply.text());
                    }
                    (Ok(mut body), lacks) => {
                        assert_eq!(lacks, None, "{told}");
                        assert!(!of_somebody || !self.is_foreign(), "{told}");
                        assert_eq!(body.read(&mut [0; 1]).expect("it says something"), 1, "{told}");
                    }
                }
            }
        }
        let page = places.metrics().request("GET", "/metrics", &fields(&[self.held.bearer()]), b"");
        let status = if self.has(Some("metrics")) { 200 } else { 403 };
        assert_eq!(page.status, status, "the page of numbers by {}: {}", self.name, page.text());
    }

    fn check_refused_by_http(&self, scope: &str, reply: &Reply, told: &str) {
        assert_eq!(reply.status, 403, "{told}: {}", reply.text());
        let answer: Value = reply.json();
        self.check_refused(scope, &answer["error"], &format!("{told}: {answer}"));
    }
}
