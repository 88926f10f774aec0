"""Headless Chromium: a page that the daemon allows, and one that it does not."""

import contextlib
import os
import queue
import shutil
import subprocess
import tempfile
import urllib.parse

from claims import Skipped, claim, holds, same
from daemon import PATIENCE
from with_guide import blocks

NAMES = ["chromium", "chromium-browser", "google-chrome"]
# No sandbox: it needs rights that containers lack, and the pages are ours.
FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
         "--disable-background-networking", "--disable-component-update", "--disable-sync",
         "--disable-dev-shm-usage", "--no-proxy-server", "--remote-debugging-port=0"]


@contextlib.contextmanager
def browser(address):
    program = next(filter(None, map(shutil.which, NAMES)), None)
    if not program:
        raise Skipped("chromium is not installed")
    with tempfile.TemporaryDirectory(prefix="descartes-chromium-") as home:
        command = [program, *FLAGS, f"--user-data-dir={home}/profile", address]
        with open(f"{home}/log", "wb") as log:
            # A group of its own: its helpers end with it.
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                       env=dict(os.environ, HOME=home), start_new_session=True)
        try:
            yield lambda: open(f"{home}/log", errors="replace").read()[-4000:]
        finally:
            os.killpg(process.pid, 9)
            process.wait(PATIENCE)


def visit(stage, site, page):
    """Opens the page and gives (claim, failure or None) as it tells them."""
    daemon = stage.daemon
    query = [("daemon", daemon.url), *(("socket", address) for address in daemon.sockets)]
    address = f"{site.origin}/{page}.html?{urllib.parse.urlencode(query)}"
    told = []
    with browser(address) as log:
        while True:
            try:
                report = site.reports.get(timeout=PATIENCE)
            except queue.Empty:
                raise AssertionError(f"the page is silent after {told}\n{log()}") from None
            if "done" in report:
                break
            if report.get("wants") == "killed":
                daemon.kill()
                daemon.start()
            else:
                told.append((report["claim"], report["failed"]))
    for claimed, failed in told:
        print(f"  {page}: {claimed}{f': {failed}' if failed else ''}")
    same([entry for entry in told if entry[1] and not entry[1].startswith("skipped")], [])
    holds(told, "the page has claims")


@claim
def a_page_of_an_allowed_origin_can_do_everything(stage):
    (script,) = blocks("js")
    stage.pages.own.scripts["/guide.js"] = script
    visit(stage, stage.pages.own, "allowed")


@claim
def a_page_of_another_origin_can_do_nothing(stage):
    visit(stage, stage.pages.foreign, "foreign")
    same(stage.daemon.call("state.query", key="foreign")["state"], {})
