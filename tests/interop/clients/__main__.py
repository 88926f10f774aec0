"""Runs every client against one daemon and tells what held."""

import importlib
import sys
import tempfile
import time
import traceback

from daemon import Daemon
from pages import Pages
from claims import Skipped, claims

# The daemon is killed and started again by some; the one that ends it for good comes last.
CLIENTS = ["with_httpx", "with_curl", "with_tls", "on_unix", "with_guide", "with_documents", "in_chromium",
           "with_systemd", "with_nginx", "with_containers", "with_prometheus", "with_zmq", "with_zmq_options",
           "with_credentials", "with_tokens", "with_protocol", "with_websockets"]


def judge(name, function, stage):
    began = time.monotonic()
    try:
        sys.modules[function.__module__].__dict__.get("requires", lambda _: None)(stage)
        function(stage)
        outcome, why = "ok", ""
    except Skipped as skipped:
        outcome, why = "skipped", f": {skipped}"
    except Exception:
        outcome, why = "FAILED", "\n" + traceback.format_exc()
    claim = function.__name__.replace("_", " ")
    print(f"{outcome}: {name}: {claim} ({time.monotonic() - began:.1f} s){why}", flush=True)
    return outcome


class Stage:
    """What the clients share."""

    def __init__(self, home):
        self.pages = Pages()
        self.daemon = Daemon(home, allowed_origins=[self.pages.allowed])


def main(chosen):
    unknown = set(chosen) - set(CLIENTS)
    if unknown:
        sys.exit(f"no such client: {', '.join(unknown)}; there are {', '.join(CLIENTS)}")
    outcomes = []
    with tempfile.TemporaryDirectory(prefix="descartes-interop-") as home:
        stage = Stage(home)
        stage.daemon.start()
        try:
            for name in CLIENTS:
                if not chosen or name in chosen:
                    module = importlib.import_module(name)
                    outcomes += [judge(name, claim, stage) for claim in claims(module)]
        finally:
            stage.daemon.kill()
            stage.pages.close()
        if "FAILED" in outcomes:
            print(stage.daemon.log())
    counted = ", ".join(f"{outcomes.count(word)} {word}" for word in ("ok", "skipped", "FAILED"))
    print(f"foreign clients: {counted}")
    sys.exit("FAILED" in outcomes or "ok" not in outcomes)


if __name__ == "__main__":
    main(sys.argv[1:])
