"""Tokens as PyJWT makes them, and every trick of RFC 8725 and of those who break it: each is refused
in the same words by every way in which a token can be shown."""

import base64
import contextlib
import hashlib
import hmac
import http.client
import itertools
import json
import pathlib
import socket
import tempfile
import time
import warnings
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import jwt
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from claims import claim, holds, same
from daemon import PATIENCE, Daemon

SECRET = "a secret of these tests, of more than 32 bytes"
# Fewer than the daemon lets wait of one address, so that none hears that there are too many. Failures
# of one address are answered late, so each that can comes from its own.
AT_ONCE = 15
ADDRESSES = itertools.count()
NOT_VALID = "these credentials are not valid"
# What PLAIN has room for (RFC 24): a name and a password.
PLAIN_BYTES = 510

# A token is asymmetric's business nowhere here; a trick may still claim it is.
PUBLIC_KEY = b"""-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEEVs/o5+uQbTjL3chynL4wXgUg2R9
q9UU8I5mEovUf86QZ7kOBIjJwqnzD1omageEHWwHdBO6B+dFabmdT9POxg==
-----END PUBLIC KEY-----
"""

now = int(time.time())
GOOD = {"sub": "ann", "aud": "descartes", "iat": now, "exp": now + 3600, "scope": ["agent:read"]}


def b64(data):
    if isinstance(data, str):
        data = data.encode()
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def signed(header, payload, key=SECRET, digest=hashlib.sha256):
    """A token of these two texts, whatever they are."""
    message = f"{b64(header)}.{b64(payload)}"
    key = key.encode() if isinstance(key, str) else key
    return f"{message}.{b64(hmac.new(key, message.encode(), digest).digest())}"


def by_hand(claims="", header='{"alg":"HS256","typ":"JWT"}', **changed):
    """A signed token whose payload ends in `claims`, text as it stands; members of `changed` that are
    `...` are left out."""
    members = {name: value for name, value in {**GOOD, **changed}.items() if value is not ...}
    return signed(header, json.dumps(members)[:-1] + claims + "}")


def made(key=SECRET, algorithm="HS256", headers=None, **changed):
    """The same as PyJWT makes it."""
    members = {name: value for name, value in {**GOOD, **changed}.items() if value is not ...}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return jwt.encode(members, key, algorithm=algorithm, headers=headers)


def good_tokens():
    yield "as it should be", made()
    yield "without a type", made(headers={"typ": None})
    yield "with scopes as a text", made(scope="agent:read chat:read")
    yield "with several audiences", made(aud=["others", "descartes"])
    yield "with times as fractions", made(exp=now + 3600.5, iat=now - 0.5)
    yield "with claims that nobody knows", made(azp="x", roles=["y"])
    yield "that begins now", made(nbf=now - 1)
    yield "with an identifier", made(jti="4711")


def tricks_of_algorithms():
    for alg in ["none", "None", "NONE", "nOnE", ""]:
        head, payload = json.dumps({"alg": alg, "typ": "JWT"}), json.dumps(GOOD)
        yield f"alg {alg!r} unsigned", f"{b64(head)}.{b64(payload)}."
        yield f"alg {alg!r} signed", signed(head, payload)
    yield "alg none by PyJWT", made(key=None, algorithm="none")
    yield "HS384 by PyJWT", made(key=SECRET * 2, algorithm="HS384")
    yield "HS512 by PyJWT", made(key=SECRET * 2, algorithm="HS512")
    for alg, digest in [("HS384", hashlib.sha384), ("HS512", hashlib.sha512),
                        ("RS256", hashlib.sha256), ("ES256", hashlib.sha256),
                        ("PS256", hashlib.sha256), ("EdDSA", hashlib.sha256),
                        ("hs256", hashlib.sha256), ("HS256 ", hashlib.sha256),
                        ("HS256\x00", hashlib.sha256)]:
        yield f"alg {alg!r}", signed(json.dumps({"alg": alg, "typ": "JWT"}), json.dumps(GOOD),
                                     digest=digest)
    for alg in ["RS256", "HS256"]:
        head = json.dumps({"alg": alg, "typ": "JWT"})
        yield f"a public key as the secret, {alg}", signed(head, json.dumps(GOOD), PUBLIC_KEY)
    for name, key in [("no", b""), ("another", SECRET + "x"), ("half a", SECRET[:16]),
                      ("a zero", b"\x00"), ("a known", "your-256-bit-secret")]:
        yield f"{name} secret", signed('{"alg":"HS256","typ":"JWT"}', json.dumps(GOOD), key)
    yield "alg missing", by_hand(header='{"typ":"JWT"}')
    yield "alg as an array", by_hand(header='{"alg":["HS256"],"typ":"JWT"}')
    yield "alg null", by_hand(header='{"alg":null,"typ":"JWT"}')
    yield "alg twice", by_hand(header='{"alg":"none","alg":"HS256"}')


def tricks_of_headers():
    for kid in ["../../../../dev/null", "/etc/passwd", "x' UNION SELECT 'y", "\x00", "|sleep 5",
                "http://127.0.0.1:1/key", "file:///dev/null", "", "1"]:
        head = json.dumps({"alg": "HS256", "typ": "JWT", "kid": kid})
        yield f"kid {kid!r}", by_hand(header=head)
        yield f"kid {kid!r} and no secret", signed(head, json.dumps(GOOD), b"")
    yield "kid by PyJWT", made(headers={"kid": "1"})
    for name, value in [("jku", "http://127.0.0.1:1/keys"), ("x5u", "http://127.0.0.1:1/cert"),
                        ("jwk", {"kty": "oct", "k": b64("x")}), ("x5c", ["AA=="]),
                        ("crit", ["exp"]), ("crit", []), ("b64", False), ("cty", "JWT"),
                        ("zip", "DEF"), ("p2c", 1000000), ("enc", "A256GCM")]:
        yield f"{name} {value!r}", by_hand(header=json.dumps({"alg": "HS256", name: value}))
    yield "crit with what it names", by_hand(header='{"alg":"HS256","crit":["x"],"x":1}')
    for kind in ["at+jwt", "JWS", "application/jwt", "dpop+jwt", ""]:
        yield f"typ {kind!r}", by_hand(header=json.dumps({"alg": "HS256", "typ": kind}))
    for header in ["[]", '["HS256"]', "null", '"HS256"', "1", "", "{", '{"alg":"HS256"}x', "\xff"]:
        yield f"header {header!r}", by_hand(header=header)


def tricks_of_claims():
    for aud in ["somebody", "", "Descartes", "descartes ", "descartes/", [], ["somebody"], 1, None,
                True, {"descartes": 1}, [["descartes"]], "*", ...]:
        yield f"aud {aud!r}", by_hand(aud=aud)
    for name, texts in [
        ("exp", [f'"{now + 600}"', str(now - 1), "0", "-1", "-1e99", "1e99", "1e999", "NaN",
                 "Infinity", "null", "true", "[]", "99999999999999999999", "9223372036854775808",
                 f'[{now + 600}]', '"never"', '""']),
        ("iat", [f'"{now}"', str(now + 3600), "-1", "NaN", "null", "[]", "1e99"]),
        ("nbf", [str(now + 3600), f'"{now}"', "NaN", "1e99", "-1", "[]"]),
    ]:
        for text in texts:
            yield f"{name} {text}", by_hand(f', "{name}": {text}', **{name: ...})
        if name != "nbf":
            yield f"no {name}", by_hand(**{name: ...})
    yield "expired, by PyJWT", made(exp=now - 1)
    yield "not yet, by PyJWT", made(nbf=now + 3600)
    yield "another audience, by PyJWT", made(aud="others")
    for sub in ["", "local", "system", "nobody", "api_key", "agent:1", "key:ci", " ann", "ann\n",
                "a\x00b", "x" * 129, 1, None, ["ann"], {}, ...]:
        yield f"sub {str(sub)[:20]!r}", by_hand(sub=sub)
    for scope in [1, None, {}, {"agent:read": 1}, [1], [None], [["*"]], True, ...,
                  ["agent:read"] * 65]:
        yield f"scope {str(scope)[:20]!r}", by_hand(scope=scope)
    for jti in ["", 1, [], "x" * 129, "a\x00b"]:
        yield f"jti {str(jti)[:20]!r}", by_hand(jti=jti)
    for name, value in [("sub", '"bob"'), ("exp", str(now + 9)), ("aud", '"descartes"'),
                        ("scope", '["*"]'), ("iat", str(now))]:
        yield f"{name} twice", by_hand(f', "{name}": {value}')
    for payload in ["[]", json.dumps([GOOD]), json.dumps(json.dumps(GOOD)), "null", "1", "", "{}",
                    json.dumps(GOOD) + "x", json.dumps(GOOD) + json.dumps(GOOD), "{",
                    made().split(".")[1], "\xff"]:
        yield f"payload {payload[:30]!r}", signed('{"alg":"HS256","typ":"JWT"}', payload)


def tricks_of_spelling():
    token = made()
    head, payload, mark = token.split(".")
    yield "no signature", f"{head}.{payload}."
    yield "no third part", f"{head}.{payload}"
    yield "one part", head
    yield "nothing but dots", ".."
    yield "a fourth part", f"{token}.{mark}"
    yield "five parts, as JWE", f"{head}.{b64('key')}.{b64('iv')}.{payload}.{mark}"
    yield "a nested token", signed('{"alg":"HS256","typ":"JWT","cty":"JWT"}', token)
    yield "half a token", token[:len(token) // 2]
    yield "a character less", token[:-1]
    yield "a character more", token + "A"
    yield "a bit of the signature", f"{head}.{payload}.{flipped(mark)}"
    yield "another payload", f"{head}.{b64(json.dumps({**GOOD, 'scope': ['*']}))}.{mark}"
    yield "padding", f"{head}.{payload}.{mark}="
    yield "padding everywhere", ".".join(part + "==" for part in (head, payload, mark))
    yield "the other alphabet", f"{head}.{payload}.+{mark[1:]}"
    yield "bits that say nothing", f"{head}.{payload}.{unused_bits(mark)}"
    yield "a percent", token.replace(".", "%2E", 1)
    yield "quotes", f'"{token}"'
    yield "two tokens", f"{token},{token}"
    yield "a scheme within", f"Bearer {token}"
    yield "in upper case", token.upper()
    yield "too long to be read", made(pad="x" * 8192)
    yield "a megabyte", made(pad="x" * (1 << 20))


def flipped(text):
    return ("B" if text[0] == "A" else "A") + text[1:]


def unused_bits(mark):
    """The same 32 bytes in another spelling: the last of 43 characters has two bits to spare."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    return mark[:-1] + alphabet[alphabet.index(mark[-1]) | 1]


def tricks():
    return list(itertools.chain(tricks_of_algorithms(), tricks_of_headers(), tricks_of_claims(),
                                tricks_of_spelling()))


def place(url):
    parts = urlsplit(url)
    return parts.hostname, parts.port


def source():
    number = next(ADDRESSES)
    return f"127.1.{number // 200}.{number % 200 + 1}", 0


def tcp(url):
    return socket.create_connection(place(url), timeout=PATIENCE, source_address=source())


CALL = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "auth.whoami"})


def over_http(daemon, token, header="Authorization", scheme="Bearer "):
    connection = http.client.HTTPConnection(*place(daemon.url), timeout=PATIENCE,
                                            source_address=source())
    with contextlib.closing(connection):
        head = {"Content-Type": "application/json", header: scheme + token}
        connection.request("POST", "/", CALL, head)
        answer = connection.getresponse()
        body = json.loads(answer.read())
        if "result" in body:
            return body["result"]["principal"]
        return answer.status, body["error"]["code"], body["error"]["message"]


def as_a_key(daemon, token):
    return over_http(daemon, token, header="X-API-Key", scheme="")


def over_websocket(daemon, token):
    head = {"Authorization": f"Bearer {token}"}
    with tcp(daemon.ws) as stream, connect(daemon.ws, sock=stream, additional_headers=head,
                                           open_timeout=PATIENCE) as opened:
        try:
            opened.send(CALL)
            return json.loads(opened.recv(PATIENCE))["result"]["principal"]
        except ConnectionClosed as closed:
            return closed.rcvd.code, closed.rcvd.reason


def over_unix(daemon, token):
    with socket.socket(socket.AF_UNIX) as stream:
        stream.settimeout(PATIENCE)
        stream.connect(daemon.socket.removeprefix("unix://").removeprefix("unix:"))
        call = {"jsonrpc": "2.0", "id": 1, "method": "auth.login", "params": {"token": token}}
        stream.sendall(json.dumps(call).encode() + b"\n")
        with stream.makefile() as lines:
            body = json.loads(lines.readline())
    if "result" in body:
        return body["result"]["principal"]
    return body["error"]["code"], body["error"]["message"]


def over_zeromq(daemon, token):
    """The handshake by hand: bindings do not tell what they were refused with."""
    text = token.encode()
    at = 255 if len(text) > 255 else 0
    hello = b"\x05HELLO" + b"".join(bytes([len(part)]) + part for part in (text[:at], text[at:]))
    greeting = b"\xff" + bytes(8) + b"\x7f\x03\x00" + b"PLAIN".ljust(20, b"\0") + bytes(32)
    with tcp(daemon.zmq[0]) as stream:
        stream.sendall(greeting + bytes([4, len(hello) & 0xff] if len(hello) < 256 else
                                        [6, *len(hello).to_bytes(8)]) + hello)
        heard = b""
        while len(heard) < 64 + 2:
            heard += stream.recv(4096) or b"\0" * 66
        said = heard[66:66 + heard[65]]
        return "ann" if said == b"\x07WELCOME" else said


DOORS = {
    over_http: (401, -32001, NOT_VALID),
    as_a_key: (401, -32001, NOT_VALID),
    over_websocket: (4401, NOT_VALID),
    over_unix: (-32001, NOT_VALID),
    over_zeromq: b"\x05ERROR\x03400",
}


def fits(door, token):
    """Whether this way of showing a token has room for it at all: a message of more than a mebibyte
    is not read, and a handshake of a WebSocket is a head of HTTP, which is tried there."""
    room = {over_unix: 1 << 20, over_websocket: 1 << 14, over_zeromq: PLAIN_BYTES}
    return len(token) <= room.get(door, len(token))


@contextlib.contextmanager
def guarded():
    with tempfile.TemporaryDirectory(prefix="descartes-interop-") as home:
        secret = pathlib.Path(home) / "secret"
        secret.write_text(SECRET)
        secret.chmod(0o600)
        auth = f"enabled = true\njwt_secret_file = {json.dumps(str(secret))}\n"
        daemon = Daemon(home, [], auth=auth)
        daemon.start()
        try:
            yield daemon
        finally:
            daemon.kill()


@claim
def good_tokens_are_taken_by_every_door(_):
    with guarded() as daemon:
        for name, token in good_tokens():
            for door in DOORS:
                same((name, door.__name__, door(daemon, token)), (name, door.__name__, "ann"))


@claim
def every_trick_is_refused_in_the_same_words_by_every_door(_):
    # What a header cannot carry at all is shown to the doors that take any text.
    in_headers = [(name, token) for name, token in tricks() if token.isascii()]
    with guarded() as daemon, ThreadPoolExecutor(AT_ONCE) as pool:
        holds(len(in_headers) > 150, "there are many tricks")
        for door, words in DOORS.items():
            tried = [(name, token) for name, token in in_headers if fits(door, token)]
            answers = pool.map(lambda trick: door(daemon, trick[1]), tried)
            for (name, _), answer in zip(tried, answers):
                same((name, door.__name__, answer), (name, door.__name__, words))
        # Nothing of it has made it unwilling.
        same(over_unix(daemon, made()), "ann")


@claim
def a_token_with_scopes_that_nobody_knows_may_do_nothing_with_them(_):
    with guarded() as daemon:
        for scope in [[], "", ["everything"], ["AGENT:READ", "agent:*"], "root"]:
            head = {"Content-Type": "application/json",
                    "Authorization": f"Bearer {made(scope=scope)}"}
            connection = http.client.HTTPConnection(*place(daemon.url), timeout=PATIENCE)
            with contextlib.closing(connection):
                call = {"jsonrpc": "2.0", "id": 1, "method": "agent.list"}
                connection.request("POST", "/", json.dumps(call), head)
                same((scope, json.loads(connection.getresponse().read())["error"]["code"]),
                     (scope, -32012))
