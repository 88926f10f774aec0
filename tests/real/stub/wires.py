"""The four ways in which programs talk to models: what a request says, how an answer is told."""

import json
import re

SIZE = 12


class Asked:
    """What is the same in all of them.

    `talk`: `(role, text)` in order, of the roles `user`, `tool` (a result) and `model`;
    `tools`: the schema of the arguments by the tool's name; `schema`: what the answer must fit.
    """

    def __init__(self, talk, tools, schema, stream):
        self.talk, self.tools, self.schema, self.stream = talk, tools, schema, stream


def texts(content):
    """The texts of a message's parts."""
    if isinstance(content, str):
        return [content]
    return [part["text"] for part in content or [] if isinstance(part.get("text"), str)]


def inside(body, *path):
    for key in path:
        body = (body or {}).get(key)
    return body


def sse(message, event=None):
    head = f"event: {event}\n" if event else ""
    return f"{head}data: {json.dumps(message)}\n\n".encode()


def pieces_of(arguments):
    text = json.dumps(arguments)
    return [text[at:at + SIZE] for at in range(0, len(text), SIZE)]


class Wire:
    """Tells one answer: `begin`, then for each block `open`, `piece`…, `close`, then `end`."""

    def __init__(self, name):
        self.name, self.index, self.kind, self.said, self.blocks = name, -1, None, "", []

    def feed(self, piece):
        """The frames for a piece."""
        kind = piece[0]
        if kind == "tool":
            frames = self.finish_block()
            self.index += 1
            self.blocks.append(piece)
            return frames + self.tool(f"call_{self.name}_{self.index}", piece[1], piece[2])
        frames = []
        if kind != self.kind:
            frames = self.finish_block()
            self.kind, self.index = kind, self.index + 1
            frames += self.open()
        self.said += piece[1]
        return frames + self.piece(piece[1])

    def fail(self):
        """The error in the middle of the stream."""
        return [sse(self.error(500, "stub: an error in the stream"))]

    def finish_block(self):
        if self.kind is None:
            return []
        frames = self.close()
        self.blocks.append((self.kind, self.said))
        self.kind, self.said = None, ""
        return frames

    @property
    def calls(self):
        return any(block[0] == "tool" for block in self.blocks)

    def begin(self):
        return []

    def open(self):
        return []

    def close(self):
        return []


class Anthropic(Wire):
    """`POST /v1/messages`."""

    @staticmethod
    def read(_path, body):
        talk = []
        for message in body.get("messages", []):
            content, role = message["content"], message["role"]
            parts = content if isinstance(content, list) else []
            results = [part for part in parts if part.get("type") == "tool_result"]
            talk += [("tool", "")] * bool(results)
            role = "model" if role == "assistant" else role
            talk += [(role, text) for text in texts(content)] or [("model", "")] * (role == "model")
        tools = {tool["name"]: tool.get("input_schema", {}) for tool in body.get("tools") or []}
        schema = inside(body, "output_config", "format", "schema")
        return Asked(talk, tools, schema, body.get("stream", False))

    def message(self, content, stop):
        return {"id": f"msg_{self.name}", "type": "message", "role": "assistant", "model": "stub-1",
                "content": content, "stop_reason": stop, "stop_sequence": None,
                "usage": {"input_tokens": 10, "output_tokens": 5}}

    def event(self, kind, **members):
        return [sse({"type": kind, **members}, kind)]

    def begin(self):
        return self.event("message_start", message=self.message([], None))

    def block(self, **members):
        return self.event("content_block_start", index=self.index, content_block=members)

    def delta(self, **members):
        return self.event("content_block_delta", index=self.index, delta=members)

    def open(self):
        if self.kind == "think":
            return self.block(type="thinking", thinking="", signature="")
        return self.block(type="text", text="")

    def piece(self, text):
        if self.kind == "think":
            return self.delta(type="thinking_delta", thinking=text)
        return self.delta(type="text_delta", text=text)

    def close(self):
        signed = self.delta(type="signature_delta", signature="c2ln") if self.kind == "think" else []
        return signed + self.event("content_block_stop", index=self.index)

    def tool(self, call, name, arguments):
        frames = self.block(type="tool_use", id=call, name=name, input={})
        for text in pieces_of(arguments):
            frames += self.delta(type="input_json_delta", partial_json=text)
        return frames + self.event("content_block_stop", index=self.index)

    def end(self):
        delta = {"stop_reason": "tool_use" if self.calls else "end_turn", "stop_sequence": None}
        return (self.event("message_delta", delta=delta, usage={"output_tokens": 5})
                + self.event("message_stop"))

    def whole(self):
        content = []
        for at, block in enumerate(self.blocks):
            if block[0] == "tool":
                content.append({"type": "tool_use", "id": f"call_{self.name}_{at}",
                                "name": block[1], "input": block[2]})
            elif block[0] == "text":
                content.append({"type": "text", "text": block[1]})
        return self.message(content, "tool_use" if self.calls else "end_turn")

    def fail(self):
        return [sse(self.error(500, "stub: an error in the stream"), "error")]

    @staticmethod
    def error(status, message):
        kinds = {401: "authentication_error"}
        return {"type": "error", "error": {"type": kinds.get(status, "api_error"),
                                           "message": message}}


class Chat(Wire):
    """`POST /v1/chat/completions`."""

    @staticmethod
    def read(_path, body):
        roles = {"assistant": "model", "developer": "system"}
        talk = []
        for message in body.get("messages", []):
            role = roles.get(message["role"], message["role"])
            talk += [(role, text) for text in texts(message.get("content")) or [""]]
        tools = {tool["function"]["name"]: tool["function"].get("parameters", {})
                 for tool in body.get("tools") or []}
        schema = inside(body, "response_format", "json_schema", "schema")
        return Asked(talk, tools, schema, body.get("stream", False))

    def frame(self, delta, finish=None, **more):
        choice = {"index": 0, "delta": delta, "finish_reason": finish}
        return [sse({"id": f"chat-{self.name}", "object": "chat.completion.chunk", "created": 0,
                     "model": "stub-1", "choices": [choice], **more})]

    def begin(self):
        return self.frame({"role": "assistant", "content": ""})

    def piece(self, text):
        return self.frame({"reasoning_content" if self.kind == "think" else "content": text})

    def tool(self, call, name, arguments):
        def part(**members):
            return self.frame({"tool_calls": [{"index": 0, **members}]})
        frames = part(id=call, type="function", function={"name": name, "arguments": ""})
        for text in pieces_of(arguments):
            frames += part(function={"arguments": text})
        return frames

    def end(self):
        usage = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
        finish = "tool_calls" if self.calls else "stop"
        return self.frame({}, finish, usage=usage) + [b"data: [DONE]\n\n"]

    def whole(self):
        text = "".join(block[1] for block in self.blocks if block[0] == "text")
        message = {"role": "assistant", "content": text}
        return {"id": f"chat-{self.name}", "object": "chat.completion", "created": 0,
                "model": "stub-1",
                "choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}

    @staticmethod
    def error(status, message):
        return {"error": {"message": message, "type": "error", "code": str(status)}}


class Responses(Wire):
    """`POST /v1/responses`."""

    def __init__(self, name):
        super().__init__(name)
        self.items, self.number = [], -1

    @staticmethod
    def read(_path, body):
        talk = []
        for item in body.get("input", []):
            kind = item.get("type", "message")
            if kind == "message":
                role = "model" if item["role"] == "assistant" else item["role"]
                talk += [(role, text) for text in texts(item.get("content"))]
            elif kind.endswith("_output"):
                talk.append(("tool", ""))
            else:
                talk.append(("model", ""))
        tools = {tool["name"]: tool.get("parameters", {})
                 for tool in body.get("tools") or [] if tool.get("type") == "function"}
        schema = inside(body, "text", "format", "schema")
        return Asked(talk, tools, schema, body.get("stream", False))

    def event(self, kind, **members):
        self.number += 1
        return [sse({"type": kind, "sequence_number": self.number, **members}, kind)]

    def response(self, status):
        usage = {"input_tokens": 10, "input_tokens_details": {"cached_tokens": 0},
                 "output_tokens": 5, "output_tokens_details": {"reasoning_tokens": 0},
                 "total_tokens": 15}
        return {"id": f"resp_{self.name}", "object": "response", "created_at": 0, "status": status,
                "model": "stub-1", "output": self.items, "error": None,
                "usage": usage if status == "completed" else None}

    @property
    def item(self):
        return f"item_{self.name}_{self.index}"

    @property
    def at(self):
        return {"item_id": self.item, "output_index": self.index}

    def begin(self):
        return self.event("response.created", response=self.response("in_progress"))

    def added(self, **item):
        item = {"id": self.item, **item}
        return self.event("response.output_item.added", output_index=self.index, item=item)

    def done(self, **item):
        item = {"id": self.item, **item}
        self.items.append(item)
        return self.event("response.output_item.done", output_index=self.index, item=item)

    def open(self):
        if self.kind == "think":
            return self.added(type="reasoning", summary=[]) + self.event(
                "response.reasoning_summary_part.added", summary_index=0,
                part={"type": "summary_text", "text": ""}, **self.at)
        return self.added(type="message", role="assistant", status="in_progress", content=[])

    def piece(self, text):
        if self.kind == "think":
            return self.event("response.reasoning_summary_text.delta", summary_index=0, delta=text,
                              **self.at)
        return self.event("response.output_text.delta", content_index=0, delta=text, **self.at)

    def close(self):
        if self.kind == "think":
            return self.done(type="reasoning", encrypted_content="c3R1Yg==",
                             summary=[{"type": "summary_text", "text": self.said}])
        part = {"type": "output_text", "text": self.said, "annotations": []}
        return self.done(type="message", role="assistant", status="completed", content=[part])

    def tool(self, call, name, arguments):
        item = {"type": "function_call", "call_id": call, "name": name}
        return (self.added(arguments="", status="in_progress", **item)
                + self.done(arguments=json.dumps(arguments), status="completed", **item))

    def end(self):
        return self.event("response.completed", response=self.response("completed"))

    def whole(self):
        return self.response("completed")

    def fail(self):
        failed = {**self.response("failed"), "error": {"code": "server_error", "message": "stub"}}
        return self.event("response.failed", response=failed)

    error = staticmethod(Chat.error)


class Gemini(Wire):
    """`POST /v1beta/models/MODEL:generateContent`, or `:streamGenerateContent`."""

    @staticmethod
    def read(path, body):
        talk = []
        for content in body.get("contents", []):
            parts = content.get("parts", [])
            talk += [("tool", "")] * any("functionResponse" in part for part in parts)
            role = content.get("role", "user")
            said = [(role, text) for text in texts([p for p in parts if not p.get("thought")])]
            talk += said or [("model", "")] * (role == "model")
        tools = {tool["name"]: tool.get("parametersJsonSchema") or tool.get("parameters") or {}
                 for group in body.get("tools") or []
                 for tool in group.get("functionDeclarations", [])}
        config = body.get("generationConfig", {})
        schema = config.get("responseJsonSchema") or config.get("responseSchema")
        return Asked(talk, tools, schema, ":stream" in path)

    def answer(self, parts, finish=None):
        candidate = {"content": {"role": "model", "parts": parts}, "index": 0}
        if finish:
            candidate["finishReason"] = finish
        usage = {"promptTokenCount": 10, "candidatesTokenCount": 5, "totalTokenCount": 15}
        return {"candidates": [candidate], "usageMetadata": usage, "modelVersion": "stub-1",
                "responseId": self.name}

    def piece(self, text):
        thought = {"thought": True} if self.kind == "think" else {}
        return [sse(self.answer([{"text": text, **thought}]))]

    def tool(self, call, name, arguments):
        return [sse(self.answer([{"functionCall": {"id": call, "name": name, "args": arguments}}]))]

    def end(self):
        return [sse(self.answer([{"text": ""}], "STOP"))]

    def whole(self):
        text = "".join(block[1] for block in self.blocks if block[0] == "text")
        return self.answer([{"text": text}], "STOP")

    @staticmethod
    def error(status, message):
        return {"error": {"code": status, "message": message, "status": "STUB"}}


# Which requests are spoken how.
WIRES = [(re.compile(r"/messages$"), Anthropic), (re.compile(r"/chat/completions$"), Chat),
         (re.compile(r"/responses$"), Responses),
         (re.compile(r":(stream)?[gG]enerateContent$"), Gemini)]


def wire_of(path):
    return next((wire for pattern, wire in WIRES if pattern.search(path)), None)
