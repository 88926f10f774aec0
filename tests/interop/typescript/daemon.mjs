// A daemon as a generated client would see it: every result is checked against the schema that the
// OpenRPC document promises for it, every error against those that its method may give.

import Ajv from "ajv";

const SCHEMAS = "openrpc#/components/schemas/";

/** The document, made strict: a member that it does not name is a mistake here. */
function closed(value) {
  if (Array.isArray(value)) return value.map(closed);
  if (value === null || typeof value !== "object") return value;
  const copy = Object.fromEntries(Object.entries(value).map(([name, one]) => [name, closed(one)]));
  if (copy.properties && copy.type === "object") copy.additionalProperties ??= false;
  return copy;
}

export class Daemon {
  constructor(base, document) {
    this.base = base;
    this.methods = new Map(document.methods.map((method) => [method.name, method]));
    this.errors = document.components.errors;
    // Formats such as uint64 are words of ours; the discriminator is for other tools.
    this.ajv = new Ajv({ strict: false, validateFormats: false, allErrors: true });
    this.ajv.addSchema({ ...closed({ components: document.components }), $id: "openrpc" });
  }

  static async at(base) {
    const reply = await fetch(`${base}/openrpc.json`);
    return [await reply.json(), reply];
  }

  /** What is wrong with `value` as a schema of this name; nothing, if it fits. */
  faults(name, value) {
    const check = this.ajv.getSchema(SCHEMAS + name);
    return check(value) ? "" : this.ajv.errorsText(check.errors, { separator: "\n  " });
  }

  async ask(method, params) {
    const reply = await fetch(`${this.base}/rpc/${method}`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(params),
    });
    return [reply.status, await reply.json()];
  }

  /** The result of a call that works. */
  async ok(method, params) {
    const [status, result] = await this.ask(method, params);
    if (status !== 200) throw new Error(`${method}: ${status} ${JSON.stringify(result)}`);
    const reference = this.methods.get(method).result.schema.$ref;
    const name = reference.split("/").pop();
    const faults = this.faults(name, result);
    if (faults) throw new Error(`the result of ${method} is no ${name}:\n  ${faults}`);
    return result;
  }

  /** The error of a call that does not: one of those that the method may give. */
  async refused(method, params, kind) {
    const [status, error] = await this.ask(method, params);
    if (error?.data?.kind !== kind) throw new Error(`${method}: not ${kind}: ${JSON.stringify(error)}`);
    const declared = this.methods.get(method).errors.map((one) => one.$ref.split("/").pop());
    const name = declared.find((one) => this.errors[one].code === error.code);
    if (!name) throw new Error(`${method} does not declare ${error.code}`);
    const faults = this.faults(`${name}Error`, error);
    if (faults) throw new Error(`an error of ${method} is no ${name}Error:\n  ${faults}`);
    return status;
  }
}
