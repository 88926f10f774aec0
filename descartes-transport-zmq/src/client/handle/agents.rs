//! What is done to agents, through the queue.

use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use descartes_rpc::{
    client::ClientError,
    decode::ParamFault,
    error::RpcError,
    methods::typed,
    wire::{
        action::ActionParams,
        agent::{Agent, AgentStatus, ListParams, SpawnParams, Spawned},
        control::{
            BatchCommand, BatchEntry, BatchParams, BatchPayload, KillParams, Killed, PauseParams,
            Paused, ResumeParams, Resumed, StopParams, WriteParams, Written,
        },
        output::{OutputParams, StreamChoice},
        state::Json,
        system::{Health, NoParams},
    },
};
use serde_json::{Value, value::to_raw_value};

use super::ZmqClient;
use crate::{
    client::ZmqError,
    protocol::{
        BatchAgentResult, BatchControlResponse, CommandPayload, CommandResponse,
        ControlCommandType, OutputQueryResponse, ProtocolError, ZmqOutputStream,
    },
};

/// Agents asked for at once.
const PAGE: u32 = 1000;

impl ZmqClient {
    /// Starts an agent; answers once its program runs.
    ///
    /// # Errors
    ///
    /// What the daemon answered, or why there is no answer.
    pub async fn spawn_remote(&self, params: SpawnParams) -> Result<Spawned, ZmqError> {
        self.call::<typed::AgentSpawn>(&params, self.request_timeout()).await
    }

    /// Pauses an agent; answers when it stands still.
    ///
    /// # Errors
    ///
    /// What the daemon answered, or why there is no answer.
    pub async fn pause_agent(&self, agent_id: &str) -> Result<Paused, ZmqError> {
        let agent_id = agent_id.to_owned();
        let params = PauseParams { agent_id, force: None, idempotency_key: None };
        self.call::<typed::AgentPause>(&params, self.request_timeout()).await
    }

    /// Lets a paused agent go on.
    ///
    /// # Errors
    ///
    /// What the daemon answered, or why there is no answer.
    pub async fn resume_agent(&self, agent_id: &str) -> Result<Resumed, ZmqError> {
        let params = ResumeParams { agent_id: agent_id.to_owned(), idempotency_key: None };
        self.call::<typed::AgentResume>(&params, self.request_timeout()).await
    }

    /// Ends an agent with grace; answers when its process tree is gone. Overtakes what waits.
    ///
    /// # Errors
    ///
    /// What the daemon answered, or why there is no answer.
    pub async fn stop_agent(&self, agent_id: &str) -> Result<Killed, ZmqError> {
        let agent_id = agent_id.to_owned();
        let params = StopParams { agent_id, grace_secs: None, idempotency_key: None };
        self.call::<typed::AgentStop>(&params, self.request_timeout()).await
    }

    /// Ends an agent without grace; answers when its process tree is gone. Overtakes what waits.
    ///
    /// # Errors
    ///
    /// What the daemon answered, or why there is no answer.
    pub async fn kill_agent(&self, agent_id: &str) -> Result<Killed, ZmqError> {
        let params = KillParams {
            agent_id: agent_id.to_owned(),
            force: Some(true),
            grace_secs: None,
            idempotency_key: None,
        };
        self.call::<typed::AgentKill>(&params, self.request_timeout()).await
    }

    /// Writes to an agent's standard input, exactly these bytes. At most about 700 KiB at once if
    /// they are not UTF-8, 1 MiB if they are.
    ///
    /// # Errors
    ///
    /// What the daemon answered, or why there is no answer; `state_error` with the reason
    /// `outcome_unknown` when the daemon died while it wrote. Nothing is written twice.
    pub async fn write_agent_stdin(
        &self,
        agent_id: &str,
        data: &[u8],
    ) -> Result<Written, ZmqError> {
        let text = std::str::from_utf8(data).ok().map(str::to_owned);
        let params = WriteParams {
            agent_id: agent_id.to_owned(),
            data: text.is_none().then(|| STANDARD.encode(data)),
            text,
            close: None,
            idempotency_key: None,
        };
        self.call::<typed::AgentWriteStdin>(&params, self.request_timeout()).await
    }

    /// Has something done with an agent that the application of the daemon registered, or one of
    /// `echo`, `ping` and `get_env`. It may take `timeout_secs`; half a minute unless given.
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/zmq/guide.rs"));
    /// # fn main() { with_agent(|client, id| async move {
    /// let params = serde_json::json!({"depth": 2});
    /// let data = client.send_action_to_agent(&id, "echo", Some(params), Some(300)).await?.data;
    /// assert_eq!(data.unwrap().get("depth").and_then(|depth| depth.as_u64()), Some(2));
    /// # Ok(()) }).unwrap(); }
    /// ```
    ///
    /// # Errors
    ///
    /// What the daemon answered, or why there is no answer.
    pub async fn send_action_to_agent(
        &self,
        agent_id: &str,
        action: &str,
        params: Option<Value>,
        timeout_secs: Option<u64>,
    ) -> Result<CommandResponse, ZmqError> {
        let json = params.map(|params| to_raw_value(&params)).transpose();
        let params = ActionParams {
            agent_id: agent_id.to_owned(),
            action: action.to_owned(),
            params: json.map_err(ClientError::Encode)?.map(Json),
            timeout_secs: timeout_secs.map(|secs| Duration::from_secs(secs).into()),
            idempotency_key: None,
        };
        let done = self.call::<typed::AgentAction>(&params, self.request_timeout()).await?;
        let method = || "agent.action".to_owned();
        let data = serde_json::from_str(done.data.0.get());
        let data = data.map_err(|source| ClientError::Decode { method: method(), source })?;
        Ok(CommandResponse {
            agent_id: Some(agent_id.to_owned()),
            success: true,
            data: Some(data),
            ..CommandResponse::default()
        })
    }

    /// Searches what an agent wrote for lines that match `filter`, a regular expression; 100 of
    /// them unless `limit` says otherwise, without the first `offset`.
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/zmq/guide.rs"));
    /// # fn main() { with_agent(|client, id| async move {
    /// use descartes_transport_zmq::ZmqOutputStream;
    ///
    /// let (stream, filter) = (ZmqOutputStream::Both, Some("ERROR".into()));
    /// let lines = client.query_agent_output(&id, stream, filter, Some(50), None).await?.lines;
    /// assert!(lines.is_empty());
    /// # Ok(()) }).unwrap(); }
    /// ```
    ///
    /// # Errors
    ///
    /// What the daemon answered, or why there is no answer.
    #[expect(clippy::too_many_arguments, reason = "the published form")]
    pub async fn query_agent_output(
        &self,
        agent_id: &str,
        stream: ZmqOutputStream,
        filter: Option<String>,
        limit: Option<u32>,
        offset: Option<u64>,
    ) -> Result<OutputQueryResponse, ZmqError> {
        let agent_id = agent_id.to_owned();
        let stream = Some(choice(stream));
        let params = OutputParams { agent_id: agent_id.clone(), stream, filter, limit, offset };
        let found = self.call::<typed::AgentOutput>(&params, self.request_timeout()).await?;
        Ok(OutputQueryResponse {
            agent_id: Some(agent_id),
            success: true,
            lines: found.lines,
            total_lines: Some(found.total_lines),
            has_more: found.has_more,
            ..OutputQueryResponse::default()
        })
    }

    /// Lists agents, newest first: those with `status`, or all that are live; `limit` of them at
    /// most, or all.
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/zmq/guide.rs"));
    /// # fn main() { with_agent(|client, id| async move {
    /// use descartes_rpc::wire::agent::AgentStatus;
    ///
    /// let running = client.list_remote_agents(Some(AgentStatus::Running), None).await?;
    /// assert_eq!(running[0].id, id);
    /// # Ok(()) }).unwrap(); }
    /// ```
    ///
    /// # Errors
    ///
    /// What the daemon answered, or why there is no answer.
    pub async fn list_remote_agents(
        &self,
        status: Option<AgentStatus>,
        limit: Option<u32>,
    ) -> Result<Vec<Agent>, ZmqError> {
        let status = status.map(|status| {
            let filter = serde_json::from_value(status.as_str().into());
            filter.map_err(|_unknown| ParamFault::at("status", "a status that is known"))
        });
        let status = status.transpose().map_err(RpcError::from)?;
        let wanted = limit.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX));
        let mut params = ListParams { status, limit: Some(PAGE), ..ListParams::default() };
        let mut agents = Vec::new();
        while agents.len() < wanted {
            let left = u32::try_from(wanted - agents.len()).unwrap_or(PAGE);
            params.limit = Some(left.min(PAGE));
            let page = self.call::<typed::AgentList>(&params, self.request_timeout()).await?;
            agents.extend(page.agents);
            params.page_token = page.next_page_token;
            if params.page_token.is_none() {
                break;
            }
        }
        Ok(agents)
    }

    /// Does the same to many agents, at most 1000, 32 at once; with `fail_fast` those that were
    /// not begun when one fails are `cancelled`. Has twice the time of other commands.
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/zmq/guide.rs"));
    /// # fn main() { with_agent(|client, id| async move {
    /// use descartes_transport_zmq::ControlCommandType;
    ///
    /// let ids = vec![id];
    /// let paused =
    ///     client.batch_control(ids, ControlCommandType::Pause, None, false).await?.successful;
    /// assert_eq!(paused, 1);
    /// # Ok(()) }).unwrap(); }
    /// ```
    ///
    /// # Errors
    ///
    /// What the daemon answered to the batch, or why there is no answer; `invalid_params` for a
    /// command or payload that a batch cannot have. What failed for one agent is in the results.
    pub async fn batch_control(
        &self,
        agent_ids: Vec<String>,
        command: ControlCommandType,
        payload: Option<CommandPayload>,
        fail_fast: bool,
    ) -> Result<BatchControlResponse, ZmqError> {
        let params = BatchParams {
            agent_ids: Some(agent_ids),
            select: None,
            command: batch_command(command)?,
            payload: payload.map(batch_payload).transpose()?,
            fail_fast: Some(fail_fast),
            dry_run: None,
            idempotency_key: None,
        };
        let twice = self.request_timeout() * 2;
        let done = self.call::<typed::AgentBatch>(&params, twice).await?;
        Ok(BatchControlResponse {
            success: done.success,
            results: done.results.into_iter().map(batch_result).collect(),
            successful: done.successful,
            failed: done.failed,
            ..BatchControlResponse::default()
        })
    }

    /// Says how the daemon is. Overtakes what waits; without a connection it waits for one.
    ///
    /// # Errors
    ///
    /// What the daemon answered, or why there is no answer.
    pub async fn health_check(&self) -> Result<Health, ZmqError> {
        self.call::<typed::SystemHealth>(&NoParams {}, self.request_timeout()).await
    }
}

pub(super) fn choice(stream: ZmqOutputStream) -> StreamChoice {
    match stream {
        ZmqOutputStream::Stdout => StreamChoice::Stdout,
        ZmqOutputStream::Stderr => StreamChoice::Stderr,
        ZmqOutputStream::Both => StreamChoice::Both,
    }
}

fn batch_command(command: ControlCommandType) -> Result<BatchCommand, RpcError> {
    Ok(match command {
        ControlCommandType::Pause => BatchCommand::Pause,
        ControlCommandType::Resume => BatchCommand::Resume,
        ControlCommandType::Stop => BatchCommand::Stop,
        ControlCommandType::Kill => BatchCommand::Kill,
        ControlCommandType::Signal => BatchCommand::Signal,
        ControlCommandType::WriteStdin => BatchCommand::WriteStdin,
        ControlCommandType::GetStatus => BatchCommand::Status,
        ControlCommandType::ReadStdout
        | ControlCommandType::ReadStderr
        | ControlCommandType::CustomAction
        | ControlCommandType::QueryOutput
        | ControlCommandType::StreamLogs => {
            return Err(
                ParamFault::at("command", "a command that changes an agent, or status").into()
            );
        }
    })
}

/// What a batch can carry of a payload; anything else in it is refused.
fn batch_payload(mut payload: CommandPayload) -> Result<BatchPayload, RpcError> {
    let signal = payload.signal.take().map(|name| serde_json::from_value(name.into()));
    let signal = signal.transpose();
    let signal =
        signal.map_err(|_unknown| ParamFault::at("payload.signal", "the name of a signal"))?;
    let (text, data) = (payload.text.take(), payload.data.take());
    if payload != CommandPayload::default() {
        let expected = "`signal`, `text` or `data` alone: a batch takes no more";
        return Err(ParamFault::at("payload", expected).into());
    }
    Ok(BatchPayload { signal, text, data: data.map(|data| STANDARD.encode(data)) })
}

fn batch_result(entry: BatchEntry) -> BatchAgentResult {
    let error = entry.error.map(|error| {
        let data = match error.data {
            Value::Object(data) => data,
            _ => serde_json::Map::new(),
        };
        ProtocolError::from(&RpcError::from_wire(error.code, error.message, data))
    });
    BatchAgentResult {
        agent_id: entry.agent_id,
        success: entry.success,
        status: entry.status,
        error,
    }
}
