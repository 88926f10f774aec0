//! Documents: as they were written, and readable.

use rusqlite::{Connection, Row};

use super::StoreReport;
use crate::store::Space;
use crate::store::format::{decode_approval, decode_chat, decode_cost, decode_mark, decode_record};
use crate::store::sqlite::sums::DOCUMENTS;

pub(super) fn look(conn: &Connection, report: &mut StoreReport) {
    let looked = (|| {
        let mut select = conn.prepare(&DOCUMENTS.select())?;
        let mut rows = select.query([])?;
        while let Some(row) = rows.next()? {
            match trouble(row)? {
                None => report.documents += 1,
                Some(what) => report.damage(DOCUMENTS.place(row), what),
            }
        }
        Ok::<_, rusqlite::Error>(())
    })();
    if let Err(error) = looked {
        report.damage(DOCUMENTS.name, error.to_string());
    }
}

/// What is wrong with a row of `documents`, if something is.
pub(in crate::store::sqlite) fn trouble(row: &Row<'_>) -> rusqlite::Result<Option<String>> {
    if !DOCUMENTS.holds(row)? {
        return Ok(Some("it is not as it was written".to_owned()));
    }
    let (space, id) = (row.get::<_, String>(0)?, row.get::<_, String>(1)?);
    let body: Vec<u8> = row.get(4)?;
    Ok(unreadable(&space, &id, &body))
}

fn unreadable(space: &str, id: &str, body: &[u8]) -> Option<String> {
    let text = |error: &dyn std::fmt::Display| error.to_string();
    let named = match space {
        _ if space == Space::AGENT.0 => decode_record(body).map(|record| record.id.to_string()),
        _ if space == Space::CHAT.0 => decode_chat(body).map(|record| record.id.to_string()),
        _ if space == Space::APPROVAL.0 => decode_approval(body).map(|it| it.id.to_string()),
        _ if space == Space::OUTPUT.0 => decode_mark(body).map(|_| id.to_owned()),
        _ if space == Space::COST.0 => decode_cost(body).map(|_| id.to_owned()),
        // Each has a form of its own, bytes too: that it is as it was written is all there is to say.
        _ if space == Space::META.0 => return None,
        _ => {
            let json: Result<serde::de::IgnoredAny, _> = serde_json::from_slice(body);
            return json.err().map(|error| text(&error));
        }
    };
    match named {
        Ok(named) if named == id => None,
        Ok(named) => Some(format!("it is the document of {named}")),
        Err(error) => Some(text(&error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_of_the_store_itself_may_be_bytes_and_values_may_not() {
        assert_eq!(unreadable(Space::META.0, "secret", b"\xff\x00"), None);
        assert!(unreadable(Space::STATE.0, "value", b"\xff\x00").is_some());
        assert_eq!(unreadable(Space::STATE.0, "value", b"[1]"), None);
    }
}
