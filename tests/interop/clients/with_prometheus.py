"""Prometheus itself reads the page, and its tools the files of `deploy/`."""

import contextlib
import json
import pathlib
import re
import shutil
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request

from claims import Skipped, claim, holds, same
from daemon import PATIENCE, Daemon

DEPLOY = pathlib.Path(__file__).parents[3] / "deploy"
KEY = "a configured key of these tests"
TOKEN_FILE = "/etc/prometheus/descartes.token"
# Words of PromQL that are no names of metrics (functions are told by what follows them).
WORDS = {"by", "without", "on", "ignoring", "and", "or", "unless", "offset", "bool"}
# What Prometheus says of a scrape itself.
OF_PROMETHEUS = {"up"}


def program(name):
    found = shutil.which(name)
    if not found:
        raise Skipped(f"{name} is not installed")
    return found


def promtool(*arguments, **given):
    return subprocess.run([program("promtool"), *map(str, arguments)], capture_output=True,
                          text=True, **given)


@contextlib.contextmanager
def guarded():
    """A daemon with authentication on that shows its numbers."""
    with tempfile.TemporaryDirectory(prefix="descartes-interop-") as home:
        auth = f"enabled = true\napi_key = {json.dumps(KEY)}\n"
        daemon = Daemon(home, [], server="metrics_port = 0\n", auth=auth)
        daemon.start()
        try:
            yield daemon
        finally:
            daemon.kill()


def page(daemon, **head):
    request = urllib.request.Request(daemon.ends["metrics"], headers=head)
    with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
        return answer.read().decode()


def families(daemon):
    lines = page(daemon, Authorization=f"Bearer {KEY}").splitlines()
    return {line.split()[2] for line in lines if line.startswith("# TYPE ")}


def names(expression):
    """The metrics that an expression of PromQL names."""
    expression = re.sub(r'"[^"]*"|\{[^}]*\}|\[[^]]*\]', " ", re.sub(r'"[^"]*"', '""', expression))
    expression = re.sub(r"\b(by|without)\s*\([^)]*\)", " ", expression)
    found = re.findall(r"\b[a-z_][a-z0-9_]*\b(?!\s*\()", expression)
    return {re.sub("_(bucket|sum|count)$", "", name) for name in found if name not in WORDS}


@claim
def the_page_has_no_fault(stage):
    with guarded() as daemon:
        checked = promtool("check", "metrics", input=page(daemon, Authorization=f"Bearer {KEY}"))
        same((checked.returncode, checked.stdout, checked.stderr), (0, "", ""))


@claim
def the_configuration_rules_and_their_tests_are_good(stage):
    with tempfile.TemporaryDirectory(prefix="descartes-prometheus-") as place:
        for file in DEPLOY.glob("*.yaml"):
            shutil.copy(file, place)
        token = pathlib.Path(place, "token")
        token.write_text(KEY)
        config = pathlib.Path(place, "prometheus.yaml")
        holds(TOKEN_FILE in config.read_text(), "the scrape has its token in a file")
        config.write_text(config.read_text().replace(TOKEN_FILE, str(token)))
        for arguments in [("check", "config", config),
                          ("check", "rules", f"{place}/alerts.yaml"),
                          ("test", "rules", f"{place}/alerts.test.yaml")]:
            checked = promtool(*arguments, cwd=place)
            same(checked.returncode, 0, f"{arguments}: {checked.stdout}{checked.stderr}")


@claim
def rules_and_dashboard_name_what_the_daemon_shows(stage):
    rules = re.findall(r"^ +expr: (.*)$", (DEPLOY / "alerts.yaml").read_text(), re.M)
    board = json.loads((DEPLOY / "grafana.json").read_text())
    asked = [target["expr"] for panel in board["panels"] for target in panel.get("targets", [])]
    holds(len(rules) > 10 and len(asked) > 20, "there are rules and panels")
    with guarded() as daemon:
        shown = families(daemon) | OF_PROMETHEUS
    for expression in rules + asked:
        named = names(expression)
        holds(named, expression)
        same(named - shown, set(), f"{expression}:")


@claim
def a_prometheus_scrapes_with_the_token_of_a_file(stage):
    server = program("prometheus")
    with guarded() as daemon, tempfile.TemporaryDirectory(prefix="descartes-prometheus-") as place:
        token, config = pathlib.Path(place, "token"), pathlib.Path(place, "prometheus.yaml")
        token.write_text(KEY)
        target = daemon.ends["metrics"].removeprefix("http://").removesuffix("/metrics")
        config.write_text("scrape_configs:\n- job_name: descartes\n  scrape_interval: 1s\n"
                          "  scrape_timeout: 1s\n"
                          f"  authorization: {{credentials_file: {token}}}\n"
                          f"  static_configs: [{{targets: ['{target}']}}]\n")
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        with open(f"{place}/log", "wb") as log:
            running = subprocess.Popen(
                [server, f"--config.file={config}", f"--storage.tsdb.path={place}/data",
                 f"--web.listen-address=127.0.0.1:{port}"],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            same(scraped(port, running, place), "up")
        finally:
            running.kill()
            running.wait(PATIENCE)


def scraped(port, running, place):
    """What Prometheus thinks of its one target, once it thinks something good."""
    began, health = time.monotonic(), None
    while health != "up" and time.monotonic() - began < PATIENCE:
        holds(running.poll() is None, pathlib.Path(place, "log").read_text(errors="replace"))
        with contextlib.suppress(OSError, urllib.error.URLError):
            url = f"http://127.0.0.1:{port}/api/v1/targets"
            with urllib.request.urlopen(url, timeout=PATIENCE) as answer:
                targets = json.load(answer)["data"]["activeTargets"]
            health = targets[0]["health"] if targets else None
        time.sleep(0.1)
    return health
