/**
 * Configuration of a program: one flat schema, parsed once at start from flags, environment, file and defaults.
 *
 * A key `storePath` is `--store-path x` (or `--store-path=x`) on the command line, `SALAR_STORE_PATH` in the
 * environment, `"storePath"` in the file, which is JSON with comments. The first that names it wins, in this order.
 * G1. Every problem is reported together; an unknown key is a problem and gets the nearest known one as a hint. Of the
 *     environment, which programs share, a variable that another program knows (`config_keys.ts`) is none.
 * G2. Secrets come in files: a key that holds a secret ends in `File` and is a path. A URL with a password is refused.
 * G3. Pure: arguments, environment and the file's text are given; nothing is read here but by `readSecret`.
 * G4. Lists are `a,b` in flags and environment, arrays in the file. `--flag` is true, `--no-flag` false.
 */
import { z } from "zod";
import { KEYS_OF_PROGRAMS } from "./config_keys.ts";
import { isSafeUrl } from "./loopback.ts";
import { assert, type Problem, SalarError } from "./errors.ts";
import type { Disk } from "./seams.ts";
import { Secret } from "./secure/secret.ts";

/** Where agents send their join token and proofs: never over a network in the clear. */
export const DirectorUrl = z.string().refine(
  isSafeUrl,
  "https://… is needed (http:// only for a loopback address)",
);

export type Origin = "flag" | "environment" | "file" | "default";

export interface ConfigSources {
  /** The command line after the subcommand. */
  args: readonly string[];
  env: Readonly<Record<string, string>>;
  /** The file that `configPath` names, when there is one. */
  file: { path: string; text: string } | null;
}

export interface Config<T> {
  value: T;
  /** Of every key, in the schema's order. */
  origins: Record<string, Origin>;
}

const PREFIX = "SALAR_";
/** Names the file itself, so it is a key of every program. */
const FILE_KEY = "config";

/** Path of the configuration file: `--config x`, else `SALAR_CONFIG`; null when neither is given. */
export function configPath({ args, env }: Pick<ConfigSources, "args" | "env">): string | null {
  return flagsOf(args, new Set(), []).get(FILE_KEY)?.at(-1) ?? env[PREFIX + "CONFIG"] ?? null;
}

/** @throws {SalarError} `bad-config` with every problem in `detail.problems`. */
export function parseConfig<S extends z.ZodRawShape>(
  schema: z.ZodObject<S>,
  sources: ConfigSources,
): Config<z.infer<z.ZodObject<S>>> {
  const keys = Object.keys(schema.shape);
  const types = new Map(keys.map((key) => [key, typeOf(schema, key)]));
  for (const key of keys) {
    assert(!holdsSecret(key), `config key "${key}" holds a secret, so it ends in "File"`);
  }

  const problems: Problem[] = [];
  const layers = [
    { origin: "flag", values: fromFlags(sources.args, types, problems) },
    { origin: "environment", values: fromEnvironment(sources.env, types, problems) },
    { origin: "file", values: fromFile(sources.file, types, problems) },
  ] as const;

  const given: Record<string, unknown> = {};
  const origins: Record<string, Origin> = {};
  for (const key of keys) {
    const layer = layers.find(({ values }) => values.has(key));
    origins[key] = layer?.origin ?? "default";
    if (layer !== undefined) given[key] = layer.values.get(key);
  }
  const parsed = schema.safeParse(given);
  problems.push(
    ...passwordProblems(given, origins),
    ...(parsed.error?.issues ?? []).map((issue) => {
      const [key = "", ...rest] = issue.path.map(String);
      return { field: [nameOf(key, origins[key] ?? "default"), ...rest].join("."), reason: issue.message };
    }),
  );
  if (parsed.success && problems.length === 0) return { value: parsed.data, origins };

  const lines = problems.map(({ field, reason }) => `  ${field}: ${reason}`);
  throw new SalarError("bad-config", `Cannot start: configuration has problems\n${lines.join("\n")}`, {
    detail: { problems },
  });
}

/** What is in force and where it came from, as lines for people. */
export function explain({ value, origins }: Config<Record<string, unknown>>): string {
  const rows = Object.entries(origins).map(([key, origin]) => [key, shown(key, value[key]), origin]);
  return table([["KEY", "VALUE", "FROM"], ...rows]);
}

/** The keys of a program with what they mean (`.describe()`) and their defaults, for `--help`. */
export function configHelp(schema: z.ZodObject): string {
  const rows = Object.entries(schema.shape).map(([key, field]) => {
    const json = jsonOf(field);
    const preset = json["default"] === undefined ? "" : `(default ${JSON.stringify(json["default"])})`;
    return [
      `  --${kebab(key)}`,
      environmentName(key),
      [json["description"], preset].filter(Boolean).join(" "),
    ];
  });
  return table([["  --config", PREFIX + "CONFIG", "File with the same keys: JSON with comments"], ...rows]);
}

/** The secret in a file, without its last line end. @throws {SalarError} `bad-config` when it is missing or empty. */
export async function readSecret(disk: Pick<Disk, "read">, key: string, path: string): Promise<Secret> {
  const bytes = await disk.read(path);
  const text = bytes === null ? "" : new TextDecoder().decode(bytes).replace(/\r?\n$/, "");
  if (text !== "") return new Secret(text);
  const reason = `${path} ${bytes === null ? "is not there" : "is empty"}`;
  throw new SalarError("bad-config", `Cannot read secret: ${key}: ${reason}`, {
    detail: { problems: [{ field: key, reason }] },
  });
}

// --- The three layers ----------------------------------------------------------------------------------------

type Types = ReadonlyMap<string, FieldType>;
type FieldType = "text" | "number" | "boolean" | "list";

function fromFlags(args: readonly string[], types: Types, problems: Problem[]): Map<string, unknown> {
  const keyOf = new Map([...types.keys()].map((key) => [kebab(key), key]));
  const switches = new Set(
    [...keyOf].filter(([, key]) => types.get(key) === "boolean").map(([flag]) => flag),
  );
  const values = new Map<string, unknown>();
  for (const [flag, texts] of flagsOf(args, switches, problems)) {
    if (flag === FILE_KEY) continue;
    const key = keyOf.get(flag);
    if (key === undefined) {
      problems.push(unknown(`--${flag}`, [...keyOf.keys()].map((each) => `--${each}`)));
    } else if (types.get(key) === "list") {
      values.set(key, texts.flatMap(split));
    } else if (texts.length > 1) {
      problems.push({ field: `--${flag}`, reason: "is given more than once" });
    } else {
      values.set(key, fromText(texts[0] ?? "", types.get(key)));
    }
  }
  return values;
}

/** Flags by name, each with its values in order. What is no flag is a problem. */
function flagsOf(
  args: readonly string[],
  switches: ReadonlySet<string>,
  problems: Problem[],
): Map<string, string[]> {
  const flags = new Map<string, string[]>();
  const add = (flag: string, text: string) => flags.set(flag, [...flags.get(flag) ?? [], text]);
  for (let at = 0; at < args.length; at++) {
    const arg = args[at] ?? "";
    const [, flag = "", text] = /^--([a-z0-9-]+)(?:=(.*))?$/s.exec(arg) ?? [];
    const next = args[at + 1];
    if (flag === "") problems.push({ field: arg, reason: "is not a flag such as --store-path" });
    else if (text !== undefined) add(flag, text);
    else if (switches.has(flag)) add(flag, "true");
    else if (flag.startsWith("no-") && switches.has(flag.slice(3))) add(flag.slice(3), "false");
    else if (next === undefined || next.startsWith("--")) {
      problems.push({ field: arg, reason: "needs a value" });
    } else {
      add(flag, next);
      at += 1;
    }
  }
  return flags;
}

function fromEnvironment(
  env: Readonly<Record<string, string>>,
  types: Types,
  problems: Problem[],
): Map<string, unknown> {
  const keyOf = new Map([...types.keys()].map((key) => [environmentName(key), key]));
  const ofOthers = new Set(KEYS_OF_PROGRAMS.map(environmentName));
  const values = new Map<string, unknown>();
  for (const [name, text] of Object.entries(env)) {
    if (!name.startsWith(PREFIX) || name === PREFIX + "CONFIG") continue;
    const key = keyOf.get(name);
    if (key !== undefined) {
      values.set(key, types.get(key) === "list" ? split(text) : fromText(text, types.get(key)));
    } else if (!ofOthers.has(name)) problems.push(unknown(name, [...keyOf.keys()]));
  }
  return values;
}

function fromFile(file: ConfigSources["file"], types: Types, problems: Problem[]): Map<string, unknown> {
  if (file === null) return new Map();
  let json: unknown;
  try {
    json = JSON.parse(withoutComments(file.text));
  } catch {
    json = null;
  }
  if (typeof json !== "object" || json === null || Array.isArray(json)) {
    problems.push({ field: file.path, reason: "is not a JSON object (comments are allowed)" });
    return new Map();
  }
  const values = new Map(Object.entries(json));
  for (const key of values.keys()) {
    if (!types.has(key)) problems.push(unknown(`${file.path}: ${key}`, [...types.keys()], key));
  }
  return values;
}

/** Comments become spaces; those inside strings are none. */
function withoutComments(text: string): string {
  return text.replace(/("(?:[^"\\]|\\.)*")|\/\/[^\n]*|\/\*[\s\S]*?\*\//g, (_all, string) => string ?? " ");
}

// --- Helpers -------------------------------------------------------------------------------------------------

const JsonType = z.looseObject({
  type: z.string().optional(),
  anyOf: z.array(z.looseObject({ type: z.string().optional() })).optional(),
});

function jsonOf(field: unknown): Record<string, unknown> {
  assert(field instanceof z.ZodType, "a config schema has zod fields");
  return z.toJSONSchema(field, { io: "input", unrepresentable: "any" });
}

function typeOf(schema: z.ZodObject, key: string): FieldType {
  const json = JsonType.parse(jsonOf(schema.shape[key]));
  const types = [json.type, ...(json.anyOf ?? []).map(({ type }) => type)];
  if (types.includes("array")) return "list";
  if (types.includes("boolean")) return "boolean";
  return types.includes("number") || types.includes("integer") ? "number" : "text";
}

/** What the text stands for; a text that does not fit stays one, for the schema to refuse. */
function fromText(text: string, type: FieldType | undefined): unknown {
  if (type === "number" && text.trim() !== "" && Number.isFinite(Number(text))) return Number(text);
  if (type === "boolean" && /^(true|1)$/.test(text)) return true;
  if (type === "boolean" && /^(false|0)$/.test(text)) return false;
  return text;
}

function split(text: string): string[] {
  return text.split(",").map((each) => each.trim()).filter((each) => each !== "");
}

function kebab(key: string): string {
  return key.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
}

function environmentName(key: string): string {
  return PREFIX + kebab(key).replaceAll("-", "_").toUpperCase();
}

function nameOf(key: string, origin: Origin): string {
  if (origin === "environment") return environmentName(key);
  return origin === "file" ? key : `--${kebab(key)}`;
}

function holdsSecret(key: string): boolean {
  return /(password|secret|passphrase|token|credential|seed)s?$/i.test(key);
}

function passwordProblems(given: Record<string, unknown>, origins: Record<string, Origin>): Problem[] {
  return Object.entries(given).filter(([, value]) => [value].flat().some(hasPassword)).map(([key]) => ({
    field: nameOf(key, origins[key] ?? "default"),
    reason: "holds a password; put it into a file and name that",
  }));
}

function hasPassword(value: unknown): boolean {
  return typeof value === "string" && /^[a-z][a-z0-9+.-]*:\/\/[^/@\s]*:[^/@\s]+@/i.test(value);
}

function shown(key: string, value: unknown): string {
  if (value === undefined || value === null) return "-";
  if (/File$/.test(key) && holdsSecret(key.slice(0, -"File".length))) return `[secret] in ${value}`;
  return typeof value === "string" ? value : JSON.stringify(value);
}

function unknown(field: string, known: string[], name = field): Problem {
  const nearest =
    known.map((each) => ({ each, away: distance(name, each) })).sort((a, b) => a.away - b.away)[0];
  const hint = nearest !== undefined && nearest.away <= 3 ? `; did you mean ${nearest.each}?` : "";
  return { field, reason: `is not known${hint}` };
}

/** Levenshtein: single letters to insert, remove or change. */
function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, at) => at);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const change = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(change, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1));
    }
    row = next;
  }
  return row[b.length] ?? 0;
}

function table(rows: unknown[][]): string {
  const widths = [0, 1].map((column) => Math.max(...rows.map((row) => String(row[column]).length)));
  return rows.map((row) =>
    row.map((cell, column) => String(cell).padEnd(widths[column] ?? 0)).join("  ").trimEnd()
  ).join("\n");
}
