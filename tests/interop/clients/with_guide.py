"""The code of the guide `docs/follow-events.md`, as it stands there."""

import pathlib
import re
import threading
import time

from claims import claim, holds, same
from daemon import counted, output_of

GUIDE = pathlib.Path(__file__).parents[3] / "docs" / "follow-events.md"


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```$", GUIDE.read_text(), re.M | re.S)


def code(containing):
    """The definitions of the one block that has `containing`."""
    (block,) = [block for block in blocks("python") if containing in block]
    names = {}
    exec(compile(block, str(GUIDE), "exec"), names)
    return names


def kill_and_start(daemon):
    """Ends the daemon in the middle of something, twice."""
    def work():
        for _ in range(2):
            time.sleep(0.3)
            daemon.kill()
            time.sleep(0.2)
            daemon.start()
    thread = threading.Thread(target=work)
    thread.start()
    return thread


def started_again(events):
    return sum(event["type"] == "system.started" for event in events)


@claim
def the_loop_around_event_read_goes_on_through_a_killed_daemon(stage):
    daemon = stage.daemon
    follow = code("def follow")["follow"]
    topics = ["agent/", "system"]
    before, seen = started_again(daemon.history(["system"])), []
    thread = kill_and_start(daemon)
    for _, gaps, events in follow(daemon.url, topics):
        same(gaps, [])
        seen += events
        if started_again(seen) == before + 2:
            break
    thread.join()
    agent = daemon.spawn_counter(50)
    cursor = seen[-1]["cursor"]
    for cursor, _, events in follow(daemon.url, topics, cursor):
        seen += events
        if events[-1]["type"] == "agent.exited":
            break
    history = [e["seq"] for e in daemon.history(topics) if e["seq"] <= seen[-1]["seq"]]
    same([e["seq"] for e in seen], history)
    same(output_of(e for e in seen if e["topic"] == f"agent/{agent}/output"), counted(50))


@claim
def an_error_that_no_retry_helps_is_raised(stage):
    names = code("def follow")
    try:
        next(names["follow"](stage.daemon.url, ["agent/"], "no cursor"))
        raise AssertionError("a cursor that is none was taken")
    except names["Refused"]:
        pass


@claim
def the_subscription_on_a_socket_goes_on_through_a_killed_daemon(stage):
    daemon = stage.daemon
    subscription = code("def subscription")["subscription"]
    before = started_again(daemon.history(["system"]))
    thread = kill_and_start(daemon)
    cursor, seen, lost = "start", [], 0
    while started_again(seen) < before + 2:
        try:
            for cursor, method, params in subscription(daemon.socket, ["agent/", "system"], cursor):
                if method == "event.next":
                    seen.append(params["event"])
                if started_again(seen) == before + 2:
                    break
        except OSError:
            lost += 1
        time.sleep(0.05)
    thread.join()
    history = [e["seq"] for e in daemon.history(["agent/", "system"])]
    same([e["seq"] for e in seen], history[:len(seen)])
    holds(lost or len(seen), "the daemon was away")


@claim
def every_block_in_python_is_run_here(stage):
    same(len(blocks("python")), 2)
    for block in blocks("python"):
        holds("def follow" in block or "def subscription" in block, block)
    same(len(blocks("js")), 1, "the one in JavaScript is run in the browser;")
