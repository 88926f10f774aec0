"""A model server whose answers are scripted by the prompts: no model, no clock, no chance in it.

What it was asked is told at `/__stub/requests`, with whole bodies at `/__stub/bodies`.
"""

import argparse
import gzip
import json
import os
import pathlib
import select
import socket
import struct
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from script import Script
from wires import wire_of

MODELS = {"object": "list", "data": [{"id": "stub-1", "object": "model"}]}
# Close without a word, as a peer that crashed does.
RESET = struct.pack("ii", 1, 0)


class Gone(Exception):
    """The answer does not go on, and why."""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        """What happens is told at `/__stub/requests`."""

    def do_HEAD(self):
        self.tell({})

    def do_GET(self):
        told = {"/__stub/requests": lambda: self.server.log.told(False),
                "/__stub/bodies": lambda: self.server.log.told(True)}
        self.tell(told.get(self.path, lambda: MODELS)())

    def do_POST(self):
        body = self.body()
        path = self.path.split("?")[0]
        wire = wire_of(path)
        if wire is None:
            return self.tell({"input_tokens": 10, "totalTokens": 10})
        entry = self.server.log.begin(path, body)
        asked = wire.read(path, body)
        play = self.server.script.play(asked)
        entry["scenario"] = play.name
        try:
            entry["outcome"] = self.play(wire(str(entry["n"])), asked, play)
        except Gone as gone:
            entry["outcome"] = str(gone)
            self.close_connection = True
        except OSError:
            entry["outcome"] = "client-gone"
            self.close_connection = True

    def body(self):
        if "chunked" in self.headers.get("Transfer-Encoding", ""):
            body = b""
            while size := int(self.rfile.readline(), 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
        else:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        return json.loads(body or b"{}")

    def tell(self, message, status=200):
        body = json.dumps(message).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def play(self, wire, asked, play):
        """Answers; how that went."""
        if play.status != 200:
            self.tell(wire.error(play.status, f"stub: HTTP {play.status}"), play.status)
            return f"http-{play.status}"
        if not asked.stream:
            for piece in play.pieces:
                self.step(piece) or wire.feed(piece)
            wire.finish_block()
            self.tell(wire.whole())
            return "ok"
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.send(wire.begin())
        for piece in play.pieces:
            if piece[0] == "fail":
                self.send(wire.fail())
                break
            self.step(piece) or self.send(wire.feed(piece))
        else:
            self.send(wire.finish_block() + wire.end())
        self.wfile.write(b"0\r\n\r\n")
        return "ok"

    def send(self, frames):
        for frame in frames:
            self.wfile.write(b"%x\r\n%s\r\n" % (len(frame), frame))

    def step(self, piece):
        """Waits, or cuts, if that is what the piece is; says whether it was."""
        if piece[0] == "cut":
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            raise Gone("cut")
        if piece[0] == "wait":
            self.wait(piece[1])
        return piece[0] == "wait"

    def wait(self, seconds):
        """Waits, and notices when the client goes."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            if select.select([self.connection], [], [], left)[0]:
                if not self.connection.recv(1, socket.MSG_PEEK):
                    raise Gone("client-gone")
                time.sleep(left)


class Log:
    """What was asked, and how the answers went."""

    def __init__(self):
        self.lock, self.entries = threading.Lock(), []

    def begin(self, path, body):
        with self.lock:
            entry = {"n": len(self.entries) + 1, "path": path, "scenario": None, "outcome": "open",
                     "body": body}
            self.entries.append(entry)
        return entry

    def told(self, bodies):
        with self.lock:
            return [{key: value for key, value in entry.items() if bodies or key != "body"}
                    for entry in self.entries]


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request, client_address):
        """A client that goes is no news."""


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--port-file", type=pathlib.Path)
    parser.add_argument("--keep-bodies", action="store_true", help="always so; for other stubs")
    chosen = parser.parse_args()
    server = Server(("127.0.0.1", chosen.port), Handler)
    server.script, server.log = Script(), Log()
    if chosen.port_file:
        beside = chosen.port_file.with_suffix(".new")
        beside.write_text(f"{server.server_address[1]}\n")
        os.replace(beside, chosen.port_file)
    server.serve_forever()


if __name__ == "__main__":
    main()
