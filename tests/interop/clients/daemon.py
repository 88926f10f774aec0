"""A real daemon in directories of its own, on free ports."""

import json
import os
import pathlib
import signal
import subprocess
import time
import urllib.error
import urllib.request

PATIENCE = 60


class Daemon:
    def __init__(self, home, allowed_origins, server="", auth="trust_loopback = true\n"):
        self.home = pathlib.Path(home)
        self.programs = pathlib.Path(os.environ["DESCARTES_TEST_PROGRAMS"])
        self.process = None
        self.ends = None
        self.runtime = self.home / "run"
        origins = json.dumps(allowed_origins)
        config = f"[server]\nallowed_origins = {origins}\n{server}[auth]\n{auth}"
        (self.home / "daemon.toml").write_text(config)

    def start(self):
        """Starts it; a second time on the ports that it had."""
        command = [self.programs / "descartes-daemon", "--config", self.home / "daemon.toml",
                   "--data-dir", self.home / "data", f"--http-port={self.port('http')}",
                   f"--ws-port={self.port('ws')}", f"--zmq-port={self.port('zmq')}",
                   f"--pub-port={self.port('pub')}"]
        environment = dict(os.environ, HOME=str(self.home), DESCARTES_RUNTIME_DIR=str(self.runtime))
        published = self.runtime / "endpoints.json"
        published.unlink(missing_ok=True)
        self.process = None
        began = time.monotonic()
        while not published.exists():
            late = time.monotonic() - began > PATIENCE
            if self.process is None or self.process.poll() is not None:
                # A connection of somebody else may have had one of its ports for a moment.
                if self.process and (late or "in use" not in self.log()):
                    raise AssertionError(f"the daemon does not start:\n{self.log()}")
                with open(self.home / "log", "ab") as log:
                    self.process = subprocess.Popen(command, env=environment, stdout=log,
                                                    stdin=subprocess.DEVNULL, stderr=log)
            elif late:
                raise AssertionError(f"the daemon is not ready:\n{self.log()}")
            time.sleep(0.01)
        self.ends = json.loads(published.read_text())

    def port(self, name):
        return self.ends[name].rsplit(":", 1)[1].strip("/") if self.ends else 0

    @property
    def zmq(self):
        """Where ZeroMQ is served: by TCP, and in the runtime directory."""
        return [self.ends["zmq"], f"ipc://{self.runtime}/zmq.sock"]

    @property
    def pub(self):
        """Where events are published."""
        return [self.ends["pub"], f"ipc://{self.runtime}/pub.sock"]

    @property
    def url(self):
        return self.ends["http"].rstrip("/")

    @property
    def sockets(self):
        """Where WebSockets are served: on the port of HTTP, and alone; nowhere before they are."""
        try:
            urllib.request.urlopen(f"{self.url}/ws", timeout=PATIENCE).close()
        except urllib.error.HTTPError as refused:
            if refused.code == 404:
                return []
        return [self.ws, self.ends["ws"]]

    @property
    def ws(self):
        return self.url.replace("http", "ws", 1) + "/ws"

    @property
    def socket(self):
        return self.ends["unix"]

    def kill(self):
        """As `kill -9`."""
        if self.process and self.process.poll() is None:
            self.process.kill()
        if self.process:
            self.process.wait(PATIENCE)

    def begin_stop(self):
        self.process.send_signal(signal.SIGTERM)

    def log(self):
        return (self.home / "log").read_text(errors="replace")

    def call(self, method, **params):
        """The result of a call, by the plainest means there is."""
        answer = self.answer(method, **params)
        if "error" in answer:
            raise AssertionError(f"{method}: {answer['error']}")
        return answer["result"]

    def answer(self, method, **params):
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
        head = {"Content-Type": "application/json"}
        request = urllib.request.Request(self.url, body.encode(), head)
        with urllib.request.urlopen(request, timeout=PATIENCE) as response:
            return json.load(response)

    def spawn_counter(self, lines, pause=0):
        """An agent that prints so many lines, with a pause after each ten; its identifier."""
        script = (f"n=0; while [ $n -lt {lines} ]; do echo line $n; n=$((n+1)); "
                  f"[ $((n % 10)) -ne 0 ] || sleep {pause}; done")
        config = {"command": ["sh", "-c", script]}
        return self.call("agent.spawn", agent_type="process", config=config)["agent_id"]

    def wait(self, agent):
        return self.call("agent.wait", agent_id=agent, timeout_secs=PATIENCE - 5)

    def history(self, topics):
        """Every event of these topics, read page by page."""
        events, cursor = [], "start"
        while True:
            page = self.call("event.read", topics=topics, after=cursor, limit=1000)
            events += page["events"]
            cursor = page["cursor"]
            if page["synced"]:
                return events


def counted(lines):
    """What `spawn_counter` makes an agent print."""
    return "".join(f"line {n}\n" for n in range(lines))


def output_of(events):
    """The text of the output among these events."""
    return "".join(e["data"]["text"] for e in events if e["type"] == "agent.output")
