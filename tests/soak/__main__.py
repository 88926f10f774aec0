"""Rounds of mixed load on one daemon; see `run`."""

import argparse
import concurrent.futures
import contextlib
import http.client
import os
import random
import signal
import sys
import tempfile
import time
import traceback
import urllib.error

import websockets.exceptions
import zmq

import broken
import loads
import quiet
from claims import claims
from daemon import PATIENCE
from wires import HEADERS, KEY, Cut, Guarded, Refused, Unix, Wrong, wire

LOADS = claims(loads) + claims(broken)
# Loads at work at once.
WORKERS = 4
# Steady rounds of one process of the daemon, between two restarts; the first one warms it.
STEADY = 5
# What clients see of a daemon that is restarted.
GONE = (OSError, http.client.HTTPException, websockets.exceptions.WebSocketException, zmq.ZMQError,
        urllib.error.URLError, ValueError, AssertionError)
# What it answers where a restart has ended something, or while it drains.
CUT = {"unavailable", "agent_not_found", "conflict", "not_found", "timeout", "connection_lost",
       "cancelled", "state_error"}


class Stage:
    """What the loads share."""

    def __init__(self, home):
        self.home = home
        server = "metrics_port = 0\nmax_connections_per_address = 4096\n"
        os.makedirs(f"{home}/tmp")
        os.environ.update(SOAK_HOME=home, TMPDIR=f"{home}/tmp")
        self.daemon = Guarded(home, [], server=server,
                             auth=f'enabled = true\napi_key = "{KEY}"\n'
                                  "[backends.process]\n"
                                  'pass_env = ["SOAK_HOME"]\n[backends.basic]\n'
                                  'pass_env = ["SOAK_HOME"]\n')

    @contextlib.contextmanager
    def stream(self, path):
        """An answer of HTTP that has no end, as a file of lines."""
        host = self.daemon.url.split("://")[1]
        connection = http.client.HTTPConnection(host, timeout=PATIENCE)
        try:
            connection.request("GET", path, headers={"Accept": "text/event-stream", **HEADERS})
            answer = connection.getresponse()
            if answer.status != 200:
                raise Wrong(f"{path}: {answer.status} {answer.read()}")
            yield answer
        finally:
            connection.close()

    def patiently(self, attempt, what):
        began = time.monotonic()
        while not attempt():
            if time.monotonic() - began > PATIENCE:
                raise Wrong(f"never seen: {what}")
            time.sleep(0.05)

    def clear(self):
        """Ends and forgets everything that the loads made, so that nothing of it may be left."""
        # A call whose caller went away may still be at work.
        self.patiently(self.forget, "an end of all agents")

    def forget(self):
        """Tells whether no agent is left."""
        with wire(Unix, self.daemon) as talk:
            while chats := talk.call("chat.list", include_closed=True)["sessions"]:
                for chat in chats:
                    talk.call("chat.stop", session_id=chat["session_id"])
                    talk.call("chat.remove", session_id=chat["session_id"])
            if agents := talk.call("agent.list", limit=1000)["agents"]:
                ids = [agent["id"] for agent in agents]
                talk.call("agent.batch", agent_ids=ids, command="kill")
            talk.call("agent.prune", older_than_secs=0)
            return talk.call("agent.list", status="any")["total"] == 0


def attempt(stage, function, seed, stormy):
    """How long it took, and why it failed, or nothing."""
    began = time.monotonic()
    why = failure(stage, function, seed, stormy)
    return time.monotonic() - began, why


def failure(stage, function, seed, stormy):
    try:
        function(stage, random.Random(f"{seed} {function.__name__}"))
    except Wrong:
        return traceback.format_exc()
    except Refused as refused:
        return None if stormy and refused.kind in CUT else traceback.format_exc()
    except (Cut, *GONE):
        return None if stormy else traceback.format_exc()
    except Exception:
        return traceback.format_exc()
    return None


def storm(stage, luck, ending):
    """Restarts the daemon while loads are at work."""
    time.sleep(luck.uniform(0.3, 3))
    if ending == signal.SIGKILL:
        stage.daemon.kill()
    else:
        stage.daemon.begin_stop()
        code = stage.daemon.process.wait(PATIENCE)
        if code != 0:
            raise Wrong(f"SIGTERM ended it with {code}")
    stage.daemon.start()


def load_round(stage, seed, disturb=None):
    """Every load once, in any order, several at a time; what failed, and what took longest."""
    luck = random.Random(seed)
    order = LOADS[:]
    luck.shuffle(order)
    with concurrent.futures.ThreadPoolExecutor(WORKERS) as pool:
        work = {pool.submit(attempt, stage, one, seed, disturb is not None): one for one in order}
        if disturb:
            storm(stage, luck, disturb)
        done = {one.__name__: future.result() for future, one in work.items()}
    took, slowest = max((took, name) for name, (took, _) in done.items())
    return {name: why for name, (_, why) in done.items() if why}, f"{slowest} took {took:.1f} s"


def reload(stage, number):
    """A good configuration and a bad one; the daemon goes on with the good one."""
    file = stage.daemon.home / "daemon.toml"
    kept = file.read_text()
    file.write_text(kept + ("[agents]\nstop_grace_secs = 7\n" if number % 2 else "[nonsense]\n"))
    os.kill(stage.daemon.process.pid, signal.SIGHUP)
    time.sleep(0.5)
    file.write_text(kept)
    os.kill(stage.daemon.process.pid, signal.SIGHUP)


class Soak:
    def __init__(self, stage, arguments):
        self.stage, self.arguments = stage, arguments
        self.began = time.monotonic()
        self.number = 0
        self.failures = 0
        self.before, self.sizes = None, []

    def over(self):
        return time.monotonic() - self.began > self.arguments.minutes * 60

    def told(self, what, failed):
        self.failures += len(failed)
        minutes = (time.monotonic() - self.began) / 60
        print(f"{'FAILED' if failed else 'ok'}: round {self.number} at {minutes:.1f} min: {what}",
              flush=True)
        for name, why in failed.items():
            print(f"  {name}: {why}", flush=True)

    def steady(self):
        self.number += 1
        if self.number % 3 == 0:
            reload(self.stage, self.number)
        began = time.monotonic()
        failed, slowest = load_round(self.stage, f"{self.arguments.seed}.{self.number}")
        worked = time.monotonic() - began
        self.stage.clear()
        if self.before is None:
            now, more = quiet.still(self.stage.daemon), {}
            self.before, self.sizes = now, []
        else:
            now, more = quiet.settle(self.stage.daemon, self.before)
        self.sizes.append(quiet.memory(self.stage.daemon))
        if more:
            failed["not back"] = more
        if why := quiet.grown(self.sizes):
            failed["memory"] = f"{why}: {self.sizes}"
        tasks = now.get("descartes_tasks", "?")
        descriptors = sum(count for name, count in now.items() if name.startswith("fd "))
        self.told(f"{len(LOADS)} loads in {worked:.1f} s ({slowest}); "
                  f"{self.sizes[-1] // 1024} KiB, "
                  f"{descriptors} descriptors, {now['threads']} threads, {tasks} tasks", failed)
        time.sleep(self.arguments.rest)

    def storm(self, ending):
        self.number += 1
        seed = f"{self.arguments.seed}.{self.number}"
        failed, slowest = load_round(self.stage, seed, disturb=ending)
        self.stage.clear()
        self.before = None
        self.told(f"restarted by {ending.name} under load ({slowest})", failed)

    def run(self):
        self.stage.daemon.start()
        endings = [signal.SIGTERM, signal.SIGKILL]
        while not self.over():
            for _ in range(self.arguments.steady):
                if not self.over() or self.before is None or len(self.sizes) < 2:
                    self.steady()
            if not self.over():
                self.storm(endings[0])
                endings.reverse()
        self.stage.daemon.begin_stop()
        code = self.stage.daemon.process.wait(PATIENCE)
        if code != 0 or quiet.marked(self.stage.home):
            self.told(f"the end: exit code {code}", {"end": "agents are left, or it failed"})


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=1)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--rest", type=float, default=0, help="seconds of quiet after each round")
    parser.add_argument("--steady", type=int, default=STEADY, help="rounds between two restarts")
    arguments = parser.parse_args()
    # Who is asked to end ends its daemon.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    print(f"seed {arguments.seed}", flush=True)
    with tempfile.TemporaryDirectory(prefix="descartes-soak-") as home:
        soak = Soak(Stage(home), arguments)
        try:
            soak.run()
        finally:
            soak.stage.daemon.kill()
            if soak.failures:
                print(soak.stage.daemon.log()[-20000:])
    print(f"{soak.number} rounds, {soak.failures} failures, {len(LOADS)} loads")
    sys.exit(1 if soak.failures else 0)


main()
