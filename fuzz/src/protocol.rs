//! A message of the agent protocol is read or refused with a reason, what was read is written and
//! read back the same, and what it costs is in proportion to its bytes.

use allocation_counter::measure;
use descartes_transport_zmq::protocol::ZmqMessage;

pub(crate) const WORDS: &[&str] = &[
    "type",
    "request_id",
    "control_command",
    "command_response",
    "spawn_request",
    "batch_control_command",
    "log_stream",
    "status_update",
    "agent_id",
    "agent_ids",
    "command_type",
    "payload",
    "config",
    "metadata",
    "params",
    "data",
    "write_stdin",
    "stream_logs",
    "timeout_secs",
    "results",
    "error",
];

/// Memory for reading: a nil takes one byte and becomes a value of 32, while its array grows by
/// doubling and is copied.
const BUILT_PER_BYTE: u64 = 128;
const BUILT: u64 = 64 * 1024;

/// One whole message.
pub fn protocol(data: &[u8]) {
    let mut read = None;
    let built = measure(|| read = Some(ZmqMessage::decode(data)));
    let most = BUILT + BUILT_PER_BYTE * data.len() as u64;
    assert!(built.bytes_max <= most, "{} bytes built for {}", built.bytes_max, data.len());
    match read.expect("it has run") {
        Ok(message) => {
            let written = message.encode();
            let again = ZmqMessage::decode(&written).expect("what was written is read");
            assert_eq!(again.encode(), written);
            assert_eq!(again.request_id(), message.request_id());
        }
        Err(fault) => assert!(!fault.message.is_empty(), "refused without a reason"),
    }
}
