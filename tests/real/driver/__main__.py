"""Puts every program through every scenario, one at a time, and prints a table of what held."""

import argparse
import os
import pathlib
import shutil
import sys
import tempfile
import time
import traceback

HERE = pathlib.Path(__file__).resolve().parent
# The daemon of the foreign clients serves here too.
sys.path.append(str(HERE.parents[1] / "interop" / "clients"))

from daemon import Daemon  # noqa: E402
from programs import PROGRAMS  # noqa: E402
from scenarios import SCENARIOS, Limit, Stage  # noqa: E402
from stub import Stub  # noqa: E402


# How much of a failure is shown.
MOST = 600


def arguments():
    parser = argparse.ArgumentParser(prog="tests/real/run", description=__doc__)
    parser.add_argument("--only", action="append", choices=PROGRAMS, metavar="PROGRAM",
                        help=f"one of {', '.join(PROGRAMS)}; may be repeated")
    names = [scenario.__name__ for scenario in SCENARIOS]
    parser.add_argument("--scenario", action="append", choices=names, metavar="NAME",
                        help=f"one of {', '.join(names)}; may be repeated")
    parser.add_argument("--stub", default=os.environ.get("DESCARTES_REAL_STUB",
                        str(HERE.parent / "stub")),
                        help="another scripted model server than the one in this folder")
    parser.add_argument("--keep", action="store_true", help="keeps the folder of the run; that of one that failed is always kept")
    return parser.parse_args()


def judge(stage, scenario):
    began = time.monotonic()
    try:
        outcome, why = "ok", scenario(stage) or ""
    except Limit as limit:
        outcome, why = "limit", str(limit)
    except Exception as failure:
        frames = traceback.extract_tb(failure.__traceback__)
        at = [frame for frame in frames if "scenarios.py" in frame.filename][-1]
        outcome, why = "FAILED", f"{str(failure)[:MOST]} (line {at.lineno})"
    name = scenario.__name__.replace("_", " ")
    row = (stage.program.name, name, outcome, f"{time.monotonic() - began:.1f} s", why)
    print(line(row), flush=True)
    return row


def line(row):
    program, name, outcome, took, why = row
    return f"{program:12} {name:36} {outcome:7} {took:>8}  {why}".rstrip()


def run(chosen, home):
    stub = Stub(chosen.stub, home)
    daemon, rows = None, []
    try:
        for name in chosen.only or PROGRAMS:
            folder = home / name
            program = PROGRAMS[name](name, folder, stub)
            found = pathlib.Path(os.environ["DESCARTES_REAL_CACHE"], program.package)
            os.environ["PATH"] = f"{found / 'node_modules' / '.bin'}:{os.environ['PATH']}"
            daemon = Daemon(folder, allowed_origins=[])
            daemon.start()
            stage = Stage(daemon, stub, program)
            for scenario in SCENARIOS:
                if not chosen.scenario or scenario.__name__ in chosen.scenario:
                    rows.append(judge(stage, scenario))
            daemon.begin_stop()
            daemon.process.wait(120)
    finally:
        if daemon:
            daemon.kill()
        stub.stop()
    return rows


def main():
    chosen = arguments()
    home = pathlib.Path(tempfile.mkdtemp(prefix="descartes-real-"))
    print(f"in {home}", flush=True)
    rows = run(chosen, home)
    print("\n" + "\n".join(line(row) for row in rows if row[2] != "ok"))
    counted = {word: sum(row[2] == word for row in rows) for word in ("ok", "limit", "FAILED")}
    print(", ".join(f"{number} {word}" for word, number in counted.items()))
    if not chosen.keep and not counted["FAILED"]:
        shutil.rmtree(home, ignore_errors=True)
    sys.exit(1 if counted["FAILED"] or not rows else 0)


if __name__ == "__main__":
    main()
