"""The documents that the daemon tells of itself: valid, and good enough to generate types from."""

import pathlib
import shutil
import subprocess

from claims import Skipped, claim

SCRIPT = pathlib.Path(__file__).parents[1] / "documents"


@claim
def the_documents_are_valid_and_types_generated_from_them_compile(stage):
    if not shutil.which("npm"):
        raise Skipped("npm is not installed")
    stage.daemon.wait(stage.daemon.spawn_counter(20))
    done = subprocess.run([SCRIPT, stage.daemon.url], stdin=subprocess.DEVNULL, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    print(done.stdout, end="")
    if done.returncode != 0:
        raise AssertionError(f"{SCRIPT.name} ended with {done.returncode}")
