"""TLS, as curl, Python's `ssl` and `websockets` speak it."""

import json
import shutil
import ssl
import subprocess
import tempfile
import urllib.error
import urllib.request

from websockets.sync.client import connect

from claims import Skipped, claim, holds, same
from daemon import PATIENCE, Daemon


def requires(_):
    """Said before any claim of this module is tried."""
    for program in ("openssl", "curl"):
        if not shutil.which(program):
            raise Skipped(f"{program} is not installed")


def certificate(home):
    """The guide's own command."""
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                    "ec_paramgen_curve:prime256v1", "-nodes", "-days", "30", "-subj", "/CN=descartes",
                    "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1",
                    "-addext", "basicConstraints=critical,CA:FALSE",
                    "-keyout", f"{home}/key.pem", "-out", f"{home}/cert.pem"],
                   check=True, capture_output=True)
    # The file is made for its owner alone.
    return f'tls_cert = "{home}/cert.pem"\ntls_key = "{home}/key.pem"\n'


class Secure:
    """A daemon of its own, with TLS."""

    def __enter__(self):
        self.folder = tempfile.TemporaryDirectory(prefix="descartes-tls-")
        home = self.folder.name
        self.daemon = Daemon(home, [], server=certificate(home))
        self.daemon.start()
        self.file = f"{home}/cert.pem"
        return self

    def __exit__(self, *_):
        self.daemon.kill()
        self.folder.cleanup()


def curl(*arguments):
    return subprocess.run(["curl", "--silent", "--show-error", "--max-time", str(PATIENCE), *arguments],
                          capture_output=True, text=True)


@claim
def curl_and_python_call_and_follow_over_both_versions(_):
    with Secure() as secure:
        url = secure.daemon.url
        holds(url.startswith("https://"), url)
        for version in ("1.2", "1.3"):
            said = curl("--cacert", secure.file, f"--tlsv{version}", "--tls-max", version,
                        f"{url}/health")
            same((said.stdout, said.stderr), ("OK", ""))
        holds(curl(f"{url}/health").returncode == 60, "an unknown certificate is refused by curl")
        plain = curl(url.replace("https", "http", 1))
        holds("https://" in plain.stdout, plain.stdout)

        context = ssl.create_default_context(cafile=secure.file)
        with urllib.request.urlopen(f"{url}/ready", timeout=PATIENCE, context=context) as answer:
            same(answer.read(), b"READY")
        for address in (url.replace("https", "wss", 1) + "/ws", secure.daemon.ends["ws"]):
            holds(address.startswith("wss://"), address)
            with connect(address, ssl=context, open_timeout=PATIENCE, proxy=None) as peer:
                call = {"jsonrpc": "2.0", "id": 1, "method": "event.subscribe",
                        "params": {"topics": ["system"]}}
                peer.send(json.dumps(call))
                holds("subscription_id" in peer.recv(timeout=PATIENCE), "a subscription")
                holds("system.started" in peer.recv(timeout=PATIENCE), "its first event")


@claim
def a_reload_shows_another_certificate_and_leaves_streams_alone(_):
    with Secure() as secure:
        daemon, context = secure.daemon, ssl.create_default_context(cafile=secure.file)
        address = daemon.ends["ws"]
        with connect(address, ssl=context, open_timeout=PATIENCE, proxy=None) as peer:
            certificate(daemon.home)
            reload = {"jsonrpc": "2.0", "id": 1, "method": "system.reload"}
            peer.send(json.dumps(reload))
            answer = json.loads(peer.recv(timeout=PATIENCE))
            same(answer["result"]["applied"], ["server.tls_cert", "server.tls_key"])
            peer.send(json.dumps(reload))
            same(json.loads(peer.recv(timeout=PATIENCE))["result"]["status"], "unchanged")
        try:
            urllib.request.urlopen(f"{daemon.url}/health", timeout=PATIENCE, context=context).close()
        except urllib.error.URLError as error:
            holds("certificate" in str(error), error)
        else:
            raise AssertionError("the certificate of before is still shown")
        said = curl("--cacert", secure.file, f"{daemon.url}/health")
        same(said.stdout, "OK")
