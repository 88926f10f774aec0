//! Calls over connections that break at every byte: with a key exactly one effect, without one at
//! most one, and never an answer without it.

use std::io;
use std::sync::Mutex;

use async_trait::async_trait;
use bytes::Bytes;
use futures_core::stream::BoxStream;
use futures_util::TryStreamExt;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, duplex, split};
use tokio_util::codec::Framed;

use super::*;
use crate::client::{Connect, Exchange, FrameIo};
use crate::codec::LineCodec;
use crate::connection::{ConnectionLimits, answer, serve_connection};
use crate::frame::Arrival;
use crate::limits::REQUEST_BYTES;
use crate::peer::Peer;

/// The byte at which a connection breaks, in one of its directions.
#[derive(Clone, Copy, Debug)]
struct Cut {
    up: usize,
    down: usize,
}

const WHOLE: Cut = Cut { up: usize::MAX, down: usize::MAX };

/// Passes on `most` bytes.
async fn pass(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin, most: usize) {
    let mut left = most;
    let mut buffer = [0; 4096];
    while left > 0 {
        let most = left.min(buffer.len());
        match from.read(&mut buffer[..most]).await {
            Ok(0) | Err(_) => return,
            Ok(read) => {
                left -= read;
                if to.write_all(&buffer[..read]).await.is_err() {
                    return;
                }
            }
        }
    }
    // What was passed on is seen before the break is.
    drop(to.flush().await);
}

fn lines(io: DuplexStream) -> Framed<DuplexStream, LineCodec> {
    Framed::new(io, LineCodec::new(REQUEST_BYTES, REQUEST_BYTES))
}

/// Connections that break as they were told, one after the other; then they hold.
struct Doors {
    rpc: Rpc,
    cuts: Mutex<Vec<Cut>>,
}

#[async_trait]
impl Connect for Doors {
    async fn connect(&self) -> io::Result<Box<dyn FrameIo>> {
        let cut = self.cuts.lock().unwrap().pop().unwrap_or(WHOLE);
        let ((near, left), (right, far)) = (duplex(1 << 16), duplex(1 << 16));
        tokio::spawn(async move {
            let ((from_near, to_near), (from_far, to_far)) = (split(left), split(right));
            tokio::select! {
                () = pass(from_near, to_far, cut.up) => {}
                () = pass(from_far, to_near, cut.down) => {}
            }
        });
        let (peer, limits) = (Peer::owner("test"), ConnectionLimits::default());
        let service = self.rpc.clone();
        tokio::spawn(serve_connection(service, peer, lines(far), limits, std::future::pending()));
        let frames = lines(near).map_ok(|arrival| match arrival {
            Arrival::Message(message) => message,
            Arrival::Oversize => panic!("no answer is that long"),
        });
        Ok(Box::new(frames))
    }

    fn transport_name(&self) -> &'static str {
        "breaking"
    }
}

/// What happens to a message.
#[derive(Clone, Copy, Debug)]
enum Fate {
    /// It is lost before it arrives, and nobody can say so.
    Before,
    /// It arrives, and its answer is lost.
    After,
    /// There is nobody.
    Refused,
}

const FATES: [Fate; 3] = [Fate::Before, Fate::After, Fate::Refused];

/// Exchanges that meet their fates, one after the other; then they succeed.
struct Fateful {
    rpc: Rpc,
    fates: Mutex<Vec<Fate>>,
}

#[async_trait]
impl Exchange for Fateful {
    async fn exchange(&self, message: Bytes) -> io::Result<Bytes> {
        let fate = self.fates.lock().unwrap().pop();
        let ask = || answer(self.rpc.clone(), Peer::owner("test"), message.clone());
        match fate {
            Some(Fate::Refused) => Err(io::ErrorKind::ConnectionRefused.into()),
            Some(Fate::Before) => Err(io::ErrorKind::ConnectionReset.into()),
            Some(Fate::After) => {
                drop(ask().await);
                Err(io::ErrorKind::ConnectionReset.into())
            }
            None => Ok(ask().await.body.expect("a call has an answer")),
        }
    }

    async fn stream(&self, _: Bytes) -> io::Result<BoxStream<'static, io::Result<Bytes>>> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn transport_name(&self) -> &'static str {
        "fateful"
    }
}

/// Writes to an agent over what `through` makes of the service; gives the outcome and how often
/// the agent was written to.
async fn written(
    key: Option<&str>,
    through: impl FnOnce(Rpc) -> Client,
) -> (Result<u64, ClientError>, usize) {
    let rpc = Rpc::builder(descartes().await).build();
    let own = Client::in_memory(rpc.clone());
    own.agent_spawn(echo("a")).await.unwrap();
    let write = json!({"agent_id": "a", "text": "x\n"});
    let write = WriteParams { idempotency_key: key.map(str::to_owned), ..params(write) };
    let outcome = through(rpc).agent_write_stdin(write).await.map(|written| written.bytes_written);
    let close = params::<WriteParams>(json!({"agent_id": "a", "close": true}));
    own.agent_write_stdin(close).await.unwrap();
    own.agent_wait(params(json!({"agent_id": "a"}))).await.unwrap();
    let logs = own.agent_logs(params(json!({"agent_id": "a"}))).await.unwrap();
    (outcome, logs.logs.len())
}

fn check(keyed: bool, (outcome, effects): &(Result<u64, ClientError>, usize), what: &str) {
    match outcome {
        Ok(_) => assert_eq!(*effects, 1, "{what}"),
        Err(ClientError::ConnectionLost { .. }) => assert!(!keyed && *effects <= 1, "{what}"),
        Err(ClientError::Unreachable { .. }) => assert!(*effects == 0, "{what}"),
        Err(other) => panic!("{what}: {other:?}"),
    }
}

/// More bytes than the call or its answer have.
const BYTES: usize = 256;

#[tokio::test(start_paused = true)]
async fn a_call_has_one_effect_wherever_its_connections_break() {
    let (mut lost, mut done) = (0, 0);
    for at in 0..BYTES {
        for cut in [Cut { up: at, ..WHOLE }, Cut { down: at, ..WHOLE }] {
            for key in [Some("k"), None] {
                // The second connection breaks where the first did; the third holds.
                let cuts = Mutex::new(vec![cut, cut]);
                let through = |rpc| Client::connect(Doors { rpc, cuts });
                let outcome = written(key, through).await;
                check(key.is_some(), &outcome, &format!("{cut:?} {key:?}"));
                if outcome.0.is_ok() { done += 1 } else { lost += 1 }
            }
        }
    }
    assert!(lost > 100 && done > 2 * BYTES, "{lost} lost, {done} done");
}

#[tokio::test(start_paused = true)]
async fn an_exchange_has_one_effect_whatever_happens_to_its_messages() {
    let fates = FATES.iter().flat_map(|first| FATES.iter().map(move |second| [*first, *second]));
    for fates in fates {
        for key in [Some("k"), None] {
            let met = Mutex::new(fates.to_vec());
            let through = |rpc| Client::exchange(Fateful { rpc, fates: met });
            let outcome = written(key, through).await;
            check(key.is_some(), &outcome, &format!("{fates:?} {key:?}"));
            // The last fate of the list comes first; refused at once, a call is told so.
            let refused = matches!(fates[1], Fate::Refused);
            assert_eq!(outcome.0.is_ok(), key.is_some() && !refused, "{fates:?} {key:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_spawn_with_a_key_makes_one_agent_wherever_its_connections_break() {
    for at in (0..2 * BYTES).step_by(3) {
        for cut in [Cut { up: at, ..WHOLE }, Cut { down: at, ..WHOLE }] {
            let rpc = Rpc::builder(descartes().await).build();
            let doors = Doors { rpc: rpc.clone(), cuts: Mutex::new(vec![cut, cut]) };
            let spawn = SpawnParams { idempotency_key: Some("k".into()), ..echo("a") };
            let spawned = Client::connect(doors).agent_spawn(spawn).await.unwrap();
            let list = Client::in_memory(rpc).agent_list(ListParams::default()).await.unwrap();
            let ids: Vec<_> = list.agents.iter().map(|agent| &agent.id).collect();
            assert_eq!(ids, [&spawned.agent_id], "{cut:?}");
        }
    }
}
