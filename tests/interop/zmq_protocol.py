#!/usr/bin/env python3
"""The messages of the agent protocol, as Python's msgpack reads and writes them.

zmq_protocol.py check [FOLDER]   reads FOLDER/*.hex, which the daemon's encoder wrote, holds them
                                 against the values below, and looks whether FOLDER/python/*.hex is
                                 still what msgpack writes for them
zmq_protocol.py write [FOLDER]   writes FOLDER/python/*.hex, which the daemon's decoder has to read

FOLDER is descartes-transport-zmq/golden/protocol unless given. Needs msgpack (PyPI).
"""

import pathlib
import sys

import msgpack

ID = "0194c8e0-7a00-7000-8000-0123456789ab"
AT = "2026-11-21T08:00:00.000Z"
CURSOR = "00c0ffee.1.42"

AGENT = {
    "id": ID,
    "name": "worker",
    "agent_type": "process",
    "status": "running",
    "run": 1,
    "pid": 4711,
    "created_at": AT,
    "updated_at": AT,
    "owner": "local",
    "child_count": 0,
    "labels": {"team": "blue"},
    "config": {"command": ["/bin/cat"]},
}
ERROR = {
    "code": -32602,
    "kind": "invalid_params",
    "message": "payload.signal: unknown variant",
    "path": "payload.signal",
    "data": {"kind": "invalid_params", "retryable": False, "path": "payload.signal"},
}


def command(command_type, payload=None):
    message = {
        "type": "control_command",
        "request_id": "r-1",
        "agent_id": "worker",
        "command_type": command_type,
    }
    return message if payload is None else {**message, "payload": payload}


COMMANDS = {
    "pause": {"force": True},
    "resume": None,
    "stop": {"grace_secs": 5},
    "kill": None,
    "write_stdin": {"data": b"\x00\xffhi\n", "close": False},
    "read_stdout": {"offset": -10, "limit": 10, "wait_ms": 500},
    "read_stderr": {"tail": 20},
    "get_status": {"follow": True, "output": True},
    "signal": {"signal": "interrupt"},
    "custom_action": {
        "action": "analyze",
        "params": {"depth": 2, "ratio": 0.5, "names": ["a", None, True]},
        "timeout_secs": 300,
    },
    "query_output": {"filter": "ERROR|é", "stream": "stderr"},
    "stream_logs": {"stream": "both", "after": CURSOR},
}

MESSAGES = {
    "spawn_request": {
        "type": "spawn_request",
        "request_id": "r-1",
        "config": {
            "name": "worker",
            "agent_type": "process",
            "config": {"command": ["/bin/cat"]},
        },
        "timeout_secs": 30,
        "metadata": {"team": "blue"},
    },
    "spawn_request-flat": {
        "type": "spawn_request",
        "request_id": "r-1",
        "config": {"name": "worker", "model_backend": "basic", "task": "go", "model": None},
    },
    "spawn_response": {
        "type": "spawn_response",
        "request_id": "r-1",
        "success": True,
        "agent_info": AGENT,
        "agent_id": ID,
        "cursor": CURSOR,
        "server_id": "00c0ffee",
    },
    "command_response": {
        "type": "command_response",
        "request_id": "r-1",
        "agent_id": "worker",
        "success": True,
        "status": "running",
        "data": {"data": b"\x00\xff\n", "total": 1},
    },
    "command_response-failed": {
        "type": "command_response",
        "request_id": None,
        "success": False,
        "error": ERROR,
    },
    "list_agents_request": {
        "type": "list_agents_request",
        "request_id": "r-1",
        "filter_status": ["running"],
        "limit": 50,
    },
    "list_agents_response": {
        "type": "list_agents_response",
        "request_id": "r-1",
        "success": True,
        "agents": [AGENT],
        "total": 2,
        "next_page_token": ID,
        "cursor": CURSOR,
    },
    "health_check_request": {"type": "health_check_request", "request_id": "r-1"},
    "health_check_response": {
        "type": "health_check_response",
        "request_id": "r-1",
        "healthy": True,
        "protocol_version": "1.0",
        "uptime_secs": 86400,
        "active_agents": 3,
        "metadata": {"status": "healthy", "reasons": []},
    },
    "custom_action_request": {
        "type": "custom_action_request",
        "request_id": "r-1",
        "agent_id": "worker",
        "action": "analyze",
        "params": {"depth": 2},
        "timeout_secs": 2.5,
        "idempotency_key": "k-1",
    },
    "batch_control_command": {
        "type": "batch_control_command",
        "request_id": "r-1",
        "agent_ids": [ID, "worker"],
        "command_type": "pause",
        "fail_fast": True,
    },
    "batch_control_response": {
        "type": "batch_control_response",
        "request_id": "r-1",
        "success": False,
        "results": [
            {"agent_id": "worker", "success": True, "status": "running"},
            {"agent_id": "worker", "success": False, "error": ERROR},
        ],
        "successful": 1,
        "failed": 1,
    },
    "output_query_request": {
        "type": "output_query_request",
        "request_id": "r-1",
        "agent_id": "worker",
        "stream": "both",
        "filter": "ERROR",
        "limit": 50,
        "offset": 100,
    },
    "output_query_response": {
        "type": "output_query_response",
        "request_id": "r-1",
        "agent_id": "worker",
        "success": True,
        "lines": ["ERROR é"],
        "total_lines": 70000,
        "has_more": True,
    },
    "status_update": {
        "type": "status_update",
        "request_id": "r-1",
        "agent_id": ID,
        "update_type": "completed",
        "status": "running",
        "message": "ended with code 0 (exited)",
        "data": {"run": 1},
        "timestamp": AT,
        "cursor": CURSOR,
        "ended": "agent_ended",
    },
    "log_stream": {
        "type": "log_stream",
        "request_id": "r-1",
        "agent_id": ID,
        "stream_type": "stdout",
        "data": b"half a l\xc3",
        "timestamp": AT,
        "sequence": 7,
        "cursor": CURSOR,
        "byte_offset": 4294967296,
    },
    **{f"control_command-{word}": command(word, payload) for word, payload in COMMANDS.items()},
}


def to_hex(data):
    lines = [data[at : at + 32].hex() for at in range(0, len(data), 32)]
    return "".join(line + "\n" for line in lines)


def read_hex(path):
    return bytes.fromhex("".join(path.read_text().split()))


def write(folder):
    target = folder / "python"
    target.mkdir(parents=True, exist_ok=True)
    for name, message in MESSAGES.items():
        (target / f"{name}.hex").write_text(to_hex(msgpack.packb(message)))
    return []


def check(folder):
    faults = []
    written = {path.stem: path for path in folder.glob("*.hex")}
    for name in sorted(MESSAGES.keys() ^ written.keys()):
        faults.append(f"{name}: there is no such {'file' if name in MESSAGES else 'value'}")
    for name, path in sorted(written.items()):
        message = msgpack.unpackb(read_hex(path))
        if name in MESSAGES and message != MESSAGES[name]:
            faults.append(f"{name}: read {message!r}, expected {MESSAGES[name]!r}")
    for name, message in MESSAGES.items():
        path = folder / "python" / f"{name}.hex"
        if not path.exists() or read_hex(path) != msgpack.packb(message):
            faults.append(f"{name}: python/{name}.hex is not what msgpack writes; run write")
    return faults


def main(arguments):
    if not 1 <= len(arguments) <= 2 or arguments[0] not in ("check", "write"):
        print(__doc__, file=sys.stderr)
        return 2
    root = pathlib.Path(__file__).resolve().parents[2]
    default = root / "descartes-transport-zmq" / "golden" / "protocol"
    folder = pathlib.Path(arguments[1]) if len(arguments) == 2 else default
    faults = (check if arguments[0] == "check" else write)(folder)
    for fault in faults:
        print(fault, file=sys.stderr)
    print(f"{arguments[0]}: {len(MESSAGES)} messages, {len(faults)} faults")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
