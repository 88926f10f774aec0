//! Which agents are meant, and doing the same to several.

use std::process::ExitCode;

use descartes_rpc::client::Client;
use descartes_rpc::wire::agent::{Agent, ListParams, StatusFilter};
use futures_util::{StreamExt, stream};

use super::failure::Failure;
use crate::exit::Code;
use crate::output::Output;

/// How many characters of an id people are shown and may give.
const SHORT_ID: usize = 8;
/// Agents that are worked on at once.
const AT_ONCE: usize = 32;
/// Agents on one page of a list.
const PAGE: u32 = 1000;

/// The end of an id that people are shown.
pub(super) fn short(id: &str) -> &str {
    id.get(id.len().saturating_sub(SHORT_ID)..).unwrap_or(id)
}

/// What the daemon knows an agent by: what was typed, unless that is the end of one id.
pub(super) async fn agent(client: &Client, typed: &str) -> Result<String, Failure> {
    if typed.len() != SHORT_ID || !typed.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Ok(typed.to_owned());
    }
    let mut found = Vec::new();
    let params = ListParams { status: Some(StatusFilter::Any.into()), ..ListParams::default() };
    let typed = typed.to_ascii_lowercase();
    each(client, params, |agent| {
        if agent.name == typed {
            found.insert(0, typed.clone());
        } else if agent.id.ends_with(&typed) {
            found.push(agent.id);
        }
    })
    .await?;
    match found.as_slice() {
        [first, second, ..] if *first != typed => Err(Failure::Usage(format!(
            "{typed} is the end of several ids: {first} and {second} among them"
        ))),
        [first, ..] => Ok(first.clone()),
        [] => Ok(typed),
    }
}

/// Every agent of a list, page by page.
pub(super) async fn each(
    client: &Client,
    mut params: ListParams,
    mut take: impl FnMut(Agent),
) -> Result<(), Failure> {
    params.limit = Some(PAGE);
    loop {
        let page = client.agent_list(params.clone()).await?;
        page.agents.into_iter().for_each(&mut take);
        match page.next_page_token {
            Some(token) => params.page_token = Some(token),
            None => return Ok(()),
        }
    }
}

/// Does the same to all `agents`, some at once, and prints in the order in which they were typed.
///
/// The exit code is that of the first failure.
pub(super) async fn for_each<T>(
    (client, output): (&Client, &Output),
    agents: &[String],
    act: impl AsyncFn(String) -> Result<T, Failure>,
    mut print: impl FnMut(&str, T) -> Result<Code, Failure>,
) -> Result<ExitCode, Failure> {
    let act = &act;
    let mut results = stream::iter(agents)
        .map(|typed| async move {
            let result = match agent(client, typed).await {
                Ok(agent) => act(agent).await,
                Err(failure) => Err(failure),
            };
            (typed, result)
        })
        .buffered(AT_ONCE);
    let mut code = Code::Done;
    while let Some((typed, result)) = results.next().await {
        let this = match result {
            Ok(value) => print(typed, value)?,
            Err(failure) => {
                failure.say(output, (agents.len() > 1).then_some(typed));
                failure.code()
            }
        };
        if code == Code::Done {
            code = this;
        }
    }
    Ok(code.into())
}

#[cfg(test)]
mod tests {
    use super::short;

    #[test]
    fn people_are_shown_the_last_eight_characters() {
        assert_eq!(short("0192aaaa-bbbb-7ccc-8ddd-eeee12345678"), "12345678");
        assert_eq!(short("x"), "x");
    }
}
