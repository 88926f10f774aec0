"""What a daemon holds while nothing happens: descriptors, threads, tasks, files, memory."""

import collections
import os
import pathlib
import re
import time

# Patience until everything is back: threads of the runtime live on for ten seconds, the slowest
# wait of the daemon that is not one of its callers' is a minute.
PATIENCE = 90
# Threads of the runtime end after ten seconds without work, and a look is work for one or two of
# them, in turn: who looks all the time sees all of them for ever.
IDLE = 12
# How much more memory than after the warm round is no leak: caches that are not yet full, and what
# the allocator keeps of bursts.
MARGIN_BYTES = 48 * 1024 * 1024
# How much memory may be added in each round, in the long run; a round makes some hundred connections
# and fifty agents.
MARGIN_PER_ROUND = 256 * 1024
# Rounds of one process until a trend can be told from caches that fill.
TREND_ROUNDS = 24
# The store keeps up to two readers open once it has needed them; of four that were closed SQLite
# keeps the descriptor of the database for the next ones, because closing it would end its locks.
POOLED = {"fd journal.db": 4, "fd journal.db-wal": 2}
GAUGES = ["descartes_tasks", "subscriptions_active", "agents_active", "approvals_pending",
          "agents_blocked_on_output"]


def descriptors(pid):
    """How many of each kind: a number or a path is no kind."""
    kinds = collections.Counter()
    for number in os.listdir(f"/proc/{pid}/fd"):
        try:
            target = os.readlink(f"/proc/{pid}/fd/{number}")
        except FileNotFoundError:
            continue
        if target.startswith("/"):
            target = re.sub(r"\d+", "N", pathlib.Path(target).name)
        kinds[re.sub(r":?\[?\d+\]?", "", target)] += 1
    return dict(sorted(kinds.items()))


def children(pid):
    found = []
    for task in os.listdir(f"/proc/{pid}/task"):
        try:
            found += pathlib.Path(f"/proc/{pid}/task/{task}/children").read_text().split()
        except (FileNotFoundError, ProcessLookupError):
            continue
    return len(found)


def status(pid, name):
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(name + ":"):
            return int(line.split()[1])
    raise AssertionError(f"no {name}")


def marked(home):
    """Processes that began in an agent of this daemon, wherever they are: they bear its home."""
    found = 0
    for entry in os.scandir("/proc"):
        try:
            if entry.name.isdigit() and os.fsencode(f"SOAK_HOME={home}") in (
                    pathlib.Path(entry.path, "environ").read_bytes().split(b"\0")):
                found += 1
        except OSError:
            continue
    return found


def samples(daemon):
    """The numbers without labels of the page of numbers, and connections in all."""
    found = {"connections": 0}
    for line in daemon.numbers().splitlines():
        name, _, value = line.rpartition(" ")
        if name.startswith("connections_active"):
            found["connections"] += int(value)
        elif name in GAUGES:
            found[name] = int(value)
    return found


def listed(folder):
    return sum(len(files) for _, _, files in os.walk(folder))


def look(daemon):
    """Everything that has to come back, by name; memory apart."""
    pid = daemon.process.pid
    found = {f"fd {kind}": count for kind, count in descriptors(pid).items()}
    found["threads"] = status(pid, "Threads")
    found["children"] = children(pid)
    found["processes of agents"] = marked(daemon.home)
    found["secrets"] = listed(daemon.home / "data" / "secrets")
    found["files of the runtime directory"] = listed(daemon.runtime)
    found["temporary files"] = listed(daemon.home / "tmp")
    found.update(samples(daemon))
    found["connections by system.metrics"] = (
        daemon.call("system.metrics")["system"]["active_connections"])
    return found


def memory(daemon):
    return status(daemon.process.pid, "VmRSS") * 1024


def excess(before, now):
    """What there is more of than before, as text; fewer is no leak."""
    return {name: f"{before.get(name, 0)} -> {count}"
            for name, count in now.items() if count > before.get(name, 0) + POOLED.get(name, 0)}


def settle(daemon, before):
    """Waits until nothing is in excess of `before`; what is there then, and what stayed."""
    began = time.monotonic()
    while True:
        now = look(daemon)
        more = excess(before, now)
        waited = time.monotonic() - began
        if not more or waited > PATIENCE:
            return now, more
        time.sleep(0.5 if waited < 3 else IDLE)


def still(daemon):
    """What is there once two looks, a second apart, see the same and nothing of agents."""
    began, last = time.monotonic(), None
    while time.monotonic() - began < PATIENCE:
        now = look(daemon)
        if now == last and time.monotonic() - began > IDLE:
            return now
        last = now
        time.sleep(1)
    return last


def slope(values):
    """Growth per round, by least squares."""
    count = len(values)
    middle, mean = (count - 1) / 2, sum(values) / count
    spread = sum((place - middle) ** 2 for place in range(count))
    return sum((place - middle) * (value - mean) for place, value in enumerate(values)) / spread


def grown(sizes):
    """Why these sizes of memory, one a round and the warm one first, are a leak; else nothing."""
    if len(sizes) > 1 and sizes[-1] - sizes[0] > MARGIN_BYTES:
        return f"memory: {sizes[0]} -> {sizes[-1]} bytes"
    # The first half fills caches.
    late = sizes[len(sizes) // 2:]
    if len(sizes) >= TREND_ROUNDS and slope(late) > MARGIN_PER_ROUND:
        return f"memory grows by {slope(late):.0f} bytes a round"
    return None
