//! Chats as they are, and what was said in them.

use descartes_core::agent::PageRequest;
use descartes_core::chat::{ChatFilter, ChatStatus};

use crate::decode::ParamFault;
use crate::error::RpcError;
use crate::router::Call;
use crate::wire::agent::ListOrder;
use crate::wire::chat as wire;
use crate::wire::encode::chat as encode;

/// A page of messages ends here, with at least one.
const PAGE_BYTES: usize = 1024 * 1024;

/// `chat.list`
pub(crate) async fn list(
    call: Call,
    params: wire::ChatListParams,
) -> Result<wire::ChatList, RpcError> {
    let mut filter = ChatFilter::default();
    for word in params.status.map(|status| status.0).unwrap_or_default() {
        let expected = || ParamFault::at("status", "statuses of chats");
        filter.status.push(ChatStatus::from_text(&word).ok_or_else(expected)?);
    }
    filter.backend = params.backend;
    filter.labels = params.labels.unwrap_or_default();
    filter.include_closed = params.include_closed.unwrap_or(false);
    filter.within = call.reach.clone();
    let mut page = PageRequest::default();
    page.limit = crate::methods::page_limit(params.limit)?;
    page.token = params.page_token;
    page.oldest_first = params.order == Some(ListOrder::Oldest);
    let found = call.descartes().chats(&filter, &page)?;
    let sessions: Vec<_> = found.chats.iter().map(|record| encode::chat(record)).collect();
    Ok(wire::ChatList {
        count: count(sessions.len()),
        total: count(found.total),
        next_page_token: found.next_token,
        cursor: found.cursor.to_string(),
        sessions,
    })
}

/// `chat.get`
pub(crate) async fn get(
    call: Call,
    params: wire::ChatParams,
) -> Result<wire::ChatDetails, RpcError> {
    let cursor = call.descartes().journal().head().to_string();
    let chat = call.chat(&params.session_id)?;
    Ok(wire::ChatDetails { chat: encode::chat(&chat), cursor })
}

/// `chat.history`
pub(crate) async fn history(
    call: Call,
    params: wire::HistoryParams,
) -> Result<wire::ChatHistory, RpcError> {
    let limit = crate::methods::page_limit(params.limit)?;
    let offset = usize::try_from(params.offset.unwrap_or(0)).unwrap_or(usize::MAX);
    let descartes = call.descartes();
    let chat = call.chat(&params.session_id)?.id;
    let (all, cursor) = descartes.chat_history(chat).await?;
    let total = count(all.len());
    let mut messages = Vec::new();
    let mut bytes = 0;
    for (index, message) in all.into_iter().enumerate().skip(offset).take(limit) {
        bytes += message.content.len();
        if bytes > PAGE_BYTES && !messages.is_empty() {
            break;
        }
        messages.push(encode::message(index, message));
    }
    Ok(wire::ChatHistory { messages, total, cursor: cursor.to_string() })
}

fn count(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}
