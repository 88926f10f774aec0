#!/usr/bin/env python3
"""The smallest ACP agent: the Agent Client Protocol, version 1, in plain Python, without a model.

    descartes chat --backend acp -- python3 examples/acp_agent.py

It answers `you said: ...`. A few prompts show what clients have to take: `touch FILE` asks before it
does so, `wait` speaks until it is cancelled, `odd` says what no client knows and asks for what none
offered, `leave` ends in the middle of its turn.

ACP is JSON-RPC 2.0, one message a line. The client asks `initialize`, `session/new` and
`session/prompt`; the answer to the last one is the end of the turn. What happens in between are
`session/update`s, and `session/request_permission` is a question to the client.
"""

import json
import os
import sys
import threading


class Client:
    """The other end: requests of ours wait for their answer in the thread that makes them."""

    def __init__(self):
        self.writing, self.last, self.waiting = threading.Lock(), 0, {}

    def send(self, **message):
        with self.writing:
            print(json.dumps({"jsonrpc": "2.0", **message}), flush=True)

    def ask(self, method, **params):
        """The client's answer, with `result` or `error` in it."""
        self.last += 1
        answered = threading.Event()
        self.waiting[self.last] = call = [answered, None]
        self.send(id=self.last, method=method, params=params)
        answered.wait()
        return call[1]

    def answered(self, message):
        call = self.waiting.pop(message["id"], None)
        if call:
            call[1] = message
            call[0].set()


class Session:
    def __init__(self, client, name):
        self.client, self.name, self.cancelled = client, name, threading.Event()

    def update(self, what, **more):
        update = {"sessionUpdate": what, **more}
        self.client.send(method="session/update", params={"sessionId": self.name, "update": update})

    def say(self, text):
        self.update("agent_message_chunk", content={"type": "text", "text": text})

    def prompt(self, request, text):
        """One turn, in a thread of its own, so that a cancel is heard meanwhile."""
        self.cancelled.clear()
        word, _, rest = text.partition(" ")
        act = {"touch": self.touch, "wait": self.wait, "odd": self.odd, "leave": self.leave}.get(word)
        if act:
            act(rest)
        else:
            self.say(f"you said: {text}")
        reason = "cancelled" if self.cancelled.is_set() else "end_turn"
        self.client.send(id=request, result={"stopReason": reason})

    def touch(self, path):
        call = {"toolCallId": f"touch-{path}", "title": f"touch {path}", "kind": "edit"}
        self.update("tool_call", status="pending", rawInput={"path": path}, **call)
        answer = self.client.ask(
            "session/request_permission",
            sessionId=self.name,
            toolCall={**call, "rawInput": {"path": path}},
            options=[
                {"optionId": "yes", "name": "Allow", "kind": "allow_once"},
                {"optionId": "no", "name": "Reject", "kind": "reject_once"},
            ],
        )
        outcome = answer.get("result", {}).get("outcome", {})
        if outcome.get("optionId") == "yes":
            open(path, "a").close()
        status = "completed" if outcome.get("optionId") == "yes" else "failed"
        self.update("tool_call_update", toolCallId=call["toolCallId"], status=status)
        self.say("done" if status == "completed" else "I was not allowed to")

    def wait(self, _):
        self.say("waiting")
        self.cancelled.wait()

    def odd(self, _):
        self.say("odd ")
        self.update("brand_new_kind_of_update", whatever=[1, 2])
        self.client.send(method="brand/new", params={})
        print("this is no JSON", flush=True)
        refused = self.client.ask("fs/read_text_file", sessionId=self.name, path="/etc/hostname")
        self.say("refused" if "error" in refused else "served")

    def leave(self, _):
        self.say("so long")
        os._exit(3)


def main():
    client, sessions = Client(), {}
    for line in sys.stdin:
        message = json.loads(line)
        method, params = message.get("method"), message.get("params") or {}
        session = sessions.get(params.get("sessionId"))
        if method is None:
            client.answered(message)
        elif method == "initialize":
            client.send(id=message["id"], result={"protocolVersion": 1, "agentCapabilities": {}})
        elif method == "session/new":
            name = f"session-{len(sessions) + 1}"
            sessions[name] = Session(client, name)
            client.send(id=message["id"], result={"sessionId": name})
        elif method == "session/prompt" and session:
            text = "".join(part.get("text", "") for part in params["prompt"])
            threading.Thread(target=session.prompt, args=(message["id"], text), daemon=True).start()
        elif method == "session/cancel" and session:
            session.cancelled.set()
        elif "id" in message:
            error = {"code": -32601, "message": f"method not found: {method}"}
            client.send(id=message["id"], error=error)


if __name__ == "__main__":
    main()
