"""Bounded pieces of work, each with a claim of its own; `luck` is the only chance in them."""

import base64
import contextlib
import json
import time
import uuid

import zmq

from claims import claim
from daemon import PATIENCE, counted, output_of
from wires import PLAIN, Cut, Http, Refused, Req, Unix, WebSocket, Wrong, reached, wire
from zeromq import Json, MessagePack, hear, opened, published, request, tell

def same(seen, expected, what):
    if seen != expected:
        raise Wrong(f"{what}: seen {seen!r:.300}, expected {expected!r:.300}")


def any_wire(stage, luck):
    return wire(luck.choice([Unix, WebSocket, Req, Http]), stage.daemon)


def spawn(talk, command, agent_type="process", **more):
    config = {"command": command, **more} if command else more
    return talk.call("agent.spawn", agent_type=agent_type, config=config)["agent_id"]


def parrot(stage, *words):
    return [str(stage.daemon.programs / "parrot"), *map(str, words)]


def wait(talk, agent):
    """How an agent ended that nobody ends."""
    ended = talk.call("agent.wait", agent_id=agent, timeout_secs=PATIENCE - 5)
    if ended["status"] in ("killed", "lost"):
        raise Cut(f"{agent} is {ended['status']}")
    return ended


def killed(talk, agent, method="agent.kill", **how):
    status = talk.call(method, agent_id=agent, **how)["status"]
    if status == "lost":
        raise Cut(f"{agent} is lost")
    same(status, "killed", method)


def rows(talk, agent, stream):
    """The exact bytes of a stream, page by page."""
    found, cursor, more = b"", "start", {}
    while True:
        page = talk.call("agent.logs", agent_id=agent, stream=stream, limit=1000, **more)
        for row in page["logs"]:
            data = row.get("data")
            found += base64.b64decode(data) if data else row["message"].encode()
            found += b"" if row.get("partial") else b"\n"
        if not page["logs"]:
            return found
        cursor = page["cursor"]
        more = {"after": cursor}


@claim
def a_flood_is_kept_to_the_byte(stage, luck):
    size = luck.choice([1000, 70_000, 400_000, 2_000_000])
    with any_wire(stage, luck) as talk:
        agent = spawn(talk, parrot(stage, "blocks", size))
        same(wait(talk, agent)["status"], "completed", "a flood")
        kept = talk.call("agent.get", agent_id=agent)["output"]["bytes"]
        same(kept, size, "bytes of a flood")
        talk.call("agent.remove", agent_id=agent)


@claim
def long_lines_and_noise_come_back_exactly(stage, luck):
    with any_wire(stage, luck) as talk:
        long = luck.choice([10, 65_535, 65_536, 300_000])
        agent = spawn(talk, parrot(stage, "long", long))
        wait(talk, agent)
        same(len(rows(talk, agent, "stdout")), long, "bytes of a long line")
        noise = spawn(talk, parrot(stage, "noise", luck.randrange(1000), 150_000))
        wait(talk, noise)
        first = rows(talk, noise, "both")
        same(len(first) in (150_000, 150_001), True, f"bytes of noise ({len(first)})")
        same(rows(talk, noise, "stdout"), first, "noise read twice")


@claim
def trees_are_killed_whole(stage, luck):
    manner = luck.choice([["brood", 3, "forever"], ["flee", "all", "forever"], ["deaf", "forever"],
                          ["leave-behind", "forever"], ["brood", 2, "deaf", "forever"]])
    with any_wire(stage, luck) as talk:
        agent = spawn(talk, parrot(stage, *manner))
        deaf = "deaf" in manner or "all" in manner
        how = {"force": True} if luck.random() < 0.5 else {"grace_secs": 1 if deaf else 10}
        killed(talk, agent, **how)
        killed(talk, agent)


@claim
def policies_and_restarts_end(stage, luck):
    with any_wire(stage, luck) as talk:
        policy = {"policy": "on_failure", "max_restarts": 1, "window_secs": 60}
        agent = spawn(talk, ["sh", "-c", "echo up; exit 3"], restart=policy)
        same(wait(talk, agent)["exit"]["reason"], "restart_limit", "a policy")
        again = spawn(talk, ["sleep", "600"], env={"CANARY": "soak"})
        before = talk.call("agent.get", agent_id=again)["run"]
        talk.call("agent.restart", agent_id=again, grace_secs=5)
        talk.call("agent.pause", agent_id=again, force=True)
        talk.call("agent.resume", agent_id=again)
        same(talk.call("agent.get", agent_id=again)["run"], before + 1, "runs")
        killed(talk, again, "agent.stop")


@claim
def what_is_written_is_echoed(stage, luck):
    with any_wire(stage, luck) as talk:
        agent = spawn(talk, ["cat"])
        for number in range(10):
            talk.call("agent.write_stdin", agent_id=agent, text=f"{number}\n")
        talk.call("agent.write_stdin", agent_id=agent, text="", close=True)
        wait(talk, agent)
        same(rows(talk, agent, "stdout"), b"".join(b"%d\n" % n for n in range(10)), "an echo")


@claim
def a_spawn_with_a_key_is_done_once(stage, luck):
    key = str(uuid.UUID(int=luck.getrandbits(128)))
    params = {"agent_type": "process", "config": {"command": ["true"]}, "idempotency_key": key}
    # A key belongs to one principal, and on the Unix socket that is another one.
    wires = luck.choice([[Unix], [WebSocket, Req, Http]])
    found = set()
    for _ in range(3):
        with wire(luck.choice(wires), stage.daemon) as talk:
            found.add(talk.call("agent.spawn", **params)["agent_id"])
    same(len(found), 1, "agents of one key")
    with wire(luck.choice(wires), stage.daemon) as talk:
        try:
            talk.call("agent.spawn", **{**params, "config": {"command": ["false"]}})
        except Refused as refused:
            same(refused.reason, "idempotency_mismatch", "other parameters")
        else:
            raise Wrong("other parameters with the same key were accepted")


@claim
def a_batch_answers_in_the_order_asked(stage, luck):
    with any_wire(stage, luck) as talk:
        agents = [spawn(talk, ["sleep", "600"]) for _ in range(5)]
        luck.shuffle(agents)
        for command in ("status", "pause", "resume", "kill"):
            done = talk.call("agent.batch", agent_ids=agents, command=command)
            same([one["agent_id"] for one in done["results"]], agents, command)
            same(done["failed"], 0, f"failures of {command}")
    with wire(Unix, stage.daemon) as talk:
        calls = [request(number, "system.health") for number in range(20)]
        talk.send(json.dumps([*calls, {"jsonrpc": "2.0", "method": "system.health"}]))
        numbers = sorted(one["id"] for one in json.loads(talk.hear()))
        same(numbers, list(range(20)), "a batch of JSON-RPC")


@claim
def chats_answer_and_are_forgotten(stage, luck):
    with any_wire(stage, luck) as talk:
        chat = talk.call("chat.start", backend="basic", initial_prompt="count 20",
                         approvals="ask", env={"CANARY": "soak"})["session_id"]
        text = f"hello {luck.randrange(10**6)}"
        said = talk.call("chat.prompt", session_id=chat, prompt=text, wait=True,
                         timeout_secs=PATIENCE - 5)
        same((said["content"].strip(), said["outcome"]), (f"you said: {text}", "completed"),
             "an answer")
        talk.call("chat.prompt", session_id=chat, prompt="slow 100")
        stage.patiently(lambda: talk.call("chat.cancel", session_id=chat)["cancelled"], "a cancel")
        if luck.random() < 0.5:
            talk.call("chat.prompt", session_id=chat, prompt="run something")
            stage.patiently(lambda: decided(talk, chat, luck), "an approval")
        if luck.random() < 0.3:
            talk.call("chat.prompt", session_id=chat, prompt="exit 3")
        talk.call("chat.stop", session_id=chat)
        talk.call("chat.remove", session_id=chat)


def decided(talk, chat, luck):
    for one in talk.call("approval.list", session_id=chat, status="pending")["approvals"]:
        decision = luck.choice(["allow_once", "deny", "cancel"])
        talk.call("approval.decide", approval_id=one["approval_id"], decision=decision)
        return True
    return False


@claim
def a_reader_that_comes_and_goes_misses_nothing(stage, luck):
    lines = luck.randrange(200, 1500)
    script = (f"n=0; while [ $n -lt {lines} ]; do echo line $n; n=$((n+1)); "
              "[ $((n % 100)) -ne 0 ] || sleep 0.05; done")
    with wire(Unix, stage.daemon) as control:
        agent = spawn(control, ["sh", "-c", script])
    seen, cursor, ended = [], "start", False
    while not ended:
        with wire(luck.choice([Unix, WebSocket]), stage.daemon) as talk:
            talk.call("event.subscribe", topics=[f"agent/{agent}/"], after=cursor)
            for _ in range(luck.randrange(2, 30)):
                told = talk.notification()
                if told["method"] == "event.gap":
                    raise Wrong(f"a gap: {told}")
                if told["method"] != "event.next":
                    continue
                event = told["params"]["event"]
                seen.append(event)
                cursor = event["cursor"]
                if event["type"] == "agent.exited":
                    ended = True
                    break
    if seen[-1]["data"]["exit"].get("code") != 0:
        same(output_of(seen), counted(lines)[:len(output_of(seen))], "what a reader saw of it")
        raise Cut(f"{agent} was ended")
    same(output_of(seen), counted(lines), "what a reader saw")


@claim
def streams_of_http_end_with_their_readers(stage, luck):
    with wire(Unix, stage.daemon) as control:
        agent = spawn(control, ["sh", "-c", "for n in $(seq 200); do echo $n; done; sleep 600"])
        text = ""
        with stage.stream(f"/events?topic=agent/{agent}/output&after=start") as lines:
            while text.count("\n") < 200:
                line = lines.readline()
                if not line:
                    raise ConnectionError("the stream ended")
                if line.startswith(b"data: ") and b'"agent.output"' in line:
                    text += json.loads(line[6:])["data"]["text"]
        same(text, "".join(f"{n}\n" for n in range(1, 201)), "a stream of HTTP")
        with stage.stream(f"/agents/{agent}/logs?follow=1") as lines:
            same(lines.readline(), b"1\n", "logs that are followed")
        control.call("agent.kill", agent_id=agent, force=True)


@claim
def those_that_never_read_hold_up_nobody(stage, luck):
    with contextlib.ExitStack() as silent:
        for kind in (Unix, WebSocket, Unix):
            talk = silent.enter_context(wire(kind, stage.daemon))
            talk.call("event.subscribe", topics=["agent/", "system"], after="start")
        silent.enter_context(stage.stream("/events?topic=agent/&after=start"))
        dealer = silent.enter_context(reached(zmq.DEALER, stage.daemon, rcvhwm=1))
        tell(dealer, Json, request(1, "event.subscribe", topics=["agent/"]))
        with any_wire(stage, luck) as talk:
            agent = spawn(talk, parrot(stage, "blocks", 3_000_000))
            same(wait(talk, agent)["status"], "completed", "a flood beside silent readers")
        time.sleep(luck.random())


@claim
def zeromq_tells_every_event_in_its_order(stage, luck):
    place = luck.randrange(2)
    with opened(zmq.SUB, stage.daemon.pub[place], **({} if place else PLAIN)) as subscriber:
        with wire(Req, stage.daemon, place) as talk:
            agent = talk.call("agent.spawn", agent_type="process",
                              config={"command": ["cat"]})["agent_id"]
            subscriber.subscribe(f"agent/{agent}/")
            stage.patiently(lambda: heard(talk, agent, subscriber), "a subscription")
            for number in range(20):
                talk.call("agent.write_stdin", agent_id=agent, text=f"{number}\n")
            offsets, text = [], ""
            while "19\n" not in text:
                topic, event = published(subscriber)
                if topic.endswith("/output"):
                    offsets.append(event["offset"])
                    text += event["data"]["text"]
            same(offsets, list(range(offsets[0], offsets[0] + len(offsets))), "offsets")
            talk.call("agent.kill", agent_id=agent, force=True)


def heard(talk, agent, subscriber):
    talk.call("agent.write_stdin", agent_id=agent, text="probe\n")
    return subscriber.poll(200) != 0


@claim
def a_dealer_gets_each_answer_once(stage, luck):
    with reached(zmq.DEALER, stage.daemon, luck.randrange(2)) as dealer:
        codec = luck.choice([Json, MessagePack])
        for number in range(50):
            tell(dealer, codec, request(number, "system.health"))
        numbers = sorted(hear(dealer, codec)["id"] for _ in range(50))
        same(numbers, list(range(50)), "answers of a dealer")
        tell(dealer, MessagePack, {"type": "health_check_request", "request_id": "h"})
        same(hear(dealer, MessagePack)["request_id"], "h", "the agent protocol")


@claim
def waits_end_with_their_connections(stage, luck):
    with wire(Unix, stage.daemon) as control:
        agent = spawn(control, ["sleep", "600"])
        for kind in (Unix, WebSocket):
            with wire(kind, stage.daemon) as talk:
                for method in ("agent.wait", "event.read", "agent.logs"):
                    params = {"timeout_secs": 600} if method == "agent.wait" else {"wait_ms": 30000}
                    if method == "event.read":
                        params |= {"topics": ["system"], "after": "now"}
                    else:
                        params |= {"agent_id": agent}
                    if method == "agent.logs":
                        params |= {"offset": 0}
                    talk.send(json.dumps(request(7, method, **params)))
                same(talk.call("system.health")["api_version"][:2], "1.", "a call beside waits")
        control.call("agent.kill", agent_id=agent, force=True)


@claim
def keys_are_made_and_revoked(stage, luck):
    with any_wire(stage, luck) as talk:
        made = talk.call("auth.key.create", name="soak", role="viewer")
        with wire(Unix, stage.daemon) as guest:
            guest.call("auth.login", token=made["key"])
            guest.call("event.subscribe", topics=["agent/"], after="now")
            talk.call("auth.key.revoke", key_id=made["key_id"])
            told = guest.notification()
            while told["method"] != "event.ended":
                told = guest.notification()
            same(told["params"]["reason"] in ("forbidden", "token_expired"), True, "an end")
