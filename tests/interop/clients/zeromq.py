"""Sockets of libzmq that fail instead of waiting for ever, and the two codecs."""

import contextlib
import json

import msgpack
import zmq

from daemon import PATIENCE


class Json:
    name = "JSON"
    write = staticmethod(lambda value: json.dumps(value).encode())
    read = staticmethod(json.loads)


class MessagePack:
    name = "MessagePack"
    write = staticmethod(lambda value: msgpack.packb(value, use_bin_type=True))
    read = staticmethod(lambda data: msgpack.unpackb(data, raw=False, strict_map_key=True))


CODECS = [Json, MessagePack]


@contextlib.contextmanager
def opened(kind, address, **options):
    """A socket of this kind, connected; `options` are those of libzmq in lower case."""
    with zmq.Context.instance().socket(kind) as socket:
        socket.linger = 0
        socket.rcvtimeo = socket.sndtimeo = PATIENCE * 1000
        for name, value in options.items():
            socket.setsockopt(getattr(zmq, name.upper()), value)
        socket.connect(address)
        yield socket


def request(number, method, **params):
    return {"jsonrpc": "2.0", "id": number, "method": method, "params": params}


def ask(socket, codec, value):
    """One request of a REQ; its answer."""
    socket.send(codec.write(value))
    return codec.read(socket.recv())


def tell(dealer, codec, value, envelope=(b"",)):
    dealer.send_multipart([*envelope, codec.write(value)])


def hear(dealer, codec, envelope=(b"",)):
    *head, body = dealer.recv_multipart()
    if tuple(head) != tuple(envelope):
        raise AssertionError(f"the envelope was {envelope}, and came back as {head}")
    return codec.read(body)


def published(subscriber):
    """The next message of a publisher: its topic and the event."""
    (frame,) = subscriber.recv_multipart()
    topic, text = frame.split(b" ", 1)
    return topic.decode(), json.loads(text)
