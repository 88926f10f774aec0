//! The protocol over a whole service with agents that exist in memory.

mod broken;
mod follow;
mod golden;
mod messages;
mod serving;

use std::io;
use std::time::Duration;

use bytes::Bytes;
use descartes_rpc::auth::Principal;
use descartes_rpc::connection::ConnectionLimits;
use descartes_rpc::memory::{MemoryIo, pair};
use descartes_rpc::peer::Peer;
use descartes_rpc::service::RpcService;
use descartes_rpc::testing::{fake_agent, fake_service};
use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value as Json, json};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::{
    AgentProtocol, CommandPayload, CommandResponse, ControlCommand, ControlCommandType as Command,
    LogStream, Room, SpawnRequest, StatusUpdate, Value, ZmqMessage, speak,
};

/// Longer than anything takes that comes at all.
const PATIENCE: Duration = Duration::from_secs(600);

/// A client of one conversation.
struct Talk {
    io: MemoryIo,
    stop: watch::Sender<bool>,
    served: JoinHandle<io::Result<()>>,
}

impl Talk {
    /// A conversation of the owner.
    async fn start() -> Self {
        Self::with(fake_service(0).await, Peer::owner("test"), ConnectionLimits::default())
    }

    /// A conversation of somebody with these rights.
    async fn of(scopes: &[&str]) -> Self {
        let peer = Peer::new("test").with_principal(Principal::new("ann", scopes.to_vec()));
        Self::with(fake_service(0).await, peer, ConnectionLimits::default())
    }

    fn with(service: impl RpcService, peer: Peer, limits: ConnectionLimits) -> Self {
        Self::sharing(Room::default(), service, peer, limits)
    }

    /// A conversation beside others of the same connection.
    fn sharing(room: Room, service: impl RpcService, peer: Peer, limits: ConnectionLimits) -> Self {
        let (io, theirs) = pair();
        let (stop, mut stopping) = watch::channel(false);
        let stopped = async move {
            // An error means that the test is over.
            drop(stopping.wait_for(|stop| *stop).await);
        };
        let protocol = AgentProtocol::new(service, peer, room);
        let served = tokio::spawn(speak(protocol, theirs, limits, stopped));
        Self { io, stop, served }
    }

    async fn send(&mut self, message: impl Into<ZmqMessage>) {
        self.send_raw(message.into().encode()).await;
    }

    async fn send_raw(&mut self, message: impl Into<Bytes>) {
        self.io.send(message.into()).await.unwrap();
    }

    async fn next(&mut self) -> ZmqMessage {
        let message = timeout(PATIENCE, self.io.next()).await.expect("a message comes");
        ZmqMessage::decode(&message.expect("the conversation goes on").unwrap()).unwrap()
    }

    async fn ask(&mut self, message: impl Into<ZmqMessage>) -> ZmqMessage {
        self.send(message).await;
        self.next().await
    }

    async fn command(&mut self, command: ControlCommand) -> CommandResponse {
        response(self.ask(command).await)
    }

    /// Starts an agent that writes what it is written.
    async fn spawn(&mut self, name: &str) -> String {
        let ZmqMessage::SpawnResponse(answer) = self.ask(spawn(name)).await else {
            panic!("another answer");
        };
        assert!(answer.success, "{:?}", answer.error);
        answer.agent_id.unwrap()
    }

    async fn update(&mut self) -> StatusUpdate {
        match self.next().await {
            ZmqMessage::StatusUpdate(update) => update,
            other => panic!("{other:?}"),
        }
    }

    async fn piece(&mut self) -> LogStream {
        match self.next().await {
            ZmqMessage::LogStream(piece) => piece,
            other => panic!("{other:?}"),
        }
    }
}

fn response(message: ZmqMessage) -> CommandResponse {
    match message {
        ZmqMessage::CommandResponse(response) => response,
        other => panic!("{other:?}"),
    }
}

fn spawn(name: &str) -> SpawnRequest {
    let mut config = fake_agent();
    config["name"] = name.into();
    SpawnRequest {
        request_id: format!("spawn {name}"),
        config: config.into(),
        ..SpawnRequest::default()
    }
}

fn command(agent: &str, command_type: Command, payload: CommandPayload) -> ControlCommand {
    ControlCommand {
        request_id: command_type.to_string(),
        agent_id: Some(agent.to_owned()),
        command_type,
        payload: (payload != CommandPayload::default()).then_some(payload),
        idempotency_key: None,
    }
}

fn plain(agent: &str, command_type: Command) -> ControlCommand {
    command(agent, command_type, CommandPayload::default())
}

fn write(agent: &str, bytes: &[u8]) -> ControlCommand {
    let payload = CommandPayload { data: Some(bytes.to_vec()), ..CommandPayload::default() };
    command(agent, Command::WriteStdin, payload)
}

/// A message that is written by hand.
fn packed(message: Json) -> Bytes {
    rmp_serde::to_vec_named(&Value::from(message)).unwrap().into()
}

fn data(response: &CommandResponse) -> Json {
    assert!(response.success, "{response:?}");
    response.data.clone().unwrap().into_json().unwrap()
}

fn stdout(response: &CommandResponse) -> &[u8] {
    assert!(response.success, "{response:?}");
    response.data.as_ref().unwrap().get("data").unwrap().as_bytes().unwrap()
}

fn object(members: Json) -> Value {
    members.into()
}

/// Reads until the agent has written `expected`.
async fn written(talk: &mut Talk, agent: &str, expected: &[u8]) -> CommandResponse {
    loop {
        let payload = CommandPayload {
            offset: Some(0),
            limit: Some(1000),
            wait_ms: Some(1000),
            ..CommandPayload::default()
        };
        let page = talk.command(command(agent, Command::ReadStdout, payload)).await;
        if stdout(&page).len() >= expected.len() {
            assert_eq!(stdout(&page), expected);
            return page;
        }
        // Lets virtual time pass: half a line is shown after a moment only.
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
