"""Clients that are broken, rude or guess: what they cost ends with them."""

import contextlib
import json
import os
import socket
import struct
import time

import zmq

from claims import claim
from loads import same, spawn, wait
from wires import KEY, Refused, Unix, WebSocket, Wrong, reached, tcp, wire
from zeromq import Json, opened, request, tell

STRANGER = b"POST /rpc HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
BEARER = b"Authorization: Bearer " + KEY.encode() + b"\r\n"
HEAD = STRANGER + BEARER
UPGRADE = (b"GET /ws HTTP/1.1\r\nHost: 127.0.0.1\r\n" + BEARER + b"Connection: Upgrade\r\n"
           b"Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
           b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n")
GREETING = (b"\xff" + bytes(8) + b"\x7f\x03\x00NULL" + bytes(16) + bytes(32))[:64]


def reset(connection):
    """Closes it as a machine that lost its power and came back."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def status(connection):
    """The status of the answer that comes."""
    line = connection.recv(12)
    if not line:
        raise ConnectionError("the daemon has closed the connection")
    return line


def drop(connection, luck):
    if luck.random() < 0.5:
        reset(connection)
    else:
        connection.close()


@claim
def half_requests(stage, luck):
    pieces = [b"", b"P", b"POST / HTTP/1.1\r\n", HEAD, HEAD + b"Content-Length: 100\r\n\r\n{",
              HEAD + b"Transfer-Encoding: chunked\r\n\r\n10\r\n{", UPGRADE[:-2], UPGRADE]
    for piece in pieces:
        for _ in range(3):
            connection = tcp(stage.daemon)
            connection.sendall(piece)
            drop(connection, luck)
    for name in ("ws", "zmq", "pub", "metrics"):
        for piece in (b"", GREETING[:11], GREETING, b"GET / HTTP/1.1\r\n", os.urandom(200)):
            connection = tcp(stage.daemon, name)
            with contextlib.suppress(ConnectionError):
                connection.sendall(piece)
            drop(connection, luck)


@claim
def slow_ones(stage, luck):
    connections = [tcp(stage.daemon, name) for name in ("http", "ws", "zmq", "pub", "metrics")]
    connections.append(socket.socket(socket.AF_UNIX))
    connections[-1].connect(stage.daemon.socket)
    for byte in HEAD[:30]:
        for connection in connections:
            with contextlib.suppress(ConnectionError):
                connection.send(bytes([byte]))
        time.sleep(0.02)
    for connection in connections:
        connection.close()


@claim
def garbage(stage, luck):
    for _ in range(5):
        junk = luck.randbytes(luck.randrange(1, 3000))
        for place in ("http", "zmq", "pub"):
            connection = tcp(stage.daemon, place)
            with contextlib.suppress(ConnectionError):
                connection.sendall(junk)
            drop(connection, luck)
        with wire(Unix, stage.daemon) as talk:
            with contextlib.suppress(ConnectionError):
                talk.socket.sendall(junk.replace(b"\n", b" ") + b"\n")
                code = json.loads(talk.hear())["error"]["code"]
                same(code in (-32700, -32600), True, f"the answer to rubbish, {code}")
        connection = tcp(stage.daemon)
        connection.sendall(UPGRADE)
        connection.recv(1000)
        with contextlib.suppress(ConnectionError):
            connection.sendall(junk)
        drop(connection, luck)
    with reached(zmq.DEALER, stage.daemon) as dealer:
        for _ in range(20):
            dealer.send_multipart([b"", luck.randbytes(50)])
        tell(dealer, Json, request("last", "system.health"))
        answers = []
        while not any(b'"last"' in frames[-1] for frames in answers):
            answers.append(dealer.recv_multipart())
        same(len(answers) <= 21, True, "answers to rubbish")


@claim
def oversized_ones(stage, luck):
    connection = tcp(stage.daemon)
    connection.sendall(HEAD + b"Content-Length: 999999999999\r\n\r\n")
    same(status(connection), b"HTTP/1.1 413", "a body that is too large")
    connection.close()
    with contextlib.suppress(ConnectionError), wire(Unix, stage.daemon) as talk:
        for _ in range(20):
            talk.socket.sendall(b"x" * (1 << 20))
        talk.hear()
    connection = tcp(stage.daemon)
    connection.sendall(UPGRADE)
    connection.recv(1000)
    connection.sendall(b"\x81\xff" + struct.pack(">Q", 1 << 40) + bytes(4))
    connection.close()


@claim
def those_that_go_in_the_middle_of_an_answer(stage, luck):
    with wire(Unix, stage.daemon) as control:
        agent = spawn(control, ["sh", "-c", "seq 30000"])
        wait(control, agent)
        large = request(1, "agent.logs", agent_id=agent, limit=1000)
        for kind in (Unix, WebSocket):
            talk = kind(stage.daemon)
            for _ in range(8):
                talk.send(json.dumps(large))
            reset(talk.socket.socket if kind is WebSocket else talk.socket)
            with contextlib.suppress(Exception):
                talk.close()
        body = json.dumps(large).encode()
        for _ in range(4):
            connection = tcp(stage.daemon)
            connection.sendall(HEAD + b"Content-Length: %d\r\n\r\n" % len(body) + body)
            connection.recv(luck.choice([1, 100]))
            drop(connection, luck)
        with reached(zmq.DEALER, stage.daemon) as dealer:
            for _ in range(8):
                tell(dealer, Json, large)
        spawning = request(2, "agent.spawn", agent_type="process", config={"command": ["true"]})
        talk = Unix(stage.daemon)
        talk.send(json.dumps(spawning))
        reset(talk.socket)
        talk.close()


@claim
def guesses(stage, luck):
    body = json.dumps(request(1, "agent.list")).encode()
    for secret in ("x" * 40, "dsc_" + "A" * 43, "eyJhbGciOiJub25lIn0.e30."):
        connection = tcp(stage.daemon)
        connection.sendall(STRANGER + b"Authorization: Bearer " + secret.encode()
                           + b"\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        same(status(connection), b"HTTP/1.1 401", "a guessed secret")
        connection.close()
        with wire(Unix, stage.daemon) as talk:
            try:
                talk.call("auth.login", token=secret)
            except Refused as refused:
                same(refused.kind, "unauthenticated", "a guessed login")
            else:
                raise Wrong("a guess was let in")
    options = {"plain_username": b"key", "plain_password": b"x" * 30}
    with opened(zmq.REQ, stage.daemon.zmq[0], **options) as socket_:
        socket_.sndtimeo = socket_.rcvtimeo = 300
        # Once it has been refused there is nobody to whom it could be sent.
        with contextlib.suppress(zmq.Again):
            socket_.send(body)
            raise Wrong(f"a wrong password was answered: {socket_.recv()!r}")


@claim
def nobody_is_hurt(stage, luck):
    with wire(Unix, stage.daemon) as talk:
        health = talk.call("system.health")
        same(health["status"], "healthy", "health")
