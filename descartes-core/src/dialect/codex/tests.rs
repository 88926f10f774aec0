//! The dialect against recorded sessions, and against what no recording shows.

mod asks;
mod ends;
mod played;
mod properties;
mod start;
mod streams;
mod talk;

use std::collections::HashMap;

use serde_json::Value;

use crate::dialect::Decision;
use crate::dialect::transcript::{Meaning, Wire};

/// JSON-RPC without the member `jsonrpc`, as the sessions were recorded.
struct AppServer;

impl Wire for AppServer {
    fn meaning(&self, line: &Value) -> Meaning {
        match (line["method"].as_str(), line["result"]["decision"].as_str()) {
            (Some("turn/start"), _) => {
                let text = line["params"]["input"][0]["text"].as_str().expect("a text was asked");
                Meaning::Prompt(text.into())
            }
            (Some("turn/interrupt"), _) => Meaning::Cancel,
            (_, Some("accept")) => Meaning::Decide(Decision::AllowOnce),
            (_, Some("acceptForSession")) => Meaning::Decide(Decision::AllowSession),
            (_, Some("decline")) => Meaning::Decide(Decision::Deny { message: None }),
            (_, Some("cancel")) => Meaning::Decide(Decision::Cancel),
            _ => Meaning::Nothing,
        }
    }

    fn request(&self, line: &Value) -> Option<(Value, String)> {
        let method = line["method"].as_str()?;
        let id = line.get("id")?;
        Some((id.clone(), method.into()))
    }

    fn rename(&self, line: &mut Value, names: &HashMap<String, Value>) {
        if line.get("method").is_none()
            && let Some(id) = line.get_mut("id")
            && let Some(name) = names.get(&id.to_string())
        {
            *id = name.clone();
        }
    }
}
