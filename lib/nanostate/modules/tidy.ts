/**
 * A module's result as Ansible shows it: what its engine adds to what the module said, and what it takes away.
 *
 * Source: ansible-core 2.14 and 2.19, `executor/task_executor.py` and `plugins/action/__init__.py`.
 */
import { isFailed } from "../agent/protocol.ts";
import { isObject, type Json, type JsonObject } from "../json.ts";

/** Kept out of results for good: the arguments are in the plan, and secrets would be in them. */
const NOT_SHOWN = new Set(["invocation"]);
/** Facts about the interpreter, which the engine makes for itself. */
const INTERPRETER = /^discovered_interpreter_|^ansible_discovered_interpreter_/;

export function tidied(result: JsonObject): JsonObject {
  const tidy: JsonObject = {};
  for (const [key, value] of Object.entries(result)) {
    if (key.startsWith("_ansible_") || NOT_SHOWN.has(key)) continue;
    if ((key === "warnings" || key === "deprecations") && isEmpty(value)) continue;
    const isOdd = key === "results" && !Array.isArray(value);
    tidy[isOdd ? "ansible_module_results" : key] = key === "ansible_facts"
      ? withoutInterpreter(value)
      : value;
  }
  for (const stream of ["stdout", "stderr"]) {
    const text = tidy[stream];
    if (text !== undefined) tidy[`${stream}_lines`] ??= typeof text === "string" ? lines(text) : [];
  }
  tidy["failed"] ??= isFailed(result);
  tidy["changed"] ??= false;
  return tidy;
}

/** As Python's `splitlines`: no empty line after the last end of line. */
function lines(text: string): string[] {
  // deno-lint-ignore no-control-regex -- Python ends a line at these, too
  const all = text.split(/\r\n|[\n\r\v\f\x1c-\x1e\x85\u2028\u2029]/);
  if (all.at(-1) === "") all.pop();
  return all;
}

function withoutInterpreter(facts: Json): Json {
  if (!isObject(facts)) return facts;
  return Object.fromEntries(
    Object.entries(facts).filter(([name]) => !INTERPRETER.test(name) && !name.startsWith("_ansible_")),
  );
}

function isEmpty(value: Json): boolean {
  return value === null || Array.isArray(value) && value.length === 0;
}
