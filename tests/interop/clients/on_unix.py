"""Raw lines on the Unix socket: with a plain socket, and with `socat`."""

import json
import shutil
import socket
import subprocess

from claims import Skipped, claim, same
from daemon import PATIENCE, counted, output_of


def line(number, method, **params):
    return json.dumps({"jsonrpc": "2.0", "id": number, "method": method, "params": params}) + "\n"


def connect(stage):
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(PATIENCE)
    connection.connect(stage.daemon.socket)
    return connection


@claim
def messages_may_come_together_or_in_pieces(stage):
    with connect(stage) as connection:
        lines = connection.makefile("r", encoding="utf-8")
        together = "".join(line(n, "system.health") for n in range(3))
        connection.sendall(together.encode())
        same(sorted(json.loads(lines.readline())["id"] for _ in range(3)), [0, 1, 2])
        for byte in line(4, "system.health").encode():
            connection.sendall(bytes([byte]))
        same(json.loads(lines.readline())["id"], 4)
        connection.sendall(b"rubbish\r\n\n" + line(5, "system.health").encode())
        same(json.loads(lines.readline())["error"]["code"], -32700)
        same(json.loads(lines.readline())["id"], 5)


@claim
def a_subscription_follows_an_agent_beside_calls(stage):
    agent = stage.daemon.spawn_counter(200, 0.01)
    seen, answers = [], []
    with connect(stage) as connection:
        connection.sendall(line(1, "event.subscribe", topics=[f"agent/{agent}/"]).encode())
        for text in connection.makefile("r", encoding="utf-8"):
            message = json.loads(text)
            if message.get("method") == "event.next":
                event = message["params"]["event"]
                seen.append(event)
                if event["type"] == "agent.exited":
                    break
                connection.sendall(line(len(seen) + 1, "system.health").encode())
            elif "id" in message:
                answers.append(message["id"])
    same(output_of(seen), counted(200))
    same(answers, list(range(1, len(answers) + 1)))


@claim
def socat_is_a_client(stage):
    if not shutil.which("socat"):
        raise Skipped("socat is not installed")
    asked = line(1, "system.health") + line(2, "rpc.discover")
    target = f"UNIX-CONNECT:{stage.daemon.socket}"
    said = subprocess.run(["socat", "-t", "5", "-", target], input=asked, text=True, check=True,
                          capture_output=True, timeout=PATIENCE)
    answers = {json.loads(text)["id"]: json.loads(text) for text in said.stdout.splitlines()}
    same(answers[1]["result"]["status"], "healthy")
    same(answers[2]["result"]["openrpc"][:2], "1.")
