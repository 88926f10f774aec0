"""What sockets of libzmq can be told to do, and which peers are turned away."""

import contextlib
import pathlib
import tempfile
import time

import msgpack
import zmq
from zmq.utils.monitor import recv_monitor_message

from claims import Skipped, claim, holds, same
from daemon import PATIENCE, Daemon
from with_zmq import listener, until_exited, until_heard
from zeromq import CODECS, Json, MessagePack, ask, hear, opened, request, tell


def requires(stage):
    """Said before any claim of this module is tried."""
    if "zmq" not in stage.daemon.ends:
        raise Skipped("this daemon has no ZeroMQ")


QUIET = "agent/00000000-0000-7000-8000-000000000000/output"


def slow(number):
    """A request that is answered only after other ones."""
    return request(number, "event.read", topics=[QUIET], after="now", wait_ms=20_000)


@claim
def a_req_that_correlates_gets_the_answer_to_what_it_asked_last(stage):
    for place in stage.daemon.zmq:
        for codec in CODECS:
            with opened(zmq.REQ, place, req_correlate=1, req_relaxed=1) as socket:
                for number in range(3):
                    socket.send(codec.write(slow(f"slow {number}")))
                    same(ask(socket, codec, request(number, "system.health"))["id"], number)


@claim
def a_req_that_may_ask_again_does_so_when_the_daemon_was_killed(stage):
    with opened(zmq.REQ, stage.daemon.zmq[0], req_correlate=1, req_relaxed=1) as socket:
        same(ask(socket, Json, request(0, "system.health"))["id"], 0)
        socket.send(Json.write(slow("lost")))
        stage.daemon.kill()
        stage.daemon.start()
        socket.rcvtimeo = 2000
        for number in range(PATIENCE // 2):
            with contextlib.suppress(zmq.Again):
                same(ask(socket, Json, request(number, "system.health"))["id"], number)
                return
    raise AssertionError("a REQ does not come back")


@claim
def a_probe_is_no_request_and_is_not_answered(stage):
    for place in stage.daemon.zmq:
        for codec in CODECS:
            with opened(zmq.REQ, place, probe_router=1) as req, \
                    opened(zmq.DEALER, place, probe_router=1) as dealer:
                for number in range(3):
                    same(ask(req, codec, request(number, "system.health"))["id"], number)
                    tell(dealer, codec, request(number, "system.health"))
                    same(hear(dealer, codec)["id"], number)


@claim
def who_connects_before_the_daemon_is_there_is_served_when_it_is(stage):
    stage.daemon.kill()
    with contextlib.ExitStack() as stack:
        here = [stack.enter_context(opened(zmq.REQ, place)) for place in stage.daemon.zmq]
        here += [stack.enter_context(opened(zmq.DEALER, place)) for place in stage.daemon.zmq]
        subscribers = [stack.enter_context(opened(zmq.SUB, place)) for place in stage.daemon.pub]
        for subscriber in subscribers:
            subscriber.subscribe("agent/")
        for number, socket in enumerate(here):
            frames = [] if socket.type == zmq.REQ else [b""]
            message = CODECS[number % 2].write(request(number, "system.health"))
            socket.send_multipart([*frames, message])
        stage.daemon.start()
        for number, socket in enumerate(here):
            answer = CODECS[number % 2].read(socket.recv_multipart()[-1])
            same((answer["id"], answer["result"]["status"]), (number, "healthy"))
        agent = listener(stage)
        for subscriber in subscribers:
            subscriber.unsubscribe("agent/")
            subscriber.subscribe(f"agent/{agent}/output")
            while subscriber.poll(0):
                subscriber.recv()
            until_heard(stage, subscriber, agent)
        stage.daemon.call("agent.kill", agent_id=agent)


@claim
def what_is_sent_only_to_those_who_are_there_waits_for_the_daemon(stage):
    stage.daemon.kill()
    for place in stage.daemon.zmq:
        with opened(zmq.DEALER, place, immediate=1) as dealer:
            try:
                dealer.send(b"nobody", zmq.NOBLOCK)
                raise AssertionError("there is nobody to send to")
            except zmq.Again:
                pass
            if stage.daemon.process.poll() is not None:
                stage.daemon.start()
            for codec in CODECS:
                tell(dealer, codec, request(codec.name, "system.health"))
                same(hear(dealer, codec)["id"], codec.name)
        if place != stage.daemon.zmq[-1]:
            stage.daemon.kill()


@claim
def two_of_one_name_are_two(stage):
    for place in stage.daemon.zmq:
        with opened(zmq.DEALER, place, routing_id=b"twin") as one, \
                opened(zmq.DEALER, place, routing_id=b"twin") as other, \
                opened(zmq.REQ, place, routing_id=b"twin") as third:
            for number in range(20):
                for who, dealer in (("one", one), ("other", other)):
                    tell(dealer, MessagePack, request(f"{who} {number}", "system.health"))
                same(ask(third, Json, request(number, "system.health"))["id"], number)
            # Nobody gets what another one asked for.
            for who, dealer in (("one", one), ("other", other)):
                heard = {hear(dealer, MessagePack)["id"] for _ in range(20)}
                same(heard, {f"{who} {number}" for number in range(20)})


@claim
def a_router_that_names_the_daemon_asks_as_a_dealer_does(stage):
    for place in stage.daemon.zmq:
        for codec in CODECS:
            options = {"connect_routing_id": b"daemon", "router_mandatory": 1}
            with opened(zmq.ROUTER, place, **options) as router:
                envelope = (b"daemon", b"")
                for number in range(3):
                    tell(router, codec, request(number, "system.health"), envelope)
                    same(hear(router, codec, envelope)["id"], number)


@claim
def xsub_subscribes_by_messages(stage):
    for place in stage.daemon.pub:
        agent, other = listener(stage), listener(stage)
        with opened(zmq.XSUB, place) as subscriber:
            subscriber.send(b"\x01agent/" + agent.encode())
            subscriber.send(b"this is for nobody")
            first = until_heard(stage, subscriber, agent)
            stage.daemon.call("agent.write_stdin", agent_id=other, text="not for you\n")
            stage.daemon.call("agent.kill", agent_id=agent)
            seen = [first, *until_exited(subscriber)]
            same({event["topic"].split("/")[1] for event in seen}, {agent})
            subscriber.send(b"\x00agent/" + agent.encode())
            subscriber.send(b"\x01agent/" + other.encode())
            until_heard(stage, subscriber, other)
        stage.daemon.call("agent.kill", agent_id=other)


@claim
def messages_of_many_megabytes_go_both_ways_through_long_envelopes(stage):
    agent = stage.daemon.call("agent.spawn", agent_type="basic")["agent_id"]
    message = {"type": "custom_action_request", "request_id": "big", "agent_id": agent,
               "action": "echo", "params": {"text": "x" * 5_000_000}}
    envelope = (b"x" * 200, b"y", b"z", b"")
    for place in stage.daemon.zmq:
        with opened(zmq.DEALER, place) as dealer:
            for _ in range(3):
                tell(dealer, MessagePack, message, envelope)
            for _ in range(3):
                answer = hear(dealer, MessagePack, envelope)
                holds(answer["data"] == message["params"], "it came back as it was")
            # Two frames of five megabytes are no request; that is answered, and the next one too.
            dealer.send_multipart([b"", b"x" * 5_000_000, b"x" * 5_000_000])
            same(hear(dealer, Json)["error"]["code"], -32600)
            tell(dealer, Json, request(1, "system.health"))
            same(hear(dealer, Json)["id"], 1)


@claim
def answers_of_megabytes_come_whole_in_both_codecs(stage):
    value = "x" * 60_000
    stage.daemon.call("state.put", key="interop/large", value=value)
    batch = [request(number, "state.query", key="interop/large") for number in range(90)]
    for place in stage.daemon.zmq:
        for codec in CODECS:
            with opened(zmq.REQ, place) as socket:
                socket.send(codec.write(batch))
                body = socket.recv()
                holds(len(body) > 5_000_000, f"{len(body)} bytes")
                answers = {one["id"]: one["result"]["state"] for one in codec.read(body)}
                same(answers.keys(), set(range(90)))
                holds(all(one == {"interop/large": value} for one in answers.values()), "whole")


BEYOND = {"whole": "123456789012345678901234567890",
          "exact": "3.14159265358979323846264338327950288"}


@claim
def numbers_beyond_messagepack_keep_their_text(stage):
    with opened(zmq.REQ, stage.daemon.zmq[0]) as socket:
        for key, text in BEYOND.items():
            put = Json.write(request(1, "state.put", key=f"interop/{key}", value="NUMBER"))
            socket.send(put.replace(b'"NUMBER"', text.encode()))
            holds("result" in Json.read(socket.recv()), text)
            answer = ask(socket, MessagePack, request(1, "state.query", key=f"interop/{key}"))
            number = answer["result"]["state"][f"interop/{key}"]
            same(number, msgpack.ExtType(78, text.encode()))
            # It is written back as it was read.
            ask(socket, MessagePack, request(1, "state.put", key="interop/back", value=number))
            socket.send(Json.write(request(1, "state.query", key="interop/back")))
            holds(text.encode() in socket.recv(), text)
        kept = [2**64 - 1, -(2**63), 0.1, 1.0, -0.0, 5e-324]
        ask(socket, MessagePack, request(1, "state.put", key="interop/kept", value=kept))
        answer = ask(socket, MessagePack, request(1, "state.query", key="interop/kept"))
        same(repr(answer["result"]["state"]["interop/kept"]), repr(kept))
        refused = ask(socket, MessagePack,
                      request(1, "state.put", key="interop/kept", value=[1, float("nan")]))
        same((refused["error"]["code"], refused["error"]["data"]["path"]),
             (-32700, "params.value[1]"))


def turned_away(stage, kind, place, **options):
    """What libzmq says of its handshake, and whether others are served beside it."""
    with zmq.Context.instance().socket(kind) as socket:
        socket.linger = 0
        for name, value in options.items():
            socket.setsockopt(getattr(zmq, name.upper()), value)
        monitor = socket.get_monitor_socket(zmq.EVENT_ALL)
        socket.connect(place)
        began, event = time.monotonic(), None
        while event not in (zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL,
                            zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL,
                            zmq.EVENT_HANDSHAKE_FAILED_AUTH, zmq.EVENT_DISCONNECTED):
            holds(time.monotonic() - began < PATIENCE, "it is not told")
            if monitor.poll(1000):
                said = recv_monitor_message(monitor)
                event = said["event"]
                holds(event != zmq.EVENT_HANDSHAKE_SUCCEEDED, "it was let in")
        with opened(zmq.REQ, stage.daemon.zmq[0]) as other:
            same(ask(other, Json, request(1, "system.health"))["id"], 1)
        socket.disable_monitor()
    return event, said["value"]


@claim
def who_asks_for_curve_or_for_plain_on_the_owners_socket_learns_that_it_is_not_spoken(stage):
    mismatch = zmq.Event.PROTOCOL_ERROR_ZMTP_MECHANISM_MISMATCH
    plain = {"plain_username": b"me", "plain_password": b"secret"}
    mechanisms = [(plain, lambda place: place.startswith("ipc:"))]
    if zmq.has("curve"):
        (server, _), (public, secret) = zmq.curve_keypair(), zmq.curve_keypair()
        curve = {"curve_serverkey": server, "curve_publickey": public, "curve_secretkey": secret}
        mechanisms.append((curve, lambda place: True))
    for mechanism, is_unknown in mechanisms:
        for kind, places in ((zmq.DEALER, stage.daemon.zmq), (zmq.SUB, stage.daemon.pub)):
            for place in filter(is_unknown, places):
                said = turned_away(stage, kind, place, **mechanism)
                same(said, (zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL, mismatch), mechanism)


@claim
def a_wrong_password_is_refused_although_the_same_user_needs_none(stage):
    for kind, place in ((zmq.DEALER, stage.daemon.zmq[0]), (zmq.SUB, stage.daemon.pub[0])):
        said = turned_away(stage, kind, place, plain_username=b"me", plain_password=b"secret")
        # The status is 400; libzmq 4.3.5 tells it of NULL, and of PLAIN only that it was refused.
        refused = [(zmq.EVENT_HANDSHAKE_FAILED_AUTH, 400),
                   (zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL,
                    zmq.Event.PROTOCOL_ERROR_ZMTP_UNEXPECTED_COMMAND)]
        holds(said in refused, f"{said}")


@claim
def sockets_that_do_not_fit_are_turned_away(stage):
    for kind, places in ((zmq.SUB, stage.daemon.zmq), (zmq.PUSH, stage.daemon.zmq),
                         (zmq.REP, stage.daemon.zmq), (zmq.DEALER, stage.daemon.pub),
                         (zmq.PUB, stage.daemon.pub), (zmq.PAIR, stage.daemon.pub)):
        for place in places:
            turned_away(stage, kind, place)


def has_ipv6():
    path = pathlib.Path("/proc/net/if_inet6")
    return path.exists() and "00000000000000000000000000000001" in path.read_text()


@claim
def it_is_served_on_the_loopback_of_ipv6(stage):
    if not has_ipv6():
        raise Skipped("there is no IPv6 here")
    with tempfile.TemporaryDirectory(prefix="descartes-interop-") as home:
        other = Daemon(home, [], 'zmq_addr = "::1"\npub_addr = "::1"\n')
        other.start()
        try:
            holds("[::1]" in other.zmq[0] and "[::1]" in other.pub[0], other.ends)
            for codec in CODECS:
                with opened(zmq.REQ, other.zmq[0], ipv6=1) as socket:
                    same(ask(socket, codec, request(1, "system.health"))["id"], 1)
            agent = other.call("agent.spawn", agent_type="basic")["agent_id"]
            with opened(zmq.SUB, other.pub[0], ipv6=1) as subscriber:
                subscriber.subscribe(f"agent/{agent}/")
                subscriber.rcvtimeo = 50
                for _ in range(PATIENCE * 20):
                    other.call("agent.write_stdin", agent_id=agent, text="there?\n")
                    with contextlib.suppress(zmq.Again):
                        holds(subscriber.recv().startswith(f"agent/{agent}/".encode()), agent)
                        break
                else:
                    raise AssertionError("nothing is published by IPv6")
        finally:
            other.kill()
