//! What comes over the wire, and who takes it.

use std::time::Instant;

use serde_json::value::RawValue;

use super::peer::{METHOD_NOT_FOUND, Peer};
use super::wire::{Message, read};
use super::{Acp, Action};
use crate::dialect::raw::raw;
use crate::json::Json;

impl Acp {
    /// One line of the agent. What is not understood is shown as it is.
    pub(super) fn line(&mut self, now: Instant, bytes: &[u8], out: &mut Vec<Action>) {
        let line = bytes.trim_ascii();
        if line.is_empty() {
            return;
        }
        // Only objects: a list would be taken for the members of a message in their order.
        let text = std::str::from_utf8(line).ok().filter(|text| text.starts_with('{'));
        let message = text.and_then(|text| serde_json::from_str(text).ok());
        let understood = message.is_some_and(|message| self.message(now, &message, out));
        if !understood {
            out.push(Action::Emit(raw(self.number(), bytes)));
        }
    }

    fn message(&mut self, now: Instant, message: &Message<'_>, out: &mut Vec<Action>) -> bool {
        match (message.method.as_deref(), message.id) {
            (Some(method), Some(id)) => {
                self.requested(method, Json::from(id), message.params, out);
                true
            }
            (Some(method), None) => {
                self.history_goes_on(now);
                self.notified(method, message.params, out)
            }
            (None, Some(id)) => {
                let Some(purpose) = self.peer.answered(id) else { return false };
                let answer = match message.error {
                    Some(error) => Err(read(Some(error))),
                    None => Ok(message.result),
                };
                self.answered(now, purpose, answer, out);
                true
            }
            (None, None) => false,
        }
    }

    fn requested(
        &mut self,
        method: &str,
        id: Json,
        params: Option<&RawValue>,
        out: &mut Vec<Action>,
    ) {
        if method == "session/request_permission" {
            self.permission(id, params, out);
        } else {
            // Files and terminals, which one agent asks for though they were not offered, and
            // whatever else the protocol grows.
            Peer::refuse(&id, METHOD_NOT_FOUND, &format!("not offered: {method}"), out);
        }
    }

    fn notified(&mut self, method: &str, params: Option<&RawValue>, out: &mut Vec<Action>) -> bool {
        match method {
            "session/update" => self.updated(params, out),
            "$/cancel_request" | "request/cancel" => {
                self.withdrawn(params, out);
                true
            }
            // The protocol's mark of extensions, which may be ignored.
            _ => method.starts_with('_') || method.starts_with("$/"),
        }
    }
}
