"""Credentials as libzmq has a place for them (PLAIN), and tokens as PyJWT makes them."""

import contextlib
import json
import tempfile
import time

import zmq

from claims import Skipped, claim, holds, same
from daemon import PATIENCE, Daemon
from zeromq import Json, ask, opened, request

KEY = "a configured key of these tests"


def requires(stage):
    """Said before any claim of this module is tried."""
    if "zmq" not in stage.daemon.ends:
        raise Skipped("this daemon has no ZeroMQ")


@contextlib.contextmanager
def guarded():
    """A daemon with authentication on, which is not the one of the others."""
    with tempfile.TemporaryDirectory(prefix="descartes-interop-") as home:
        daemon = Daemon(home, [], auth=f"enabled = true\napi_key = {json.dumps(KEY)}\n")
        daemon.start()
        try:
            yield daemon
        finally:
            daemon.kill()


def plain(password):
    return {"plain_username": b"key", "plain_password": password.encode()}


def whoami(place, **options):
    """Who a REQ is taken for; nothing where it is not heard."""
    with opened(zmq.REQ, place, **options) as socket:
        socket.rcvtimeo = PATIENCE * 1000 if options.get("plain_password") == KEY.encode() else 1500
        with contextlib.suppress(zmq.Again):
            return ask(socket, Json, request(1, "auth.whoami"))["result"]["principal"]
    return None


@claim
def a_password_lets_req_in_and_nothing_else_does(stage):
    with guarded() as daemon:
        tcp, ipc = daemon.zmq
        same(whoami(tcp, **plain(KEY)), "api_key")
        same(whoami(tcp, **plain("x" * len(KEY))), None)
        same(whoami(tcp), None)
        with opened(zmq.REQ, ipc) as socket:
            same(ask(socket, Json, request(1, "auth.whoami"))["result"]["principal"], "local")


@claim
def a_subscriber_with_a_password_hears_and_one_without_does_not(stage):
    with guarded() as daemon:
        tcp, _ = daemon.pub
        with opened(zmq.SUB, tcp, **plain(KEY)) as known, opened(zmq.SUB, tcp) as unknown:
            for socket in (known, unknown):
                socket.subscribe(b"agent/")
                socket.rcvtimeo = 200
            heard, began = None, time.monotonic()
            with opened(zmq.REQ, daemon.zmq[0], **plain(KEY)) as control:
                while heard is None and time.monotonic() - began < PATIENCE:
                    spawn = request(1, "agent.spawn", agent_type="process",
                                    config={"command": ["true"]})
                    holds("result" in ask(control, Json, spawn), "an agent starts")
                    with contextlib.suppress(zmq.Again):
                        heard = known.recv()
            holds(heard is not None and heard.startswith(b"agent/"), "a subscriber hears")
            with contextlib.suppress(zmq.Again):
                raise AssertionError(f"a stranger hears {unknown.recv()[:80]}")
