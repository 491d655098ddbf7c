/**
 * What people give a state on the command line: parameters, secrets, hosts.
 *
 * I1. The value of a secret is never an argument: it is in a variable, in a file, or is asked for.
 */
import { SalarError } from "../lib/errors.ts";
import type { JsonObject } from "../lib/nanostate/json.ts";
import type { Given } from "./command.ts";
import { absolute } from "./settings.ts";
import type { Asking, World } from "./world.ts";

/** All values of an option that may be given again. */
export function listOf(given: Given, name: string): readonly string[] {
  const value = given[name];
  return Array.isArray(value) ? value : [];
}

/** Of `--param name=value`. @throws {SalarError} `bad-input` */
export function paramsOf(given: Given): JsonObject {
  return Object.fromEntries(listOf(given, "param").map((text) => named("param", text, "write name=value")));
}

/** Of `--secret name=SOURCE`; each is read when it is first asked for. @throws {SalarError} `bad-input` */
export function secretsOf(world: World, given: Given, asking: Asking): Map<string, () => Promise<string>> {
  return new Map(
    listOf(given, "secret").map((text) => {
      const [name, source] = named("secret", text, "write name=env:VARIABLE, name=file:PATH or name=prompt");
      return [
        name,
        secretFrom(world, source, { what: `--secret ${name}`, question: `Secret ${name}: `, asking }),
      ];
    }),
  );
}

/**
 * A secret of `env:VARIABLE`, `file:PATH` (without its last end of line) or `prompt`, read once.
 * @throws {SalarError} `bad-input` here for another source, later for one that has nothing
 */
export function secretFrom(
  world: World,
  source: string,
  { what, question, asking }: { what: string; question: string; asking: Asking },
): () => Promise<string> {
  const [, kind, from = ""] = /^(env|file|prompt)(?::(.+))?$/s.exec(source) ?? [];
  if (kind === undefined || kind === "prompt" !== (from === "")) {
    throw new SalarError("bad-input", `Cannot use ${what}: its source is env:VARIABLE, file:PATH or prompt`);
  }
  const nothing = (why: string) => new SalarError("bad-input", `Cannot use ${what}: ${why}`);
  const read = async (): Promise<string> => {
    if (kind === "prompt") {
      const answer = await asking.hidden(question);
      if (answer === null) throw nothing("nobody is there to answer; use env:VARIABLE or file:PATH");
      return answer;
    }
    if (kind === "env") {
      const value = world.env[from];
      if (value === undefined || value === "") throw nothing(`the variable ${from} is not set`);
      return value;
    }
    const bytes = await world.disk.read(absolute(world, from));
    if (bytes === null) throw nothing(`there is no file ${from}`);
    return new TextDecoder().decode(bytes).replace(/\r?\n$/, "");
  };
  let value: Promise<string> | null = null;
  return () => value ??= read();
}

function named(option: string, text: string, advice: string): [string, string] {
  const [, name, value] = /^([\w.-]+)=(.*)$/s.exec(text) ?? [];
  if (name !== undefined && value !== undefined) return [name, value];
  // I1: what stands there may be a secret that was meant for another place.
  const shown = option === "secret" ? "" : ` ${text}`;
  throw new SalarError("bad-input", `Cannot use --${option}${shown}: ${advice}`);
}
