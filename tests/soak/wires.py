"""The wires that loads speak over: plain, and each call fails instead of waiting for ever."""

import contextlib
import json
import socket
import urllib.request

import websockets.sync.client
import zmq

from daemon import PATIENCE, Daemon
from zeromq import Json, ask, opened, request


# The configured key: authentication is on, and only the Unix socket does without.
KEY = "a configured key of the soak"
HEADERS = {"Authorization": f"Bearer {KEY}"}
PLAIN = {"plain_username": b"key", "plain_password": KEY.encode()}


class Wrong(Exception):
    """An answer that may not be, also while the daemon is restarted."""


class Cut(Exception):
    """Something that only a restart may end."""


class Refused(Exception):
    """An error of the daemon's, with its `data`."""

    def __init__(self, method, error):
        super().__init__(f"{method}: {error}")
        self.code = error["code"]
        self.kind = error["data"]["kind"]
        self.reason = error["data"].get("reason")
        if self.kind == "internal":
            raise Wrong(f"{method}: {error}")


def result(method, answer):
    if "error" in answer:
        raise Refused(method, answer["error"])
    return answer["result"]


class Guarded(Daemon):
    """A daemon with authentication on, and one who has its key."""

    def answer(self, method, **params):
        body = json.dumps(request(1, method, **params)).encode()
        head = {"Content-Type": "application/json", **HEADERS}
        asked = urllib.request.Request(self.url, body, head)
        with urllib.request.urlopen(asked, timeout=PATIENCE) as response:
            return json.load(response)

    def numbers(self):
        """The page of numbers."""
        asked = urllib.request.Request(self.ends["metrics"], headers=HEADERS)
        with urllib.request.urlopen(asked, timeout=PATIENCE) as response:
            return response.read().decode()


class Talk:
    """A connection with calls in it and notifications between their answers."""

    def __init__(self):
        self.last = 0
        self.told = []

    def call(self, method, **params):
        self.last += 1
        self.send(json.dumps(request(self.last, method, **params)))
        while True:
            message = json.loads(self.hear())
            if "id" not in message:
                self.told.append(message)
            elif message["id"] == self.last:
                return result(method, message)
            else:
                raise Wrong(f"an answer to {message['id']}, asked was {self.last}")

    def notification(self):
        return self.told.pop(0) if self.told else json.loads(self.hear())


class Unix(Talk):
    def __init__(self, daemon):
        super().__init__()
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(PATIENCE)
        self.socket.connect(daemon.socket)
        self.lines = self.socket.makefile("rb")

    def send(self, text):
        self.socket.sendall(text.encode() + b"\n")

    def hear(self):
        line = self.lines.readline()
        if not line.endswith(b"\n"):
            raise ConnectionError("the daemon has closed the connection")
        return line

    def close(self):
        self.lines.close()
        self.socket.close()


class WebSocket(Talk):
    def __init__(self, daemon):
        super().__init__()
        self.socket = websockets.sync.client.connect(
            daemon.ws, additional_headers=HEADERS, open_timeout=PATIENCE,
            close_timeout=1, max_size=None, proxy=None)

    def send(self, text):
        self.socket.send(text)

    def hear(self):
        return self.socket.recv(timeout=PATIENCE)

    def close(self):
        self.socket.close()


def reached(kind, daemon, place=0, **options):
    """A socket of libzmq at the daemon's socket, by TCP (0) or in the runtime directory (1)."""
    return opened(kind, daemon.zmq[place], **({} if place else PLAIN), **options)


class Req:
    """A REQ of libzmq: only calls."""

    def __init__(self, daemon, place=0):
        self.ends = contextlib.ExitStack()
        self.socket = self.ends.enter_context(reached(zmq.REQ, daemon, place))

    def call(self, method, **params):
        return result(method, ask(self.socket, Json, request(1, method, **params)))

    def close(self):
        self.ends.close()


class Http:
    """A connection for each call."""

    def __init__(self, daemon):
        self.daemon = daemon

    def call(self, method, **params):
        return result(method, self.daemon.answer(method, **params))

    def close(self):
        pass


@contextlib.contextmanager
def wire(kind, *arguments):
    opened_wire = kind(*arguments)
    try:
        yield opened_wire
    finally:
        opened_wire.close()


def tcp(daemon, name="http"):
    """A plain connection to the port of this name."""
    host, port = daemon.ends[name].split("/")[2].rsplit(":", 1)
    return socket.create_connection((host, int(port)), timeout=PATIENCE)
