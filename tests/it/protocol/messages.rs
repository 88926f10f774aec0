//! The table of messages: what is sent, and what comes back.
//!
//! An answer is written as far as it matters: an object may have more members than are written
//! here, an array may not. An empty answer means that nothing comes back. `_` is a fresh key.

/// What is claimed, what is sent, what comes back.
pub(super) type Case = (&'static str, &'static str, &'static str);

const NOBODY: &str = "00000000-0000-7000-8000-000000000000";

/// The whole table, with names filled in.
pub(super) fn cases() -> Vec<(&'static str, String, String)> {
    let tables = [IDS, ENVELOPE, BATCHES, NOTIFICATIONS, PARAMS, VALUES, STREAMS];
    let fill = |text: &str| text.replace("NOBODY", NOBODY);
    let rows = tables.into_iter().flatten();
    rows.map(|(claim, sent, answer)| (*claim, fill(sent), fill(answer))).collect()
}

const IDS: &[Case] = &[
    (
        "an integer id comes back",
        r#"{"jsonrpc":"2.0","id":7,"method":"system.ready"}"#,
        r#"{"id":7,"result":{}}"#,
    ),
    (
        "zero is an id",
        r#"{"jsonrpc":"2.0","id":0,"method":"system.ready"}"#,
        r#"{"id":0,"result":{}}"#,
    ),
    (
        "a negative id comes back",
        r#"{"jsonrpc":"2.0","id":-5,"method":"system.ready"}"#,
        r#"{"id":-5,"result":{}}"#,
    ),
    (
        "a text comes back",
        r#"{"jsonrpc":"2.0","id":"a b","method":"system.ready"}"#,
        r#"{"id":"a b","result":{}}"#,
    ),
    (
        "an empty text is an id",
        r#"{"jsonrpc":"2.0","id":"","method":"system.ready"}"#,
        r#"{"id":"","result":{}}"#,
    ),
    (
        "escapes in an id mean what they mean",
        r#"{"jsonrpc":"2.0","id":"\u00e9\n\"","method":"system.ready"}"#,
        r#"{"id":"é\n\"","result":{}}"#,
    ),
    (
        "null is an id, not a notification",
        r#"{"jsonrpc":"2.0","id":null,"method":"system.ready"}"#,
        r#"{"id":null,"result":{}}"#,
    ),
    (
        "a float is no id",
        r#"{"jsonrpc":"2.0","id":1.5,"method":"system.ready"}"#,
        r#"{"id":null,"error":{"code":-32600}}"#,
    ),
    (
        "a float that is whole is no id",
        r#"{"jsonrpc":"2.0","id":1.0,"method":"system.ready"}"#,
        r#"{"id":null,"error":{"code":-32600}}"#,
    ),
    (
        "an exponent is no id",
        r#"{"jsonrpc":"2.0","id":1e3,"method":"system.ready"}"#,
        r#"{"id":null,"error":{"code":-32600}}"#,
    ),
    (
        "true is no id",
        r#"{"jsonrpc":"2.0","id":true,"method":"system.ready"}"#,
        r#"{"id":null,"error":{"code":-32600}}"#,
    ),
    (
        "an object is no id",
        r#"{"jsonrpc":"2.0","id":{},"method":"system.ready"}"#,
        r#"{"id":null,"error":{"code":-32600}}"#,
    ),
    (
        "an array is no id",
        r#"{"jsonrpc":"2.0","id":[1],"method":"system.ready"}"#,
        r#"{"id":null,"error":{"code":-32600}}"#,
    ),
    (
        "two ids are none",
        r#"{"jsonrpc":"2.0","id":1,"id":1,"method":"system.ready"}"#,
        r#"{"id":null,"error":{"code":-32600,"data":{"kind":"invalid_request"}}}"#,
    ),
    (
        "two ids are none, however they are spelled",
        r#"{"jsonrpc":"2.0","id":1,"\u0069d":2,"method":"system.ready"}"#,
        r#"{"id":null,"error":{"code":-32600}}"#,
    ),
];

const ENVELOPE: &[Case] = &[
    (
        "the members may come in any order",
        r#"{"params":{},"method":"system.ready","id":1,"jsonrpc":"2.0"}"#,
        r#"{"id":1,"result":{}}"#,
    ),
    (
        "white space is nothing",
        " \t{ \"jsonrpc\" : \"2.0\" , \"id\" : 1 , \"method\" : \"system.ready\" } ",
        r#"{"id":1,"result":{}}"#,
    ),
    (
        "names may be escaped",
        r#"{"json\u0072pc":"2.0","id":1,"m\u0065thod":"system.\u0072eady"}"#,
        r#"{"id":1,"result":{}}"#,
    ),
    (
        "an unknown member of the envelope is ignored",
        r#"{"jsonrpc":"2.0","id":1,"method":"system.ready","trace":"x"}"#,
        r#"{"id":1,"result":{}}"#,
    ),
    ("no version", r#"{"id":1,"method":"system.ready"}"#, r#"{"id":1,"error":{"code":-32600}}"#),
    (
        "version 1.0",
        r#"{"jsonrpc":"1.0","id":1,"method":"system.ready"}"#,
        r#"{"id":1,"error":{"code":-32600}}"#,
    ),
    (
        "version 2",
        r#"{"jsonrpc":"2","id":1,"method":"system.ready"}"#,
        r#"{"id":1,"error":{"code":-32600}}"#,
    ),
    (
        "a version that is a number",
        r#"{"jsonrpc":2.0,"id":1,"method":"system.ready"}"#,
        r#"{"id":1,"error":{"code":-32600}}"#,
    ),
    (
        "a version that is null",
        r#"{"jsonrpc":null,"id":1,"method":"system.ready"}"#,
        r#"{"id":1,"error":{"code":-32600}}"#,
    ),
    ("no method", r#"{"jsonrpc":"2.0","id":1}"#, r#"{"id":1,"error":{"code":-32600}}"#),
    (
        "a method that is a number",
        r#"{"jsonrpc":"2.0","id":1,"method":1}"#,
        r#"{"id":1,"error":{"code":-32600}}"#,
    ),
    (
        "a method that is null",
        r#"{"jsonrpc":"2.0","id":1,"method":null}"#,
        r#"{"id":1,"error":{"code":-32600}}"#,
    ),
    (
        "a method that nobody has",
        r#"{"jsonrpc":"2.0","id":1,"method":"no.such"}"#,
        r#"{"id":1,"error":{"code":-32601,"data":{"kind":"method_not_found","retryable":false}}}"#,
    ),
    (
        "an empty method",
        r#"{"jsonrpc":"2.0","id":1,"method":""}"#,
        r#"{"id":1,"error":{"code":-32601}}"#,
    ),
    (
        "a method in other letters",
        r#"{"jsonrpc":"2.0","id":1,"method":"System.Ready"}"#,
        r#"{"id":1,"error":{"code":-32601}}"#,
    ),
    (
        "a method of the future is not listed and not there",
        r#"{"jsonrpc":"2.0","id":1,"method":"task.create"}"#,
        r#"{"id":1,"error":{"code":-32601}}"#,
    ),
    (
        "a reserved method",
        r#"{"jsonrpc":"2.0","id":1,"method":"rpc.nothing"}"#,
        r#"{"id":1,"error":{"code":-32601}}"#,
    ),
    (
        "two methods",
        r#"{"jsonrpc":"2.0","id":1,"method":"system.ready","method":"system.ready"}"#,
        r#"{"id":1,"error":{"code":-32600}}"#,
    ),
    (
        "two versions",
        r#"{"jsonrpc":"2.0","jsonrpc":"2.0","id":1,"method":"system.ready"}"#,
        r#"{"id":1,"error":{"code":-32600}}"#,
    ),
    (
        "params twice",
        r#"{"jsonrpc":"2.0","id":1,"method":"system.ready","params":{},"params":{}}"#,
        r#"{"id":1,"error":{"code":-32600}}"#,
    ),
    (
        "an unknown member twice",
        r#"{"jsonrpc":"2.0","id":1,"method":"system.ready","x":1,"x":1}"#,
        r#"{"id":1,"error":{"code":-32600}}"#,
    ),
    (
        "half an object",
        r#"{"jsonrpc":"2.0","id":1,"#,
        r#"{"id":null,"error":{"code":-32700,"data":{"kind":"parse_error"}}}"#,
    ),
    (
        "a trailing comma",
        r#"{"jsonrpc":"2.0","id":1,"method":"system.ready",}"#,
        r#"{"id":null,"error":{"code":-32700}}"#,
    ),
    (
        "two objects",
        r#"{"jsonrpc":"2.0","id":1,"method":"system.ready"}{}"#,
        r#"{"id":null,"error":{"code":-32700}}"#,
    ),
    (
        "something after the object",
        r#"{"jsonrpc":"2.0","id":1,"method":"system.ready"} x"#,
        r#"{"id":null,"error":{"code":-32700}}"#,
    ),
    (
        "single quotes",
        "{'jsonrpc':'2.0','id':1,'method':'system.ready'}",
        r#"{"id":null,"error":{"code":-32700}}"#,
    ),
    (
        "a comment",
        r#"{"jsonrpc":"2.0",/**/"id":1,"method":"system.ready"}"#,
        r#"{"id":null,"error":{"code":-32700}}"#,
    ),
    (
        "a bare word",
        r#"{"jsonrpc":"2.0","id":1,"method":system}"#,
        r#"{"id":null,"error":{"code":-32700}}"#,
    ),
    (
        "a number with a leading zero",
        r#"{"jsonrpc":"2.0","id":01,"method":"system.ready"}"#,
        r#"{"id":null,"error":{"code":-32700}}"#,
    ),
    (
        "not a number",
        r#"{"jsonrpc":"2.0","id":NaN,"method":"system.ready"}"#,
        r#"{"id":null,"error":{"code":-32700}}"#,
    ),
    (
        "a control character in a text",
        "{\"jsonrpc\":\"2.0\",\"id\":\"\t\",\"method\":\"system.ready\"}",
        r#"{"id":null,"error":{"code":-32700}}"#,
    ),
    (
        "a wrong escape",
        r#"{"jsonrpc":"2.0","id":"\x","method":"system.ready"}"#,
        r#"{"id":null,"error":{"code":-32700}}"#,
    ),
    (
        "a byte order mark",
        "\u{feff}{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"system.ready\"}",
        r#"{"id":null,"error":{"code":-32700}}"#,
    ),
    ("a number", "1", r#"{"id":null,"error":{"code":-32600}}"#),
    ("a text", r#""system.ready""#, r#"{"id":null,"error":{"code":-32600}}"#),
    ("null", "null", r#"{"id":null,"error":{"code":-32600}}"#),
    ("true", "true", r#"{"id":null,"error":{"code":-32600}}"#),
    ("an empty object", "{}", r#"{"id":null,"error":{"code":-32600}}"#),
    ("rubbish", "GET / HTTP/1.1", r#"{"id":null,"error":{"code":-32700}}"#),
    (
        "an answer is not a call",
        r#"{"jsonrpc":"2.0","id":1,"result":{}}"#,
        r#"{"id":1,"error":{"code":-32600}}"#,
    ),
];

const BATCHES: &[Case] = &[
    (
        "a batch of one is answered with an array of one",
        r#"[{"jsonrpc":"2.0","id":1,"method":"system.ready"}]"#,
        r#"[{"id":1,"result":{}}]"#,
    ),
    (
        "an empty batch",
        "[]",
        r#"{"id":null,"error":{"code":-32600,"data":{"kind":"invalid_request"}}}"#,
    ),
    ("an empty batch with white space", " [ ] ", r#"{"id":null,"error":{"code":-32600}}"#),
    (
        "numbers in a batch",
        "[1,2]",
        r#"[{"id":null,"error":{"code":-32600}},{"id":null,"error":{"code":-32600}}]"#,
    ),
    ("a batch in a batch", "[[]]", r#"[{"id":null,"error":{"code":-32600}}]"#),
    (
        "a broken call among good ones is answered alone",
        r#"[{"jsonrpc":"2.0","id":1,"method":"system.ready"},{"id":2},{"jsonrpc":"2.0","id":3,"method":"x"}]"#,
        r#"[{"id":1,"result":{}},{"id":2,"error":{"code":-32600}},{"id":3,"error":{"code":-32601}}]"#,
    ),
    (
        "the same id twice is answered twice",
        r#"[{"jsonrpc":"2.0","id":1,"method":"system.ready"},{"jsonrpc":"2.0","id":1,"method":"system.ready"}]"#,
        r#"[{"id":1,"result":{}},{"id":1,"result":{}}]"#,
    ),
    (
        "notifications in a batch are not answered",
        r#"[{"jsonrpc":"2.0","method":"system.ready"},{"jsonrpc":"2.0","id":"b","method":"system.ready"}]"#,
        r#"[{"id":"b","result":{}}]"#,
    ),
    (
        "a batch of notifications is answered with nothing",
        r#"[{"jsonrpc":"2.0","method":"system.ready"},{"jsonrpc":"2.0","method":"no.such"}]"#,
        "",
    ),
    (
        "a batch that is not JSON has no answers",
        r#"[{"jsonrpc":"2.0","id":1,"method":"system.ready"},{"#,
        r#"{"id":null,"error":{"code":-32700}}"#,
    ),
    (
        "a batch with a trailing comma",
        r#"[{"jsonrpc":"2.0","id":1,"method":"system.ready"},]"#,
        r#"{"id":null,"error":{"code":-32700}}"#,
    ),
    (
        "a subscription in a batch has no stream",
        r#"[{"jsonrpc":"2.0","id":1,"method":"event.subscribe","params":{"topics":["system"]}}]"#,
        r#"[{"id":1,"error":{"code":-32600,"data":{"reason":"no_stream","use":"event.read"}}}]"#,
    ),
];

const NOTIFICATIONS: &[Case] = &[
    ("a notification", r#"{"jsonrpc":"2.0","method":"system.ready"}"#, ""),
    ("a notification of a method that nobody has", r#"{"jsonrpc":"2.0","method":"no.such"}"#, ""),
    (
        "a notification with wrong parameters",
        r#"{"jsonrpc":"2.0","method":"agent.get","params":{"x":1}}"#,
        "",
    ),
    (
        "a notification with scalar parameters",
        r#"{"jsonrpc":"2.0","method":"agent.get","params":1}"#,
        "",
    ),
    (
        "a notification without a version cannot be told for one",
        r#"{"method":"system.ready"}"#,
        r#"{"id":null,"error":{"code":-32600}}"#,
    ),
];

const PARAMS: &[Case] = &[
    (
        "by name",
        r#"{"jsonrpc":"2.0","id":1,"method":"agent.list","params":{"status":"any","limit":5}}"#,
        r#"{"id":1,"result":{"agents":[],"count":0,"total":0}}"#,
    ),
    (
        "by position",
        r#"{"jsonrpc":"2.0","id":1,"method":"agent.list","params":["any",null,null,null,5]}"#,
        r#"{"id":1,"result":{"agents":[],"count":0}}"#,
    ),
    (
        "an empty array of positions",
        r#"{"jsonrpc":"2.0","id":1,"method":"agent.list","params":[]}"#,
        r#"{"id":1,"result":{"agents":[]}}"#,
    ),
    (
        "a required parameter by position",
        r#"{"jsonrpc":"2.0","id":1,"method":"agent.get","params":["NOBODY"]}"#,
        r#"{"id":1,"error":{"code":-32002,"data":{"kind":"agent_not_found","retryable":false}}}"#,
    ),
    (
        "too many positions",
        r#"{"jsonrpc":"2.0","id":1,"method":"agent.get","params":["a","b"]}"#,
        r#"{"id":1,"error":{"code":-32602,"data":{"kind":"invalid_params","available":["agent_id"]}}}"#,
    ),
    (
        "a position too few",
        r#"{"jsonrpc":"2.0","id":1,"method":"agent.get","params":[]}"#,
        r#"{"id":1,"error":{"code":-32602,"data":{"member":"agent_id"}}}"#,
    ),
    (
        "no parameters where one is required",
        r#"{"jsonrpc":"2.0","id":1,"method":"agent.get"}"#,
        r#"{"id":1,"error":{"code":-32602,"data":{"member":"agent_id"}}}"#,
    ),
    (
        "a number in place of parameters",
        r#"{"jsonrpc":"2.0","id":1,"method":"agent.get","params":1}"#,
        r#"{"id":1,"error":{"code":-32602}}"#,
    ),
    (
        "a text in place of parameters",
        r#"{"jsonrpc":"2.0","id":1,"method":"agent.get","params":"a"}"#,
        r#"{"id":1,"error":{"code":-32602}}"#,
    ),
    (
        "null in place of parameters",
        r#"{"jsonrpc":"2.0","id":1,"method":"system.ready","params":null}"#,
        r#"{"id":1,"error":{"code":-32602}}"#,
    ),
    (
        "an unknown member is named",
        r#"{"jsonrpc":"2.0","id":1,"method":"agent.get","params":{"agent_id":"a","colour":1}}"#,
        r#"{"id":1,"error":{"code":-32602,"data":{"kind":"invalid_params","member":"colour","path":""}}}"#,
    ),
    (
        "an unknown member is told the version that does not know it",
        r#"{"jsonrpc":"2.0","id":1,"method":"system.ready","params":{"colour":1}}"#,
        r#"{"id":1,"error":{"code":-32602,"data":{"member":"colour","api_version":"1.0"}}}"#,
    ),
    (
        "an unknown member deep inside",
        r#"{"jsonrpc":"2.0","id":1,"method":"agent.spawn","params":{"config":{"limits":{"ram":1}}}}"#,
        r#"{"id":1,"error":{"code":-32602,"data":{"member":"ram","path":"config.limits"}}}"#,
    ),
    (
        "a member twice",
        r#"{"jsonrpc":"2.0","id":1,"method":"agent.get","params":{"agent_id":"a","agent_id":"b"}}"#,
        r#"{"id":1,"error":{"code":-32602,"data":{"member":"agent_id"}}}"#,
    ),
    (
        "a member twice, spelled otherwise",
        r#"{"jsonrpc":"2.0","id":1,"method":"agent.get","params":{"agent_id":"a","agent\u005fid":"b"}}"#,
        r#"{"id":1,"error":{"code":-32602,"data":{"member":"agent_id"}}}"#,
    ),
    (
        "a member twice deep inside",
        r#"{"jsonrpc":"2.0","id":1,"method":"agent.spawn","params":{"config":{"env":{"A":"1","A":"2"}}}}"#,
        r#"{"id":1,"error":{"code":-32602,"data":{"member":"A","path":"config.env"}}}"#,
    ),
    (
        "a member twice in a value that is only kept",
        r#"{"jsonrpc":"2.0","id":1,"method":"state.put","params":{"key":"k","value":{"a":1,"a":2}}}"#,
        r#"{"id":1,"error":{"code":-32602,"data":{"path":"value"}}}"#,
    ),
    (
        "a synonym beside its name is a member twice",
        r#"{"jsonrpc":"2.0","id":1,"method":"agent.spawn","params":{"backend":"basic","agent_type":"basic"}}"#,
        r#"{"id":1,"error":{"code":-32602,"data":{"kind":"invalid_params"}}}"#,
    ),
];

const VALUES: &[Case] = &[
    (
        "a number in place of a text",
        r#"{"jsonrpc":"2.0","id":1,"method":"agent.get","params":{"agent_id":5}}"#,
        r#"{"id":1,"error":{"code":-32602,"data":{"path":"agent_id","expected":"a string"}}}"#,
    ),
    (
        "null in place of a required text",
        r#"{"jsonrpc":"2.0","id":1,"method":"agent.get","params":{"agent_id":null}}"#,
        r#"{"id":1,"error":{"code":-32602,"data":{"path":"agent_id"}}}"#,
    ),
    (
        "an array in place of an object",
        r#"{"jsonrpc":"2.0","id":1,"method":"agent.spawn","params":{"config":["x"]}}"#,
        r#"{"id":1,"error":{"code":-32602,"data":{"path":"config","expected":"an object"}}}"#,
    ),
    (
        "a number among the words of a command",
        r#"{"jsonrpc":"2.0","id":1,"method":"agent.spawn","params":{"config":{"command":["a",2]}}}"#,
        r#"{"id":1,"error":{"code":-32602,"data":{"path":"config.command[1]"}}}"#,
    ),
    (
        "a value of env that is no text",
        r#"{"jsonrpc":"2.0","id":1,"method":"agent.spawn","params":{"config":{"env":{"A":1}}}}"#,
        r#"{"id":1,"error":{"code":-32602,"data":{"path":"config.env.A","expected":"a string"}}}"#,
    ),
    (
        "a negative duration",
        r#"{"jsonrpc":"2.0","id":1,"method":"agent.wait","params":{"agent_id":"a","timeout_secs":-1}}"#,
        r#"{"id":1,"error":{"code":-32602,"data":{"path":"timeout_secs"}}}"#,
    ),
    (
        "a fraction where a whole number belongs",
        r#"{"jsonrpc":"2.0","id":1,"method":"agent.list","params":{"limit":1.5}}"#,
        r#"{"id":1,"error":{"code":-32602,"data":{"path":"limit"}}}"#,
    ),
    (
        "a page of none",
        r#"{"jsonrpc":"2.0","id":1,"method":"agent.list","params":{"limit":0}}"#,
        r#"{"id":1,"error":{"code":-32602,"data":{"path":"limit"}}}"#,
    ),
    (
        "a page too large",
        r#"{"jsonrpc":"2.0","id":1,"method":"agent.list","params":{"limit":1001}}"#,
        r#"{"id":1,"error":{"code":-32602,"data":{"path":"limit"}}}"#,
    ),
    (
        "a word that is none of the words",
        r#"{"jsonrpc":"2.0","id":1,"method":"agent.wait","params":{"agent_id":"a","for":"ever"}}"#,
        r#"{"id":1,"error":{"code":-32602,"data":{"path":"for","available":["exit","run","turn","idle"]}}}"#,
    ),
    (
        "a status that is none",
        r#"{"jsonrpc":"2.0","id":1,"method":"agent.list","params":{"status":["running","gone"]}}"#,
        r#"{"id":1,"error":{"code":-32602,"data":{"path":"status[1]"}}}"#,
    ),
    (
        "a name with a control character",
        r#"{"jsonrpc":"2.0","id":1,"method":"agent.spawn","params":{"name":"a\u0000b","agent_type":"basic"}}"#,
        r#"{"id":1,"error":{"code":-32602,"data":{"path":"name"}}}"#,
    ),
    (
        "an empty name",
        r#"{"jsonrpc":"2.0","id":1,"method":"agent.spawn","params":{"name":"","agent_type":"basic"}}"#,
        r#"{"id":1,"error":{"code":-32602,"data":{"path":"name"}}}"#,
    ),
    (
        "a working directory that is not absolute",
        r#"{"jsonrpc":"2.0","id":1,"method":"agent.spawn","params":{"agent_type":"basic","config":{"cwd":"x"}}}"#,
        r#"{"id":1,"error":{"code":-32602,"data":{"path":"config.cwd"}}}"#,
    ),
    (
        "a backend that nobody has",
        r#"{"jsonrpc":"2.0","id":1,"method":"agent.spawn","params":{"agent_type":"no-such"}}"#,
        r#"{"id":1,"error":{"code":-32016,"data":{"kind":"not_found","what":"backend"}}}"#,
    ),
    (
        "a wait for an agent that is none",
        r#"{"jsonrpc":"2.0","id":1,"method":"agent.wait","params":{"agent_id":"NOBODY"}}"#,
        r#"{"id":1,"error":{"code":-32002}}"#,
    ),
    (
        "a kill of an agent that is none",
        r#"{"jsonrpc":"2.0","id":1,"method":"agent.kill","params":{"agent_id":"NOBODY"}}"#,
        r#"{"id":1,"error":{"code":-32002}}"#,
    ),
    (
        "the logs of an agent that is none",
        r#"{"jsonrpc":"2.0","id":1,"method":"agent.logs","params":{"agent_id":"NOBODY"}}"#,
        r#"{"id":1,"error":{"code":-32002}}"#,
    ),
    (
        "the state of an agent that is none",
        r#"{"jsonrpc":"2.0","id":1,"method":"state.query","params":{"agent_id":"NOBODY"}}"#,
        r#"{"id":1,"error":{"code":-32002}}"#,
    ),
    (
        "a key that is not there",
        r#"{"jsonrpc":"2.0","id":1,"method":"state.query","params":{"key":"nothing"}}"#,
        r#"{"id":1,"result":{}}"#,
    ),
    (
        "a regular expression that is none",
        r#"{"jsonrpc":"2.0","id":1,"method":"agent.output","params":{"agent_id":"NOBODY","filter":"("}}"#,
        r#"{"id":1,"error":{}}"#,
    ),
];

const STREAMS: &[Case] = &[
    (
        "a cursor that is none",
        r#"{"jsonrpc":"2.0","id":1,"method":"event.read","params":{"topics":["system"],"after":"rubbish"}}"#,
        r#"{"id":1,"error":{"code":-32602,"data":{"path":"after"}}}"#,
    ),
    (
        "no topics",
        r#"{"jsonrpc":"2.0","id":1,"method":"event.read","params":{"topics":[]}}"#,
        r#"{"id":1,"error":{"code":-32602,"data":{"path":"topics"}}}"#,
    ),
    (
        "a wait that is too long",
        r#"{"jsonrpc":"2.0","id":1,"method":"event.read","params":{"topics":["system"],"wait_ms":30001}}"#,
        r#"{"id":1,"error":{"code":-32602,"data":{"path":"wait_ms"}}}"#,
    ),
    (
        "a topic where nothing happened",
        r#"{"jsonrpc":"2.0","id":1,"method":"event.read","params":{"topics":["agent/NOBODY/status"]}}"#,
        r#"{"id":1,"result":{"events":[],"gaps":[],"synced":true}}"#,
    ),
    (
        "an end of a subscription that is none",
        r#"{"jsonrpc":"2.0","id":1,"method":"event.unsubscribe","params":{"subscription_id":"x"}}"#,
        r#"{"id":1,"result":{"unsubscribed":false}}"#,
    ),
    (
        "a cancel of a call that is none",
        r#"{"jsonrpc":"2.0","id":1,"method":"rpc.cancel","params":{"id":99}}"#,
        r#"{"id":1,"result":{}}"#,
    ),
];
