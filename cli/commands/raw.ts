/** `salar call` and `salar template`: any method of the server, whether a command is made for it or not. */
import { SalarError } from "../../lib/errors.ts";
import type { RawRequest } from "../api.ts";
import type { Command } from "../command.ts";
import { text } from "../columns.ts";
import { EXIT } from "../exit.ts";
import { isObject, type Json, type JsonObject } from "../json.ts";
import { parseJsonc } from "../jsonc.ts";
import { methodOf, type Operation, operationNamed, readOperations, requestFor } from "../operations.ts";
import { openSession, printJson, tablePrinter } from "../session.ts";
import { templateOf } from "../template.ts";
import type { World } from "../world.ts";

export const call: Command = {
  name: "call",
  purpose: "Call any method of the server, with JSON on standard input; prints the answer as JSON",
  inputs: [
    {
      as: "[method]",
      about: 'Such as zones.add; without it the input is {"urn": "/v1/…", "method": "GET", "arg": {…}}',
    },
    { as: "--list", about: "List the methods that there are" },
  ],
  examples: [
    "call --list",
    `call zones.add <<< '{"name": "berlin"}'`,
    "template zones.add > arg.json  # fill it in, then: salar call zones.add < arg.json",
    `call <<< '{"urn": "/v1/nodes", "method": "GET", "arg": {"limit": 5}}'`,
  ],
  routes: [],
  async run({ world, given, flags }) {
    const session = await openSession(world, flags);
    const operations = () => readOperations(session.api);
    if (given["list"] === true) {
      const columns = [text("METHOD", "name"), text("ROLE", "role"), text("WHAT IT DOES", "summary")];
      const rows = (await operations()).map(({ name, role, summary }) => ({ name, role, summary }));
      if (flags.json) printJson(world, rows);
      else await tablePrinter(session, columns)(rows);
      return EXIT.ok;
    }
    const { method } = given;
    const arg = await input(world, method === undefined);
    const request = typeof method === "string"
      ? requestFor(operationNamed(await operations(), method), arg)
      : await prototypeRequest(arg, operations);
    printJson(world, await session.api.send(request));
    return EXIT.ok;
  },
};

/** An object from standard input; empty where nothing comes. @throws {SalarError} `bad-input` */
async function input({ stdin }: World, isNeeded: boolean): Promise<JsonObject> {
  const text = stdin.isTerminal ? "" : await stdin.text();
  if (text.trim() === "") {
    if (!isNeeded) return {};
    throw new SalarError(
      "bad-input",
      "Cannot call: name a method, or give urn, method and arg on standard input",
    );
  }
  const value = parseJsonc(text);
  if (isObject(value)) return value;
  throw new SalarError("bad-input", "Cannot call: standard input holds no JSON object");
}

/** The form of the first admin tool: `urn` is a path or a method's name. Paths that OpenAPI does not tell go too. */
async function prototypeRequest(
  { urn, method = "GET", arg = {}, ...others }: JsonObject,
  operations: () => Promise<Operation[]>,
): Promise<RawRequest> {
  const [unknown] = Object.keys(others);
  if (unknown !== undefined || typeof urn !== "string" || !isObject(arg)) {
    const state = unknown === undefined
      ? 'it takes {"urn": text, "method": text, "arg": {…}}'
      : `"${unknown}" is not known`;
    throw new SalarError("bad-input", `Cannot call: ${state}`);
  }
  const verb = methodOf(String(method));
  if (!urn.startsWith("/")) return requestFor(operationNamed(await operations(), urn), arg);
  const found = (await operations()).find((each) =>
    each.method === verb && paramsOf(each.path, urn) !== null
  );
  if (found !== undefined) return requestFor(found, { ...arg, ...paramsOf(found.path, urn) });
  return {
    method: verb,
    path: urn,
    ...(verb === "GET" || verb === "DELETE" ? { query: arg } : { body: arg }),
  };
}

/** The parameters that make `path` of a path with braces; null where it is another path. */
function paramsOf(template: string, path: string): Record<string, Json> | null {
  const [wanted, given] = [template.split("/"), path.split("/")];
  if (wanted.length !== given.length) return null;
  const params: Record<string, Json> = {};
  for (const [index, part] of wanted.entries()) {
    const value = given[index] ?? "";
    const [, name] = /^\{(\w+)\}$/.exec(part) ?? [];
    if (name === undefined ? part !== value : value === "") return null;
    if (name !== undefined) params[name] = decodeURIComponent(value);
  }
  return params;
}

export const template: Command = {
  name: "template",
  purpose: "Print a JSON template for a call, with defaults, and what each field means as comments",
  inputs: [
    { as: "<method>", about: "Such as zones.add; see `salar call --list`" },
    { as: "--no-comments", about: "Plain JSON, with what is needed and what has a default" },
  ],
  examples: ["template zones.add", "template nodes.drain --no-comments | jq .budget"],
  routes: [],
  async run({ world, given, flags }) {
    const session = await openSession(world, flags);
    const operation = operationNamed(await readOperations(session.api), String(given["method"]));
    world.stdout.write(templateOf(operation, { comments: given["comments"] !== false && !flags.json }));
    return EXIT.ok;
  },
};
