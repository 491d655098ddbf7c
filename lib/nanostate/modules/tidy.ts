/**
 * A module's result as Ansible shows it: what its engine adds to what the module said, and what it takes away.
 *
 * Source: ansible-core 2.14 and 2.19, `executor/task_executor.py` and `plugins/action/__init__.py`.
 */
import { isFailed } from "../agent/protocol.ts";
import { isObject, type Json, type JsonObject } from "../json.ts";
import { deprecation, failureText, summaryText, traceback } from "./summaries.ts";

/** Facts about the interpreter, which the engine makes for itself. */
const INTERPRETER = /^discovered_interpreter_|^ansible_discovered_interpreter_|^_ansible_/;

/** Without the arguments (`invocation`): they are in the plan, and secrets would be in them. */
export function tidied(result: JsonObject): JsonObject {
  const tidy: JsonObject = {};
  for (const [key, value] of Object.entries(result)) {
    if (key === "invocation" || key.startsWith("_ansible_")) continue;
    const [name, shown] = entry(key, value);
    if (shown !== undefined) tidy[name] = shown;
  }
  const msg = failureText(result);
  if (msg !== null) tidy["msg"] = msg;
  for (const stream of ["stdout", "stderr"]) {
    const text = tidy[stream];
    if (text !== undefined) tidy[`${stream}_lines`] ??= typeof text === "string" ? lines(text) : [];
  }
  tidy["failed"] ??= isFailed(result);
  tidy["changed"] ??= false;
  return tidy;
}

/** Undefined for one that is not shown. */
function entry(key: string, value: Json): [string, Json | undefined] {
  switch (key) {
    case "warnings":
      return [key, filled(value, summaryText)];
    case "deprecations":
      return [key, filled(value, deprecation)];
    case "exception":
      return [key, traceback(value) ?? undefined];
    case "ansible_facts":
      return [key, withoutInterpreter(value)];
    case "results":
      return [Array.isArray(value) ? key : "ansible_module_results", value];
    default:
      return [key, value];
  }
}

/** Nothing for an empty list. */
function filled(value: Json, shown: (each: Json) => Json): Json | undefined {
  if (value === null) return undefined;
  if (!Array.isArray(value)) return value;
  return value.length === 0 ? undefined : value.map(shown);
}

function withoutInterpreter(facts: Json): Json {
  if (!isObject(facts)) return facts;
  return Object.fromEntries(Object.entries(facts).filter(([name]) => !INTERPRETER.test(name))) as JsonObject;
}

/** As Python's `splitlines`: no empty line after the last end of line. */
function lines(text: string): string[] {
  // deno-lint-ignore no-control-regex -- Python ends a line at these, too
  const all = text.split(/\r\n|[\n\r\v\f\x1c-\x1e\x85\u2028\u2029]/);
  if (all.at(-1) === "") all.pop();
  return all;
}
