//! Values of `env`: there for every agent and chat that was given some, and for nobody else.

use std::collections::BTreeMap;
use std::path::Path;

use rusqlite::Connection;

use super::StoreReport;
use crate::agent::AgentId;
use crate::store::Space;
use crate::store::format::{decode_chat, decode_record};
use crate::store::sqlite::sums::DOCUMENTS;

pub(super) fn look(conn: &Connection, folder: &Path, report: &mut StoreReport) {
    // Documents that cannot be read are told already.
    let Ok(mut wanted) = wanted(conn) else { return };
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if !name.parse::<AgentId>().is_ok_and(|agent| wanted.remove(&agent).is_some()) {
            report.notes.push(format!("secrets/{name} belongs to no agent that there is"));
        }
    }
    for (agent, why) in wanted.into_iter().filter(|(_, why)| why.is_some()) {
        let why = why.unwrap_or_default();
        report.notes.push(format!("the values of `env` of {why} are not kept (secrets/{agent})"));
    }
}

/// The agents whose values may be kept; with their names where they must be.
fn wanted(conn: &Connection) -> rusqlite::Result<BTreeMap<AgentId, Option<String>>> {
    let mut wanted = BTreeMap::new();
    let mut select = conn.prepare(&format!("{} WHERE space IN (?1, ?2)", DOCUMENTS.select()))?;
    let mut rows = select.query([Space::AGENT.0, Space::CHAT.0])?;
    while let Some(row) = rows.next()? {
        let (space, body): (String, Vec<u8>) = (row.get(0)?, row.get(4)?);
        if space == Space::AGENT.0 {
            let Ok(record) = decode_record(&body) else { continue };
            let name = (!record.spec.env.is_empty()).then(|| format!("agent {}", record.name));
            wanted.entry(record.id).or_insert(name);
        } else {
            let Ok(chat) = decode_chat(&body) else { continue };
            // A chat that is closed has given its values back.
            let open = chat.status != crate::chat::ChatStatus::Closed;
            let name =
                (open && !chat.spec.agent.env.is_empty()).then(|| format!("chat {}", chat.id));
            let known = wanted.entry(chat.agent).or_insert(None);
            *known = if open { known.take().or(name) } else { None };
        }
    }
    Ok(wanted)
}
