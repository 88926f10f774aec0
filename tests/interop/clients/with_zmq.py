"""libzmq through `pyzmq`: REQ, DEALER and SUB in both codecs, envelopes, proxies, heartbeats, kills."""

import contextlib
import json
import pathlib
import queue
import re
import signal
import subprocess
import sys
import threading
import time

import zmq
from zmq.utils.monitor import recv_monitor_message

from claims import Skipped, claim, holds, same
from daemon import PATIENCE, counted, output_of
from zeromq import CODECS, Json, MessagePack, ask, hear, opened, published, request, tell

ROOT = pathlib.Path(__file__).parents[3]


def requires(stage):
    """Said before any claim of this module is tried."""
    if "zmq" not in stage.daemon.ends:
        raise Skipped("this daemon has no ZeroMQ")


@claim
def req_is_answered_in_both_codecs_over_tcp_and_ipc(stage):
    for place in stage.daemon.zmq:
        for codec in CODECS:
            with opened(zmq.REQ, place) as socket:
                for number in range(20):
                    answer = ask(socket, codec, request(number, "system.health"))
                    same((answer["id"], answer["result"]["status"]), (number, "healthy"), place)
                refused = ask(socket, codec, request("x", "agent.fly"))
                same((refused["id"], refused["error"]["code"]), ("x", -32601), codec.name)


@claim
def what_is_no_request_is_answered_too(stage):
    with opened(zmq.REQ, stage.daemon.zmq[0]) as socket:
        socket.send(b'{"jsonrpc')
        same(Json.read(socket.recv())["error"]["code"], -32700)
        socket.send(b"\x81\xa7jsonrpc")
        same(MessagePack.read(socket.recv())["error"]["code"], -32700)
        same(ask(socket, Json, request(1, "system.health"))["id"], 1)


@claim
def dealers_ask_without_waiting_in_both_codecs_at_once(stage):
    for place in stage.daemon.zmq:
        with opened(zmq.DEALER, place) as dealer:
            asked = {}
            for number in range(200):
                envelope = (b"in JSON" if number % 2 == 0 else b"packed", b"")
                asked.setdefault(envelope, set()).add(number)
                tell(dealer, CODECS[number % 2], request(number, "system.health"), envelope)
            for _ in range(200):
                *envelope, body = dealer.recv_multipart()
                codec = Json if envelope[0] == b"in JSON" else MessagePack
                asked[tuple(envelope)].remove(codec.read(body)["id"])


@claim
def envelopes_come_back_as_they_were(stage):
    envelopes = [(), (b"",), (b"one", b""), (b"one", b"two", b"three", b""), (b"x" * 200, b"")]
    with opened(zmq.DEALER, stage.daemon.zmq[0]) as dealer:
        for codec in CODECS:
            for number, envelope in enumerate(envelopes):
                tell(dealer, codec, request(number, "system.health"), envelope)
                same(hear(dealer, codec, envelope)["id"], number, envelope)


@contextlib.contextmanager
def proxy(stage):
    """A ROUTER in front of a DEALER, as people put them between; where it listens."""
    context = zmq.Context()
    front, back = context.socket(zmq.ROUTER), context.socket(zmq.DEALER)
    port = front.bind_to_random_port("tcp://127.0.0.1")
    back.connect(stage.daemon.zmq[0])

    def run():
        with contextlib.suppress(zmq.ContextTerminated):
            zmq.proxy(front, back)
        for socket in (front, back):
            socket.close(linger=0)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield f"tcp://127.0.0.1:{port}"
    finally:
        context.term()
        thread.join()


@claim
def many_behind_one_proxy_get_each_its_own_answers(stage):
    with proxy(stage) as place, contextlib.ExitStack() as stack:
        reqs = [stack.enter_context(opened(zmq.REQ, place)) for _ in range(10)]
        for turn in range(10):
            for number, socket in enumerate(reqs):
                socket.send(CODECS[number % 2].write(request(f"{number} {turn}", "system.health")))
            for number, socket in enumerate(reqs):
                answer = CODECS[number % 2].read(socket.recv())
                same(answer["id"], f"{number} {turn}")


@claim
def messages_of_five_megabytes_go_both_ways(stage):
    params = {"text": "x" * 5_000_000}
    agent = stage.daemon.call("agent.spawn", agent_type="basic")["agent_id"]
    for place in stage.daemon.zmq:
        with opened(zmq.REQ, place) as socket:
            answer = ask(socket, MessagePack, {
                "type": "custom_action_request", "request_id": "big", "agent_id": agent,
                "action": "echo", "params": params})
            same((answer["type"], answer["request_id"]), ("command_response", "big"))
            holds(answer["success"], answer.get("error"))
            holds(answer["data"] == params, "five megabytes came back as they were")


@claim
def what_is_too_long_is_refused_and_the_connection_goes_on(stage):
    with opened(zmq.DEALER, stage.daemon.zmq[0]) as dealer:
        tell(dealer, Json, request(1, "state.put", key="long", value="x" * (1 << 20)))
        answer = hear(dealer, Json)
        same((answer["id"], answer["error"]["code"]), (None, -32011))
        tell(dealer, Json, request(2, "system.health"))
        same(hear(dealer, Json)["id"], 2)


def follow(dealer, codec, topic):
    """Subscribes, and gives what comes until an agent has exited."""
    tell(dealer, codec, request("s", "event.subscribe", topics=[topic]))
    same(hear(dealer, codec)["id"], "s")
    while True:
        told = hear(dealer, codec)
        if told["method"] == "event.next":
            yield told["params"]["event"]
            if told["params"]["event"]["type"] == "agent.exited":
                return


@claim
def dealers_subscribe_and_call_beside_it(stage):
    for place in stage.daemon.zmq:
        for codec in CODECS:
            agent = stage.daemon.spawn_counter(200)
            with opened(zmq.DEALER, place) as dealer:
                seen = list(follow(dealer, codec, f"agent/{agent}/"))
                same(output_of(seen), counted(200))
                same(seen, stage.daemon.history([f"agent/{agent}/"]))


def listener(stage):
    """An agent that says what is written to it."""
    config = {"command": ["cat"]}
    return stage.daemon.call("agent.spawn", agent_type="process", config=config)["agent_id"]


def until_heard(stage, subscriber, agent):
    """Makes the agent speak until the subscriber hears it: then its subscription is known."""
    subscriber.rcvtimeo = 50
    for number in range(PATIENCE * 20):
        stage.daemon.call("agent.write_stdin", agent_id=agent, text=f"is it there? {number}\n")
        try:
            topic, event = published(subscriber)
            break
        except zmq.Again:
            pass
    else:
        raise AssertionError("a subscription has no effect")
    subscriber.rcvtimeo = PATIENCE * 1000
    same(topic, f"agent/{agent}/output")
    return event


def until_exited(subscriber):
    events = []
    while not (events and events[-1]["type"] == "agent.exited"):
        topic, event = published(subscriber)
        same(topic, event["topic"])
        events.append(event)
    return events


@claim
def subscribers_get_what_begins_with_their_prefix_and_nothing_else(stage):
    for place in stage.daemon.pub:
        one, other = listener(stage), listener(stage)
        with opened(zmq.SUB, place) as subscriber:
            subscriber.subscribe(f"agent/{one}/")
            first = until_heard(stage, subscriber, one)
            stage.daemon.call("agent.write_stdin", agent_id=other, text="not for you\n")
            stage.daemon.call("agent.write_stdin", agent_id=one, text="for you\n", close=True)
            seen = [first, *until_exited(subscriber)]
            history = stage.daemon.history([f"agent/{one}/"])
            same(seen, [event for event in history if event["seq"] >= first["seq"]], place)
            # Another prefix, and the first no more.
            subscriber.unsubscribe(f"agent/{one}/")
            subscriber.subscribe(f"agent/{other}/")
            first = until_heard(stage, subscriber, other)
            stage.daemon.call("agent.kill", agent_id=other)
            seen = [first, *until_exited(subscriber)]
            same({event["topic"].split("/")[1] for event in seen}, {other})


def idle_with_heartbeats(stage, stack):
    options = {"heartbeat_ivl": 250, "heartbeat_timeout": 4000, "heartbeat_ttl": 4000}
    req = stack.enter_context(opened(zmq.REQ, stage.daemon.zmq[0], **options))
    dealer = stack.enter_context(opened(zmq.DEALER, stage.daemon.zmq[1], **options))
    subscriber = stack.enter_context(opened(zmq.SUB, stage.daemon.pub[0], **options))
    return req, dealer, subscriber


@claim
def heartbeats_are_answered_and_nobody_is_cut(stage):
    agent = listener(stage)
    with contextlib.ExitStack() as stack:
        req, dealer, subscriber = idle_with_heartbeats(stage, stack)
        subscriber.subscribe(f"agent/{agent}/")
        until_heard(stage, subscriber, agent)
        same(ask(req, Json, request(1, "system.health"))["id"], 1)
        tell(dealer, Json, request(2, "system.health"))
        same(hear(dealer, Json)["id"], 2)
        monitors = [one.get_monitor_socket(zmq.EVENT_DISCONNECTED | zmq.EVENT_CONNECTED)
                    for one in (req, dealer, subscriber)]
        # Without an answer to its PING libzmq disconnects after four seconds.
        time.sleep(6)
        for monitor in monitors:
            while monitor.poll(0):
                holds(False, f"the connection was lost: {recv_monitor_message(monitor)}")
        for one in (req, dealer, subscriber):
            one.disable_monitor()
        same(ask(req, Json, request(3, "system.health"))["id"], 3)
        until_heard(stage, subscriber, agent)
    stage.daemon.call("agent.kill", agent_id=agent)


class Process:
    """A subscriber that is a process of its own, and can be killed as one."""

    def __init__(self, code, *arguments):
        command = [sys.executable, *(["-c"] if "\n" in str(code) else []), code, *arguments]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self.lines = queue.SimpleQueue()
        self.reader = threading.Thread(target=self.read)
        self.reader.start()

    def read(self):
        for line in self.process.stdout:
            self.lines.put(line)

    def until_heard(self, stage, agent):
        """Makes the agent speak until the subscriber has said something; its first line."""
        began = time.monotonic()
        while True:
            with contextlib.suppress(queue.Empty):
                return self.lines.get(timeout=0.02)
            same(self.process.poll(), None, "a subscriber ended;")
            holds(time.monotonic() - began < PATIENCE, "a new subscriber hears something")
            stage.daemon.call("agent.write_stdin", agent_id=agent, text="hello?\n")

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(PATIENCE)
        self.reader.join()
        self.process.stdout.close()


def readme():
    """The subscriber that the README shows, on the ports of this daemon."""
    text = (ROOT / "README.md").read_text()
    (code,) = re.findall(r"^```python\n(.*?)^```$", text, re.M | re.S)
    return code


@claim
def the_subscriber_of_the_readme_works(stage):
    agent = listener(stage)
    code = readme().replace("tcp://localhost:19480", stage.daemon.pub[0])
    subscriber = Process(code.replace("print(topic, event)", "print(topic, event, flush=True)"))
    line = subscriber.until_heard(stage, agent)
    topic, text = line.split(" ", 1)
    same((topic, json.loads(text)["topic"]), (f"agent/{agent}/output",) * 2)
    subscriber.kill()
    stage.daemon.call("agent.kill", agent_id=agent)


@claim
def the_example_prints_what_happens(stage):
    agent = listener(stage)
    example = ROOT / "examples" / "zmq_stream.py"
    subscriber = Process(example, f"agent/{agent}/", "--pub", stage.daemon.pub[0], "--rpc",
                         stage.daemon.zmq[0])
    mark, topic, offset, kind = subscriber.until_heard(stage, agent).split()
    same((mark, topic, kind), ("+", f"agent/{agent}/output", "agent.output"))
    holds(offset.isdigit(), offset)
    subscriber.kill()
    stage.daemon.call("agent.kill", agent_id=agent)


@claim
def the_example_tells_what_happened_while_the_daemon_was_dead(stage):
    agent = listener(stage)
    example = ROOT / "examples" / "zmq_stream.py"
    subscriber = Process(example, f"agent/{agent}/", "--pub", stage.daemon.pub[0], "--rpc",
                         stage.daemon.zmq[0])
    subscriber.until_heard(stage, agent)
    stage.daemon.kill()
    stage.daemon.start()
    began, told = time.monotonic(), []
    # The agent was lost before anybody could be told: its last event leaves no hole behind.
    while not told or told[-1][3] != "agent.exited":
        holds(time.monotonic() - began < PATIENCE, told)
        with contextlib.suppress(queue.Empty):
            told.append(subscriber.lines.get(timeout=1).split())
    subscriber.kill()
    same([offset for _, topic, offset, _ in told if topic.endswith("/status")][-1],
         str(stage.daemon.history([f"agent/{agent}/status"])[-1]["offset"]))


SUBSCRIBER = """
import sys, zmq
socket = zmq.Context().socket(zmq.SUB)
socket.connect(sys.argv[1])
socket.subscribe(sys.argv[2])
while True:
    print(socket.recv().decode(), flush=True)
"""


@claim
def a_subscriber_that_was_killed_comes_back_and_others_miss_nothing(stage):
    agent = listener(stage)
    with opened(zmq.SUB, stage.daemon.pub[0]) as steady:
        steady.subscribe(f"agent/{agent}/")
        first = until_heard(stage, steady, agent)
        for _ in range(3):
            killed = Process(SUBSCRIBER, stage.daemon.pub[0], f"agent/{agent}/")
            killed.until_heard(stage, agent)
            killed.kill()
        stage.daemon.call("agent.kill", agent_id=agent)
        seen = [first, *until_exited(steady)]
    history = stage.daemon.history([f"agent/{agent}/"])
    same(seen, [event for event in history if event["seq"] >= first["seq"]])


def until_answered(dealer):
    """What was written to a connection that was dying is lost: it is asked again."""
    dealer.rcvtimeo = 2000
    for number in range(PATIENCE // 2):
        tell(dealer, MessagePack, request(number, "system.health"), (b"again", b""))
        try:
            same(hear(dealer, MessagePack, (b"again", b""))["result"]["status"], "healthy")
            break
        except zmq.Again:
            pass
    else:
        raise AssertionError("a DEALER does not come back")


@claim
def libzmq_goes_on_by_itself_when_the_daemon_was_killed(stage):
    daemon = stage.daemon
    for place in range(2):
        with opened(zmq.DEALER, daemon.zmq[place]) as dealer, \
                opened(zmq.SUB, daemon.pub[place]) as subscriber:
            before = listener(stage)
            subscriber.subscribe("agent/")
            until_heard(stage, subscriber, before)
            tell(dealer, Json, request(1, "system.health"))
            same(hear(dealer, Json)["id"], 1)
            daemon.kill()
            daemon.start()
            until_answered(dealer)
            after = listener(stage)
            subscriber.unsubscribe("agent/")
            subscriber.subscribe(f"agent/{after}/output")
            while subscriber.poll(0):
                subscriber.recv()
            until_heard(stage, subscriber, after)
            daemon.call("agent.kill", agent_id=after)
