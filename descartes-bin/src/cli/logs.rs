//! `logs`: what an agent wrote, byte for byte.

use std::process::ExitCode;
use std::time::Duration;

use descartes_rpc::client::{Client, ClientError};
use descartes_rpc::wire::agent::{WaitParams, Waited};
use descartes_rpc::wire::output::{Logs as Page, LogsParams, StreamChoice};

use super::arguments::Logs;
use super::failure::Failure;
use super::{wait, which};
use crate::exit::Code;
use crate::output::Output;

/// Rows of one page.
const PAGE: u32 = 1000;
/// How long one call waits for something to be written.
const WAIT_MS: u64 = 20_000;
/// Between attempts to reach a daemon that has gone away while it was followed.
const RETRY_INTERVAL: Duration = Duration::from_millis(250);
/// How often that is tried before giving up.
const RETRIES: u32 = 60;

pub(super) async fn logs(
    client: &Client,
    asked: Logs,
    output: &Output,
) -> Result<ExitCode, Failure> {
    let agent_id = which::agent(client, &asked.agent).await?;
    let reader = Reader { client, output, agent_id, stream: stream(&asked) };
    let mut at = reader.begin(asked.tail).await?;
    reader.rest(&mut at).await?;
    if asked.follow {
        reader.follow(&mut at).await?;
    }
    Ok(Code::Done.into())
}

fn stream(asked: &Logs) -> Option<StreamChoice> {
    match (asked.stdout, asked.stderr) {
        (true, _) => Some(StreamChoice::Stdout),
        (_, true) => Some(StreamChoice::Stderr),
        (false, false) => None,
    }
}

/// Reads one agent's log and prints it.
struct Reader<'a> {
    client: &'a Client,
    output: &'a Output,
    agent_id: String,
    stream: Option<StreamChoice>,
}

impl Reader<'_> {
    fn params(&self) -> LogsParams {
        LogsParams {
            agent_id: self.agent_id.clone(),
            stream: self.stream,
            offset: None,
            tail: None,
            limit: Some(PAGE),
            after: None,
            wait_ms: None,
        }
    }

    /// Prints the first page and says where the next begins.
    async fn begin(&self, tail: Option<u64>) -> Result<String, Failure> {
        // A tail longer than a page is a place counted from the end, with pages to follow.
        let from_end = tail.filter(|rows| *rows > u64::from(PAGE));
        let offset = match from_end.map(i64::try_from) {
            Some(Ok(rows)) => Some(-rows),
            Some(Err(_)) => Some(0),
            None => tail.is_none().then_some(0),
        };
        let tail = tail.filter(|_| offset.is_none());
        let page = self.client.agent_logs(LogsParams { offset, tail, ..self.params() }).await?;
        self.print(&page)?;
        Ok(page.cursor)
    }

    /// Prints what there is from `at` on.
    async fn rest(&self, at: &mut String) -> Result<(), Failure> {
        while self.page(at, 0).await? > 0 {}
        Ok(())
    }

    async fn page(&self, at: &mut String, wait_ms: u64) -> Result<usize, Failure> {
        let (after, wait_ms) = (Some(at.clone()), Some(wait_ms));
        let page = self.client.agent_logs(LogsParams { after, wait_ms, ..self.params() }).await?;
        self.print(&page)?;
        *at = page.cursor;
        Ok(page.logs.len())
    }

    /// Prints what is written until the agent has ended, also when the daemon restarts meanwhile.
    async fn follow(&self, at: &mut String) -> Result<(), Failure> {
        let mut failed = 0;
        loop {
            match self.follow_while_connected(at).await {
                Err(Failure::Client(
                    ClientError::ConnectionLost { .. } | ClientError::Unreachable { .. },
                )) if failed < RETRIES => {
                    failed += 1;
                    tokio::time::sleep(RETRY_INTERVAL).await;
                }
                other => return other,
            }
        }
    }

    async fn follow_while_connected(&self, at: &mut String) -> Result<(), Failure> {
        let ended = self.ended();
        tokio::pin!(ended);
        loop {
            // A page that is dropped half-way was not printed: `at` still stands before it.
            let waited = tokio::select! {
                biased;
                read = self.page(at, WAIT_MS) => read.map(|_| None)?,
                ended = &mut ended => Some(ended?),
            };
            if waited.is_some() {
                return self.rest(at).await;
            }
        }
    }

    async fn ended(&self) -> Result<Waited, Failure> {
        let params =
            WaitParams { agent_id: self.agent_id.clone(), r#for: None, timeout_secs: None };
        wait::until(self.client, params, None).await
    }

    fn print(&self, page: &Page) -> Result<(), Failure> {
        if let Some(gap) = &page.gap {
            let kept = "the oldest part of this log is no longer kept";
            self.output.note(format_args!("descartes: {kept} (up to {})", gap.to_offset));
        }
        let mut bytes = Vec::new();
        for row in &page.logs {
            if self.output.is_json() {
                self.output.json(row)?;
            } else {
                row.write_bytes(&mut bytes);
            }
        }
        self.output.bytes(&bytes)?;
        Ok(())
    }
}
