"""The scripted model server: started on a free port, asked what it saw."""

import json
import subprocess
import sys
import time
import urllib.request

PATIENCE = 60


class Stub:
    """A stub that speaks markers, such as `[[stub:text say="hello"]]`; see the README."""

    def __init__(self, program, home):
        port_file = home / "stub.port"
        self.log = open(home / "stub.log", "wb")
        command = [sys.executable, program, "--port", "0", "--port-file", port_file, "--keep-bodies"]
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=self.log,
                                        stderr=self.log)
        began = time.monotonic()
        while not port_file.exists() or not port_file.read_text().endswith("\n"):
            if self.process.poll() is not None or time.monotonic() - began > PATIENCE:
                raise AssertionError(f"the stub does not start: {home / 'stub.log'}")
            time.sleep(0.01)
        self.url = f"http://127.0.0.1:{int(port_file.read_text())}"

    def stop(self):
        self.process.kill()
        self.process.wait()
        self.log.close()

    def requests(self):
        """What it was asked, oldest first."""
        return self.get("/__stub/requests")

    def body(self, number):
        """The request with this number, as text."""
        found = [entry for entry in self.get("/__stub/bodies") if entry["n"] == number]
        return json.dumps(found[0]["body"])

    def get(self, path):
        with urllib.request.urlopen(self.url + path, timeout=PATIENCE) as response:
            return json.load(response)
