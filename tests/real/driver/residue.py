"""Processes that bear an agent's mark."""

import pathlib
import time

MARK = b"DESCARTES_AGENT="


def processes(text):
    """The processes whose mark has this text in it: an agent, or `:` for any."""
    found = {}
    for folder in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            variables = (folder / "environ").read_bytes().split(b"\0")
            command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        # One that has ended and was not waited for has no command line any more.
        if command and any(v.startswith(MARK) and text.encode() in v for v in variables):
            found[int(folder.name)] = command.strip()
    return found


def running(words):
    """The processes whose command line has these words in it."""
    found = {}
    for folder in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if words in command:
            found[int(folder.name)] = command.strip()
    return found


def eventually(condition, what, patience=60):
    limit = time.monotonic() + patience
    while not condition():
        if time.monotonic() > limit:
            raise AssertionError(f"not within {patience} s: {what}")
        time.sleep(0.1)
