"""The agent protocol v1 as Python speaks it: maps of `msgpack`, through a DEALER of `pyzmq`."""

import contextlib
import pathlib
import subprocess
import sys
import time

import zmq

from claims import Skipped, claim, holds, same
from daemon import PATIENCE, counted
from zeromq import Json, MessagePack, ask, hear, opened, tell


def requires(stage):
    """Said before any claim of this module is tried."""
    if "zmq" not in stage.daemon.ends:
        raise Skipped("this daemon has no ZeroMQ")


@contextlib.contextmanager
def talking(stage, place=0):
    """A function that sends one message and gives the answer to it."""
    with opened(zmq.REQ, stage.daemon.zmq[place]) as socket:
        count = iter(range(10**9))

        def talk(kind, **members):
            number = f"r{next(count)}"
            answer = ask(socket, MessagePack, {"type": kind, "request_id": number, **members})
            same(answer["request_id"], number)
            return answer

        yield talk


def spawned(talk, *command, name=None):
    config = {"name": name} if name else {}
    config |= {"agent_type": "process", "config": {"command": list(command)}}
    answer = talk("spawn_request", config=config)
    holds(answer["success"], answer)
    same(answer["type"], "spawn_response")
    return answer["agent_info"]["id"]


def until(talk, agent, status):
    """Asks for the status until it is so."""
    began = time.monotonic()
    while True:
        answer = talk("control_command", agent_id=agent, command_type="get_status")
        if answer["status"] == status:
            return answer
        holds(time.monotonic() - began < PATIENCE, f"{agent} is {answer['status']}")
        time.sleep(0.01)


def written(talk, agent, kind="read_stdout"):
    """What the agent wrote, when it is all there."""
    answer = talk("control_command", agent_id=agent, command_type=kind)
    holds(answer["success"], answer)
    return answer["data"]


@claim
def python_reads_and_writes_every_message_of_the_golden_files(stage):
    script = pathlib.Path(__file__).parents[1] / "zmq_protocol.py"
    checked = subprocess.run([sys.executable, script, "check"], text=True, capture_output=True)
    same(checked.returncode, 0, checked.stdout + checked.stderr)


@claim
def the_health_tells_the_version_of_the_protocol(stage):
    for place in range(2):
        with talking(stage, place) as talk:
            answer = talk("health_check_request")
            same((answer["type"], answer["healthy"]), ("health_check_response", True))
            same(answer["protocol_version"].split(".")[0], "1")


@claim
def an_agent_lives_and_ends(stage):
    with talking(stage) as talk:
        agent = spawned(talk, "cat", name="protocol-cat")
        listed = talk("list_agents_request", filter_status="running")
        holds(agent in [one["id"] for one in listed["agents"]], listed)
        bytes_in = bytes(range(256)) + b"\n"
        answer = talk("control_command", agent_id="protocol-cat", command_type="write_stdin",
                      payload={"data": bytes_in})
        holds(answer["success"], answer)
        for command, status in (("pause", "paused"), ("resume", "running")):
            answer = talk("control_command", agent_id=agent, command_type=command)
            same((answer["success"], answer["status"]), (True, status), command)
        answer = talk("control_command", agent_id=agent, command_type="write_stdin",
                      payload={"text": "the end\n", "close": True})
        holds(answer["success"], answer)
        until(talk, agent, "completed")
        ended = talk("control_command", agent_id=agent, command_type="stop")
        same((ended["success"], ended["status"]), (True, "completed"))


@claim
def what_an_agent_wrote_is_searched_page_by_page(stage):
    with talking(stage) as talk:
        agent = stage.daemon.spawn_counter(200)
        stage.daemon.wait(agent)
        first = talk("output_query_request", agent_id=agent, stream="stdout", filter="line .*7$",
                     limit=5)
        same(first["type"], "output_query_response")
        same(first["lines"], [f"line {n}7" for n in ["", 1, 2, 3, 4]])
        same((first["total_lines"], first["has_more"]), (20, True))
        rest = talk("output_query_request", agent_id=agent, stream="stdout", filter="line .*7$",
                    offset=15)
        same((rest["lines"][-1], rest["has_more"]), ("line 197", False))
        refused = talk("output_query_request", agent_id=agent, stream="both", filter="(")
        same((refused["success"], refused["error"]["kind"]), (False, "invalid_params"))


@claim
def a_batch_is_answered_in_its_order(stage):
    with talking(stage) as talk:
        agents = [spawned(talk, "cat") for _ in range(10)]
        asked = [*agents[:5], "nobody", *agents[5:]]
        answer = talk("batch_control_command", agent_ids=asked, command_type="pause",
                      fail_fast=False)
        same(answer["type"], "batch_control_response")
        same([one["agent_id"] for one in answer["results"]], asked)
        same((answer["successful"], answer["failed"]), (10, 1))
        answer = talk("batch_control_command", agent_ids=asked, command_type="kill",
                      fail_fast=False)
        same((answer["successful"], answer["failed"]), (10, 1))


@claim
def a_log_is_streamed_as_the_bytes_that_it_is(stage):
    with talking(stage) as talk:
        agent = spawned(talk, "cat")
    with opened(zmq.DEALER, stage.daemon.zmq[0]) as dealer:
        tell(dealer, MessagePack, {"type": "control_command", "request_id": "log",
                                   "agent_id": agent, "command_type": "stream_logs"})
        answer = hear(dealer, MessagePack)
        same((answer["type"], answer["success"]), ("command_response", True))
        said = bytes(range(256)) * 40 + b"\n"
        tell(dealer, MessagePack, {"type": "control_command", "request_id": "say",
                                   "agent_id": agent, "command_type": "write_stdin",
                                   "payload": {"data": said, "close": True}})
        heard, sequence = b"", []
        while len(heard) < len(said):
            message = hear(dealer, MessagePack)
            if message["type"] == "log_stream":
                same((message["agent_id"], message["stream_type"]), (agent, "stdout"))
                heard += message["data"]
                sequence.append(message["sequence"])
        same(heard, said)
        same(sequence, sorted(set(sequence)))


@claim
def a_status_is_followed_to_its_end(stage):
    with talking(stage) as talk, opened(zmq.DEALER, stage.daemon.zmq[1]) as dealer:
        agent = spawned(talk, "cat")
        tell(dealer, MessagePack, {"type": "control_command", "request_id": "follow",
                                   "agent_id": agent, "command_type": "get_status",
                                   "payload": {"follow": True}})
        answer = hear(dealer, MessagePack)
        same((answer["type"], answer["status"]), ("command_response", "running"))
        talk("control_command", agent_id=agent, command_type="pause")
        talk("control_command", agent_id=agent, command_type="kill")
        statuses = []
        while not statuses or statuses[-1] != "killed":
            update = hear(dealer, MessagePack)
            same((update["type"], update["agent_id"]), ("status_update", agent))
            statuses.append(update.get("status"))
        holds("paused" in statuses, statuses)


@claim
def what_is_broken_is_answered_too(stage):
    broken = [
        {"type": "no_such_message", "request_id": "x"},
        {"type": "control_command", "request_id": "x"},
        {"type": "control_command", "request_id": "x", "agent_id": 7, "command_type": "pause"},
        {"type": "control_command", "request_id": "x", "agent_id": "a", "command_type": "fly"},
        {"type": "spawn_request", "request_id": "x", "config": {"no_such_member": 1}},
        {"type": "batch_control_command", "request_id": "x", "agent_ids": "all"},
    ]
    with opened(zmq.REQ, stage.daemon.zmq[0]) as socket:
        for message in broken:
            answer = ask(socket, MessagePack, message)
            same((answer["request_id"], answer["success"]), ("x", False), message)
            holds(answer["error"]["message"], answer)
        for rubbish in (b"\x80", b"\xc1", b"\x81\xa4type", b"\x82\xa4type\xa1x\xa4type\xa1y"):
            socket.send(rubbish)
            answer = socket.recv()
            # What is no map is no message of the protocol: it is told so in JSON.
            codec = Json if answer.startswith(b"{") else MessagePack
            holds("error" in codec.read(answer), rubbish)
        answer = ask(socket, MessagePack, {"type": "health_check_request", "request_id": "y"})
        same((answer["request_id"], answer["healthy"]), ("y", True))
