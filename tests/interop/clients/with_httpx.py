"""Python `httpx`: calls, batches, server-sent events."""

import json

import httpx

from claims import claim, holds, same
from daemon import PATIENCE, counted, output_of


def client(stage):
    return httpx.Client(base_url=stage.daemon.url, timeout=PATIENCE)


def message(method, params=None, number=1):
    return {"jsonrpc": "2.0", "id": number, "method": method, "params": params or {}}


def events(response):
    """Reads server-sent events as the HTML standard says: (id, event, data), until it ends."""
    number, name, data = "", "message", []
    for line in response.iter_lines():
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if line == "":
            if data:
                yield number, name, json.loads("\n".join(data))
            name, data = "message", []
        elif field == "id":
            number = value
        elif field == "event":
            name = value
        elif field == "data":
            data.append(value)


@claim
def calls_are_answered_by_name_and_by_position(stage):
    with client(stage) as http:
        health = http.post("/", json=message("system.health")).raise_for_status()
        same(health.json()["result"]["status"], "healthy")
        same(health.headers["content-type"], "application/json")
        put = message("state.put", {"key": "httpx", "value": {"a": [1, None, "ü"]}}, "text")
        same(http.post("/rpc", json=put).json()["id"], "text")
        read = http.post("/", json=message("state.query", [None, "httpx"])).json()
        same(read["result"]["state"], {"httpx": {"a": [1, None, "ü"]}})


@claim
def errors_have_a_code_a_kind_and_an_http_status(stage):
    with client(stage) as http:
        wrong = http.post("/", json=message("agent.get", {"agent_id": "nobody"}))
        error = wrong.json()["error"]
        same((wrong.status_code, error["code"]), (200, -32002))
        same((error["data"]["kind"], error["data"]["retryable"]), ("agent_not_found", False))
        unknown = http.post("/", json=message("agent.fly")).json()["error"]
        same((unknown["code"], unknown["data"]["kind"]), (-32601, "method_not_found"))
        broken = http.post("/", content=b"{", headers={"content-type": "application/json"})
        same((broken.status_code, broken.json()["error"]["code"]), (400, -32700))
        same(http.get("/nothing").status_code, 404)
        same(http.put("/", json={}).status_code, 405)
        same(http.post("/", content=b"{}", headers={"content-type": "text/plain"}).status_code, 415)
        foreign = http.post("/", json=message("system.health"), headers={"host": "evil.example"})
        same(foreign.status_code, 421)


@claim
def a_batch_is_one_answer_and_notifications_are_none(stage):
    with client(stage) as http:
        note = {"jsonrpc": "2.0", "method": "system.health"}
        batch = [message("system.health", number=1), note, message("agent.fly", number="b"), 7]
        answers = http.post("/", json=batch).json()
        same(sorted(str(answer["id"]) for answer in answers), ["1", "None", "b"])
        silent = http.post("/", json=[note, note])
        same((silent.status_code, silent.content), (204, b""))


@claim
def a_stream_of_events_goes_on_at_its_last_event_id(stage):
    agent = stage.daemon.spawn_counter(300, 0.02)
    query = {"topic": f"agent/{agent}/"}
    seen, last, visits, ended = [], None, 0, False
    with client(stage) as http:
        while not ended:
            head = {"last-event-id": last} if last else {}
            visits += 1
            with http.stream("GET", "/events", params=query, headers=head) as response:
                response.raise_for_status()
                same(response.headers["content-type"], "text/event-stream")
                here = 0
                for number, name, event in events(response):
                    if name != "message":
                        continue
                    same(number, event["cursor"], "the id is the cursor")
                    seen.append(event)
                    last, here = number, here + 1
                    ended = event["type"] == "agent.exited"
                    if ended or here > visits % 5:
                        break
    holds(visits > 5, f"the stream was cut often enough: {visits}")
    same([e["seq"] for e in seen], [e["seq"] for e in stage.daemon.history([query["topic"]])])
    same(output_of(seen), counted(300))


@claim
def a_subscription_by_post_is_a_stream_of_messages(stage):
    agent = stage.daemon.spawn_counter(30)
    subscribe = message("event.subscribe", {"topics": [f"agent/{agent}/"]}, 9)
    head = {"accept": "text/event-stream"}
    seen = []
    with client(stage) as http, http.stream("POST", "/", json=subscribe, headers=head) as response:
        stream = events(response)
        _, _, first = next(stream)
        same(first["id"], 9)
        for _, _, notification in stream:
            params = notification["params"]
            same(params["subscription_id"], first["result"]["subscription_id"])
            if notification["method"] == "event.next":
                seen.append(params["event"])
                if params["event"]["type"] == "agent.exited":
                    break
    same(output_of(seen), counted(30))


@claim
def a_foreign_cursor_ends_a_stream_for_good(stage):
    with client(stage) as http:
        foreign = "019be2f4-0000-7000-8000-000000000000"
        answer = http.post("/", json=message("event.read", {"topics": ["agent/"], "after": foreign}))
        holds(answer.json()["error"]["code"] in (-32602, -32017), answer.text)
        stream = http.get("/events", params={"topic": "agent/", "after": foreign})
        holds(stream.status_code in (204, 400), f"{stream.status_code} {stream.text}")


@claim
def each_method_has_a_route_with_a_bare_result(stage):
    with client(stage) as http:
        health = http.post("/rpc/system.health", json={})
        same((health.status_code, health.json()["status"]), (200, "healthy"))
        unknown = http.post("/rpc/agent.get", json={"agent_id": "nobody"})
        same(unknown.status_code, 404)


@claim
def a_log_is_plain_text_to_the_byte(stage):
    script = r"printf 'a\377b\nno newline'"
    config = {"command": ["sh", "-c", script]}
    agent = stage.daemon.call("agent.spawn", agent_type="process", config=config)["agent_id"]
    with client(stage) as http:
        follow = http.get(f"/agents/{agent}/logs", params={"follow": "1", "stream": "stdout"})
        same(follow.content, b"a\xffb\nno newline")
        same(follow.headers["content-type"].split(";")[0], "text/plain")
