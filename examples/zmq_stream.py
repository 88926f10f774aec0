"""Follows events over ZeroMQ, and reads back what the stream lost.

    pip install pyzmq
    cargo run --release &                     # a daemon; it publishes on tcp://127.0.0.1:19480
    python examples/zmq_stream.py             # everything, or: zmq_stream.py agent/ system

A stream of PUB can lose messages: while a subscriber is away, or when it is so slow that it is cut.
Each event has an `offset`, which counts within its topic without holes. So a hole is seen, and what
is in it is read from the journal with the `cursor` of the last event before it (`event.read`). What
came last in its topic leaves no hole: so after each new connection everything is read that came
after the last event of the one before. One line is printed for each event: `+` for one that came by
itself, `~` for one that was read back.
"""

import argparse
import itertools
import json
import sys
import time

import zmq
from zmq.utils.monitor import recv_monitor_message

SETTLED = 1  # seconds after which a new connection knows its subscriptions


class Rpc:
    """JSON-RPC over REQ; a request that is not answered in time is asked again on a new socket."""

    def __init__(self, context, endpoint):
        self.context, self.endpoint, self.socket = context, endpoint, None
        self.ids = itertools.count(1)

    def call(self, method, **params):
        request = {"jsonrpc": "2.0", "id": next(self.ids), "method": method, "params": params}
        for _ in range(10):
            if self.socket is None:
                self.socket = self.context.socket(zmq.REQ)
                self.socket.linger = 0
                self.socket.connect(self.endpoint)
            self.socket.send(json.dumps(request).encode())
            if self.socket.poll(3000):
                answer = json.loads(self.socket.recv())
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']['message']}")
                return answer["result"]
            self.socket.close()
            self.socket = None
        raise TimeoutError(f"{method}: nobody answers at {self.endpoint}")


class Stream:
    """Tells every event of each topic once, in order, from now on."""

    def __init__(self, rpc, prefixes, tell):
        self.rpc, self.tell = rpc, tell
        self.topics = [prefix.split(" ")[0] + "*" for prefix in prefixes]
        self.known = {}  # topic -> offset and cursor of the last event that was told
        self.last = rpc.call("event.read", topics=self.topics, after="now")["cursor"]
        self.missed_after = self.look_at = None

    def connected(self):
        """A new connection begins with what happens from now on."""
        self.missed_after = self.missed_after or self.last
        self.look_at = time.monotonic() + SETTLED

    def look(self):
        """Reads what happened between two connections, once there was one."""
        if self.look_at is None or time.monotonic() < self.look_at:
            return
        after, self.missed_after, self.look_at = self.missed_after, None, None
        self.read(self.topics, after)

    def take(self, message):
        topic, text = message.split(b" ", 1)
        event = json.loads(text)
        topic, offset = topic.decode(), event["offset"]
        if topic in self.known:
            self.read([topic], self.known[topic][1], lambda: self.known[topic][0] + 1 >= offset)
        self.say("+", topic, event)
        self.last = event["cursor"]

    def read(self, topics, after, is_enough=lambda: False):
        while not is_enough():
            page = self.rpc.call("event.read", topics=topics, after=after, limit=1000)
            for event in page["events"]:
                topic = event["topic"]
                if topic.startswith("chat/"):
                    event = {**event, **event["data"]}  # as it is published
                self.say("~", topic, event)
            for gap in page["gaps"]:
                lost, topic = gap["to_offset"] - gap["from_offset"], gap["topic"]
                print(f"! {topic} lost {lost} events: they are no longer kept", file=sys.stderr)
            if page["synced"]:
                return
            after = page["cursor"]

    def say(self, mark, topic, event):
        if topic in self.known and event["offset"] <= self.known[topic][0]:
            return
        self.known[topic] = event["offset"], event["cursor"]
        self.tell(mark, topic, event)


def main():
    parser = argparse.ArgumentParser(description="Follow the events of a Descartes daemon.")
    parser.add_argument("prefixes", nargs="*", default=[""], help="beginnings of topics")
    parser.add_argument("--pub", default="tcp://127.0.0.1:19480", help="where events are published")
    parser.add_argument("--rpc", default="tcp://127.0.0.1:5555", help="where holes are read back")
    arguments = parser.parse_args()
    context = zmq.Context()
    events = context.socket(zmq.SUB)
    for prefix in arguments.prefixes:
        events.subscribe(prefix)

    def tell(mark, topic, event):
        print(mark, topic, event["offset"], event["type"], flush=True)

    stream = Stream(Rpc(context, arguments.rpc), arguments.prefixes, tell)
    monitor = events.get_monitor_socket(zmq.EVENT_HANDSHAKE_SUCCEEDED)
    events.connect(arguments.pub)
    poller = zmq.Poller()
    poller.register(events, zmq.POLLIN)
    poller.register(monitor, zmq.POLLIN)
    while True:
        ready = dict(poller.poll(SETTLED * 1000))
        if monitor in ready:
            recv_monitor_message(monitor)
            stream.connected()
        if events in ready:
            stream.take(events.recv())
        stream.look()


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        pass
