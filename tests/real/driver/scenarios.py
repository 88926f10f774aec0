"""What every program is put through. A scenario's name is what holds; what it returns is shown."""

import itertools
import time

from chat import Chat
from claims import holds, same
from residue import eventually, processes, running

# Makes markers that count failures different from all others.
fresh = itertools.count(1)
DONE = '[[stub:text say="it is done"]]'


class Limit(Exception):
    """The program cannot do better, and why: shown as such, and no failure of ours."""


class Stage:
    """One program, its daemon, its stub, and a chat that goes from scenario to scenario."""

    def __init__(self, daemon, stub, program):
        self.daemon, self.stub, self.program = daemon, stub, program
        self.standing = None

    def chat(self):
        """The standing chat; one that is not idle has failed somebody and is not used again."""
        if self.standing is None or self.standing.get()["status"] != "idle":
            self.forget()
            self.standing = Chat(self.daemon, self.program)
        return self.standing

    def forget(self):
        chat, self.standing = self.standing, None
        if chat:
            chat.stop()

    def seen(self, scenario, outcome):
        """How often the stub played `scenario` and it ended so."""
        return sum(entry["scenario"] == scenario and entry["outcome"] == outcome
                   for entry in self.stub.requests())


def completed(chat, turn, text):
    """The turn is done, and what was said is what the stub sent, once."""
    same((turn.outcome, turn.error), ("completed", None), "the end:")
    same(turn.text(), text, "the text:")
    same(chat.said(turn), text, "the history:")
    return f"{len(turn.raw)} raw: {turn.raw[0][:200]}" if turn.raw else None


def plain_answer(stage):
    chat = stage.chat()
    return completed(chat, chat.ask('[[stub:text say="a plain answer, said once"]]'),
                     "a plain answer, said once")


def answer_of_2000_chunks(stage):
    chat = stage.chat()
    turn = chat.ask("[[stub:long n=2000 size=24]]")
    expected = "".join(f"{n:04} {'x' * 18} " for n in range(1, 2001))
    completed(chat, turn, expected)
    return f"in {len(turn.pieces)} chunks"


def thinking(stage):
    chat = stage.chat()
    turn = chat.ask('[[stub:think n=3 say="thought and said"]]')
    completed(chat, turn, "thought and said")
    # Gemini takes the first words in asterisks for the title of a thought, and puts none where none is.
    thought = " ".join(turn.text("thinking").replace("*", " ").split())
    same(thought, "thought 1. thought 2. thought 3.", "the thinking:")


def tool(stage, decision):
    """A tool that asks; whether its file is there before the decision, and after the turn."""
    chat = stage.chat()
    file = stage.program.work / f"file-{next(fresh)}"
    turn = chat.prompt(f'[[stub:tool cmd="touch {file}"]] {DONE}')
    chat.until(lambda: turn.asked or turn.outcome, "it asks")
    holds(turn.asked, f"it did not ask, and ended {turn.outcome} with {turn.text()!r}"
                      f" (file: {file.exists()})")
    same(chat.get()["status"], "waiting_approval")
    holds(not file.exists(), "the tool ran before it was allowed")
    chat.decide(turn.asked[0], decision)
    chat.end(turn)
    same(list(turn.results), list(turn.tools), "results of the tools that were called:")
    return chat, turn, file.exists()


def tool_allowed(stage):
    chat, turn, there = tool(stage, "allow_once")
    completed(chat, turn, "it is done")
    holds(there, "what was allowed was not done")
    holds(not any(result["is_error"] for result in turn.results.values()), "the tool failed")


def tool_denied(stage):
    chat, turn, there = tool(stage, "deny")
    holds(not there, "what was denied was done")
    holds(all(result["is_error"] for result in turn.results.values()), "a denied tool is no error")
    if turn.outcome == "completed" and not turn.text() and stage.program.no_word_after_denial:
        raise Limit(stage.program.no_word_after_denial)
    completed(chat, turn, "it is done")


def offers(turn):
    """Stops where the program offers the scripted model no tool for what is tried."""
    if turn.text().startswith("there is no tool"):
        raise Limit(f"its model cannot do this: {turn.text()}")


def edit_allowed_by_the_mode(stage):
    """What changes files in the working directory is allowed, and nothing else."""
    chat = Chat(stage.daemon, stage.program, approvals="allow_edits")
    file = stage.program.work / f"file-{next(fresh)}"
    turn = chat.prompt(f'[[stub:write path="{file}"]] [[stub:tool cmd="touch {file}-2"]] {DONE}')
    chat.until(lambda: turn.asked or turn.outcome, "it asks about the shell")
    offers(turn)
    holds(len(turn.asked) == 1, f"{len(turn.asked)} questions, {turn.outcome} {turn.text()!r}")
    holds(file.exists(), f"the edit was not done: {turn.asked}")
    chat.decide(turn.asked[0], "allow_once")
    completed(chat, chat.end(turn), "it is done")
    holds(file.with_name(file.name + "-2").exists(), "what was allowed was not done")
    chat.stop()


def sub_agent_asks(stage):
    chat = stage.chat()
    file = stage.program.work / f"file-{next(fresh)}"
    inner = f'((stub:tool cmd="touch {file}")) ((stub:text say="said below"))'
    turn = chat.prompt(f"[[stub:helper prompt='{inner}']] {DONE}")

    def allowed():
        for asked in turn.asked:
            if chat.get()["status"] == "waiting_approval":
                chat.decide(asked, "allow_once")
                turn.asked.remove(asked)
        return turn.outcome
    chat.until(allowed, "the turn ends", 90)
    offers(turn)
    if stage.program.no_sub_agents and not file.exists() and turn.outcome == "completed":
        raise Limit(stage.program.no_sub_agents)
    holds(file.exists(), f"the sub-agent did not act: {turn.text()!r} {turn.results}")
    completed(chat, turn, "it is done")


def cancelled_while_it_asks(stage):
    chat = stage.chat()
    file = stage.program.work / f"file-{next(fresh)}"
    turn = chat.prompt(f'[[stub:tool cmd="touch {file}"]] {DONE}')
    chat.until(lambda: turn.asked or turn.outcome, "it asks")
    stage.daemon.call("chat.cancel", session_id=chat.id)
    chat.end(turn)
    same(turn.outcome, "cancelled")
    asked = stage.daemon.call("approval.get", approval_id=turn.asked[0]["approval_id"])
    same(asked["status"], "cancelled")
    completed(chat, chat.ask('[[stub:text say="after the question"]]'), "after the question")
    holds(not file.exists(), "what nobody allowed was done")


def cancelled_while_a_tool_runs(stage):
    chat = Chat(stage.daemon, stage.program, approvals="allow_all")
    words = f"sleep 28{next(fresh)}"
    turn = chat.prompt(f'[[stub:tool cmd="{words}"]] {DONE}')
    chat.until(lambda: running(words) or turn.outcome, "the tool runs")
    # Codex ends a tool that has just begun, and not one that has run for a moment.
    time.sleep(2)
    same(stage.daemon.call("chat.cancel", session_id=chat.id), {"cancelled": True})
    chat.end(turn)
    same(turn.outcome, "cancelled")
    eventually(lambda: not running(words), "the tool is gone")
    completed(chat, chat.ask('[[stub:text say="after the tool"]]'), "after the tool")
    chat.stop()


def two_turns(stage):
    chat = stage.chat()
    word = f"word-{next(fresh)}"
    completed(chat, chat.ask(f'[[stub:text say="{word}"]]'), word)
    run = stage.daemon.call("agent.get", agent_id=chat.get()["agent_id"])["run"]
    completed(chat, chat.ask('[[stub:text say="the second"]]'), "the second")
    same(stage.daemon.call("agent.get", agent_id=chat.get()["agent_id"])["run"], run, "the run:")
    remembers(stage, word, "the second")


def remembers(stage, earlier, later):
    """The model was told of `earlier` together with `later`."""
    asked = [stage.stub.body(entry["n"]) for entry in stage.stub.requests()[-12:]]
    holds(any(earlier in body and later in body for body in asked), "the model was not told before")


def cancelled_in_mid_stream(stage):
    chat = stage.chat()
    gone = stage.seen("never", "client-gone")
    turn = chat.prompt("[[stub:never ms=50]]")
    chat.until(lambda: turn.outcome or "tick 3 " in turn.text(), "it speaks")
    same(stage.daemon.call("chat.cancel", session_id=chat.id), {"cancelled": True})
    chat.end(turn)
    same(turn.outcome, "cancelled")
    ticks(chat, turn)
    eventually(lambda: stage.seen("never", "client-gone") == gone + 1, "the stub sees it go")
    completed(chat, chat.ask('[[stub:text say="after the cancel"]]'), "after the cancel")


def ticks(chat, turn):
    """What was said of an endless answer is its beginning."""
    text = turn.text()
    endless = "".join(f"tick {n} " for n in range(1, text.count("tick") + 2))
    holds(text and endless.startswith(text), f"what was said is not the beginning: {text!r}")
    same(chat.said(turn), text, "the history:")


def resumed_after_kill_9_of_the_daemon(stage):
    stage.forget()
    chat = Chat(stage.daemon, stage.program)
    word = f"word-{next(fresh)}"
    completed(chat, chat.ask(f'[[stub:text say="{word}"]]'), word)
    before = chat.get()
    stage.program.before_resume()
    gone = stage.seen("never", "client-gone")
    turn = chat.prompt("[[stub:never ms=50]]")
    chat.until(lambda: turn.outcome or "tick 3 " in turn.text(), "it speaks")
    stage.daemon.kill()
    stage.daemon.start()
    chat.end(turn)
    same(turn.outcome, "interrupted")
    ticks(chat, turn)
    same(chat.chunks[-1]["type"], "complete", "the last chunk:")
    agent = before["agent_id"]
    eventually(lambda: not processes(agent), "nothing of the old process is left")
    eventually(lambda: stage.seen("never", "client-gone") == gone + 1, "the stub sees it go")
    completed(chat, chat.ask('[[stub:text say="after the daemon"]]'), "after the daemon")
    same(chat.get()["native_session_id"], before["native_session_id"], "its own name of it:")
    remembers(stage, word, "after the daemon")
    chat.stop()


def http_500_twice_then_fine(stage):
    chat = stage.chat()
    turn = chat.ask(f"[[stub:error status=500 times=2 run={next(fresh)}]]")
    completed(chat, turn, "Recovered after 2 failures.")


def http_401(stage):
    chat = stage.chat()
    turn = chat.ask("[[stub:error status=401]]")
    same((turn.outcome, (turn.error or {}).get("kind")), ("failed", "agent_auth"), "the end:")
    completed(chat, chat.ask('[[stub:text say="let in"]]'), "let in")
    return turn.error["message"][:80]


def stream_cut_in_the_middle(stage):
    chat = stage.chat()
    turn = chat.ask(f"[[stub:cut n=3 times=1 run={next(fresh)}]]")
    again = "Recovered after 1 failures."
    if turn.outcome == "failed" and stage.program.no_second_try:
        same((turn.error["kind"], turn.text()), ("model_error", "part 1 part 2 part 3 "), "the end:")
        completed(chat, chat.ask('[[stub:text say="whole again"]]'), "whole again")
        raise Limit(f"{stage.program.no_second_try}: {turn.error['message']}")
    same(turn.outcome, "completed", f"{turn.error} {turn.text()!r}:")
    if turn.text() != again and turn.text().endswith(again) and stage.program.no_retraction:
        raise Limit(f"{stage.program.no_retraction}: what was withdrawn stays")
    completed(chat, turn, again)
    return f"{turn.retracted} pieces retracted"


def stream_failed_in_the_middle(stage):
    """The model tells of an error in the middle of its answer, once."""
    chat, program = stage.chat(), stage.program
    turn = chat.ask(f"[[stub:fail n=3 times=1 run={next(fresh)}]]")
    again = "Recovered after 1 failures."
    if turn.outcome == "failed":
        same((turn.error["kind"], turn.text()), ("model_error", "part 1 part 2 part 3 "), "the end:")
        completed(chat, chat.ask('[[stub:text say="whole again"]]'), "whole again")
        return f"failed: {turn.error['message'][:80]}"
    if turn.text() != again and turn.text().endswith(again) and program.no_retraction:
        raise Limit(f"{program.no_retraction}: what was withdrawn stays")
    completed(chat, turn, again)
    return f"{turn.retracted} pieces retracted"


def stream_always_cut(stage):
    program = stage.program
    if program.no_end_of_retries is None:
        chat = stage.chat()
        turn = chat.ask(f"[[stub:cut n=3 run={next(fresh)}]]")
        same((turn.outcome, (turn.error or {}).get("kind")), ("failed", "model_error"), "the end:")
        completed(chat, chat.ask('[[stub:text say="whole again"]]'), "whole again")
        return turn.error["message"][:80]
    chat = Chat(stage.daemon, program, turn_timeout_secs=program.start)
    same(chat.ask(f"[[stub:cut n=3 run={next(fresh)}]]").outcome, "timed_out")
    chat.stop()
    raise Limit(program.no_end_of_retries)


def endless_stream_ends_by_its_timeout(stage):
    chat = Chat(stage.daemon, stage.program, turn_timeout_secs=stage.program.start)
    gone = stage.seen("never", "client-gone")
    turn = chat.ask("[[stub:never ms=50]]")
    same((turn.outcome, (turn.error or {}).get("kind")), ("timed_out", "timeout"), "the end:")
    ticks(chat, turn)
    eventually(lambda: stage.seen("never", "client-gone") == gone + 1, "the stub sees it go")
    completed(chat, chat.ask('[[stub:text say="in time"]]'), "in time")
    chat.stop()


def shell_tool_running_when_killed(stage):
    chat = Chat(stage.daemon, stage.program, approvals="allow_all")
    completed(chat, chat.ask('[[stub:text say="alive"]]'), "alive")
    words = f"sleep 29{next(fresh)}"
    # A program that is asked to end may tell the model what became of the tool: it is not let off.
    turn = chat.prompt(f'[[stub:tool cmd="{words}"]] [[stub:never ms=50]]')
    chat.until(lambda: running(words) or turn.outcome, "the tool runs")
    holds(running(words), f"the tool did not run: {turn.outcome} {turn.text()!r}")
    agent = chat.get()["agent_id"]
    stage.daemon.call("agent.kill", agent_id=agent)
    left = {**running(words), **processes(agent)}
    chat.end(turn)
    holds(not left, f"left behind: {left}")
    same(turn.outcome, "interrupted")
    chat.until(lambda: chat.chunks[-1]["type"] == "complete", "the process says its last")
    stage.program.before_resume()
    completed(chat, chat.ask('[[stub:text say="risen"]]'), "risen")
    chat.stop()


def stopped_in_mid_stream(stage):
    chat = Chat(stage.daemon, stage.program)
    turn = chat.prompt("[[stub:never ms=50]]")
    chat.until(lambda: turn.outcome or "tick 3 " in turn.text(), "it speaks")
    agent = chat.get()["agent_id"]
    same(chat.stop(), {"success": True, "outcome": "cancelled"})
    same(processes(agent), {}, "left behind:")
    chat.end(turn)
    ticks(chat, turn)
    same([chunk["type"] for chunk in chat.chunks[-2:]], ["complete", "closed"])


def question_open_when_the_daemon_is_killed(stage):
    stage.forget()
    chat = Chat(stage.daemon, stage.program)
    completed(chat, chat.ask('[[stub:text say="before"]]'), "before")
    stage.program.before_resume()
    file = stage.program.work / f"file-{next(fresh)}"
    turn = chat.prompt(f'[[stub:tool cmd="touch {file}"]] {DONE}')
    chat.until(lambda: turn.asked or turn.outcome, "it asks")
    agent = chat.get()["agent_id"]
    stage.daemon.kill()
    stage.daemon.start()
    chat.end(turn)
    same(turn.outcome, "interrupted")
    asked = stage.daemon.call("approval.get", approval_id=turn.asked[0]["approval_id"])
    same(asked["status"], "cancelled")
    eventually(lambda: not processes(agent), "nothing of the old process is left")
    completed(chat, chat.ask('[[stub:text say="after the daemon"]]'), "after the daemon")
    holds(not file.exists(), "what nobody allowed was done")
    chat.stop()


class Replayed:
    """What was recorded of a program, in its place."""

    def __init__(self, program, file):
        self.program, self.file = program, file

    def create(self, **more):
        params = self.program.create(**more)
        del params["env"]
        return {**params, "backend": "replay", "command": [str(self.file)]}


def quiet(chat):
    """Reads until nothing more comes: whoever acts now acts at the same place in every telling."""
    known = None
    while known != len(chat.chunks):
        known = len(chat.chunks)
        chat.read()
        chat.read()


def converse(chat, allowed, denied, is_replay):
    """Words, thoughts, a tool that is allowed, one that is denied, a cancel, words, the end."""
    chat.ask('[[stub:think n=3 say="thought and said"]]')
    for file, decision in ((allowed, "allow_once"), (denied, "deny")):
        quiet(chat)
        turn = chat.prompt(f'[[stub:tool cmd="touch {file}"]] {DONE}')
        chat.until(lambda: turn.asked or turn.outcome, "it asks")
        holds(turn.asked, f"it did not ask, and ended {turn.outcome} {turn.error} {turn.text()!r}")
        quiet(chat)
        chat.decide(turn.asked[0], decision)
        chat.end(turn)
    quiet(chat)
    turn = chat.prompt("[[stub:never ms=50]]")
    chat.until(lambda: turn.outcome or "tick 3 " in turn.text(), "it speaks")
    if is_replay:
        quiet(chat)
    chat.daemon.call("chat.cancel", session_id=chat.id)
    same(chat.end(turn).outcome, "cancelled")
    quiet(chat)
    completed(chat, chat.ask('[[stub:text say="after the cancel"]]'), "after the cancel")
    quiet(chat)
    chat.stop()
    chat.until(lambda: chat.chunks[-1]["type"] == "closed", "it is closed")
    own = ("approval_id", "agent_id", "session_id", "requested_at", "deadline")
    return [{name: value for name, value in chunk.items() if name not in own}
            for chunk in chat.chunks]


def recorded_and_replayed_to_the_same_chunks(stage):
    number = next(fresh)
    record = stage.program.home / f"session-{number}.jsonl"
    allowed, denied = (stage.program.work / f"{word}-{number}" for word in ("allowed", "denied"))
    chat = Chat(stage.daemon, stage.program, record=str(record))
    recorded = converse(chat, allowed, denied, is_replay=False)
    holds(allowed.exists() and not denied.exists(), "decisions were not kept to")
    allowed.unlink()
    asked = len(stage.stub.requests())
    program = Replayed(stage.program, record)
    replayed = converse(Chat(stage.daemon, program), allowed, denied, is_replay=True)
    for at, (told, expected) in enumerate(zip(replayed, recorded)):
        same(told, expected, f"chunk {at}:")
    same(len(replayed), len(recorded), "chunks:")
    same(len(stage.stub.requests()), asked, "what the model was asked during the replay:")
    holds(not allowed.exists(), "a replay ran a tool")
    other = Chat(stage.daemon, program)
    turn = other.ask("something else")
    same(turn.outcome, "failed")
    holds("recorded" in turn.error["message"], f"it does not say what differs: {turn.error}")
    other.stop()
    return f"{len(recorded)} chunks"


def nothing_is_left(stage):
    agents = [chat["agent_id"] for chat in
              stage.daemon.call("chat.list", include_closed=True)["sessions"] if chat.get("agent_id")]
    stage.forget()
    left = {agent: processes(agent) for agent in agents if processes(agent)}
    same(left, {}, "left behind:")


SCENARIOS = [plain_answer, answer_of_2000_chunks, thinking, tool_allowed, tool_denied,
             edit_allowed_by_the_mode, sub_agent_asks, two_turns, cancelled_in_mid_stream,
             cancelled_while_it_asks, cancelled_while_a_tool_runs, http_500_twice_then_fine, http_401,
             stream_cut_in_the_middle, stream_failed_in_the_middle, stream_always_cut,
             endless_stream_ends_by_its_timeout, shell_tool_running_when_killed,
             stopped_in_mid_stream, resumed_after_kill_9_of_the_daemon,
             question_open_when_the_daemon_is_killed, recorded_and_replayed_to_the_same_chunks,
             nothing_is_left]
