"""Follows events over ZeroMQ, and reads back what the stream lost.

    pip install pyzmq
    cargo run --release &                     # a daemon; it publishes on tcp://127.0.0.1:19480
    python examples/zmq_stream.py             # everything, or: zmq_stream.py agent/ system

A stream of PUB can lose messages: while a subscriber is away, or when it is so slow that it is cut.
Each event has an `offset`, which counts within its topic without holes. So a hole is seen, and what
is in it is read from the journal with the `cursor` of the last event before it (`event.read`). One
line is printed for each event: `+` for one that came by itself, `~` for one that was read back.
"""

import argparse
import itertools
import json
import sys

import zmq


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
    """Tells every event of each topic once, in order, from the first that came."""

    def __init__(self, rpc, tell):
        self.rpc, self.tell = rpc, tell
        self.known = {}  # topic -> offset and cursor of the last event that was told

    def take(self, message):
        topic, text = message.split(b" ", 1)
        event = json.loads(text)
        topic, offset = topic.decode(), event["offset"]
        if topic in self.known and self.known[topic][0] + 1 < offset:
            self.heal(topic, offset)
        self.say("+", topic, event)

    def heal(self, topic, until):
        while self.known[topic][0] + 1 < until:
            page = self.rpc.call("event.read", topics=[topic], after=self.known[topic][1])
            for event in page["events"]:
                if topic.startswith("chat/"):
                    event = {**event, **event["data"]}  # as it is published
                self.say("~", topic, event)
            for gap in page["gaps"]:
                lost = gap["to_offset"] - gap["from_offset"]
                print(f"! {topic} lost {lost} events: they are no longer kept", file=sys.stderr)
            if page["synced"]:
                return

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
    events.connect(arguments.pub)

    def tell(mark, topic, event):
        print(mark, topic, event["offset"], event["type"], flush=True)

    stream = Stream(Rpc(context, arguments.rpc), tell)
    while True:
        stream.take(events.recv())


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        pass
