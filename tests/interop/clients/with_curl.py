"""`curl -N` on server-sent events, as somebody does it by hand."""

import json
import re
import shutil
import subprocess

from claims import Skipped, claim, holds, same
from daemon import PATIENCE, counted, output_of


def follow(url, agent, last, enough):
    """Runs curl until `enough` of what it prints is so; the events with their ids."""
    if not shutil.which("curl"):
        raise Skipped("curl is not installed")
    command = ["curl", "--silent", "--show-error", "--no-buffer", "--max-time", str(PATIENCE)]
    if last:
        command += ["--header", f"Last-Event-ID: {last}"]
    command.append(f"{url}/events?topic=agent/{agent}/")
    curl = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    found, number = [], None
    try:
        for line in curl.stdout:
            number = line.removeprefix("id: ").strip() if line.startswith("id: ") else number
            if line.startswith("data: "):
                data = json.loads(line.removeprefix("data: "))
                if "seq" in data:
                    found.append((number, data))
                if enough(found):
                    return found
    finally:
        curl.kill()
        curl.wait()
    raise AssertionError(f"the stream ended after {len(found)} events")


@claim
def a_stream_can_be_cut_and_taken_up_by_hand(stage):
    agent = stage.daemon.spawn_counter(100, 0.02)
    first = follow(stage.daemon.url, agent, None, lambda found: len(found) == 4)
    rest = follow(stage.daemon.url, agent, first[-1][0],
                  lambda found: found and found[-1][1]["type"] == "agent.exited")
    events = [event for _, event in first + rest]
    same([e["seq"] for e in events],
         [e["seq"] for e in stage.daemon.history([f"agent/{agent}/"])])
    same(output_of(events), counted(100))


@claim
def the_command_in_the_readme_works_with_an_address(stage):
    url = stage.daemon.url
    said = subprocess.run(["curl", "-s", f"{url}/health"], capture_output=True, check=True)
    same(said.stdout, b"OK")
    head = subprocess.run(["curl", "-sI", f"{url}/health"], capture_output=True, check=True, text=True)
    holds(re.search(r"(?im)^descartes-api: 1\.", head.stdout), head.stdout)
