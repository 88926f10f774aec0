// Checks the OpenRPC document of the daemon at the address that is given: by the validator of
// OpenRPC, by what the daemon answers, and by types for TypeScript that are generated from it.

import { execFileSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { validateOpenRPCDocument } from "@open-rpc/schema-utils-js";
import { compile } from "json-schema-to-typescript";
import { Daemon } from "./daemon.mjs";
import { make, read } from "./history.mjs";

const base = process.argv[2];
const say = (claim) => console.log(`ok: ${claim}`);
const must = (holds, claim) => {
  if (!holds) throw new Error(`does not hold: ${claim}`);
  say(claim);
};

const [document] = await Daemon.at(base);
const verdict = validateOpenRPCDocument(document);
must(verdict === true, `the OpenRPC document is valid${verdict === true ? "" : `: ${verdict.message}`}`);

const daemon = new Daemon(base, document);
const printer = await make(daemon);
say("results and errors of calls are what the document promises");

const events = await read(daemon);
for (const event of events) {
  const faults = daemon.faults("Event", event);
  if (faults) throw new Error(`${JSON.stringify(event)} is no Event:\n  ${faults}`);
}
const seen = new Set(events.map((event) => event.type));
for (const type of ["spawned", "status_changed", "exited", "output", "removed"]) {
  if (!seen.has(`agent.${type}`)) throw new Error(`no agent.${type} in the history`);
}
say(`each of ${events.length} recorded events is valid by its schema`);
const exited = events.find((event) => event.type === "agent.exited");
for (const wrong of [{ ...exited, type: "agent.exitd" }, { ...exited, data: {} }, { ...exited, x: 1 }]) {
  if (!daemon.faults("Event", wrong)) throw new Error(`taken for an event: ${JSON.stringify(wrong)}`);
}

const schemas = JSON.parse(
  JSON.stringify(document.components.schemas).replaceAll("#/components/schemas/", "#/definitions/"),
);
const names = Object.keys(schemas);
const root = {
  title: "Schemas",
  type: "object",
  definitions: schemas,
  properties: Object.fromEntries(names.map((name) => [name, { $ref: `#/definitions/${name}` }])),
  required: names,
};
const generated = await compile(root, "Schemas", { bannerComment: "", additionalProperties: false });
writeFileSync("generated.ts", generated);
const recorded = JSON.stringify(events, null, 1);
writeFileSync(
  "recorded.ts",
  `import { decode } from "./decode";\nimport type { Event } from "./generated";\n
const recorded: Event[] = ${recorded};\n
export const decoded: string[] = recorded.map(decode);\n`,
);
const STRICT = ["--strict", "--target", "es2022", "--module", "commonjs", "--lib", "es2022,dom"];
const tsc = (stdio, ...options) =>
  execFileSync("node_modules/.bin/tsc", [...STRICT, ...options], { stdio });
tsc("inherit", "--outDir", "built", "recorded.ts");
const broken = { ...exited, type: "agent.exitd" };
const head = 'import type { Event } from "./generated";\n';
writeFileSync("broken.ts", `${head}export const broken: Event = ${JSON.stringify(broken)};\n`);
let compiles = true;
try {
  tsc("ignore", "--noEmit", "broken.ts");
} catch {
  compiles = false;
}
if (compiles) throw new Error("an event of no known type compiles");
say("types for TypeScript compile, and with them every recorded event");

writeFileSync("built/package.json", '{"type":"commonjs"}');
const { decoded } = await import("./built/recorded.js").then((module) => module.default);
const output = events
  .map((event, at) => [event, decoded[at]])
  .filter(([event]) => event.topic === `agent/${printer}/output` && event.data.stream === "stdout")
  .map(([event, text]) => (event.data.text === undefined ? text : Buffer.from(text).toString("latin1")));
must(output.join("") === "caf\xc3\xa9\n\xff\xfe\nhalf", "what was decoded is what was written");
