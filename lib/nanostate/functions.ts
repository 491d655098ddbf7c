/**
 * The functions of states at work in one compilation: what they may ask for, and what becomes of their answers.
 *
 * F1. A function sees facts, parameters and the names of secrets, and nothing else: no file, no network, no clock, no
 *     chance. So the same inputs give the same plan.
 * F2. Each compilation starts its function files afresh; one meter is for all of them together.
 * F3. What was asked for is noted: a state that asks for no fact can be compiled without any.
 */
import { type Link, NanostateError, type Place } from "./errors.ts";
import type { Expression } from "./expressions.ts";
import { isObject, type Json, type JsonObject, setOwn } from "./json.ts";
import { DEPTH_MAX } from "./limits.ts";
import type { FunctionName } from "./lines.ts";
import type { World } from "./lua/evaluate.ts";
import { library } from "./lua/library.ts";
import { textArg } from "./lua/strings.ts";
import {
  fromBytes,
  type LuaFunction,
  LuaStop,
  LuaTable,
  LuaThrown,
  Meter,
  toBytes,
  typeName,
  type Value,
} from "./lua/values.ts";
import { hasMarker, marker, withoutMarkers } from "./secrets.ts";
import type { StateFile } from "./state.ts";
import { type FunctionFile, isLoaded, type StateIndex } from "./state_index.ts";

export interface Inputs {
  /** What is known of the host; `fact("a.b")` reads member b of a. Without it a state that asks fails, `needs-facts`. */
  facts?: JsonObject;
  params?: JsonObject;
  /** Names of the secrets that there are. @default any name is taken */
  secrets?: ReadonlySet<string>;
}

/** What functions asked for, sorted. */
export interface Uses {
  facts: string[];
  params: string[];
  secrets: string[];
}

/** What a state may call without a file of its own. */
export const HOST_FUNCTIONS: ReadonlySet<string> = new Set(["fact", "param", "secret", "require"]);

export class Functions {
  readonly #meter = new Meter();
  readonly #worlds = new Map<string, World>();
  readonly #loading: string[] = [];
  readonly #asked = { facts: new Set<string>(), params: new Set<string>(), secrets: new Set<string>() };

  constructor(readonly index: StateIndex, readonly inputs: Inputs) {}

  get uses(): Uses {
    const { facts, params, secrets } = this.#asked;
    return { facts: [...facts].sort(), params: [...params].sort(), secrets: [...secrets].sort() };
  }

  get secrets(): ReadonlySet<string> {
    return this.#asked.secrets;
  }

  /** What the function that a line names returns, as JSON; nothing is null. @throws {NanostateError} */
  call(state: StateFile, { name, place }: FunctionName, mark: string, chain: readonly Link[]): Json {
    return this.#guarded(`${mark}${name}`, place, chain, () => {
      const called = resolve(this.#worldOf(state, chain), name);
      if (typeof called !== "function") {
        const file = this.index.functions(state)?.path;
        const where = file === undefined
          ? "the state has no function file beside it"
          : `it is not in ${file}`;
        throw new NanostateError("unknown-function", place, `there is no function ${name}: ${where}`, chain);
      }
      return this.#json(called([])[0], 0);
    });
  }

  /** The value of `{call(args)}` in a text. @throws {NanostateError} */
  evaluate(
    state: StateFile,
    { name, text, program }: Expression,
    place: Place,
    chain: readonly Link[],
  ): Json {
    return this.#guarded(`{${text}}`, place, chain, () => {
      const world = this.#worldOf(state, chain);
      if (typeof resolve(world, name) !== "function") {
        const reason = `there is no function ${name}; write \\{${name}( where it is meant as text`;
        throw new NanostateError("unknown-function", place, reason, chain);
      }
      return this.#json(program.run(world)[0], 0);
    });
  }

  #guarded(what: string, place: Place, chain: readonly Link[], run: () => Json): Json {
    try {
      return run();
    } catch (error) {
      if (error instanceof LuaThrown) {
        const message = withoutMarkers(fromBytes(error.message) ?? "an error that is no text");
        throw new NanostateError("function-failed", place, `${what} failed: ${message}`, chain, {
          cause: error,
        });
      }
      if (error instanceof LuaStop) {
        throw new NanostateError(error.code, place, `${what} was stopped: ${error.message}`, chain, {
          cause: error,
        });
      }
      if (error instanceof NanostateError && error.code === "bad-function-file") {
        throw new NanostateError(error.code, error.place, error.reason, [...chain, { place, text: what }]);
      }
      if (error instanceof RangeError) { // the stack of JavaScript, met before the meter's depth
        throw new NanostateError("limit", place, `${what} was stopped: it went too deep`, chain, {
          cause: error,
        });
      }
      throw error;
    }
  }

  #worldOf(state: StateFile, chain: readonly Link[]): World {
    const key = `state ${state.path}`;
    const known = this.#worlds.get(key);
    if (known !== undefined) return known;
    const world = this.#freshWorld();
    this.#worlds.set(key, world);
    for (const { name, place } of state.imports ?? []) {
      const file = this.index.library(name);
      if (file === null) {
        throw new NanostateError("unknown-library", place, `there is no function file ${name}.fn`, chain);
      }
      if (world.globals.get(name) !== undefined) {
        throw new NanostateError("bad-name", place, takenText(name), chain);
      }
      world.globals.set(name, this.#library(file).globals);
    }
    const own = this.index.functions(state);
    if (own !== null) this.#start(own, world);
    return world;
  }

  #library(file: FunctionFile): World {
    const key = `library ${file.path}`;
    const known = this.#worlds.get(key);
    if (known !== undefined) return known;
    if (this.#loading.includes(file.path)) {
      throw new LuaStop(
        "cycle",
        `function files require each other: ${[...this.#loading, file.path].join(" > ")}`,
      );
    }
    const world = this.#freshWorld();
    this.#loading.push(file.path);
    this.#start(file, world);
    this.#loading.pop();
    this.#worlds.set(key, world);
    return world;
  }

  #start(file: FunctionFile, world: World): void {
    if (isLoaded(file)) return void file.loaded.run(world);
    throw notLua(file);
  }

  #freshWorld(): World {
    const { globals, strings } = library(this.#meter);
    for (const [name, run] of Object.entries(this.#hostFunctions())) globals.set(name, run);
    return { meter: this.#meter, globals, strings };
  }

  #hostFunctions(): Record<string, LuaFunction> {
    return {
      fact: (args) => [this.#fact(text(args, 0))],
      param: (args) => [this.#param(text(args, 0), args)],
      secret: (args) => [this.#secret(text(args, 0))],
      require: (args) => {
        const file = this.index.library(text(args, 0));
        if (file !== null) return [this.#library(file).globals];
        throw new LuaStop("unknown-library", `there is no function file ${text(args, 0)}.fn`);
      },
    };
  }

  #fact(path: string): Value {
    this.#asked.facts.add(path);
    const { facts } = this.inputs;
    if (facts === undefined) {
      throw new LuaStop("needs-facts", `fact("${path}") needs the facts of a host, and none are given`);
    }
    return this.#value(factAt(facts, path));
  }

  #param(name: string, args: readonly Value[]): Value {
    this.#asked.params.add(name);
    const { params = {} } = this.inputs;
    if (Object.hasOwn(params, name)) return this.#value(params[name]);
    if (args.length > 1) return args[1];
    throw new LuaStop("missing-param", `param("${name}") has no value and no default; give the parameter`);
  }

  #secret(name: string): Value {
    if (!/^[\w.-]+$/.test(name)) {
      throw new LuaStop("unknown-secret", "a secret's name is made of letters, digits and _ . -");
    }
    const { secrets } = this.inputs;
    if (secrets !== undefined && !secrets.has(name)) {
      throw new LuaStop("unknown-secret", `there is no secret "${name}"`);
    }
    this.#asked.secrets.add(name);
    return toBytes(marker(name));
  }

  /** JSON → Lua. null and what is not there are both nil. */
  #value(json: Json | undefined): Value {
    this.#meter.spend(1);
    if (json === null || json === undefined) return undefined;
    if (typeof json === "string") return this.#text(json);
    if (typeof json !== "object") return json;
    const table = new LuaTable(this.#meter);
    if (Array.isArray(json)) json.forEach((each, n) => table.set(n + 1, this.#value(each)));
    else for (const [key, each] of Object.entries(json)) table.set(this.#text(key), this.#value(each));
    return table;
  }

  #text(value: string): string {
    this.#meter.string(value.length);
    if (!hasMarker(value)) return toBytes(value);
    throw new LuaStop("bad-value", "a fact or parameter holds a character that is reserved (U+FDD0, U+FDD1)");
  }

  /** Lua → JSON. An empty table is an empty list. @throws {LuaStop} `bad-result` */
  #json(value: Value, depth: number): Json {
    this.#meter.spend(1);
    if (depth > DEPTH_MAX) {
      throw new LuaStop("bad-result", `tables lie more than ${DEPTH_MAX} deep in each other`);
    }
    if (value === undefined) return null;
    if (typeof value === "boolean") return value;
    if (typeof value === "string") return this.#decoded(value);
    if (typeof value === "number") {
      if (Number.isFinite(value) && Math.abs(value) <= Number.MAX_SAFE_INTEGER) return value;
      throw new LuaStop("bad-result", `the number ${value} cannot be passed on; return it as text`);
    }
    if (value instanceof LuaTable) return this.#jsonTable(value, depth);
    throw new LuaStop("bad-result", "a function returned a function");
  }

  #jsonTable(table: LuaTable, depth: number): Json {
    this.#meter.table();
    if (table.isList) {
      return Array.from(table.list, (each) => {
        this.#meter.entry();
        return this.#json(each, depth + 1);
      });
    }
    const object: JsonObject = {};
    for (const [key, each] of table.entries()) {
      if (typeof key !== "string") {
        throw new LuaStop(
          "bad-result",
          `a table has a ${typeName(key)} besides names as key; it is neither list nor mapping`,
        );
      }
      this.#meter.entry();
      setOwn(object, this.#decoded(key), this.#json(each, depth + 1));
    }
    return object;
  }

  #decoded(bytes: string): string {
    this.#meter.string(bytes.length);
    const text = fromBytes(bytes);
    if (text === null) throw new LuaStop("bad-result", "a text is not UTF-8");
    return text;
  }
}

/** Why a function file cannot be imported by this name. */
export function takenText(name: string): string {
  return `"${name}" is a name of Lua or of states, or was imported above; call the function file otherwise`;
}

/** The error of a function file that is no Lua. */
export function notLua({ path, loaded }: FunctionFile): NanostateError {
  if (!("reason" in loaded)) throw new Error(`Cannot explain ${path}: it is Lua`);
  const { line, column, reason } = loaded;
  return new NanostateError("bad-function-file", { file: path, line, column }, reason);
}

function resolve({ globals }: World, name: string): Value {
  return name.split(".").reduce<Value>(
    (at, key) => at instanceof LuaTable ? at.get(key) : undefined,
    globals,
  );
}

/** What `fact(path)` finds. `setup` calls facts ansible_NAME. */
export function factAt(facts: JsonObject, path: string): Json | undefined {
  const [first = "", ...rest] = path.split(".");
  return memberAt(facts, [first, ...rest]) ?? memberAt(facts, [`ansible_${first}`, ...rest]);
}

function memberAt(facts: JsonObject, path: readonly string[]): Json | undefined {
  return path.reduce<Json | undefined>(
    (at, key) => isObject(at) && Object.hasOwn(at, key) ? (at as JsonObject)[key] : undefined,
    facts,
  );
}

function text(args: readonly Value[], n: number): string {
  const found = fromBytes(textArg(args, n));
  if (found === null) throw new LuaThrown(`bad argument #${n + 1} (it is not UTF-8)`);
  return found;
}
