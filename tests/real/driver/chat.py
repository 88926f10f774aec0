"""A chat with a program, as a client of the daemon sees it."""

import time
from dataclasses import dataclass, field

# How long a turn may take at most; what takes longer does not come any more.
PATIENCE = 120
# How long one read waits for something new.
READ_MS = 500


@dataclass
class Turn:
    """What the chunks of a turn said."""

    number: int
    outcome: str = None
    error: dict = None
    usage: dict = None
    pieces: list = field(default_factory=list)
    retracted: int = 0
    tools: dict = field(default_factory=dict)
    results: dict = field(default_factory=dict)
    asked: list = field(default_factory=list)
    raw: list = field(default_factory=list)
    errors: list = field(default_factory=list)

    def text(self, kind="text"):
        return "".join(content for _, what, content in self.pieces if what == kind)

    def take(self, offset, chunk):
        what = chunk["type"]
        if what in ("text", "thinking") and not chunk.get("parent_tool_id"):
            self.pieces.append((offset, what, chunk["content"]))
        elif what == "retracted":
            kept = [piece for piece in self.pieces if piece[0] < chunk["from_offset"]]
            self.retracted += len(self.pieces) - len(kept)
            self.pieces = kept
        elif what == "tool_use_start":
            self.tools[chunk["tool_id"]] = chunk["tool_name"]
        elif what == "tool_result":
            self.results[chunk["tool_id"]] = chunk
        elif what == "approval_requested":
            self.asked.append(chunk)
        elif what == "raw":
            self.raw.append(chunk["line"])
        elif what == "error":
            self.errors.append(chunk)
        elif what == "turn_complete":
            self.outcome, self.error = chunk["outcome"], chunk.get("error")
            self.usage = chunk.get("usage")


class Chat:
    def __init__(self, daemon, program, **more):
        self.daemon = daemon
        params = program.create(**{"approvals": "ask", **more})
        created = daemon.call("chat.create", **params)
        self.id, self.cursor = created["session_id"], created["cursor"]
        self.turns, self.chunks = {}, []

    def get(self):
        return self.daemon.call("chat.get", session_id=self.id)

    def prompt(self, text):
        """Asks something and does not wait."""
        number = self.daemon.call("chat.prompt", session_id=self.id, prompt=text)["turn"]
        return self.turns.setdefault(number, Turn(number))

    def ask(self, text):
        """Asks something and waits for the end of the turn."""
        return self.end(self.prompt(text))

    def read(self):
        """Takes the chunks that are new, and waits a while if none is."""
        page = self.daemon.call("event.read", topics=[f"chat/{self.id}"], after=self.cursor,
                                limit=1000, wait_ms=READ_MS)
        self.cursor = page["cursor"]
        assert not page["gaps"], f"chunks are missing: {page['gaps']}"
        for event in page["events"]:
            chunk = event["data"]
            self.chunks.append(chunk)
            turn = self.turns.setdefault(chunk["turn"], Turn(chunk["turn"]))
            turn.take(event["offset"], chunk)

    def until(self, condition, what, patience=PATIENCE):
        """Reads until `condition` holds."""
        limit = time.monotonic() + patience
        while not condition():
            if time.monotonic() > limit:
                raise AssertionError(f"not within {patience} s: {what}; {self.state()}")
            self.read()

    def end(self, turn, patience=PATIENCE):
        self.until(lambda: turn.outcome, f"turn {turn.number} ends", patience)
        return turn

    def state(self):
        seen = [chunk for chunk in self.chunks if chunk["type"] != "status"][-4:]
        return f"the chat is {self.get()['status']}, its last chunks are {seen}"

    def decide(self, approval, decision):
        return self.daemon.call("approval.decide", approval_id=approval["approval_id"],
                                decision=decision)

    def said(self, turn):
        """The answer of a turn as the chat's history has it."""
        history = self.daemon.call("chat.history", session_id=self.id, limit=1000)
        return "".join(message["content"] for message in history["messages"]
                       if message["turn"] == turn.number and message["role"] == "assistant")

    def stop(self):
        return self.daemon.call("chat.stop", session_id=self.id)
