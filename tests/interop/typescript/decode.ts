// What somebody would write who generated the types: it compiles only if every event is told apart
// by its `type`, and only if no type of event is left out.

import type { Event } from "./generated";

export function decode(event: Event): string {
  switch (event.type) {
    case "agent.spawned":
      return event.data.name;
    case "agent.status_changed":
      return `${event.data.from} to ${event.data.to} in run ${event.data.run.toFixed()}`;
    case "agent.exited":
      return `${event.data.exit.reason} ${event.data.exit.code ?? event.data.exit.signal ?? ""}`;
    case "agent.output":
      return event.data.text ?? atob(event.data.data ?? "");
    case "system.started":
      return `${event.data.version} after ${event.data.previous}`;
    case "system.degraded":
      return event.data.reasons.join(", ");
    case "system.reloaded":
      return event.data.applied.join(", ");
    case "approval.requested":
    case "approval.resolved":
      return `${event.data.approval_id} is ${event.data.status}`;
    case "chat.chunk":
      return event.data.type;
    case "audit.configuration":
    case "audit.decision":
    case "audit.denied":
    case "audit.dropped":
    case "audit.key":
    case "audit.kill":
    case "audit.spawn":
      return `${event.data.principal} ${event.data.method}: ${event.data.outcome}`;
    case "agent.removed":
    case "system.recovered":
    case "system.draining":
      return event.topic;
    default: {
      const nothing: never = event;
      return nothing;
    }
  }
}
