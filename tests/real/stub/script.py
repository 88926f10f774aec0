"""What the model answers: written into the prompt, as `[[stub:NAME key=value]]`.

Several markers in one prompt are played one after the other: the first when it is asked, the next
when the results of the tools of the one before have come.
"""

import json
import re
import shlex
import threading

MARKER = re.compile(r"\[\[stub:(\w+)(.*?)\]\]", re.DOTALL)
AFTERWARDS = "there is nothing more in the script"
ASIDE = "an aside"

# What programs call their shell, and where it takes the command.
SHELLS = {"bash", "shell", "shell_command", "exec_command", "run_shell_command"}
COMMANDS = ("command", "cmd")

# What they call the tool that begins a sub-agent, and the kind of agent that it is asked for.
HELPERS = {"Agent": "general-purpose", "Task": "general-purpose", "task": "general",
           "invoke_agent": "generalist"}
# What they call the tool that writes a file, and where it takes the path.
WRITERS = {"write", "write_file"}
PATHS = ("file_path", "filePath", "path")

# How long a stream that will be cut is left alone, so that what was sent of it has been read.
BEFORE_CUT = 0.3


class Play:
    """One answer: a status, or pieces in order.

    Pieces are `("text", words)`, `("think", words)`, `("tool", name, arguments)`, `("wait", seconds)`,
    `("cut",)`, and `("fail",)` for an error in the middle of the stream.
    """

    def __init__(self, name, pieces=(), status=200):
        self.name, self.pieces, self.status = name, pieces, status


def words(text):
    """`text`, a few characters at a time."""
    return (("text", text[at:at + 8]) for at in range(0, len(text), 8))


def endless(pause):
    number = 0
    while True:
        number += 1
        yield "text", f"tick {number} "
        yield "wait", pause


def numbered(count, size):
    for number in range(1, count + 1):
        yield "text", f"{number:04} ".ljust(size - 1, "x") + " "


def cut_after(count):
    for number in range(1, count + 1):
        yield "text", f"part {number} "
    yield "wait", BEFORE_CUT
    yield ("cut",)


def thoughts(count, then):
    for number in range(1, count + 1):
        yield "think", f"thought {number}. "
    yield from words(then)


def fail_after(count):
    for number in range(1, count + 1):
        yield "text", f"part {number} "
    yield "wait", BEFORE_CUT
    yield ("fail",)


def write_call(tools, path):
    """A call of the tool that writes files."""
    for name, schema in tools.items():
        if name.lower() in WRITERS:
            key = next(key for key in PATHS if key in schema["properties"])
            return [("tool", name, {key: path, "content": "written\n"})]
    return words(f"there is no tool that writes among {sorted(tools)}")


def helper_call(tools, prompt):
    """A call that begins a sub-agent. Markers for it stand in `((` and `))`."""
    prompt = prompt.replace("((", "[[").replace("))", "]]")
    for name in tools.keys() & HELPERS.keys():
        kind = "agent_name" if name == "invoke_agent" else "subagent_type"
        return [("tool", name, {"description": "a part of it", "prompt": prompt,
                                kind: HELPERS[name]})]
    return words(f"there is no tool for sub-agents among {sorted(tools)}")


def shell_call(tools, command):
    """A call of the program's shell, by the name and with the argument that it offered."""
    for name, schema in tools.items():
        if name.lower() in SHELLS:
            known = schema.get("properties", {})
            key = next((key for key in COMMANDS if key in known), COMMANDS[0])
            given = ["bash", "-c", command] if known.get(key, {}).get("type") == "array" else command
            arguments = {other: plainest(known.get(other, {})) for other in schema.get("required", [])}
            return [("tool", name, {**arguments, key: given})]
    return words(f"there is no shell among {sorted(tools)}")


def plainest(schema):
    """The plainest value that fits a JSON schema."""
    if "enum" in schema:
        return schema["enum"][0]
    kind = str(schema.get("type", "object" if "properties" in schema else "string")).lower()
    if kind == "object":
        return {key: plainest(inner) for key, inner in schema.get("properties", {}).items()}
    return {"array": [], "boolean": False, "integer": 1, "number": 1}.get(kind, "stub")


class Script:
    """Chooses answers. It remembers nothing but how often a marker has failed."""

    def __init__(self):
        self.lock, self.failed = threading.Lock(), {}

    def play(self, asked):
        """The answer to what was asked, see `wires.Asked`."""
        if not asked.tools:
            # Titles, summaries, choices of models: what programs ask beside the turn has no tools.
            said = json.dumps(plainest(asked.schema)) if asked.schema else ASIDE
            return Play("aside", words(said))
        markers, rounds = self.place(asked.talk)
        if rounds >= len(markers):
            return Play("afterwards", words(AFTERWARDS))
        whole, name, options = markers[rounds]
        times = int(options.get("times", 0))
        if times and self.has_failed(whole, times):
            return Play(name, words(f"Recovered after {times} failures."))
        return self.answer(name, options, asked.tools)

    def place(self, talk):
        """The markers of the newest prompt that has some, and how many rounds of tools followed."""
        rounds, inside = 0, False
        for role, text in reversed(talk):
            found = list(MARKER.finditer(text)) if role == "user" else []
            if found:
                return [(m[0], m[1], options(m[2])) for m in found], rounds
            rounds += role == "tool" and not inside
            inside = role == "tool"
        return [], 0

    def has_failed(self, marker, times):
        """Whether `marker` has failed so often; else it fails once more."""
        with self.lock:
            before = self.failed.get(marker, 0)
            self.failed[marker] = before + 1
            return before >= times

    @staticmethod
    def answer(name, options, tools):
        said, count = options.get("say", ""), int(options.get("n", 3))
        pause = int(options.get("ms", 50)) / 1000
        plays = {
            "text": lambda: Play(name, words(said)),
            "think": lambda: Play(name, thoughts(count, said)),
            "long": lambda: Play(name, numbered(count, int(options.get("size", 24)))),
            "never": lambda: Play(name, endless(pause)),
            "tool": lambda: Play(name, shell_call(tools, options["cmd"])),
            "write": lambda: Play(name, write_call(tools, options["path"])),
            "helper": lambda: Play(name, helper_call(tools, options["prompt"])),
            "fail": lambda: Play(name, fail_after(count)),
            "error": lambda: Play(name, status=int(options["status"])),
            "cut": lambda: Play(name, cut_after(count)),
        }
        unknown = f"there is no scenario {name!r}"
        return plays.get(name, lambda: Play("unknown", words(unknown)))()


def options(text):
    return dict(word.split("=", 1) for word in shlex.split(text))
