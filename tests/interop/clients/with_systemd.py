"""systemd's own tools look at the unit and the user of `deploy/`."""

import os
import pathlib
import shutil
import subprocess
import tempfile
import time

from claims import Skipped, claim, holds, same
from daemon import PATIENCE

DEPLOY = pathlib.Path(__file__).parents[3] / "deploy"
UNIT = DEPLOY / "descartes-daemon.service"
SOCKET = DEPLOY / "descartes-daemon.socket"
PROGRAM = "/usr/local/bin/descartes-daemon"
# `systemd-analyze security` goes from 0 to 10, in tenths here; the unit stands at 2.6.
EXPOSED_AT_MOST = 28


def run(*command):
    if not shutil.which(command[0]):
        raise Skipped(f"{command[0]} is not installed")
    return subprocess.run(command, capture_output=True, text=True)


@claim
def the_unit_has_no_fault(stage):
    daemon = stage.daemon.programs / "descartes-daemon"
    with tempfile.TemporaryDirectory(prefix="descartes-unit-") as place:
        unit = pathlib.Path(place) / UNIT.name
        unit.write_text(UNIT.read_text().replace(PROGRAM, str(daemon)))
        socket = pathlib.Path(place) / SOCKET.name
        socket.write_text(SOCKET.read_text())
        verified = run("systemd-analyze", "verify", "--man=no", unit, socket)
        # What else is installed on this machine is not ours.
        ours = [line for line in verified.stderr.splitlines() if "descartes" in line]
        same((verified.returncode, ours), (0, []))
        unit.write_text(unit.read_text() + "\n[Service]\nProtectEverything=yes\n")
        holds("ProtectEverything" in run("systemd-analyze", "verify", "--man=no", unit).stderr,
              "a word that systemd does not know is found")


@claim
def the_unit_leaves_little_open(stage):
    judged = run("systemd-analyze", "security", "--offline=true",
                 f"--threshold={EXPOSED_AT_MOST}", UNIT)
    same(judged.returncode, 0, judged.stdout[-300:] + judged.stderr)


@claim
def the_unit_says_what_the_guide_says(stage):
    lines = UNIT.read_text().splitlines()
    for line in [f"ExecStart={PROGRAM} --config /etc/descartes/daemon.toml", "User=descartes",
                 "Type=notify", "ExecReload=/bin/kill -HUP $MAINPID", "Restart=on-failure", "RestartSec=10", "StateDirectory=descartes",
                 "RuntimeDirectory=descartes"]:
        holds(line in lines, line)


@claim
def agents_may_fence_in_what_they_run(stage):
    given = dict(line.split("=", 1) for line in UNIT.read_text().splitlines() if "=" in line)
    # What bubblewrap does with --unshare-all: new namespaces of each kind, and mounts in them.
    same(sorted(given["RestrictNamespaces"].split()),
         ["cgroup", "ipc", "mnt", "net", "pid", "user", "uts"])
    same(given["SystemCallFilter"].split(), ["@system-service", "@mount"])


@claim
def the_user_of_the_unit_can_be_made(stage):
    made = run("systemd-sysusers", "--dry-run", str(DEPLOY / "descartes.sysusers"))
    same(made.returncode, 0, made.stderr)
    holds("descartes" in made.stdout + made.stderr or "descartes" in open("/etc/passwd").read(),
          made.stdout + made.stderr)


@claim
def its_configuration_is_one(stage):
    checked = run(stage.daemon.programs / "descartes-daemon", "--check-config", "--config",
                  DEPLOY / "daemon.toml")
    same(checked.returncode, 0, checked.stderr)


@claim
def with_what_the_unit_gives_it_the_daemon_starts_and_is_asked(stage):
    with tempfile.TemporaryDirectory(prefix="descartes-unit-") as place:
        state, runtime = pathlib.Path(place, "state"), pathlib.Path(place, "run")
        ports = {f"DESCARTES_SERVER__{name}_PORT": "0" for name in ("HTTP", "WS", "ZMQ", "PUB")}
        given = dict(PATH=os.environ["PATH"], HOME=place, STATE_DIRECTORY=str(state),
                     RUNTIME_DIRECTORY=str(runtime), **ports)
        command = [stage.daemon.programs / "descartes-daemon", "--config", DEPLOY / "daemon.toml"]
        with open(f"{place}/log", "wb") as log:
            daemon = subprocess.Popen(command, env=given, stdin=subprocess.DEVNULL, stdout=log,
                                      stderr=log)
        try:
            began = time.monotonic()
            while not (runtime / "endpoints.json").exists():
                holds(daemon.poll() is None and time.monotonic() - began < PATIENCE,
                      pathlib.Path(place, "log").read_text())
                time.sleep(0.01)
            asked = subprocess.run([stage.daemon.programs / "descartes", "ps"], capture_output=True,
                                   env=dict(PATH=given["PATH"], HOME=place,
                                            DESCARTES_RUNTIME_DIR=str(runtime)))
            same((asked.returncode, asked.stderr), (0, b""))
            holds(any(state.iterdir()), "its data lies in the directory of the unit")
            daemon.terminate()
            same(daemon.wait(PATIENCE), 0, "asked as `systemctl stop` asks, it ends in peace")
        finally:
            daemon.kill()
            daemon.wait(PATIENCE)
