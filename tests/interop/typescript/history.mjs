// Makes a history worth the name and reads it back, as a client that was generated would.

/** Agents that print, fail, are killed, are started again, and are forgotten; and calls that fail. */
export async function make(daemon) {
  const spawn = (script, more = {}) =>
    daemon.ok("agent.spawn", {
      agent_type: "process",
      config: { command: ["sh", "-c", script], ...more },
    });
  const wait = (agent) => daemon.ok("agent.wait", { agent_id: agent.agent_id, timeout_secs: 60 });

  const printer = await spawn("printf 'café\\n\\377\\376\\n'; echo oops >&2; printf half; exit 3", {
    env: { NAME: "value" },
    labels: { team: "blue" },
  });
  await wait(printer);
  const restart = { policy: "on_failure", max_restarts: 1, window_secs: 60 };
  await wait(await spawn("exit 1", { restart }));
  const stubborn = await spawn("trap '' TERM; read line; sleep 1000");
  await daemon.ok("agent.write_stdin", { agent_id: stubborn.agent_id, text: "on\n" });
  await daemon.ok("agent.pause", { agent_id: stubborn.agent_id });
  await daemon.ok("agent.resume", { agent_id: stubborn.agent_id });
  await daemon.ok("agent.kill", { agent_id: stubborn.agent_id, force: true });
  const forgotten = await spawn("exit 0");
  await wait(forgotten);
  await daemon.ok("agent.remove", { agent_id: forgotten.agent_id });

  await daemon.ok("agent.list", { status: "any" });
  await daemon.ok("agent.get", { agent_id: printer.agent_id });
  await daemon.ok("agent.logs", { agent_id: printer.agent_id });
  await daemon.ok("agent.output", { agent_id: printer.agent_id, filter: "caf" });
  await daemon.ok("backend.list", {});
  await daemon.ok("state.put", { key: "interop", value: { any: [1, null, "text"] } });
  await daemon.ok("state.query", {});
  for (const method of ["health", "ready", "info", "metrics"]) await daemon.ok(`system.${method}`, {});

  const gone = { agent_id: forgotten.agent_id };
  await daemon.refused("agent.get", gone, "agent_not_found");
  await daemon.refused("agent.get", { id: 1 }, "invalid_params");
  await daemon.refused("agent.pause", { agent_id: printer.agent_id }, "conflict");
  await daemon.refused("agent.signal", { agent_id: printer.agent_id, signal: "usr1" }, "conflict");
  await daemon.refused("event.subscribe", { topics: ["agent/"] }, "invalid_request");
  const missing = { agent_type: "process", config: { command: ["/no/such/program"] } };
  await daemon.refused("agent.spawn", missing, "spawn_failed");
  await daemon.refused("agent.spawn", { agent_type: "no-such-backend" }, "not_found");
  return printer.agent_id;
}

/** Every event that the daemon keeps, in order. */
export async function read(daemon) {
  const events = [];
  let after = "start";
  for (;;) {
    const params = { topics: ["agent/", "system"], after, limit: 1000 };
    const page = await daemon.ok("event.read", params);
    events.push(...page.events);
    if (page.synced) return events;
    after = page.cursor;
  }
}
