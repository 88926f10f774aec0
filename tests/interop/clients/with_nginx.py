"""The file of `deploy/` in a real nginx, with a certificate made for it, in front of a daemon."""

import contextlib
import http.client
import json
import pathlib
import shutil
import socket
import ssl
import subprocess
import tempfile
import time

from websockets.sync.client import unix_connect

from claims import Skipped, claim, holds, same
from daemon import PATIENCE, Daemon

FILE = pathlib.Path(__file__).parents[3] / "deploy" / "nginx.conf"
NAME = "agents.example.com"
KEY = "of-a-test-0123456789-0123456789"
BASIC = {"agent_type": "process", "config": {"command": ["sh", "-c", "echo through nginx"]}}
AROUND = """
daemon off;
master_process off;
pid {place}/nginx.pid;
error_log {place}/error.log;
events {{ }}
http {{
    access_log off;
    client_body_temp_path {place}/body;
    proxy_temp_path {place}/proxy;
    fastcgi_temp_path {place}/fastcgi;
    uwsgi_temp_path {place}/uwsgi;
    scgi_temp_path {place}/scgi;
    include {place}/descartes.conf;
}}
"""


def program(name):
    found = shutil.which(name, path="/usr/sbin:/usr/bin:/sbin:/bin")
    if not found:
        raise Skipped(f"{name} is not installed")
    return found


def prepare(place, daemon):
    """The file as it stands, but for its ports, its daemon and its certificate."""
    key, certificate = f"{place}/key.pem", f"{place}/certificate.pem"
    subprocess.run([program("openssl"), "req", "-x509", "-newkey", "ec", "-pkeyopt",
                    "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj", f"/CN={NAME}",
                    "-addext", f"subjectAltName=DNS:{NAME}", "-keyout", key, "-out", certificate],
                   check=True, capture_output=True)
    text = FILE.read_text()
    for old, new in [("listen 443 ssl;", f"listen unix:{place}/https.sock ssl;"),
                     ("    listen [::]:443 ssl;\n", ""),
                     ("/etc/ssl/certs/descartes.pem", certificate),
                     ("/etc/ssl/private/descartes.key", key),
                     ("server 127.0.0.1:8080;", f"server 127.0.0.1:{daemon.port('http')};")]:
        same(text.count(old), 1, old)
        text = text.replace(old, new)
    (place / "descartes.conf").write_text(text)
    (place / "nginx.conf").write_text(AROUND.format(place=place))


def listens(path):
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(str(path)) == 0


@contextlib.contextmanager
def proxy(daemon):
    """Gives a way to connect through a running nginx."""
    nginx = program("nginx")
    with tempfile.TemporaryDirectory(prefix="descartes-nginx-") as place:
        place = pathlib.Path(place)
        prepare(place, daemon)
        command = [nginx, "-p", place, "-c", place / "nginx.conf", "-e", place / "error.log"]
        checked = subprocess.run([*command, "-t"], capture_output=True, text=True)
        same(checked.returncode, 0, checked.stderr)
        running = subprocess.Popen(command, stdin=subprocess.DEVNULL)
        try:
            began = time.monotonic()
            while not listens(place / "https.sock"):
                holds(running.poll() is None and time.monotonic() - began < PATIENCE,
                      (place / "error.log").read_text())
                time.sleep(0.01)
            yield Secure(place)
        finally:
            running.terminate()
            running.wait(PATIENCE)


class Secure:
    def __init__(self, place):
        self.place = place
        self.context = ssl.create_default_context(cafile=place / "certificate.pem")

    def socket(self):
        plain = socket.socket(socket.AF_UNIX)
        plain.settimeout(PATIENCE)
        plain.connect(str(self.place / "https.sock"))
        return self.context.wrap_socket(plain, server_hostname=NAME)

    def connection(self):
        connection = http.client.HTTPConnection(NAME)
        connection.sock = self.socket()
        return connection

    def ask(self, method, path, body=None, **fields):
        connection = self.connection()
        connection.request(method, path, body, fields)
        answer = connection.getresponse()
        return answer.status, answer.read().decode(), answer.headers


@contextlib.contextmanager
def guarded():
    """A daemon that asks for credentials, as the file wants it, behind nginx."""
    with tempfile.TemporaryDirectory(prefix="descartes-guarded-") as home:
        key = pathlib.Path(home, "key")
        key.touch(0o600)
        key.write_text(KEY)
        daemon = Daemon(home, [], f'allowed_hosts = ["{NAME}"]\n',
                        f'enabled = true\napi_key_file = "{key}"\n')
        daemon.start()
        try:
            with proxy(daemon) as secure:
                yield secure
        finally:
            daemon.kill()


def rpc(method, **params):
    return json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})


@claim
def a_probe_goes_through_with_tls(stage):
    with proxy(stage.daemon) as secure:
        status, body, fields = secure.ask("GET", "/health")
        same((status, body), (200, "OK"))
        holds(fields["Strict-Transport-Security"], "browsers are told to stay with TLS")


@claim
def who_comes_through_the_proxy_is_nobody_by_himself(stage):
    with proxy(stage.daemon) as secure:
        for fields in [{}, {"X-Forwarded-For": "127.0.0.1"}, {"Forwarded": "for=127.0.0.1"}]:
            fields |= {"Content-Type": "application/json", "Host": "localhost"}
            status, body, _ = secure.ask("POST", "/", rpc("system.info"), **fields)
            same((status, json.loads(body)["error"]["code"]), (401, -32001), fields)


@claim
def a_call_with_a_key_goes_through_and_one_without_does_not(stage):
    with guarded() as secure:
        for credentials, expected in [({"X-API-Key": KEY}, 200), ({"X-API-Key": KEY[1:]}, 401),
                                      ({"Authorization": f"Bearer {KEY}"}, 200), ({}, 401)]:
            fields = {"Content-Type": "application/json"} | credentials
            status, body, _ = secure.ask("POST", "/", rpc("system.info"), **fields)
            same(status, expected, f"{credentials}: {body}")


@claim
def a_page_of_another_site_stays_outside_and_one_of_the_proxy_does_not(stage):
    with guarded() as secure:
        for origin, expected in [("https://evil.example", 403), (f"http://{NAME}:81", 403),
                                 (f"https://{NAME}", 200)]:
            fields = {"Content-Type": "application/json", "X-API-Key": KEY, "Origin": origin}
            same(secure.ask("POST", "/", rpc("system.info"), **fields)[0], expected, origin)


@claim
def an_event_comes_while_its_stream_is_open(stage):
    with guarded() as secure:
        stream = secure.connection()
        stream.request("GET", "/events?topic=agent/", headers={"X-API-Key": KEY})
        events = stream.getresponse()
        same((events.status, events.getheader("Content-Type")), (200, "text/event-stream"))
        while events.readline().strip() != b"event: synced":
            pass
        fields = {"Content-Type": "application/json", "X-API-Key": KEY}
        same(secure.ask("POST", "/", rpc("agent.spawn", **BASIC), **fields)[0], 200)
        while b"through nginx" not in events.readline():
            pass


@claim
def a_websocket_goes_through(stage):
    with guarded() as secure:
        path, address = str(secure.place / "https.sock"), f"wss://{NAME}/ws"
        with unix_connect(path, uri=address, ssl=secure.context, open_timeout=PATIENCE,
                          additional_headers={"X-API-Key": KEY}) as socket:
            socket.send(rpc("agent.spawn", **BASIC))
            holds("result" in json.loads(socket.recv(PATIENCE)), "a call is answered")
