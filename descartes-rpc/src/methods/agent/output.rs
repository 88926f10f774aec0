//! `agent.logs` and `agent.output`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use descartes_core::agent::Want;
use descartes_core::event::StreamName;
use descartes_core::output::{LogQuery, LogRow as Row, OutputSearch};

use crate::decode::ParamFault;
use crate::error::RpcError;
use crate::methods::event::wait_ms;
use crate::methods::page_limit;
use crate::router::Call;
use crate::wire::encode;
use crate::wire::output as wire;

/// `agent.logs`
pub(crate) async fn logs(call: Call, params: wire::LogsParams) -> Result<wire::Logs, RpcError> {
    let descartes = call.descartes();
    let id = call.agent(&params.agent_id, Want::Any)?;
    let wait = wait_ms(params.wait_ms)?;
    let page = descartes.logs(id, &query(&params)?, wait).await?;
    Ok(wire::Logs {
        agent_id: id.to_string(),
        total: page.total,
        cursor: page.cursor.to_string(),
        gap: page.gap.as_ref().map(|gap| encode::gap(gap, page.cursor)),
        logs: page.rows.iter().map(row).collect(),
    })
}

fn query(params: &wire::LogsParams) -> Result<LogQuery, RpcError> {
    let places = [params.offset.is_some(), params.tail.is_some(), params.after.is_some()];
    if places.iter().filter(|given| **given).count() > 1 {
        let expected = "one of `offset`, `tail` and `after`";
        return Err(ParamFault::at("offset", expected).into());
    }
    let mut query = LogQuery::default();
    query.stream = stream(params.stream);
    query.offset = match params.tail {
        // The last none: behind the end, and the cursor is there.
        Some(0) => Some(i64::MAX),
        Some(tail) => Some(i64::try_from(tail).map_or(i64::MIN, |tail| -tail)),
        None => params.offset,
    };
    // The last so many: all of them, as far as a page goes.
    let tail = params.tail.map(|tail| u32::try_from(tail).unwrap_or(u32::MAX).clamp(1, 1000));
    query.limit = page_limit(params.limit.or(tail))?;
    query.after = params
        .after
        .as_deref()
        .map(|text| text.parse().ok().ok_or_else(|| ParamFault::at("after", "a cursor")))
        .transpose()?;
    Ok(query)
}

fn stream(choice: Option<wire::StreamChoice>) -> Option<StreamName> {
    match choice {
        None | Some(wire::StreamChoice::Both) => None,
        Some(wire::StreamChoice::Stdout) => Some(StreamName::Stdout),
        Some(wire::StreamChoice::Stderr) => Some(StreamName::Stderr),
    }
}

fn row(row: &Row) -> wire::LogRow {
    let (message, data) = match std::str::from_utf8(&row.bytes) {
        Ok(text) => (text.to_owned(), None),
        Err(_) => {
            let text = String::from_utf8_lossy(&row.bytes).into_owned();
            (text, Some(STANDARD.encode(&row.bytes)))
        }
    };
    let level = match row.stream {
        StreamName::Stdout => wire::LogLevel::Info,
        StreamName::Stderr => wire::LogLevel::Error,
    };
    wire::LogRow {
        line: row.line,
        stream: encode::stream(row.stream),
        level,
        timestamp: encode::stamp(row.at),
        message,
        data,
        partial: row.partial.then_some(true),
    }
}

/// `agent.output`
pub(crate) async fn output(
    call: Call,
    params: wire::OutputParams,
) -> Result<wire::OutputMatches, RpcError> {
    let descartes = call.descartes();
    let id = call.agent(&params.agent_id, Want::Any)?;
    let mut search = OutputSearch::default();
    search.stream = stream(params.stream);
    search.filter = params.filter;
    search.limit = page_limit(params.limit)?;
    search.offset = params.offset.unwrap_or(0);
    let page = descartes.search(id, search).await?;
    let place = |found: &descartes_core::output::SearchMatch| wire::OutputMatch {
        line: found.line,
        stream: encode::stream(found.stream),
        timestamp: encode::stamp(found.at),
    };
    let line = |found: &descartes_core::output::SearchMatch| {
        String::from_utf8_lossy(&found.bytes).into_owned()
    };
    Ok(wire::OutputMatches {
        lines: page.matches.iter().map(line).collect(),
        matches: page.matches.iter().map(place).collect(),
        total_lines: page.total,
        has_more: page.has_more,
    })
}
