"""Python `websockets`: calls, subscriptions that go on, the words of a close."""

import contextlib
import json
import socket
import threading
import time

import websockets
from websockets.sync.client import connect

from claims import Skipped, claim, holds, same
from daemon import PATIENCE, counted, output_of


def requires(stage):
    """Said before any claim of this module is tried."""
    if not stage.daemon.sockets:
        raise Skipped("this daemon has no WebSocket")


def open_on(address, **options):
    return connect(address, open_timeout=PATIENCE, close_timeout=5, max_size=None, proxy=None,
                   **options)


def message(number, method, **params):
    return json.dumps({"jsonrpc": "2.0", "id": number, "method": method, "params": params})


def receive(peer):
    return json.loads(peer.recv(timeout=PATIENCE))


def close_code(peer):
    """Reads until the daemon closes; the code that it gives."""
    try:
        while True:
            peer.recv(timeout=PATIENCE)
    except websockets.ConnectionClosed as closed:
        return closed.rcvd and closed.rcvd.code


@claim
def calls_are_answered_on_both_ports(stage):
    for address in stage.daemon.sockets:
        with open_on(address) as peer:
            for number in range(50):
                peer.send(message(number, "system.health"))
            same(sorted(receive(peer)["id"] for _ in range(50)), list(range(50)))
            peer.send("[" + message("a", "system.health") + "," + message("b", "agent.fly") + "]")
            same(sorted(answer["id"] for answer in receive(peer)), ["a", "b"])
            peer.send("rubbish")
            same(receive(peer)["error"]["code"], -32700)
            peer.ping().wait(PATIENCE)


@claim
def a_waiting_call_holds_up_nothing(stage):
    agent = stage.daemon.call("agent.spawn", agent_type="basic")["agent_id"]
    with open_on(stage.daemon.ws) as peer:
        peer.send(message("wait", "agent.wait", agent_id=agent, timeout_secs=50))
        peer.send(message("health", "system.health"))
        same(receive(peer)["id"], "health")
        peer.send(message("kill", "agent.kill", agent_id=agent, force=True))
        same(sorted(receive(peer)["id"] for _ in range(2)), ["kill", "wait"])


def follow(stage, topic, most):
    """Follows until an agent has exited; each connection is cut after at most so many events."""
    seen, cursor, connections = [], "start", 0
    while not (seen and seen[-1]["type"] == "agent.exited"):
        connections += 1
        try:
            with open_on(stage.daemon.ws) as peer:
                peer.send(message(1, "event.subscribe", topics=[topic], after=cursor))
                same(receive(peer)["id"], 1)
                here = 0
                while here < most(connections):
                    told = receive(peer)
                    holds(told["method"] in ("event.next", "event.synced"), told)
                    cursor = told["params"].get("cursor") or told["params"]["event"]["cursor"]
                    if told["method"] == "event.next":
                        seen.append(told["params"]["event"])
                        here += 1
                        if seen[-1]["type"] == "agent.exited":
                            break
                # No goodbye: the line is cut.
                peer.socket.shutdown(2)
        except (OSError, websockets.WebSocketException):
            time.sleep(0.05)
    return seen, connections


@claim
def a_reader_that_is_cut_off_again_and_again_sees_everything_once(stage):
    agent = stage.daemon.spawn_counter(300, 0.02)
    seen, connections = follow(stage, f"agent/{agent}/", lambda number: number % 5 + 1)
    holds(connections > 5, f"it was cut often enough: {connections}")
    same(output_of(seen), counted(300))
    same([e["seq"] for e in seen], [e["seq"] for e in stage.daemon.history([f"agent/{agent}/"])])


@claim
def a_reader_goes_on_through_a_killed_daemon(stage):
    agent = stage.daemon.spawn_counter(5000, 0.02)

    def kill():
        time.sleep(0.5)
        stage.daemon.kill()
        stage.daemon.start()

    thread = threading.Thread(target=kill)
    thread.start()
    seen, connections = follow(stage, f"agent/{agent}/", lambda _: 10**9)
    thread.join()
    holds(connections > 1, "the daemon was away")
    same(seen[-1]["data"]["exit"]["reason"], "host_died")
    history = stage.daemon.history([f"agent/{agent}/"])
    same([e["seq"] for e in seen], [e["seq"] for e in history])
    holds(counted(5000).startswith(output_of(seen)), "the output is whole up to its end")


@claim
def foreign_origins_and_hosts_are_refused_before_the_upgrade(stage):
    for address in stage.daemon.sockets:
        for origin in ("https://evil.example", "null", stage.pages.foreign.origin):
            same(refusal(address, origin=origin), 403, origin)
        port = int(address.split(":")[2].split("/")[0])
        with contextlib.closing(socket.create_connection(("127.0.0.1", port))) as line:
            same(refusal(f"ws://evil.example:{port}/ws", sock=line), 421)
        with open_on(address, origin=stage.pages.allowed) as peer:
            peer.send(message(1, "system.health"))
            same(receive(peer)["result"]["status"], "healthy")


def refusal(address, **options):
    try:
        open_on(address, **options).close()
    except websockets.InvalidStatus as refused:
        return refused.response.status_code
    return "opened"


@claim
def a_message_that_is_too_long_is_answered_and_one_without_end_is_closed(stage):
    with open_on(stage.daemon.ws) as peer:
        peer.send(message(1, "state.put", key="long", value="x" * (1 << 20)))
        answer = receive(peer)
        same((answer["id"], answer["error"]["code"]), (None, -32011))
        peer.send(message(2, "system.health"))
        same(receive(peer)["id"], 2)
        try:
            peer.send(f'"{"x" * (17 << 20)}"')
        except websockets.ConnectionClosed:
            pass
        same(close_code(peer), 1009)


@claim
def what_is_no_text_is_closed_with_its_code(stage):
    with open_on(stage.daemon.ws) as peer:
        peer.send(b"\xff\xfe", text=True)
        same(close_code(peer), 1007)
    with open_on(stage.daemon.ws) as peer:
        peer.send(b"\x00binary")
        same(close_code(peer), 1003)


@claim
def a_daemon_that_goes_down_says_so(stage):
    with open_on(stage.daemon.ws) as peer, open_on(stage.daemon.sockets[-1]) as idle:
        peer.send(message(1, "event.subscribe", topics=["agent/"], after="now"))
        same(receive(peer)["id"], 1)
        same(receive(peer)["method"], "event.synced")
        stage.daemon.begin_stop()
        told = receive(peer)
        same((told["method"], told["params"]["reason"]), ("event.ended", "shutdown"))
        same((close_code(peer), close_code(idle)), (1001, 1001))
    same(stage.daemon.process.wait(PATIENCE), 0)
    stage.daemon.start()
